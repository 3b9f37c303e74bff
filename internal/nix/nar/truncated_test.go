package nar_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"headwater/internal/nix/nar"
)

// An archive that ends early, wherever that is, is none.
func TestUnpackTruncated(t *testing.T) {
	tree, dst := filepath.Join(t.TempDir(), "tree"), filepath.Join(t.TempDir(), "dst")
	if err := errors.Join(os.MkdirAll(filepath.Join(tree, "d"), 0o755), os.WriteFile(filepath.Join(tree, "d/f"), []byte("content"), 0o644)); err != nil {
		t.Fatal(err)
	}
	var whole bytes.Buffer
	if err := nar.Dump(&whole, tree); err != nil {
		t.Fatal(err)
	}
	for n := range whole.Len() {
		if err := nar.Unpack(context.Background(), bytes.NewReader(whole.Bytes()[:n]), dst); !errors.Is(err, nar.ErrFormat) {
			t.Fatalf("first %d of %d bytes: %v", n, whole.Len(), err)
		}
		if _, err := os.Lstat(dst); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("first %d bytes: something is left: %v", n, err)
		}
	}
}
