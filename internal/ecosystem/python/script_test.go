package python_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// install runs install.py on wheels, by file name, for an environment at venv.
func install(t *testing.T, venv string, cores int, wheels map[string][]byte) error {
	t.Helper()
	type entry struct {
		File string `json:"file"`
		Path string `json:"path"`
		URL  string `json:"url"`
	}
	dir := t.TempDir()
	spec := struct {
		Venv     string  `json:"venv"`
		Python   string  `json:"python"`
		Bytecode bool    `json:"bytecode"`
		Wheels   []entry `json:"wheels"`
	}{venv, interpreter, true, []entry{}}
	for name, data := range wheels {
		path := filepath.Join(dir, fmt.Sprintf("store-%d", len(spec.Wheels)))
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		spec.Wheels = append(spec.Wheels, entry{name, path, ""})
	}
	return script(t, "install.py", dir, cores, spec)
}

// script runs one of the scripts on a spec; the error has what it printed.
func script(t *testing.T, name, dir string, cores int, spec any, args ...string) error {
	t.Helper()
	data, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "spec.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	path, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	flags := []string{"-I", "-S", "-B"}
	if name == "build.py" {
		flags = []string{"-P"}
	}
	cmd := exec.CommandContext(t.Context(), interpreter, slices.Concat(flags, []string{path, file}, args)...)
	cmd.Dir, cmd.Env = dir, []string{fmt.Sprint("CORES=", cores), "PYTHONDONTWRITEBYTECODE=1"}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// tree is what is below dir: mode and content by path.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			out[rel], err = os.Readlink(p)
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(p)
		out[rel] = info.Mode().String() + " " + string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestInstall(t *testing.T) {
	venv := filepath.Join(t.TempDir(), "venv")
	err := install(t, venv, 2, map[string][]byte{
		"Some.Thing-1.0-py3-none-any.whl": wheel(t, "some-thing", "1.0", nil,
			"thing/__init__.py", "class App:\n    @classmethod\n    def main(cls):\n        import sys\n        print(sys.argv[1:])\n        return 3\n",
			"thing/template.py", "{% not python %}\n",
			"thing/__pycache__/old.cpython-313.pyc", "stale",
			"some_thing-1.0.data/scripts/tool", "#!python -u\nprint('tool')\n",
			"some_thing-1.0.data/scripts/plain.sh", "#!/bin/sh\necho plain\n",
			"some_thing-1.0.data/data/share/doc/thing.txt", "doc",
			"some_thing-1.0.data/headers/thing.h", "int x;",
			"some_thing-1.0.data/purelib/thing_extra.py", "Y = 1\n",
			"some_thing-1.0.dist-info/entry_points.txt", "[console_scripts]\nthing = thing:App.main [extra]\n[other]\nx = not a reference\n",
			"some_thing-1.0.dist-info/INSTALLER", "someone else",
		),
	})
	if err != nil {
		t.Fatal(err)
	}
	got := tree(t, venv)
	var names []string
	for name := range got {
		names = append(names, name)
	}
	slices.Sort(names)
	version := strings.TrimPrefix(got["bin/python"], "python")
	site, tag := "lib/python"+version+"/site-packages/", "cpython-"+strings.ReplaceAll(version, ".", "")
	want := []string{
		"bin/activate", "bin/plain.sh", "bin/python", "bin/python3", "bin/python" + version, "bin/thing", "bin/tool",
		"include/site/python" + version + "/Some.Thing/thing.h",
		site + "__pycache__/thing_extra." + tag + ".pyc",
		site + "some_thing-1.0.dist-info/INSTALLER", site + "some_thing-1.0.dist-info/METADATA", site + "some_thing-1.0.dist-info/RECORD",
		site + "some_thing-1.0.dist-info/WHEEL", site + "some_thing-1.0.dist-info/entry_points.txt",
		site + "thing/__init__.py", site + "thing/__pycache__/__init__." + tag + ".pyc", site + "thing/template.py", site + "thing_extra.py",
		"lib64", "pyvenv.cfg", "share/doc/thing.txt",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if got["bin/python"+version] != interpreter || got["lib64"] != "lib" {
		t.Errorf("bin/python leads to %q, lib64 to %q", got["bin/python"+version], got["lib64"])
	}
	if want := "-rwxr-xr-x #!" + venv + "/bin/python -u\nprint('tool')\n"; got["bin/tool"] != want {
		t.Errorf("bin/tool is %q, want %q", got["bin/tool"], want)
	}
	if !strings.HasSuffix(got[site+"some_thing-1.0.dist-info/INSTALLER"], "headwater\n") {
		t.Error("the wheel's own INSTALLER was kept")
	}
	record := strings.Split(strings.TrimSpace(strings.TrimPrefix(got[site+"some_thing-1.0.dist-info/RECORD"], "-rw-r--r-- ")), "\n")
	if !slices.IsSorted(record) || !slices.Contains(record, "some_thing-1.0.dist-info/RECORD,,") ||
		!slices.ContainsFunc(record, func(l string) bool { return strings.HasPrefix(l, "../../../bin/thing,sha256=") }) {
		t.Errorf("RECORD is %q", record)
	}
	cmd := exec.Command(filepath.Join(venv, "bin", "thing"), "a")
	if out, _ := cmd.CombinedOutput(); string(out) != "['a']\n" || cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("bin/thing: %q, %v", out, cmd.ProcessState)
	}
	if out, err := exec.Command(filepath.Join(venv, "bin", "python"), "-c", "import sys; print(sys.prefix)").CombinedOutput(); string(out) != venv+"\n" {
		t.Errorf("sys.prefix is %q, %v", out, err)
	}
}

// TestInstallIsDeterministic compiles much real code, by one process and by two, which so come to it in another order.
func TestInstallIsDeterministic(t *testing.T) {
	stdlib, err := exec.Command(interpreter, "-c", "import os; print(os.path.dirname(os.__file__))").Output()
	if err != nil {
		t.Fatal(err)
	}
	wheels := map[string][]byte{}
	// Both modules have a string that is interned in the one that is compiled first, and replaced in the other.
	for _, name := range []string{"one", "two"} {
		text := "class outer:\n    class Inner(type):\n        pass\nX = {'b', 'a', 1, (2, 'c')}\ndef f(x):\n    return x in {'n-1', 'n-2', 'n-3', 'n-4', 'n-5'}\n"
		wheels[name+"-1-py3-none-any.whl"] = wheel(t, name, "1", nil, name+".py", text)
	}
	for _, name := range []string{"asyncio", "email", "json", "unittest", "logging", "importlib", "xml", "http", "collections"} {
		var files []string
		dir := filepath.Join(strings.TrimSpace(string(stdlib)), name)
		paths, err := filepath.Glob(dir + "/*.py")
		if err != nil || len(paths) == 0 {
			t.Fatalf("no modules in %s, %v", dir, err)
		}
		for _, p := range paths {
			data, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, "std_"+name+"/"+filepath.Base(p), string(data))
		}
		wheels["std_"+name+"-1-py3-none-any.whl"] = wheel(t, "std-"+name, "1", nil, files...)
	}
	venv := filepath.Join(t.TempDir(), "venv")
	var first map[string]string
	for _, cores := range []int{1, 2, 2, 3} {
		if err := install(t, venv, cores, wheels); err != nil {
			t.Fatal(err)
		}
		got := tree(t, venv)
		if err := os.RemoveAll(venv); err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = got
			continue
		}
		for name := range first {
			if got[name] != first[name] {
				t.Errorf("%d processes made another %s", cores, name)
			}
		}
		if len(got) != len(first) {
			t.Errorf("%d processes made %d files, one made %d", cores, len(got), len(first))
		}
	}
}

