// Package storetest gives tests stores that can be deleted, though objects in a store cannot be written to.
package storetest

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"headwater/internal/store"
)

// Removable lets the folders below dir be emptied. What fails here, deleting them will tell.
func Removable(dir string) {
	filepath.WalkDir(dir, func(p string, e fs.DirEntry, _ error) error {
		if e != nil && e.IsDir() {
			os.Chmod(p, 0o755)
		}
		return nil
	})
}

// Dir is a test's folder that is deleted even if what is in it is read-only and nobody is root.
func Dir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() { Removable(dir) })
	return dir
}

// Open opens the store in a folder until the test ends.
func Open(t testing.TB, dir string) *store.Store { return OpenAt(t, dir, time.Now) }

// OpenAt is Open with a clock.
func OpenAt(t testing.TB, dir string, now func() time.Time) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), dir, store.Options{Now: now}) // not the test's context, which ends before the store is closed
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
