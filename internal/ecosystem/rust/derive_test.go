package rust_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"headwater/internal/artifact"
	"headwater/internal/dag"
	"headwater/internal/ecosystem"
	"headwater/internal/ecosystem/rust"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/recipe"
)

// memory is an ecosystem.Source of files in memory.
type memory struct {
	fsys  fstest.MapFS
	maker *dag.Maker
}

func (m memory) FS() fs.FS { return m.fsys }

func (m memory) Node(...string) (*dag.Node, error) {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(m.fsys)) {
		fmt.Fprintf(h, "%q %q\n", name, m.fsys[name].Data)
	}
	hash, err := nix.NewHash(nix.SHA256, h.Sum(nil))
	if err != nil {
		return nil, err
	}
	return m.maker.Tree(dag.Node{Kind: dag.Src, Name: "source", Content: address{nix.ContentAddress{Method: nix.NAR, Hash: hash}}}, "source")
}

// address is a content of which only the address is asked for.
type address struct{ ca nix.ContentAddress }

func (a address) ContentAddress() nix.ContentAddress { return a.ca }
func (a address) Write(context.Context, string, func(nix.StorePath) string) error {
	return fmt.Errorf("%s is not there to be written", a.ca)
}

// shelf is an ecosystem.Network that has one archive for everything.
type shelf struct {
	file  string
	asked []string
}

func (s *shelf) Get(_ context.Context, a artifact.Artifact) (string, artifact.Artifact, error) {
	s.asked = append(s.asked, a.Hint)
	data, err := os.ReadFile(s.file)
	a.Hash, a.Size = nix.Sum(nix.SHA256, data), int64(len(data))
	return s.file, a, err
}

func (s *shelf) Index(context.Context, artifact.Ecosystem, string) ([]byte, error) {
	return nil, fmt.Errorf("no index is on the shelf")
}

// service is a workspace of two packages.
type service struct {
	files     fstest.MapFS
	component recipe.Component
	root      lock.Root
	shelf     shelf
}

func newService() *service {
	s := &service{
		files:     fstest.MapFS{},
		component: recipe.Component{Ecosystem: "rust", Root: "rust", Dir: "app", Src: []string{"**"}},
		root:      lock.Root{Packages: []lock.Artifact{{Name: "cargo"}, {Name: "rustc", Version: "1.85.1+dfsg1-1"}}},
	}
	s.write("Cargo.toml", "[workspace]\nmembers = [\"app\", \"lib\"]\n[workspace.package]\nversion = \"1.0.0\"\n")
	s.write("Cargo.lock", "version = 4\n"+entry("app", "1.0.0", `dependencies = ["lib"]`)+entry("lib", "1.0.0", `dependencies = ["left"]`)+crate("left", "1.0.0"))
	s.write("app/Cargo.toml", "[package]\nname = \"app\"\nversion.workspace = true\n[dependencies]\nlib = { path = \"../lib\", version = \"1.0.0\" }\n")
	s.write("app/src/main.rs", "fn main() { lib::run() }\n")
	s.write("lib/Cargo.toml", "[package]\nname = \"lib\"\nversion.workspace = true\n[dependencies]\nleft = \"1\"\n")
	s.write("lib/src/lib.rs", "pub fn run() {}\n")
	return s
}

func (s *service) write(name, text string) { s.files[name] = &fstest.MapFile{Data: []byte(text)} }

func (s *service) lock(t testing.TB) (lock.Component, error) {
	return rust.New().Lock(t.Context(), ecosystem.LockRequest{Name: "app", Component: s.component, Recipe: &recipe.Recipe{}, Source: s.files, Root: s.root, Network: &s.shelf})
}

