package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrUnsupportedFile says that a tree holds something a store object cannot: a device, socket, pipe or setuid file.
var ErrUnsupportedFile = errors.New("file type or mode cannot be in a store")

// Canonicalise gives a tree the metadata of a store object: modes 0444 or 0555, modification times of 1, no extended
// attributes. Contents must be written before.
func Canonicalise(ctx context.Context, root string) error {
	fi, err := os.Lstat(root)
	if err != nil {
		return fmt.Errorf("canonicalise %s: %w", root, err)
	}
	if err := canonicalise(ctx, root, fi); err != nil {
		return fmt.Errorf("canonicalise: %w", err)
	}
	return nil
}

func canonicalise(ctx context.Context, path string, fi fs.FileInfo) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	mode := fi.Mode()
	if t := mode.Type(); t != 0 && t != fs.ModeDir && t != fs.ModeSymlink || mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 && !mode.IsDir() {
		return fmt.Errorf("%s (%v): %w", path, mode, ErrUnsupportedFile)
	}
	if mode.IsDir() {
		// Owner access first: a builder may leave folders that it cannot list itself.
		if err := os.Chmod(path, 0o755); err != nil {
			return err
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return err
		}
		for _, e := range entries {
			sub, err := e.Info()
			if err != nil {
				return err
			}
			if err := canonicalise(ctx, filepath.Join(path, e.Name()), sub); err != nil {
				return err
			}
		}
	}
	if err := dropXattrs(path); err != nil {
		return fmt.Errorf("extended attributes of %s: %w", path, err)
	}
	if mode.Type() != fs.ModeSymlink {
		perm := fs.FileMode(0o444)
		if mode.IsDir() || mode&0o100 != 0 {
			perm = 0o555
		}
		if err := os.Chmod(path, perm); err != nil {
			return err
		}
	}
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Sec: 1}}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "utimensat", Path: path, Err: err}
	}
	return nil
}

func dropXattrs(path string) error {
	n, err := unix.Llistxattr(path, nil)
	if errors.Is(err, unix.ENOTSUP) || err == nil && n == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	buf := make([]byte, n)
	if n, err = unix.Llistxattr(path, buf); err != nil {
		return err
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(buf[:n]), "\x00"), "\x00") {
		if err := unix.Lremovexattr(path, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
