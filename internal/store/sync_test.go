package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/nix"
	"headwater/internal/store"
	"headwater/internal/store/storetest"
)

// After another boot, what was registered without having been synced is looked at, and only that.
func TestRecheckAfterPowerFailure(t *testing.T) {
	dir := storetest.Dir(t)
	s := open(t, dir)
	old := install(t, s, "old", map[string]string{"f": "old"})
	mark := filepath.Join(dir, "nix/var/headwater/synced")
	synced := fmt.Sprintf("another-boot %d\n", 1)
	whole := install(t, s, "whole", map[string]string{"f": "whole"})
	torn := install(t, s, "torn", map[string]string{"f": "torn"})
	user := install(t, s, "user", map[string]string{"f": string(torn)}, torn)
	gone := install(t, s, "gone", map[string]string{"f": "gone"})
	if _, err := s.Optimise(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, p := range []nix.StorePath{old, torn} { // the old one too: it is not looked at
		tear(t, filepath.Join(dir, string(p), "f"))
	}
	os.Chmod(filepath.Join(dir, string(gone)), 0o755)
	if err := os.RemoveAll(filepath.Join(dir, string(gone))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(mark, []byte(synced), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s = open(t, dir)
		for p, want := range map[nix.StorePath]bool{old: true, whole: true, torn: false, user: false, gone: false} {
			if got := isValid(t, s, p); got != want {
				t.Errorf("%s valid: %v, want %v", p, got, want)
			}
		}
	}
	if links, err := os.ReadDir(filepath.Join(dir, nix.StoreDir, ".links")); err != nil || len(links) > 0 {
		t.Errorf("links that may be damaged are left: %v %v", links, err)
	}
	b, err := os.ReadFile(mark)
	if err != nil || strings.HasPrefix(string(b), "another-boot") {
		t.Errorf("mark is %q, %v", b, err)
	}
}

// A mark that is damaged itself vouches for nothing.
func TestRecheckWithoutReadableMark(t *testing.T) {
	dir := storetest.Dir(t)
	s := open(t, dir)
	p := install(t, s, "p", map[string]string{"f": "x"})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	tear(t, filepath.Join(dir, string(p), "f"))
	if err := os.WriteFile(filepath.Join(dir, "nix/var/headwater/synced"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if isValid(t, open(t, dir), p) {
		t.Error("damaged and valid")
	}
}

// After much was registered, closing syncs and moves the mark on.
func TestCloseSyncsAfterMuch(t *testing.T) {
	ctx, dir := context.Background(), storetest.Dir(t)
	read := func() string {
		b, err := os.ReadFile(filepath.Join(dir, "nix/var/headwater/synced"))
		if err != nil {
			t.Fatal(err)
		}
		_, row, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
		return row
	}
	var rows []string
	for n := range 2 {
		s := open(t, dir)
		infos := make([]store.PathInfo, 1+n*10_000)
		for i := range infos {
			p := outPath(t, fmt.Sprint("p", n, "-", i))
			infos[i] = store.PathInfo{Path: p, NARHash: nix.Sum(nix.SHA256, nil), NARSize: 100}
		}
		if err := s.Register(ctx, infos); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, read())
	}
	if d := cmp.Diff([]string{"0", "10002"}, rows); d != "" {
		t.Error(d)
	}
}

// tear leaves a file without its bytes, as an unlucky stop of the machine does.
func tear(t *testing.T, path string) {
	t.Helper()
	if err := errors.Join(os.Chmod(path, 0o644), os.Truncate(path, 0), os.Chmod(path, 0o444)); err != nil {
		t.Fatal(err)
	}
}
