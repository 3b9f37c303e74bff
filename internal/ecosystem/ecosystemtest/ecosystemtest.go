// Package ecosystemtest builds small services with the real parts: pinned Debian roots, the registries that the machine's
// clients are set to, the local engine. Ecosystems' tests use it.
//
// A project is a folder with a headwater.yaml, its headwater.lock (written by headwater lock), and the source that the recipe
// names.
//
// All tests of a user share one store, in the user's cache folder, so that what several of them need (roots, toolchains) is
// fetched and unpacked once. What a test is about is built each time all the same: Build builds it again where the store has
// it, and compares.
package ecosystemtest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"headwater/internal/artifact"
	"headwater/internal/dag"
	"headwater/internal/ecosystem"
	"headwater/internal/engine"
	"headwater/internal/engine/local"
	"headwater/internal/event"
	"headwater/internal/fetch"
	"headwater/internal/graph"
	"headwater/internal/lock"
	"headwater/internal/pin"
	"headwater/internal/recipe"
	"headwater/internal/registry"
	"headwater/internal/rootfs"
	"headwater/internal/roottest"
	"headwater/internal/sandbox"
	"headwater/internal/source"
	"headwater/internal/store"
)

// Main runs the tests of a package that uses Open; its TestMain calls it and nothing else.
func Main(m *testing.M) {
	sandbox.RunInit()
	os.Exit(m.Run())
}

// Project is a test's project with what builds it.
type Project struct {
	Graph *graph.Graph
	Store *store.Store

	t          testing.TB
	dir        string
	recipe     *recipe.Recipe
	tree       *source.Tree
	ecosystems []ecosystem.Ecosystem
	client     *fetch.Client
	engine     engine.Engine
	resolver   *rootfs.Resolver
}

// Open reads the project in dir and makes its graph. What it opens, it closes when the test ends.
func Open(t testing.TB, dir string, ecosystems ...ecosystem.Ecosystem) *Project {
	t.Helper()
	p := &Project{t: t, dir: dir, ecosystems: ecosystems}
	data, err := os.ReadFile(filepath.Join(dir, "headwater.yaml"))
	p.must(err)
	p.recipe, err = recipe.Parse(data)
	p.must(err)
	p.tree, err = source.Open(filepath.Join(dir, filepath.FromSlash(p.recipe.Source)))
	p.must(err)
	p.openStore()
	name := filepath.Join(dir, "headwater.lock")
	data, err = os.ReadFile(name)
	p.must(err)
	locked, err := lock.Parse(data)
	p.must(err)
	p.connect(locked.Date)
	p.Graph, err = graph.New(graph.Input{Recipe: p.recipe, Lock: locked, Source: p.tree, Ecosystems: ecosystems})
	p.must(err)
	return p
}

func (p *Project) must(err error) {
	p.t.Helper()
	var failed *engine.BuildFailed
	if errors.As(err, &failed) {
		for _, line := range failed.Log {
			p.t.Log(line)
		}
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *Project) openStore() {
	p.t.Helper()
	var err error
	p.Store, err = roottest.OpenStore(p.t.Context())
	p.must(err)
	p.t.Cleanup(func() {
		if err := p.Store.Close(); err != nil {
			p.t.Error(err)
		}
	})
}

// connect makes what downloads, as of the date of a lock.
func (p *Project) connect(date time.Time) {
	p.t.Helper()
	home, err := os.UserHomeDir()
	p.must(err)
	reg, err := registry.Open(
		registry.Machine{Env: os.Getenv, Home: home, Root: os.DirFS(roottest.MachineRoot())},
		registry.Options{ClientFile: func(ctx context.Context, pkg, file string) ([]byte, error) {
			return p.resolver.File(ctx, "stable", pkg, file)
		}},
	)
	p.must(err)
	p.client = fetch.New(reg.At(date), fetch.Options{Cache: filepath.Join(p.Store.Dir(), "indexes")})
	p.t.Cleanup(p.client.Close)
	p.resolver = rootfs.NewResolver(rootfs.Options{Archive: p.network(), At: date})
	p.engine = local.New(local.Config{Store: p.Store, Getenv: os.Getenv, Fetch: p.fetch})
}

func (p *Project) fetch(ctx context.Context, a artifact.Artifact, dst string, progress func(done, total int64)) (int64, error) {
	r, err := p.client.Fetch(ctx, a, dst, progress)
	return r.Size, err
}

func (p *Project) network() *pin.Network { return &pin.Network{Store: p.Store, Fetcher: p.client} }

// Build builds the nodes that the names say ("server" is a component's), with all cores where the store does not have them,
// then once more with one core, and sees that both give the same. It returns what each wrote to its log the second time.
func (p *Project) Build(names ...string) map[string][]string {
	p.t.Helper()
	goals := make([]*dag.Node, len(names))
	for i, name := range names {
		goals[i] = p.Node(name)
	}
	_, err := p.engine.Realise(p.t.Context(), goals, engine.Options{})
	p.must(err)
	var mu sync.Mutex
	logs := map[string][]string{}
	_, err = p.engine.Realise(p.t.Context(), goals, engine.Options{Check: true, Cores: 1, Events: func(e event.Event) {
		if l, ok := e.(event.Log); ok {
			mu.Lock()
			defer mu.Unlock()
			logs[l.Node.Name] = append(logs[l.Node.Name], l.Line)
		}
	}})
	p.must(err)
	return logs
}

// Node finds a node of the graph by its name.
func (p *Project) Node(name string) *dag.Node {
	p.t.Helper()
	for _, n := range p.Graph.Nodes {
		if n.Name == name {
			return n
		}
	}
	p.t.Fatalf("the graph has no node %q", name)
	return nil
}

// Output is where the output of a node is on disk.
func (p *Project) Output(name string) string { return p.Store.RealPath(p.Node(name).Path()) }
