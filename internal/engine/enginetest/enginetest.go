// Package enginetest gives engines' tests what their graphs are made of: a builder that needs nothing but itself, and files.
package enginetest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"headwater/internal/dag"
	"headwater/internal/nix"
	"headwater/internal/nix/nar"
)

// Builder is a static program that does what its arguments say (engine/local/testdata/builder), compiled once a process.
var Builder = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "builder-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", dir, "headwater/internal/engine/local/testdata/builder")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("compile the builder: %w\n%s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "builder"))
	return string(b), err
})

// File is one file, as the content of a node.
type File struct {
	Text string
	Mode os.FileMode
	Hash nix.Hash // of the NAR
}

// ContentAddress is dag.Content's.
func (f File) ContentAddress() nix.ContentAddress {
	return nix.ContentAddress{Method: nix.NAR, Hash: f.Hash}
}

// Write is dag.Content's.
func (f File) Write(_ context.Context, dst string, _ func(nix.StorePath) string) error {
	return os.WriteFile(dst, []byte(f.Text), f.Mode)
}

// Node makes a content-addressed object of a file.
func Node(t testing.TB, m *dag.Maker, name, text string, mode os.FileMode) *dag.Node {
	t.Helper()
	f := File{Text: text, Mode: mode}
	at := filepath.Join(t.TempDir(), "f")
	err := f.Write(t.Context(), at, nil)
	if err == nil {
		f.Hash, _, err = nar.HashPath(at)
	}
	if err != nil {
		t.Fatal(err)
	}
	n, err := m.Tree(dag.Node{Kind: dag.Src, Name: name, Content: f}, name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
