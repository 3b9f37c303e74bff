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

func newWatch(r *run, targets []target, cancel context.CancelCauseFunc) *watch {
	w := &watch{run: r, cancel: cancel, byDrv: map[nix.StorePath]*work{}, active: map[uint64]*work{}, total: map[uint64]bool{}}
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
