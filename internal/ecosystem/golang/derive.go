package golang

import (
	_ "embed"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"headwater/internal/dag"
	"headwater/internal/ecosystem"
	"headwater/internal/lock"
)

// The scripts of the nodes. prelude is the end of what begins all that run Go; seal ends those that compile, and leaves of the build cache what
// is new.
var (
	//go:embed toolchain.sh
	toolchainScript string
	//go:embed prelude.sh
	prelude string
	//go:embed std.sh
	stdScript string
	//go:embed modules.sh
	modulesScript string
	//go:embed deps.sh
	depsScript string
	//go:embed cache.sh
	cacheScript string
	//go:embed seal.sh
	sealScript string
)

// Where things are during a build. They are not below /usr, which is read-only, and stand in no output thanks to -trimpath.
const (
	goRoot   = "/opt/go"
	modCache = "/opt/go-modules"
	goCache  = "/build/.go-cache"
)

// Derive implements ecosystem.Ecosystem.
func (Golang) Derive(r ecosystem.DeriveRequest) (*dag.Node, error) {
	d, err := newDeriver(r)
	if err != nil {
		return nil, err
	}
	if !ownGo(r.Recipe, r.Root) {
		if d.toolchain, err = d.makeToolchain(); err != nil {
			return nil, err
		}
	}
	if d.std, err = d.makeStd(); err != nil {
		return nil, err
	}
	if len(d.m.Sums) > 0 {
		if d.modules, err = d.makeModules(); err != nil {
			return nil, err
		}
	}
	deps, err := d.makeDeps()
	if err != nil {
		return nil, err
	}
	cache, err := d.makeCache(deps)
	if err != nil {
		return nil, err
	}
	return d.component(cache)
}

// deriver makes one component's nodes.
type deriver struct {
	ecosystem.DeriveRequest
	o         options
	m         *modules
	goVersion string
	imports   []string
	toolchain *dag.Node // nil where the root has Go
	std       *dag.Node
	modules   *dag.Node // nil where no module is needed, or all are vendored
	swap      string    // bash: writes what stands in for modules into go.mod and go.sum files, "" if nothing does
}

func newDeriver(r ecosystem.DeriveRequest) (*deriver, error) {
	o, err := parseOptions(r.Component)
	if err != nil {
		return nil, err
	}
	d := &deriver{DeriveRequest: r}
	if d.goVersion, err = goVersion(r); err != nil {
		return nil, err
	}
	fsys := r.Source.FS()
	if d.m, err = readModules(fsys, r.Component, o); err != nil {
		return nil, err
	}
	if !d.m.Vendored && !r.Lock.Inputs[path.Join(d.m.Top, "vendor/modules.txt")].IsZero() && (o.Vendor == nil || *o.Vendor) {
		return nil, fmt.Errorf("%s/vendor is in the source but not in the component's src: add it, or set the option vendor to false", d.m.Top)
	}
	if err := d.standIns(); err != nil {
		return nil, err
	}
	dir := path.Join(".", r.Component.Dir)
	if len(o.Packages) == 0 {
		switch {
		case len(r.Component.Build) > 0:
			o.Packages = []string{"./..."}
		case d.m.main(fsys, dir, o, d.goVersion, r.Component.Env):
			o.Packages = []string{"."}
		default:
			return nil, fmt.Errorf("%s is not the folder of a main package: name what to build in the option packages, such as [./cmd/server]", dir)
		}
	}
	d.o = o
	d.imports, err = d.m.imports(fsys, dir, o, d.goVersion, r.Component.Env)
	return d, err
}

// env is what all that compiles sees, of which the recipe's environment is a part.
func (d *deriver) env(flags string) map[string]string {
	env := toolEnv(d.Component.Env)
	maps.Copy(env, closed(flags))
	env["CGO_ENABLED"] = "0"
	if d.o.Cgo {
		env["CGO_ENABLED"] = "1"
	}
	return env
}

