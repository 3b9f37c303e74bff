package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/nix"
	"headwater/internal/nix/drv"
)

// simulation is a Worker whose work is to sleep.
type simulation struct {
	durations map[*dag.Node]time.Duration
	fails     map[*dag.Node]bool
	yields    map[*dag.Node]time.Duration // waits for another process first
	there     map[nix.StorePath]bool

	mu      sync.Mutex
	gone    map[*dag.Node]bool
	queries int
	spans   map[*dag.Node]*span
	faults  []string
}

type span struct{ start, end time.Time }

func (s *simulation) Valid(_ context.Context, paths []nix.StorePath) ([]nix.StorePath, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queries++
	return slices.DeleteFunc(slices.Clone(paths), func(p nix.StorePath) bool { return !s.there[p] }), nil
}

func (s *simulation) Estimate(n *dag.Node) time.Duration { return s.durations[n] }

func (s *simulation) Realise(ctx context.Context, n *dag.Node, slot *engine.Slot) (engine.Done, error) {
	s.mu.Lock()
	if s.spans[n] != nil {
		s.faults = append(s.faults, n.Name+" was made twice")
	}
	s.spans[n] = &span{start: time.Now()}
	for _, in := range n.Inputs {
		if !s.there[in.Path()] {
			s.faults = append(s.faults, n.Name+" was made before "+in.Name)
		}
	}
	s.mu.Unlock()
	if d := s.yields[n]; d > 0 {
		if err := slot.Yield(ctx, func() error { return sleep(ctx, d) }); err != nil {
			return engine.Done{}, err
		}
	}
	err := sleep(ctx, s.durations[n])
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spans[n].end = time.Now()
	if err != nil {
		return engine.Done{}, err
	}
	if s.gone[n] {
		return engine.Done{}, fmt.Errorf("fetch: %w", goneError{n.Name})
	}
	if s.fails[n] {
		return engine.Done{}, fmt.Errorf("%s failed", n.Name)
	}
	s.there[n.Path()] = true
	return engine.Done{}, nil
}

type goneError struct{ name string }

func (e goneError) Error() string { return e.name + " is gone" }
func (goneError) Gone()           {}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func node(name string, inputs ...*dag.Node) *dag.Node {
	p := func(suffix string) nix.StorePath {
		sum := nix.Sum(nix.SHA256, []byte(name+suffix))
		return nix.StorePath(nix.StoreDir + "/" + sum.Base32()[:32] + "-" + name + suffix)
	}
	n := &dag.Node{Name: name, Drv: &drv.Derivation{Builder: "/b", InputDrvs: map[nix.StorePath][]string{}}, DrvPath: p(".drv"),
		Outputs: map[string]nix.StorePath{"out": p("")}, Inputs: inputs}
	for _, in := range inputs {
		n.Drv.InputDrvs[in.DrvPath] = []string{"out"}
	}
	return n
}

// world is a random graph and what there is of it.
type world struct {
	nodes []*dag.Node
	goals []*dag.Node
	sim   *simulation
}

func drawWorld(t *rapid.T, failures, yields bool) world {
	n := rapid.IntRange(1, 25).Draw(t, "nodes")
	w := world{sim: &simulation{durations: map[*dag.Node]time.Duration{}, fails: map[*dag.Node]bool{},
		yields: map[*dag.Node]time.Duration{}, there: map[nix.StorePath]bool{}, spans: map[*dag.Node]*span{}}}
	for i := range n {
		var inputs []*dag.Node
		for j := range i {
			if rapid.IntRange(0, 3).Draw(t, "edge") == 0 {
				inputs = append(inputs, w.nodes[j])
			}
		}
		nd := node(fmt.Sprintf("n%d", i), inputs...)
		w.nodes = append(w.nodes, nd)
		w.sim.durations[nd] = time.Duration(rapid.IntRange(1, 9).Draw(t, "seconds")) * time.Second
		if failures && rapid.IntRange(0, 5).Draw(t, "fails") == 0 {
			w.sim.fails[nd] = true
		}
		if yields && rapid.IntRange(0, 5).Draw(t, "yields") == 0 {
			w.sim.yields[nd] = time.Duration(rapid.IntRange(1, 9).Draw(t, "wait")) * time.Second
		}
		if rapid.IntRange(0, 4).Draw(t, "there") == 0 {
			w.sim.there[nd.Path()] = true
		}
	}
	for range rapid.IntRange(1, 3).Draw(t, "goals") {
		g := w.nodes[rapid.IntRange(0, n-1).Draw(t, "goal")]
		if !slices.Contains(w.goals, g) {
			w.goals = append(w.goals, g)
		}
	}
	return w
}

