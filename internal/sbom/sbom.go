// Package sbom tells what a package is made of, from the lock, the recipe and what was built.
//
// New walks the build graph from the package down: an artifact of the lock that no step on the way fetches is not in it. Whether an
// artifact is shipped is told by the files of the image where they tell it (each belongs to exactly one Part), by what Go programs say of
// themselves, and else left open. CycloneDX and SPDX write a Document down; both are functions of it, so the same inputs give the same bytes.
//
//	doc, err := sbom.New(ctx, sbom.Input{Recipe: r, Lock: l, Graph: g, Files: files, Store: s})
//	data, err := doc.CycloneDX()
package sbom

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"headwater/internal/dag"
	"headwater/internal/graph"
	"headwater/internal/image"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/recipe"
	"headwater/internal/store"
)

// Input is what a Document is made of. The package and what it refers to have to be in the store.
type Input struct {
	Recipe  *recipe.Recipe
	Lock    *lock.File
	Graph   *graph.Graph
	Files   []image.File // of the package's image
	Store   *store.Store
	Created time.Time // what is told as the document's date; zero for none
}

// Document is what a package is made of.
type Document struct {
	Name, Version string // of the package
	Created       time.Time
	Parts         []*Part           // sorted by Ref; the package is among them
	Owners        map[string]string // Ref of the part that a file of the image belongs to, by its path in the image
	Leftovers     []string          // files of the image that belong to no part, sorted
}

// Kind is what a part is.
type Kind int

// The kinds of parts.
const (
	Package   Kind = iota // what is shipped as a whole; its own are the layout's links
	Root                  // what Headwater itself adds to a root: the loader's cache, the certificates' bundle, users, alternatives
	Component             // the service's own, built of its source
	Artifact              // something of the lock
)

// Shipped tells whether a part is in the image.
type Shipped int

// What is known of that.
const (
	Unknown Shipped = iota // it may be: what is bundled or linked leaves no trace that could be read without guessing
	Yes
	No // it only builds
)

func (s Shipped) String() string { return [...]string{"unknown", "yes", "no"}[s] }

// Part is one thing that the package is made of.
type Part struct {
	Ref     string // unique in the document; the package URL if there is one
	Kind    Kind
	Name    string
	Version string
	PURL    string // "" for what no registry has
	Output  string // store path, of components and roots
	Origins []Origin
	Uses    []string // Refs of the parts that it is made of, sorted
	In      []string // names of the components that it went into, sorted; "" is the package, by its root
	Shipped Shipped
	License License
	Notes   []string // what deviates from the upstream's lock
	Count   int      // of files in the image
}

// Origin is a file that the lock pins.
type Origin struct {
	Artifact string // its symbolic address, see artifact.Artifact.Ref
	File     string // its name
	Hash     nix.Hash
	Hint     string // address that the upstream's own lock names, "" if none
}

// License is what a part's own metadata say. The zero value is that they say nothing.
type License struct {
	Expression string   // a valid SPDX expression
	Names      []string // what is none, as it is written there; sorted
}

// PackageRef is the Ref of the package.
const PackageRef = "package"

func rootRef(name string) string      { return "root:" + name }
func componentRef(name string) string { return "component:" + name }

// New makes a Document.
func New(ctx context.Context, in Input) (*Document, error) {
	b := &builder{Input: in, parts: map[string]*Part{}, byFetch: map[nix.StorePath]*Part{}, nodes: map[nix.StorePath]*dag.Node{}, named: map[nix.StorePath]string{}}
	doc := &Document{Name: in.Recipe.Name, Version: in.Recipe.Release, Created: in.Created}
	for _, step := range []func() error{b.addArtifacts, b.connect, func() error { return b.own(ctx, doc) }, b.findShipped} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("make bill of materials: %w", err)
		}
	}
	for _, ref := range slices.Sorted(maps.Keys(b.parts)) {
		p := b.parts[ref]
		if p.Kind == Artifact && len(p.In) == 0 {
			continue // no step to the package fetches it
		}
		p.Origins = unique(p.Origins, func(x, y Origin) int {
			return cmp.Or(cmp.Compare(x.File, y.File), cmp.Compare(x.Hash.String(), y.Hash.String()))
		})
		p.Uses, p.In, p.Notes = set(p.Uses), set(p.In), set(p.Notes)
		doc.Parts = append(doc.Parts, p)
	}
	return doc, nil
}

