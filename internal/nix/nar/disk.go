package nar

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// onDisk lays out the tree at path.
func onDisk(path string) func(*dumper) error {
	return func(d *dumper) error {
		fi, err := os.Lstat(path)
		if err == nil {
			err = d.node(path, fi.Mode().Type())
		}
		if err != nil {
			return fmt.Errorf("dump %s: %w", path, err)
		}
		return nil
	}
}

func (d *dumper) node(path string, t fs.FileMode) error {
	switch t {
	case 0:
		size, executable, err := statFile(path)
		if err != nil {
			return err
		}
		return d.file(executable, size, content{name: path})
	case fs.ModeDir:
		return d.folder(path)
	case fs.ModeSymlink:
		target, err := os.Readlink(path)
		d.link(target)
		return err
	}
	return fmt.Errorf("%s: neither file, folder nor link (%v)", path, t)
}

func (d *dumper) folder(path string) error {
	entries, err := os.ReadDir(path) // sorted by name
	if err != nil {
		return err
	}
	d.str("(", "type", "directory")
	for _, e := range entries {
		if d.dead {
			return nil
		}
		d.str("entry", "(", "name", e.Name(), "node")
		if err := d.node(path+"/"+e.Name(), e.Type()); err != nil {
			return err
		}
		d.str(")")
	}
	d.str(")")
	return nil
}

// Files are opened and read by plain system calls: the os package would make each a candidate for its poller, which costs
// three more calls per file, and a tree has many small ones.

// statFile is what an archive says of the regular file at path.
func statFile(path string) (size int64, executable bool, err error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Lstat(path, &st) }); err != nil {
		return 0, false, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return 0, false, fmt.Errorf("%s: changed while it was read", path)
	}
	return st.Size, st.Mode&unix.S_IXUSR != 0, nil
}

// diskFile is a file descriptor.
type diskFile struct {
	fd   int
	path string
}

// openFile opens a regular file. Should it have become a link or a pipe meanwhile, it neither follows nor waits.
func openFile(path string) (*diskFile, error) {
	f := &diskFile{path: path}
	err := retry(func() (err error) {
		f.fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return f, nil
}

func (f *diskFile) Read(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	err = retry(func() (err error) {
		n, err = unix.Read(f.fd, b[:min(len(b), 1<<30)])
		return err
	})
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (f *diskFile) Close() error {
	if err := unix.Close(f.fd); err != nil {
		return &fs.PathError{Op: "close", Path: f.path, Err: err}
	}
	return nil
}

// createFile makes a file that only its owner can use, until finish.
func createFile(path string) (*diskFile, error) {
	f := &diskFile{path: path}
	err := retry(func() (err error) {
		f.fd, err = unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: "create", Path: path, Err: err}
	}
	return f, nil
}

func (f *diskFile) Write(b []byte) (int, error) {
	done := 0
	for done < len(b) {
		n := 0
		err := retry(func() (err error) {
			n, err = unix.Write(f.fd, b[done:min(len(b), done+1<<30)])
			return err
		})
		if err != nil {
			return done, &fs.PathError{Op: "write", Path: f.path, Err: err}
		}
		done += n
	}
	return done, nil
}

// finish gives a written file the metadata of a store object and closes it.
func (f *diskFile) finish(executable bool) error {
	mode := uint32(0o444)
	if executable {
		mode = 0o555
	}
	// Not by the mode that a file is created with: the umask and default access lists would change that.
	err := retry(func() error { return unix.Fchmod(f.fd, mode) })
	if err != nil {
		err = &fs.PathError{Op: "chmod", Path: f.path, Err: err}
	} else {
		err = touch(f.path)
	}
	return errors.Join(err, f.Close())
}

// touch sets the modification time that all store objects have.
func touch(path string) error {
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Sec: 1}}
	err := retry(func() error { return unix.UtimesNanoAt(unix.AT_FDCWD, path, times, unix.AT_SYMLINK_NOFOLLOW) })
	if err != nil {
		return &fs.PathError{Op: "utimensat", Path: path, Err: err}
	}
	return nil
}

// retry repeats a system call that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