// missing is what must be made, worked out the slow way.
func (w world) missing() map[*dag.Node]bool {
	m := map[*dag.Node]bool{}
	var visit func(*dag.Node)
	visit = func(n *dag.Node) {
		if w.sim.there[n.Path()] {
			return
		}
		m[n] = true
		for _, in := range n.Inputs {
			visit(in)
		}
	}
	for _, g := range w.goals {
		visit(g)
	}
	return m
}

func names(nodes []*dag.Node) []string {
	out := []string{}
	for _, n := range nodes {
		out = append(out, n.Name)
	}
	slices.Sort(out)
	return out
}

func keys(m map[*dag.Node]bool) []string {
	var nodes []*dag.Node
	for n := range m {
		nodes = append(nodes, n)
	}
	return names(nodes)
}

// inBubble runs f with a fake clock.
func inBubble(t *testing.T, f func(ctx context.Context)) {
	synctest.Test(t, func(t *testing.T) { f(t.Context()) })
}

func TestScheduleMakesWhatIsMissingOnceInOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt, false, true)
		want := w.missing()
		jobs := rapid.IntRange(1, 4).Draw(rt, "jobs")
		var result engine.Result
		var err error
		inBubble(t, func(ctx context.Context) {
			result, err = engine.Schedule(ctx, w.goals, w.sim, engine.Options{Jobs: jobs})
		})
		if err != nil || len(w.sim.faults) > 0 {
			rt.Fatal(err, w.sim.faults)
		}
		if d := cmp.Diff(keys(want), names(result.Realised)); d != "" {
			rt.Error(d)
		}
		if len(result.Failed)+len(result.Skipped)+len(result.Reused) > 0 {
			rt.Errorf("%+v", result)
		}
	})
}

// cached is a Worker that can substitute.
type cached struct {
	*simulation
	offers, lies map[nix.StorePath]bool
	took         []string
}

func (c *cached) Substitutable(_ context.Context, paths []nix.StorePath) ([]nix.StorePath, error) {
	for _, p := range paths {
		if c.there[p] {
			c.faults = append(c.faults, "asked for "+p.Name()+", which is there")
		}
	}
	return slices.DeleteFunc(slices.Clone(paths), func(p nix.StorePath) bool { return !c.offers[p] }), nil
}

func (c *cached) Substitute(ctx context.Context, n *dag.Node, paths []nix.StorePath) (engine.Done, error) {
	if err := sleep(ctx, time.Second); err != nil {
		return engine.Done{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range paths {
		if c.lies[p] {
			return engine.Done{}, errors.New("lied")
		}
		c.there[p] = true
	}
	c.took = append(c.took, n.Name)
	return engine.Done{}, nil
}

// What others have is taken from them, and what it needs is not made; where that fails, it is made after all.
func TestScheduleSubstitutes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt, false, true)
		c := &cached{simulation: w.sim, offers: map[nix.StorePath]bool{}, lies: map[nix.StorePath]bool{}}
		for _, n := range w.nodes {
			c.offers[n.Path()] = rapid.IntRange(0, 2).Draw(rt, "offered") == 0
			c.lies[n.Path()] = c.offers[n.Path()] && rapid.IntRange(0, 2).Draw(rt, "lie") == 0
		}
		var making, taking = map[*dag.Node]bool{}, map[*dag.Node]bool{}
		var visit func(*dag.Node)
		visit = func(n *dag.Node) {
			switch p := n.Path(); {
			case w.sim.there[p]:
			case c.offers[p] && !c.lies[p]:
				taking[n] = true
			default:
				making[n] = true
				for _, in := range n.Inputs {
					visit(in)
				}
			}
		}
		for _, g := range w.goals {
			visit(g)
		}
		var result engine.Result
		var err error
		inBubble(t, func(ctx context.Context) {
			result, err = engine.Schedule(ctx, w.goals, c, engine.Options{Jobs: 2})
		})
		if err != nil || len(w.sim.faults) > 0 {
			rt.Fatal(err, w.sim.faults)
		}
		if d := cmp.Diff([][]string{keys(making), keys(taking)}, [][]string{names(result.Realised), names(result.Substituted)}); d != "" {
			rt.Error(d)
		}
		slices.Sort(c.took)
		if d := cmp.Diff(keys(taking), append([]string{}, c.took...)); d != "" {
			rt.Error(d)
		}
		if len(result.Failed)+len(result.Skipped)+len(result.Reused) > 0 {
			rt.Errorf("%+v", result)
		}
	})
}

