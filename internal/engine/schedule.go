package engine

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"slices"
	"time"

	"headwater/internal/artifact"
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

// Substituter is a Worker that may know how outputs can be had without being made. A node that is substituted needs no inputs.
type Substituter interface {
	// Substitutable tells which of the paths, which are not valid, can be had with all that they need.
	Substitutable(context.Context, []nix.StorePath) ([]nix.StorePath, error)
	// Substitute makes outputs of a node valid. It may be called by several goroutines. If it fails, the node is made instead.
	Substitute(context.Context, *dag.Node, []nix.StorePath) (Done, error)
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
//
// It works in rounds: what could not be substituted, though that was the plan, is planned anew, to be made.
func Schedule(ctx context.Context, goals []*dag.Node, w Worker, opts Options) (Result, error) {
	opts = opts.WithDefaults()
	r := rounds{worker: w, opts: opts, goals: goals, refused: map[*dag.Node]bool{}, failed: map[*dag.Node]bool{}}
	for {
		again, err := r.next(ctx)
		if !again {
			r.result.sort()
			return r.result, err
		}
	}
}

// rounds is what lasts from one round to the next.
type rounds struct {
	worker  Worker
	opts    Options
	goals   []*dag.Node
	refused map[*dag.Node]bool // could not be substituted
	failed  map[*dag.Node]bool // not to be tried again
	result  Result
}

// next is one round. There has to be another if again is true.
func (r *rounds) next(ctx context.Context) (again bool, err error) {
	p := planner{valid: r.worker.Valid, refused: r.refused, tasks: map[*dag.Node]*task{}, known: map[nix.StorePath]bool{}}
	if s, ok := r.worker.(Substituter); ok {
		p.offered = s.Substitutable
	}
	if err := p.plan(ctx, r.goals, r.opts.Check); err != nil {
		return false, err
	}
	r.opts.Events(event.Planned{Total: Count(r.goals), Todo: len(p.ordered)})
	if len(p.ordered) == 0 {
		return false, r.result.err()
	}
	if err := p.weigh(r.estimate); err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	builds, cancelBuilds := context.WithCancelCause(ctx)
	defer cancelBuilds(nil)
	s := scheduler{
		rounds: r, cancel: cancel, buildCtx: builds, cancelBuilds: cancelBuilds, reports: make(chan report),
		builds: pool{free: r.opts.Jobs}, fetches: pool{free: r.opts.Fetches},
	}
	for _, t := range p.ordered {
		if t.waits == 0 && !r.failed[t.node] {
			s.enqueue(t)
		}
	}
	s.run(ctx)
	return s.finish(ctx, p.ordered)
}

func (r *rounds) estimate(n *dag.Node) time.Duration {
	if d := r.worker.Estimate(n); d > 0 {
		return d
	}
	return unknownDuration
}

// errStopped is the cause when a node's failure ends the run.
var errStopped = errors.New("stopped: another node failed")

// scheduler is one round's.
type scheduler struct {
	*rounds
	cancel       context.CancelCauseFunc
	buildCtx     context.Context // of all but downloads; it ends with theirs
	cancelBuilds context.CancelCauseFunc
	reports      chan report
	builds       pool
	fetches      pool
	working      int // goroutines
	replan       bool
	gone         bool // an artifact is: only the other downloads go on, to tell of all that are gone at once
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
	if t.take != nil || isFetch(t.node) {
		return &s.fetches
	}
	return &s.builds
}

// event is how events name the task: its node, and that it comes from a cache.
func (t *task) event() event.Node {
	n := EventNode(t.node)
	if t.take != nil {
		n.Kind = SubstituteKind
	}
	return n
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
		if s.buildCtx.Err() == nil {
			s.fill(s.buildCtx, &s.builds)
		}
		if ctx.Err() == nil {
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
		if s.gone && !isFetch(t.node) {
			p.free++
			continue
		}
		t.state = running
		s.working++
		if t.take != nil {
			ctx = s.buildCtx
		}
		go s.work(ctx, t)
	}
}

func (s *scheduler) work(ctx context.Context, t *task) {
	s.opts.Events(event.Started{Node: t.event()})
	began := time.Now()
	slot := &Slot{task: t, reports: s.reports, held: true}
	var done Done
	var err error
	if t.take != nil {
		done, err = s.worker.(Substituter).Substitute(ctx, t.node, t.take)
	} else {
		done, err = s.worker.Realise(ctx, t.node, slot)
	}
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
		Node: r.task.event(), Duration: r.took, Bytes: r.done.Bytes, LogPath: r.done.LogPath, Err: r.err,
	})
	if r.err != nil {
		s.failed(ctx, r)
		return
	}
	r.task.state = done
	if r.task.take != nil {
		s.result.Substituted = append(s.result.Substituted, r.task.node)
	} else if r.done.Reused {
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
	if cause := context.Cause(s.buildCtx); cause != nil && (errors.Is(r.err, cause) || errors.Is(r.err, s.buildCtx.Err())) {
		r.task.state = skipped // broken off
		return
	}
	if n := r.task.node; r.task.take != nil {
		r.task.state = skipped
		s.refused[n], s.replan = true, true
		s.opts.Events(event.Message{Level: event.Warning, Text: n.Name + " could not be substituted; it is built instead"})
		return
	}
	s.rounds.failed[r.task.node] = true
	r.task.state = failed
	s.result.Failed = append(s.result.Failed, Failure{Node: r.task.node, Err: r.err})
	switch {
	case s.opts.KeepGoing:
	case errors.As(r.err, new(artifact.Gone)):
		s.gone = true
		s.cancelBuilds(errStopped)
	default:
		s.cancel(errStopped)
	}
}

// finish says whether another round is needed, and what became of the tasks otherwise.
func (s *scheduler) finish(ctx context.Context, tasks []*task) (again bool, err error) {
	if s.replan && ctx.Err() == nil {
		return true, nil
	}
	for _, t := range tasks {
		if t.state != done && t.state != failed && !s.rounds.failed[t.node] {
			s.result.Skipped = append(s.result.Skipped, t.node)
		}
	}
	if err := context.Cause(ctx); err != nil && !errors.Is(err, errStopped) {
		return false, err
	}
	return false, s.result.err()
}

func (r *Result) sort() {
	byID := func(a, b *dag.Node) int { return cmp.Compare(a.ID(), b.ID()) }
	slices.SortFunc(r.Realised, byID)
	slices.SortFunc(r.Substituted, byID)
	slices.SortFunc(r.Reused, byID)
	slices.SortFunc(r.Skipped, byID)
	slices.SortFunc(r.Failed, func(a, b Failure) int { return byID(a.Node, b.Node) })
}

// err joins what went wrong with nodes.
func (r *Result) err() error {
	var errs []error
	for _, f := range slices.SortedFunc(slices.Values(r.Failed), func(a, b Failure) int { return cmp.Compare(a.Node.ID(), b.Node.ID()) }) {
		errs = append(errs, f.Err)
	}
	return errors.Join(errs...)
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
