package plain_test

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"headwater/internal/dag"
	"headwater/internal/ecosystem"
	"headwater/internal/ecosystem/plain"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/recipe"
)

// tree is a source of which a node is at hand.
type tree struct{ node *dag.Node }

func (t tree) FS() fs.FS                         { return fstest.MapFS{} }
func (t tree) Node(...string) (*dag.Node, error) { return t.node, nil }

func derive(t *testing.T, c recipe.Component) (*dag.Node, error) {
	t.Helper()
	maker := new(dag.Maker)
	root, err := maker.Text("root", "root")
	if err != nil {
		t.Fatal(err)
	}
	src, err := maker.Text("source", "source")
	if err != nil {
		t.Fatal(err)
	}
	return plain.New().Derive(ecosystem.DeriveRequest{
		Name: "docs", Component: c, Recipe: &recipe.Recipe{Name: "hello", Release: "1.0"}, Maker: maker, Root: root, Source: tree{src},
	})
}

func TestDerive(t *testing.T) {
	n, err := derive(t, recipe.Component{Dir: "docs", Build: []string{"make html"}})
	if err != nil {
		t.Fatal(err)
	}
	script := n.Drv.Env["script"]
	for _, want := range []string{"cd '/build/src/docs'", "make html", `cp -a '.'/. "$out"`} {
		if !strings.Contains(script, want) {
			t.Errorf("the script does not say %s:\n%s", want, script)
		}
	}
	n, err = derive(t, recipe.Component{Env: map[string]string{"PATH": "/opt/venv/bin:/usr/bin", "MODE": "x"}, Build: []string{"tool"}})
	if err != nil {
		t.Fatal(err)
	}
	if script := n.Drv.Env["script"]; !strings.HasPrefix(script, "export PATH='/opt/venv/bin:/usr/bin'\ncd ") || strings.Contains(script, "MODE") || n.Drv.Env["MODE"] != "x" {
		t.Errorf("the recipe's PATH does not reach its commands:\n%s", script)
	}
	if n, err = derive(t, recipe.Component{Output: map[string]string{"html": "_build"}}); err != nil {
		t.Fatal(err)
	}
	if script := n.Drv.Env["script"]; strings.Contains(script, `cp -a '.'`) || !strings.Contains(script, "'_build'") {
		t.Errorf("the recipe's output does not take the place of the default:\n%s", script)
	}
}

// A component of commands alone sees nothing of the source, and has a folder to work in.
func TestCommandsAlone(t *testing.T) {
	n, err := derive(t, recipe.Component{Ecosystem: "plain", Build: []string{"echo x >a"}, Output: map[string]string{"a": "a"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range n.Inputs {
		if in.Name == "source" {
			t.Error("it sees the source")
		}
	}
	if script := n.Drv.Env["script"]; !strings.HasPrefix(script, "mkdir -p '/build/src'\ncd '/build/src'\n") {
		t.Errorf("it has no folder to work in:\n%s", script)
	}
}

func TestNoOptions(t *testing.T) {
	c := recipe.Component{Options: map[string]any{"shell": "zsh"}}
	_, derived := derive(t, c)
	_, locked := plain.New().Lock(t.Context(), ecosystem.LockRequest{Component: c})
	for _, err := range []error{derived, locked} {
		if err == nil || !strings.Contains(err.Error(), "shell") {
			t.Errorf("want an error that names the option, got %v", err)
		}
	}
}

// What has another in it is a copy, since a store path cannot get a place for that.
func TestUsesInOneAnother(t *testing.T) {
	maker := new(dag.Maker)
	var nodes []*dag.Node
	for _, name := range []string{"root", "source", "site", "page"} {
		n, err := maker.Text(name, name)
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, n)
	}
	use := func(at string, n *dag.Node) ecosystem.Used {
		return ecosystem.Used{Use: recipe.Use{Component: "x", At: at}, Node: n}
	}
	n, err := plain.New().Derive(ecosystem.DeriveRequest{
		Name: "docs", Recipe: &recipe.Recipe{Name: "hello", Release: "1.0"}, Maker: maker, Root: nodes[0], Source: tree{nodes[1]},
		Uses: []ecosystem.Used{use("server/site", nodes[2]), use("server/site/app.html", nodes[3])},
	})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(n.Drv.Args, "\n")
	for _, want := range []string{`--bind "$T/.layers/1" '/build/src/server/site'`, "--ro-bind '" + string(nodes[3].Path()) + "' '/build/src/server/site/app.html'"} {
		if !strings.Contains(text, want) {
			t.Errorf("the way in does not say %s:\n%s", want, text)
		}
	}
}

// What is made of downloads alone has no source; what has a source too sees both.
func TestDownloadsAlone(t *testing.T) {
	maker := new(dag.Maker)
	root, err := maker.Text("root", "root")
	if err != nil {
		t.Fatal(err)
	}
	src, err := maker.Text("source", "source")
	if err != nil {
		t.Fatal(err)
	}
	file := lock.Artifact{Ecosystem: "url", Name: "fonts/static/a.css", File: "a.css", Hint: "https://files.example/a.css", Hash: nix.Sum(nix.SHA256, []byte("a"))}
	for _, patterns := range [][]string{nil, {"static"}} {
		n, err := plain.New().Derive(ecosystem.DeriveRequest{
			Name: "fonts", Component: recipe.Component{Src: patterns, Download: map[string]string{"static/a.css": file.Hint}},
			Recipe: &recipe.Recipe{Name: "hello", Release: "1.0"}, Lock: lock.Component{Downloads: []lock.Artifact{file}},
			Maker: maker, Root: root, Source: tree{src},
		})
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(n.Drv.Args, "\n")
		if has := strings.Contains(text, "'/build/src'"); has != (patterns != nil) {
			t.Errorf("src %q: a source is laid in: %t\n%s", patterns, has, text)
		}
		if !strings.Contains(text, "'/build/src/static/a.css'") {
			t.Errorf("src %q: the download is not laid in:\n%s", patterns, text)
		}
	}
}
