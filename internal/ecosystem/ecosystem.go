// Package ecosystem says what an ecosystem (Go, Node.js, Python, …) does for a component: lock what it needs, and derive
// the nodes that build it. Each ecosystem is a folder below this one; cmd lists them.
//
// Locking may use the network, through Network alone. Deriving does no I/O but reading the component's own sources: it is a
// function of recipe, lock and sources, so the same three always give the same derivations.
package ecosystem

import (
	"context"
	"io/fs"

	"headwater/internal/artifact"
	"headwater/internal/dag"
	"headwater/internal/lock"
	"headwater/internal/recipe"
)

// Ecosystem is one way of building components.
type Ecosystem interface {
	// Name is what a recipe's component calls it: "go".
	Name() string
	// Lock pins all that the component needs beyond its root, its toolchains and other components.
	Lock(context.Context, LockRequest) (lock.Component, error)
	// Derive makes the component's nodes and returns the last: its output is what the recipe calls the component's output.
	Derive(DeriveRequest) (*dag.Node, error)
}

// Toolchainer is an Ecosystem that brings tools of its own, named in the recipe's "toolchains".
type Toolchainer interface {
	// Toolchains lists their names: "node", "npm".
	Toolchains() []string
	// LockToolchain pins one of them, at an exact version.
	LockToolchain(ctx context.Context, name, version string, net Network) ([]lock.Artifact, error)
}

// Network is what locking may ask of the outside. It is safe for concurrent use.
type Network interface {
	// Get makes a available as a local file. a.Hash may be zero: then what is served is taken, and got has its SHA-256. If it
	// is not zero, what is served is checked. got has Size, and the File and Hint that it was found by. Files are kept in the
	// store under the path of the fetch derivation of got, so building does not download them again.
	Get(ctx context.Context, a artifact.Artifact) (file string, got artifact.Artifact, err error)
	// Index returns a registry's description of all versions of name, as the registry writes it: npm's packument (JSON),
	// PyPI's "simple" project page in its JSON form (PEP 691).
	Index(ctx context.Context, eco artifact.Ecosystem, name string) ([]byte, error)
}

// LockRequest asks to lock one component.
type LockRequest struct {
	Name      string // of the component
	Component recipe.Component
	Recipe    *recipe.Recipe
	Source    fs.FS          // the upstream's whole tree
	Previous  lock.Component // what the lock had, zero if nothing: what is known need not be downloaded to be known again
	Root      lock.Root      // the component's root
	// Toolchains are those of the recipe as they were pinned, by name.
	Toolchains map[string][]lock.Artifact
	Network    Network
	// Realise builds a node in the sandbox and returns where its output "out" is, for what only running a tool tells
	// (a build backend's requirements, say). Nodes are made with Maker, which knows RootNode.
	Realise  func(context.Context, *dag.Node) (dir string, err error)
	Maker    *dag.Maker
	RootNode *dag.Node
	// Replace tells what the recipe has in place of an artifact, which is named as upstream's lock does; nil if it has nothing. Network
	// gets what has another place from there. See Replacing and StandIn: an ecosystem that can take other bytes or another
	// version calls them; the driver does what is left, and refuses what cannot be.
	Replace func(artifact.Artifact) (recipe.Replacement, bool)
}

// DeriveRequest asks for one component's nodes.
type DeriveRequest struct {
	Name       string // of the component
	Component  recipe.Component
	Recipe     *recipe.Recipe
	Lock       lock.Component
	Toolchains map[string][]lock.Artifact // those of the lock, by name
	Maker      *dag.Maker
	Root       *dag.Node // the root to build in
	Source     Source
	Uses       []Used // other components' outputs, in the recipe's order
}

// Source is the part of the upstream's tree that the component sees.
type Source interface {
	// FS reads the selected files.
	FS() fs.FS
	// Node is a content-addressed tree of the selected files; with patterns, of those that they select among them
	// (globs as in recipe.Component.Src). The same files give the same node.
	Node(patterns ...string) (*dag.Node, error)
}

// Used is an output that the component uses.
type Used struct {
	recipe.Use
	Node *dag.Node
}
