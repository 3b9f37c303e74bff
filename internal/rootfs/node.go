package rootfs

import (
	"context"
	"fmt"

	"headwater/internal/artifact"
	"headwater/internal/dag"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/rootfs/control"
	"headwater/internal/rootfs/tree"
)

// Node makes a locked root a node of the graph. name is the recipe's. Its inputs are the fetches of its packages; its content
// has the lock's hash, which also names it: the same packages give the same store path in every recipe.
func Node(m *dag.Maker, name string, r lock.Root) (*dag.Node, error) {
	c := &content{hash: r.NARHash}
	var inputs []*dag.Node
	for _, a := range r.Packages {
		if a.Ecosystem != artifact.Debian {
			return nil, fmt.Errorf("derive root %s: %s is of ecosystem %q, not a Debian package", name, a.Name, a.Ecosystem)
		}
		n, err := m.Fetch(a.Artifact())
		if err != nil {
			return nil, fmt.Errorf("derive root %s: %w", name, err)
		}
		inputs = append(inputs, n)
		c.packages = append(c.packages, locked{a.Name, n.Path()})
		if a.Name == entrance {
			if c.plain, err = laysNone(a.Version); err != nil {
				return nil, fmt.Errorf("derive root %s: %s: %w", name, a.Name, err)
			}
		}
	}
	return m.Tree(dag.Node{Kind: dag.Root, Name: "root " + name, Content: c, Inputs: inputs}, "root")
}

// content is a root's tree.
type content struct {
	hash     nix.Hash
	packages []locked
	plain    bool
}

// Plain implements dag.Plain.
func (c *content) Plain() bool { return c.plain }

// entrance is the package whose program builds enter the root by, and overlaysSince its first version that lays overlays (bubblewrap's
// release notes, 0.11.0).
const entrance, overlaysSince = "bubblewrap", "0.11.0"

// laysNone tells whether that version of the package lays no overlays.
func laysNone(text string) (bool, error) {
	v, err := control.ParseVersion(text)
	if err != nil {
		return false, err
	}
	since, err := control.ParseVersion(overlaysSince)
	return v.Compare(since) < 0, err
}

// locked is a package by name and where its .deb is in the store.
type locked struct {
	name string
	deb  nix.StorePath
}

func (c *content) ContentAddress() nix.ContentAddress {
	return nix.ContentAddress{Method: nix.NAR, Hash: c.hash}
}

func (c *content) Write(ctx context.Context, dst string, input func(nix.StorePath) string) error {
	packages := make([]tree.Package, len(c.packages))
	for i, p := range c.packages {
		packages[i] = tree.Package{Name: p.name, File: input(p.deb)}
	}
	return tree.Unpack(ctx, dst, packages)
}
