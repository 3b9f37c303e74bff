package nar_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"headwater/internal/nix"
	"headwater/internal/nix/nar"
)

func TestRound(t *testing.T) {
	var b bytes.Buffer
	if err := nar.Dump(&b, "/usr/local/go/src"); err != nil {
		t.Fatal(err)
	}
	dst := filepath.Join(t.TempDir(), "x")
	h := nix.SHA256.New()
	if err := nar.Unpack(t.Context(), bytes.NewReader(b.Bytes()), dst, h); err != nil {
		t.Fatal(err)
	}
	got, n, err := nar.HashPath(dst)
	want := nix.Sum(nix.SHA256, b.Bytes())
	if err != nil || got != want || n != int64(b.Len()) {
		t.Fatal(err, got, want)
	}
	w2, _ := nix.NewHash(nix.SHA256, h.Sum(nil))
	if w2 != want {
		t.Fatal(w2)
	}
	os.Chmod(dst, 0o755)
}
