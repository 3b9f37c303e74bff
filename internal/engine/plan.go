package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"headwater/internal/dag"
	"headwater/internal/nix"
)

// task is a node that must be realised.
type task struct {
	node     *dag.Node
	waits    int     // inputs that are tasks and not done
	needed   []*task // by these
	critical time.Duration
	order    int // in which it was found; breaks ties
	state    state
	granted  chan struct{}   // see Slot
	take     []nix.StorePath // outputs to substitute; nil: the node is made
}

type state int

const (
	waiting state = iota
	ready
	running
	done
	failed
	skipped
)

// planner finds out what is missing.
type planner struct {
	valid   func(context.Context, []nix.StorePath) ([]nix.StorePath, error)
	offered func(context.Context, []nix.StorePath) ([]nix.StorePath, error) // see Substituter; nil: nothing is
	refused map[*dag.Node]bool                                              // not to be substituted: that failed
	tasks   map[*dag.Node]*task
	ordered []*task
	known   map[nix.StorePath]bool // wanted outputs: whether they are valid
}

// wish is a node and the paths of the outputs that are wanted of it.
type wish struct {
	node  *dag.Node
	paths []nix.StorePath
}

// plan lists what must be realised for the goals; with force, the goals themselves in any case. It goes from the goals
// down, one query for all nodes at the same distance, and never below a node that is valid or can be substituted.
func (p *planner) plan(ctx context.Context, goals []*dag.Node, force bool) error {
	level := make([]wish, 0, len(goals))
	for _, g := range goals {
		level = append(level, wish{g, allOutputs(g)})
	}
	for len(level) > 0 {
		if err := p.query(ctx, level); err != nil {
			return err
		}
		offered, err := p.substitutes(ctx, level, force)
		if err != nil {
			return err
		}
		var next []wish
		for _, w := range level {
			t := p.tasks[w.node]
			switch {
			case t == nil && !force && p.allValid(w.paths), t != nil && t.brings(p.lacking(w.paths)):
				continue
			case t == nil:
				t = &task{node: w.node, order: len(p.ordered), granted: make(chan struct{}, 1)}
				p.tasks[w.node], p.ordered = t, append(p.ordered, t)
			}
			if t.take = offered[w.node]; t.take != nil {
				continue // nobody needs its inputs
			}
			for _, in := range w.node.Inputs {
				next = append(next, wish{in, wantedOf(w.node, in)})
			}
		}
		level, force = next, false
	}
	p.link()
	return nil
}

func (p *planner) query(ctx context.Context, level []wish) error {
	var ask []nix.StorePath
	for _, w := range level {
		for _, path := range w.paths {
			if _, asked := p.known[path]; !asked {
				p.known[path] = false
				ask = append(ask, path)
			}
		}
	}
	if len(ask) == 0 {
		return nil
	}
	valid, err := p.valid(ctx, ask)
	if err != nil {
		return fmt.Errorf("look for what is there: %w", err)
	}
	for _, path := range valid {
		p.known[path] = true
	}
	return nil
}

// substitutes finds the nodes of a level whose missing outputs can all be substituted, and which outputs those are.
func (p *planner) substitutes(ctx context.Context, level []wish, force bool) (map[*dag.Node][]nix.StorePath, error) {
	if p.offered == nil || force {
		return nil, nil
	}
	want := map[*dag.Node][]nix.StorePath{}
	var ask []nix.StorePath
	for _, w := range level {
		missing, t := p.lacking(w.paths), p.tasks[w.node]
		if len(missing) == 0 || t != nil && t.brings(missing) || p.refused[w.node] || !substitutable(w.node) {
			continue
		}
		if t != nil && want[w.node] == nil { // it brings some, more are wanted
			missing = append(missing, t.take...)
		}
		want[w.node] = append(want[w.node], missing...)
		ask = append(ask, missing...)
	}
	if len(ask) == 0 {
		return nil, nil
	}
	list, err := p.offered(ctx, distinct(ask))
	if err != nil {
		return nil, fmt.Errorf("look for substitutes: %w", err)
	}
	offered := make(map[nix.StorePath]bool, len(list))
	for _, path := range list {
		offered[path] = true
	}
	for n, paths := range want {
		want[n] = distinct(paths)
		if slices.ContainsFunc(paths, func(path nix.StorePath) bool { return !offered[path] }) {
			delete(want, n)
		}
	}
	return want, nil
}

