package python_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/bmatcuk/doublestar/v4"

	"headwater/internal/artifact"
	"headwater/internal/dag"
	"headwater/internal/ecosystem"
	"headwater/internal/ecosystem/python"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/recipe"
	"headwater/internal/roottest"
	"headwater/internal/sandbox"
)

// wheel makes a pure wheel. files are pairs of path and content; METADATA, WHEEL and RECORD are added.
func wheel(t testing.TB, name, version string, requires []string, files ...string) []byte {
	t.Helper()
	info := strings.ReplaceAll(name, "-", "_") + "-" + version + ".dist-info/"
	metadata := "Metadata-Version: 2.1\nName: " + name + "\nVersion: " + version + "\n"
	for _, r := range requires {
		metadata += "Requires-Dist: " + r + "\n"
	}
	files = append(files, info+"METADATA", metadata+"\nWhat it is.\n", info+"WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n", info+"RECORD", "")
	return zipped(t, files...)
}

func zipped(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		w, err := z.Create(files[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// sdist makes a source archive. files are pairs of path in it and content.
func sdist(t testing.TB, name, version string, files ...string) []byte {
	t.Helper()
	var entries []tar.Header
	var contents []string
	for i := 0; i < len(files); i += 2 {
		entries = append(entries, tar.Header{Name: name + "-" + version + "/" + files[i], Mode: 0o644, Size: int64(len(files[i+1])), Typeflag: tar.TypeReg})
		contents = append(contents, files[i+1])
	}
	return tarred(t, entries, contents)
}

func tarred(t testing.TB, entries []tar.Header, contents []string) []byte {
	t.Helper()
	var b bytes.Buffer
	g := gzip.NewWriter(&b)
	w := tar.NewWriter(g)
	for i, h := range entries {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(contents[i])); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), g.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// shelf is an ecosystem.Network that has files by name and pages of them.
type shelf struct {
	dir   string
	files map[string][]byte
	of    map[string][]string // file names by package

	mu    sync.Mutex
	asked []string
}

// put lays a file of a package on the shelf and returns its hash as lock files spell it.
func (s *shelf) put(name, file string, data []byte) string {
	s.files[file] = data
	s.of[name] = append(s.of[name], file)
	return fmt.Sprintf("sha256:%x", sha256.Sum256(data))
}

func (s *shelf) Get(_ context.Context, a artifact.Artifact) (string, artifact.Artifact, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, a.File)
	data, ok := s.files[a.File]
	if !ok {
		return "", a, fmt.Errorf("get %s: not on the shelf", a.Ref())
	}
	if got := nix.Sum(nix.SHA256, data); !a.Hash.IsZero() && got != a.Hash {
		return "", a, fmt.Errorf("get %s: has %s, want %s", a.Ref(), got, a.Hash)
	}
	a.Hash, a.Size = nix.Sum(nix.SHA256, data), int64(len(data))
	file := filepath.Join(s.dir, fmt.Sprintf("%d", len(s.asked)))
	return file, a, os.WriteFile(file, data, 0o600)
}

func (s *shelf) Index(_ context.Context, eco artifact.Ecosystem, name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, name)
	if _, ok := s.of[name]; !ok || eco != artifact.PyPI {
		return nil, fmt.Errorf("index of %s: not found", name)
	}
	type file struct {
		Filename string            `json:"filename"`
		URL      string            `json:"url"`
		Hashes   map[string]string `json:"hashes"`
	}
	page := struct {
		Meta  map[string]string `json:"meta"`
		Name  string            `json:"name"`
		Files []file            `json:"files"`
	}{Meta: map[string]string{"api-version": "1.0"}, Name: name}
	for _, f := range s.of[name] {
		page.Files = append(page.Files, file{f, "../../" + f, map[string]string{"sha256": fmt.Sprintf("%x", sha256.Sum256(s.files[f]))}})
	}
	return json.Marshal(page)
}

// memory is an ecosystem.Source of files in memory.
type memory struct {
	fsys  fstest.MapFS
	maker *dag.Maker
}

func (m memory) FS() fs.FS { return m.fsys }

func (m memory) Node(patterns ...string) (*dag.Node, error) {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(m.fsys)) {
		if !selects(patterns, name) {
			continue
		}
		fmt.Fprintf(h, "%q %q\n", name, m.fsys[name].Data)
	}
	hash, err := nix.NewHash(nix.SHA256, h.Sum(nil))
	if err != nil {
		return nil, err
	}
	return m.maker.Tree(dag.Node{Kind: dag.Src, Name: "source", Content: address{nix.ContentAddress{Method: nix.NAR, Hash: hash}}}, "source")
}

