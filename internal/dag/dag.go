// Package dag holds the build graph: nodes that are Nix derivations or content-addressed objects, and what each needs.
//
// Ecosystems make nodes, engines realise them. A node's outputs are known before anything is built.
package dag

import (
	"context"

	"headwater/internal/nix"
	"headwater/internal/nix/drv"
)

// Kind says what a node is for; engines treat all derivations alike.
type Kind string

// The kinds, see DESIGN "What is a derivation".
const (
	Fetch     Kind = "fetch"     // one artifact, builtin:fetchurl
	Root      Kind = "root"      // Debian packages unpacked in Go, content-addressed
	Src       Kind = "src"       // filtered subset of a source, content-addressed
	Text      Kind = "text"      // a small file made by Headwater, content-addressed
	Toolchain Kind = "toolchain" // an unpacked compiler or interpreter
	Deps      Kind = "deps"      // third-party dependencies of one component
	Build     Kind = "build"     // a component
	Package   Kind = "package"   // layout and launcher
)

// Node is one thing that a store can come to hold. Exactly one of Drv and Content is set.
type Node struct {
	Kind      Kind
	Name      string // for people: "wheel lxml 6.0.2"
	Component string // recipe component it serves, "" when shared

	Drv     *drv.Derivation // nil for content-addressed objects
	DrvPath nix.StorePath   // "" for content-addressed objects

	Content Content // nil for derivations

	Outputs map[string]nix.StorePath // by output name; content-addressed objects have just "out"
	Inputs  []*Node                  // what must be there first, without duplicates, in a fixed order
}

// Path is the path of the output "out".
func (n *Node) Path() nix.StorePath { return n.Outputs["out"] }

// ID identifies the node in a graph: the .drv's path, or the object's own.
func (n *Node) ID() nix.StorePath {
	if n.Drv != nil {
		return n.DrvPath
	}
	return n.Path()
}

// Closure lists goals and all that they need, inputs before what uses them, each once.
func Closure(goals ...*Node) []*Node {
	var list []*Node
	seen := map[*Node]bool{}
	var visit func(*Node)
	visit = func(n *Node) {
		if seen[n] {
			return
		}
		seen[n] = true
		for _, in := range n.Inputs {
			visit(in)
		}
		list = append(list, n)
	}
	for _, n := range goals {
		visit(n)
	}
	return list
}

// Content brings a content-addressed object about.
type Content interface {
	// Write creates the object at dst (which does not exist, its parent does). input maps a store path of one of the
	// node's inputs to where it really is. The engine checks that the result has the node's path.
	Write(ctx context.Context, dst string, input func(nix.StorePath) string) error
	// ContentAddress tells how the object's path follows from its bytes.
	ContentAddress() nix.ContentAddress
}
