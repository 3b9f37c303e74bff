package daemon

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"headwater/internal/dag"
	"headwater/internal/nix"
)

// object is something to upload: a node's one output, or its .drv file.
type object struct {
	node *dag.Node
	drv  bool
}

func (o object) path() nix.StorePath {
	if o.drv {
		return o.node.DrvPath
	}
	return o.node.Path()
}

// refersTo are the objects that must be there before o.
func (o object) refersTo() (objects []object) {
	for _, in := range o.node.Inputs {
		switch {
		case o.drv && in.Drv != nil:
			objects = append(objects, object{in, true})
		case o.drv || o.node.Content != nil && o.node.Content.ContentAddress().Method == nix.Text:
			objects = append(objects, object{in, false})
		}
	}
	return objects
}

// plan is what a daemon needs to have the goals.
type plan struct {
	build   map[*dag.Node][]string // by the daemon: which outputs, sorted
	check   []*dag.Node            // goals that it has, to be built again
	objects []object               // to upload, what they refer to first
	before  []*dag.Node            // derivations to realise before, since texts refer to their outputs
}

// uploaded reports whether a node's output is made here, or is here already, and uploaded: all but what only a build can give.
func uploaded(n *dag.Node) bool { return n.Drv == nil || n.Drv.Builder == "builtin:fetchurl" }

// planner walks from the goals down, with two questions to the daemon for all that is at the same distance: what is there
// already, and, for what only a build can give, what it can take from its own binary caches. It never goes below an output
// or a .drv file that is there: what a valid path refers to is valid.
type planner struct {
	run    *run
	known  map[nix.StorePath]bool // asked for: whether it is valid
	build  map[*dag.Node]map[string]bool
	upload map[object]bool
	quoted map[*dag.Node]bool // derivations: texts to upload refer to their outputs
}

// step is something that the walk is at: outputs of a node that are wanted, or, without any, its .drv file.
type step struct {
	node    *dag.Node
	outputs []string
	force   bool // build it though it is there
	quoted  bool // a text refers to it: it must be there before the text is uploaded
}

func (r *run) plan(ctx context.Context, goals []*dag.Node) (*plan, error) {
	p := planner{
		run: r, known: map[nix.StorePath]bool{}, build: map[*dag.Node]map[string]bool{}, upload: map[object]bool{},
		quoted: map[*dag.Node]bool{},
	}
	var level []step
	for _, g := range goals {
		level = append(level, step{node: g, outputs: outputNames(g), force: r.opts.Check})
	}
	for len(level) > 0 {
		if err := p.ask(ctx, level); err != nil {
			return nil, err
		}
		var next []step
		for _, s := range level {
			next = append(next, p.visit(s)...)
		}
		level = next
	}
	out := &plan{build: map[*dag.Node][]string{}, objects: p.ordered()}
	var err error
	if out.before, err = p.before(ctx); err != nil {
		return nil, err
	}
	for n, outputs := range p.build {
		out.build[n] = slices.Sorted(maps.Keys(outputs))
	}
	if r.opts.Check {
		for _, g := range goals {
			if p.allValid(g, outputNames(g)) {
				delete(out.build, g)
				out.check = append(out.check, g)
			}
		}
	}
	return out, nil
}

// before are the derivations whose outputs texts refer to, but for those that are both there and here: writing the text takes
// them as well.
func (p *planner) before(ctx context.Context) (nodes []*dag.Node, err error) {
	for n := range p.quoted {
		here, err := p.run.valid(ctx, n)
		if err != nil {
			return nil, err
		}
		if !here || !p.allValid(n, outputNames(n)) {
			nodes = append(nodes, n)
		}
	}
	sortNodes(nodes)
	return nodes, nil
}

func outputNames(n *dag.Node) []string { return slices.Sorted(maps.Keys(n.Outputs)) }

func (p *planner) allValid(n *dag.Node, outputs []string) bool {
	return !slices.ContainsFunc(outputs, func(o string) bool { return !p.known[n.Outputs[o]] })
}