func TestInstallClash(t *testing.T) {
	a := wheel(t, "a", "1", nil, "shared/__init__.py", "NAME = 'a'\n", "shared/a.py", "")
	b := wheel(t, "b", "1", nil, "shared/__init__.py", "NAME = 'b'\n", "shared/b.py", "")
	for _, cores := range []int{1, 2} {
		venv := filepath.Join(t.TempDir(), "venv")
		if err := install(t, venv, cores, map[string][]byte{"a-1-py3-none-any.whl": a, "b-1-py3-none-any.whl": b}); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(filepath.Join(venv, "bin", "python"), "-c", "import shared, shared.a, shared.b; print(shared.NAME)").CombinedOutput()
		if string(out) != "b\n" {
			t.Errorf("with %d processes: %s, %v", cores, out, err)
		}
	}
}

func TestInstallHostile(t *testing.T) {
	with := func(files ...string) []byte { return wheel(t, "a", "1", nil, files...) }
	linked := func() []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		h := &zip.FileHeader{Name: "a.py"}
		h.SetMode(fs.ModeSymlink | 0o777)
		w, err := z.CreateHeader(h)
		if err == nil {
			_, err = w.Write([]byte("/etc/passwd"))
		}
		if err != nil || z.Close() != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for name, c := range map[string]struct {
		data []byte
		says string
	}{
		"a path out of it":      {with("../evil.py", ""), "leads out"},
		"an absolute path":      {with("/tmp/evil.py", ""), "leads out"},
		"a path that is hidden": {with("x/../../../evil.py", ""), "leads out"},
		"a backslash":           {with(`..\evil.py`, ""), "leads out"},
		"data out of it":        {with("a-1.data/data/../../evil", ""), "leads out"},
		"an unknown scheme":     {with("a-1.data/root/evil", ""), "no known scheme"},
		"a link":                {linked(), "not a plain file"},
		"a file twice":          {with("a.py", "1", "a.py", "2"), "twice"},
		"code for a script":     {with("a-1.dist-info/entry_points.txt", "[console_scripts]\nx = os:system('id')#:x\n"), "not NAME = MODULE:FUNCTION"},
		"a script elsewhere":    {with("a-1.dist-info/entry_points.txt", "[console_scripts]\n../../x = os:getcwd\n"), "not NAME = MODULE:FUNCTION"},
		"of another package":    {wheel(t, "b", "1", nil, "b.py", ""), "where NAME-VERSION.dist-info should be"},
		"a newer format":        {zipped(t, "a-1.dist-info/METADATA", "", "a-1.dist-info/RECORD", "", "a-1.dist-info/WHEEL", "Wheel-Version: 2.0\n"), "not known"},
		"no RECORD":             {zipped(t, "a-1.dist-info/METADATA", "", "a-1.dist-info/WHEEL", "Wheel-Version: 1.0\n"), "no RECORD"},
		"no archive":            {[]byte("PK and no more"), "install a-1-py3-none-any.whl"},
		"a folder for a file":   {with("a/b.py", "", "a", ""), "folder"},
		"a file for the python": {with("a-1.data/scripts/python", "#!/bin/sh\n"), "the environment's own"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			venv := filepath.Join(dir, "in", "venv")
			err := install(t, venv, 2, map[string][]byte{"a-1-py3-none-any.whl": c.data})
			if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "Traceback") {
				t.Errorf("got %v, want an error that says %q", err, c.says)
			}
			for p := range tree(t, dir) {
				if !strings.HasPrefix(p, "in/venv/") {
					t.Errorf("%s was written", p)
				}
			}
		})
	}
}

