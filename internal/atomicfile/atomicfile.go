// Package atomicfile replaces files as a whole: whoever reads one sees the old bytes or the new, whatever happens to the writer.
//
//	err := atomicfile.WriteSynced("headwater.lock", data, 0o644)
package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Write replaces a file through a temporary one beside it. What was written may be lost if the machine's power fails: for what can
// be made anew.
func Write(name string, data []byte, perm fs.FileMode) error { return write(name, data, perm, false) }

// WriteSynced is Write for what must not be lost: it returns once the bytes are on disk.
func WriteSynced(name string, data []byte, perm fs.FileMode) error {
	return write(name, data, perm, true)
}

func write(name string, data []byte, perm fs.FileMode, sync bool) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(perm))
	if sync {
		err = errors.Join(err, f.Sync())
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
