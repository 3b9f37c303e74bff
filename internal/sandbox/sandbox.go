// Package sandbox runs one builder as Nix runs it, without needing to be root: in its own user, mount, pid, network, ipc and
// uts namespaces, in a file system that holds its inputs and next to nothing else.
//
// Run starts this very program again (/proc/self/exe) as the first process of the new namespaces; that process lays the
// file system and then becomes the builder. So main, and the TestMain of every test that runs builders, calls RunInit before
// anything else.
//
// What the builder finds (Nix's manual, "sandbox", and runs of Nix 2.8):
//
//   - it is process 1, user 1000, group 100, whoever the caller is; no capabilities, no new privileges;
//   - /nix/store holds the inputs, read-only, and takes the outputs; /build and /tmp are writable; /dev and /proc are
//     minimal; /etc has passwd, group and hosts; everything else of the root is read-only and empty;
//   - the network is a loopback interface; the host is "localhost";
//   - setuid and setgid modes and extended attributes are refused.
//
// There is no weaker form. Where the kernel does not allow all of it, Run fails with an *Unavailable that says why.
//
//	var r sandbox.Runner
//	exit, err := r.Run(ctx, spec, os.Stdout)
//
// When Run returns, the builder and all that it started are gone: its death ends the pid namespace, and the death of the
// calling process ends the builder.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"headwater/internal/nix"
)

// InitName is argv[0] of the sandbox's first process.
const InitName = "headwater-sandbox-init"

// What builders see of themselves and where they work.
const (
	BuildDir = "/build"
	UID      = 1000
	GID      = 100
)

// Descriptors of the first process: what to do, and where to tell what went wrong.
const (
	specFD  = 3
	faultFD = 4
	storeFD = 5 // a mount of the store, if owners are mapped
)

// Spec describes one run. Paths are absolute.
type Spec struct {
	Builder string   // inside the sandbox
	Args    []string // without argv[0], which is the builder's base name
	Env     []string // NAME=value, all that there is

	StoreDir string          // the folder that holds the store objects
	Inputs   []nix.StorePath // objects in StoreDir that appear in /nix/store
	Outputs  string          // an empty folder of the same owner; it becomes /nix/store, what the builder makes there is found in it
	Build    string          // becomes /build; it may hold files already
	Tmp      string          // an empty folder; becomes /tmp

	Network bool // keep the host's network and its resolver's configuration: for fixed outputs only
	KVM     bool // pass /dev/kvm, if there is one

	identity
	probe bool // try everything instead of starting Builder
}

// Exit is how a builder ended.
type Exit struct {
	Code   int            // exit status, -1 if a signal ended it
	Signal syscall.Signal // 0 if it exited
}

// Success reports whether the builder exited with status 0.
func (e Exit) Success() bool { return e == Exit{} }

func (e Exit) String() string {
	if e.Signal != 0 {
		return fmt.Sprintf("killed by signal %d (%s)", int(e.Signal), e.Signal)
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

// Runner runs builders. The zero value is ready; it may be used by several goroutines. It keeps what takes long to find out.
type Runner struct {
	mu     sync.Mutex
	known  bool
	id     identity
	owners *os.File // see ownerMap; nil if the builder's user is the caller
}

// identity finds out, once, who builders are.
func (r *Runner) identity() (identity, *os.File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known {
		return r.id, r.owners, nil
	}
	id, err := chooseIdentity()
	if err != nil {
		return identity{}, nil, fmt.Errorf("prepare sandbox: %w", err)
	}
	if id.other {
		if r.owners, err = id.ownerMap(); err != nil {
			return identity{}, nil, err
		}
	}
	r.id, r.known = id, true
	return id, r.owners, nil
}

// Close lets go of what is kept.
func (r *Runner) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known = false
	if r.owners == nil {
		return nil
	}
	owners := r.owners
	r.owners = nil
	return owners.Close()
}

// Run runs the builder to its end and copies what it writes on standard output and error to output. Done ctx kills it, and
// the error is then ctx's cause; so does an error of output, which is returned. A builder that fails is no error.
func (r *Runner) Run(ctx context.Context, spec Spec, output io.Writer) (Exit, error) {
	if err := context.Cause(ctx); err != nil {
		return Exit{}, err
	}
	// The kernel sends the signal of the parent's death when the thread that started the child ends. Locked, it does not
	// end before we are done.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	id, owners, err := r.identity()
	if err != nil {
		return Exit{}, err
	}
	spec.identity = id
	p, err := start(spec, owners)
	if err != nil {
		return Exit{}, err
	}
	return p.wait(ctx, output)
}

// prepare gives the folders the modes and the owner that the builder finds.
func (s *Spec) prepare() error {
	if err := s.check(); err != nil {
		return err
	}
	err := errors.Join(unix.Chmod(s.Outputs, 0o1775), unix.Chmod(s.Build, 0o700), unix.Chmod(s.Tmp, 0o1777))
	if err != nil {
		return err
	}
	return s.give(s.Outputs, s.Build, s.Tmp)
}

// process is a started sandbox.
type process struct {
	cmd    *exec.Cmd
	term   *os.File // the terminal's master side
	faults *os.File // what the first process has to say before it becomes the builder
}

func start(spec Spec, owners *os.File) (*process, error) {
	if err := spec.prepare(); err != nil {
		return nil, fmt.Errorf("prepare sandbox: %w", err)
	}
	var opened []*os.File // handed to the child, or of no use if something fails
	keep := func(f *os.File, err error) error {
		if err == nil {
			opened = append(opened, f)
		}
		return err
	}
	defer func() {
		for _, f := range opened {
			f.Close() // nothing was written that is not read
		}
	}()
	in, err := specFile(spec)
	if err := keep(in, err); err != nil {
		return nil, fmt.Errorf("prepare sandbox: %w", err)
	}
	faults, faultsIn, err := os.Pipe()
	if err := keep(faultsIn, err); err != nil {
		return nil, fmt.Errorf("prepare sandbox: %w", err)
	}
	inherited := []*os.File{in, faultsIn} // specFD, faultFD
	if owners != nil {
		store, err := mapOwner(spec.StoreDir, owners)
		if err := keep(store, err); err != nil {
			return nil, errors.Join(err, faults.Close())
		}
		inherited = append(inherited, store) // storeFD
	}
	term, slave, err := openTerminal(spec.identity)
	if err := keep(slave, err); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare sandbox: %w", err), faults.Close())
	}
	p := &process{term: term, faults: faults}
	p.cmd = &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{InitName}, Env: runtimeEnv(), Stdout: slave, Stderr: slave, ExtraFiles: inherited,
		SysProcAttr: namespaces(spec.identity, spec.Network),
	}
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(diagnose("create namespaces", err), term.Close(), faults.Close())
	}
	return p, nil
}