// A lie of the cache and a builder's failure in one run: each node fails once, and what can be made is.
func TestScheduleReplansBesidesFailures(t *testing.T) {
	inBubble(t, func(ctx context.Context) {
		broken, low := node("broken"), node("low")
		high, above := node("high", low), node("above", broken)
		c := &cached{
			simulation: &simulation{fails: map[*dag.Node]bool{broken: true}, there: map[nix.StorePath]bool{}, spans: map[*dag.Node]*span{}},
			offers:     map[nix.StorePath]bool{high.Path(): true}, lies: map[nix.StorePath]bool{high.Path(): true},
		}
		r, err := engine.Schedule(ctx, []*dag.Node{high, above}, c, engine.Options{KeepGoing: true})
		if err == nil || len(c.faults) > 0 {
			t.Fatal(err, c.faults)
		}
		if d := cmp.Diff([][]string{{"high", "low"}, {"above"}}, [][]string{names(r.Realised), names(r.Skipped)}); d != "" || len(r.Failed) != 1 {
			t.Errorf("%s%v", d, r.Failed)
		}
	})
}

// Of a node with several outputs only the wanted are substituted, also if others turn out to be wanted later.
func TestScheduleSubstitutesOutputs(t *testing.T) {
	for name, offered := range map[string]bool{"both": true, "one": false} {
		t.Run(name, func(t *testing.T) {
			low := node("low")
			low.Outputs["dev"] = node("low-dev").Path()
			below := node("below", low)
			below.Drv.InputDrvs[low.DrvPath] = []string{"dev"}
			goal := node("goal", low, below)
			c := &cached{
				simulation: &simulation{there: map[nix.StorePath]bool{}, spans: map[*dag.Node]*span{}},
				offers:     map[nix.StorePath]bool{low.Path(): true, low.Outputs["dev"]: offered},
			}
			r, err := engine.Schedule(t.Context(), []*dag.Node{goal}, c, engine.Options{})
			if err != nil || len(c.faults) > 0 {
				t.Fatal(err, c.faults)
			}
			if got := names(r.Substituted); offered != slices.Equal(got, []string{"low"}) {
				t.Errorf("substituted %v", got)
			}
			if offered && !c.there[low.Outputs["dev"]] {
				t.Error("an output is missing")
			}
		})
	}
}

func TestScheduleDoesNotSubstituteWhatIsToBeBuilt(t *testing.T) {
	n := node("n")
	n.Drv.Env = map[string]string{"allowSubstitutes": ""}
	src := &dag.Node{Kind: dag.Src, Name: "src", Outputs: node("src").Outputs}
	c := &cached{
		simulation: &simulation{there: map[nix.StorePath]bool{}, spans: map[*dag.Node]*span{}},
		offers:     map[nix.StorePath]bool{n.Path(): true, src.Path(): true},
	}
	r, err := engine.Schedule(t.Context(), []*dag.Node{n, src}, c, engine.Options{})
	if err != nil || len(r.Substituted) > 0 || len(r.Realised) != 2 {
		t.Errorf("%v, %+v", err, r)
	}
}

// At no moment is a slot free while a node could be worked on, and never are more slots taken than there are.
func TestScheduleLeavesNoSlotIdle(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt, false, false)
		todo := w.missing()
		jobs := rapid.IntRange(1, 4).Draw(rt, "jobs")
		var err error
		var began time.Time
		inBubble(t, func(ctx context.Context) {
			began = time.Now()
			_, err = engine.Schedule(ctx, w.goals, w.sim, engine.Options{Jobs: jobs})
		})
		if err != nil {
			rt.Fatal(err)
		}
		moments := []time.Time{began}
		for n := range todo {
			moments = append(moments, w.sim.spans[n].end)
		}
		for _, at := range moments {
			at = at.Add(time.Millisecond) // durations are whole seconds
			running, idle := 0, 0
			for n := range todo {
				s := w.sim.spans[n]
				inputsDone := !slices.ContainsFunc(n.Inputs, func(in *dag.Node) bool { return todo[in] && w.sim.spans[in].end.After(at) })
				switch {
				case s.start.Before(at) && s.end.After(at):
					running++
				case s.start.After(at) && inputsDone:
					idle++
				}
			}
			if running > jobs || running < jobs && idle > 0 {
				rt.Fatalf("at %v: %d of %d slots taken, %d nodes ready", at.Sub(began), running, jobs, idle)
			}
		}
	})
}

