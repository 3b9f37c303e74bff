package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Room runs this very program again, apart from the machine: in its own user, mount, pid, network, ipc and uts namespaces, as an
// ordinary user without capabilities. Its network is a loopback interface on which every port is free, and may be listened on; /proc shows what runs in it; the
// machine's files are there. It may make namespaces of its own, so that a package's launcher works in it as on the machine.
//
// When the program that was started ends, or the caller does, all that it started ends too, whatever it did to get away.
//
// A caller who is root does not lend the program its id, which may write /proc/sys in whatever namespace: the program is nobody that the
// machine knows. What it works in must be named then, since it is given that, and may reach nothing that root keeps to itself.
//
//	p, err := sandbox.Room{Args: []string{"headwater-verify"}, Stdin: in, Stdout: out, Stderr: os.Stderr}.Start()
//	err = p.Wait()
type Room struct {
	Args   []string         // argv of the program; main tells by argv[0] what it is to be
	Env    []string         // NAME=value, all that there is
	Tmp    map[string]int64 // existing folders that become empty file systems in memory → the bytes that each may take
	Own    []string         // absolute paths of existing folders that the program writes to; if the caller is root, they are the program's from then on
	Reach  []string         // absolute paths of existing folders that it reads, whoever may enter the folders above them
	Shared bool             // its network is the caller's
	Stdin  *os.File
	Stdout *os.File
	Stderr *os.File
}

// RoomProcess is a started room.
type RoomProcess struct {
	cmd  *exec.Cmd
	done chan error
}

// Pipes are the caller's ends of a room's standard streams.
type Pipes struct {
	In       *os.File // to be written to
	Out, Err *os.File // to be read
}

// Close closes them all; one that is closed already may be among them.
func (p *Pipes) Close() {
	for _, f := range []*os.File{p.In, p.Out, p.Err} {
		_ = f.Close() // what was written was read to its end, or nobody cares
	}
}

// StartPiped starts the program with a pipe for each of its standard streams. The errors are Start's.
func (r Room) StartPiped() (*RoomProcess, *Pipes, error) {
	var files [6]*os.File
	for i := 0; i < len(files); i += 2 {
		var err error
		if files[i], files[i+1], err = os.Pipe(); err != nil {
			for _, f := range files[:i] {
				_ = f.Close() // nothing was written
			}
			return nil, nil, fmt.Errorf("prepare sandbox: %w", err)
		}
	}
	ours := &Pipes{In: files[1], Out: files[2], Err: files[4]}
	r.Stdin, r.Stdout, r.Stderr = files[0], files[3], files[5]
	p, err := r.Start()
	for _, f := range []*os.File{r.Stdin, r.Stdout, r.Stderr} { // the program has its own; ours end with those
		_ = f.Close()
	}
	if err != nil {
		ours.Close()
		return nil, nil, err
	}
	return p, ours, nil
}

// Start starts the program. The error is an *Unavailable where the machine does not allow it.
func (r Room) Start() (*RoomProcess, error) {
	p := &RoomProcess{done: make(chan error, 1)}
	started := make(chan error, 1)
	go func() {
		// The kernel sends the signal of the parent's death when the thread that started the child ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := r.start(p)
		started <- err
		if err == nil {
			p.done <- p.cmd.Wait()
		}
	}()
	return p, <-started
}

// Lends tells whether the program of a room is the caller. It is another, whom the machine does not know, where the caller is root.
func Lends() (bool, error) {
	id, err := chooseIdentity()
	return !id.other, err
}

// roomPlan is what the room's first process is told, as JSON in its arguments.
type roomPlan struct {
	Tmp    map[string]int64 `json:",omitempty"`
	Reach  []string         `json:",omitempty"`
	Shared bool             `json:",omitempty"`
	Other  bool             `json:",omitempty"`
}

