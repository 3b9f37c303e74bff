package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Trees of unknown depth are walked from folder to folder by open descriptors: their paths may be longer than the kernel
// takes, and no symbolic link is followed on the way.

func openDir(parent int, name string) (int, error) {
	for {
		fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// eachEntry calls f for the entries of an open folder, in the kernel's order, after all have been read.
func eachEntry(dir int, f func(name string) error) error {
	var names []string
	buf := make([]byte, 8192)
	for {
		n, err := unix.ReadDirent(dir, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return os.NewSyscallError("getdents", err)
		}
		if n <= 0 {
			break
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
	for _, name := range names {
		if err := f(name); err != nil {
			return err
		}
	}
	return nil
}

// freed counts what removing trees gave back.
type freed struct{ bytes int64 }

// removeTree deletes whatever is at path, read-only folders included, and adds to freed the disk space of files that had
// no other link. Nothing at path is no error.
func removeTree(path string, freed *freed) error {
	parent, err := openDir(unix.AT_FDCWD, filepath.Dir(path))
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "remove", Path: path, Err: err}
	}
	defer unix.Close(parent)
	if err := removeAt(parent, filepath.Base(path), freed); err != nil {
		return &os.PathError{Op: "remove", Path: path, Err: err}
	}
	return nil
}

func removeAt(parent int, name string, freed *freed) error {
	var st unix.Stat_t
	if err := unix.Fstatat(parent, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return ignoreNotExist(err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		if freed != nil && st.Nlink == 1 {
			freed.bytes += st.Blocks * 512
		}
		return ignoreNotExist(unix.Unlinkat(parent, name, 0))
	}
	if st.Mode&0o700 != 0o700 {
		if err := unix.Fchmodat(parent, name, 0o700, 0); err != nil {
			return ignoreNotExist(err)
		}
	}
	dir, err := openDir(parent, name)
	if err != nil {
		return ignoreNotExist(err)
	}
	err = eachEntry(dir, func(entry string) error { return removeAt(dir, entry, freed) })
	unix.Close(dir)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if freed != nil {
		freed.bytes += st.Blocks * 512
	}
	return ignoreNotExist(unix.Unlinkat(parent, name, unix.AT_REMOVEDIR))
}

func ignoreNotExist(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// moveTree renames from to to, where nothing is. A folder that is not writable cannot be given another parent by an
// unprivileged user, so it is made writable while it moves.
func moveTree(from, to string) error {
	fi, err := os.Lstat(from)
	if err != nil {
		return err
	}
	readOnly := fi.IsDir() && fi.Mode().Perm()&0o200 == 0
	if readOnly {
		if err := os.Chmod(from, fi.Mode().Perm()|0o700); err != nil {
			return err
		}
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	if readOnly {
		return os.Chmod(to, fi.Mode().Perm())
	}
	return nil
}
