package python

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"headwater/internal/artifact"
	"headwater/internal/dag"
	"headwater/internal/nix"
)

//go:embed install.py
var installer string

//go:embed build.py
var hookRunner string

// buildEnv is where a package's build requirements stand while it is built.
const buildEnv = "/build/env"

// enterBuild makes the environment of the build requirements and steps into it. Hash seeds decide the order of sets, and
// some setup scripts write what they iterate over.
const enterBuild = `"$python" -I -S -B "$installPath" "$environmentPath"
export PATH=` + buildEnv + `/bin:$PATH VIRTUAL_ENV=` + buildEnv + ` PYTHONHASHSEED=0 CMAKE_BUILD_PARALLEL_LEVEL="$CORES"
` + buildEnv + `/bin/python -P "$hookPath" "$specPath" "$out"
`

// repository is where the tree of a commit stands whose package is in a folder of it: what is beside the folder may be needed too.
const repository = "/build/repository"

// enterRepository unpacks such a tree, which is one folder in a tar file.
func enterRepository(archive string) string {
	return `mkdir unpacked
"$python" -I -S -B -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall("unpacked", filter="data")' ` + dag.Quote(archive) + `
mv unpacked/* ` + repository + "\n"
}

// maker makes a component's nodes, for locking and for deriving alike.
type maker struct {
	*dag.Maker
	component   string
	root        *dag.Node
	interpreter string            // absolute path in the root
	env         map[string]string // of builds: the component's
	files       map[string]artifact.Artifact
	sdists      map[string]build
	building    []string // sdists whose nodes are being made, to notice a cycle
}

// installSpec is install.py's input.
type installSpec struct {
	Venv     string      `json:"venv"`
	Python   string      `json:"python"`
	Bytecode bool        `json:"bytecode"`
	Wheels   []wheelSpec `json:"wheels"`
}

type wheelSpec struct {
	File string        `json:"file"`
	Path nix.StorePath `json:"path"` // a wheel, or a folder with one in it
	URL  string        `json:"url"`  // content of direct_url.json
}

// hookSpec is build.py's input.
type hookSpec struct {
	Source      string            `json:"source"`
	Skeleton    map[string]string `json:"skeleton,omitempty"`
	Names       []string          `json:"names,omitempty"`
	Backend     string            `json:"backend"`
	BackendPath []string          `json:"backendPath"`
	Hook        string            `json:"hook"`
	Name        string            `json:"name"`
	Version     string            `json:"version"`
	Crates      []crateSpec       `json:"crates,omitempty"`
}

type crateSpec struct {
	Path   nix.StorePath `json:"path"`
	Name   string        `json:"name"` // of its folder
	SHA256 string        `json:"sha256"`
}

// hookNode runs a hook of a package's build backend in an environment of its build requirements.
type hookNode struct {
	name, title string
	build       build
	spec        hookSpec
	source      *dag.Node // what spec.Source is, nil if that is no store path
	mounts      []dag.Mount
}

func (m *maker) hook(h hookNode) (*dag.Node, error) {
	env, inputs, err := m.wheels(h.build.Env)
	if err != nil {
		return nil, err
	}
	if h.source != nil {
		inputs = append(inputs, h.source)
	}
	for _, file := range h.build.Crates {
		a := m.files[file]
		fetch, err := m.Fetch(a)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, fetch)
		h.spec.Crates = append(h.spec.Crates, crateSpec{Path: fetch.Path(), Name: a.Name + "-" + a.Version, SHA256: a.Hash.Base16()})
	}
	h.spec.Backend, h.spec.BackendPath = h.build.Backend, h.build.BackendPath
	environment, err := json.Marshal(installSpec{Venv: buildEnv, Python: m.interpreter, Wheels: env})
	if err != nil {
		return nil, err
	}
	// Debian's interpreter hands its own -g on to every compiler; nothing here is debugged, and it costs time and space. CFLAGS
	// would take the place of all the interpreter's flags, -O2 among them; CPPFLAGS come after them.
	variables := map[string]string{"CPPFLAGS": "-g0"}
	maps.Copy(variables, m.env)
	variables["python"] = m.interpreter
	script := enterBuild
	if h.build.Folder != "" && h.source != nil {
		script = enterRepository(h.spec.Source) + script
		h.spec.Source = path.Join(repository, h.build.Folder)
	}
	spec, err := json.Marshal(h.spec)
	if err != nil {
		return nil, err
	}
	return m.InRoot(dag.InRoot{
		Kind: dag.Deps, Name: storeName(h.name), Title: h.title, Component: m.component, Root: m.root,
		Inputs: inputs, Mounts: h.mounts, Env: variables, Script: script,
		Files: map[string]string{"install": installer, "environment": string(environment), "hook": hookRunner, "spec": string(spec)},
	})
}

