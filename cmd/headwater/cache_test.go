package main

import (
	"bufio"
	"headwater/internal/store/storetest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// cache serve tells where it listens, serves what is in the store, signed, and ends well when it is asked to.
func TestCacheServe(t *testing.T) {
	hello(t)
	path, _ := output(t, "build", "--store", sharedStore(t), "../../examples/hello")
	dir := t.TempDir()
	public, _ := output(t, "cache", "key", "served.example-1", filepath.Join(dir, "secret"))
	cmd := headwater(t.Context(), t, "--store", sharedStore(t), "cache", "serve", "--listen", "localhost:0", "--key-file", filepath.Join(dir, "secret"))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "http://") {
		t.Fatalf("it said %q", lines.Text())
	}
	store := filepath.Join(dir, "store")
	t.Cleanup(func() { storetest.Removable(store) })
	took, _ := output(t, "--store", store, "cache", "pull", lines.Text(), path, "--trusted-key", public)
	if !strings.HasSuffix(took, path) { // last, after what it refers to
		t.Errorf("took %q, want %q", took, path)
	}
	output(t, "--store", store, "store", "verify")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}