func distinct(paths []nix.StorePath) []nix.StorePath {
	return slices.Compact(slices.Sorted(slices.Values(paths)))
}

// brings tells whether the task makes all of the paths valid: it makes all outputs, or substitutes these.
func (t *task) brings(paths []nix.StorePath) bool {
	return t.take == nil || !slices.ContainsFunc(paths, func(path nix.StorePath) bool { return !slices.Contains(t.take, path) })
}

// substitutable tells what is worth asking others for: not what is at hand, the source and small files, nor what says that it is
// to be built here.
func substitutable(n *dag.Node) bool {
	if n.Drv == nil {
		return n.Kind != dag.Src && n.Kind != dag.Text
	}
	const name = "allowSubstitutes" // true if it is not there
	attrs, err := n.Drv.Attrs()
	if err != nil {
		return false // building it will tell
	}
	_, set := n.Drv.Env[name]
	if structured := attrs.Structured(); structured != nil {
		_, set = structured[name]
	}
	allowed, err := attrs.Bool(name)
	return err == nil && (allowed || !set)
}

// lacking are those of the paths that are not valid.
func (p *planner) lacking(paths []nix.StorePath) []nix.StorePath {
	return slices.DeleteFunc(slices.Clone(paths), func(path nix.StorePath) bool { return p.known[path] })
}

func (p *planner) allValid(paths []nix.StorePath) bool {
	return !slices.ContainsFunc(paths, func(path nix.StorePath) bool { return !p.known[path] })
}

// link tells each task what waits for it.
func (p *planner) link() {
	for _, t := range p.ordered {
		if t.take != nil {
			continue
		}
		for _, in := range t.node.Inputs {
			if need := p.tasks[in]; need != nil {
				t.waits++
				need.needed = append(need.needed, t)
			}
		}
	}
}

// weigh gives each task the length of the longest way from it to a goal. What stands on the longest way is made first.
func (p *planner) weigh(estimate func(*dag.Node) time.Duration) error {
	left := make(map[*task]int, len(p.ordered)) // users not weighed yet
	users := make(map[*task]time.Duration, len(p.ordered))
	var queue []*task
	for _, t := range p.ordered {
		if left[t] = len(t.needed); left[t] == 0 {
			queue = append(queue, t)
		}
	}
	for i := 0; i < len(queue); i++ {
		t := queue[i]
		t.critical = users[t] + max(estimate(t.node), 1)
		for _, in := range t.node.Inputs {
			need := p.tasks[in]
			if need == nil || t.take != nil {
				continue
			}
			users[need] = max(users[need], t.critical)
			if left[need]--; left[need] == 0 {
				queue = append(queue, need)
			}
		}
	}
	if len(queue) != len(p.ordered) {
		return errors.New("plan: nodes need one another in a circle")
	}
	return nil
}

// wantedOf are the paths of in that n needs.
func wantedOf(n, in *dag.Node) []nix.StorePath {
	if n.Drv == nil || in.Drv == nil {
		return allOutputs(in)
	}
	names, ok := n.Drv.InputDrvs[in.DrvPath]
	if !ok {
		return allOutputs(in)
	}
	var paths []nix.StorePath
	for _, name := range names {
		if p, ok := in.Outputs[name]; ok {
			paths = append(paths, p)
		}
	}
	return paths
}

func allOutputs(n *dag.Node) []nix.StorePath {
	paths := make([]nix.StorePath, 0, len(n.Outputs))
	for _, p := range n.Outputs {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	return paths
}

// Count is the number of nodes of the whole graph.
func Count(goals []*dag.Node) int {
	seen := make(map[*dag.Node]bool, len(goals))
	var visit func([]*dag.Node)
	visit = func(nodes []*dag.Node) {
		for _, n := range nodes {
			if !seen[n] {
				seen[n] = true
				visit(n.Inputs)
			}
		}
	}
	visit(goals)
	return len(seen)
}
