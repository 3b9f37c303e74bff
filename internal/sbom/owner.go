package sbom

import (
	"context"
	"debug/buildinfo"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"headwater/internal/dag"
	"headwater/internal/image"
	"headwater/internal/nix"
	"headwater/internal/registry"
	"headwater/internal/rootfs/tree"
)

// own finds the part that each file of the image belongs to, and reads the licences on the way.
func (b *builder) own(ctx context.Context, doc *Document) error {
	b.files = map[string]image.File{}
	for _, f := range b.Files {
		b.files[f.At] = f
	}
	if err := b.readRecords(); err != nil {
		return err
	}
	roots := map[nix.StorePath]map[string]*Part{}
	for name, n := range b.Graph.Roots {
		used := slices.ContainsFunc(b.Files, func(f image.File) bool { return f.Path == n.Path() })
		if !used {
			continue
		}
		owners, err := b.rootOwners(ctx, name)
		if err != nil {
			return err
		}
		roots[n.Path()] = owners
	}
	doc.Owners = map[string]string{}
	for _, f := range b.Files {
		var p *Part
		if owners, ok := roots[f.Path]; ok {
			p = owners[f.Sub]
		} else {
			p = b.owner(f)
		}
		if p == nil {
			doc.Leftovers = append(doc.Leftovers, f.At)
			continue
		}
		doc.Owners[f.At] = p.Ref
		p.Count++
	}
	return b.readLicenses()
}

// rootOwners are the owners in a root by path: for one of Debian packages, these and what Headwater makes besides; for one of store
// paths, of which a root has links only, Headwater.
func (b *builder) rootOwners(ctx context.Context, name string) (map[string]*Part, error) {
	self := b.parts[rootRef(name)]
	if self == nil { // a root that only builds, of which something in the image has its store path
		self = &Part{Ref: rootRef(name), Kind: Root, Name: "headwater root " + name, Version: b.Recipe.Release, Output: string(b.Graph.Roots[name].Path()), Shipped: Yes}
		b.parts[self.Ref] = self
		b.parts[PackageRef].Uses = append(b.parts[PackageRef].Uses, self.Ref)
	}
	root, owners := b.Lock.Roots[name], map[string]*Part{}
	if len(root.Paths) > 0 {
		for _, f := range b.Files {
			if f.Path == b.Graph.Roots[name].Path() {
				owners[f.Sub] = self
			}
		}
		return owners, nil
	}
	scratch, remove, err := b.Store.TempDir(ctx)
	if err != nil {
		return nil, err
	}
	parts := map[string]*Part{}
	maker := new(dag.Maker)
	var packages []tree.Package
	for _, a := range root.Packages {
		n, err := maker.Fetch(a.Artifact())
		if err != nil {
			return nil, errors.Join(err, remove())
		}
		parts[a.Name] = b.byFetch[n.Path()]
		packages = append(packages, tree.Package{Name: a.Name, File: b.Store.RealPath(n.Path())})
	}
	found, err := tree.Owners(ctx, filepath.Join(scratch, "root"), packages)
	if err := errors.Join(err, remove()); err != nil {
		return nil, err
	}
	for at, pkg := range found {
		owners[at] = parts[pkg]
		if pkg == tree.Made {
			owners[at] = self
		}
	}
	return owners, nil
}

// mergedTops are the links by which an image has a merged /usr.
var mergedTops = []string{"/bin", "/sbin", "/lib", "/lib64"}

// owner is the part of a file that no root has, nil if it cannot be told.
func (b *builder) owner(f image.File) *Part {
	switch {
	case f.Path == "" && slices.Contains(mergedTops, f.At):
		return b.parts[rootRef(b.Recipe.Package.Root)]
	case f.Path == "":
		return b.parts[PackageRef]
	}
	if p := b.parts[string(f.Path)]; p != nil { // of a root of store paths
		return p
	}
	n := b.nodes[f.Path]
	if n == nil {
		return nil
	}
	name, ok := b.named[n.ID()]
	if !ok {
		name = n.Component
	}
	if p := b.modulePart(f, name); p != nil {
		return p
	}
	if p := b.pythonPart(f.At); p != nil {
		return p
	}
	if p := b.parts[componentRef(name)]; p != nil {
		return p
	}
	return b.only(n)
}

// only is the artifact that a node is made of, whatever the root that it is made in; nil if it is of several.
func (b *builder) only(n *dag.Node) *Part {
	var found []*Part
	for _, input := range n.Inputs {
		if p := b.byFetch[input.Path()]; p != nil {
			found = append(found, p)
		}
	}
	if len(found) != 1 {
		return nil
	}
	return found[0]
}

