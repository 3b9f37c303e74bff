package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrUnsupportedFile says that a tree holds something that a store object cannot: a device, a socket or a pipe.
var ErrUnsupportedFile = errors.New("neither file, folder nor symbolic link")

// Canonicalise gives a tree the metadata of a store object, as Nix does: modes 0444 or 0555 (so nothing is setuid),
// modification times of 1, the owner who runs this process, no extended attributes. Nothing may write to the tree
// meanwhile or later.
func Canonicalise(ctx context.Context, root string) error {
	parent, err := openDir(unix.AT_FDCWD, filepath.Dir(root))
	if err != nil {
		return fmt.Errorf("canonicalise %s: %w", root, err)
	}
	defer unix.Close(parent)
	c := canonicaliser{ctx: ctx, uid: uint32(os.Geteuid()), gid: os.Getegid()}
	if err := c.node(parent, filepath.Base(root), root); err != nil {
		return fmt.Errorf("canonicalise: %w", err)
	}
	return nil
}

type canonicaliser struct {
	ctx context.Context
	uid uint32
	gid int
}

// node treats the object called name in the open folder. path is what people call it; it may be longer than the kernel
// would take.
func (c *canonicaliser) node(parent int, name, path string) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstatat(parent, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFREG && kind != unix.S_IFDIR && kind != unix.S_IFLNK {
		return fmt.Errorf("%s: %w", path, ErrUnsupportedFile)
	}
	if st.Uid != c.uid {
		if err := unix.Fchownat(parent, name, int(c.uid), c.gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &os.PathError{Op: "chown", Path: path, Err: err}
		}
	}
	if kind == unix.S_IFDIR {
		// Access for ourselves first: a builder may leave folders that not even their owner can list.
		if err := unix.Fchmodat(parent, name, 0o755, 0); err != nil {
			return &os.PathError{Op: "chmod", Path: path, Err: err}
		}
		if err := c.folder(parent, name, path); err != nil {
			return err
		}
		st.Mode = unix.S_IFDIR | 0o755
	}
	if err := dropXattrs(parent, name); err != nil {
		return fmt.Errorf("extended attributes of %s: %w", path, err)
	}
	perm := uint32(0o444)
	if kind == unix.S_IFDIR || st.Mode&0o100 != 0 {
		perm = 0o555
	}
	if kind != unix.S_IFLNK && st.Mode&0o7777 != perm {
		if err := unix.Fchmodat(parent, name, perm, 0); err != nil {
			return &os.PathError{Op: "chmod", Path: path, Err: err}
		}
	}
	if kind != unix.S_IFDIR && st.Mtim == (unix.Timespec{Sec: 1}) {
		return nil
	}
	return setMtime(parent, name, path)
}

func (c *canonicaliser) folder(parent int, name, path string) error {
	dir, err := openDir(parent, name)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(dir)
	return eachEntry(dir, func(entry string) error { return c.node(dir, entry, path+"/"+entry) })
}

func setMtime(parent int, name, path string) error {
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Sec: 1}}
	if err := unix.UtimesNanoAt(parent, name, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "utimensat", Path: path, Err: err}
	}
	return nil
}

// dropXattrs removes extended attributes, but for those that the system keeps or that nobody can remove: SELinux labels
// and NFS's access lists, which Nix leaves too.
func dropXattrs(parent int, name string) error {
	path := "/proc/self/fd/" + strconv.Itoa(parent) + "/" + name // there is no llistxattrat
	var space [1024]byte
	buf := space[:]
	n, err := unix.Llistxattr(path, buf)
	if errors.Is(err, unix.ERANGE) {
		if n, err = unix.Llistxattr(path, nil); err == nil {
			buf = make([]byte, n)
			n, err = unix.Llistxattr(path, buf)
		}
	}
	if errors.Is(err, unix.ENOTSUP) || err == nil && n == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	for attr := range strings.SplitSeq(strings.TrimRight(string(buf[:n]), "\x00"), "\x00") {
		switch attr {
		case "security.selinux", "security.csm", "system.nfs4_acl", "lustre.lov":
			continue
		}
		if err := unix.Lremovexattr(path, attr); err != nil {
			return fmt.Errorf("%s: %w", attr, err)
		}
	}
	return nil
}

// checkMetadata finds a file of a store object that is not as Canonicalise leaves it; owners and attributes apart.
func checkMetadata(root string) error {
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		perm := fi.Mode() &^ fs.ModeType
		switch {
		case fi.ModTime().Unix() != 1:
			return fmt.Errorf("%s was modified at %d, not at 1", path, fi.ModTime().Unix())
		case fi.Mode().Type() != fs.ModeSymlink && perm != 0o555 && (perm != 0o444 || fi.IsDir()):
			return fmt.Errorf("%s has the mode %v", path, fi.Mode())
		}
		return nil
	})
}
