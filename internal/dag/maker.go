package dag

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"

	"headwater/internal/artifact"
	"headwater/internal/nix"
	"headwater/internal/nix/drv"
)

// Maker makes nodes and sees to it that equal nodes are one. The zero value is ready; it is not safe for concurrent use.
type Maker struct {
	hasher  drv.Hasher
	nodes   map[nix.StorePath]*Node
	fetches map[download]*Node // roots share most of their packages
}

// download is what tells one fetch from another: where an artifact is said to be does not.
type download struct {
	ref  string
	hash nix.Hash
}

// Fetch makes the fixed-output derivation that downloads a. Its path depends on a's hash and file name alone.
func (m *Maker) Fetch(a artifact.Artifact) (*Node, error) {
	key := download{a.Ref(), a.Hash}
	if n, ok := m.fetches[key]; ok {
		return n, nil
	}
	storeName := a.StoreName()
	if a.Hash.IsZero() {
		return nil, fmt.Errorf("derive fetch of %s: no hash is known", a.Ref())
	}
	d := &drv.Derivation{
		Name:    storeName,
		Outputs: map[string]drv.Output{"out": {CA: nix.ContentAddress{Method: nix.Flat, Hash: a.Hash}}},
		System:  "builtin",
		Builder: "builtin:fetchurl",
		Env: map[string]string{
			"builder": "builtin:fetchurl", "system": "builtin", "name": storeName, "url": key.ref, "urls": key.ref,
			"outputHash": a.Hash.Base16(), "outputHashAlgo": string(a.Hash.Algo()), "outputHashMode": "flat",
			"executable": "", "unpack": "", "preferLocalBuild": "1",
		},
	}
	n, err := m.Derivation(Node{Kind: Fetch, Name: storeName, Drv: d})
	if err != nil {
		return nil, err
	}
	if m.fetches == nil {
		m.fetches = map[download]*Node{}
	}
	m.fetches[key] = n
	return n, nil
}

// Derivation completes n (its Drv's outputs, DrvPath, Outputs) and returns it, or the equal node made before.
func (m *Maker) Derivation(n Node) (*Node, error) {
	drvPath, _, err := m.hasher.Add(n.Drv)
	if err != nil {
		return nil, fmt.Errorf("derive %s: %w", n.Name, err)
	}
	n.DrvPath = drvPath
	n.Outputs = make(map[string]nix.StorePath, len(n.Drv.Outputs))
	for name, out := range n.Drv.Outputs {
		n.Outputs[name] = out.Path
	}
	return m.intern(&n), nil
}

// Text makes a small file a content-addressed object. refs are the nodes that content names; their paths become its references.
func (m *Maker) Text(name, content string, refs ...*Node) (*Node, error) {
	n, err := m.newText(name, content, refs)
	if err != nil {
		return nil, err
	}
	return m.intern(n), nil
}

func (m *Maker) newText(name, content string, refs []*Node) (*Node, error) {
	hash := nix.Sum(nix.SHA256, []byte(content))
	paths := make([]nix.StorePath, len(refs))
	for i, r := range refs {
		paths[i] = r.Path()
	}
	slices.Sort(paths)
	p, err := nix.TextPath(name, hash, slices.Compact(paths))
	if err != nil {
		return nil, fmt.Errorf("derive text %s: %w", name, err)
	}
	return &Node{
		Kind: Text, Name: name, Content: text{content, nix.ContentAddress{Method: nix.Text, Hash: hash}},
		Outputs: map[string]nix.StorePath{"out": p}, Inputs: refs,
	}, nil
}

// Tree makes a tree of which the NAR hash is known (a root, a filtered source) a content-addressed object.
func (m *Maker) Tree(n Node, storeName string) (*Node, error) {
	p, err := nix.FixedPath(storeName, n.Content.ContentAddress(), nil, false)
	if err != nil {
		return nil, fmt.Errorf("derive %s: %w", n.Name, err)
	}
	n.Outputs = map[string]nix.StorePath{"out": p}
	return m.intern(&n), nil
}

func (m *Maker) intern(n *Node) *Node {
	if m.nodes == nil {
		m.nodes = map[nix.StorePath]*Node{}
	}
	if old, ok := m.nodes[n.ID()]; ok {
		return old
	}
	m.nodes[n.ID()] = n
	return n
}

// Nodes lists all that was made, sorted by ID.
func (m *Maker) Nodes() []*Node {
	nodes := make([]*Node, 0, len(m.nodes))
	for _, id := range slices.Sorted(maps.Keys(m.nodes)) {
		nodes = append(nodes, m.nodes[id])
	}
	return nodes
}

// text is a file whose content is at hand.
type text struct {
	content string
	ca      nix.ContentAddress
}

func (t text) ContentAddress() nix.ContentAddress { return t.ca }

func (t text) Write(_ context.Context, dst string, _ func(nix.StorePath) string) error {
	return os.WriteFile(dst, []byte(t.content), 0o444)
}
