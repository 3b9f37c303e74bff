package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/nix"
	"headwater/internal/store"
	"headwater/internal/store/storetest"
)

func TestDiff(t *testing.T) {
	a, b := open(t, storetest.Dir(t)), open(t, storetest.Dir(t))
	same := install(t, a, "same", map[string]string{"f": "x"})
	install(t, b, "same", map[string]string{"f": "x"})
	differs := install(t, a, "differs", map[string]string{"f": "1"})
	install(t, b, "differs", map[string]string{"f": "2"})
	// The bytes name the same path in both, which only one of them was to look for.
	refers := install(t, a, "refers", map[string]string{"f": string(same)}, same)
	install(t, b, "refers", map[string]string{"f": string(same)})
	onlyA := install(t, a, "only-a", map[string]string{"f": "x"})
	onlyB := addText(t, b, "only-b", "x")
	drv := addText(t, a, "t", "both")
	addText(t, b, "t", "both")

	r, err := store.Diff(t.Context(), a, b, store.DiffOptions{})
	if err != nil {
		t.Fatal(err)
	}
	what := map[nix.StorePath]string{}
	for _, d := range r.Different {
		what[d.Path] = d.What
		if d.Here == d.There {
			t.Errorf("%s: %s on both sides", d.Path, d.Here)
		}
	}
	if d := cmp.Diff(map[nix.StorePath]string{differs: "NAR hash", refers: "references"}, what); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([][]nix.StorePath{{onlyA}, {onlyB}}, [][]nix.StorePath{r.OnlyHere, r.OnlyThere}); d != "" {
		t.Error(d)
	}
	if r.Common != 4 || r.Equal() != 2 {
		t.Errorf("%d in common, %d equal", r.Common, r.Equal())
	}
	r, err = store.Diff(t.Context(), a, b, store.DiffOptions{Only: []nix.StorePath{drv, same}})
	if err != nil || r.Common != 2 || r.Equal() != 2 || len(r.OnlyHere)+len(r.OnlyThere) > 0 {
		t.Errorf("of two: %+v, %v", r, err)
	}
	if _, err := store.Diff(t.Context(), a, b, store.DiffOptions{Only: []nix.StorePath{outPath(t, "nobody-has-it")}}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("of what nobody has: %v", err)
	}
}

// What is registered may be equal where the bytes are not.
func TestDiffOfContents(t *testing.T) {
	a, b := open(t, storetest.Dir(t)), open(t, storetest.Dir(t))
	p := install(t, a, "x", map[string]string{"f": "x"})
	install(t, b, "x", map[string]string{"f": "x"})
	file := filepath.Join(b.RealPath(p), "f")
	if err := errors.Join(os.Chmod(file, 0o644), os.WriteFile(file, []byte("y"), 0), os.Chmod(file, 0o444)); err != nil {
		t.Fatal(err)
	}
	for contents, want := range map[bool]int{false: 0, true: 1} {
		r, err := store.Diff(t.Context(), a, b, store.DiffOptions{Contents: contents})
		if err != nil || len(r.Different) != want || r.Common != 1 {
			t.Errorf("contents %v: %+v, %v", contents, r, err)
		}
	}
}

func TestExists(t *testing.T) {
	dir := storetest.Dir(t)
	if there, err := store.Exists(dir); there || err != nil {
		t.Errorf("an empty folder: %v, %v", there, err)
	}
	open(t, dir)
	if there, err := store.Exists(dir); !there || err != nil {
		t.Errorf("a store: %v, %v", there, err)
	}
}
