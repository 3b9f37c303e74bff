// Package local realises build graphs on this machine, in a store of its own: it downloads fetches, writes content-addressed
// objects, and runs derivations' builders in a sandbox as Nix runs them.
//
// What holds:
//
//   - An output becomes valid only after all of its derivation's outputs were examined and found to be allowed; all of
//     them become valid at once. Whatever ends a run, kill -9 included, leaves nothing half-made that is valid.
//   - Outputs are made under their paths' locks, Nix's own, so that of several processes one makes and the others wait.
//   - A builder, and all that it started, is gone before its outputs are looked at.
//   - What a run made or found is kept from the store's collector until the store is closed.
package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"headwater/internal/artifact"
	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/event"
	"headwater/internal/nix"
	"headwater/internal/sandbox"
	"headwater/internal/store"
)

// Fetch downloads an artifact to dst, which does not exist, and tells its size. If the artifact has a hash, what arrives has
// it. progress may be called from another goroutine until Fetch returns; total is 0 where it is not known.
type Fetch func(ctx context.Context, a artifact.Artifact, dst string, progress func(done, total int64)) (size int64, err error)

// Config of an Engine.
type Config struct {
	Store  *store.Store // required
	Fetch  Fetch        // nil: nothing can be downloaded
	System string       // whose builders run here; "" means x86_64-linux
	// Getenv looks up the variables that fixed outputs may have from outside (impureEnvVars: proxies, say); nil finds none.
	Getenv func(string) string
	Caches Substituter // nil: everything is made here
}

// Substituter finds store paths elsewhere.
type Substituter interface {
	// Available tells which of the paths can be had, with all that they refer to and that is not valid.
	Available(context.Context, []nix.StorePath) ([]nix.StorePath, error)
	// Take makes the paths valid, with all that they refer to. progress may be called by several goroutines.
	Take(ctx context.Context, paths []nix.StorePath, progress func(done, total int64)) (bytes int64, err error)
}

// Engine is an engine.Engine. It may be used by several goroutines.
type Engine struct {
	Config
	durations durations
	sandbox   sandbox.Runner
}

var (
	_ engine.Engine      = (*Engine)(nil)
	_ engine.Substituter = (*run)(nil)
)

// New makes an engine.
func New(c Config) *Engine {
	if c.System == "" {
		c.System = "x86_64-linux"
	}
	if c.Getenv == nil {
		c.Getenv = func(string) string { return "" }
	}
	return &Engine{Config: c, durations: durations{file: durationsFile(c.Store.Dir())}}
}

// Close lets go of what the engine keeps. It does not close the store.
func (e *Engine) Close() error { return e.sandbox.Close() }

// Realise is engine.Engine's.
func (e *Engine) Realise(ctx context.Context, goals []*dag.Node, opts engine.Options) (engine.Result, error) {
	r := &run{Engine: e, opts: opts.WithDefaults(), goals: goals, written: map[nix.StorePath]bool{}}
	result, err := engine.Schedule(ctx, goals, r, opts)
	if saveErr := e.durations.save(); err == nil {
		err = saveErr // a hint for the next run is nothing to tell of besides a failure
	}
	return result, err
}

// run is one call of Realise: an engine.Worker.
type run struct {
	*Engine
	opts  engine.Options
	goals []*dag.Node

	drvMu   sync.Mutex // orders the writing of .drv files, and guards written
	written map[nix.StorePath]bool
}

// Valid is engine.Worker's.
func (r *run) Valid(ctx context.Context, paths []nix.StorePath) ([]nix.StorePath, error) {
	// First: what is valid then stays valid.
	if err := r.Store.AddTempRoot(ctx, paths...); err != nil {
		return nil, err
	}
	return r.Store.Valid(ctx, paths...)
}

// Estimate is engine.Worker's.
func (r *run) Estimate(n *dag.Node) time.Duration { return r.durations.estimate(n) }

// Substitutable is engine.Substituter's.
func (r *run) Substitutable(ctx context.Context, paths []nix.StorePath) ([]nix.StorePath, error) {
	if r.Caches == nil {
		return nil, nil
	}
	return r.Caches.Available(ctx, paths)
}

// Substitute is engine.Substituter's.
func (r *run) Substitute(ctx context.Context, n *dag.Node, paths []nix.StorePath) (engine.Done, error) {
	node := engine.EventNode(n)
	node.Kind = engine.SubstituteKind
	size, err := r.Caches.Take(ctx, paths, func(done, total int64) {
		r.opts.Events(event.Progress{Node: node, Done: done, Total: total})
	})
	if err != nil {
		err = fmt.Errorf("substitute %s: %w", n.Name, err)
	}
	return engine.Done{Bytes: size}, err
}

