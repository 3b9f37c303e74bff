// Package daemon realises build graphs on a Nix daemon: on this machine or another, with whatever remote builders and binary
// caches that daemon has.
//
// Both sides compute the same store paths, so there is nothing to translate. What is content-addressed (sources, roots,
// texts, downloads, .drv files) is made here, by another engine, and uploaded; all else is built by the daemon; the goals'
// outputs are brought back.
//
// What holds:
//
//   - Only what the daemon lacks and the goals need is made and uploaded, inputs before what refers to them, in one stream at a
//     time, which begins while other things are still being made or downloaded.
//   - What is uploaded needs neither a signature nor the daemon's trust, since its path follows from its content. Paths that exist
//     already (dag.Path) are the exception: they keep their signatures, and a daemon that trusts its client takes them without.
//   - What is brought back becomes valid here only if its NAR is what the daemon said of it, and its references before it.
//     That the daemon built it as its derivation says, the daemon is trusted with: who builds elsewhere trusts elsewhere.
//   - Cancelling closes the connection; the daemon then kills its builders.
//
// An example:
//
//	a, err := daemon.ParseAddress("ssh-ng://builder.example", "")
//	e := daemon.New(daemon.Config{Address: a, Store: s, Local: local.New(…), Getenv: os.Getenv, Environ: os.Environ()})
//	result, err := e.Realise(ctx, []*dag.Node{pkg}, engine.Options{Events: sink})
package daemon

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"

	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/event"
	"headwater/internal/nix"
	"headwater/internal/nix/worker"
	"headwater/internal/store"
)

// Config of an Engine. All but Environ is required.
type Config struct {
	Address Address
	Store   *store.Store  // where outputs are brought to
	Local   engine.Engine // makes in Store what is uploaded
	Getenv  func(string) string
	Environ []string // of the programs that are started: ssh, nix-daemon
}

// Engine is an engine.Engine. It may be used by several goroutines; each call of Realise has its own connection.
type Engine struct{ Config }

var _ engine.Engine = (*Engine)(nil)

// New makes an engine. It connects when it has something to build.
func New(c Config) *Engine { return &Engine{c} }

// run is one call of Realise.
type run struct {
	*Engine
	opts   engine.Options
	goals  []*dag.Node
	conn   io.ReadWriteCloser
	client *worker.Client
	side   *worker.Client       // a second connection, to ask while the first one builds; nil until it is needed
	sink   func(worker.Message) // what the current operation does with messages
	result engine.Result
	told   bool // event.Planned was sent
}

// Realise is engine.Engine's.
func (e *Engine) Realise(ctx context.Context, goals []*dag.Node, opts engine.Options) (engine.Result, error) {
	r := &run{Engine: e, opts: opts.WithDefaults(), goals: goals}
	var here, there []*dag.Node
	for _, g := range goals {
		valid, err := r.valid(ctx, g)
		switch {
		case err != nil:
			return engine.Result{}, err
		case uploaded(g) && !valid:
			here = append(here, g)
		case !uploaded(g) && (!valid || opts.Check):
			there = append(there, g)
		}
	}
	err := r.realise(ctx, here, there)
	for _, c := range []*worker.Client{r.client, r.side} {
		if c != nil {
			err = errors.Join(err, c.Close())
		}
	}
	return r.sorted(), err
}

// valid tells whether all of n's outputs are in the local store, and keeps them there.
func (r *run) valid(ctx context.Context, n *dag.Node) (bool, error) {
	var paths []nix.StorePath
	for _, o := range outputNames(n) {
		paths = append(paths, n.Outputs[o])
	}
	if err := r.Store.AddTempRoot(ctx, paths...); err != nil {
		return false, err
	}
	valid, err := r.Store.Valid(ctx, paths...)
	return len(valid) == len(paths), err
}

// realise makes nodes here and has others built there.
func (r *run) realise(ctx context.Context, here, there []*dag.Node) error {
	p := &plan{}
	if len(there) > 0 {
		var err error
		if p, err = r.planThere(ctx, there); err != nil {
			return err
		}
	}
	localErr, err := r.supply(ctx, here, p)
	if err != nil {
		r.skip(p)
		return errors.Join(localErr, err)
	}
	buildErr := r.build(ctx, p)
	if buildErr != nil && (!r.opts.KeepGoing || ctx.Err() != nil) {
		return errors.Join(localErr, buildErr)
	}
	return errors.Join(localErr, buildErr, r.download(ctx, r.built(there)))
}