func TestScheduleKeepsGoingPastFailures(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt, true, true)
		todo := w.missing()
		broken := map[*dag.Node]bool{} // cannot be made: an input fails or cannot be made
		var failed, skipped, made []*dag.Node
		for _, n := range w.nodes {
			if !todo[n] {
				continue
			}
			switch {
			case slices.ContainsFunc(n.Inputs, func(in *dag.Node) bool { return broken[in] }):
				broken[n] = true
				skipped = append(skipped, n)
			case w.sim.fails[n]:
				broken[n] = true
				failed = append(failed, n)
			default:
				made = append(made, n)
			}
		}
		var result engine.Result
		var err error
		inBubble(t, func(ctx context.Context) {
			result, err = engine.Schedule(ctx, w.goals, w.sim, engine.Options{Jobs: 3, KeepGoing: true})
		})
		var gotFailed []*dag.Node
		for _, f := range result.Failed {
			gotFailed = append(gotFailed, f.Node)
		}
		if d := cmp.Diff([][]string{names(made), names(failed), names(skipped)},
			[][]string{names(result.Realised), names(gotFailed), names(result.Skipped)}); d != "" {
			rt.Error(d)
		}
		if (err != nil) != (len(failed) > 0) || len(w.sim.faults) > 0 {
			rt.Error(err, w.sim.faults)
		}
	})
}

// The first failure ends the run: what works is broken off, nothing new begins, and every node is accounted for.
func TestScheduleStopsAtAFailure(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt, true, true)
		todo := w.missing()
		var result engine.Result
		var err error
		var end time.Time
		inBubble(t, func(ctx context.Context) {
			result, err = engine.Schedule(ctx, w.goals, w.sim, engine.Options{Jobs: 3})
			end = time.Now()
		})
		if len(result.Realised)+len(result.Failed)+len(result.Skipped) != len(todo) {
			rt.Errorf("%d nodes, %+v", len(todo), result)
		}
		if (err != nil) != (len(result.Failed) > 0) {
			rt.Error(err, result.Failed)
		}
		for _, f := range result.Failed {
			if at := w.sim.spans[f.Node].end; !at.Equal(end) {
				rt.Errorf("%s failed at %v, the run ended at %v", f.Node.Name, at, end)
			}
		}
	})
}

func TestScheduleStopsWhenCancelled(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt, false, true)
		todo := w.missing()
		after := time.Duration(rapid.IntRange(0, 30).Draw(rt, "cancel after")) * time.Second
		why := errors.New("enough")
		var result engine.Result
		var err error
		var took time.Duration
		inBubble(t, func(ctx context.Context) {
			ctx, cancel := context.WithCancelCause(ctx)
			began := time.Now()
			timer := time.AfterFunc(after+time.Millisecond, func() { cancel(why) })
			defer timer.Stop()
			result, err = engine.Schedule(ctx, w.goals, w.sim, engine.Options{Jobs: 2})
			took = time.Since(began)
		})
		if took > after+time.Millisecond {
			rt.Errorf("ended after %v, cancelled after %v", took, after)
		}
		if len(result.Realised)+len(result.Skipped) != len(todo) || len(result.Failed) > 0 {
			rt.Errorf("%d nodes, %+v", len(todo), result)
		}
		if want := len(result.Skipped) > 0; want != errors.Is(err, why) {
			rt.Errorf("error %v, skipped %d", err, len(result.Skipped))
		}
	})
}

// Downloads do not take builders' slots.
func TestScheduleFetchesBesidesBuilds(t *testing.T) {
	inBubble(t, func(ctx context.Context) {
		sim := &simulation{durations: map[*dag.Node]time.Duration{}, there: map[nix.StorePath]bool{}, spans: map[*dag.Node]*span{}}
		var goals []*dag.Node
		for i := range 10 {
			n := node(fmt.Sprintf("n%d", i))
			if i < 8 {
				n.Drv.Builder = "builtin:fetchurl"
			}
			sim.durations[n] = time.Second
			goals = append(goals, n)
		}
		began := time.Now()
		if _, err := engine.Schedule(ctx, goals, sim, engine.Options{Jobs: 1, Fetches: 4}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("took %v, want 2s", took)
		}
	})
}