// selects tells whether the last pattern that matches includes the file.
func selects(patterns []string, name string) bool {
	for _, p := range slices.Backward(patterns) {
		glob, exclude := strings.CutPrefix(p, "!")
		if doublestar.MatchUnvalidated(glob, name) {
			return !exclude
		}
	}
	return len(patterns) == 0
}

// address is a content of which only the address is asked for.
type address struct{ ca nix.ContentAddress }

func (a address) ContentAddress() nix.ContentAddress { return a.ca }
func (a address) Write(context.Context, string, func(nix.StorePath) string) error {
	return fmt.Errorf("%s is not there to be written", a.ca)
}

// backend is a build backend in one module: it packs the modules that are beside pyproject.toml. It asks for what a file
// "asks" lists, and notes what it was built with.
const backend = `
import importlib.metadata, os, tempfile, tomllib, zipfile

def _asks():
    return open("asks").read().split() if os.path.exists("asks") else []

def get_requires_for_build_wheel(config=None):
    return _asks()

get_requires_for_build_editable = get_requires_for_build_wheel

def _build(folder, editable):
    project = tomllib.load(open("pyproject.toml", "rb"))["project"]
    name, version = project["name"].replace("-", "_"), project["version"]
    files = {}
    if editable:
        files[name + ".pth"] = os.getcwd() + "\n"
    else:
        for f in os.listdir("."):
            if f.endswith(".py"):
                files[f] = open(f).read()
    # As some backends do: where it was built stands in the result.
    files[name + "_where.py"] = "WHERE = " + repr(os.path.relpath(tempfile.mkdtemp(dir="."))) + "\n"
    with_ = sorted(d.name + " " + d.version for d in importlib.metadata.distributions())
    files[name + "_built.py"] = "WITH = " + repr(with_) + "\n"
    info = f"{name}-{version}.dist-info/"
    files[info + "METADATA"] = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {version}\n"
    for r in project.get("dependencies", []):
        files[info + "METADATA"] += f"Requires-Dist: {r}\n"
    files[info + "WHEEL"] = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    scripts = project.get("scripts", {})
    if scripts:
        files[info + "entry_points.txt"] = "[console_scripts]\n" + "".join(f"{k} = {v}\n" for k, v in scripts.items())
    files[info + "RECORD"] = "".join(f"{f},,\n" for f in files)
    file = f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, file), "w", zipfile.ZIP_DEFLATED) as z:
        for f, text in files.items():
            z.writestr(f, text)
    return file

def build_wheel(folder, config=None, metadata=None):
    return _build(folder, False)

def build_editable(folder, config=None, metadata=None):
    return _build(folder, True)
`

func pyproject(name, version, requires, more string) string {
	return fmt.Sprintf("[project]\nname = %q\nversion = %q\n%s\n[build-system]\nrequires = [%s]\nbuild-backend = \"packer\"\n", name, version, more, requires)
}

// shop is a project with a uv.lock: a pure wheel, an sdist that has no wheel, one that must be compiled though there is a
// wheel, and an editable member.
type shop struct {
	files     fstest.MapFS
	component recipe.Component
	recipe    recipe.Recipe
	root      lock.Root
	shelf     *shelf
	maker     *dag.Maker
	rootNode  *dag.Node
}

const shopLock = `version = 1
requires-python = ">=3.11"

[[package]]
name = "alpha"
version = "1.4"
source = { registry = "https://index.invalid/simple" }
wheels = [{ url = "https://files.invalid/alpha-1.4-py3-none-any.whl", hash = "ALPHA" }]

[[package]]
name = "lx"
version = "6.0"
source = { registry = "https://index.invalid/simple" }
sdist = { url = "https://files.invalid/lx-6.0.tar.gz", hash = "LX6" }
wheels = [{ url = "https://files.invalid/lx-6.0-py3-none-any.whl", hash = "LXWHEEL" }]

[[package]]
name = "psy"
version = "3.1"
source = { registry = "https://index.invalid/simple" }
sdist = { url = "https://files.invalid/psy-3.1.tar.gz", hash = "PSY" }

[[package]]
name = "shop"
version = "1"
source = { virtual = "." }
dependencies = [{ name = "alpha" }, { name = "lx" }, { name = "psy" }, { name = "shop-core" }]

[[package]]
name = "shop-core"
version = "0.3"
source = { editable = "packages/core" }
`

