// Package hosttest gives tests machines with Nix and OpenSSH, as far as the programs on them can tell: each is a user, mount
// and process namespace with a file system of its own, entered as the root of pinned Debian packages that its programs come
// from. What runs there is Debian's nix and sshd as they are, at /usr and on a /nix/store of the machine's own, so that
// what a test shows holds for machines people have.
//
// Machines share the network of the test, and reach one another by ssh over loopback. Nothing needs to be root: a
// machine's one user is "build", whose home is /home/build.
//
//	a, b := hosttest.New(t, "a", hosttest.Current), hosttest.New(t, "b", hosttest.Current)
//	a.ServeSSH(t, b)                             // b may sign in to a
//	out := b.Run(t, "ssh", "a", "nix --version") // and knows it by its name
//	socket := a.ServeNix(t)                      // its daemon, for programs outside
//	a.Kill(t)                                    // as when the power fails
package hosttest

import (
	"context"
	_ "embed"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"headwater/internal/dag"
	"headwater/internal/lock"
	"headwater/internal/proctest"
	"headwater/internal/roottest"
	"headwater/internal/store"
)

// Release is what a machine's programs are of: a Debian suite.
type Release string

// The releases there are.
const (
	Current Release = "trixie"   // Nix 2.26, OpenSSH 10.0
	Old     Release = "bookworm" // Nix 2.8, OpenSSH 9.2
)

// pins is a headwater.lock with a root for each release.
//
//go:embed testdata/headwater.lock
var pins []byte

// config is every machine's nix.conf. The store belongs to the machine's one user; nothing is built outside of a sandbox.
const config = `build-users-group =
sandbox = true
sandbox-fallback = false
substituters =
experimental-features = nix-command
`

// Host is a machine.
type Host struct {
	Name string
	Dir  string // Dir/nix is its /nix, so that store.Open(Dir) opens its store; Dir/home is its user's home

	root  string // folder of its programs
	procs []*Process
}

// New sets up a machine, on which nothing runs yet. The lines are added to its nix.conf. It is gone when the test ends, and
// the test fails if a process of it is not.
func New(t testing.TB, name string, r Release, lines ...string) *Host {
	t.Helper()
	locked, err := lock.Parse(pins)
	if err != nil {
		t.Fatal(err)
	}
	root, err := roottest.Unpacked(t.Context(), locked, string(r))
	if err != nil {
		t.Fatal(err)
	}
	// A short name: the path of a daemon's socket has to fit into 108 bytes.
	dir, err := os.MkdirTemp("", "host-")
	if err != nil {
		t.Fatal(err)
	}
	h := &Host{Name: name, Dir: dir, root: root}
	t.Cleanup(func() { h.remove(t) })
	h.Store(t, func(*store.Store) error { return nil })
	h.Write(t, "home/nix.conf", config+strings.Join(lines, "\n")+"\n")
	h.Write(t, "home/.ssh/config", "")
	if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	return h
}

// Store opens the machine's store for as long as use runs.
func (h *Host) Store(t testing.TB, use func(*store.Store) error) {
	t.Helper()
	s, err := store.Open(t.Context(), h.Dir, store.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	err = use(s)
	if closed := s.Close(); err == nil {
		err = closed
	}
	if err != nil {
		t.Fatalf("store of %s: %v", h.Name, err)
	}
}

// Write makes a file of the machine, or replaces it. name is relative to Dir.
func (h *Host) Write(t testing.TB, name, content string) {
	t.Helper()
	file := filepath.Join(h.Dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Command is a program of the machine, ready to run there. It and all that it starts end with this process, and when the
// command is killed.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	lib := filepath.Join(h.root, dag.LibDir)
	loader := filepath.Join(lib, "ld-linux-x86-64.so.2")
	program := func(name string) []string {
		return []string{"--library-path", lib, filepath.Join(h.root, "usr/bin", name)}
	}
	// bubblewrap could make the process namespace too, but covers parts of its /proc where the user could write to them, as
	// root can. The kernel lets nobody mount another /proc then, and so no Nix build in a sandbox.
	enter := append(program("unshare"), "--user", "--map-user=1000", "--map-group=100", "--pid", "--fork", "--kill-child", "--mount-proc", "--", loader)
	enter = append(enter, program("bwrap")...)
	enter = append(enter,
		"--unshare-user", "--uid", "1000", "--gid", "100", "--unshare-ipc", "--unshare-uts", "--hostname", h.Name, "--new-session", "--clearenv",
		"--bind", "/proc", "/proc", "--dev", "/dev", "--tmpfs", "/run", "--dir", "/var",
		"--ro-bind", filepath.Join(h.root, "usr"), "/usr", "--ro-bind", filepath.Join(h.root, "etc"), "/etc",
		"--symlink", "usr/bin", "/bin", "--symlink", "usr/sbin", "/sbin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
		"--bind", filepath.Join(h.Dir, "nix"), "/nix", "--bind", filepath.Join(h.Dir, "home"), "/home/build", "--bind", filepath.Join(h.Dir, "tmp"), "/tmp",
		"--chdir", "/home/build",
	)
	for _, v := range environment() {
		name, value, _ := strings.Cut(v, "=")
		enter = append(enter, "--setenv", name, value)
	}
	enter = append(append(enter, "--", name), args...)
	cmd := exec.CommandContext(ctx, loader, enter...)
	cmd.Env = []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// environment is what the machine's programs have, those that are started by ssh too.
func environment() []string {
	return []string{"HOME=/home/build", "USER=build", "PATH=/usr/bin:/usr/sbin", "LC_ALL=C.UTF-8", "NIX_CONF_DIR=/home/build"}
}

// Run runs a program of the machine and returns what it wrote to its standard output, without the last newline. If it fails,
// so does the test.
func (h *Host) Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	cmd := h.Command(t.Context(), name, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %s %v: %v\n%s", h.Name, name, args, err, &stderr)
	}
	return strings.TrimSuffix(string(out), "\n")
}

// Kill ends all that Start and ServeSSH started, at once and without a word, as when a machine loses its power.
func (h *Host) Kill(t testing.TB) {
	t.Helper()
	for _, p := range h.procs {
		p.Kill()
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		left, err := h.processes()
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("processes of %s are left: %v", h.Name, left)
		}
	}
}

// processes lists the machine's first processes: a process namespace is gone when its first one is.
func (h *Host) processes() ([]string, error) {
	return proctest.With(h.Dir + "/nix\x00")
}

func (h *Host) remove(t testing.TB) {
	h.Kill(t)
	err := filepath.WalkDir(h.Dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			err = os.Chmod(p, 0o700) // objects of a store are not to be written to
		}
		return err
	})
	if err == nil {
		err = os.RemoveAll(h.Dir)
	}
	if err != nil {
		t.Error(fmt.Errorf("remove host %s: %w", h.Name, err))
	}
}