// ask looks all up that the steps may stop at.
func (p *planner) ask(ctx context.Context, level []step) error {
	var plain, substitutable []nix.StorePath
	add := func(list *[]nix.StorePath, path nix.StorePath) {
		if _, asked := p.known[path]; !asked {
			p.known[path] = false
			*list = append(*list, path)
		}
	}
	for _, s := range level {
		if len(s.outputs) == 0 {
			add(&plain, s.node.DrvPath)
		}
		for _, o := range s.outputs {
			if uploaded(s.node) && s.node.Kind != dag.Path {
				add(&plain, s.node.Outputs[o])
			} else {
				add(&substitutable, s.node.Outputs[o])
			}
		}
	}
	if err := p.look(ctx, plain, false); err != nil {
		return err
	}
	return p.look(ctx, substitutable, true)
}

// look asks the daemon.
func (p *planner) look(ctx context.Context, paths []nix.StorePath, substitute bool) error {
	if len(paths) == 0 {
		return nil
	}
	// First: what is valid then stays valid.
	err := p.run.client.AddTempRoots(ctx, paths)
	var valid []nix.StorePath
	if err == nil {
		valid, err = p.run.client.QueryValidPaths(ctx, paths, substitute)
	}
	for _, v := range valid {
		p.known[v] = true
	}
	return p.run.fault(ctx, err)
}

// visit tells what else is needed.
func (p *planner) visit(s step) (next []step) {
	n := s.node
	if s.quoted && !uploaded(n) {
		p.quoted[n] = true
	}
	switch {
	case len(s.outputs) == 0:
		return p.file(object{n, true})
	case uploaded(n):
		if p.known[n.Path()] {
			return nil
		}
		return p.file(object{n, false})
	case !s.force && p.allValid(n, s.outputs):
		return nil
	}
	first := p.build[n] == nil
	if first {
		p.build[n] = map[string]bool{}
	}
	for _, o := range s.outputs {
		p.build[n][o] = true
	}
	if !first {
		return nil
	}
	next = append(next, step{node: n}) // its .drv
	for _, in := range n.Inputs {
		outputs := outputNames(in)
		if in.Drv != nil {
			outputs = n.Drv.InputDrvs[in.DrvPath]
		}
		next = append(next, step{node: in, outputs: outputs})
	}
	return next
}

// file is for what is uploaded as it is. If it is not there, what it refers to must be.
func (p *planner) file(o object) (next []step) {
	if p.known[o.path()] || p.upload[o] {
		return nil
	}
	p.upload[o] = true
	for _, ref := range o.refersTo() {
		s := step{node: ref.node}
		if !ref.drv {
			s.outputs, s.quoted = outputNames(ref.node), true
		}
		next = append(next, s)
	}
	return next
}

// ordered are the objects to upload, what they refer to first, in an order that depends on the graph alone.
func (p *planner) ordered() []object {
	var list []object
	done := map[object]bool{}
	var visit func(object)
	visit = func(o object) {
		if !p.upload[o] || done[o] {
			return
		}
		done[o] = true
		for _, ref := range o.refersTo() {
			visit(ref)
		}
		list = append(list, o)
	}
	all := slices.Collect(maps.Keys(p.upload))
	slices.SortFunc(all, func(a, b object) int { return cmp.Compare(a.path(), b.path()) })
	for _, o := range all {
		visit(o)
	}
	return list
}

// without takes out all that needs one of the nodes that could not be made.
func (p *plan) without(broken []*dag.Node) {
	tainted := map[*dag.Node]bool{}
	for _, n := range broken {
		tainted[n] = true
	}
	var visit func(*dag.Node) bool
	visit = func(n *dag.Node) bool {
		bad, known := tainted[n]
		if known {
			return bad
		}
		for _, in := range n.Inputs {
			bad = visit(in) || bad
		}
		tainted[n] = bad
		return bad
	}
	p.objects = slices.DeleteFunc(p.objects, func(o object) bool { return visit(o.node) })
	p.check = slices.DeleteFunc(p.check, visit)
	maps.DeleteFunc(p.build, func(n *dag.Node, _ []string) bool { return visit(n) })
}
