package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"headwater/internal/nix"
	"headwater/internal/nixtest"
)

// A Go component is built in store paths that real Nix made, by the local engine and by Nix to the same output, which is what
// the same Go makes in Debian packages.
func TestBuildInStorePaths(t *testing.T) {
	store := sharedStore(t)
	n := nixtest.New(t, nixtest.Current)
	tools := storeTools(t, n)
	golang := n.Run(t, "nix", "store", "add-path", "--store", store, "--name", "go-1.26.8", filepath.Join(store, outputOf(t, "testdata/paths", "Go 1.26.8")))

	dir := pathProject(t, "ecosystem: go", append([]string{golang}, tools...))
	output(t, "lock", "--store", store, dir)
	locked, err := os.ReadFile(filepath.Join(dir, "headwater.lock"))
	if err != nil {
		t.Fatal(err)
	}
	output(t, "build", "--store", store, dir)

	built := outputOf(t, dir, "greet")
	out, err := exec.CommandContext(t.Context(), filepath.Join(store, built, "bin/greet")).Output()
	if want := "built by go1.26.8 OK\n"; err != nil || string(out) != want {
		t.Errorf("the program printed %q, want %q (%v)", out, want, err)
	}
	inPaths, err1 := os.ReadFile(filepath.Join(store, built, "bin/greet"))
	inPackages, err2 := os.ReadFile(filepath.Join(store, outputOf(t, "testdata/paths", "greet"), "bin/greet"))
	if err := errors.Join(err1, err2); err != nil || !bytes.Equal(inPaths, inPackages) {
		t.Errorf("built in store paths it is another program than built in packages (%v)", err)
	}

	// Nix evaluates the same, builds the component again and compares.
	exported := filepath.Join(t.TempDir(), "out")
	output(t, "export", dir, exported)
	want, _ := output(t, "build", "--drv", dir)
	if got := n.Run(t, "nix-instantiate", "--store", store, exported); got != want {
		t.Errorf("Nix finds %s, want %s", got, want)
	}
	if got := n.Run(t, "nix-build", "--store", store, "--no-out-link", "--check", "-A", "components.greet", exported); got != built {
		t.Errorf("Nix built %s, want %s", got, built)
	}

	// A lock of the same is the same; another content than the lock's is noticed.
	output(t, "lock", "--store", store, dir)
	if again, err := os.ReadFile(filepath.Join(dir, "headwater.lock")); err != nil || !bytes.Equal(again, locked) {
		t.Errorf("the second lock differs (%v)", err)
	}
	other := bytes.Replace(locked, []byte(hashIn(t, locked, golang)), []byte(nix.Sum(nix.SHA256, nil).SRI()), 1)
	if err := os.WriteFile(filepath.Join(dir, "headwater.lock"), other, 0o644); err != nil {
		t.Fatal(err)
	}
	fails(t, 2, "has the NAR hash", "lock", "--store", store, dir)
	output(t, "lock", "--store", store, "--update", dir)
}

// hashIn is the NAR hash that a lock has of a path.
func hashIn(t *testing.T, locked []byte, path string) string {
	t.Helper()
	var doc struct {
		Roots map[string]struct {
			Paths []struct{ Path, NarHash string }
		}
	}
	if err := json.Unmarshal(locked, &doc); err != nil {
		t.Fatal(err)
	}
	for _, p := range doc.Roots["paths"].Paths {
		if p.Path == path {
			return p.NarHash
		}
	}
	t.Fatalf("the lock has no %s:\n%s", path, locked)
	return ""
}

