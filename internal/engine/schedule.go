package engine

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"slices"
	"time"

	"headwater/internal/dag"
	"headwater/internal/event"
	"headwater/internal/nix"
)

// Worker knows what is there and makes what is not.
type Worker interface {
	// Valid tells which of the paths are there, and keeps them there as long as the run lasts.
	Valid(context.Context, []nix.StorePath) ([]nix.StorePath, error)
	// Realise makes one node, whose inputs are there. It may be called by several goroutines.
	Realise(context.Context, *dag.Node, *Slot) (Done, error)
	// Estimate guesses how long Realise will take; 0 if nothing is known.
	Estimate(*dag.Node) time.Duration
}

// Done tells how a node was realised.
type Done struct {
	Reused  bool   // it had been made meanwhile by another process
	Bytes   int64  // downloaded
	LogPath string // "" if there is none; also set if it failed
}

// unknownDuration is the estimate of what was never made before: about a small build's.
const unknownDuration = time.Second

// Schedule realises the goals. Its one goroutine decides; every node in work has another, and none outlives the call.
func Schedule(ctx context.Context, goals []*dag.Node, w Worker, opts Options) (Result, error) {
	opts = opts.WithDefaults()
	p := planner{valid: w.Valid, tasks: map[*dag.Node]*task{}, known: map[nix.StorePath]bool{}}
	if err := p.plan(ctx, goals, opts.Check); err != nil {
		return Result{}, err
	}
	opts.Events(event.Planned{Total: Count(goals), Todo: len(p.ordered)})
	if len(p.ordered) == 0 {
		return Result{}, nil
	}
	err := p.weigh(func(n *dag.Node) time.Duration {
		if d := w.Estimate(n); d > 0 {
			return d
		}
		return unknownDuration
	})
	if err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := scheduler{
		worker: w, opts: opts, cancel: cancel, reports: make(chan report),
		builds: pool{free: opts.Jobs}, fetches: pool{free: opts.Fetches},
	}
	for _, t := range p.ordered {
		if t.waits == 0 {
			s.enqueue(t)
		}
	}
	s.run(ctx)
	return s.finish(ctx, p.ordered)
}

// errStopped is the cause when a node's failure ends the run.
var errStopped = errors.New("stopped: another node failed")

type scheduler struct {
	worker  Worker
	opts    Options
	cancel  context.CancelCauseFunc
	reports chan report
	builds  pool
	fetches pool
	working int // goroutines
	result  Result
}

// pool is a number of slots and the tasks that want one.
type pool struct {
	free  int
	queue queue
}

// report is what a node's goroutine tells the scheduler.
type report struct {
	task *task
	what reportKind
	done Done
	err  error
	took time.Duration
}

type reportKind int

const (
	ended reportKind = iota
	yielded
	wantsBack
)

func (s *scheduler) poolOf(t *task) *pool {
	if isFetch(t.node) {
		return &s.fetches
	}
	return &s.builds
}

// isFetch tells what waits for the network, not for a processor.
func isFetch(n *dag.Node) bool { return n.Drv != nil && n.Drv.Builder == "builtin:fetchurl" }

func (s *scheduler) enqueue(t *task) {
	t.state = ready
	heap.Push(&s.poolOf(t).queue, t)
}

// run works until nothing is left that could be worked on.
func (s *scheduler) run(ctx context.Context) {
	for {
		if ctx.Err() == nil {
			s.fill(ctx, &s.builds)
			s.fill(ctx, &s.fetches)
		}
		if s.working == 0 {
			return
		}
		s.handle(ctx, <-s.reports)
	}
}

// fill gives out free slots, the most critical task first.
func (s *scheduler) fill(ctx context.Context, p *pool) {
	for p.free > 0 && len(p.queue) > 0 {
		t := heap.Pop(&p.queue).(*task)
		p.free--
		if t.state == running { // it had yielded its slot
			t.granted <- struct{}{}
			continue
		}
		t.state = running
		s.working++
		go s.work(ctx, t)
	}
}

