package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"headwater/internal/nix"
)

// The files of /etc are Nix's, to the byte: what a builder reads must not depend on who builds.
const (
	passwd = "root:x:0:0:Nix build user:/build:/noshell\n" +
		"nixbld:x:1000:100:Nix build user:/build:/noshell\n" +
		"nobody:x:65534:65534:Nobody:/:/noshell\n"
	group    = "root:x:0:\nnixbld:!:100:\nnogroup:x:65534:\n"
	hosts    = "127.0.0.1 localhost\n::1 localhost\n"
	nsswitch = "hosts: files dns\nservices: files\n"
)

// storeView is where the whole store is mounted, read-only, until its inputs are bound: binds take over being read-only.
const storeView = ".store"

// filePlace is gone before the builder starts.
const filePlace = "nix/store/.place"

// layRoot lays the builder's file system and makes it the root. The error comes with the step that failed.
func layRoot(spec *Spec, d folders) (step string, err error) {
	// Nothing done here may reach the host, where / is often shared.
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return stepMount, fmt.Errorf("make mounts private: %w", err)
	}
	// All that follows is relative to the new root. Any folder will do to mount it on: they are known by descriptors.
	if err := mountRoot(d.tmp); err != nil {
		return stepMount, err
	}
	unix.Umask(0)
	for _, s := range []struct {
		step string
		lay  func() error
	}{
		{"lay /nix/store", func() error { return layStore(d, spec.Inputs) }},
		{"lay /build and /tmp", func() error { return errors.Join(bindDir(d.build, "build"), bindDir(d.tmp, "tmp")) }},
		{"lay /etc", func() error { return layEtc(spec.Network) }},
		{"lay /dev", func() error { return layDev(spec.KVM) }},
		{stepProc, layProc},
		{"lay the host's libraries", func() error { return layLibraries(spec.probe) }},
		{"enter the new root", enterRoot},
	} {
		if err := s.lay(); err != nil {
			return s.step, err
		}
	}
	return "", nil
}

// mountRoot mounts an empty file system at a folder and goes there.
func mountRoot(at int) error {
	fsys, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return err
	}
	for _, option := range [][2]string{{"mode", "0755"}, {"size", "16m"}} {
		if err := unix.FsconfigSetString(fsys, option[0], option[1]); err != nil {
			return fmt.Errorf("option %s: %w", option[0], err)
		}
	}
	if err := unix.FsconfigCreate(fsys); err != nil {
		return err
	}
	mount, err := unix.Fsmount(fsys, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return err
	}
	if err := unix.MoveMount(mount, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH); err != nil {
		return err
	}
	return unix.Fchdir(mount)
}

func layStore(d folders, inputs []nix.StorePath) error {
	if err := os.Mkdir("nix", 0o755); err != nil {
		return err
	}
	if err := bindDir(d.outputs, "nix/store"); err != nil {
		return err
	}
	if err := unix.Mkdir(storeView, 0o700); err != nil {
		return err
	}
	if err := unix.MoveMount(d.store, "", unix.AT_FDCWD, storeView, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount the store: %w", err)
	}
	if err := setReadOnly(storeView); err != nil {
		return err
	}
	// Every file is bound to another name of this one: making thousands of files on disk, and deleting them again, takes longer
	// than everything else.
	if err := unix.Mknod(filePlace, unix.S_IFREG|0o400, 0); err != nil {
		return err
	}
	for _, p := range inputs {
		if err := layInput(p.Base()); err != nil {
			return fmt.Errorf("input %s: %w", p, err)
		}
	}
	return errors.Join(unix.Unlink(filePlace), unix.Unmount(storeView, unix.MNT_DETACH))
}