// closed makes the go command ask nothing of the outside: no settings, no toolchain, no proxy, no sum database.
func closed(flags string) map[string]string {
	return map[string]string{"GOENV": "off", "GOTOOLCHAIN": "local", "GOPROXY": "off", "GOSUMDB": "off", "GOFLAGS": flags}
}

// mod is the value of the go command's -mod. Where nothing of the component is built, "mod" is used: it lets generated modules
// be missing. A workspace does not take it.
func (d *deriver) mod(building bool) string {
	switch {
	case d.m.Vendored:
		return "vendor"
	case building || d.m.Work:
		return "readonly"
	}
	return "mod"
}

// tools mounts the toolchain, if it does not come with the root.
func (d *deriver) tools() []dag.Mount {
	if d.toolchain == nil {
		return nil
	}
	return []dag.Mount{{From: d.toolchain, At: goRoot}}
}

// prelude begins the scripts of all that run Go.
func (d *deriver) prelude() string {
	if d.toolchain == nil {
		return prelude
	}
	return "export PATH=" + goRoot + "/bin:$PATH\n" + prelude
}

// library mounts the module cache, if there is one.
func (d *deriver) library() (mounts []dag.Mount, env map[string]string) {
	if d.modules == nil {
		return nil, map[string]string{}
	}
	return []dag.Mount{{From: d.modules, At: modCache}}, map[string]string{"GOMODCACHE": modCache}
}

func (d *deriver) makeToolchain() (*dag.Node, error) {
	list := d.Toolchains["go"]
	if len(list) != 1 {
		return nil, fmt.Errorf("the lock has %d artifacts for the toolchain go, want 1: run headwater lock", len(list))
	}
	zip, err := d.Maker.Fetch(list[0].Artifact())
	if err != nil {
		return nil, err
	}
	return d.Maker.InRoot(dag.InRoot{
		Kind: dag.Toolchain, Name: "go-" + d.goVersion, Title: "Go " + d.goVersion, Root: d.Root,
		Inputs: []*dag.Node{zip}, Env: map[string]string{"zip": string(zip.Path())}, Script: toolchainScript,
	})
}

func (d *deriver) makeStd() (*dag.Node, error) {
	env := d.env(buildFlags("", stdTags(d.o.Tags)))
	env["rare"] = "(^|/)(internal|vendor)(/|$)|^(" + strings.Join(rareStd[:], "|") + ")(/|$)"
	return d.Maker.InRoot(dag.InRoot{
		Kind: dag.Deps, Name: "go-" + d.goVersion + "-std", Title: "standard library of Go " + d.goVersion, Root: d.Root,
		Mounts: d.tools(), Env: env, Script: d.prelude() + stdScript + sealScript,
	})
}

// makeModules makes the module cache. It depends on the sums alone, not on their order or on what else go.mod says, so that
// components of one module share it.
func (d *deriver) makeModules() (*dag.Node, error) {
	have := known(d.Lock.Artifacts)
	var files, infos, sums, zips strings.Builder
	inputs := make([]*dag.Node, 0, len(d.m.Sums))
	for _, s := range d.m.Sums {
		if a, err := s.artifact(); err == nil && d.m.Left[s.Module] && have[a.Ref()].Hash.IsZero() {
			continue // it was gone when the lock was made
		}
		n, err := d.fetch(have, s)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, n)
		file, err := s.proxyFile()
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&files, "%s\t%s\n", file, n.Path())
		if s.GoMod {
			fmt.Fprintf(&sums, "%s %s/go.mod %s\n", s.Module.Path, s.Module.Version, s.Hash)
			continue
		}
		fmt.Fprintf(&sums, "%s %s %s\n", s.Module.Path, s.Module.Version, s.Hash)
		fmt.Fprintf(&zips, "%s@%s\n", s.Module.Path, s.Module.Version)
		fmt.Fprintf(&infos, "%s\t%s\n", strings.TrimSuffix(file, "zip")+"info", s.Module.Version)
	}
	return d.Maker.InRoot(dag.InRoot{
		Kind: dag.Deps, Name: "go-modules", Title: "Go modules", Component: d.Name, Root: d.Root,
		Mounts: d.tools(), Inputs: inputs, Env: closed("-mod=mod -modcacherw"),
		Files:  map[string]string{"files": files.String(), "infos": infos.String(), "sums": sums.String(), "zips": zips.String()},
		Script: d.prelude() + "export GOMODCACHE=$out\n" + modulesScript,
	})
}

