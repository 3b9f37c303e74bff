package rust

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"headwater/internal/artifact"
	"headwater/internal/dag"
	"headwater/internal/ecosystem"
	"headwater/internal/lock"
)

// The scripts of the nodes. prelude begins all that run cargo.
var (
	//go:embed prelude.sh
	prelude string
	//go:embed crates.sh
	cratesScript string
	//go:embed deps.sh
	depsScript string
	//go:embed seal.sh
	sealScript string
	//go:embed bindgen.sh
	bindgenScript string
	//go:embed finish.sh
	finishScript string
)

// Where things are during a build. Paths of crates stand in what is compiled, so they are the same in all builds.
const (
	cratesAt  = "/opt/crates"
	bindgenAt = "/opt/wasm-bindgen"
)

// Derive implements ecosystem.Ecosystem.
func (Rust) Derive(r ecosystem.DeriveRequest) (*dag.Node, error) {
	d, err := newDeriver(r)
	if err != nil {
		return nil, err
	}
	if d.crates, err = d.makeCrates(d.w.Packages, "", "crates of "+d.Name); err != nil {
		return nil, err
	}
	var deps *dag.Node
	if d.crates != nil {
		if deps, err = d.makeDeps(); err != nil {
			return nil, err
		}
	}
	var bindgen *dag.Node
	if d.o.Bindgen != "" {
		if bindgen, err = d.makeBindgen(); err != nil {
			return nil, err
		}
	}
	return d.component(deps, bindgen)
}

// deriver makes one component's nodes.
type deriver struct {
	ecosystem.DeriveRequest
	o      options
	w      *workspace
	data   data
	have   map[string]lock.Artifact // by reference
	crates *dag.Node                // nil where there are none
}

func newDeriver(r ecosystem.DeriveRequest) (*deriver, error) {
	d := &deriver{DeriveRequest: r, have: map[string]lock.Artifact{}}
	var err error
	if d.o, err = parseOptions(r.Component); err != nil {
		return nil, err
	}
	if d.w, err = readWorkspace(r.Source.FS(), r.Component); err != nil {
		return nil, err
	}
	if len(r.Lock.Data) > 0 {
		if err := json.Unmarshal(r.Lock.Data, &d.data); err != nil {
			return nil, fmt.Errorf("read the lock's data: %w", err)
		}
	}
	for _, a := range r.Lock.Artifacts {
		d.have[a.Role+" "+a.Artifact().Ref()] = a
	}
	return d, nil
}

// fetch is the node of an artifact that the lock has.
func (d *deriver) fetch(role string, a artifact.Artifact) (*dag.Node, lock.Artifact, error) {
	locked, ok := d.have[role+" "+a.Ref()]
	if !ok || !a.Hash.IsZero() && a.Hash != locked.Hash {
		return nil, locked, fmt.Errorf("the lock does not have %s as Cargo.lock names it: run headwater lock", a.File)
	}
	n, err := d.Maker.Fetch(locked.Artifact())
	return n, locked, err
}

// makeCrates lays out packages as cargo has them in a directory source (The Cargo Book, "Source Replacement"), nil where there are none.
func (d *deriver) makeCrates(packages []Package, role, title string) (*dag.Node, error) {
	var files strings.Builder
	var inputs []*dag.Node
	for _, p := range packages {
		a, folder, sum := artifact.Artifact{Ecosystem: artifact.Cargo, Name: p.Name, Version: p.Version, File: p.file(), Hash: p.Checksum}, ".", "null"
		switch {
		case p.Git != nil:
			a, folder = archiveOf(p.Git, d.o), d.data.Git[p.dir()]
			if folder == "" {
				return nil, fmt.Errorf("the lock does not say where %s is in its archive: run headwater lock", p.Name)
			}
		case p.Checksum.IsZero():
			continue
		default:
			sum = `"` + p.Checksum.Base16() + `"`
		}
		n, _, err := d.fetch(role, a)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, n)
		fmt.Fprintf(&files, "%s\t%s\t%s\t%s\n", p.dir(), n.Path(), folder, sum)
	}
	if len(inputs) == 0 {
		return nil, nil
	}
	return d.Maker.InRoot(dag.InRoot{
		Kind: dag.Deps, Name: "crates", Title: title, Component: d.Name, Root: d.Root, Inputs: inputs,
		Files: map[string]string{"files": files.String()}, Script: cratesScript,
	})
}

// env is what all that runs cargo sees. The recipe's own variables are in it: build scripts of crates may read any.
func (d *deriver) env() map[string]string {
	env := maps.Clone(d.Component.Env)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, map[string]string{
		"CARGO_HOME": "/build/.cargo-home", "CARGO_NET_OFFLINE": "true", "CARGO_INCREMENTAL": "0", "CARGO_TERM_COLOR": "never",
		"CARGO_TARGET_DIR": d.target(),
	})
	return env
}

// target is the absolute path of cargo's target folder.
func (d *deriver) target() string { return path.Join(d.SourceTop(), d.w.Top, "target") }

// files are the files of all that run cargo: its settings, which have it take the crates for what the registry and the repositories have.
func (d *deriver) files() map[string]string {
	return map[string]string{"cargoConfig": sources(d.w.Packages)}
}

