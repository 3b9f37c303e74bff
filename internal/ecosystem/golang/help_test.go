package golang_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/bmatcuk/doublestar/v4"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"

	"headwater/internal/artifact"
	"headwater/internal/dag"
	"headwater/internal/ecosystem"
	"headwater/internal/ecosystem/golang"
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

func (m memory) Node(patterns ...string) (*dag.Node, error) {
	h := sha256.New()
	some := false
	for _, name := range slices.Sorted(maps.Keys(m.fsys)) {
		if len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool { return doublestar.MatchUnvalidated(p, name) }) {
			fmt.Fprintf(h, "%q %q\n", name, m.fsys[name].Data)
			some = true
		}
	}
	if !some {
		return nil, fmt.Errorf("%q select no file", patterns)
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

// shelf is an ecosystem.Network that has files by their reference.
type shelf struct {
	dir   string
	files map[string][]byte

	mu    sync.Mutex
	asked []string
}

func (s *shelf) Get(_ context.Context, a artifact.Artifact) (string, artifact.Artifact, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, a.Ref())
	data, ok := s.files[a.Ref()]
	if !ok {
		return "", a, &artifact.AbsentError{Artifact: a, Why: "not on the shelf"}
	}
	got := nix.Sum(nix.SHA256, data)
	if !a.Hash.IsZero() && a.Hash != got {
		return "", a, fmt.Errorf("get %s: hash is %v, want %v", a.Ref(), got, a.Hash)
	}
	a.Hash, a.Size = got, int64(len(data))
	file := filepath.Join(s.dir, fmt.Sprintf("%d-%s", len(s.asked), a.StoreName()))
	return file, a, os.WriteFile(file, data, 0o600)
}

// Index lists toolchains of which the shelf has one.
func (s *shelf) Index(_ context.Context, eco artifact.Ecosystem, name string) ([]byte, error) {
	if eco != artifact.Go || name != "golang.org/toolchain" {
		return nil, fmt.Errorf("no index of %s %s is on the shelf", eco, name)
	}
	return []byte("v0.0.1-go1.26.10.darwin-arm64\nv0.0.1-go1.26.8.linux-amd64\nv0.0.1-go1.26rc1.linux-amd64\nv0.0.1-go1.26.0.linux-amd64\n" +
		"v0.0.1-go1.9.9.linux-amd64\nv0.0.1-go1.260.1.linux-amd64\n"), nil
}

// add puts a module on the shelf and returns its two lines of go.sum.
func (s *shelf) add(t testing.TB, v module.Version, files map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		w, err := z.Create(v.Path + "@" + v.Version + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "m.zip")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	whole, err := dirhash.HashZip(file, dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	mod, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(files["go.mod"])), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ref := artifact.Artifact{Ecosystem: artifact.Go, Name: v.Path, Version: v.Version, File: v.Version + ".zip"}
	s.files[ref.Ref()] = b.Bytes()
	ref.File = v.Version + ".mod"
	s.files[ref.Ref()] = []byte(files["go.mod"])
	return fmt.Sprintf("%s %s %s\n%s %s/go.mod %s\n", v.Path, v.Version, whole, v.Path, v.Version, mod)
}

// service is a small service in one module that needs two others.
type service struct {
	files     fstest.MapFS
	component recipe.Component
	recipe    recipe.Recipe
	root      lock.Root
	shelf     *shelf
}

var toolchain = module.Version{Path: "golang.org/toolchain", Version: "v0.0.1-go1.26.8.linux-amd64"}