// runtimeEnv is for the Go runtime of a process that lives for a millisecond.
func runtimeEnv() []string { return []string{"GOGC=off", "GOMAXPROCS=1"} }

// namespaces asks for them all, for one user and one group, and for the capabilities that laying the file system takes:
// the first process is not root in its user namespace, so that it would lose them.
func namespaces(id identity, network bool) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC |
			unix.CLONE_NEWUTS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: UID, HostID: id.uid, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: GID, HostID: id.gid, Size: 1}},
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN},
		Setsid:      true,
		Pdeathsig:   syscall.SIGKILL,
	}
	if id.other {
		a.AmbientCaps = append(a.AmbientCaps, unix.CAP_SETUID, unix.CAP_SETGID)
		a.GidMappingsEnableSetgroups = true // to drop the caller's groups
	}
	if network {
		a.Cloneflags &^= unix.CLONE_NEWNET
	}
	return a
}

func (p *process) wait(ctx context.Context, output io.Writer) (Exit, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() { p.cmd.Process.Kill() }) // fails only if it has ended
	defer stop()
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		if err := copyOutput(output, p.term); err != nil {
			cancel(err)
		}
	}()
	faults, faultsErr := io.ReadAll(io.LimitReader(p.faults, 1<<16)) // to its end: when the builder starts
	waitErr := p.cmd.Wait()
	// Nobody is left who could write, unless the builder had the network and passed the terminal on.
	p.term.SetReadDeadline(time.Now().Add(time.Second)) // of a terminal it does not fail
	<-copied
	closeErr := errors.Join(p.term.Close(), p.faults.Close())

	if err := context.Cause(ctx); err != nil {
		return Exit{}, err
	}
	if len(faults) > 0 {
		return Exit{}, parseFault(faults)
	}
	var failed *exec.ExitError
	if waitErr != nil && !errors.As(waitErr, &failed) {
		return Exit{}, fmt.Errorf("wait for builder: %w", waitErr)
	}
	if err := errors.Join(faultsErr, closeErr); err != nil {
		return Exit{}, fmt.Errorf("run builder: %w", err)
	}
	status := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return Exit{Code: -1, Signal: status.Signal()}, nil
	}
	return Exit{Code: status.ExitStatus()}, nil
}

// copyOutput copies to the terminal's end, which is EIO: no process has it open any more.
func copyOutput(to io.Writer, term *os.File) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := term.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, unix.EIO), errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return drain(to, term, buf)
		case err != nil:
			return fmt.Errorf("read builder's output: %w", err)
		}
	}
}

// drain copies what is there already.
func drain(to io.Writer, term *os.File, buf []byte) error {
	conn, err := term.SyscallConn()
	if err != nil {
		return fmt.Errorf("read builder's output: %w", err)
	}
	term.SetReadDeadline(time.Time{}) // of a terminal it does not fail
	for {
		var n int
		var readErr error
		err := conn.Read(func(fd uintptr) bool {
			n, readErr = unix.Read(int(fd), buf)
			return true
		})
		if err != nil {
			return fmt.Errorf("read builder's output: %w", err)
		}
		if readErr != nil || n <= 0 { // EAGAIN or EIO: there is no more
			return nil
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return err
		}
	}
}
