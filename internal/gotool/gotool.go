// Package gotool gives tests Go programs that modules of their own pin. The first test on a machine builds one, which may take minutes; the go
// command keeps it.
package gotool

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"headwater/internal/flock"
)

// Build returns the executable of a tool of a module, which is in a folder beside the caller's source file. Of several tests at once one builds
// it.
//
//	program := gotool.Build(t, "server", "gateway")
func Build(t testing.TB, module, tool string) string {
	t.Helper()
	_, caller, _, _ := runtime.Caller(1)
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), fmt.Sprintf("headwater-gotool-%s-%d.lock", tool, os.Getuid())), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close() // and with it the lock
	if err := flock.Lock(t.Context(), lock, unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "tool", "-n", tool)
	cmd.Dir = filepath.Join(filepath.Dir(caller), module)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("build %s: %v\n%s", tool, err, &stderr)
	}
	return strings.TrimSpace(string(out))
}