// derive locks and derives; the nodes come by their name.
func (s *service) derive(t testing.TB) (map[string]*dag.Node, error) {
	t.Helper()
	c, err := s.lock(t)
	if err != nil {
		return nil, err
	}
	maker := new(dag.Maker)
	root, err := maker.Text("root", "not a root, but a path is all that deriving needs")
	if err != nil {
		t.Fatal(err)
	}
	_, err = rust.New().Derive(ecosystem.DeriveRequest{
		Name: "app", Component: s.component, Recipe: &recipe.Recipe{Name: "app", Release: "1.0"}, Lock: c, Maker: maker, Root: root, Source: memory{s.files, maker},
	})
	nodes := map[string]*dag.Node{}
	for _, n := range maker.Nodes() {
		nodes[n.Name] = n
	}
	return nodes, err
}

// What the dependencies are compiled from changes with what decides how they compile, and with nothing else.
func TestDependenciesKeepTheirPath(t *testing.T) {
	t.Parallel()
	const deps = "compiled dependencies of app"
	before, err := newService().derive(t)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(*service)
		same   bool
	}{
		"code":            {func(s *service) { s.write("lib/src/lib.rs", "pub fn run() { loop {} }\n") }, true},
		"a comment":       {func(s *service) { s.write("lib/Cargo.toml", "# x\n"+string(s.files["lib/Cargo.toml"].Data)) }, true},
		"another release": {func(s *service) { replaceAll(s, "1.0.0", "1.1.0", "Cargo.toml", "app/Cargo.toml"); relock(s) }, true},
		"a dependency":    {func(s *service) { s.write("app/Cargo.toml", string(s.files["app/Cargo.toml"].Data)+"left = \"1\"\n") }, false},
		"a profile": {func(s *service) {
			s.write("Cargo.toml", string(s.files["Cargo.toml"].Data)+"[profile.release]\nlto = true\n")
		}, false},
		"a build script": {func(s *service) { s.write("lib/build.rs", "fn main() {}\n") }, false},
		"settings":       {func(s *service) { s.write(".cargo/config.toml", "[build]\nrustflags = [\"-Cx\"]\n") }, false},
		"a feature":      {func(s *service) { s.component.Options = map[string]any{"features": []any{"x"}} }, false},
	} {
		s := newService()
		tt.change(s)
		after, err := s.derive(t)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if same := before[deps].DrvPath == after[deps].DrvPath; same != tt.same {
			t.Errorf("%s: the dependencies are the same: %v, want %v", name, same, tt.same)
		}
		if before["app"].DrvPath == after["app"].DrvPath {
			t.Errorf("%s: the component is the same", name)
		}
	}
}

func replaceAll(s *service, old, now string, names ...string) {
	for _, n := range names {
		s.write(n, strings.ReplaceAll(string(s.files[n].Data), old, now))
	}
}

// relock is what cargo makes of the lock when the workspace's own versions change.
func relock(s *service) {
	s.write("Cargo.lock", "version = 4\n"+entry("app", "1.1.0", `dependencies = ["lib"]`)+entry("lib", "1.1.0", `dependencies = ["left"]`)+crate("left", "1.0.0"))
}

// Crates of git repositories are taken from the commit, or from an archive of it that the recipe names; the crate's folder in it is found.
func TestGit(t *testing.T) {
	t.Parallel()
	s := newService()
	source := func(name string) string {
		return `source = "git+https://forge.example/a/` + name + `?rev=x#` + commit + `"`
	}
	s.write("Cargo.lock", "version = 4\n"+entry("one", "1.0.0", source("fork")))
	s.shelf.file = archive(t, map[string]string{"fork-1/crates/one/Cargo.toml": "[package]\nname = \"one\"\n", "fork-1/broken/Cargo.toml": "["})
	for want, option := range map[string]map[string]any{
		"https://forge.example/a/fork#" + commit:                     nil,
		"https://forge.example/a/fork/archive/" + commit + ".tar.gz": {"git": map[string]any{"https://forge.example/a/fork": "https://forge.example/a/fork/archive/{commit}.tar.gz"}},
	} {
		s.component.Options, s.shelf.asked = option, nil
		nodes, err := s.derive(t)
		if err != nil {
			t.Fatal(err)
		}
		env := nodes["crates of app"].Drv.Env
		if got := strings.Split(env["files"], "\t"); got[0] != "one-1.0.0" || got[2] != "crates/one" || got[3] != "null\n" {
			t.Errorf("the crates are made of %q", env["files"])
		}
		if !slices.Contains(s.shelf.asked, want) {
			t.Errorf("asked for %q, want %s", s.shelf.asked, want)
		}
		config := nodes["app"].Drv.Env["cargoConfig"]
		if want := "git = \"https://forge.example/a/fork\"\nrev = \"x\"\nreplace-with = \"headwater\"\n"; !strings.Contains(config, want) {
			t.Errorf("cargo's settings are\n%s", config)
		}
	}
}