// layInput shows one store object: a link is made again, all else is bound.
func layInput(base string) error {
	if base == "" || strings.Contains(base, "/") {
		return errors.New("not the path of a store object")
	}
	from, to := storeView+"/"+base, strings.TrimPrefix(nix.StoreDir, "/")+"/"+base
	var st unix.Stat_t
	if err := unix.Lstat(from, &st); err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return unix.Symlink(target, to)
	case unix.S_IFDIR:
		if err := unix.Mkdir(to, 0o700); err != nil {
			return err
		}
	default:
		if err := unix.Link(filePlace, to); err != nil {
			return err
		}
	}
	return bind(from, to)
}

func layEtc(network bool) error {
	if err := os.Mkdir("etc", 0o755); err != nil {
		return err
	}
	files := map[string]string{"passwd": passwd, "group": group, "hosts": hosts}
	if network {
		files["nsswitch.conf"] = nsswitch
		delete(files, "hosts")
		for _, name := range []string{"etc/resolv.conf", "etc/services", "etc/hosts"} {
			if err := bindFile("/"+name, name); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
	for name, content := range files {
		if err := os.WriteFile("etc/"+name, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func layDev(kvm bool) error {
	if err := errors.Join(os.Mkdir("dev", 0o755), os.Mkdir("dev/shm", 0o755), os.Mkdir("dev/pts", 0o755)); err != nil {
		return err
	}
	for _, name := range []string{"full", "null", "random", "tty", "urandom", "zero"} {
		if err := bindFile("/dev/"+name, "dev/"+name); err != nil {
			return err
		}
	}
	if kvm {
		if err := bindFile("/dev/kvm", "dev/kvm"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	for link, target := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
		"ptmx": "/dev/pts/ptmx",
	} {
		if err := os.Symlink(target, "dev/"+link); err != nil {
			return err
		}
	}
	if err := unix.Mount("tmpfs", "dev/shm", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777,size=50%"); err != nil {
		return fmt.Errorf("mount shm: %w", err)
	}
	if err := unix.Mount("devpts", "dev/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,mode=0620,ptmxmode=0666"); err != nil {
		return fmt.Errorf("mount pts: %w", err)
	}
	return nil
}

func layProc() error {
	if err := os.Mkdir("proc", 0o755); err != nil {
		return err
	}
	return unix.Mount("proc", "proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
}

// layLibraries shows the host's loader and libraries to a probe, in which this program starts itself once more: whoever built
// it may have linked it dynamically. Builders never see them.
func layLibraries(probe bool) error {
	if !probe {
		return nil
	}
	for _, dir := range []string{"lib", "lib64"} {
		if _, err := os.Stat("/" + dir); errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := unix.Mkdir(dir, 0o755); err != nil {
			return fmt.Errorf("make /%s: %w", dir, err)
		}
		if err := bind("/"+dir, dir); err != nil {
			return err
		}
	}
	return nil
}

// enterRoot makes the new file system the root and lets go of the old one.
func enterRoot() error {
	if err := os.Remove(storeView); err != nil {
		return err
	}
	// The old root ends up on top of the new one, and is taken away (pivot_root(2), "pivot_root(".", ".")").
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detach the old root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	return setReadOnly("/")
}

func bind(from, to string) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", from, err)
	}
	return nil
}

// bindDir binds a folder to one that it makes.
func bindDir(from int, to string) error {
	if err := unix.Mkdir(to, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", to, err)
	}
	return bind(fdPath(from), to)
}

func fdPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// bindFile binds a file, read-only, to one that it makes. A device can be written to all the same, but its mode is safe.
func bindFile(from, to string) error {
	if _, err := os.Stat(from); err != nil {
		return err
	}
	if err := os.WriteFile(to, nil, 0o644); err != nil {
		return err
	}
	if err := bind(from, to); err != nil {
		return err
	}
	return setReadOnly(to)
}

// setReadOnly adds to a mount's flags, which a remount would replace: some of the host's must stay.
func setReadOnly(at string) error {
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, at, 0, &attr); err != nil {
		return fmt.Errorf("make %s read-only: %w", at, err)
	}
	return nil
}
