package golang_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/ecosystem/ecosystemtest"
	"headwater/internal/ecosystem/golang"
	"headwater/internal/ecosystem/plain"
)

func TestMain(m *testing.M) { ecosystemtest.Main(m) }

// A real service, built twice in the sandbox: the module cache, the compiled dependencies and the component come out the
// same, the component compiles its own packages alone, and nothing of the build is left in the binary.
func TestBuild(t *testing.T) {
	p := ecosystemtest.Open(t, "testdata/hello", golang.New(), plain.New())
	logs := p.Build("Go modules", "compiled dependencies of server", "server", "inspect")

	compiled := slices.DeleteFunc(logs["server"], func(line string) bool { return !strings.Contains(line, "/") })
	slices.Sort(compiled)
	want := []string{"hello.example/hello/cmd/hello", "hello.example/hello/internal/client", "hello.example/hello/internal/greet"}
	if diff := cmp.Diff(want, compiled); diff != "" {
		t.Errorf("packages compiled in the component: %s", diff)
	}

	out, err := exec.Command(filepath.Join(p.Output("server"), "bin/hello")).CombinedOutput()
	if got, want := string(out), "hello world v1 1.0 go1.26.8 golang.org/x/mod\n"; err != nil || got != want {
		t.Errorf("the binary printed %q, want %q (%v)", got, want, err)
	}
	for _, name := range []string{"Go modules", "compiled dependencies of server", "server"} {
		info, err := p.Store.Query(t.Context(), p.Node(name).Path())
		if err != nil {
			t.Fatal(err)
		}
		if len(info.Refs) > 0 {
			t.Errorf("%s refers to %v", name, info.Refs)
		}
	}
	inspectBuild(t, filepath.Join(p.Output("inspect"), "seen.json"))
}

// The other ways of having dependencies: a vendor folder, a workspace, a module that another component generates.
func TestBuildShapes(t *testing.T) {
	p := ecosystemtest.Open(t, "testdata/hello", golang.New(), plain.New())
	logs := p.Build("vendored", "workspace", "replaced")
	for name, want := range map[string]struct {
		printed  string
		binary   string
		compiled []string
	}{
		"vendored":  {"vendored\n", "vendored", []string{"vendored.example/vendored"}},
		"workspace": {"workspace v7\n", "server", []string{"workspace.example/lib/name", "workspace.example/server"}},
		"replaced":  {"replaced v8\n", "replaced", []string{"generated.example/client", "replaced.example/replaced"}},
	} {
		out, err := exec.Command(filepath.Join(p.Output(name), "bin", want.binary)).CombinedOutput()
		if err != nil || string(out) != want.printed {
			t.Errorf("%s printed %q, want %q (%v)", name, out, want.printed, err)
		}
		slices.Sort(logs[name])
		if diff := cmp.Diff(want.compiled, logs[name]); diff != "" {
			t.Errorf("packages compiled in %s: %s", name, diff)
		}
	}
}

// inspectBuild reads what a program saw that ran in a build.
func inspectBuild(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var seen struct {
		Interfaces []string
		Dial       string
		Env        []string
		Uid        int
		Store      []string
		Writable   []string
	}
	if err := json.Unmarshal(data, &seen); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"lo"}, seen.Interfaces); diff != "" {
		t.Errorf("network interfaces: %s", diff)
	}
	if seen.Dial == "" || seen.Uid != 1000 || len(seen.Writable) > 0 {
		t.Errorf("dialled out with %q, as uid %d, wrote to %q", seen.Dial, seen.Uid, seen.Writable)
	}
	for _, want := range []string{"GREETING=hello", "CGO_ENABLED=0", "GOPROXY=off", "GOFLAGS=-trimpath -buildvcs=false -mod=readonly", "HOME=/home/build"} {
		if !slices.Contains(seen.Env, want) {
			t.Errorf("the environment does not have %s:\n%s", want, strings.Join(seen.Env, "\n"))
		}
	}
	for _, p := range seen.Store {
		// Of other components' things nothing may be there.
		if strings.HasSuffix(p, "-client-1.0") || strings.HasSuffix(p, "-server-1.0") {
			t.Errorf("the build saw %s", p)
		}
	}
}
