package store_test

import (
	"context"
	"errors"
	"headwater/internal/store/storetest"
	"os"
	"path/filepath"
	"testing"
)

func TestTempDir(t *testing.T) {
	ctx, s := context.Background(), open(t, storetest.Dir(t))
	one, removeOne, err := s.TempDir(ctx)
	if err != nil {
		t.Fatal(err)
	}
	two, _, err := s.TempDir(ctx)
	if err != nil {
		t.Fatal(err)
	}
	makeTree(t, one, map[string]string{"shut/a/b": "x"})
	if err := os.Chmod(filepath.Join(one, "shut"), 0); err != nil {
		t.Fatal(err)
	}
	if err := removeOne(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(one); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("first folder: %v", err)
	}
	if entries, err := os.ReadDir(two); err != nil || len(entries) > 0 {
		t.Errorf("second folder: %v %v", entries, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Dir(filepath.Dir(two))); err != nil || len(left) > 0 {
		t.Errorf("closed, but left %v %v", left, err)
	}
}

// The folders of dead processes go when the next one needs some, those of the living stay.
func TestTempDirSweepsTheDead(t *testing.T) {
	ctx, dir := context.Background(), storetest.Dir(t)
	live := startChild(t, nil, "hold", dir, string(a))
	dead := startChild(t, nil, "hold", dir, string(b))
	liveDir, deadDir := live.line(t), dead.line(t)
	makeTree(t, deadDir, map[string]string{"half/built": "x"})
	dead.kill()
	if _, _, err := open(t, dir).TempDir(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(liveDir); err != nil {
		t.Errorf("the living's folder: %v", err)
	}
	if _, err := os.Lstat(deadDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the dead's folder: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "nix/var/headwater/tmp/*")); err != nil || len(left) != 4 { // two stores: folder and lock
		t.Errorf("left %v %v", left, err)
	}
}