// wheels are the nodes of files, those of sdists built.
func (m *maker) wheels(files []string) ([]wheelSpec, []*dag.Node, error) {
	specs := []wheelSpec{}
	var inputs []*dag.Node
	for _, file := range slices.Sorted(slices.Values(files)) {
		n, err := m.wheel(file)
		if err != nil {
			return nil, nil, err
		}
		specs = append(specs, wheelSpec{File: file, Path: n.Path()})
		inputs = append(inputs, n)
	}
	return specs, inputs, nil
}

// wheel is the node of a file: its fetch, or for an sdist the folder with the wheel built of it.
func (m *maker) wheel(file string) (*dag.Node, error) {
	a, ok := m.files[file]
	if !ok {
		return nil, fmt.Errorf("file %s is not in the lock", file)
	}
	fetch, err := m.Fetch(a)
	if err != nil {
		return nil, err
	}
	b, ok := m.sdists[file]
	if !ok {
		return fetch, nil
	}
	if slices.Contains(m.building, file) {
		return nil, fmt.Errorf("build of %s needs itself: %s", file, strings.Join(append(m.building, file), " → "))
	}
	m.building = append(m.building, file)
	defer func() { m.building = m.building[:len(m.building)-1] }()
	return m.hook(onSDist(a, fetch, b, "wheel"))
}

// onSDist is a hook that is run on an sdist.
func onSDist(a artifact.Artifact, fetch *dag.Node, b build, hook string) hookNode {
	return hookNode{
		name: "python-" + hook + "-" + a.Name + "-" + a.Version, title: hook + " " + a.Name + " " + a.Version, build: b, source: fetch,
		spec: hookSpec{Source: string(fetch.Path()), Hook: hook, Name: a.Name, Version: a.Version},
	}
}

// environment is the virtual environment at venv.
func (m *maker) environment(name, title, venv string, bytecode bool, wheels []wheelSpec, inputs []*dag.Node) (*dag.Node, error) {
	spec, err := json.Marshal(installSpec{Venv: venv, Python: m.interpreter, Bytecode: bytecode, Wheels: wheels})
	if err != nil {
		return nil, err
	}
	return m.InRoot(dag.InRoot{
		Kind: dag.Build, Name: storeName(name), Title: title, Component: m.component, Root: m.root,
		Inputs: inputs, OutputAt: map[string]string{venv: "out"},
		Env:    map[string]string{"python": m.interpreter},
		Files:  map[string]string{"install": installer, "spec": string(spec)},
		Script: `"$python" -I -S -B "$installPath" "$specPath"` + "\n",
	})
}

// directURL is the content of direct_url.json for a folder (PEP 610).
func directURL(dir string, editable bool) (string, error) {
	type info struct {
		Editable bool `json:"editable,omitempty"`
	}
	b, err := json.Marshal(struct {
		URL     string `json:"url"`
		DirInfo info   `json:"dir_info"`
	}{(&url.URL{Scheme: "file", Path: dir}).String(), info{editable}})
	return string(b), err
}

// storeName makes a name fit for a store path.
func storeName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < 0x80 && nix.CheckName("a"+string(r)) == nil {
			return r
		}
		return '_'
	}, path.Base(name))
	return name[:min(len(name), 200)]
}
