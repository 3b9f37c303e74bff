package dependency_test

import (
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/dependency"
	"headwater/internal/plan"
	"headwater/internal/recipe"
)

// What is in the tree itself is told apart from what a registry has.
func TestLocked(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"go.mod":                "module x.example/x\n\nrequire (\n\ta.example/a v1.0.0\n\tb.example/b/v3 v3.1.0\n)\n\nreplace b.example/b/v3 => ./gen\n",
		"web/package-lock.json": "{\"packages\": {\n\"\": {},\n\"node_modules/@s/a\": {\n\"version\": \"1.2.3\"},\n\"node_modules/b\": {\n\"resolved\": \"packages/b\", \"link\": true},\n\"node_modules/c\": {\n\"version\": \"1.0.0\", \"resolved\": \"file:c.tgz\"}}}\n",
		"web/pnpm-lock.yaml":    "packages:\n  '@s/a@1.2.4': {}\n  b@file:../b: {}\n",
		"web/yarn.lock":         "a@^1:\n  version \"1.0.0\"\n\n\"b@file:../b\":\n  version \"0.0.0\"\n",
		"uv.lock":               "[[package]]\nname = \"a\"\nversion = \"1\"\nsource = { registry = \"r\" }\n\n[[package]]\nname = \"b\"\nversion = \"2\"\nsource = { editable = \"b\" }\n",
		"poetry.lock":           "[[package]]\nname = \"c\"\nversion = \"1\"\n\n[[package]]\nname = \"d\"\nversion = \"2\"\n[package.source]\ntype = \"directory\"\nurl = \"d\"\n",
		"Cargo.lock":            "[[package]]\nname = \"e\"\nversion = \"1.0.0\"\nsource = \"registry+r\"\n\n[[package]]\nname = \"f\"\nversion = \"0.1.0\"\n",
		"docs/yarn.lock":        "not-shipped@^1:\n  version \"1.0.0\"\n",
	}
	fsys, names := fstest.MapFS{}, []string(nil)
	for name, content := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(content)}
		names = append(names, name)
	}
	r := &recipe.Recipe{Components: map[string]recipe.Component{
		"server": {Ecosystem: "go"}, "ui": {Ecosystem: "node", Dir: "web"}, "env": {Ecosystem: "python"}, "tool": {Ecosystem: "rust", Dir: "crates/tool"},
	}}
	list, err := dependency.Locked(plan.NewTree(fsys, names), r)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range list {
		local := ""
		if d.Local {
			local = " local"
		}
		got = append(got, fmt.Sprintf("%v %s %s %s%s %s", d.Components, d.Ecosystem, d.Name, d.Version, local, d.Evidence))
	}
	want := []string{
		"[tool] cargo e 1.0.0 Cargo.lock:1", "[tool] cargo f 0.1.0 local Cargo.lock:6", "[server] go a.example/a v1.0.0 go.mod:4", "[server] go b.example/b/v3 v3.1.0 local go.mod:5",
		"[env] pypi c 1 poetry.lock:1", "[env] pypi d 2 local poetry.lock:5", "[env] pypi a 1 uv.lock:1", "[env] pypi b 2 local uv.lock:6",
		"[ui] npm @s/a 1.2.3 web/package-lock.json:3", "[ui] npm c 1.0.0 local web/package-lock.json:7", "[ui] npm @s/a 1.2.4 web/pnpm-lock.yaml:2", "[ui] npm b file:../b local web/pnpm-lock.yaml:3",
		"[ui] npm a 1.0.0 web/yarn.lock:1", "[ui] npm b 0.0.0 local web/yarn.lock:4",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
