package dag

import (
	"context"
	"fmt"
	"strings"

	"headwater/internal/nix"
)

// Path is the kind of a store path that exists already: nothing here makes it.
const Path Kind = "path"

// MissingError says that a path which nothing here can make is not in the store.
type MissingError struct{ Path nix.StorePath }

func (e *MissingError) Error() string {
	return string(e.Path) + " is not in the store, and nothing makes it here"
}

// Existing makes a store path that exists already a node. It is to be in the store, with what it refers to, when something is
// built that needs it.
func (m *Maker) Existing(p nix.StorePath) *Node {
	return m.intern(&Node{Kind: Path, Name: p.Name(), Content: existing(p), Outputs: map[string]nix.StorePath{"out": p}})
}

// existing is the content of a node that Existing made.
type existing nix.StorePath

func (e existing) ContentAddress() nix.ContentAddress { return nix.ContentAddress{} }

func (e existing) Write(context.Context, string, func(nix.StorePath) string) error {
	return &MissingError{nix.StorePath(e)}
}

// PathRoot makes a root of store paths: a text that lists them, and so refers to them. Their bin folders are the PATH, in the
// order given; shell's bin/bash starts builds.
func (m *Maker) PathRoot(name string, shell nix.StorePath, paths []nix.StorePath) (*Node, error) {
	r := &pathRoot{shell: string(shell) + "/bin/bash"}
	nodes := make([]*Node, len(paths))
	for i, p := range paths {
		nodes[i] = m.Existing(p)
		r.bin = append(r.bin, string(p)+"/bin")
	}
	content := "# The shell of a root of store paths, and its PATH.\n" + r.shell + "\n" + strings.Join(r.bin, "\n") + "\n"
	n, err := m.newText("root", content, nodes)
	if err != nil {
		return nil, fmt.Errorf("derive root %s: %w", name, err)
	}
	r.text = n.Content.(text)
	n.Kind, n.Name, n.Content = Root, "root "+name, r
	return m.intern(n), nil
}

// pathRoot is the content of a root of store paths, with what entering it needs to know.
type pathRoot struct {
	text
	shell string   // a path below a store path
	bin   []string // folders below store paths
}

// OfPaths tells whether a root is made of store paths. Such a root has no /usr but /usr/bin/env, and its own tools in PATH.
func OfPaths(root *Node) bool {
	_, ok := root.Content.(*pathRoot)
	return ok
}