// supply makes nodes and what is to be uploaded here, and uploads it. With Options.KeepGoing localErr tells what could not be made and
// is not in the plan any more; err says that there is nothing to go on with.
func (r *run) supply(ctx context.Context, here []*dag.Node, p *plan) (localErr, err error) {
	making, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	u, err := r.beginUpload(ctx, p, cancel)
	defer u.cancel(nil)
	if err != nil {
		return nil, err
	}
	localErr = r.makeHere(making, here, p, u.made)
	var cause error
	if localErr != nil && (!r.opts.KeepGoing || ctx.Err() != nil) {
		cause = localErr
	}
	switch err := u.stop(cause); {
	case err != nil && errors.Is(localErr, err): // the upload's end was that of the making too
		return nil, err
	case err != nil || cause != nil:
		return nil, errors.Join(localErr, err)
	}
	return localErr, u.finish(ctx, p)
}

// planThere connects and finds out what the daemon lacks. Where texts refer to outputs, those are realised first.
func (r *run) planThere(ctx context.Context, goals []*dag.Node) (*plan, error) {
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	for {
		p, err := r.plan(ctx, goals)
		if err != nil || len(p.before) == 0 {
			return p, err
		}
		if err := r.realise(ctx, nil, p.before); err != nil {
			return nil, err
		}
	}
}

// makeHere has the other engine make nodes and what is to be uploaded. did hears of each that was made.
func (r *run) makeHere(ctx context.Context, nodes []*dag.Node, p *plan, did func(id string)) error {
	nodes = slices.Clone(nodes)
	for _, o := range p.objects {
		if !o.drv {
			nodes = append(nodes, o.node)
		}
	}
	todo := len(p.build) + len(p.check)
	if len(nodes) == 0 {
		r.planned(todo)
		return nil
	}
	opts := r.opts
	opts.Check = false
	opts.Events = func(e event.Event) {
		if planned, ok := e.(event.Planned); ok {
			r.planned(todo + planned.Todo)
			return
		}
		r.opts.Events(e)
		if done, ok := e.(event.Finished); ok && done.Err == nil {
			did(done.Node.ID)
		}
	}
	made, err := r.Local.Realise(ctx, nodes, opts)
	r.result.Realised = append(r.result.Realised, made.Realised...)
	r.result.Reused = append(r.result.Reused, made.Reused...)
	r.result.Failed = append(r.result.Failed, made.Failed...)
	r.result.Skipped = append(r.result.Skipped, made.Skipped...)
	broken := slices.Clone(made.Skipped)
	for _, f := range made.Failed {
		broken = append(broken, f.Node)
	}
	if err != nil {
		r.drop(p, broken)
	}
	return err
}

// drop takes what needs broken nodes out of the plan.
func (r *run) drop(p *plan, broken []*dag.Node) {
	before := p.nodes()
	p.without(broken)
	left := map[*dag.Node]bool{}
	for _, n := range p.nodes() {
		left[n] = true
	}
	for _, n := range before {
		if !left[n] {
			r.result.Skipped = append(r.result.Skipped, n)
		}
	}
}

// skip notes that nothing of the plan was built.
func (r *run) skip(p *plan) { r.result.Skipped = append(r.result.Skipped, p.nodes()...) }

// planned sends event.Planned, once.
func (r *run) planned(todo int) {
	if !r.told {
		r.told = true
		r.opts.Events(event.Planned{Total: engine.Count(r.goals), Todo: todo})
	}
}

// sorted is the result in its promised order.
func (r *run) sorted() engine.Result {
	sortNodes(r.result.Realised)
	sortNodes(r.result.Reused)
	sortNodes(r.result.Skipped)
	slices.SortFunc(r.result.Failed, func(a, b engine.Failure) int { return compareNodes(a.Node, b.Node) })
	return r.result
}

func sortNodes(nodes []*dag.Node) { slices.SortFunc(nodes, compareNodes) }

func compareNodes(a, b *dag.Node) int { return cmp.Compare(a.ID(), b.ID()) }