func (r Room) start(p *RoomProcess) error {
	id, err := chooseIdentity()
	if err != nil {
		return fmt.Errorf("prepare sandbox: %w", err)
	}
	if err := id.give(r.Own...); err != nil {
		return fmt.Errorf("prepare sandbox: %w", err)
	}
	plan := roomPlan{Tmp: r.Tmp, Shared: r.Shared, Other: id.other}
	if id.other {
		plan.Reach = slices.Concat(r.Own, r.Reach, slices.Sorted(maps.Keys(r.Tmp)))
		plan.Reach = slices.DeleteFunc(plan.Reach, func(dir string) bool { // what is in one of its own, it reaches through that
			return slices.ContainsFunc(r.Own, func(own string) bool { return strings.HasPrefix(dir, own+"/") })
		})
	}
	told, err := json.Marshal(plan)
	if err != nil {
		return fmt.Errorf("prepare sandbox: %w", err)
	}
	faults, faultsIn, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("prepare sandbox: %w", err)
	}
	defer faults.Close() // only read
	p.cmd = &exec.Cmd{
		Path: "/proc/self/exe", Args: append([]string{InitName, roomArg, string(told)}, r.Args...), Env: append([]string{}, r.Env...), Stdin: r.Stdin, Stdout: r.Stdout, Stderr: r.Stderr,
		ExtraFiles: []*os.File{nil, faultsIn}, SysProcAttr: namespaces(id, r.Shared),
	}
	err = p.cmd.Start()
	err = errors.Join(err, faultsIn.Close())
	if err != nil {
		return diagnose("create namespaces", err)
	}
	fault, err := io.ReadAll(io.LimitReader(faults, 1<<16)) // to its end: when the program starts
	if err == nil && len(fault) > 0 {
		err = parseFault(fault)
	}
	if err != nil {
		p.Kill()
		_ = p.cmd.Wait() // why it ended is known
	}
	return err
}

// Kill ends all that runs in the room.
func (p *RoomProcess) Kill() { _ = p.cmd.Process.Kill() } // fails only if it has ended

// Wait waits until all is gone. It may be called once.
func (p *RoomProcess) Wait() error { return <-p.done }

// enterRoom becomes the program. It returns only if something fails.
func enterRoom(args []string) fault {
	if err := unix.CloseRange(specFD, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return faultOf("close descriptors", err)
	}
	var plan roomPlan
	if len(args) < 2 {
		return faultOf("read arguments", fmt.Errorf("%q: no program", args))
	}
	if err := json.Unmarshal([]byte(args[0]), &plan); err != nil {
		return faultOf("read arguments", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return faultOf(stepMount, err)
	}
	reached, err := openReach(plan.Reach)
	if err != nil {
		return faultOf("open folders", err)
	}
	if err := become(&Spec{identity: identity{other: plan.Other}}); err != nil {
		return faultOf("become the builder's user", err)
	}
	if err := setHost(plan.Shared); err != nil {
		return faultOf("set up network and names", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return faultOf(stepProc, err)
	}
	if !plan.Shared {
		// As in the networks that container runtimes make, so that what is run as an ordinary user may listen on any port.
		if err := os.WriteFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", []byte("0"), 0o644); err != nil {
			return faultOf("open ports below 1024", err)
		}
	}
	if err := layReach(reached); err != nil {
		return faultOf("show folders", err)
	}
	for _, dir := range slices.Sorted(maps.Keys(plan.Tmp)) {
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0700,size="+strconv.FormatInt(plan.Tmp[dir], 10)); err != nil {
			return faultOf("mount a file system in memory", fmt.Errorf("%s: %w", dir, err))
		}
	}
	if err := resetSignals(); err != nil {
		return faultOf("reset signals", err)
	}
	if err := dropCapabilities(); err != nil {
		return faultOf("drop privileges", err)
	}
	// argv[0] tells what the program is to be; the path is what it is.
	err = syscall.Exec("/proc/self/exe", args[1:], os.Environ())
	f := faultOf(stepExec, err)
	f.text = "/proc/self/exe"
	return f
}

// reach is a folder that must be reached, open.
type reach struct {
	dir  string
	tree int // a mount of it that is nowhere yet
}

// openReach opens folders while this process is still the caller, who may enter what is above them.
func openReach(dirs []string) ([]reach, error) {
	var out []reach
	for _, dir := range dirs {
		tree, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
		out = append(out, reach{dir, tree})
	}
	return out, nil
}

// layReach lets folders be reached by their paths: an empty folder takes the place of the first above one that this user may not enter.
func layReach(list []reach) error {
	for _, r := range list {
		if unix.Access(r.dir, unix.X_OK) == nil {
			continue
		}
		above := "/"
		for _, part := range strings.Split(strings.Trim(path.Dir(r.dir), "/"), "/") {
			above = path.Join(above, part)
			err := unix.Access(above, unix.X_OK)
			switch {
			case err == nil:
				continue
			case errors.Is(err, unix.ENOENT):
				err = unix.Mkdir(above, 0o755)
			case errors.Is(err, unix.EACCES):
				err = unix.Mount("tmpfs", above, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size=1m")
			}
			if err != nil {
				return fmt.Errorf("%s: %w", above, err)
			}
		}
		if err := unix.Mkdir(r.dir, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("%s: %w", r.dir, err)
		}
		if err := unix.MoveMount(r.tree, "", unix.AT_FDCWD, r.dir, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("%s: %w", r.dir, err)
		}
	}
	return nil
}
