package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"golang.org/x/mod/sumdb/dirhash"

	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/recipe"
)

// shelf is a registry on loopback: what is on it is served, all else is gone.
type shelf struct {
	*httptest.Server
	mu    sync.Mutex
	files map[string][]byte // by path
}

func newShelf(t *testing.T) *shelf {
	s := &shelf{files: map[string][]byte{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		data, ok := s.files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if _, err := w.Write(data); err != nil {
			t.Log(err)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *shelf) put(path string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[path] = data
}

// npmPackage is a tarball as npm's registry has it. note makes its bytes those of this run: no store has them yet.
func npmPackage(t *testing.T, name, version, note string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, f := range [][2]string{
		{"package/package.json", fmt.Sprintf(`{"name":%q,"version":%q}`, name, version)},
		{"package/index.js", fmt.Sprintf("// %s\nmodule.exports = %q;\n", note, name+" "+version)},
	} {
		if err := w.WriteHeader(&tar.Header{Name: f[0], Mode: 0o644, Size: int64(len(f[1]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pythonWheel(t *testing.T, name, version, note string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	info := name + "-" + version + ".dist-info/"
	for _, f := range [][2]string{
		{name + ".py", "# " + note + "\nVERSION = '" + name + " " + version + "'\n"},
		{info + "METADATA", "Metadata-Version: 2.1\nName: " + name + "\nVersion: " + version + "\n"},
		{info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
		{info + "RECORD", ""},
	} {
		w, err := z.Create(f[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// goneProject is a folder with a recipe of these components, with roots and toolchains of an example, so that these are there.
func goneProject(t *testing.T, layout map[string]string, components map[string]recipe.Component, toolchains ...string) (dir string, r *recipe.Recipe) {
	t.Helper()
	const example = "../../examples/homelab/gatehouse/"
	var of recipe.Recipe
	var locked *lock.File
	text, err := os.ReadFile(example + recipeFile)
	if err == nil {
		err = yaml.Unmarshal(text, &of)
	}
	if err == nil {
		text, err = os.ReadFile(example + lockFile)
	}
	if err == nil {
		locked, err = lock.Parse(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	r = &recipe.Recipe{
		Format: recipe.Format, Name: "tide", Release: "1", Source: "src",
		Toolchains: map[string]string{}, Roots: map[string]recipe.Root{"runtime": of.Roots["runtime"]}, Components: components,
		Package: recipe.Package{Root: "runtime", Layout: layout, Command: []string{"bash", "-c"}, Processes: map[string]recipe.Process{}},
	}
	for _, name := range toolchains {
		r.Toolchains[name] = of.Toolchains[name]
	}
	for _, c := range components {
		r.Roots[c.Root] = of.Roots[c.Root]
	}
	for name := range locked.Roots {
		if _, ok := r.Roots[name]; !ok {
			delete(locked.Roots, name)
		}
	}
	for name := range locked.Toolchains {
		if _, ok := r.Toolchains[name]; !ok {
			delete(locked.Toolchains, name)
		}
	}
	locked.Components = map[string]lock.Component{}
	if text, err = locked.Marshal(); err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	writeFile(t, dir, lockFile, string(text))
	writeRecipe(t, dir, r)
	return dir, r
}

func writeRecipe(t *testing.T, dir string, r *recipe.Recipe) {
	t.Helper()
	text, err := yaml.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir, recipeFile, string(text))
}

func writeFile(t *testing.T, dir, name, text string) {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

const uvProject = "[project]\nname = \"tide\"\nversion = \"1\"\nrequires-python = \">=3.11\"\n"

const uvHead = "version = 1\nrevision = 2\nrequires-python = \">=3.11\"\n"

// Of three artifacts that no registry has any more, a build tells at once, and what to write; with another place for one, a file for
// one and another version for one it builds, and says so in the lock and the package.
func TestGoneArtifacts(t *testing.T) {
	store := sharedStore(t)
	dir, r := goneProject(t, map[string]string{"/web": "web", "/opt/venv": "env"}, map[string]recipe.Component{
		"web": {
			Ecosystem: "node", Root: "node", Dir: "web", Src: []string{"web"},
			Build: []string{"for p in ebb flow; do if [ -e node_modules/$p ]; then node -p \"require('$p')\"; fi; done >seen"}, Output: map[string]string{"seen": "seen"},
		},
		"env": {Ecosystem: "python", Root: "python", Dir: "app", Src: []string{"app"}, Options: map[string]any{"venv": "/opt/venv", "project": false}},
	}, "node", "npm")
	writeFile(t, dir, "src/web/package.json", `{"name":"web","version":"1.0.0"}`)
	writeFile(t, dir, "src/web/package-lock.json", `{"name":"web","version":"1.0.0","lockfileVersion":3,"packages":{"":{"name":"web","version":"1.0.0"}}}`)
	writeFile(t, dir, "src/app/pyproject.toml", uvProject)
	writeFile(t, dir, "src/app/uv.lock", uvHead+"\n[[package]]\nname = \"tide\"\nversion = \"1\"\nsource = { virtual = \".\" }\n")
	// Roots and toolchains come from wherever this machine has them from.
	output(t, "lock", "--store", store, dir)
	output(t, "build", "--store", store, dir)

	s := newShelf(t)
	note := t.TempDir()
	ebb, flow, otherFlow := npmPackage(t, "ebb", "1.0.0", note), npmPackage(t, "flow", "2.0.0", note), npmPackage(t, "flow", "2.0.1", note)
	tide := pythonWheel(t, "moon", "3.0", note)
	sri := func(data []byte) string { return nix.Sum(nix.SHA512, data).SRI() }
	writeFile(t, dir, "src/web/package.json", `{"name":"web","version":"1.0.0","dependencies":{"ebb":"^1.0.0","flow":"2.0.0"}}`)
	writeFile(t, dir, "src/web/package-lock.json", fmt.Sprintf(`{"name":"web","version":"1.0.0","lockfileVersion":3,"packages":{
		"":{"name":"web","version":"1.0.0","dependencies":{"ebb":"^1.0.0","flow":"2.0.0"}},
		"node_modules/ebb":{"version":"1.0.0","resolved":"%[1]s/ebb/-/ebb-1.0.0.tgz","integrity":"%[2]s"},
		"node_modules/flow":{"version":"2.0.0","resolved":"%[1]s/flow/-/flow-2.0.0.tgz","integrity":"%[3]s"}}}`, s.URL, sri(ebb), sri(flow)))
	writeFile(t, dir, "src/app/pyproject.toml", uvProject+"dependencies = [\"moon\"]\n")
	writeFile(t, dir, "src/app/uv.lock", uvHead+fmt.Sprintf(`
[[package]]
name = "moon"
version = "3.0"
source = { registry = "%[1]s/simple" }
wheels = [{ url = "%[1]s/moon-3.0-py3-none-any.whl", hash = "sha256:%[2]x", size = %[3]d }]

[[package]]
name = "tide"
version = "1"
source = { virtual = "." }
dependencies = [{ name = "moon" }]
`, s.URL, sha256.Sum256(tide), len(tide)))
	t.Setenv("HOME", t.TempDir())
	t.Setenv("npm_config_registry", s.URL)
	t.Setenv("PIP_INDEX_URL", s.URL+"/simple")
	t.Setenv("PIP_FIND_LINKS", "")

	output(t, "lock", "--store", store, dir)
	code, text := failure(t, "build", "--store", store, dir)
	_, told, _ := strings.Cut(text, "headwater: ")
	want := strings.NewReplacer("URL/", s.URL+"/").Replace(`3 artifacts are gone:
  npm ebb 1.0.0 (ebb-1.0.0.tgz): HTTP status 404 (Not Found) at URL/ebb/-/ebb-1.0.0.tgz (npm_config_registry)
  npm flow 2.0.0 (flow-2.0.0.tgz): HTTP status 404 (Not Found) at URL/flow/-/flow-2.0.0.tgz (npm_config_registry)
  pypi moon 3.0 (moon-3.0-py3-none-any.whl): HTTP status 404 (Not Found) at URL/simple/moon/ (PIP_INDEX_URL), URL/moon-3.0-py3-none-any.whl (upstream's lock)
hint: where you have another place for these, name it in headwater.yaml: an address, a file beside the recipe, or another version (of npm and
Python packages and Go modules), then run headwater lock; a mirror that still has them can be named in registries.yaml

  replace:
    npm:ebb@1.0.0: {file: "gone/ebb-1.0.0.tgz"}  # or {version: …}, {url: …}
    npm:flow@2.0.0: {file: "gone/flow-2.0.0.tgz"}  # or {version: …}, {url: …}
    pypi:moon@3.0: {file: "gone/moon-3.0-py3-none-any.whl"}  # or {version: …}, {url: …}
`)
	if diff := cmp.Diff(want, told); diff != "" || code != exitEnvironment {
		t.Errorf("exit code %d, want %d; told (-want +got):\n%s", code, exitEnvironment, diff)
	}

	s.put("/mirror/ebb-1.0.0.tgz", ebb)
	s.put("/flow", []byte(fmt.Sprintf(`{"name":"flow","versions":{"2.0.1":{"name":"flow","version":"2.0.1","dist":{"integrity":%q}}}}`, sri(otherFlow))))
	s.put("/flow/-/flow-2.0.1.tgz", otherFlow)
	writeFile(t, dir, "gone/moon-3.0-py3-none-any.whl", string(pythonWheel(t, "moon", "3.0", note+" rebuilt")))
	r.Replace = map[string]recipe.Replacement{
		"npm:ebb@1.0.0":  {URL: s.URL + "/mirror/{file}"},
		"npm:flow@2.0.0": {Version: "2.0.1"},
		"pypi:moon@3.0":  {File: "gone/moon-3.0-py3-none-any.whl"},
		"npm:ebb@0.9.0":  {Version: "0.9.1"},
	}
	writeRecipe(t, dir, r)
	if code, text := failure(t, "lock", "--store", store, dir); code != exitInput || !strings.Contains(text, "replace.npm:ebb@0.9.0: matches nothing in the locks; remove it (they have npm:ebb@1.0.0)") {
		t.Errorf("a replacement of nothing: exit code %d\n%s", code, text)
	}
	delete(r.Replace, "npm:ebb@0.9.0")
	writeRecipe(t, dir, r)
	_, warned := output(t, "lock", "--store", store, dir)
	package1, _ := output(t, "build", "--store", store, dir)

	replaced, err := os.ReadFile(filepath.Join(store, package1, "share/headwater/replaced"))
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{
		"npm ebb 1.0.0: url " + s.URL + "/mirror/ebb-1.0.0.tgz, the same bytes (ebb-1.0.0.tgz)",
		"npm flow 2.0.0: version 2.0.1 (flow-2.0.1.tgz " + sri(otherFlow) + ") instead of version 2.0.0 " + sri(flow),
		"pypi moon 3.0: file gone/moon-3.0-py3-none-any.whl (moon-3.0-py3-none-any.whl ",
	}
	for i, line := range strings.Split(strings.TrimSpace(string(replaced)), "\n") {
		if i >= len(lines) || !strings.HasPrefix(line, lines[i]) || !strings.Contains(warned, "replaced: "+line) {
			t.Errorf("the package says %q, and locking:\n%s", line, warned)
		}
	}
	seen, err := os.ReadFile(filepath.Join(store, outputOf(t, dir, "web"), "seen"))
	if diff := cmp.Diff("ebb 1.0.0\nflow 2.0.1\n", string(seen)); diff != "" || err != nil {
		t.Errorf("the web sees %v %s", err, diff)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(store, package1, "bin/tide"), "/opt/venv/bin/python -c 'import moon; print(moon.VERSION)'")
	if out, err := cmd.CombinedOutput(); string(out) != "moon 3.0\n" {
		t.Errorf("the environment has %q, %v", out, err)
	}

	// A second lock of the same is the same, and asks nobody.
	first, err1 := os.ReadFile(filepath.Join(dir, lockFile))
	s.Close()
	output(t, "lock", "--store", store, dir)
	again, err2 := os.ReadFile(filepath.Join(dir, lockFile))
	if diff := cmp.Diff(string(first), string(again)); diff != "" || errors.Join(err1, err2) != nil {
		t.Errorf("locked again: %v %s", errors.Join(err1, err2), diff)
	}
}

// goModule is a module's zip and go.mod as a proxy has them, and its lines of go.sum.
func goModule(t *testing.T, path, version, note string, requires ...string) (archive, mod []byte, sums string) {
	t.Helper()
	mod = []byte("module " + path + "\n\ngo 1.24\n")
	for _, r := range requires {
		mod = append(mod, "\nrequire "+r+"\n"...)
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range [][2]string{{"go.mod", string(mod)}, {"m.go", "package m\n\nconst Note = \"" + note + "\"\n"}} {
		w, err := z.Create(path + "@" + version + "/" + f[0])
		if err == nil {
			_, err = w.Write([]byte(f[1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "m.zip")
	if err := errors.Join(z.Close(), os.WriteFile(file, b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	zipSum, err1 := dirhash.HashZip(file, dirhash.Hash1)
	modSum, err2 := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(mod)), nil })
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), mod, fmt.Sprintf("%[1]s %[2]s %[3]s\n%[1]s %[2]s/go.mod %[4]s\n", path, version, zipSum, modSum)
}

// Of modules that are gone locking tells at once; what stands in for one may be other bytes, which the build checks as well.
func TestGoneModules(t *testing.T) {
	store := sharedStore(t)
	dir, r := goneProject(t, map[string]string{"/server": "server"}, map[string]recipe.Component{
		"server": {Ecosystem: "go", Root: "go", Src: []string{"**"}, Options: map[string]any{"packages": []any{"."}}},
	}, "go")
	writeFile(t, dir, "src/go.mod", "module tide.example/tide\n\ngo 1.24\n")
	writeFile(t, dir, "src/main.go", "package main\n\nfunc main() {}\n")
	output(t, "lock", "--store", store, dir)
	output(t, "build", "--store", store, dir)

	s := newShelf(t)
	note := t.TempDir()
	neap, neapMod, sums := goModule(t, "tide.example/neap", "v1.0.0", note)
	_, springMod, more := goModule(t, "tide.example/spring", "v1.1.0", note)
	spring, _, _ := goModule(t, "tide.example/spring", "v1.1.0", note+" rebuilt")
	writeFile(t, dir, "src/go.mod", "module tide.example/tide\n\ngo 1.24\n\nrequire (\n\ttide.example/neap v1.0.0\n\ttide.example/spring v1.1.0\n)\n")
	writeFile(t, dir, "src/go.sum", sums+more)
	writeFile(t, dir, "src/main.go", "package main\n\nimport (\n\t\"fmt\"\n\n\tneap \"tide.example/neap\"\n\tspring \"tide.example/spring\"\n)\n\nfunc main() { fmt.Println(neap.Note); fmt.Println(spring.Note) }\n")
	t.Setenv("HOME", t.TempDir())
	t.Setenv("GOPROXY", s.URL)
	code, text := failure(t, "lock", "--store", store, dir)
	for _, want := range []string{
		"4 artifacts are gone:\n  go tide.example/neap v1.0.0 (v1.0.0.mod): HTTP status 404 (Not Found) at " + s.URL + "/tide.example/neap/@v/v1.0.0.mod (GOPROXY)\n",
		"\n    go:tide.example/neap@v1.0.0: {file: \"gone/{file}\"}  # or {version: …}, {url: …}\n    go:tide.example/spring@v1.1.0: {file: \"gone/{file}\"}  # or {version: …}, {url: …}\n",
	} {
		if code != exitEnvironment || !strings.Contains(text, want) {
			t.Errorf("exit code %d; want it to say %s\n%s", code, want, text)
		}
	}

	writeFile(t, dir, "gone/v1.0.0.zip", string(neap))
	writeFile(t, dir, "gone/v1.0.0.mod", string(neapMod))
	s.put("/mirror/spring.zip", spring)
	s.put("/tide.example/spring/@v/v1.1.0.mod", springMod)
	r.Replace = map[string]recipe.Replacement{
		"go:tide.example/neap@v1.0.0":   {File: "gone/{file}"},
		"go:tide.example/spring@v1.1.0": {URL: s.URL + "/mirror/spring.zip"},
	}
	writeRecipe(t, dir, r)
	output(t, "lock", "--store", store, dir)
	output(t, "build", "--store", store, dir)
	out, err := exec.CommandContext(t.Context(), filepath.Join(store, outputOf(t, dir, "server"), "bin/tide")).CombinedOutput()
	if diff := cmp.Diff(note+"\n"+note+" rebuilt\n", string(out)); diff != "" || err != nil {
		t.Errorf("the program printed %v %s", err, diff)
	}

	mended, _, _ := goModule(t, "tide.example/neap", "v1.0.0", note+" mended")
	writeFile(t, dir, "gone/v1.0.0.zip", string(mended)) // by the same name
	output(t, "lock", "--store", store, dir)
	output(t, "build", "--store", store, dir)
	out, err = exec.CommandContext(t.Context(), filepath.Join(store, outputOf(t, dir, "server"), "bin/tide")).CombinedOutput()
	if diff := cmp.Diff(note+" mended\n"+note+" rebuilt\n", string(out)); diff != "" || err != nil {
		t.Errorf("after the file is another, the program printed %v %s", err, diff)
	}

	// Other versions: newer ones, of which one requires the other; then an older one.
	for version, requires := range map[string][]string{"neap/@v/v1.0.1": {"tide.example/spring v1.2.0"}, "spring/@v/v1.2.0": nil, "spring/@v/v1.0.9": nil} {
		name, v, _ := strings.Cut(version, "/@v/")
		archive, mod, _ := goModule(t, "tide.example/"+name, v, name+" "+v+note, requires...)
		s.put("/tide.example/"+version+".zip", archive)
		s.put("/tide.example/"+version+".mod", mod)
	}
	for _, versions := range [][2]string{{"v1.0.1", "v1.2.0"}, {"", "v1.0.9"}} {
		want := note + " mended"
		if versions[0] != "" {
			want = "neap " + versions[0] + note
			r.Replace["go:tide.example/neap@v1.0.0"] = recipe.Replacement{Version: versions[0]}
		} else {
			r.Replace["go:tide.example/neap@v1.0.0"] = recipe.Replacement{File: "gone/{file}"}
		}
		r.Replace["go:tide.example/spring@v1.1.0"] = recipe.Replacement{Version: versions[1]}
		writeRecipe(t, dir, r)
		_, warned := output(t, "lock", "--store", store, dir)
		if !strings.Contains(warned, "replaced: go tide.example/spring v1.1.0: version "+versions[1]+" (") {
			t.Errorf("locking says\n%s", warned)
		}
		output(t, "build", "--store", store, dir)
		out, err := exec.CommandContext(t.Context(), filepath.Join(store, outputOf(t, dir, "server"), "bin/tide")).CombinedOutput()
		if diff := cmp.Diff(want+"\nspring "+versions[1]+note+"\n", string(out)); diff != "" || err != nil {
			t.Errorf("with %v the program printed %v %s", versions, err, diff)
		}
	}
}

// failure runs a command that fails and returns its exit code and standard error.
func failure(t *testing.T, args ...string) (int, string) {
	t.Helper()
	var errs bytes.Buffer
	cmd := headwater(t.Context(), t, args...)
	cmd.Stderr = &errs
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) {
		t.Fatalf("headwater %s: %v, want it to fail\n%s", strings.Join(args, " "), err, errs.String())
	}
	return exit.ExitCode(), errs.String()
}
