// Package engine realises build graphs: it finds out what of a graph is missing for the goals, and has it made in an order
// that respects what needs what, as parallel as it may be.
//
// What makes a node is an engine's own matter (engine/local); how many are made at once, in which order, and what happens
// when one fails is decided here, by Schedule. A node whose outputs are there needs nothing: a run with nothing to do asks
// the store once.
//
//	var e engine.Engine = local.New(…)
//	result, err := e.Realise(ctx, []*dag.Node{pkg}, engine.Options{Events: sink})
package engine

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"

	"headwater/internal/dag"
	"headwater/internal/event"
	"headwater/internal/nix"
)

// Engine makes nodes' outputs valid in a store.
type Engine interface {
	// Realise makes all outputs of the goals valid, or tells why it could not. The result is filled in either case. The error
	// is ctx's cause if ctx is done, or it joins what went wrong with nodes: *BuildFailed where a builder is to blame.
	Realise(ctx context.Context, goals []*dag.Node, opts Options) (Result, error)
}

// Options of a run. The zero value is a good choice.
type Options struct {
	Jobs    int // nodes made at once, downloads apart; 0 means one per processor
	Fetches int // downloads at once; 0 means 16
	Cores   int // how many processors a builder is told to use; 0 means all. Enters no hash.

	KeepGoing bool          // a failure stops only what needs the node that failed
	Timeout   time.Duration // of one builder; 0 means none
	MaxSilent time.Duration // a builder that writes nothing for so long is killed; 0 means never
	MaxLog    int64         // bytes; a builder that writes more is killed; 0 means 256 MiB, less than 0 no limit
	LogTail   int           // lines of the log that BuildFailed holds; 0 means 25

	// Check builds the goals once more, though they are valid, and compares; a difference is a *BuildFailed. The store stays
	// as it is. What the goals need must be valid, or is made.
	Check bool
	// Differs is called for each output that Check finds to be another one, while what was made is still there. Its error takes the
	// place of the difference. The local engine calls it, from several goroutines; a Nix daemon does not hand out what it made.
	Differs func(context.Context, Difference) error

	Events event.Sink // nil drops them
}

// Difference is an output that was not the same when it was built again.
type Difference struct {
	Node    *dag.Node
	Output  string
	Was, Is nix.Hash // of the NARs: the registered one, and that of what was made
	WasAt   string   // where the tree is that is valid
	IsAt    string   // where the one is that was made; it goes when Differs returns
	LogPath string   // of the second build
}

// Defaults of Options.
const (
	DefaultFetches = 16
	DefaultMaxLog  = 256 << 20
	DefaultLogTail = 25
)

// WithDefaults fills in what zero values stand for.
func (o Options) WithDefaults() Options {
	if o.Jobs <= 0 {
		o.Jobs = runtime.NumCPU()
	}
	if o.Fetches <= 0 {
		o.Fetches = DefaultFetches
	}
	if o.Cores <= 0 {
		o.Cores = runtime.NumCPU()
	}
	if o.MaxLog == 0 {
		o.MaxLog = DefaultMaxLog
	}
	if o.LogTail <= 0 {
		o.LogTail = DefaultLogTail
	}
	if o.Events == nil {
		o.Events = event.Discard
	}
	return o
}

// Result tells what became of the nodes that were missing. Each list is sorted by ID.
type Result struct {
	Realised    []*dag.Node // made in this run
	Substituted []*dag.Node // taken from elsewhere, see Substituter
	Reused      []*dag.Node // made by another process meanwhile
	Failed      []Failure
	Skipped     []*dag.Node // not tried, or broken off: an input or the run failed
}

// Failure is a node and why it failed.
type Failure struct {
	Node *dag.Node
	Err  error
}

// Reason says how a builder failed.
type Reason string

// The reasons.
const (
	Exited    Reason = "exited"      // with a status that is not 0, or by a signal
	TimedOut  Reason = "timed out"   // Options.Timeout
	Silent    Reason = "silent"      // Options.MaxSilent
	LogFlood  Reason = "log flood"   // Options.MaxLog
	BadOutput Reason = "bad output"  // missing, not allowed, or not what its hash says
	Differs   Reason = "differs"     // Options.Check
	BadRecipe Reason = "bad request" // the derivation asks for what cannot be had
)

// BuildFailed says that a builder, or what it made, is to blame: not the engine, not the machine.
type BuildFailed struct {
	Node    *dag.Node
	Reason  Reason
	Err     error
	Log     []string // the end of the log, without line ends
	LogPath string   // "" if there is none
}

func (f *BuildFailed) Error() string {
	return fmt.Sprintf("build %s: %v", f.Node.Name, f.Err)
}

func (f *BuildFailed) Unwrap() error { return f.Err }

// Tail is the end of the log as text, indented, and where the rest is; "" if nothing was written.
func (f *BuildFailed) Tail() string {
	if len(f.Log) == 0 {
		return ""
	}
	tail := "    " + strings.Join(f.Log, "\n    ")
	if f.LogPath != "" {
		tail += "\nthe whole log: " + f.LogPath
	}
	return tail
}

// ContentError says that a content-addressed object did not become what its node says: whoever told the node's hash is to blame.
type ContentError struct {
	Node       *dag.Node
	Want, Have nix.Hash
}

func (e *ContentError) Error() string {
	return fmt.Sprintf("make %s: what was made is not what its path says: want %s, have %s", e.Node.Name, e.Want.SRI(), e.Have.SRI())
}

// Hint says what to do.
func (e *ContentError) Hint() string {
	if e.Node.Kind == dag.Root {
		return "another release of Headwater, which unpacks otherwise, may have written the lock: run headwater lock --update"
	}
	return ""
}

// SubstituteKind is the kind by which events name a node that is substituted.
const SubstituteKind = "cache"

// EventNode is how events name a node.
func EventNode(n *dag.Node) event.Node {
	return event.Node{ID: string(n.ID()), Kind: string(n.Kind), Name: n.Name}
}
