package oracle_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/nix"
	"headwater/internal/nix/drv"
	"headwater/internal/nixtest"
)

// vectorsDir has the expressions whose derivations package drv is tested with.
const vectorsDir = "../nix/drv/testdata"

// vectors reads a file of derivations, by path.
func vectors(t *testing.T, file string) map[nix.StorePath]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(vectorsDir, file))
	if err != nil {
		t.Fatal(err)
	}
	out := map[nix.StorePath]string{}
	for line := range strings.Lines(string(data)) {
		path, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		out[nix.StorePath(path)] = text
	}
	return out
}

// written has Nix instantiate a file, and reads all derivations that it wrote.
func written(t *testing.T, n *nixtest.Nix, file, features string) map[nix.StorePath]string {
	t.Helper()
	dir := storeDir(t)
	n.Run(t, "nix-instantiate", "--store", dir, "--option", "experimental-features", "nix-command "+features, file)
	out := map[nix.StorePath]string{}
	files, err := filepath.Glob(filepath.Join(dir, nix.StoreDir, "*.drv"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[nix.StorePath(strings.TrimPrefix(f, dir))] = string(text)
	}
	return out
}

// What package drv is tested with is what every release writes.
func TestVectorsAreNixs(t *testing.T) {
	want := vectors(t, "stable.txt")
	for _, n := range nixtest.All(t) {
		t.Run(string(n.Release), func(t *testing.T) {
			got := written(t, n, filepath.Join(vectorsDir, "stable.nix"), "")
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			t.Logf("%d odd derivations are the same", len(got))
		})
	}
}

// What Nix writes of testdata/odd.nix, and of what needs experimental features, we compute or refuse to: never do we come to
// another path.
func TestOddDerivations(t *testing.T) {
	for _, n := range nixtest.All(t) {
		t.Run(string(n.Release), func(t *testing.T) {
			refused := recompute(t, written(t, n, "testdata/odd.nix", ""))
			if len(refused) > 0 {
				t.Errorf("refused %v", refused)
			}
		})
	}
	t.Run("experimental", func(t *testing.T) {
		n := nixtest.New(t, nixtest.Newest)
		refused := recompute(t, written(t, n, filepath.Join(vectorsDir, "experimental.nix"), "ca-derivations impure-derivations dynamic-derivations git-hashing blake3-hashes"))
		want := []string{"after-floating", "dynamic", "fixed-blake3", "fixed-git", "floating", "impure", "text.drv"}
		if d := cmp.Diff(want, refused); d != "" {
			t.Errorf("refused: %s", d)
		}
	})
}

// recompute makes each derivation anew out of what Nix wrote of it, without the paths, and returns the names of those that are
// of a kind that we do not have.
func recompute(t *testing.T, all map[nix.StorePath]string) (refused []string) {
	t.Helper()
	parsed := map[nix.StorePath]*drv.Derivation{}
	for p, text := range all {
		name := strings.TrimSuffix(p.Name(), ".drv")
		d, err := drv.Parse(name, []byte(text))
		if err != nil {
			if !strings.Contains(err.Error(), "not supported") {
				t.Errorf("%s: %v", p, err)
			}
			refused = append(refused, name)
			continue
		}
		parsed[p] = d
	}
	for p, d := range parsed {
		h := drv.Hasher{Resolve: func(p nix.StorePath) (*drv.Derivation, error) { return parsed[p], nil }}
		blank := *d
		blank.Outputs, blank.Env = map[string]drv.Output{}, maps.Clone(d.Env)
		for name, o := range d.Outputs {
			blank.Outputs[name] = drv.Output{CA: o.CA}
			delete(blank.Env, name)
		}
		got, text, err := h.Add(&blank)
		if err != nil || got != p || string(text) != all[p] {
			t.Errorf("%s: computed %s, %v\n%s", p, got, err, cmp.Diff(all[p], string(text)))
		}
	}
	slices.Sort(refused)
	return refused
}
