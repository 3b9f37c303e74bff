package graph

import (
	"context"
	"fmt"
	"io/fs"
	"slices"

	"headwater/internal/dag"
	"headwater/internal/nix"
	"headwater/internal/source"
)

// NoFileError says that a component's src, or what of it a build step needs, is nothing that the tree has.
type NoFileError struct {
	Component string
	Patterns  []string
}

func (e *NoFileError) Error() string {
	return fmt.Sprintf("source of %s: %q select no file of the tree; name what the component is made of in its src", e.Component, e.Patterns)
}

// componentSource is the ecosystem.Source of one component.
type componentSource struct {
	maker     *dag.Maker
	component string
	tree      *source.Tree
	patterns  []string
	sel       *source.Selection
}

func (c *componentSource) FS() fs.FS { return c.sel }

// Node makes the node of what the component sees, or of what patterns select of that. The node's name is the same for all
// components, so that equal selections are one node.
func (c *componentSource) Node(patterns ...string) (*dag.Node, error) {
	sel := c.sel
	if len(patterns) > 0 {
		var err error
		if sel, err = sel.Select(patterns); err != nil {
			return nil, err
		}
	}
	if len(sel.Entries()) == 0 {
		return nil, &NoFileError{Component: c.component, Patterns: slices.Concat(c.patterns, patterns)}
	}
	// A few local files are read; there is nothing worth cancelling.
	hash, err := sel.NARHash(context.Background())
	if err != nil {
		return nil, err
	}
	return c.maker.Tree(dag.Node{
		Kind: dag.Src, Name: "source of " + c.component, Component: c.component,
		Content: selected{sel, nix.ContentAddress{Method: nix.NAR, Hash: hash}},
	}, "source")
}

// selected is the content of a source node.
type selected struct {
	sel *source.Selection
	ca  nix.ContentAddress
}

func (s selected) ContentAddress() nix.ContentAddress { return s.ca }

func (s selected) Write(ctx context.Context, dst string, _ func(nix.StorePath) string) error {
	return s.sel.Copy(ctx, dst)
}
