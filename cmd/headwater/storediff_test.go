package main

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headwater/internal/nix"
	"headwater/internal/store"
)

// Stores that differ are an exit code of a failed check, and the path that differs is told.
func TestStoreDiffTells(t *testing.T) {
	dirs := []string{filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")}
	p, err := nix.OutputPath(nix.Sum(nix.SHA256, []byte("x")), "out", "x")
	if err != nil {
		t.Fatal(err)
	}
	for i, dir := range dirs {
		if err := register(t.Context(), dir, p, nix.Sum(nix.SHA256, []byte{byte(i)})); err != nil {
			t.Fatal(err)
		}
	}
	out, err := headwater(t.Context(), t, "--store", dirs[0], "store", "diff", dirs[1]).Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitFailed {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{string(p) + ": NAR hash differs", "in both: 1 (0 derivations), equal: 0, different: 1"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// register makes p valid in the store in dir with a hash, whatever is there.
func register(ctx context.Context, dir string, p nix.StorePath, hash nix.Hash) error {
	s, err := store.Open(ctx, dir, store.Options{Now: time.Now})
	if err != nil {
		return err
	}
	return errors.Join(s.Register(ctx, []store.PathInfo{{Path: p, NARHash: hash, NARSize: 8}}), s.Close())
}
