package rust

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"headwater/internal/archive"
	"headwater/internal/toml"
)

// maxArchive is how many bytes of an archive are unpacked while it is looked at.
const maxArchive = 2 << 30

// walkArchive calls visit for each regular file of an archive until it returns false.
func walkArchive(file string, visit func(name string, r io.Reader) (bool, error)) error {
	return archive.Each(file, maxArchive, func(name string, open func() (io.ReadCloser, error)) error {
		r, err := open()
		if err != nil {
			return err
		}
		more, err := visit(path.Clean(name), r)
		if err = errors.Join(err, r.Close()); err == nil && !more {
			err = fs.SkipAll
		}
		return err
	})
}

// memberOf reads one file of a .tar.gz.
func memberOf(file, name string) ([]byte, error) {
	var data []byte
	err := walkArchive(file, func(n string, r io.Reader) (bool, error) {
		if n != name {
			return true, nil
		}
		var err error
		data, err = readAll(n, r)
		return false, err
	})
	if err == nil && data == nil {
		err = &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
	}
	return data, err
}

func readAll(name string, r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxLock+1))
	if err == nil && len(data) > maxLock {
		err = fmt.Errorf("%s has more than %d bytes", name, maxLock)
	}
	return data, err
}

// packagesIn lists the packages in an archive of a repository: by name, the folder below the archive's own top folder.
func packagesIn(file string) (map[string]string, error) {
	out := map[string]string{}
	return out, walkArchive(file, func(name string, r io.Reader) (bool, error) {
		_, below, ok := strings.Cut(name, "/")
		if !ok || path.Base(below) != "Cargo.toml" || !fs.ValidPath(below) {
			return true, nil
		}
		data, err := readAll(name, r)
		if err != nil {
			return false, err
		}
		m := manifest{}
		if _, err := toml.Decode(string(data), &m); err != nil {
			return true, nil // a test's broken manifest is no package; one that is missed is told by its name
		}
		if n := text(table(m, "package"), "name"); n != "" {
			if old, twice := out[n]; !twice || len(path.Dir(below)) < len(old) {
				out[n] = path.Dir(below)
			}
		}
		return true, nil
	})
}
