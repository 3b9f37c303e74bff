package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/nix"
	"headwater/internal/nixtest"
	"headwater/internal/store"
	"headwater/internal/store/storetest"
)

// What Nix makes of the same text is the same in every respect.
func TestAddTextsAsNix(t *testing.T) {
	ours, theirs, src := storetest.Dir(t), storetest.Dir(t), t.TempDir()
	for _, content := range []string{"", "x", "eight by", strings.Repeat("long ", 1000)} {
		expr := filepath.Join(src, "t.nix")
		if err := os.WriteFile(expr, fmt.Appendf(nil, `builtins.toFile "t" %q`, content), 0o644); err != nil {
			t.Fatal(err)
		}
		p := addText(t, open(t, ours), "t", content)
		want := strings.Trim(nixtest.New(t, nixtest.Current).Run(t, "nix-instantiate", "--store", theirs, "--eval", "--strict", "--read-write-mode", expr), `"`)
		if string(p) != want {
			t.Errorf("path %s, want %s", p, want)
		}
		x, err := open(t, ours).Query(context.Background(), p)
		if err != nil {
			t.Fatal(err)
		}
		y, err := open(t, theirs).Query(context.Background(), p)
		if err != nil {
			t.Fatal(err)
		}
		y.RegistrationTime = x.RegistrationTime
		if d := cmp.Diff(y, x, equalHashes); d != "" {
			t.Errorf("%q: %s", content, d)
		}
		if d := cmp.Diff(listing(t, filepath.Join(theirs, string(p))), listing(t, filepath.Join(ours, string(p)))); d != "" {
			t.Error(d)
		}
	}
	nixVerify(t, ours)
}

func TestAddTextsTogether(t *testing.T) {
	ctx, s := context.Background(), open(t, storetest.Dir(t))
	first, err := nix.TextPath("one", nix.Sum(nix.SHA256, []byte("1")), nil)
	if err != nil {
		t.Fatal(err)
	}
	texts := []store.Text{{Name: "two", Content: string(first), Refs: []nix.StorePath{first}}, {Name: "one", Content: "1"}, {Name: "one", Content: "1"}}
	for range 2 {
		paths, err := s.AddTexts(ctx, texts)
		if err != nil {
			t.Fatal(err)
		}
		if paths[1] != first || paths[2] != first || paths[0] == first {
			t.Fatal(paths)
		}
		refs, err := s.Closure(ctx, paths[:1], false)
		if want := slices.Sorted(slices.Values(paths[:2])); err != nil || !slices.Equal(refs, want) {
			t.Errorf("closure %v %v", refs, err)
		}
	}
	clean(t, s)
}

func TestAddTextsIsAllOrNothing(t *testing.T) {
	ctx, s := context.Background(), open(t, storetest.Dir(t))
	for _, bad := range []store.Text{{Name: "bad", Refs: []nix.StorePath{a}}, {Name: "no name!"}, {Name: "bad.drv", Content: "Derive("}} {
		if _, err := s.AddTexts(ctx, []store.Text{{Name: "good", Content: "1"}, bad}); err == nil {
			t.Errorf("added %+v", bad)
		}
	}
	r := clean(t, s)
	if r.Paths != 0 {
		t.Errorf("%d paths are valid", r.Paths)
	}
}

// Leftovers at a text's path give way.
func TestAddTextsClearsLeftovers(t *testing.T) {
	s := open(t, storetest.Dir(t))
	p, err := nix.TextPath("t", nix.Sum(nix.SHA256, []byte("x")), nil)
	if err != nil {
		t.Fatal(err)
	}
	makeTree(t, s.RealPath(p), map[string]string{"a/b": "old"})
	if err := os.Chmod(s.RealPath(p), 0o555); err != nil {
		t.Fatal(err)
	}
	addText(t, s, "t", "x")
	clean(t, s)
}

func TestAddTextsAtOnce(t *testing.T) {
	ctx, dir := context.Background(), storetest.Dir(t)
	var wg sync.WaitGroup
	for n := range 6 {
		s := open(t, dir)
		wg.Go(func() {
			for i := range 40 {
				if _, err := s.AddTexts(ctx, []store.Text{{Name: "t", Content: fmt.Sprint(i)}, {Name: "u", Content: fmt.Sprint(n, i)}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if r := clean(t, open(t, dir)); r.Paths != 40+6*40 || len(r.Leftovers) > 0 {
		t.Errorf("%d paths, left %v", r.Paths, r.Leftovers)
	}
}
