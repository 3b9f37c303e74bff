package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"headwater/internal/sandbox"
)

func TestDiagnosis(t *testing.T) {
	for _, c := range []struct {
		euid    int
		sysctls map[string]string
		step    string
		err     error
		hint    string // "" if it is not the sandbox that is refused
	}{
		{1000, map[string]string{"user/max_user_namespaces": "0"}, "", unix.ENOSPC, "user.max_user_namespaces=15000"},
		{0, map[string]string{"user/max_user_namespaces": "0"}, "", unix.ENOSPC, "user.max_user_namespaces=15000"},
		{1000, map[string]string{"kernel/unprivileged_userns_clone": "0"}, "", unix.EPERM, "kernel.unprivileged_userns_clone=1"},
		{1000, map[string]string{"kernel/apparmor_restrict_unprivileged_userns": "1"}, "", unix.EACCES, "userns,\n    }"},
		{0, map[string]string{"kernel/apparmor_restrict_unprivileged_userns": "1"}, "", unix.EPERM, "seccomp=unconfined"},
		{1000, nil, "", unix.ENOSPC, "No more user namespaces"},
		{1000, nil, "", unix.EINVAL, "5.12"},
		{1000, nil, "", unix.EPERM, "seccomp=unconfined"},
		{1000, nil, sandbox.StepProc, unix.EPERM, "unmask=ALL"},
		{1000, nil, "", unix.EAGAIN, ""},
		{1000, nil, "", unix.ENOMEM, ""},
	} {
		t.Run(fmt.Sprint(c.euid, c.sysctls, c.step, c.err), func(t *testing.T) {
			err := sandbox.Diagnose(c.euid, func(name string) string { return c.sysctls[name] }, c.step, c.err)
			var u *sandbox.Unavailable
			if got := errors.As(err, &u); got != (c.hint != "") || !errors.Is(err, c.err) {
				t.Fatal(err)
			}
			if u != nil && !strings.Contains(u.Hint, c.hint) {
				t.Errorf("hint %q", u.Hint)
			}
		})
	}
}

// The test binary called with this name has no user namespaces left.
const withoutName = "sandbox-test-without"

func runWithout() {
	if os.Args[0] != withoutName {
		return
	}
	if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	_, err := new(sandbox.Runner).Run(context.Background(), specAt(os.Args[1]), io.Discard)
	var u *sandbox.Unavailable
	fmt.Printf("%v\nhint: %t\n", err, errors.As(err, &u) && strings.Contains(u.Hint, "sysctl -w user.max_user_namespaces"))
	os.Exit(0)
}

// Where there are no user namespaces there is no sandbox, no weaker one either, and the error says why.
func TestWithoutUserNamespaces(t *testing.T) {
	s := folders(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{withoutName, strings.TrimSuffix(s.Build, "/build")}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if !strings.HasPrefix(string(out), "create namespaces: ") || !strings.Contains(string(out), "no space left on device\nhint: true\n") || err != nil {
		t.Errorf("%s%v", out, err)
	}
}

func FuzzParseFault(f *testing.F) {
	f.Add([]byte("a\x00b"))
	f.Add(sandbox.EncodeFault("start builder", unix.ENOENT))
	f.Add(sandbox.EncodeFault("mount /proc", unix.EPERM))
	f.Fuzz(func(t *testing.T, b []byte) {
		if sandbox.ParseFault(b) == nil {
			t.Error("no error")
		}
	})
}

func TestFaultsKeepTheirCause(t *testing.T) {
	err := sandbox.ParseFault(sandbox.EncodeFault("lay /dev", fmt.Errorf("bind /dev/full: %w", unix.ENOENT)))
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "lay /dev: bind /dev/full") {
		t.Error(err)
	}
}