func newShop(t testing.TB) *shop {
	t.Helper()
	s := &shop{
		shelf: &shelf{dir: t.TempDir(), files: map[string][]byte{}, of: map[string][]string{}},
		root: lock.Root{Packages: []lock.Artifact{
			{Name: "libc6", Version: "2.41-12"}, {Name: "python3.13", Version: "3.13.5-2+deb13u1"}, {Name: "python3.13-minimal", Version: "3.13.5-2"},
		}},
		component: recipe.Component{
			Ecosystem: "python", Root: "build", Dir: "backend", At: "/app", Src: []string{"backend"},
			Options: map[string]any{"venv": "/opt/venv"},
		},
		recipe: recipe.Recipe{Name: "shop", Release: "1.0"},
		maker:  new(dag.Maker),
	}
	packer := func(version string, requires ...string) {
		s.shelf.put("packer", "packer-"+version+"-py3-none-any.whl", wheel(t, "packer", version, requires, "packer.py", backend))
	}
	packer("1.0", "plug>=1")
	packer("2.0", "plug>=1")
	packer("3.0", "plug>=9")
	for _, v := range []string{"1.0", "1.1"} {
		s.shelf.put("plug", "plug-"+v+"-py3-none-any.whl", wheel(t, "plug", v, nil, "plug.py", ""))
	}
	// helper has no wheel, so it is built to be a build requirement.
	s.shelf.put("helper", "helper-0.5.tar.gz", sdist(t, "helper", "0.5", "pyproject.toml", pyproject("helper", "0.5", `"packer<2"`, ""), "helper.py", "X = 1\n"))
	alpha := wheel(t, "alpha", "1.4", nil, "alpha/__init__.py", "def main():\n    print('alpha')\n", "alpha-1.4.dist-info/entry_points.txt", "[console_scripts]\nalpha-run = alpha:main\n")
	text := shopLock
	for word, hash := range map[string]string{
		"ALPHA":   s.shelf.put("alpha", "alpha-1.4-py3-none-any.whl", alpha),
		"LXWHEEL": s.shelf.put("lx", "lx-6.0-py3-none-any.whl", wheel(t, "lx", "6.0", nil, "lx.py", "COMPILED = False\n")),
		"LX6":     s.shelf.put("lx", "lx-6.0.tar.gz", sdist(t, "lx", "6.0", "pyproject.toml", pyproject("lx", "6.0", `"packer>=1"`, ""), "lx.py", "COMPILED = True\n")),
		"PSY":     s.shelf.put("psy", "psy-3.1.tar.gz", sdist(t, "psy", "3.1", "pyproject.toml", pyproject("psy", "3.1", `"packer==1.0"`, ""), "asks", "helper", "psy.py", "X = 2\n")),
	} {
		text = strings.Replace(text, `"`+word+`"`, `"`+hash+`"`, 1)
	}
	s.files = fstest.MapFS{}
	s.write("backend/uv.lock", text)
	s.write("backend/pyproject.toml", "[project]\nname = \"shop\"\nversion = \"1\"\n[tool.uv]\nno-binary-package = [\"lx\"]\n")
	s.write("backend/packages/core/pyproject.toml", pyproject("shop-core", "0.3", `"packer"`, "[project.scripts]\nshop = \"shop_core:main\"\n"))
	s.write("backend/packages/core/shop_core.py", "def main():\n    print('core')\n")
	root, err := s.maker.Text("root", "not a root, but a path is all that deriving needs")
	if err != nil {
		t.Fatal(err)
	}
	s.rootNode = root
	return s
}

func (s *shop) write(name, text string) { s.files[name] = &fstest.MapFile{Data: []byte(text)} }

func (s *shop) edit(t testing.TB, name, old, new string) {
	t.Helper()
	text := string(s.files[name].Data)
	if !strings.Contains(text, old) {
		t.Fatalf("%s does not contain %q", name, old)
	}
	s.write(name, strings.ReplaceAll(text, old, new))
}

