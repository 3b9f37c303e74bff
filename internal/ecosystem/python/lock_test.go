package python_test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/dag"
	"headwater/internal/lock"
)

// roles lists a lock's artifacts: "file role".
func roles(c lock.Component) []string {
	var out []string
	for _, a := range c.Artifacts {
		out = append(out, strings.TrimSpace(a.File+" "+a.Role))
	}
	return out
}

func TestLock(t *testing.T) {
	s := newShop(t)
	c, err := s.lock(t, lock.Component{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{
		"alpha-1.4-py3-none-any.whl", "helper-0.5.tar.gz build", "lx-6.0.tar.gz", "packer-1.0-py3-none-any.whl build",
		"packer-2.0-py3-none-any.whl build", "plug-1.1-py3-none-any.whl build", "psy-3.1.tar.gz",
	}, roles(c)); diff != "" {
		t.Errorf("artifacts (-want +got):\n%s", diff)
	}
	var got any
	if err := json.Unmarshal(c.Data, &got); err != nil {
		t.Fatal(err)
	}
	var want any
	if err := json.Unmarshal([]byte(`{
		"python": "3.13.5",
		"install": ["alpha-1.4-py3-none-any.whl", "lx-6.0.tar.gz", "psy-3.1.tar.gz"],
		"members": [{"name": "shop-core", "dir": "backend/packages/core", "version": "0.3", "editable": true,
			"backend": "packer", "requires": ["packer"], "env": ["packer-2.0-py3-none-any.whl", "plug-1.1-py3-none-any.whl"]}],
		"sdists": {
			"helper-0.5.tar.gz": {"backend": "packer", "requires": ["packer<2"], "env": ["packer-1.0-py3-none-any.whl", "plug-1.1-py3-none-any.whl"]},
			"lx-6.0.tar.gz": {"backend": "packer", "requires": ["packer>=1"], "env": ["packer-2.0-py3-none-any.whl", "plug-1.1-py3-none-any.whl"]},
			"psy-3.1.tar.gz": {"backend": "packer", "requires": ["packer==1.0"], "dynamic": ["helper"],
				"env": ["helper-0.5.tar.gz", "packer-1.0-py3-none-any.whl", "plug-1.1-py3-none-any.whl"]}
		}}`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}
	if i := slices.IndexFunc(c.Artifacts, func(a lock.Artifact) bool { return a.File == "psy-3.1.tar.gz" }); c.Artifacts[i].Hint != "https://files.invalid/psy-3.1.tar.gz" || c.Artifacts[i].Size == 0 {
		t.Errorf("psy has hint %q and size %d", c.Artifacts[i].Hint, c.Artifacts[i].Size)
	}
}

// TestLockKeeps: what a previous lock chose stays, though the index has newer, and nothing is asked for that is known.
func TestLockKeeps(t *testing.T) {
	s := newShop(t)
	first, err := s.lock(t, lock.Component{})
	if err != nil {
		t.Fatal(err)
	}
	s.shelf.put("packer", "packer-2.5-py3-none-any.whl", wheel(t, "packer", "2.5", nil, "packer.py", backend))
	second, err := s.lock(t, first)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, second, cmp.AllowUnexported(lock.Artifact{}.Hash)); diff != "" {
		t.Errorf("a second lock differs (-first +second):\n%s", diff)
	}
	if len(s.shelf.asked) > 0 {
		t.Errorf("a second lock asked for %q", s.shelf.asked)
	}
	t.Run("an update of one sdist", func(t *testing.T) {
		hash := s.shelf.put("lx", "lx-6.1.tar.gz", sdist(t, "lx", "6.1", "pyproject.toml", pyproject("lx", "6.1", `"packer>=1"`, ""), "lx.py", ""))
		old := first.Artifacts[slices.IndexFunc(first.Artifacts, func(a lock.Artifact) bool { return a.Name == "lx" })]
		s.edit(t, "backend/uv.lock", "sha256:"+old.Hash.Base16(), hash)
		s.edit(t, "backend/uv.lock", "6.0", "6.1")
		third, err := s.lock(t, first)
		if err != nil {
			t.Fatal(err)
		}
		want := slices.Clone(roles(first))
		want[slices.Index(want, "lx-6.0.tar.gz")] = "lx-6.1.tar.gz"
		if diff := cmp.Diff(want, roles(third)); diff != "" {
			t.Errorf("artifacts (-want +got):\n%s", diff)
		}
		if slices.Contains(s.shelf.asked, "psy-3.1.tar.gz") || slices.Contains(s.shelf.asked, "helper") {
			t.Errorf("asked for %q, though psy is as it was", s.shelf.asked)
		}
	})
	t.Run("a change of a member's manifest", func(t *testing.T) {
		s.edit(t, "backend/packages/core/pyproject.toml", `"packer"]`, `"packer>2"]`)
		c, err := s.lock(t, first)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(roles(c), "packer-2.5-py3-none-any.whl build") {
			t.Errorf("artifacts %q lack packer 2.5", roles(c))
		}
	})
}

func TestLockOptions(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*testing.T, *shop)
		want   string // is among the artifacts' names and roles, or what the error says where it starts with "!"
	}{
		"build-requires":    {set("build-requires", map[string]any{"LX": []any{"plug<1.1"}}), "plug-1.0-py3-none-any.whl build"},
		"build-constraints": {set("build-constraints", []any{"plug<1.1"}), "plug-1.0-py3-none-any.whl build"},
		"constraints of the project": {func(t *testing.T, s *shop) {
			s.edit(t, "backend/pyproject.toml", "[tool.uv]", "[tool.uv]\nbuild-constraint-dependencies = [\"plug==1.0\"]")
		}, "plug-1.0-py3-none-any.whl build"},
		"uv.toml in its place":       {func(_ *testing.T, s *shop) { s.write("backend/uv.toml", "no-binary-package = []\n") }, "lx-6.0-py3-none-any.whl"},
		"a lock by name":             {set("lock", "uv.lock"), "psy-3.1.tar.gz"},
		"a member built as a wheel":  {func(_ *testing.T, s *shop) { s.component.At = ""; s.component.Options["editable"] = false }, "psy-3.1.tar.gz"},
		"an unknown option":          {set("moon", 1), "!moon"},
		"no venv":                    {func(_ *testing.T, s *shop) { delete(s.component.Options, "venv") }, "!venv is missing"},
		"a venv with a space":        {set("venv", "/opt/my venv"), "!venv"},
		"a relative venv":            {set("venv", "opt/venv"), "!venv"},
		"a number for a version":     {set("python", 3.13), "!needs quotes"},
		"no such interpreter":        {set("python", "python3.12"), `!no package "python3.12" (there are: python3.13)`},
		"compile of nothing":         {set("compile", []any{"zeta"}), "!zeta, which is not in the environment"},
		"compile without an sdist":   {set("compile", []any{"alpha"}), "!no sdist"},
		"editable without a place":   {func(_ *testing.T, s *shop) { s.component.At = "" }, "!at run time"},
		"commands":                   {func(_ *testing.T, s *shop) { s.component.Build = []string{"true"} }, "!no build commands"},
		"two locks":                  {func(_ *testing.T, s *shop) { s.write("backend/poetry.lock", "") }, "!both"},
		"no lock":                    {func(_ *testing.T, s *shop) { delete(s.files, "backend/uv.lock") }, "!no poetry.lock and no uv.lock"},
		"no manifest":                {func(_ *testing.T, s *shop) { delete(s.files, "backend/pyproject.toml") }, "!no pyproject.toml"},
		"a member that is not there": {func(_ *testing.T, s *shop) { delete(s.files, "backend/packages/core/pyproject.toml") }, "!neither pyproject.toml nor setup.py"},
		"a member elsewhere":         {func(t *testing.T, s *shop) { s.edit(t, "backend/uv.lock", "packages/core", "../../other") }, "!not in the source"},
		"no such build requirement": {func(t *testing.T, s *shop) {
			s.edit(t, "backend/packages/core/pyproject.toml", `"packer"]`, `"nowhere"]`)
		}, "!nowhere"},
		"no such version": {func(t *testing.T, s *shop) {
			s.edit(t, "backend/packages/core/pyproject.toml", `"packer"]`, `"packer>7"]`)
		}, "!no version of packer satisfies packer>7"},
		"no C library": {func(_ *testing.T, s *shop) { s.root.Packages = s.root.Packages[1:] }, "!libc6"},
		"two interpreters": {func(_ *testing.T, s *shop) {
			s.root.Packages = append(s.root.Packages, lock.Artifact{Name: "python3.14", Version: "3.14.0-1"})
		}, "!python3.13, python3.14"},
		"a hash of another file": {func(t *testing.T, s *shop) { s.shelf.files["psy-3.1.tar.gz"] = []byte("no") }, "!psy"},
		"no archive":             {func(t *testing.T, s *shop) { s.replace(t, "psy-3.1.tar.gz", []byte("no archive at all")) }, "!read sdist"},
		"a backend that fails": {func(t *testing.T, s *shop) {
			s.replace(t, "psy-3.1.tar.gz", sdist(t, "psy", "3.1", "pyproject.toml", pyproject("psy", "3.1", `"packer==1.0"`, ""), "asks/x", ""))
		}, "!ask the build backend packer for its requirements"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			c.change(t, s)
			got, err := s.lock(t, lock.Component{})
			if says, fails := strings.CutPrefix(c.want, "!"); fails {
				if err == nil || !strings.Contains(err.Error(), says) {
					t.Errorf("got %v, want an error that says %q", err, says)
				}
				return
			}
			if err != nil || !slices.Contains(roles(got), c.want) {
				t.Errorf("got %q, %v; want %q among them", roles(got), err, c.want)
			}
		})
	}
}