func (s *scheduler) work(ctx context.Context, t *task) {
	s.opts.Events(event.Started{Node: EventNode(t.node)})
	began := time.Now()
	slot := &Slot{task: t, reports: s.reports, held: true}
	done, err := s.worker.Realise(ctx, t.node, slot)
	if !slot.held {
		// Only cancelling makes that happen; the count of free slots does not matter any more.
		err = errors.Join(err, context.Cause(ctx))
	}
	s.reports <- report{task: t, what: ended, done: done, err: err, took: time.Since(began)}
}

func (s *scheduler) handle(ctx context.Context, r report) {
	switch r.what {
	case yielded:
		s.poolOf(r.task).free++
	case wantsBack:
		heap.Push(&s.poolOf(r.task).queue, r.task)
	case ended:
		s.working--
		s.poolOf(r.task).free++
		s.ended(ctx, r)
	}
}

func (s *scheduler) ended(ctx context.Context, r report) {
	s.opts.Events(event.Finished{
		Node: EventNode(r.task.node), Duration: r.took, Bytes: r.done.Bytes, LogPath: r.done.LogPath, Err: r.err,
	})
	if r.err != nil {
		s.failed(ctx, r)
		return
	}
	r.task.state = done
	if r.done.Reused {
		s.result.Reused = append(s.result.Reused, r.task.node)
	} else {
		s.result.Realised = append(s.result.Realised, r.task.node)
	}
	for _, t := range r.task.needed {
		if t.waits--; t.waits == 0 && t.state == waiting {
			s.enqueue(t)
		}
	}
}

func (s *scheduler) failed(ctx context.Context, r report) {
	if cause := context.Cause(ctx); cause != nil && (errors.Is(r.err, cause) || errors.Is(r.err, ctx.Err())) {
		r.task.state = skipped // broken off
		return
	}
	r.task.state = failed
	s.result.Failed = append(s.result.Failed, Failure{Node: r.task.node, Err: r.err})
	if !s.opts.KeepGoing {
		s.cancel(errStopped)
	}
}

// finish sorts the result out.
func (s *scheduler) finish(ctx context.Context, tasks []*task) (Result, error) {
	r := s.result
	for _, t := range tasks {
		if t.state != done && t.state != failed {
			r.Skipped = append(r.Skipped, t.node)
		}
	}
	byID := func(a, b *dag.Node) int { return cmp.Compare(a.ID(), b.ID()) }
	slices.SortFunc(r.Realised, byID)
	slices.SortFunc(r.Reused, byID)
	slices.SortFunc(r.Skipped, byID)
	slices.SortFunc(r.Failed, func(a, b Failure) int { return byID(a.Node, b.Node) })
	if err := context.Cause(ctx); err != nil && !errors.Is(err, errStopped) {
		return r, err
	}
	var errs []error
	for _, f := range r.Failed {
		errs = append(errs, f.Err)
	}
	return r, errors.Join(errs...)
}

// Slot is a node's right to be worked on. Waiting for another process is no work: Yield lends the slot to others meanwhile.
type Slot struct {
	task    *task
	reports chan<- report
	held    bool
}

// Yield runs wait without the slot and then waits to get one back.
func (s *Slot) Yield(ctx context.Context, wait func() error) error {
	s.reports <- report{task: s.task, what: yielded}
	s.held = false
	err := wait()
	if ctxErr := context.Cause(ctx); ctxErr != nil {
		return errors.Join(err, ctxErr)
	}
	s.reports <- report{task: s.task, what: wantsBack}
	select {
	case <-s.task.granted:
		s.held = true
		return err
	case <-ctx.Done():
		return errors.Join(err, context.Cause(ctx))
	}
}

// queue is a heap of tasks, the most critical first.
type queue []*task

func (q queue) Len() int { return len(q) }

func (q queue) Less(i, j int) bool {
	if q[i].critical != q[j].critical {
		return q[i].critical > q[j].critical
	}
	return q[i].order < q[j].order
}

func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push is for package heap.
func (q *queue) Push(t any) { *q = append(*q, t.(*task)) }

// Pop is for package heap.
func (q *queue) Pop() any {
	old := *q
	t := old[len(old)-1]
	*q = old[:len(old)-1]
	return t
}
