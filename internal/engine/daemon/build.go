package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/event"
	"headwater/internal/nix"
	"headwater/internal/nix/worker"
)

// nodes are what the daemon is to build.
func (p *plan) nodes() []*dag.Node {
	nodes := slices.AppendSeq(slices.Clone(p.check), maps.Keys(p.build))
	sortNodes(nodes)
	return nodes
}

// build has the plan's derivations built, then those to check. Every one is asked for, not only the goals, so that the daemon
// says of each what became of it.
func (r *run) build(ctx context.Context, p *plan) error {
	var nodes []*dag.Node
	targets := func() (list []worker.Target) {
		for _, n := range nodes {
			list = append(list, worker.Target{Drv: n.DrvPath, Outputs: p.build[n]})
		}
		return list
	}
	nodes = slices.Collect(maps.Keys(p.build))
	sortNodes(nodes)
	err := r.buildAll(ctx, nodes, targets(), worker.Normal)
	if len(p.check) == 0 {
		return err
	}
	if err != nil && (!r.opts.KeepGoing || ctx.Err() != nil) {
		r.result.Skipped = append(r.result.Skipped, p.check...)
		return err
	}
	nodes = p.check
	for _, n := range nodes {
		p.build[n] = outputNames(n)
	}
	return errors.Join(err, r.buildAll(ctx, nodes, targets(), worker.Check))
}