func set(option string, value any) func(*testing.T, *shop) {
	return func(_ *testing.T, s *shop) { s.component.Options[option] = value }
}

// replace gives a file of the lock other content, and the lock its hash.
func (s *shop) replace(t *testing.T, file string, data []byte) {
	t.Helper()
	old := strings.TrimPrefix(s.shelf.put("old", "old", s.shelf.files[file]), "sha256:")
	s.edit(t, "backend/uv.lock", old, strings.TrimPrefix(s.shelf.put("new", file, data), "sha256:"))
}

func TestDerive(t *testing.T) {
	s := newShop(t)
	c, err := s.lock(t, lock.Component{})
	if err != nil {
		t.Fatal(err)
	}
	last, nodes, err := s.derive(t, c)
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
	packer1, packer2, plug := "packer-1.0-py3-none-any.whl", "packer-2.0-py3-none-any.whl", "plug-1.1-py3-none-any.whl"
	want := map[string][]string{
		"wheel helper 0.5":   {"helper-0.5.tar.gz", packer1, plug, "root"},
		"wheel psy 3.1":      {packer1, plug, "psy-3.1.tar.gz", "root", "wheel helper 0.5"},
		"wheel lx 6.0":       {"lx-6.0.tar.gz", packer2, plug, "root"},
		"editable shop-core": {packer2, plug, "root", "source"},
		"env":                {"alpha-1.4-py3-none-any.whl", "editable shop-core", "root", "wheel lx 6.0", "wheel psy 3.1"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("inputs (-want +got):\n%s", diff)
	}
	if last != nodes["env"] || last.Kind != dag.Build || last.Component != "env" {
		t.Errorf("the last node is %s", last.Name)
	}
}

// What a change changes in the graph, sources and fetches left out.
func TestDeriveChanges(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*testing.T, *shop)
		want   []string
	}{
		"nothing":               {func(*testing.T, *shop) {}, nil},
		"another release":       {func(_ *testing.T, s *shop) { s.recipe.Release = "1.1" }, nil},
		"a line of a member":    {func(t *testing.T, s *shop) { s.edit(t, "backend/packages/core/shop_core.py", "core", "more") }, []string{"editable shop-core", "env"}},
		"where the venv stands": {set("venv", "/venv"), []string{"env"}},
		"no bytecode":           {set("bytecode", false), []string{"env"}},
		"the environment of builds": {
			func(_ *testing.T, s *shop) { s.component.Env = map[string]string{"CFLAGS": "-O1"} },
			[]string{"editable shop-core", "env", "wheel helper 0.5", "wheel lx 6.0", "wheel psy 3.1"},
		},
		"a dependency": {func(t *testing.T, s *shop) {
			s.replace(t, "alpha-1.4-py3-none-any.whl", wheel(t, "alpha", "1.4", nil, "alpha.py", ""))
		}, []string{"env"}},
		"an sdist": {func(t *testing.T, s *shop) {
			s.replace(t, "lx-6.0.tar.gz", sdist(t, "lx", "6.0", "pyproject.toml", pyproject("lx", "6.0", `"packer"`, ""), "lx.py", "X = 3\n"))
		}, []string{"env", "wheel lx 6.0"}},
		"a build requirement": {func(t *testing.T, s *shop) {
			s.shelf.put("packer", "packer-2.5-py3-none-any.whl", wheel(t, "packer", "2.5", nil, "packer.py", backend))
		}, []string{"editable shop-core", "env", "wheel lx 6.0"}},
	} {
		t.Run(name, func(t *testing.T) {
			derive := func(s *shop) map[string]*dag.Node {
				c, err := s.lock(t, lock.Component{})
				if err != nil {
					t.Fatal(err)
				}
				_, nodes, err := s.derive(t, c)
				if err != nil {
					t.Fatal(err)
				}
				return nodes
			}
			s := newShop(t)
			before := derive(s)
			c.change(t, s)
			var got []string
			for name, n := range derive(s) {
				if n.Kind != dag.Src && n.Kind != dag.Fetch && (before[name] == nil || before[name].ID() != n.ID()) {
					got = append(got, name)
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("changed nodes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDeriveErrors(t *testing.T) {
	s := newShop(t)
	good, err := s.lock(t, lock.Component{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new, says string }{
		"an unknown key":         {`"python"`, `"moon":1,"python"`, "moon"},
		"no interpreter":         {`"3.13.5"`, `"2.7.18"`, "3.N.N"},
		"a file that is not":     {`"install":["`, `"install":["x-1-py3-none-any.whl","`, "has no artifact"},
		"an sdist without build": {`"helper-0.5.tar.gz":{`, `"helper-0.6.tar.gz":{`, "helper-0"},
		"a build of itself":      {`"env":["packer-1.0-py3-none-any.whl"`, `"env":["helper-0.5.tar.gz","packer-1.0-py3-none-any.whl"`, "needs itself"},
		"a member that is not":   {`"dir":"backend/packages/core"`, `"dir":"backend/packages/none"`, "selects no pyproject.toml"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := good
			bad.Data = edit(t, good.Data, c.old, c.new)
			if _, _, err := s.derive(t, bad); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want an error that says %q", err, c.says)
			}
		})
	}
}

// TestEnvironment builds the environment for real, outside a root, and uses it.
func TestEnvironment(t *testing.T) {
	s := newShop(t)
	c, err := s.lock(t, lock.Component{})
	if err != nil {
		t.Fatal(err)
	}
	last, _, err := s.derive(t, c)
	if err != nil {
		t.Fatal(err)
	}
	venv, err := s.realise(t, last)
	if err != nil {
		t.Fatal(err)
	}
	for program, want := range map[string]string{
		"import lx; print(lx.COMPILED)":           "True",
		"import lx_built; print(lx_built.WITH)":   "['packer 2.0', 'plug 1.1']",
		"import psy_built; print(psy_built.WITH)": "['helper 0.5', 'packer 1.0', 'plug 1.1']",
		"import shop_core, os; print(os.path.dirname(shop_core.__file__).endswith('/app/backend/packages/core'))": "True",
		"from importlib.metadata import *; print(sorted(d.name for d in distributions()))":                        "['alpha', 'lx', 'psy', 'shop-core']",
		"from importlib.metadata import *; print(distribution('alpha').read_text('INSTALLER'))":                   "headwater",
		"from importlib.metadata import *; print(distribution('shop-core').read_text('direct_url.json')[-34:])":   `"dir_info":{"editable":true}}`,
	} {
		out, err := exec.Command(filepath.Join(venv, "bin", "python"), "-I", "-c", program).CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %s, %v; want %s", program, out, err, want)
		}
	}
	for script, want := range map[string]string{"alpha-run": "alpha\n", "shop": "core\n"} {
		if out, err := exec.Command(filepath.Join(venv, "bin", script)).CombinedOutput(); err != nil || string(out) != want {
			t.Errorf("%s: %q, %v; want %q", script, out, err, want)
		}
	}
}