// buildSpec is build.py's input.
type buildSpec struct {
	Source      string   `json:"source"`
	Backend     string   `json:"backend"`
	BackendPath []string `json:"backendPath"`
	Hook        string   `json:"hook"`
	Name        string   `json:"name"`
	Version     string   `json:"version"`
}

// build runs build.py on an archive whose backend is in itself.
func build(t *testing.T, archive []byte, change func(*buildSpec)) (out string, err error) {
	t.Helper()
	dir := t.TempDir()
	work, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	for _, d := range []string{work, out} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "archive")
	if err := os.WriteFile(file, archive, 0o600); err != nil {
		t.Fatal(err)
	}
	spec := buildSpec{Source: file, Backend: "packer", BackendPath: []string{"."}, Hook: "wheel", Name: "a", Version: "1"}
	change(&spec)
	err = script(t, "build.py", work, 1, spec, out)
	for p := range tree(t, dir) {
		if !strings.HasPrefix(p, "in/") && !strings.HasPrefix(p, "out/") && p != "archive" {
			t.Errorf("%s was written", p)
		}
	}
	return out, err
}

func own(t *testing.T, files ...string) []byte {
	return sdist(t, "a", "1", append(files, "packer.py", backend, "pyproject.toml", pyproject("a", "1", "", ""))...)
}

