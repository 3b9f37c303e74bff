package sandbox

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// identity is who the builder really is: the host's ids that UID and GID stand for.
type identity struct {
	uid, gid int
	// other says that these are not the caller's own. A caller who is root must not lend builders its id: whoever is user 0
	// may write /proc/sys and /proc/sysrq-trigger, whatever namespaces and capabilities it has.
	other bool
}

// otherID belongs to nobody: it lies above all ranges that systemd and distributions give to users and containers.
const otherID = 0x70000000 + UID

func chooseIdentity() (identity, error) {
	own := identity{uid: os.Geteuid(), gid: os.Getegid()}
	if own.uid != 0 {
		return own, nil
	}
	uid, err := mappedID("/proc/self/uid_map")
	if err != nil {
		return identity{}, err
	}
	gid, err := mappedID("/proc/self/gid_map")
	if err != nil {
		return identity{}, err
	}
	if uid == 0 || gid == 0 {
		// The only ids of a user namespace, whose root is not the host's.
		return own, nil
	}
	return identity{uid: uid, gid: gid, other: true}, nil
}

// mappedID is otherID if it exists in the caller's user namespace, else the highest id that does.
func mappedID(file string) (int, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close() // only read
	highest := 0
	for s := bufio.NewScanner(f); s.Scan(); {
		var inside, outside, n int
		if _, err := fmt.Sscan(s.Text(), &inside, &outside, &n); err != nil {
			return 0, fmt.Errorf("read %s: %q: %w", file, s.Text(), err)
		}
		if inside <= otherID && otherID < inside+n {
			return otherID, nil
		}
		highest = max(highest, inside+n-1)
	}
	return highest, nil
}

// ownerMap is a user namespace in which the host's root is the builder's user. A mount that is mapped by it shows what root
// owns as the builder's own, as an unprivileged caller's objects are to a builder: what a build sees must not depend on who
// runs it, and an overlay can take over only files whose owner exists in the sandbox.
func (id identity) ownerMap() (*os.File, error) {
	// A namespace is there as long as something refers to it, but first a process must be in it.
	holder := &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{InitName, holderArg}, Env: runtimeEnv(),
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: id.uid, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: id.gid, Size: 1}},
			Pdeathsig:   syscall.SIGKILL,
		},
	}
	wait, err := holder.StdinPipe() // the holder lives until it is closed
	if err != nil {
		return nil, err
	}
	if err := holder.Start(); err != nil {
		return nil, diagnose("create a user namespace", err)
	}
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", holder.Process.Pid))
	if err = errors.Join(err, wait.Close(), holder.Wait()); err != nil {
		return nil, fmt.Errorf("map owners: %w", err)
	}
	return ns, nil
}

// mapOwner is a mount of dir, not yet attached to anything, that is mapped by ns.
func mapOwner(dir string, ns *os.File) (*os.File, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", dir, err)
	}
	mount := os.NewFile(uintptr(fd), dir)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP | unix.MOUNT_ATTR_RDONLY, Userns_fd: uint64(ns.Fd())}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		mount.Close() // nothing was written
		return nil, &Unavailable{Step: "map the owner of " + dir, Err: err, Hint: hintOwner}
	}
	return mount, nil
}

// give hands the folders that the builder writes to, with what is in them, to who it will be.
func (id identity) give(dirs ...string) error {
	if !id.other {
		return nil
	}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(p string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(p, id.uid, id.gid)
		})
		if err != nil {
			return fmt.Errorf("give %s to the builder: %w", dir, err)
		}
	}
	return nil
}

// overlapping paths would let one mount hide another.
func (s *Spec) check() error {
	dirs := []string{s.StoreDir, s.Outputs, s.Build, s.Tmp}
	for i, d := range dirs {
		if !filepath.IsAbs(d) || filepath.Clean(d) != d {
			return fmt.Errorf("folder %q is not an absolute path", d)
		}
		for _, other := range dirs[:i] {
			if strings.HasPrefix(d+"/", other+"/") || strings.HasPrefix(other+"/", d+"/") {
				return fmt.Errorf("folders %s and %s overlap", other, d)
			}
		}
	}
	return nil
}
