package local

import (
	"context"
	"fmt"
	"slices"

	"headwater/internal/dag"
	"headwater/internal/nix"
	"headwater/internal/store"
)

// writeDerivations sees to it that the .drv file of what is realised is in the store, with those that it names. The first
// call does it for all that the goals need, so that there is one transaction for most of them.
//
// A .drv refers to its sources. Where those are not there yet (a root that is still to be unpacked), it is written later,
// when its node is realised. Where sources of an input that is itself valid are gone, neither the input's .drv nor those that
// need it can be written; nothing but the record of how an output came about depends on that.
func (r *run) writeDerivations(ctx context.Context, n *dag.Node) error {
	r.drvMu.Lock()
	defer r.drvMu.Unlock()
	if r.written[n.DrvPath] {
		return nil
	}
	nodes := []*dag.Node{n}
	if len(r.written) == 0 {
		nodes = r.goals
	}
	lacking, err := r.lackingDerivations(ctx, nodes)
	if err != nil {
		return err
	}
	texts, paths, err := r.writable(ctx, lacking)
	if err != nil || len(texts) == 0 {
		return err
	}
	got, err := r.Store.AddTexts(ctx, texts)
	if err != nil {
		return err
	}
	for i, p := range got {
		if p != paths[i] {
			return fmt.Errorf("write %s: its content belongs to %s", paths[i], p)
		}
		r.written[p] = true
	}
	return nil
}

// lackingDerivations are those below nodes whose .drv files are not in the store, inputs first. Below one that is there, all
// are there.
func (r *run) lackingDerivations(ctx context.Context, nodes []*dag.Node) ([]*dag.Node, error) {
	lacks := map[*dag.Node]bool{} // false: no derivation itself
	for level := nodes; len(level) > 0; {
		var ask []nix.StorePath
		for _, n := range level {
			if n.Drv != nil && !r.written[n.DrvPath] {
				ask = append(ask, n.DrvPath)
			}
		}
		valid, err := r.Valid(ctx, ask)
		if err != nil {
			return nil, err
		}
		for _, p := range valid {
			r.written[p] = true
		}
		var next []*dag.Node
		for _, n := range level {
			if _, seen := lacks[n]; seen || n.Drv != nil && r.written[n.DrvPath] {
				continue
			}
			lacks[n] = n.Drv != nil
			next = append(next, n.Inputs...)
		}
		level = next
	}
	var ordered []*dag.Node
	visited := map[*dag.Node]bool{}
	var visit func(*dag.Node)
	visit = func(n *dag.Node) {
		if _, seen := lacks[n]; !seen || visited[n] {
			return
		}
		visited[n] = true
		for _, in := range n.Inputs {
			visit(in)
		}
		if lacks[n] {
			ordered = append(ordered, n)
		}
	}
	for _, n := range nodes {
		visit(n)
	}
	return ordered, nil
}

// writable are the files of those nodes all of whose references are there or written too.
func (r *run) writable(ctx context.Context, nodes []*dag.Node) (texts []store.Text, paths []nix.StorePath, err error) {
	var sources []nix.StorePath
	for _, n := range nodes {
		sources = append(sources, n.Drv.InputSrcs...)
	}
	valid, err := r.Store.Valid(ctx, sources...)
	if err != nil {
		return nil, nil, err
	}
	there := make(map[nix.StorePath]bool, len(valid))
	for _, p := range valid {
		there[p] = true
	}
	for _, n := range nodes {
		t := store.Text{Name: n.DrvPath.Name(), Refs: slices.Clone(n.Drv.InputSrcs)}
		for p := range n.Drv.InputDrvs {
			t.Refs = append(t.Refs, p)
		}
		if slices.ContainsFunc(t.Refs, func(p nix.StorePath) bool { return !there[p] && !r.written[p] }) {
			continue
		}
		slices.Sort(t.Refs) // a map has no order
		t.Content = string(n.Drv.Marshal())
		there[n.DrvPath] = true
		texts, paths = append(texts, t), append(paths, n.DrvPath)
	}
	return texts, paths, nil
}