func (d *deriver) fetch(have map[string]lock.Artifact, s Sum) (*dag.Node, error) {
	a, err := s.artifact()
	if err != nil {
		return nil, err
	}
	locked, ok := have[a.Ref()]
	if !ok {
		return nil, fmt.Errorf("the lock does not have %s of %s, which go.sum names: run headwater lock", a.File, a.Name)
	}
	return d.Maker.Fetch(locked.Artifact())
}

// proxyFile is where a module proxy has what s is the sum of.
func (s Sum) proxyFile() (string, error) {
	file, err := s.File()
	if err != nil {
		return "", err
	}
	dir, err := module.EscapePath(s.Module.Path)
	if err != nil {
		return "", err
	}
	return dir + "/@v/" + file, nil
}

// makeDeps compiles what the component imports from elsewhere, nil where that is nothing.
func (d *deriver) makeDeps() (*dag.Node, error) {
	if len(d.imports) == 0 {
		return nil, nil
	}
	src, err := d.Source.Node(d.moduleFiles()...)
	if err != nil {
		return nil, err
	}
	var missing strings.Builder
	for i, o := range d.m.Own {
		if !o.Missing {
			continue
		}
		name := o.Path
		if name == "" {
			name = fmt.Sprintf("headwater.invalid/missing%d", i)
		}
		fmt.Fprintf(&missing, "%s\t%s\n", path.Join(d.SourceTop(), o.Dir), name)
	}
	mounts, env := d.library()
	maps.Copy(env, d.env(buildFlags(d.mod(false), d.o.Tags)))
	env["dir"], env["std"] = d.Dir(), string(d.std.Path())
	mounts = append(mounts, dag.Mount{From: src, At: d.SourceTop(), Writable: true})
	return d.Maker.InRoot(dag.InRoot{
		Kind: dag.Deps, Name: "go-dependencies", Title: "compiled dependencies of " + d.Name, Component: d.Name, Root: d.Root,
		Mounts: append(mounts, d.tools()...), Inputs: []*dag.Node{d.std}, Env: env,
		Files:  map[string]string{"imports": strings.Join(d.imports, "\n") + "\n", "missing": missing.String()},
		Script: d.prelude() + d.swap + depsScript + sealScript,
	})
}

// makeCache puts together what is compiled; deps may be nil.
func (d *deriver) makeCache(deps *dag.Node) (*dag.Node, error) {
	inputs := []*dag.Node{d.std}
	if deps != nil {
		inputs = append(inputs, deps)
	}
	paths := make([]string, len(inputs))
	for i, n := range inputs {
		paths[i] = string(n.Path())
	}
	return d.Maker.InRoot(dag.InRoot{
		Kind: dag.Deps, Name: "go-cache", Title: "build cache of " + d.Name, Component: d.Name, Root: d.Root,
		Inputs: inputs, Env: map[string]string{"caches": strings.Join(paths, " ")}, Script: cacheScript,
	})
}

// globLiteral makes a folder's name a glob that names it alone.
var globLiteral = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "{", `\{`)

// moduleFiles are patterns for what the go command reads of the own modules to find other modules' packages.
func (d *deriver) moduleFiles() []string {
	names := map[string]bool{}
	add := func(dir string, files ...string) {
		for _, f := range files {
			names[path.Join(globLiteral.Replace(dir), f)] = true
		}
	}
	if d.m.Work {
		add(d.m.Top, "go.work", "go.work.sum")
	}
	if d.m.Vendored {
		add(d.m.Top, "vendor/**")
	}
	for _, o := range d.m.Own {
		add(o.Dir, "go.mod", "go.sum")
	}
	return slices.Sorted(maps.Keys(names))
}