// What stands on the longest way comes first.
func TestSchedulePrefersTheCriticalPath(t *testing.T) {
	inBubble(t, func(ctx context.Context) {
		sim := &simulation{durations: map[*dag.Node]time.Duration{}, there: map[nix.StorePath]bool{}, spans: map[*dag.Node]*span{}}
		short, long := node("short"), node("long")
		last := node("last", long)
		sim.durations[short], sim.durations[long], sim.durations[last] = 5*time.Second, time.Second, 9*time.Second
		began := time.Now()
		if _, err := engine.Schedule(ctx, []*dag.Node{short, last}, sim, engine.Options{Jobs: 2}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("took %v, want 10s", took)
		}
		sim.there = map[nix.StorePath]bool{}
		sim.spans = map[*dag.Node]*span{}
		if _, err := engine.Schedule(ctx, []*dag.Node{short, last}, sim, engine.Options{Jobs: 1}); err != nil {
			t.Fatal(err)
		}
		if !sim.spans[short].start.After(sim.spans[long].start) {
			t.Error("the short way was begun first")
		}
	})
}

func TestScheduleAsksOnceWhenNothingIsToDo(t *testing.T) {
	sim := &simulation{there: map[nix.StorePath]bool{}}
	goal := chain(2000)
	sim.there[goal.Path()] = true
	if _, err := engine.Schedule(t.Context(), []*dag.Node{goal}, sim, engine.Options{}); err != nil {
		t.Fatal(err)
	}
	if sim.queries != 1 {
		t.Errorf("asked %d times", sim.queries)
	}
}

func TestScheduleRejectsACircle(t *testing.T) {
	a, b := node("a"), node("b")
	a.Inputs, b.Inputs = []*dag.Node{b}, []*dag.Node{a}
	sim := &simulation{there: map[nix.StorePath]bool{}}
	if _, err := engine.Schedule(t.Context(), []*dag.Node{a}, sim, engine.Options{}); err == nil {
		t.Error("no error")
	}
}

// An error that looks like a cancelled context's, while the run is not cancelled, is a failure like any other.
func TestScheduleTakesForeignCancellationForFailure(t *testing.T) {
	w := canceller{&simulation{there: map[nix.StorePath]bool{}}}
	r, err := engine.Schedule(t.Context(), []*dag.Node{node("a")}, w, engine.Options{})
	if err == nil || len(r.Failed) != 1 {
		t.Errorf("error %v, %+v", err, r)
	}
}

type canceller struct{ *simulation }

func (canceller) Realise(context.Context, *dag.Node, *engine.Slot) (engine.Done, error) {
	return engine.Done{}, context.Canceled
}

func chain(n int) *dag.Node {
	var last *dag.Node
	for i := range n {
		if last == nil {
			last = node("c0")
			continue
		}
		last = node(fmt.Sprintf("c%d", i), last)
	}
	return last
}

func BenchmarkNothingToDo(b *testing.B) {
	sim := &simulation{there: map[nix.StorePath]bool{}}
	goal := chain(2000)
	sim.there[goal.Path()] = true
	for b.Loop() {
		if _, err := engine.Schedule(b.Context(), []*dag.Node{goal}, sim, engine.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

// Once an artifact is gone nothing is built any more, but all downloads are tried, so that whatever is gone is told at once. Another
// failure ends the run as ever.
func TestScheduleFindsAllThatIsGone(t *testing.T) {
	for name, c := range map[string]struct {
		fails, want []string
	}{
		"gone alone":      {nil, []string{"f1", "f3", "f5"}},
		"network is down": {[]string{"f4"}, []string{"f1", "f4"}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(ctx context.Context) {
				sim := &simulation{
					durations: map[*dag.Node]time.Duration{}, gone: map[*dag.Node]bool{}, fails: map[*dag.Node]bool{},
					there: map[nix.StorePath]bool{}, spans: map[*dag.Node]*span{},
				}
				long := node("long")
				sim.durations[long] = time.Hour
				inputs := []*dag.Node{long}
				for i := range 8 {
					f := node(fmt.Sprint("f", i))
					f.Drv.Builder = "builtin:fetchurl"
					sim.durations[f], sim.gone[f] = time.Duration(i+1)*time.Second, i == 1 || i == 3 || i == 5
					if sim.fails[f] = slices.Contains(c.fails, f.Name); sim.fails[f] {
						sim.durations[f] = 2500 * time.Millisecond
					}
					inputs = append(inputs, f)
				}
				began := time.Now()
				r, err := engine.Schedule(ctx, []*dag.Node{node("goal", inputs...)}, sim, engine.Options{})
				if err == nil || len(sim.faults) > 0 {
					t.Fatal(err, sim.faults)
				}
				var failed []string
				for _, f := range r.Failed {
					failed = append(failed, f.Node.Name)
				}
				slices.Sort(failed)
				if d := cmp.Diff(c.want, failed); d != "" {
					t.Error(d)
				}
				if took := time.Since(began); took > time.Minute {
					t.Errorf("a build went on for %v", took)
				}
			})
		})
	}
}
