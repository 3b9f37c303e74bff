package rust

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"headwater/internal/artifact"
	"headwater/internal/ecosystem"
	"headwater/internal/lock"
)

// roleBindgen is the role of the artifacts that wasm-bindgen is built from.
const roleBindgen = "wasm-bindgen"

// Rust is the ecosystem "rust".
type Rust struct{}

// New makes it.
func New() Rust { return Rust{} }

// Name implements ecosystem.Ecosystem.
func (Rust) Name() string { return "rust" }

// data is what the lock has of a component besides its artifacts.
type data struct {
	// Git has, by name and version of a package out of a git repository, the folder in the archive that it is in.
	Git map[string]string `json:"git,omitempty"`
	// Bindgen is the version of wasm-bindgen.
	Bindgen string `json:"bindgen,omitempty"`
}

// Lock implements ecosystem.Ecosystem: it pins all that Cargo.lock names.
func (Rust) Lock(ctx context.Context, r ecosystem.LockRequest) (lock.Component, error) {
	o, err := parseOptions(r.Component)
	if err != nil {
		return lock.Component{}, err
	}
	w, err := readWorkspace(r.Source, r.Component)
	if err != nil {
		return lock.Component{}, err
	}
	if err := checkRoot(r.Root, w, r.Source, o); err != nil {
		return lock.Component{}, err
	}
	known := map[string]lock.Artifact{}
	for _, a := range r.Previous.Artifacts {
		known[a.Artifact().Ref()] = a
	}
	l := locker{ctx: ctx, net: r.Network, known: known}
	list := crates(w.Packages, "")
	for i, a := range list {
		if old, ok := known[a.Artifact().Ref()]; ok && old.Hash == a.Hash {
			list[i].Size = old.Size
		}
	}
	d := data{}
	archives, err := l.archives(w.Packages, o, &d)
	if err != nil {
		return lock.Component{}, err
	}
	list = append(list, archives...)
	if o.Bindgen != "" {
		tool, err := l.bindgen(w.Packages, &d)
		if err != nil {
			return lock.Component{}, err
		}
		list = append(list, tool...)
	}
	noted, err := json.Marshal(d)
	if err != nil {
		return lock.Component{}, err
	}
	return lock.Component{Artifacts: list, Data: noted}, nil
}

// crates are the artifacts of the packages that a registry has.
func crates(packages []Package, role string) []lock.Artifact {
	var list []lock.Artifact
	for _, p := range packages {
		if !p.Checksum.IsZero() {
			list = append(list, lock.Artifact{Ecosystem: artifact.Cargo, Name: p.Name, Version: p.Version, File: p.file(), Hash: p.Checksum, Role: role})
		}
	}
	return list
}

// archiveOf names the archive of the commit that a package is out of: git's, if the options name no other.
func archiveOf(g *Git, o options) artifact.Artifact {
	if o.Git[g.URL] == "" {
		return artifact.GitArchive(g.URL, g.Commit)
	}
	name := strings.TrimSuffix(g.URL[strings.LastIndexByte(g.URL, '/')+1:], ".git")
	return artifact.Artifact{
		Ecosystem: artifact.URL, Name: name, Version: g.Commit, File: name + "-" + g.Commit + ".tar.gz",
		Hint: strings.ReplaceAll(o.Git[g.URL], "{commit}", g.Commit),
	}
}

// locker pins what has to be looked at.
type locker struct {
	ctx   context.Context
	net   ecosystem.Network
	known map[string]lock.Artifact
}

func (l locker) get(a artifact.Artifact) (string, artifact.Artifact, error) {
	if old, ok := l.known[a.Ref()]; ok {
		a.Hash = old.Hash
	}
	return l.net.Get(l.ctx, a)
}

// archives pins the archives of git repositories, and finds the packages in them.
func (l locker) archives(packages []Package, o options, d *data) ([]lock.Artifact, error) {
	d.Git = map[string]string{}
	found := map[string]map[string]string{} // by reference of the archive
	var list []lock.Artifact
	for _, p := range packages {
		if p.Git == nil {
			continue
		}
		a := archiveOf(p.Git, o)
		folders, ok := found[a.Ref()]
		if !ok {
			file, got, err := l.get(a)
			if err != nil {
				return nil, err
			}
			if folders, err = packagesIn(file); err != nil {
				return nil, fmt.Errorf("read the archive of %s: %w", p.Git.URL, err)
			}
			found[a.Ref()] = folders
			list = append(list, lock.Artifact{Ecosystem: a.Ecosystem, Name: a.Name, Version: a.Version, File: a.File, Hash: got.Hash, Size: got.Size, Hint: a.Hint})
		}
		if d.Git[p.dir()], ok = folders[p.Name]; !ok {
			return nil, fmt.Errorf("the archive of %s at %s has no package %s", p.Git.URL, p.Git.Commit, p.Name)
		}
	}
	return list, nil
}

// bindgenPackage is the package of the program that goes with the library wasm-bindgen, which has to be of the same version.
const bindgenPackage = "wasm-bindgen-cli"

// bindgen pins wasm-bindgen's program and all that it is built from, which the Cargo.lock in its own file names.
func (l locker) bindgen(packages []Package, d *data) ([]lock.Artifact, error) {
	i := slices.IndexFunc(packages, func(p Package) bool { return p.Name == "wasm-bindgen" })
	if i < 0 {
		return nil, errors.New("the option bindgen is set, but Cargo.lock has no wasm-bindgen")
	}
	d.Bindgen = packages[i].Version
	tool := Package{Name: bindgenPackage, Version: d.Bindgen}
	file, got, err := l.get(artifact.Artifact{Ecosystem: artifact.Cargo, Name: tool.Name, Version: tool.Version, File: tool.file()})
	if err != nil {
		return nil, err
	}
	text, err := memberOf(file, tool.dir()+"/Cargo.lock")
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", tool.file(), err)
	}
	needs, err := ParseLock(text)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", tool.file(), err)
	}
	for _, p := range needs {
		if p.Git != nil {
			return nil, fmt.Errorf("read %s: %s comes from git", tool.file(), p.Name)
		}
	}
	list := crates(needs, roleBindgen)
	return append(list, lock.Artifact{Ecosystem: got.Ecosystem, Name: got.Name, Version: got.Version, File: got.File, Hash: got.Hash, Size: got.Size, Role: roleBindgen}), nil
}
