package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// exitFault is the first process's exit status when it could not become the builder. Nobody looks at it: what it wrote to
// faultFD tells.
const exitFault = 127

// RunInit becomes the sandbox's first process if this program was started as such; it then does not return. Otherwise it
// returns at once. It must be called before anything else: the process is to be the builder in a millisecond.
func RunInit() {
	if len(os.Args) == 0 || os.Args[0] != InitName {
		return
	}
	// Namespaces, capabilities and the filter are of the thread, which will be the builder's first.
	runtime.LockOSThread()
	var f fault
	switch {
	case len(os.Args) == 1:
		f = initProcess()
	case os.Args[1] == roomArg:
		f = enterRoom(os.Args[2:])
	case os.Args[1] == nestedArg:
		f = probeNested()
	case os.Args[1] == holderArg:
		os.Stdin.Read(make([]byte, 1)) // its end is all that is awaited
		os.Exit(0)
	}
	unix.Write(faultFD, f.encode()) // if this fails the exit status is all that is left
	os.Exit(exitFault)
}

// initProcess returns only if something fails.
func initProcess() fault {
	if err := unix.CloseRange(specFD, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return faultOf("close descriptors", err)
	}
	in := os.NewFile(specFD, "specification")
	wire, err := io.ReadAll(in)
	if err != nil {
		return faultOf("read specification", err)
	}
	spec, err := decodeSpec(string(wire))
	if err != nil {
		return faultOf("read specification", err)
	}
	dirs, err := openFolders(&spec)
	if err != nil {
		return faultOf("open folders", err)
	}
	if err := become(&spec); err != nil {
		return faultOf("become the builder's user", err)
	}
	if err := setHost(spec.Network); err != nil {
		return faultOf("set up network and names", err)
	}
	if step, err := layRoot(&spec, dirs); err != nil {
		return faultOf(step, err)
	}
	if spec.probe {
		return probeInside()
	}
	if err := confine(); err != nil {
		return faultOf("drop privileges", err)
	}
	argv := append([]string{path.Base(spec.Builder)}, spec.Args...)
	err = syscall.Exec(spec.Builder, argv, spec.Env)
	f := faultOf(stepExec, err)
	f.text = spec.Builder
	return f
}

// folders are descriptors of the folders that Spec names: only the caller may be able to reach them by path. The store's is a
// mount of its own, not yet attached.
type folders struct{ store, outputs, build, tmp int }

func openFolders(spec *Spec) (d folders, err error) {
	if d.store = storeFD; !spec.other {
		if d.store, err = unix.OpenTree(unix.AT_FDCWD, spec.StoreDir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC); err != nil {
			return d, fmt.Errorf("mount %s: %w", spec.StoreDir, err)
		}
	}
	for _, f := range []struct {
		path string
		fd   *int
	}{
		{spec.Outputs, &d.outputs}, {spec.Build, &d.build}, {spec.Tmp, &d.tmp},
	} {
		if *f.fd, err = unix.Open(f.path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
			return d, fmt.Errorf("%s: %w", f.path, err)
		}
	}
	return d, nil
}

// become makes this thread the builder's user, if it is not yet, and ties its life to the parent's.
func become(spec *Spec) error {
	if spec.other {
		// Of this thread alone: the builder will be its only one.
		for _, call := range []struct{ number, arg uintptr }{{unix.SYS_SETGROUPS, 0}, {unix.SYS_SETGID, GID}, {unix.SYS_SETUID, UID}} {
			if _, _, errno := unix.RawSyscall(call.number, call.arg, 0, 0); errno != 0 {
				return errno
			}
		}
		// A change of user clears this, and then /proc/self would be root's.
		if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
			return err
		}
	}
	// A change of user clears this too.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	// If the parent died before that, nobody reads the faults any more.
	poll := []unix.PollFd{{Fd: faultFD}}
	if _, err := unix.Poll(poll, 0); err != nil {
		return err
	}
	if poll[0].Revents&unix.POLLERR != 0 {
		return errors.New("the caller is gone")
	}
	return nil
}

// setHost sets what the network and uts namespaces say.
func setHost(network bool) error {
	if err := unix.Sethostname([]byte("localhost")); err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	if err := unix.Setdomainname([]byte("(none)")); err != nil { // the kernel's default
		return fmt.Errorf("domain name: %w", err)
	}
	if network {
		return nil
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open socket: %w", err)
	}
	lo, err := unix.NewIfreq("lo")
	if err == nil {
		lo.SetUint16(unix.IFF_UP | unix.IFF_LOOPBACK | unix.IFF_RUNNING)
		err = unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo)
	}
	if err != nil {
		return fmt.Errorf("raise loopback interface: %w", err)
	}
	return unix.Close(s)
}

// confine takes from this thread what the builder is not to have, and sets what Nix sets for it.
func confine() error {
	unix.Umask(0o022)
	if err := unix.Chdir(BuildDir); err != nil {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 0, Max: unix.RLIM_INFINITY}); err != nil {
		// The hard limit may be lower, and cannot be raised.
		var now unix.Rlimit
		if err := errors.Join(unix.Getrlimit(unix.RLIMIT_CORE, &now),
			unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 0, Max: now.Max})); err != nil {
			return fmt.Errorf("limit core dumps: %w", err)
		}
	}
	if err := fixPersonality(); err != nil {
		return err
	}
	if err := resetSignals(); err != nil {
		return err
	}
	if err := dropCapabilities(); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid new privileges: %w", err)
	}
	return loadFilter()
}

// dropCapabilities takes all capabilities from this thread.
func dropCapabilities() error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear capabilities: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return nil
}

// fixPersonality switches address space randomisation off, as Nix does: some programs' output depends on it.
func fixPersonality() error {
	const query, addrNoRandomize = 0xffffffff, 0x0040000
	now, _, errno := unix.RawSyscall(unix.SYS_PERSONALITY, query, 0, 0)
	if errno == 0 {
		_, _, errno = unix.RawSyscall(unix.SYS_PERSONALITY, now|addrNoRandomize, 0, 0)
	}
	if errno != 0 && errno != unix.EPERM && errno != unix.ENOSYS { // a container's filter may refuse it; Nix lets that pass
		return fmt.Errorf("set personality: %w", errno)
	}
	return nil
}

// resetSignals makes the builder's signals independent of the caller's: none ignored (nohup, a shell's background jobs),
// none blocked.
func resetSignals() error {
	var mask unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &mask, nil); err != nil {
		return fmt.Errorf("unblock signals: %w", err)
	}
	// struct kernel_sigaction: handler, flags, restorer, mask. All zero is the default action.
	var action [4]uint64
	for sig := uintptr(1); sig <= 64; sig++ {
		if sig == uintptr(unix.SIGKILL) || sig == uintptr(unix.SIGSTOP) || goSignal(sig) {
			continue
		}
		if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0); errno != 0 {
			return fmt.Errorf("reset signal %d: %w", sig, errno)
		}
	}
	return nil
}

// goSignal are those that Go's runtime handles and needs until the end; exec resets handled signals by itself.
func goSignal(sig uintptr) bool {
	switch syscall.Signal(sig) {
	case unix.SIGURG, unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGPROF:
		return true
	}
	return false
}