func newService(t testing.TB) *service {
	t.Helper()
	s := &service{
		root:      lock.Root{Packages: []lock.Artifact{{Name: "unzip"}, {Name: "gcc"}}},
		shelf:     &shelf{dir: t.TempDir(), files: map[string][]byte{}},
		component: recipe.Component{Ecosystem: "go", Root: "build", Src: []string{"**"}, Options: map[string]any{"packages": []any{"./cmd/hello"}}},
		recipe:    recipe.Recipe{Name: "hello", Release: "1.0", Toolchains: map[string]string{"go": "1.26.8"}},
	}
	s.shelf.add(t, toolchain, map[string]string{"bin/go": "", "go.mod": "module golang.org/toolchain\n"})
	sums := s.shelf.add(t, module.Version{Path: "a.example/Log", Version: "v1.2.0"}, map[string]string{"go.mod": "module a.example/Log\n", "log.go": "package log\n"})
	sums += s.shelf.add(t, module.Version{Path: "a.example/text", Version: "v0.1.0"}, map[string]string{"go.mod": "module a.example/text\n", "sub/sub.go": "package sub\n"})
	// Only the go.mod of this one is needed.
	more := s.shelf.add(t, module.Version{Path: "b.example/graph", Version: "v1.0.0"}, map[string]string{"go.mod": "module b.example/graph\n"})
	_, more, _ = strings.Cut(more, "\n")
	s.files = files(
		"go.mod", "module hello\n\ngo 1.24\n\nrequire a.example/Log v1.2.0\nrequire a.example/text v0.1.0\n",
		"go.sum", sums+more,
		"cmd/hello/main.go", "package main\n\nimport (\n\t\"fmt\"\n\t\"hello/internal/page\"\n)\n\nfunc main() { fmt.Println(page.Text) }\n",
		"internal/page/page.go", "package page\n\nimport _ \"a.example/text/sub\"\n\nconst Text = \"1\"\n",
		"internal/page/page_windows.go", "package page\n\nimport _ \"c.example/windows\"\n",
		"internal/page/extra.go", "//go:build extra\n\npackage page\n\nimport _ \"a.example/Log\"\n",
		"internal/page/page_test.go", "package page\n\nimport _ \"c.example/assert\"\n",
		"internal/unused/unused.go", "package unused\n\nimport _ \"a.example/Log\"\n",
	)
	return s
}

// files makes a tree of pairs of path and content.
func files(pairs ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return m
}

func (s *service) lock(t testing.TB, previous lock.Component) (lock.Component, error) {
	return golang.New().Lock(t.Context(), ecosystem.LockRequest{
		Name: "server", Component: s.component, Recipe: &s.recipe, Source: s.files, Previous: previous, Root: s.root, Network: s.shelf,
		Replace: func(a artifact.Artifact) (recipe.Replacement, bool) {
			_, by, ok := s.recipe.Replacing(a)
			return by, ok
		},
	})
}

// derive locks and derives; the nodes come by their name.
func (s *service) derive(t testing.TB) (*dag.Node, map[string]*dag.Node, error) {
	t.Helper()
	c, err := s.lock(t, lock.Component{})
	if err != nil {
		t.Fatal(err)
	}
	tools, err := golang.New().LockToolchain(t.Context(), "go", s.recipe.Toolchains["go"], s.shelf)
	if err != nil {
		t.Fatal(err)
	}
	return s.deriveLocked(t, c, tools)
}

func (s *service) deriveLocked(t testing.TB, c lock.Component, tools []lock.Artifact) (*dag.Node, map[string]*dag.Node, error) {
	t.Helper()
	maker := new(dag.Maker)
	root, err := maker.Text("root", "not a root, but a path is all that deriving needs")
	if err != nil {
		t.Fatal(err)
	}
	r := ecosystem.DeriveRequest{
		Name: "server", Component: s.component, Recipe: &s.recipe, Lock: c, Toolchains: map[string][]lock.Artifact{"go": tools},
		Maker: maker, Root: root, Source: memory{s.files, maker},
	}
	for _, u := range s.component.Uses {
		n, err := maker.Text("used-"+u.Component, u.Component)
		if err != nil {
			t.Fatal(err)
		}
		r.Uses = append(r.Uses, ecosystem.Used{Use: u, Node: n})
	}
	n, err := golang.New().Derive(r)
	nodes := map[string]*dag.Node{}
	for _, n := range maker.Nodes() {
		nodes[n.Name] = n
	}
	return n, nodes, err
}