// sources are the settings that replace where packages come from.
func sources(packages []Package) string {
	var s strings.Builder
	s.WriteString("[source.headwater]\ndirectory = \"" + cratesAt + "\"\n[source.crates-io]\nreplace-with = \"headwater\"\n")
	done := map[Git]bool{}
	for _, p := range packages {
		if p.Git == nil {
			continue
		}
		g := *p.Git
		g.Commit = ""
		if done[g] {
			continue
		}
		done[g] = true
		fmt.Fprintf(&s, "[source.git%d]\ngit = %s\n", len(done), quoteTOML(g.URL))
		if g.Ref != "" {
			fmt.Fprintf(&s, "%s = %s\n", g.Ref, quoteTOML(g.Value))
		}
		s.WriteString("replace-with = \"headwater\"\n")
	}
	return s.String()
}

// quoteTOML makes s a basic string; JSON's escapes are among TOML's.
func quoteTOML(s string) string {
	b, err := json.Marshal(s)
	if err != nil { // text always is JSON
		return `""`
	}
	return string(b)
}

// cratesMount mounts the crates, if there are any.
func (d *deriver) cratesMount() []dag.Mount {
	if d.crates == nil {
		return nil
	}
	return []dag.Mount{{From: d.crates, At: cratesAt}}
}

// makeDeps compiles what the workspace needs from elsewhere.
func (d *deriver) makeDeps() (*dag.Node, error) {
	skeleton, err := d.w.skeleton(d.Source.FS())
	if err != nil {
		return nil, err
	}
	env, files := d.env(), d.files()
	var list strings.Builder
	for i, name := range slices.Sorted(maps.Keys(skeleton)) {
		if strings.ContainsAny(name, "\n\t\x00") {
			return nil, fmt.Errorf("the workspace has the path %q, which has a line end or a tab", name)
		}
		v := fmt.Sprint("skeleton", i)
		files[v] = skeleton[name]
		fmt.Fprintf(&list, "%s\t%sPath\n", path.Join(d.SourceTop(), name), v)
	}
	files["skeleton"] = list.String()
	clean := quoted(d.o.place())
	for _, name := range d.w.names() {
		clean += " -p " + dag.Quote(name)
	}
	env["dir"] = d.Dir()
	return d.Maker.InRoot(dag.InRoot{
		Kind: dag.Deps, Name: "rust-dependencies", Title: "compiled dependencies of " + d.Name, Component: d.Name, Root: d.Root,
		Mounts: d.cratesMount(), Env: env, Files: files, OutputAt: map[string]string{d.target(): "out"},
		Script: prelude + depsScript + "cargo build" + quoted(d.o.selection()) + "\ncargo clean" + clean + "\n" + sealScript,
	})
}

func quoted(args []string) string {
	var s strings.Builder
	for _, a := range args {
		s.WriteString(" " + dag.Quote(a))
	}
	return s.String()
}

// makeBindgen builds wasm-bindgen's program.
func (d *deriver) makeBindgen() (*dag.Node, error) {
	var packages []Package
	for _, a := range d.Lock.Artifacts {
		if a.Role == roleBindgen && a.Name != bindgenPackage {
			packages = append(packages, Package{Name: a.Name, Version: a.Version, Checksum: a.Hash})
		}
	}
	tool := Package{Name: bindgenPackage, Version: d.data.Bindgen}
	src, _, err := d.fetch(roleBindgen, artifact.Artifact{Ecosystem: artifact.Cargo, Name: tool.Name, Version: tool.Version, File: tool.file()})
	if err != nil {
		return nil, err
	}
	crates, err := d.makeCrates(packages, roleBindgen, "crates of wasm-bindgen")
	if err != nil {
		return nil, err
	}
	if crates == nil {
		return nil, errors.New("the lock has nothing that wasm-bindgen is built from: run headwater lock")
	}
	return d.Maker.InRoot(dag.InRoot{
		Kind: dag.Toolchain, Name: "wasm-bindgen-" + tool.Version, Title: "wasm-bindgen " + tool.Version, Root: d.Root,
		Mounts: []dag.Mount{{From: crates, At: cratesAt}}, Inputs: []*dag.Node{src},
		Env:   map[string]string{"CARGO_HOME": "/build/.cargo-home", "CARGO_NET_OFFLINE": "true", "CARGO_TERM_COLOR": "never", "crate": string(src.Path())},
		Files: map[string]string{"cargoConfig": sources(nil)}, Script: prelude + bindgenScript,
	})
}

// component makes the component's own node.
func (d *deriver) component(deps, bindgen *dag.Node) (*dag.Node, error) {
	mounts := d.cratesMount()
	if deps != nil {
		mounts = append(mounts, dag.Mount{From: deps, At: d.target(), Writable: true})
	}
	env, prepare, finish := d.env(), prelude, finishScript
	commands := []string{"cargo build --locked" + quoted(d.o.selection())}
	if bindgen != nil {
		mounts = append(mounts, dag.Mount{From: bindgen, At: bindgenAt})
		prepare += "export PATH=" + bindgenAt + "/bin:$PATH\n"
		args := []string{"--target", d.o.Bindgen, "--out-dir", "pkg"}
		if d.o.BindgenName != "" {
			args = append(args, "--out-name", d.o.BindgenName)
		}
		finish += "[ -e \"$out/pkg\" ] || cp -r pkg \"$out/pkg\"\n"
		commands = append(commands, "wasm-bindgen"+quoted(args)+` "$CARGO_TARGET_DIR"/`+d.o.folder()+"/*.wasm")
	}
	env["made"] = path.Join(d.target(), d.o.folder())
	return d.Build(ecosystem.Build{
		Mounts: mounts, Env: env, Files: d.files(), Prepare: prepare, Commands: commands, Finish: finish,
	})
}
