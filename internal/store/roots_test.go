package store_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"headwater/internal/nix"
	"headwater/internal/store"
)

// Nix's collector keeps what our roots name, and deletes it when they are gone.
func TestRootsHoldAgainstNix(t *testing.T) {
	for _, kind := range []string{"temporary", "permanent"} {
		t.Run(kind, func(t *testing.T) {
			ctx, dir, tmp := context.Background(), t.TempDir(), t.TempDir()
			src, link := filepath.Join(tmp, "src"), filepath.Join(tmp, "result")
			if err := os.WriteFile(src, []byte("hi\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			p := nix.StorePath(nixStore(t, dir, "--add", src))
			s, err := store.Open(ctx, dir, store.Options{Now: clock})
			if err != nil {
				t.Fatal(err)
			}
			if kind == "temporary" {
				err = s.AddTempRoot(ctx, p)
			} else {
				err = s.AddRoot(ctx, link, p)
			}
			if err != nil {
				t.Fatal(err)
			}
			if kind == "permanent" {
				if err := s.Close(); err != nil { // lets go of its temporary root
					t.Fatal(err)
				}
			}
			nixStore(t, dir, "--gc")
			if _, err := os.Lstat(filepath.Join(dir, string(p))); err != nil {
				t.Fatalf("collected in spite of its root: %v", err)
			}
			if kind == "temporary" {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			} else if err := os.Remove(link); err != nil {
				t.Fatal(err)
			}
			nixStore(t, dir, "--gc")
			if _, err := os.Lstat(filepath.Join(dir, string(p))); !os.IsNotExist(err) {
				t.Errorf("still there without its root: %v", err)
			}
		})
	}
}