// Realise is engine.Worker's.
func (r *run) Realise(ctx context.Context, n *dag.Node, slot *engine.Slot) (engine.Done, error) {
	if n.Drv != nil {
		if err := r.writeDerivations(ctx, n); err != nil {
			return engine.Done{}, fmt.Errorf("realise %s: %w", n.Name, err)
		}
	}
	unlock, err := r.lock(ctx, n, slot)
	if err != nil {
		return engine.Done{}, fmt.Errorf("realise %s: %w", n.Name, err)
	}
	done, err := r.realiseLocked(ctx, n)
	return done, errors.Join(err, unlock())
}

func (r *run) realiseLocked(ctx context.Context, n *dag.Node) (engine.Done, error) {
	missing, err := r.missing(ctx, n)
	if err != nil {
		return engine.Done{}, fmt.Errorf("realise %s: %w", n.Name, err)
	}
	check := len(missing) == 0 && r.opts.Check && slices.Contains(r.goals, n) && n.Drv != nil && !isBuiltin(n)
	if len(missing) == 0 && !check {
		return engine.Done{Reused: true}, nil
	}
	dir, remove, err := r.Store.TempDir(ctx)
	if err != nil {
		return engine.Done{}, fmt.Errorf("realise %s: %w", n.Name, err)
	}
	began := time.Now()
	done, err := r.make(ctx, &job{run: r, node: n, dir: dir, missing: missing, check: check})
	if err == nil {
		r.durations.record(n, time.Since(began))
	}
	if rm := remove(); rm != nil {
		err = errors.Join(err, fmt.Errorf("realise %s: clean up: %w", n.Name, rm))
	}
	return done, err
}

// job is one node in work.
type job struct {
	*run
	node    *dag.Node
	dir     string   // a temporary folder on the store's file system
	missing []string // names of the outputs that are not valid, sorted
	check   bool     // make it again and compare
}

func (r *run) make(ctx context.Context, j *job) (engine.Done, error) {
	switch {
	case j.node.Content != nil:
		return engine.Done{}, j.write(ctx)
	case j.node.Drv == nil:
		return engine.Done{}, fmt.Errorf("realise %s: neither a derivation nor a content", j.node.Name)
	case j.node.Drv.Builder == "builtin:fetchurl":
		return j.fetch(ctx)
	case isBuiltin(j.node):
		return engine.Done{}, j.badRequest("there is no builder %s", j.node.Drv.Builder)
	}
	return j.build(ctx)
}

func isBuiltin(n *dag.Node) bool { return strings.HasPrefix(n.Drv.Builder, "builtin:") }

// missing are the names of the outputs that are not valid.
func (r *run) missing(ctx context.Context, n *dag.Node) ([]string, error) {
	paths := make([]nix.StorePath, 0, len(n.Outputs))
	for _, p := range n.Outputs {
		paths = append(paths, p)
	}
	valid, err := r.Store.Valid(ctx, paths...)
	if err != nil {
		return nil, err
	}
	var names []string
	for name, p := range n.Outputs {
		if !slices.Contains(valid, p) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// patience is how long to wait for a lock before the slot is lent to others.
const patience = 2 * time.Millisecond

// lock locks all outputs, in the order in which everybody does.
func (r *run) lock(ctx context.Context, n *dag.Node, slot *engine.Slot) (unlock func() error, err error) {
	var held []func() error
	unlock = func() error {
		var errs []error
		for _, u := range slices.Backward(held) {
			errs = append(errs, u())
		}
		return errors.Join(errs...)
	}
	paths := make([]nix.StorePath, 0, len(n.Outputs))
	for _, p := range n.Outputs {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	for _, p := range paths {
		u, err := r.lockOne(ctx, p, slot)
		if err != nil {
			return nil, errors.Join(err, unlock())
		}
		held = append(held, u)
	}
	return unlock, nil
}

func (r *run) lockOne(ctx context.Context, p nix.StorePath, slot *engine.Slot) (unlock func() error, err error) {
	short, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	unlock, err = r.Store.Lock(short, p)
	if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
		return unlock, err
	}
	err = slot.Yield(ctx, func() (err error) {
		unlock, err = r.Store.Lock(ctx, p)
		return err
	})
	if err != nil && unlock != nil {
		err = errors.Join(err, unlock())
	}
	return unlock, err
}

// failed makes the error of a builder that is to blame.
func (j *job) failed(reason engine.Reason, err error) *engine.BuildFailed {
	return &engine.BuildFailed{Node: j.node, Reason: reason, Err: err}
}

func (j *job) badRequest(format string, args ...any) error {
	return j.failed(engine.BadRecipe, fmt.Errorf(format, args...))
}

// subfolder makes a folder in the job's.
func (j *job) subfolder(name string) (string, error) {
	p := j.dir + "/" + name
	return p, os.Mkdir(p, 0o755)
}
