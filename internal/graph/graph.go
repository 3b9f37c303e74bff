// Package graph turns a recipe, its lock and the source into the graph of derivations whose last node is the package.
//
// It is a function of those three: it does no I/O but reading the source. What is built how is the ecosystems' business;
// this package walks the components in order, gives each its root, its sources and what it uses, and assembles the package.
package graph

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"headwater/internal/dag"
	"headwater/internal/ecosystem"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/pathroot"
	"headwater/internal/recipe"
	"headwater/internal/rootfs"
	"headwater/internal/source"
)

// Input is what a graph is made of.
type Input struct {
	Recipe     *recipe.Recipe
	Lock       *lock.File
	Source     *source.Tree
	Ecosystems []ecosystem.Ecosystem
}

// Graph is a service's build graph.
type Graph struct {
	Package    *dag.Node
	Components map[string]*dag.Node // by the recipe's names
	Roots      map[string]*dag.Node // by the recipe's names
	Nodes      []*dag.Node          // all of them, sorted by ID
}

// StaleLockError says that the lock was made for another recipe or other sources.
type StaleLockError struct{ Reasons []string }

func (e *StaleLockError) Error() string {
	return "headwater.lock does not fit; run headwater lock:\n  " + strings.Join(e.Reasons, "\n  ")
}

// New makes the graph. The error is a *StaleLockError where the lock does not fit.
func New(in Input) (*Graph, error) {
	if err := checkLock(in); err != nil {
		return nil, err
	}
	b := &builder{Input: in, maker: new(dag.Maker), graph: &Graph{Components: map[string]*dag.Node{}, Roots: map[string]*dag.Node{}}}
	for _, name := range slices.Sorted(maps.Keys(in.Recipe.Roots)) {
		n, err := Root(b.maker, name, in.Lock.Roots[name])
		if err != nil {
			return nil, fmt.Errorf("make graph: root %s: %w", name, err)
		}
		b.graph.Roots[name] = n
	}
	order, err := in.Recipe.Order()
	if err != nil {
		return nil, fmt.Errorf("make graph: %w", err)
	}
	for _, name := range order {
		if b.graph.Components[name], err = b.component(name); err != nil {
			return nil, fmt.Errorf("make graph: component %s: %w", name, err)
		}
	}
	if b.graph.Package, err = b.pkg(); err != nil {
		return nil, fmt.Errorf("make graph: package: %w", err)
	}
	b.graph.Nodes = b.maker.Nodes()
	return b.graph, nil
}

type builder struct {
	Input
	maker *dag.Maker
	graph *Graph
}

func (b *builder) component(name string) (*dag.Node, error) {
	c := b.Recipe.Components[name]
	eco, err := Find(b.Ecosystems, c.Ecosystem)
	if err != nil {
		return nil, err
	}
	sel, err := b.Source.Select(c.Src)
	if err != nil {
		return nil, err
	}
	req := ecosystem.DeriveRequest{
		Name: name, Component: c, Recipe: b.Recipe, Lock: b.Lock.Components[name], Toolchains: b.Lock.Toolchains,
		Maker: b.maker, Root: b.graph.Roots[c.Root],
		Source: &componentSource{maker: b.maker, component: name, tree: b.Source, patterns: c.Src, sel: sel},
	}
	for _, u := range c.Uses {
		req.Uses = append(req.Uses, ecosystem.Used{Use: u, Node: b.graph.Components[u.Component]})
	}
	return eco.Derive(req)
}

// Root makes a locked root a node, whatever it is made of.
func Root(m *dag.Maker, name string, r lock.Root) (*dag.Node, error) {
	if len(r.Paths) > 0 {
		return pathroot.Node(m, name, r)
	}
	return rootfs.Node(m, name, r)
}

// Find picks the ecosystem of that name.
func Find(list []ecosystem.Ecosystem, name string) (ecosystem.Ecosystem, error) {
	var names []string
	for _, e := range list {
		if e.Name() == name {
			return e, nil
		}
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return nil, fmt.Errorf("no ecosystem is named %q (there are: %s)", name, strings.Join(names, ", "))
}

// checkLock compares what the lock was made for with what is there.
func checkLock(in Input) error {
	var stale []string
	pinned, err := in.Recipe.Pinned()
	if err != nil {
		return err
	}
	for name := range in.Recipe.Roots {
		if _, ok := in.Lock.Roots[name]; !ok {
			stale = append(stale, "roots."+name+": is not in the lock")
		}
	}
	for name := range in.Recipe.Toolchains {
		if _, ok := in.Lock.Toolchains[name]; !ok {
			stale = append(stale, "toolchains."+name+": is not in the lock")
		}
	}
	for name := range in.Recipe.Components {
		locked, ok := in.Lock.Components[name]
		if !ok {
			stale = append(stale, "components."+name+": is not in the lock")
			continue
		}
		for file, want := range locked.Inputs {
			if why, err := changed(in.Source.FS(), file, want); err != nil {
				return fmt.Errorf("check lock: %w", err)
			} else if why != "" {
				stale = append(stale, fmt.Sprintf("components.%s: %s %s since the lock was made", name, file, why))
			}
		}
	}
	if len(stale) == 0 && pinned != in.Lock.Recipe {
		stale = append(stale, "roots, toolchains, options or replacements in headwater.yaml changed since the lock was made")
	}
	if len(stale) > 0 {
		slices.Sort(stale)
		return &StaleLockError{Reasons: stale}
	}
	return nil
}

// changed says how a file differs from what was locked, "" if it does not. A zero hash says that there was no such file.
func changed(fsys fs.FS, file string, want nix.Hash) (string, error) {
	data, err := fs.ReadFile(fsys, file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if want.IsZero() {
			return "", nil
		}
		return "is gone", nil
	case err != nil:
		return "", err
	case want.IsZero():
		return "has come", nil
	case nix.Sum(nix.SHA256, data) != want:
		return "changed", nil
	}
	return "", nil
}
