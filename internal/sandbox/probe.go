package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Report says what this machine allows.
type Report struct {
	Kernel  string // release
	Sandbox error  // nil if builders can run; an *Unavailable tells what to do
	Nested  error  // nil if a builder can start a sandbox of its own with overlays in it (bubblewrap); builds in roots do so
}

// Probe tries a sandbox, and one inside of it, with all that builds need. The folders it works in are made below dir, which
// should be on the store's file system. The error is of the attempt; what is missing is in the report.
func Probe(ctx context.Context, dir string) (r Report, err error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return Report{}, fmt.Errorf("probe sandbox: %w", err)
	}
	r.Kernel = unix.ByteSliceToString(u.Release[:])
	top, err := os.MkdirTemp(dir, "probe-")
	if err != nil {
		return Report{}, fmt.Errorf("probe sandbox: %w", err)
	}
	defer func() {
		// An overlay's work folder is not readable.
		os.Chmod(filepath.Join(top, "build", "work", "work"), 0o700) // may not exist
		err = errors.Join(err, os.RemoveAll(top))
	}()
	spec := Spec{probe: true}
	for name, field := range map[string]*string{
		"store": &spec.StoreDir, "outputs": &spec.Outputs, "build": &spec.Build, "tmp": &spec.Tmp,
	} {
		*field = filepath.Join(top, name)
		if err := os.Mkdir(*field, 0o700); err != nil {
			return Report{}, fmt.Errorf("probe sandbox: %w", err)
		}
	}
	var runner Runner
	_, err = runner.Run(ctx, spec, io.Discard)
	if closeErr := runner.Close(); err == nil {
		err = closeErr
	}
	if ctxErr := context.Cause(ctx); ctxErr != nil {
		return Report{}, ctxErr
	}
	var nested *nestedError
	if errors.As(err, &nested) {
		r.Nested = nested.err
	} else {
		r.Sandbox = err
	}
	return r, nil
}

// nestedError marks an error of the inner sandbox.
type nestedError struct{ err error }

func (e *nestedError) Error() string { return e.err.Error() }

const (
	stepNested  = "create namespaces in a sandbox"
	stepOverlay = "mount an overlay in a sandbox"

	hintOverlay = "The store's file system cannot carry overlays, or the kernel is older than 5.11. Put the store on ext4, xfs, btrfs or\ntmpfs (--store DIR); a container's own file system will not do, a volume will."
)

// What tells other processes of ours what they are.
const (
	nestedArg = "nested" // the first process of the inner sandbox
	holderArg = "hold"   // see ownerMap
	roomArg   = "room"   // see Room
)

// probeInside runs in the sandbox, as a builder would, and starts one inside.
func probeInside() fault {
	if err := confine(); err != nil {
		return faultOf("drop privileges", err)
	}
	pid, err := syscall.ForkExec("/proc/self/exe", []string{InitName, nestedArg}, &syscall.ProcAttr{
		Env:   runtimeEnv(),
		Files: []uintptr{0, 1, 2, 2, faultFD},
		Sys: &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC |
				unix.CLONE_NEWUTS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: UID, HostID: UID, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: GID, HostID: GID, Size: 1}},
			AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_DAC_OVERRIDE}, // an overlay's work folder has mode 0
		},
	})
	if err != nil {
		return faultOf(stepNested, err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
		return faultOf(stepNested, err)
	}
	os.Exit(0) // the inner one has told what went wrong
	return fault{}
}

// probeNested is the first process of the inner sandbox.
func probeNested() fault {
	for _, d := range []string{"lower", "upper", "work", "merged", "proc"} {
		if err := unix.Mkdir(BuildDir+"/"+d, 0o755); err != nil {
			return faultOf(stepOverlay, err)
		}
	}
	options := "lowerdir=" + BuildDir + "/lower,upperdir=" + BuildDir + "/upper,workdir=" + BuildDir + "/work,userxattr"
	if err := unix.Mount("overlay", BuildDir+"/merged", "overlay", 0, options); err != nil {
		return faultOf(stepOverlay, err)
	}
	if err := os.WriteFile(BuildDir+"/merged/file", []byte("x"), 0o644); err != nil {
		return faultOf(stepOverlay, err)
	}
	if err := unix.Mount("proc", BuildDir+"/proc", "proc", 0, ""); err != nil {
		return faultOf(stepNested, fmt.Errorf("mount /proc: %w", err))
	}
	os.Exit(0)
	return fault{}
}
