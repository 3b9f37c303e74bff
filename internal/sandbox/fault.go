package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Unavailable says that this machine does not allow the sandbox, or not all of it.
type Unavailable struct {
	Step string // what was refused
	Err  error
	Hint string // what to do about it; several lines
}

func (u *Unavailable) Error() string { return u.Step + ": " + u.Err.Error() }

func (u *Unavailable) Unwrap() error { return u.Err }

// ExecError says that the builder could not be started: it does not exist in the sandbox, or is no program.
type ExecError struct {
	Builder string
	Err     error
}

func (e *ExecError) Error() string { return "start builder " + e.Builder + ": " + e.Err.Error() }

func (e *ExecError) Unwrap() error { return e.Err }

// Steps of the first process that the caller tells apart.
const (
	stepExec  = "start builder"
	stepMount = "mount the new root"
	stepProc  = "mount /proc"
)

// fault is an error of the first process on its way to the caller: three strings with NULs between.
type fault struct {
	step  string
	errno syscall.Errno // 0 if none is the cause
	text  string
}

func faultOf(step string, err error) fault {
	f := fault{step: step, text: err.Error()}
	errors.As(err, &f.errno) // stays 0 if it is none
	return f
}

func (f fault) encode() []byte {
	return []byte(f.step + "\x00" + strconv.Itoa(int(f.errno)) + "\x00" + f.text)
}

func parseFault(b []byte) error {
	parts := strings.SplitN(string(b), "\x00", 3)
	if len(parts) != 3 {
		return fmt.Errorf("set up sandbox: %q", b)
	}
	n, err := strconv.Atoi(parts[1])
	if err != nil {
		return fmt.Errorf("set up sandbox: %q", b)
	}
	cause := remoteError{parts[2], syscall.Errno(n)}
	switch errno := syscall.Errno(n); {
	case parts[0] == stepExec:
		return &ExecError{Builder: parts[2], Err: errno}
	case parts[0] == stepNested:
		return &nestedError{diagnose(parts[0], cause)}
	case parts[0] == stepOverlay:
		return &nestedError{&Unavailable{Step: parts[0], Err: cause, Hint: hintOverlay}}
	case errno == unix.EPERM, errno == unix.EACCES && (parts[0] == stepMount || parts[0] == stepProc):
		// All the first process asks for is allowed in one's own user namespace. Something forbids it all the same.
		return diagnose(parts[0], cause)
	case errno == unix.ENOSYS || errno == unix.ENODEV:
		return &Unavailable{Step: parts[0], Err: cause, Hint: hintKernel}
	}
	return fmt.Errorf("set up sandbox: %s: %w", parts[0], cause)
}

// remoteError keeps the words and the number of an error of another process.
type remoteError struct {
	text  string
	errno syscall.Errno
}

func (e remoteError) Error() string { return e.text }

func (e remoteError) Is(target error) bool { return e.errno != 0 && errors.Is(e.errno, target) }

const (
	hintKernel    = "Headwater needs Linux 5.12 or newer with user, mount, pid, network, ipc and uts namespaces."
	hintSwitched  = "User namespaces are switched off. An administrator switches them on with\n\n    sysctl -w user.max_user_namespaces=15000\n\nand keeps it so with a file in /etc/sysctl.d."
	hintDebian    = "Unprivileged user namespaces are switched off. An administrator switches them on with\n\n    sysctl -w kernel.unprivileged_userns_clone=1\n\nand keeps it so with a file in /etc/sysctl.d."
	hintExhausted = "No more user namespaces are allowed. Sandboxes of other programs use them, or this is too deep inside others;\n\n    sysctl user.max_user_namespaces\n\ntells the limit."
	hintOwner     = "As root, Headwater shows the store's objects to builders as their own, which this file system cannot do. Run Headwater as\nan ordinary user, or put the store on ext4, xfs, btrfs or, since Linux 6.3, tmpfs (--store DIR)."
	hintContainer = "This looks like a container whose own sandbox forbids new namespaces. Run Headwater outside of it, or give the container\nthe right: for Docker and Podman --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined"
	hintProc      = "A part of /proc is hidden here, as containers do it, and then the kernel allows no new /proc. For Docker:\n--security-opt systempaths=unconfined; for Podman: --security-opt unmask=ALL"
)

// machine is what tells why the kernel refuses.
type machine struct {
	euid   int
	sysctl func(name string) string // "" if the kernel does not have it
}

func thisMachine() machine {
	return machine{os.Geteuid(), func(name string) string {
		b, err := os.ReadFile("/proc/sys/" + name)
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(b))
	}}
}

func diagnose(step string, err error) error { return thisMachine().diagnose(step, err) }

// diagnose finds out why the kernel refuses a sandbox and what to do about it.
func (m machine) diagnose(step string, err error) error {
	u := &Unavailable{Step: step, Err: err}
	switch {
	case m.sysctl("user/max_user_namespaces") == "0":
		u.Hint = hintSwitched
	case m.euid != 0 && m.sysctl("kernel/unprivileged_userns_clone") == "0":
		u.Hint = hintDebian
	case m.euid != 0 && m.sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1":
		u.Hint = hintAppArmor()
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EUSERS):
		u.Hint = hintExhausted
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		u.Hint = hintKernel
	case step == stepProc:
		u.Hint = hintProc
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		u.Hint = hintContainer
	default:
		return fmt.Errorf("%s: %w", step, err) // memory, processes: nothing of the sandbox's own
	}
	return u
}

// hintAppArmor is for Ubuntu since 23.10: only programs with a profile may use user namespaces.
func hintAppArmor() string {
	exe, err := os.Executable()
	if err != nil {
		exe = "/usr/local/bin/headwater"
	}
	return `AppArmor allows user namespaces only to programs that it knows (kernel.apparmor_restrict_unprivileged_userns = 1). An
administrator allows them to this program with a file /etc/apparmor.d/headwater:

    abi <abi/4.0>,
    include <tunables/global>
    profile headwater ` + exe + ` flags=(unconfined) {
      userns,
    }

and then: apparmor_parser -r /etc/apparmor.d/headwater`
}
