package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/event"
	"headwater/internal/nix"
	"headwater/internal/nix/worker"
)

// watch makes events of what a daemon tells while it builds.
type watch struct {
	run    *run
	cancel context.CancelCauseFunc
	byDrv  map[nix.StorePath]*work
	active map[uint64]*work // by the activity's id
	total  map[uint64]bool  // activities that count all builds
	done   uint64           // builds that succeeded, as the daemon counts
	bad    uint64           // that failed
	good   uint64           // ended well: told
	valid  validator        // nil if validity tells nothing
	errors []worker.Log     // that the daemon told besides
}

// work is a derivation that is being built.
type work struct {
	node  *dag.Node
	began time.Time // zero: not yet
	log   *buildLog
	told  bool // event.Finished was sent
}

// validator tells which paths the daemon has, while it builds.
type validator func([]nix.StorePath) ([]nix.StorePath, error)

func newWatch(r *run, targets []target, valid validator, cancel context.CancelCauseFunc) *watch {
	w := &watch{run: r, cancel: cancel, valid: valid, byDrv: map[nix.StorePath]*work{}, active: map[uint64]*work{}, total: map[uint64]bool{}}
	for _, t := range targets {
		w.byDrv[t.node.DrvPath] = &work{node: t.node}
	}
	return w
}

func (w *watch) message(m worker.Message) {
	switch m := m.(type) {
	case worker.Start:
		w.start(m)
	case worker.Stop:
		delete(w.active, m.ID) // how it ended, and when, is not said: Nix lets activities end late
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

// inputsEnded tells that what b needs was built: else it would not begin.
func (w *watch) inputsEnded(b *work) {
	for _, in := range b.node.Inputs {
		if made := w.byDrv[in.DrvPath]; in.Drv != nil && made != nil && made.running() {
			w.succeeded(made)
		}
	}
}

func (b *work) running() bool { return !b.began.IsZero() && !b.told }

// settle finds out which builds have ended well, when the daemon says how many: all, or those whose outputs are valid.
func (w *watch) settle() {
	if w.done <= w.good {
		return
	}
	var running []*work
	for _, b := range w.byDrv {
		if b.running() {
			running = append(running, b)
		}
	}
	slices.SortFunc(running, func(a, b *work) int { return compareNodes(a.node, b.node) })
	if w.bad == 0 && w.done == w.good+uint64(len(running)) {
		for _, b := range running {
			w.succeeded(b)
		}
		return
	}
	if w.valid != nil && len(running) > 0 {
		w.askValid(running)
	}
}

func (w *watch) askValid(running []*work) {
	var paths []nix.StorePath
	for _, b := range running {
		for _, o := range outputNames(b.node) {
			paths = append(paths, b.node.Outputs[o])
		}
	}
	list, err := w.valid(paths)
	if err != nil {
		w.valid = nil // the results will tell
		w.run.opts.Events(event.Message{Level: event.Warning, Text: "ends of builds are shown late: " + err.Error()})
		return
	}
	there := map[nix.StorePath]bool{}
	for _, p := range list {
		there[p] = true
	}
	for _, b := range running {
		if !slices.ContainsFunc(outputNames(b.node), func(o string) bool { return !there[b.node.Outputs[o]] }) {
			w.succeeded(b)
		}
	}
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
	done := event.Finished{Node: engine.EventNode(b.node), Duration: time.Since(b.began), Err: err}
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

// errBrokenOff ends the nodes that were in work when another failed.
var errBrokenOff = errors.New("broken off: another build failed")

// ended notes what became of a node. broken is why the whole operation ended, if it did; it is the node's own failure only if
// it says so.
func (w *watch) ended(n *dag.Node, result worker.Result, broken error) error {
	b, list := w.byDrv[n.DrvPath], &w.run.result
	if b.told { // it was certain before
		list.Realised = append(list.Realised, n)
		return nil
	}
	if err := w.blame(b, result, broken); err != nil {
		w.begin(b)
		return errors.Join(w.run.failed(n, err), w.finish(b, err))
	}
	switch {
	case broken == nil && result.Status.Success():
		w.begin(b)
		if result.Status == worker.Built {
			list.Realised = append(list.Realised, n)
		} else {
			list.Reused = append(list.Reused, n)
		}
		return w.finish(b, nil)
	case b.began.IsZero():
		list.Skipped = append(list.Skipped, n)
		return nil
	}
	list.Skipped = append(list.Skipped, n)
	if broken == nil {
		broken = errBrokenOff
	}
	return w.finish(b, broken)
}

// blame is the node's own failure, if it has one.
func (w *watch) blame(b *work, result worker.Result, broken error) (err error) {
	var flood *engine.BuildFailed
	switch {
	case broken == nil && !result.Status.Success():
		err = failure(b.node, result, w.tooSilent(b))
	case errors.As(broken, &flood) && flood.Node == b.node:
		err = flood
	}
	if err != nil && b.log != nil {
		b.log.explain(err)
	}
	return err
}