func (r *run) buildAll(ctx context.Context, nodes []*dag.Node, targets []worker.Target, mode worker.Mode) error {
	if len(nodes) == 0 {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := newWatch(r, nodes, cancel)
	r.sink = w.message
	results, err := r.client.BuildPaths(ctx, targets, mode)
	r.sink = r.remark
	err = r.fault(ctx, err)
	byDrv := make(map[nix.StorePath]worker.Result, len(results))
	for _, result := range results {
		byDrv[result.Drv] = result
	}
	var errs []error
	for _, n := range nodes {
		result, ok := byDrv[n.DrvPath]
		if !ok {
			result.Status = worker.MiscFailure // without a text: not tried
		}
		errs = append(errs, w.ended(n, result, err))
	}
	if joined := errors.Join(errs...); joined != nil {
		return joined
	}
	for _, said := range w.errors {
		r.remark(said)
	}
	if err == nil {
		for _, n := range nodes {
			if !byDrv[n.DrvPath].Status.Success() {
				return r.fault(ctx, fmt.Errorf("%s was not built, and the daemon did not say why", n.DrvPath))
			}
		}
	}
	return err
}

// failed notes a node's failure and returns its error.
func (r *run) failed(n *dag.Node, err error) error {
	r.result.Failed = append(r.result.Failed, engine.Failure{Node: n, Err: err})
	return err
}

// built are those of the nodes that did not fail and were not skipped.
func (r *run) built(nodes []*dag.Node) (list []*dag.Node) {
	for _, n := range nodes {
		failed := slices.ContainsFunc(r.result.Failed, func(f engine.Failure) bool { return f.Node == n })
		if !failed && !slices.Contains(r.result.Skipped, n) {
			list = append(list, n)
		}
	}
	return list
}

// watch makes events of what a daemon tells while it builds.
type watch struct {
	run    *run
	cancel context.CancelCauseFunc
	byDrv  map[nix.StorePath]*work
	active map[uint64]*work // by the activity's id
	total  map[uint64]bool  // activities that count all builds
	done   uint64           // builds that succeeded, as the daemon counts
	bad    uint64           // that failed
	stop   []*work          // have ended; whether well is not known yet
	good   uint64           // ended well: told
	errors []worker.Log     // that the daemon told besides
}

// work is a derivation that is being built.
type work struct {
	node  *dag.Node
	began time.Time // zero: not yet
	took  time.Duration
	log   *buildLog
	told  bool // event.Finished was sent
}

func newWatch(r *run, nodes []*dag.Node, cancel context.CancelCauseFunc) *watch {
	w := &watch{run: r, cancel: cancel, byDrv: map[nix.StorePath]*work{}, active: map[uint64]*work{}, total: map[uint64]bool{}}
	for _, n := range nodes {
		w.byDrv[n.DrvPath] = &work{node: n}
	}
	return w
}

func (w *watch) message(m worker.Message) {
	switch m := m.(type) {
	case worker.Start:
		w.start(m)
	case worker.Stop:
		if b := w.active[m.ID]; b != nil && !b.told {
			delete(w.active, m.ID)
			b.took = time.Since(b.began)
			w.stop = append(w.stop, b)
			w.settle()
		}
	case worker.Tell:
		w.tell(m)
	case worker.Log:
		if strings.HasPrefix(m.Text, "error:") {
			w.errors = append(w.errors, m) // its result may say the same
			return
		}
		w.run.remark(m)
	}
}

func (w *watch) start(m worker.Start) {
	switch m.Type {
	case worker.Builds:
		w.total[m.ID] = true
	case worker.Build:
		if len(m.Fields) == 0 {
			return
		}
		b := w.byDrv[nix.StorePath(m.Fields[0].Text)]
		if b == nil {
			return
		}
		w.active[m.ID] = b
		w.inputsEnded(b)
		w.begin(b)
		if len(m.Fields) > 1 && m.Fields[1].Text != "" {
			w.run.opts.Events(event.Message{Text: b.node.Name + ": is built on " + m.Fields[1].Text})
		}
	}
}

func (w *watch) begin(b *work) {
	if !b.began.IsZero() {
		return // once more: another machine gave up on it
	}
	b.began = time.Now()
	w.run.opts.Events(event.Started{Node: engine.EventNode(b.node)})
}

func (w *watch) tell(m worker.Tell) {
	switch {
	case m.Type == worker.LogLine && w.active[m.ID] != nil && len(m.Fields) > 0:
		w.line(w.active[m.ID], m.Fields[0].Text)
	case m.Type == worker.Progress && w.total[m.ID] && len(m.Fields) >= 4:
		w.done, w.bad = m.Fields[0].Number, m.Fields[3].Number
		w.settle()
	}
}

// line logs a line. Where the daemon does not limit logs for us, we do.
func (w *watch) line(b *work, text string) {
	var err error
	if b.log == nil {
		if b.log, err = w.run.openLog(b.node); err != nil {
			w.cancel(fmt.Errorf("log of %s: %w", b.node.Name, err))
			return
		}
	}
	if err := b.log.line(text); err != nil {
		w.cancel(fmt.Errorf("log of %s: %w", b.node.Name, err))
	}
	if limit := w.run.opts.MaxLog; limit >= 0 && b.log.size > limit {
		w.cancel(&engine.BuildFailed{Node: b.node, Reason: engine.LogFlood, Err: fmt.Errorf("wrote more to its log than it may: %d bytes", limit),
			Log: append([]string(nil), b.log.recent...), LogPath: b.log.path})
	}
}

// inputsEnded tells that what b needs was built: else it would not begin. The daemon lets activities end some time later.
func (w *watch) inputsEnded(b *work) {
	for _, in := range b.node.Inputs {
		if made := w.byDrv[in.DrvPath]; in.Drv != nil && made != nil && !made.began.IsZero() && !made.told {
			made.took = time.Since(made.began)
			w.stop = slices.DeleteFunc(w.stop, func(b *work) bool { return b == made })
			w.succeeded(made)
		}
	}
}

// settle tells that builds ended well, once that is certain: all that ended so far are counted as done. An activity's end
// does not say how it ended; where some failed, only the results tell which.
func (w *watch) settle() {
	if w.bad > 0 || w.done < w.good+uint64(len(w.stop)) {
		return
	}
	for _, b := range w.stop {
		w.succeeded(b)
	}
	w.stop = nil
}

func (w *watch) succeeded(b *work) {
	w.good++
	if err := w.finish(b, nil); err != nil {
		w.cancel(fmt.Errorf("log of %s: %w", b.node.Name, err))
	}
}

// finish tells a node's end, once.
func (w *watch) finish(b *work, err error) error {
	if b.told {
		return nil
	}
	b.told = true
	done := event.Finished{Node: engine.EventNode(b.node), Duration: b.took, Err: err}
	var closeErr error
	if b.log != nil {
		done.LogPath = b.log.path
		closeErr = b.log.file.Close()
	}
	w.run.opts.Events(done)
	return closeErr
}

// tooSilent tells which limit a build that took too long has met.
func (w *watch) tooSilent(b *work) bool {
	o := w.run.opts
	return o.MaxSilent > 0 && (o.Timeout == 0 || time.Since(b.began) < o.Timeout)
}

// ended notes what became of a node. broken is why the whole operation ended, if it did.
func (w *watch) ended(n *dag.Node, result worker.Result, broken error) error {
	b := w.byDrv[n.DrvPath]
	var err error
	var flood *engine.BuildFailed
	switch {
	case broken != nil && errors.As(broken, &flood) && flood.Node == n:
		err = flood
	case broken == nil && !result.Status.Success():
		err = failure(n, result, w.tooSilent(b))
	}
	if err != nil && b.log != nil {
		b.log.explain(err)
	}
	success := broken == nil && result.Status.Success() || b.told
	running := !b.began.IsZero() && !b.told
	if success || err != nil {
		w.begin(b)
	}
	list := &w.run.result
	switch {
	case err != nil:
		closeErr := w.finish(b, err)
		return errors.Join(w.run.failed(n, err), closeErr)
	case success && result.Status != worker.Built && !b.told && broken == nil:
		list.Reused = append(list.Reused, n)
	case success:
		list.Realised = append(list.Realised, n)
	default:
		list.Skipped = append(list.Skipped, n)
		if !running {
			return nil
		}
		err = broken // broken off; an error of the run, not of the node
		if err == nil {
			err = context.Canceled
		}
		return w.finish(b, err)
	}
	return w.finish(b, nil)
}
