package golang_test

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/dag"
	"headwater/internal/lock"
	"headwater/internal/recipe"
)

const (
	std     = "standard library of Go 1.26.8"
	modules = "Go modules"
	deps    = "compiled dependencies of server"
	cache   = "build cache of server"
)

// The whole graph of a small service: each node with its inputs.
func TestDerive(t *testing.T) {
	last, nodes, err := newService(t).derive(t)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for name, n := range nodes {
		for _, in := range n.Inputs {
			got[name] = append(got[name], in.Name)
		}
		slices.Sort(got[name])
	}
	want := map[string][]string{
		"Go 1.26.8": {"root", "toolchain-v0.0.1-go1.26.8.linux-amd64.zip"},
		std:         {"Go 1.26.8", "root"},
		modules:     {"Go 1.26.8", "Log-v1.2.0.mod", "Log-v1.2.0.zip", "graph-v1.0.0.mod", "root", "text-v0.1.0.mod", "text-v0.1.0.zip"},
		deps:        {"Go 1.26.8", modules, "root", "source", std},
		cache:       {deps, "root", std},
		"server":    {cache, "Go 1.26.8", modules, "root", "source"},
	}
	for name := range want {
		slices.Sort(want[name])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if last != nodes["server"] {
		t.Errorf("the last node is %s", last.Name)
	}
	if got, want := nodes[deps].Drv.Env["imports"], "a.example/text/sub\n"; got != want {
		t.Errorf("imports %q, want %q", got, want)
	}
}

// What a change in the source changes in the graph.
func TestDeriveChanges(t *testing.T) {
	edit := func(file, old, new string) func(*service) {
		return func(s *service) {
			data := string(s.files[file].Data)
			if !strings.Contains(data, old) {
				panic(file + " does not contain " + old)
			}
			s.files[file].Data = []byte(strings.Replace(data, old, new, 1))
		}
	}
	option := func(name string, value any) func(*service) {
		return func(s *service) { s.component.Options[name] = value }
	}
	env := func(name, value string) func(*service) {
		return func(s *service) { s.component.Env = map[string]string{name: value} }
	}
	for name, c := range map[string]struct {
		change func(*service)
		want   []string // the nodes that change, sources left out
	}{
		"nothing":                {func(*service) {}, nil},
		"a line of code":         {edit("internal/page/page.go", `"1"`, `"2"`), []string{"server"}},
		"a common std import":    {edit("cmd/hello/main.go", `"fmt"`, "\"fmt\"\n\t_ \"net/http\""), []string{"server"}},
		"a rare std import":      {edit("cmd/hello/main.go", `"fmt"`, "\"fmt\"\n\t_ \"image/png\""), []string{deps, cache, "server"}},
		"an import":              {edit("internal/page/page.go", "a.example/text/sub", "a.example/Log"), []string{deps, cache, "server"}},
		"a package more":         {edit("cmd/hello/main.go", `"fmt"`, "\"fmt\"\n\t_ \"hello/internal/unused\""), []string{deps, cache, "server"}},
		"an import for Windows":  {edit("internal/page/page_windows.go", "c.example/windows", "a.example/Log"), []string{"server"}},
		"an import of a test":    {edit("internal/page/page_test.go", "c.example/assert", "a.example/Log"), []string{"server"}},
		"a generated package":    {edit("cmd/hello/main.go", `"fmt"`, "\"fmt\"\n\t_ \"hello/internal/client\""), []string{"server"}},
		"a comment in go.mod":    {edit("go.mod", "go 1.24", "go 1.24 // or later"), []string{deps, cache, "server"}},
		"a sum less":             {func(s *service) { s.files["go.sum"].Data = beforeLastLine(s.files["go.sum"].Data) }, []string{modules, deps, cache, "server"}},
		"an option for imports":  {option("imports", []any{"a.example/Log"}), []string{deps, cache, "server"}},
		"a tag":                  {option("tags", []any{"extra"}), []string{deps, cache, "server"}},
		"a tag of the std":       {option("tags", []any{"netgo"}), []string{std, deps, cache, "server"}},
		"cgo":                    {option("cgo", true), []string{std, deps, cache, "server"}},
		"linker flags":           {option("ldflags", "-s -w"), []string{"server"}},
		"the environment":        {env("GREETING", "hi"), []string{"server"}},
		"the environment of Go":  {env("GOAMD64", "v3"), []string{std, deps, cache, "server"}},
		"another release":        {func(s *service) { s.recipe.Release = "1.1" }, []string{"server"}},
		"another service's name": {func(s *service) { s.recipe.Name = "other" }, []string{"server"}},
		"sums in another order": {func(s *service) {
			lines := strings.SplitAfter(string(s.files["go.sum"].Data), "\n")
			slices.Reverse(lines)
			s.files["go.sum"].Data = []byte(strings.Join(lines, ""))
		}, []string{deps, cache, "server"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, before, err := newService(t).derive(t)
			if err != nil {
				t.Fatal(err)
			}
			s := newService(t)
			c.change(s)
			_, after, err := s.derive(t)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for name, n := range after {
				if n.Kind != dag.Src && (before[name] == nil || before[name].ID() != n.ID()) {
					got = append(got, name)
				}
			}
			slices.Sort(got)
			slices.Sort(c.want)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func beforeLastLine(data []byte) []byte {
	return data[:1+bytes.LastIndexByte(bytes.TrimSuffix(data, []byte("\n")), '\n')]
}

func TestDeriveWithoutModules(t *testing.T) {
	s := newService(t)
	s.files = files("go.mod", "module hello\n", "main.go", "package main\nfunc main() {}\n")
	s.component.Options = nil
	_, nodes, err := s.derive(t)
	if err != nil {
		t.Fatal(err)
	}
	if nodes[modules] != nil || nodes[deps] != nil {
		t.Errorf("nodes for no modules: %q", slices.Sorted(maps.Keys(nodes)))
	}
	if _, ok := nodes["server"].Drv.Env["GOMODCACHE"]; ok {
		t.Error("GOMODCACHE is set though there are no modules")
	}
}

func TestDeriveVendored(t *testing.T) {
	s := newService(t)
	s.files["vendor/modules.txt"] = files("f", "# a.example/Log v1.2.0\n## explicit\na.example/Log\n# a.example/text v0.1.0\n## explicit\n")["f"]
	s.files["vendor/a.example/Log/log.go"] = files("f", "package log\n")["f"]
	_, nodes, err := s.derive(t)
	if err != nil {
		t.Fatal(err)
	}
	if nodes[modules] != nil {
		t.Error("modules are fetched beside a vendor folder")
	}
	if flags := nodes["server"].Drv.Env["GOFLAGS"]; !strings.Contains(flags, "-mod=vendor") {
		t.Errorf("GOFLAGS %q", flags)
	}
	s.component.Options["vendor"] = false
	if _, nodes, err = s.derive(t); err != nil {
		t.Fatal(err)
	}
	if nodes[modules] == nil || !strings.Contains(nodes["server"].Drv.Env["GOFLAGS"], "-mod=readonly") {
		t.Error("the vendor folder is used though the option says not to")
	}
}

// A client that another component generates may be a module of its own, of which nothing is there when deriving.
func TestDeriveGeneratedModule(t *testing.T) {
	s := newService(t)
	s.files["go.mod"].Data = append(s.files["go.mod"].Data, "require client.example/api v0.0.0\nreplace client.example/api => ./gen\n"...)
	s.files["cmd/hello/main.go"].Data = []byte("package main\nimport _ \"client.example/api/sub\"\nimport _ \"a.example/Log\"\nfunc main() {}\n")
	s.component.Uses = []recipe.Use{{Component: "client", At: "gen"}}
	_, nodes, err := s.derive(t)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := nodes[deps].Drv.Env["imports"], "a.example/Log\n"; got != want {
		t.Errorf("imports %q, want %q", got, want)
	}
	if got, want := nodes[deps].Drv.Env["missing"], "/build/src/gen\tclient.example/api\n"; got != want {
		t.Errorf("missing %q, want %q", got, want)
	}
	if slices.ContainsFunc(nodes[deps].Inputs, func(n *dag.Node) bool { return n.Name == "used-client" }) {
		t.Error("the dependencies depend on the generated client")
	}
}

func TestDeriveWorkspace(t *testing.T) {
	s := newService(t)
	s.files = files(
		"go.work", "go 1.24\nuse (\n\t./server\n\t./lib\n)\n",
		"server/go.mod", "module hello.example/server\nrequire a.example/text v0.1.0\n",
		"server/go.sum", string(s.files["go.sum"].Data),
		"server/main.go", "package main\nimport _ \"hello.example/lib/x\"\nimport _ \"a.example/text/sub\"\nfunc main() {}\n",
		"lib/go.mod", "module hello.example/lib\nrequire a.example/Log v1.2.0\n",
		"lib/x/x.go", "package x\nimport _ \"a.example/Log\"\n",
	)
	s.component.Dir, s.component.Options = "server", nil
	_, nodes, err := s.derive(t)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := nodes[deps].Drv.Env["imports"], "a.example/Log\na.example/text/sub\n"; got != want {
		t.Errorf("imports %q, want %q", got, want)
	}
	s.component.Env = map[string]string{"GOWORK": "off"}
	if _, nodes, err = s.derive(t); err != nil {
		t.Fatal(err)
	}
	if got, want := nodes[deps].Drv.Env["imports"], "a.example/text/sub\nhello.example/lib/x\n"; got != want {
		t.Errorf("without the workspace: imports %q, want %q", got, want)
	}
}

func TestDeriveRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*service)
		lock   func(*lock.Component)
		want   string
	}{
		"a sum that is not locked": {lock: func(c *lock.Component) { c.Artifacts = c.Artifacts[1:] }, want: "run headwater lock"},
		"no main package":          {change: func(s *service) { delete(s.component.Options, "packages") }, want: "option packages"},
		"vendor left out by src": {
			lock: func(c *lock.Component) { c.Inputs = map[string]nixHash{"vendor/modules.txt": someHash} }, want: "option vendor",
		},
		"a pattern without a folder": {change: func(s *service) { s.component.Options["packages"] = []any{"./nothing/..."} }, want: "./nothing/..."},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t)
			locked, err := s.lock(t, lock.Component{})
			if err != nil {
				t.Fatal(err)
			}
			if c.change != nil {
				c.change(s)
			}
			if c.lock != nil {
				c.lock(&locked)
			}
			_, _, err = s.deriveLocked(t, locked, []lock.Artifact{{Ecosystem: "go", Name: toolchain.Path, Version: toolchain.Version, File: "go.zip", Hash: someHash}})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want an error that says %q, got %v", c.want, err)
			}
		})
	}
}
