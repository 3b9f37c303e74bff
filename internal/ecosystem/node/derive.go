package node

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"headwater/internal/dag"
	"headwater/internal/ecosystem"
	"headwater/internal/nix"
)

// Derive implements ecosystem.Ecosystem.
func (Ecosystem) Derive(r ecosystem.DeriveRequest) (*dag.Node, error) {
	o, err := parseOptions(r.Component.Options)
	if err != nil {
		return nil, err
	}
	t, err := toolchain(r)
	if err != nil {
		return nil, err
	}
	if o.Toolchain {
		return t.own()
	}
	p, err := openProject(r.Source.FS(), r.Component.Dir, o.Manager)
	if err != nil {
		return nil, err
	}
	deps, err := dependencies(r, p, o, t)
	if err != nil {
		return nil, err
	}
	mounts := t.mounts
	for _, dir := range p.Folders {
		at := path.Join(p.dir, dir)
		mounts = append(mounts, dag.Mount{From: deps, Path: at, At: path.Join(r.SourceTop(), at), Writable: true}) // tools keep caches in it
	}
	prepare := t.prepare
	for _, name := range p.kept() {
		at := path.Join(p.dir, name)
		prepare += fmt.Sprintf("\nif [ -e %[1]s ]; then install -D -m 644 %[1]s %[2]s; fi", dag.Quote(string(deps.Path())+"/"+at), dag.Quote(path.Join(r.SourceTop(), at)))
	}
	return r.Build(ecosystem.Build{
		Mounts: mounts, Inputs: []*dag.Node{deps}, Env: t.environment(p.Manager), Prepare: prepare,
		Commands: []string{p.Manager.command() + " run build"}, Output: map[string]string{".": "dist"},
	})
}

// kept are files that installing leaves besides node_modules and that the manager wants to see when it runs scripts.
func (p project) kept() []string {
	if p.Manager == berry {
		return []string{".yarn/install-state.gz"}
	}
	return nil
}

// installPlan is what install.js is told.
type installPlan struct {
	Manager    Manager           `json:"manager"`
	Places     map[string]string `json:"places"` // npm: folder in the lock → path of the tarball below the registry
	Served     []served          `json:"served"`
	Workspaces []string          `json:"workspaces"`
	Folders    []string          `json:"folders"` // each node_modules
	Keep       []string          `json:"keep"`
	Omit       []string          `json:"omit"`
	Scripts    bool              `json:"scripts"`
}

// served is a tarball that the build's own registry has.
type served struct {
	Name      string `json:"name"`
	Version   string `json:"version"`
	Path      string `json:"path"`           // below the registry
	File      string `json:"file,omitempty"` // "": a package of another platform; a stub stands for it
	URL       string `json:"url,omitempty"`  // where the lock says it is
	Integrity string `json:"integrity,omitempty"`
}

// dependencies makes the node that has the node_modules folders of the project and its workspaces, each at its place
// relative to the source's top. It depends on manifests, lock, tarballs and toolchain, not on the sources.
func dependencies(r ecosystem.DeriveRequest, p project, o options, t tools) (*dag.Node, error) {
	manifests, err := r.Source.Node(p.manifestPatterns(r.Source.FS())...)
	if err != nil {
		return nil, err
	}
	inputs := []*dag.Node{manifests}
	fetched := map[string]*dag.Node{} // by key, and npm's by hash
	hashes := map[string]nix.Hash{}
	for _, a := range r.Lock.Artifacts {
		n, err := r.Maker.Fetch(a.Artifact())
		if err != nil {
			return nil, err
		}
		fetched[keyOf(a)], fetched[a.Upstream().Hash.String()], hashes[keyOf(a)] = n, n, a.Hash
		inputs = append(inputs, n)
	}
	plan := installPlan{
		Manager: p.Manager, Places: map[string]string{}, Served: []served{}, Workspaces: list(p.Workspaces), Folders: list(p.Folders),
		Keep: list(p.kept()), Omit: list(o.Omit), Scripts: o.Scripts == nil || *o.Scripts,
	}
	if plan.Served, err = serve(r, p, fetched, hashes); err != nil {
		return nil, err
	}
	for _, a := range r.Lock.Artifacts {
		if a.Role == asked {
			plan.Served = append(plan.Served, served{Name: a.Name, Version: a.Version, Path: a.Name + "/-/" + a.File, File: string(fetched[keyOf(a)].Path()), Integrity: a.Hash.SRI()})
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(p.Placed)) {
		n, ok := fetched[p.Placed[dir].String()]
		if !ok {
			return nil, stale(dir)
		}
		plan.Places[dir] = "npm/" + path.Base(string(n.Path())) // file names repeat across scopes
		s := served{Name: dir, Path: plan.Places[dir], File: string(n.Path())}
		if !slices.ContainsFunc(plan.Served, func(o served) bool { return o.Path == s.Path }) {
			plan.Served = append(plan.Served, s)
		}
	}
	text, err := json.Marshal(plan) // sorts keys
	if err != nil {
		return nil, err
	}
	files := map[string]string{"install": t.installer(), "plan": string(text)}
	prepare, err := rewrite(r.Lock.Artifacts, p, files)
	if err != nil {
		return nil, err
	}
	top, dir := r.SourceTop(), path.Join(r.SourceTop(), p.dir)
	return r.Maker.InRoot(dag.InRoot{
		Kind: dag.Deps, Name: r.Recipe.Name + "-" + r.Name + "-node-modules", Title: "node_modules of " + r.Name, Component: r.Name,
		Root: r.Root, Mounts: t.mounts, Inputs: inputs, Env: t.environment(p.Manager),
		Files:    files,
		OutputAt: map[string]string{top: "out"},
		Script: t.prepare + "\ncp -r --no-preserve=mode " + string(manifests.Path()) + "/. " + dag.Quote(top) + "\ncd " + dag.Quote(dir) + prepare +
			"\nnode \"$installPath\" \"$planPath\"\n",
	})
}

// serve lists what the build's registry has.
func serve(r ecosystem.DeriveRequest, p project, fetched map[string]*dag.Node, hashes map[string]nix.Hash) ([]served, error) {
	var data lockData
	if len(r.Lock.Data) > 0 {
		if err := json.Unmarshal(r.Lock.Data, &data); err != nil {
			return nil, fmt.Errorf("read the lock's data of %s: %w", r.Name, err)
		}
	}
	out := []served{}
	for _, pkg := range p.Packages {
		a := pkg.artifact()
		s := served{Name: pkg.Name, Version: pkg.Version, Path: pkg.Name + "/-/" + a.File, URL: pkg.URL}
		if pkg.Elsewhere {
			s.Path = "elsewhere/" + nix.Sum(nix.SHA256, []byte(pkg.URL)).Base16()[:16] + "/" + a.File
			if !strings.HasSuffix(s.Path, "gz") { // managers tell archives by their names
				s.Path += ".tgz"
			}
		}
		n, ok := fetched[pkg.key()]
		_, elsewhere := slices.BinarySearch(data.Elsewhere, pkg.key())
		switch {
		case ok && (pkg.Hash.IsZero() || hashes[pkg.key()] == pkg.Hash):
			s.File, s.Integrity = string(n.Path()), hashes[pkg.key()].SRI()
		case !pkg.Optional || !elsewhere:
			return nil, stale(pkg.key())
		}
		out = append(out, s)
	}
	return out, nil
}

func stale(what string) error {
	return fmt.Errorf("derive dependencies: %s is not in headwater.lock: run headwater lock", what)
}

// list is never nil, so that it is a list in JSON too.
func list(l []string) []string { return append([]string{}, l...) }