func TestBuild(t *testing.T) {
	var first map[string]string
	for range 2 {
		out, err := build(t, own(t, "a.py", "X = 1\n"), func(*buildSpec) {})
		if err != nil {
			t.Fatal(err)
		}
		got := tree(t, out)
		if len(got) != 1 || got["a-1-py3-none-any.whl"] == "" {
			t.Errorf("made %d files", len(got))
		}
		if first != nil && got["a-1-py3-none-any.whl"] != first["a-1-py3-none-any.whl"] {
			t.Error("a second build made another wheel")
		}
		first = got
	}
	out, err := build(t, zipped(t, "a-1/packer.py", backend, "a-1/pyproject.toml", pyproject("a", "1", "", ""), "a-1/asks", "x y"), func(s *buildSpec) { s.Hook = "requires-wheel" })
	if err != nil {
		t.Fatal(err)
	}
	if got := tree(t, out)["requires.json"]; !strings.HasSuffix(got, `["x", "y"]`) {
		t.Errorf("requires.json is %q", got)
	}
}

func TestBuildHostile(t *testing.T) {
	entry := func(h tar.Header) []byte {
		body := ""
		if h.Typeflag == tar.TypeReg {
			body, h.Size = "x", 1
		}
		h.Mode = 0o644
		return tarred(t, []tar.Header{{Name: "a-1", Typeflag: tar.TypeDir, Mode: 0o755}, h}, []string{"", body})
	}
	none := func(*buildSpec) {}
	for name, c := range map[string]struct {
		archive []byte
		change  func(*buildSpec)
		says    string
	}{
		"a path out of it":     {entry(tar.Header{Name: "a-1/../../../evil", Typeflag: tar.TypeReg}), none, "leads out"},
		"an absolute path":     {entry(tar.Header{Name: "/tmp/evil", Typeflag: tar.TypeReg}), none, "leads out"},
		"a link out of it":     {entry(tar.Header{Name: "a-1/l", Linkname: "../../..", Typeflag: tar.TypeSymlink}), none, "leads out"},
		"an absolute link":     {entry(tar.Header{Name: "a-1/l", Linkname: "/etc", Typeflag: tar.TypeSymlink}), none, "leads out"},
		"a hard link out":      {entry(tar.Header{Name: "a-1/l", Linkname: "../spec.json", Typeflag: tar.TypeLink}), none, "leads out"},
		"a hard link to none":  {entry(tar.Header{Name: "a-1/l", Linkname: "a-1/none", Typeflag: tar.TypeLink}), none, "not in it"},
		"a device":             {entry(tar.Header{Name: "a-1/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}), none, "neither file, folder nor link"},
		"a pipe":               {entry(tar.Header{Name: "a-1/p", Typeflag: tar.TypeFifo}), none, "neither file, folder nor link"},
		"two folders":          {tarred(t, []tar.Header{{Name: "a-1", Typeflag: tar.TypeDir, Mode: 0o755}, {Name: "b-1", Typeflag: tar.TypeDir, Mode: 0o755}}, []string{"", ""}), none, "not one folder"},
		"below a link":         {tarred(t, []tar.Header{{Name: "a-1/d", Typeflag: tar.TypeDir, Mode: 0o755}, {Name: "a-1/l", Linkname: "d", Typeflag: tar.TypeSymlink}, {Name: "a-1/l/x", Typeflag: tar.TypeReg, Mode: 0o644}}, []string{"", "", ""}), none, "below a link"},
		"a zip out of it":      {zipped(t, "a-1/../../evil", "x"), none, "leads out"},
		"no archive":           {[]byte("nothing"), none, "build a:"},
		"a truncated archive":  {own(t, "a.py", "")[:300], none, ""},
		"another package":      {own(t), func(s *buildSpec) { s.Name = "b" }, "no wheel of b"},
		"another version":      {own(t), func(s *buildSpec) { s.Version = "2" }, "not version 2"},
		"a backend elsewhere":  {own(t), func(s *buildSpec) { s.BackendPath = []string{"../.."} }, "leads out"},
		"a backend that lacks": {own(t, "slim.py", ""), func(s *buildSpec) { s.Backend = "slim" }, "no build_wheel"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := build(t, c.archive, c.change)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want an error that says %q", err, c.says)
			}
			if c.says != "" && err != nil && strings.Contains(err.Error(), "Traceback") {
				t.Errorf("a traceback for an archive at fault: %v", err)
			}
			if left := tree(t, out); len(left) > 0 {
				t.Errorf("%d files are left", len(left))
			}
		})
	}
}
