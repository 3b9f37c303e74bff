package source

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// rootFS is what os.Root's file system can do.
type rootFS interface {
	fs.FS
	fs.StatFS
	fs.ReadDirFS
	fs.ReadFileFS
	fs.ReadLinkFS
}

// beneath opens files of a tree as os.Root does, in one call of the kernel's instead of one for each folder on the way: a plan reads
// thousands.
type beneath struct {
	rootFS
	dir *os.File
}

// Open opens a file below the tree's folder; a link that leads out of it is refused (openat2(2), RESOLVE_BENEATH).
func (b beneath) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK, Resolve: unix.RESOLVE_BENEATH}
	for {
		fd, err := unix.Openat2(int(b.dir.Fd()), name, &how)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), name), nil
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			continue
		case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM): // a kernel or a sandbox that does not know the call
			return b.rootFS.Open(name)
		case errors.Is(err, unix.EXDEV):
			err = errors.New("a link leads out of the tree")
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
}

// maxRead is the largest file that is read into memory as a whole, in bytes. What is larger is a part of a source, but no manifest.
const maxRead = 64 << 20

// ReadFile reads a file of at most 64 MiB as Open opens it.
func (b beneath) ReadFile(name string) (data []byte, err error) {
	f, err := b.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err = io.ReadAll(io.LimitReader(f, maxRead+1))
	if err == nil && len(data) > maxRead {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("has more than %d bytes", maxRead)}
	}
	return data, err
}
