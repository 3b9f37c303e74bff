package local

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"headwater/internal/dag"
	"headwater/internal/nix"
	"headwater/internal/nix/drv"
	"headwater/internal/store"
)

// Load makes the graph of derivations that are in a store, such as Nix put there.
func Load(ctx context.Context, s *store.Store, drvPaths ...nix.StorePath) ([]*dag.Node, error) {
	l := loader{store: s, nodes: map[nix.StorePath]*dag.Node{}}
	l.hasher.Resolve = func(p nix.StorePath) (*drv.Derivation, error) { return l.nodes[p].Drv, nil }
	closure, err := s.Closure(ctx, drvPaths, false)
	if err != nil {
		return nil, fmt.Errorf("load derivations: %w", err)
	}
	for _, p := range closure {
		if !p.IsDerivation() {
			continue
		}
		if err := l.read(p); err != nil {
			return nil, fmt.Errorf("load %s: %w", p, err)
		}
	}
	for _, p := range slices.Sorted(maps.Keys(l.nodes)) {
		if err := l.link(l.nodes[p]); err != nil {
			return nil, fmt.Errorf("load %s: %w", p, err)
		}
	}
	for _, p := range slices.Sorted(maps.Keys(l.nodes)) {
		if err := l.hasher.Check(l.nodes[p].Drv); err != nil {
			return nil, fmt.Errorf("load %s: %w", p, err)
		}
	}
	nodes := make([]*dag.Node, len(drvPaths))
	for i, p := range drvPaths {
		if nodes[i] = l.nodes[p]; nodes[i] == nil {
			return nil, fmt.Errorf("load %s: not a derivation", p)
		}
	}
	return nodes, nil
}

type loader struct {
	store  *store.Store
	hasher drv.Hasher
	nodes  map[nix.StorePath]*dag.Node
}

// read makes the node of one file. What the file says must belong to its path, so nodes cannot need one another in a circle.
func (l *loader) read(p nix.StorePath) error {
	text, err := os.ReadFile(l.store.RealPath(p))
	if err != nil {
		return err
	}
	d, err := drv.Parse(strings.TrimSuffix(p.Name(), ".drv"), text)
	if err != nil {
		return err
	}
	got, err := d.DrvPath()
	if err != nil {
		return err
	}
	if got != p {
		return fmt.Errorf("its content belongs to %s", got)
	}
	n := &dag.Node{Kind: dag.Build, Name: d.Name, Drv: d, DrvPath: p, Outputs: map[string]nix.StorePath{}}
	if d.Builder == "builtin:fetchurl" {
		n.Kind = dag.Fetch
	}
	for name, o := range d.Outputs {
		n.Outputs[name] = o.Path
	}
	l.nodes[p] = n
	return nil
}

// link finds the node's inputs. Sources are valid, since the derivation refers to them.
func (l *loader) link(n *dag.Node) error {
	for _, p := range slices.Sorted(maps.Keys(n.Drv.InputDrvs)) {
		in := l.nodes[p]
		if in == nil {
			return fmt.Errorf("input %s is not in the store", p)
		}
		for _, name := range n.Drv.InputDrvs[p] {
			if _, ok := in.Outputs[name]; !ok {
				return fmt.Errorf("input %s has no output %s", p, name)
			}
		}
		n.Inputs = append(n.Inputs, in)
	}
	return nil
}