// modulePart is the package of a node_modules folder that a file is of. Packages that another's archive brings are a part of that one.
func (b *builder) modulePart(f image.File, component string) *Part {
	const folder = "/node_modules/"
	for at := f.At; ; {
		i := strings.LastIndex(at, folder)
		if i < 0 {
			return nil
		}
		name, rest := at[i+len(folder):], ""
		if name, rest, _ = strings.Cut(name, "/"); strings.HasPrefix(name, "@") {
			scoped, _, _ := strings.Cut(rest, "/")
			name += "/" + scoped
		}
		manifest := b.manifest(at[:i+len(folder)] + name)
		for _, p := range b.went[component] {
			if isNPM(p) && p.Version == manifest.Version && manifest.Version != "" && (p.Name == manifest.Name || p.Name == name) {
				return p
			}
		}
		at = at[:i]
	}
}

// pythonPart is the Python distribution that a file is of: its RECORD names it, or the module that it is the compiled form of.
func (b *builder) pythonPart(at string) *Part {
	if p := b.python[at]; p != nil {
		return p
	}
	dir, name := path.Split(at)
	if module, _, ok := strings.Cut(name, ".cpython-"); ok && path.Base(dir) == "__pycache__" && strings.HasSuffix(name, ".pyc") {
		return b.python[path.Join(path.Dir(path.Clean(dir)), module+".py")]
	}
	if p := b.python[path.Clean(dir)]; p != nil { // a .dist-info folder
		return p
	}
	return nil
}

// readRecords reads what each Python distribution in components says that it has. (Recording installed projects, PyPA.)
func (b *builder) readRecords() error {
	b.python = map[string]*Part{}
	for _, f := range b.Files {
		info := path.Dir(f.At)
		if path.Base(f.At) != "RECORD" || !strings.HasSuffix(info, ".dist-info") {
			continue
		}
		n := b.nodes[f.Path]
		if n == nil {
			continue
		}
		component, ok := b.named[n.ID()]
		if !ok {
			component = n.Component
		}
		p := b.distribution(component, path.Base(info))
		if p == nil {
			continue // the service's own
		}
		b.python[info] = p
		if err := b.readRecord(f, path.Dir(info), p); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) readRecord(f image.File, site string, p *Part) error {
	r, err := os.Open(b.real(f))
	if err != nil {
		return err
	}
	defer r.Close()
	lines := csv.NewReader(r)
	lines.FieldsPerRecord = -1
	for {
		line, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.At, err)
		}
		if at := line[0]; path.IsAbs(at) {
			b.python[path.Clean(at)] = p
		} else {
			b.python[path.Join(site, at)] = p
		}
	}
}

// distribution is the artifact that a folder NAME-VERSION.dist-info is from.
func (b *builder) distribution(component, folder string) *Part {
	name, version, _ := strings.Cut(strings.TrimSuffix(folder, ".dist-info"), "-")
	var named []*Part
	for _, p := range b.went[component] {
		if !isPyPI(p) || registry.NormalizeName(p.Name) != registry.NormalizeName(name) || b.builds[p.Ref] {
			continue
		}
		if p.Version == version {
			return p
		}
		named = append(named, p)
	}
	if len(set(refs(named))) == 1 { // the folder has the version in another spelling
		return named[0]
	}
	return nil
}

func refs(list []*Part) []string {
	var out []string
	for _, p := range list {
		out = append(out, p.Ref)
	}
	return out
}

func (b *builder) real(f image.File) string {
	return b.Store.RealPath(nix.StorePath(path.Join(string(f.Path), f.Sub)))
}

// linked are the Refs of the Go modules that the programs of the image have, as the linker notes it in them, and Go's own release. silent
// are the components of which no program says so.
func (b *builder) linked() (linked, silent map[string]bool, err error) {
	linked, silent = map[string]bool{}, map[string]bool{}
	telling := map[string]bool{}
	for _, f := range b.Files {
		n := b.nodes[f.Path]
		if n == nil || f.Link {
			continue
		}
		name := b.named[n.ID()]
		if b.Recipe.Components[name].Ecosystem != "go" {
			continue
		}
		info, err := buildinfo.ReadFile(b.real(f))
		if err != nil {
			continue // no program, or one that does not say
		}
		telling[name] = true
		for _, p := range b.went[name] {
			if strings.HasPrefix(p.Ref, goToolchain) {
				linked[p.Ref] = true
			}
		}
		for _, m := range info.Deps {
			for m.Replace != nil {
				m = m.Replace
			}
			for _, p := range b.went[name] {
				if p.Name == m.Path && p.Version == m.Version && strings.HasPrefix(p.Ref, "pkg:golang/") {
					linked[p.Ref] = true
				}
			}
		}
	}
	for name := range b.Graph.Components {
		silent[name] = !telling[name]
	}
	return linked, silent, nil
}