func archive(t *testing.T, files map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name])), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "archive.tar.gz")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// What is wrong is said before anything is built.
func TestLockRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*service)
		want   string
	}{
		"no lock":           {func(s *service) { delete(s.files, "Cargo.lock") }, "Cargo.lock is missing"},
		"no manifest":       {func(s *service) { delete(s.files, "app/Cargo.toml") }, "app/Cargo.toml"},
		"a broken manifest": {func(s *service) { s.write("lib/Cargo.toml", "[") }, "parse lib/Cargo.toml"},
		"a later Rust": {func(s *service) {
			s.write("Cargo.toml", string(s.files["Cargo.toml"].Data)+"rust-version = \"1.89\"\n")
		}, "Cargo.toml asks for Rust 1.89, the root's rustc is 1.85.1"},
		"a later toolchain": {func(s *service) { s.write("rust-toolchain.toml", "[toolchain]\nchannel = \"1.90.0\"\n") }, "rust-toolchain.toml asks for Rust 1.90.0"},
		"no rustc":          {func(s *service) { s.root.Packages = s.root.Packages[:1] }, "no package rustc"},
		"no WebAssembly":    {func(s *service) { s.component.Options = map[string]any{"target": "wasm32-unknown-unknown"} }, "no package libstd-rust-dev-wasm32"},
		"another target":    {func(s *service) { s.component.Options = map[string]any{"target": "x86_64-pc-windows-gnu"} }, "is not supported"},
		"an option's flag":  {func(s *service) { s.component.Options = map[string]any{"packages": []any{"--config=x"}} }, "is not a name"},
		"a variable":        {func(s *service) { s.component.Env = map[string]string{"CARGO_TARGET_DIR": "/x"} }, "CARGO_TARGET_DIR is not the recipe's"},
		"bindgen alone":     {func(s *service) { s.component.Options = map[string]any{"bindgen": "web"} }, "bindgen needs the target"},
	} {
		s := newService()
		tt.change(s)
		if _, err := s.lock(t); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tt.want)
		}
	}
}

// Whatever manifests say, deriving ends, and the skeleton stays inside the source.
func FuzzManifest(f *testing.F) {
	f.Add("[workspace]\nmembers = [\"app\", \"../x\", \"*\"]\n", "[package]\nname = \"app\"\nbuild = \"../../b.rs\"\n[lib]\npath = \"../../../x.rs\"\n[[bin]]\nname = \"b\"\npath = \"src/b.rs\"\n")
	f.Add("[workspace]\nmembers = [\"[\"]\n", "[package]\nworkspace = \"../..\"\n[dependencies]\na = { path = \"..\" }\n")
	f.Fuzz(func(t *testing.T, top, app string) {
		s := newService()
		s.write("Cargo.toml", top)
		s.write("app/Cargo.toml", app)
		nodes, err := s.derive(t)
		if err != nil || nodes["compiled dependencies of app"] == nil {
			return
		}
		for line := range strings.Lines(nodes["compiled dependencies of app"].Drv.Env["skeleton"]) {
			file, _, _ := strings.Cut(line, "\t")
			if !strings.HasPrefix(file, "/build/src/") || strings.Contains(file, "/../") {
				t.Errorf("the skeleton has %q", file)
			}
		}
	})
}