func (s *shop) lock(t testing.TB, previous lock.Component) (lock.Component, error) {
	t.Helper()
	s.shelf.asked = nil
	c, err := python.New().Lock(t.Context(), ecosystem.LockRequest{
		Name: "env", Component: s.component, Recipe: &s.recipe, Source: s.files, Previous: previous, Root: s.root, Network: s.shelf,
		Maker: s.maker, RootNode: s.rootNode, Realise: func(_ context.Context, n *dag.Node) (string, error) { return s.realise(t, n) },
		Replace: func(a artifact.Artifact) (recipe.Replacement, bool) {
			_, by, ok := s.recipe.Replacing(a)
			return by, ok
		},
	})
	// What the driver notes of what was read.
	c.Inputs = map[string]nix.Hash{}
	for _, name := range []string{"pyproject.toml", "setup.py", "setup.cfg"} {
		name = "backend/packages/core/" + name
		c.Inputs[name] = nix.Hash{}
		if f, ok := s.files[name]; ok {
			c.Inputs[name] = nix.Sum(nix.SHA256, f.Data)
		}
	}
	return c, err
}

// derive makes the nodes of a lock; they come by their name.
func (s *shop) derive(t testing.TB, c lock.Component) (*dag.Node, map[string]*dag.Node, error) {
	t.Helper()
	maker := new(dag.Maker)
	root, err := maker.Text("root", "not a root, but a path is all that deriving needs")
	if err != nil {
		t.Fatal(err)
	}
	n, err := python.New().Derive(ecosystem.DeriveRequest{
		Name: "env", Component: s.component, Recipe: &s.recipe, Lock: c, Maker: maker, Root: root, Source: memory{s.files, maker},
	})
	nodes := map[string]*dag.Node{}
	for _, n := range maker.Nodes() {
		nodes[n.Name] = n
	}
	return n, nodes, err
}

// interpreter is the Python that the scripts run on: the tests run inside the root that builds the shop.
const interpreter = "/usr/bin/python3.13"

// lab is where nodes are realised. All tests share what is realised: a node's path tells all of it. TestMain sets it.
var lab struct{ dir string }

func TestMain(m *testing.M) {
	sandbox.RunInit()
	os.Exit(roottest.Run("testdata/shop/headwater.lock", "build", func() int { return inLab(m) }))
}

func inLab(m *testing.M) int {
	dir, err := os.MkdirTemp("", "python-test-")
	if err != nil {
		panic(err)
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			panic(err)
		}
	}()
	lab.dir = dir
	return m.Run()
}

// realise does what the node's script does, outside a sandbox: the paths of the build and of the store are replaced by folders
// of the test.
func (s *shop) realise(t testing.TB, n *dag.Node) (string, error) {
	t.Helper()
	out := filepath.Join(lab.dir, filepath.Base(string(n.Path())))
	if _, err := os.Stat(out); err == nil {
		return out, nil
	}
	if n.Kind == dag.Fetch {
		a, err := artifact.ParseRef(n.Drv.Env["url"])
		if err != nil {
			return "", err
		}
		return out, os.WriteFile(out, s.shelf.files[a.File], 0o644)
	}
	build := filepath.Join(lab.dir, filepath.Base(string(n.Path()))+".work", "build")
	replace := []string{"/build/env", build + "/env", "/build/member", build + "/member", "/build/repository", build + "/repository", "/opt/venv", out, "/app", build + "/app"}
	for _, in := range n.Inputs {
		if in.Content != nil {
			continue
		}
		dir, err := s.realise(t, in)
		if err != nil {
			return "", err
		}
		replace = append(replace, string(in.Path()), dir)
	}
	for name, f := range s.files {
		if err := writeFile(filepath.Join(build, "app", name), f.Data); err != nil {
			return "", err
		}
	}
	env := map[string]string{}
	for k, v := range n.Drv.Env {
		if slices.Contains(strings.Fields(n.Drv.Env["passAsFile"]), k) {
			file := filepath.Join(build, "..", "scripts", k)
			if k == "environment" || k == "spec" || k == "script" {
				v = strings.NewReplacer(replace...).Replace(v)
			}
			if err := writeFile(file, []byte(v)); err != nil {
				return "", err
			}
			k, v = k+"Path", file
		}
		env[k] = v
	}
	env["python"], env["out"], env["CORES"], env["PATH"] = interpreter, out, "2", os.Getenv("PATH")
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", env["scriptPath"])
	cmd.Dir = build
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return "", err
	}
	if log, err := cmd.CombinedOutput(); err != nil {
		if err := os.RemoveAll(out); err != nil {
			return "", err
		}
		return "", fmt.Errorf("realise %s: %w\n%s", n.Name, err, log)
	}
	return out, nil
}

func writeFile(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o644)
}
