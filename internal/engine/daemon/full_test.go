package daemon_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"headwater/internal/engine"
	"headwater/internal/nixtest"
)

// The names by which this binary is a nix-daemon whose store is on a small file system of its own, and the second step to it.
const (
	smallPrefix = "small-" // then the size
	mountPrefix = "mount-"
)

// beSmall starts itself where it may mount.
func beSmall(size string, args []string) error {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = append([]string{mountPrefix + size}, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: os.Getgid(), Size: 1}},
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN}, // not root: Nix would want to change users
		Pdeathsig:   syscall.SIGKILL,
	}
	return cmd.Run()
}

// beMounted mounts the small file system and becomes the daemon.
func beMounted(size string, args []string) error {
	dir := args[slices.Index(args, "--store")+1]
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return err
	}
	return beDaemon(args)
}

// The daemon's disk is full, while it takes an upload or while it builds: the error says so, and nothing becomes valid here.
func TestDaemonsDiskIsFull(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nixtest.All(t) {
		l := newLab(t, nil)
		dir := l.use(n, "gc-reserved-space = 0")
		g := newGraph(t)
		big := g.drv("big", append([]string{"concat"}, slices.Repeat([]string{string(g.tool.Path())}, 20)...))
		top := g.drv("top", []string{"concat", string(big.Path())}, big)
		realise := func(t *testing.T, size string) error {
			t.Helper()
			l.t = t
			program := filepath.Join(dir, smallPrefix+size)
			if err := os.Symlink(self, program); err != nil {
				t.Fatal(err)
			}
			_, err := l.realise("local?root="+storeDir(t)+"&daemon="+program, engine.Options{}, top)
			balanced(t, l.events.take())
			l.clean(big, top)
			return err
		}
		t.Run(string(n.Release)+"/upload", func(t *testing.T) {
			err := realise(t, "2m")
			var hint interface{ Hint() string }
			if err == nil || !strings.Contains(err.Error(), "No space left on device") || !errors.As(err, &hint) || !strings.Contains(hint.Hint(), "make room") {
				t.Errorf("error %v", err)
			}
		})
		t.Run(string(n.Release)+"/build", func(t *testing.T) {
			err := realise(t, "20m")
			// The builder is the first to notice, or Nix is, which had more to write than the builder.
			text := fmt.Sprint(err)
			var f *engine.BuildFailed
			if errors.As(err, &f) {
				text += strings.Join(f.Log, "\n")
			}
			if !strings.Contains(strings.ToLower(text), "no space left on device") {
				t.Errorf("error %s", text)
			}
		})
	}
}
