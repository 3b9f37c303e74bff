package rust_test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/ecosystem/ecosystemtest"
	"headwater/internal/ecosystem/rust"
)

func TestMain(m *testing.M) { ecosystemtest.Main(m) }

// A real workspace with a build script and a crate from the registry, built twice in the sandbox: the crates, the compiled
// dependencies and the component come out the same, and the component compiles its own packages alone.
func TestBuild(t *testing.T) {
	p := ecosystemtest.Open(t, "testdata/hello", rust.New())
	logs := p.Build("crates of server", "compiled dependencies of server", "server")

	compiled := slices.DeleteFunc(logs["server"], func(line string) bool { return !strings.HasPrefix(strings.TrimSpace(line), "Compiling") })
	for i, line := range compiled {
		compiled[i] = strings.Fields(line)[1]
	}
	slices.Sort(compiled)
	if diff := cmp.Diff([]string{"greet", "hello"}, compiled); diff != "" {
		t.Errorf("packages compiled in the component: %s\n%s", diff, strings.Join(logs["server"], "\n"))
	}

	out, err := exec.Command(filepath.Join(p.Output("server"), "bin/hello")).CombinedOutput()
	if got, want := string(out), "hello 42 1.2.0!\n"; err != nil || got != want {
		t.Errorf("the program printed %q, want %q (%v)", got, want, err)
	}
	for _, name := range []string{"crates of server", "compiled dependencies of server", "server"} {
		info, err := p.Store.Query(t.Context(), p.Node(name).Path())
		if err != nil {
			t.Fatal(err)
		}
		if len(info.Refs) > 0 {
			t.Errorf("%s refers to %v", name, info.Refs)
		}
	}
}