func set(list []string) []string { return unique(list, strings.Compare) }

func unique[T any](list []T, compare func(T, T) int) []T {
	list = slices.Clone(list)
	slices.SortStableFunc(list, compare)
	return slices.CompactFunc(list, func(a, b T) bool { return compare(a, b) == 0 })
}

type builder struct {
	Input
	parts   map[string]*Part
	byFetch map[nix.StorePath]*Part     // by what fetches it
	nodes   map[nix.StorePath]*dag.Node // by any of its outputs
	named   map[nix.StorePath]string    // components' names, by the ID of their node

	files  map[string]image.File // by path in the image
	python map[string]*Part      // parts by paths in the image of Python distributions' files
	went   map[string][]*Part    // artifacts that went into a component, by its name
	tools  map[string]bool       // Refs of toolchains' artifacts
	builds map[string]bool       // Refs of artifacts that are, wherever they are locked, build requirements
}

// addArtifacts makes parts of the lock's artifacts: one of all files that have the name and version.
func (b *builder) addArtifacts() error {
	maker := new(dag.Maker)
	b.tools, b.builds = map[string]bool{}, map[string]bool{}
	needed := map[string]bool{}
	add := func(a lock.Artifact, download bool) (*Part, error) {
		purl, err := packageURL(a, download)
		if err != nil {
			return nil, err
		}
		p := b.parts[purl]
		if p == nil {
			p = &Part{Ref: purl, Kind: Artifact, Name: a.Name, Version: a.Version, PURL: purl}
			b.parts[purl] = p
		}
		o := Origin{Artifact: a.Artifact().Ref(), File: a.File, Hash: a.Hash}
		if !download && !a.By.Elsewhere() { // else it is the operator's
			o.Hint = publicAddress(a.Hint)
		}
		p.Origins = append(p.Origins, o)
		if note := deviation(a.By, a.Instead); note != "" {
			p.Notes = append(p.Notes, note)
		}
		n, err := maker.Fetch(a.Artifact())
		if err != nil {
			return nil, err
		}
		b.byFetch[n.Path()] = p
		return p, nil
	}
	// In a fixed order: of parts and files that the lock has twice, the first one's spelling and hint stay.
	for _, name := range slices.Sorted(maps.Keys(b.Lock.Roots)) {
		root := b.Lock.Roots[name]
		for _, a := range root.Packages {
			if _, err := add(a, false); err != nil {
				return err
			}
		}
		for _, have := range root.Paths {
			ref := string(have.Path)
			b.parts[ref] = &Part{Ref: ref, Kind: Artifact, Name: have.Path.Name(), Output: ref}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.Lock.Toolchains)) {
		for _, a := range b.Lock.Toolchains[name] {
			p, err := add(a, false)
			if err != nil {
				return err
			}
			b.tools[p.Ref] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.Lock.Components)) {
		c := b.Lock.Components[name]
		for _, a := range c.Artifacts {
			p, err := add(a, false)
			if err != nil {
				return err
			}
			if a.Role == buildRole {
				b.builds[p.Ref] = true
			} else {
				needed[p.Ref] = true
			}
		}
		for _, a := range c.Downloads {
			if _, err := add(a, true); err != nil {
				return err
			}
		}
	}
	maps.DeleteFunc(b.builds, func(ref string, _ bool) bool { return needed[ref] })
	return nil
}

// buildRole is the Role of build requirements, see lock.Artifact.
const buildRole = "build"

// deviation says what a recipe has instead of what upstream's lock names, without addresses of the operator's.
func deviation(by recipe.Replacement, instead lock.Instead) string {
	var text string
	switch {
	case by == (recipe.Replacement{}):
		return ""
	case by.URL != "":
		text = "from another address"
	case by.File != "":
		text = "another file"
	default:
		text = by.String()
	}
	instead.From = publicAddress(instead.From)
	return text + instead.String()
}