// What a store lacks comes from the cache that the root names, if that is to be believed; what does not serve is refused.
func TestStorePathsFromACache(t *testing.T) {
	store, scratch := sharedStore(t), scratch(t)
	tools := storeTools(t, nixtest.New(t, nixtest.Current))
	cache, key := "file://"+filepath.Join(scratch, "cache"), filepath.Join(scratch, "key")
	public, _ := output(t, "cache", "key", "test-1", key)
	dir := pathProject(t, "ecosystem: plain", tools)
	empty := filepath.Join(scratch, "store")

	fails(t, 3, "has no "+tools[0], "lock", "--store", empty, dir)
	addToRoot(t, dir, "    cache: "+cache+"\n")
	fails(t, 3, "cache", "lock", "--store", empty, dir)
	output(t, append([]string{"cache", "push", "--store", store, "--key-file", key, cache}, tools...)...)
	fails(t, 3, `signed by "test-1"`, "lock", "--store", empty, dir)
	fails(t, 3, "to the root's keys in headwater.yaml", "lock", "--store", empty, dir)
	if _, err := os.Stat(filepath.Join(empty, tools[0])); err == nil {
		t.Errorf("an untrusted path is in the store")
	}
	addToRoot(t, dir, "    keys: ["+public+"]\n")
	output(t, "lock", "--store", empty, dir)
	taken, err1 := os.ReadFile(filepath.Join(dir, "headwater.lock"))
	output(t, "lock", "--store", store, "--update", dir)
	here, err2 := os.ReadFile(filepath.Join(dir, "headwater.lock"))
	if err := errors.Join(err1, err2); err != nil || hashIn(t, taken, tools[0]) != hashIn(t, here, tools[0]) {
		t.Errorf("a path from the cache is locked otherwise than the same path here (%v)", err)
	}

	fails(t, 2, "none of its paths has bin/bash", "lock", "--store", store, pathProject(t, "ecosystem: plain", tools[1:]))
	fails(t, 2, "none of its paths has bin/find, bin/xargs", "lock", "--store", store, pathProject(t, "ecosystem: plain", append(tools[:2:2], tools[3:]...)))
	fails(t, 1, "none of the root's paths has bin/go", "lock", "--store", store, pathProject(t, "ecosystem: go", tools))
}

// addToRoot adds a line to the recipe's root of store paths.
func addToRoot(t *testing.T, dir, line string) {
	t.Helper()
	name := filepath.Join(dir, "headwater.yaml")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(strings.Replace(string(text), "  paths:\n", "  paths:\n"+line, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// fails runs a command that has to end with a code and an error that says what.
func fails(t *testing.T, code int, what string, args ...string) {
	t.Helper()
	text, err := headwater(t.Context(), t, args...).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != code || !strings.Contains(string(text), what) {
		t.Errorf("headwater %s: %v, want code %d and %q in\n%s", strings.Join(args, " "), err, code, what, text)
	}
}

// storeTools has Nix make the tools of testdata/paths/tools.nix in the shared store: bash, coreutils, findutils, grep, sed and
// bubblewrap, in this order.
func storeTools(t *testing.T, n *nixtest.Nix) []string {
	t.Helper()
	store := sharedStore(t)
	output(t, "build", "--store", store, "testdata/paths")
	text, err := os.ReadFile("testdata/paths/tools.nix")
	if err != nil {
		t.Fatal(err)
	}
	expr := strings.Replace(string(text), "ROOT", `"`+outputOf(t, "testdata/paths", "root tools")+`"`, 1)
	list := strings.Fields(n.Run(t, "nix-build", "--store", store, "--no-out-link", "-E", expr))
	if len(list) != 6 {
		t.Fatalf("Nix built %q", list)
	}
	return list
}

// pathProject is testdata/paths with its component built in store paths.
func pathProject(t *testing.T, ecosystem string, paths []string) string {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile("testdata/paths/headwater.yaml")
	if err != nil {
		t.Fatal(err)
	}
	src, err := filepath.Abs("testdata/paths/src")
	if err != nil {
		t.Fatal(err)
	}
	rel, err := filepath.Rel(dir, src)
	if err != nil {
		t.Fatal(err)
	}
	recipe := strings.NewReplacer(
		"toolchains: {go: 1.26.8}\n", "", "source: src", "source: "+rel, "ecosystem: go\n    root: tools", ecosystem+"\n    root: paths",
		"roots:\n", "roots:\n  paths:\n    paths:\n      - "+strings.Join(paths, "\n      - ")+"\n",
	).Replace(string(text))
	locked, err := os.ReadFile("testdata/paths/headwater.lock") // has the root of packages, which is kept
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(os.WriteFile(filepath.Join(dir, "headwater.yaml"), []byte(recipe), 0o644), os.WriteFile(filepath.Join(dir, "headwater.lock"), locked, 0o644))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// outputOf is the store path of a node of a project's graph.
func outputOf(t *testing.T, dir, name string) string {
	t.Helper()
	text, _ := output(t, "graph", "--json", dir)
	var graph struct {
		Nodes []struct {
			Name    string
			Outputs map[string]string
		}
	}
	if err := json.Unmarshal([]byte(text), &graph); err != nil {
		t.Fatal(err)
	}
	for _, n := range graph.Nodes {
		if n.Name == name {
			return n.Outputs["out"]
		}
	}
	t.Fatalf("the graph of %s has no %s", dir, name)
	return ""
}
