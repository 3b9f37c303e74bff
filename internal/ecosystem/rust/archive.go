package rust

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxArchive is how many bytes of an archive are unpacked while it is looked at.
const maxArchive = 2 << 30

// walkArchive calls visit for each regular file of a .tar.gz until it returns false.
func walkArchive(file string, visit func(name string, r io.Reader) (bool, error)) (err error) {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	limited := &io.LimitedReader{R: z, N: maxArchive}
	t := tar.NewReader(limited)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			if limited.N <= 0 {
				return fmt.Errorf("unpacks to more than %d bytes", maxArchive)
			}
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if more, err := visit(path.Clean(h.Name), t); err != nil || !more {
			return err
		}
	}
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