// connect finds out what is made of what.
func (b *builder) connect() error {
	for name, n := range b.Graph.Components {
		b.named[n.ID()] = name
	}
	for _, n := range b.Graph.Nodes {
		for _, out := range n.Outputs {
			b.nodes[out] = n
		}
	}
	b.went = map[string][]*Part{}
	pkg := &Part{Ref: PackageRef, Kind: Package, Name: b.Recipe.Name, Version: b.Recipe.Release, Output: string(b.Graph.Package.Path()), Shipped: Yes}
	b.parts[PackageRef] = pkg
	root := &Part{Ref: rootRef(b.Recipe.Package.Root), Kind: Root, Name: "headwater root " + b.Recipe.Package.Root, Version: b.Recipe.Release, Output: string(b.Graph.Roots[b.Recipe.Package.Root].Path()), Shipped: Yes}
	b.parts[root.Ref] = root
	pkg.Uses = append(pkg.Uses, root.Ref)
	uses := b.reach(b.Graph.Package, "", root)
	pkg.Uses = append(pkg.Uses, refsOf(uses)...)
	for _, p := range b.Lock.Roots[b.Recipe.Package.Root].Paths {
		part := b.parts[string(p.Path)]
		part.In, root.Uses = append(part.In, ""), append(root.Uses, part.Ref)
	}
	done := map[string]bool{}
	for len(uses) > 0 {
		name := uses[0]
		uses = uses[1:]
		if done[name] {
			continue
		}
		done[name] = true
		n := b.Graph.Components[name]
		part := &Part{Ref: componentRef(name), Kind: Component, Name: name, Version: b.Recipe.Release, Output: string(n.Path())}
		for _, d := range b.Lock.Components[name].Folders {
			part.Notes = append(part.Notes, fmt.Sprintf("%s %s: %s", d.Ecosystem, d.Name, deviation(d.By, d.Instead)))
		}
		b.parts[part.Ref] = part
		more := b.reach(n, name, part)
		part.Uses = append(part.Uses, refsOf(more)...)
		uses = append(uses, more...)
	}
	return nil
}

func refsOf(components []string) []string {
	var refs []string
	for _, c := range components {
		refs = append(refs, componentRef(c))
	}
	return refs
}

// reach notes the artifacts that a component's node (the package's if name is "") is made of as used by part, up to other components,
// of which it returns the names.
func (b *builder) reach(top *dag.Node, name string, part *Part) (components []string) {
	seen := map[nix.StorePath]bool{}
	var visit func(n *dag.Node)
	visit = func(n *dag.Node) {
		if seen[n.ID()] {
			return
		}
		seen[n.ID()] = true
		if other, ok := b.named[n.ID()]; ok && n != top {
			components = append(components, other)
			return
		}
		if p := b.byFetch[n.Path()]; p != nil {
			p.In, part.Uses = append(p.In, name), append(part.Uses, p.Ref)
			b.went[name] = append(b.went[name], p)
		}
		for _, input := range n.Inputs {
			visit(input)
		}
	}
	visit(top)
	slices.Sort(components)
	return components
}

// findShipped decides what is shipped by what has files in the image and by what Go programs say.
func (b *builder) findShipped() error {
	linked, silent, err := b.linked()
	if err != nil {
		return err
	}
	for _, p := range b.parts {
		switch {
		case p.Kind == Package || p.Kind == Root:
		case p.Count > 0 || linked[p.Ref] || strings.HasPrefix(p.Ref, "pkg:deb/") && slices.Contains(p.In, ""): // even of no files
			p.Shipped = Yes
		case p.Kind != Artifact: // a component that another is made of
		case strings.HasPrefix(p.Ref, "pkg:deb/"), b.builds[p.Ref], b.tools[p.Ref] && !strings.HasPrefix(p.Ref, goToolchain):
			p.Shipped = No
		case strings.HasPrefix(p.Ref, "pkg:golang/") && !slices.ContainsFunc(p.In, func(c string) bool { return silent[c] }):
			p.Shipped = No
		}
	}
	return nil
}

// ErrFormat says that a format is none of those that are written.
var ErrFormat = errors.New("want cyclonedx or spdx")

// Write writes a document in a format, "cyclonedx" or "spdx".
func (d *Document) Write(format string) ([]byte, error) {
	switch format {
	case "cyclonedx":
		return d.CycloneDX()
	case "spdx":
		return d.SPDX()
	}
	return nil, fmt.Errorf("format %q: %w", format, ErrFormat)
}

func isNPM(p *Part) bool { return strings.HasPrefix(p.Ref, "pkg:npm/") }

func isPyPI(p *Part) bool { return strings.HasPrefix(p.Ref, "pkg:pypi/") }
