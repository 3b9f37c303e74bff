package export_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/dag"
	"headwater/internal/export"
	"headwater/internal/nix"
	"headwater/internal/nix/drv"
	"headwater/internal/nixtest"
)

// odd are the derivations that Nix itself wrote for the tests of package drv, as nodes, inputs first.
func odd(t *testing.T) []*dag.Node {
	t.Helper()
	data, err := os.ReadFile("../nix/drv/testdata/stable.txt")
	if err != nil {
		t.Fatal(err)
	}
	all := map[nix.StorePath]*dag.Node{}
	for line := range strings.Lines(string(data)) {
		p, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		path, err := nix.ParseStorePath(p)
		if err != nil {
			t.Fatal(err)
		}
		d, err := drv.Parse(strings.TrimSuffix(path.Name(), ".drv"), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		n := &dag.Node{Kind: dag.Build, Name: d.Name, Drv: d, DrvPath: path, Outputs: map[string]nix.StorePath{}}
		for o, out := range d.Outputs {
			n.Outputs[o] = out.Path
		}
		all[path] = n
	}
	var list []*dag.Node
	for _, p := range slices.Sorted(maps.Keys(all)) {
		n := all[p]
		for _, in := range slices.Sorted(maps.Keys(n.Drv.InputDrvs)) {
			n.Inputs = append(n.Inputs, all[in])
		}
		for _, src := range n.Drv.InputSrcs {
			n.Inputs = append(n.Inputs, &dag.Node{Kind: dag.Root, Name: src.Name(), Outputs: map[string]nix.StorePath{"out": src}})
		}
		list = append(list, n)
	}
	return list
}

// What Nix wrote once, it finds again in the export; what its language cannot say is refused.
func TestOddDerivations(t *testing.T) {
	dir, refused := t.TempDir(), map[string]string{}
	var folders []string
	var want []nix.StorePath
	for i, goal := range odd(t) {
		out := filepath.Join(dir, strconv.Itoa(i))
		err := export.Write(t.Context(), out, export.Request{Name: "x", Goal: goal})
		var no *export.InexpressibleError
		switch {
		case errors.As(err, &no):
			refused[goal.Name] = no.Why
			if _, err := os.Stat(out); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: is refused and written all the same", goal.Name)
			}
			continue
		case err != nil:
			t.Fatal(err)
		}
		folders, want = append(folders, out), append(want, goal.DrvPath)
	}
	for _, n := range nixtest.All(t) {
		got, err := instantiate(t.Context(), n, folders...)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Nix of %s finds %s", n.Release, diff)
		}
	}
	inexpressible := map[string]string{
		"drv-deep":   "its input /nix/store/wyi1x4kn9k0qlz347z0km7qwsm2fqr52-multi.drv is not in the graph",
		"structured": "its structured attributes: 1e+300 is no whole number of 64 bits",
	}
	if diff := cmp.Diff(inexpressible, refused); diff != "" {
		t.Errorf("refused: %s", diff)
	}
}

// files reads a folder: names and contents.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		out[strings.TrimPrefix(name, dir+"/")] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
