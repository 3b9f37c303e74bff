// Package imagetest gives tests and benchmarks the tools of others for images, out of pinned Debian packages: a registry
// (docker-registry), skopeo and umoci, which read and unpack images, runc and crun, which start what is unpacked, and a PostgreSQL.
// Nothing of it is installed.
//
//	tools := imagetest.New(t)
//	tools.Run(t, "skopeo", "inspect", "oci:"+dir)
package imagetest

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"headwater/internal/lock"
	"headwater/internal/roottest"
)

// Suite is the Debian release that the tools are of.
const Suite = "trixie"

// Packages are those that are pinned.
var Packages = []string{"docker-registry", "skopeo", "umoci", "runc", "crun", "postgresql-17"}

// pins is a headwater.lock with the tools' root.
//
//go:embed testdata/headwater.lock
var pins []byte

// Tools are programs of a root.
type Tools struct {
	dir    string   // of the root
	inside []string // the start of a command line
}

// Dir is where the root is that has the tools.
func (tools *Tools) Dir() string { return tools.dir }

// New makes the tools available.
func New(t testing.TB) *Tools {
	t.Helper()
	tools, err := Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tools
}

// Open is New outside of tests.
func Open(ctx context.Context) (*Tools, error) {
	locked, err := lock.Parse(pins)
	if err != nil {
		return nil, err
	}
	dir, err := roottest.Unpacked(ctx, locked, Suite)
	if err != nil {
		return nil, fmt.Errorf("tools for images: %w", err)
	}
	inside, err := roottest.Inside(dir)
	if err != nil {
		return nil, fmt.Errorf("tools for images: %w", err)
	}
	return &Tools{dir: dir, inside: inside}, nil
}

// cgroups is where control groups are.
const cgroups = "/sys/fs/cgroup"

// Command makes a command that runs a program with the root's /usr, and asks it to end when ctx does.
func (tools *Tools) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	last := len(tools.inside) - 1 // "--"
	argv := append(append([]string{}, tools.inside[:last]...), "--die-with-parent")
	if _, err := os.Stat(cgroups); err == nil && program == "crun" { // it refuses machines that have both versions, even where it is to use none
		argv = append(argv, "--tmpfs", cgroups)
	}
	argv = append(argv, "--", program)
	argv = append(argv, args...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	return cmd
}

// Run runs a program and returns what it printed; a failure ends the test.
func (tools *Tools) Run(t testing.TB, program string, args ...string) string {
	t.Helper()
	cmd := tools.Command(t.Context(), program, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", program, strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String()
}
