// Package archive reads what packages' archives hold without unpacking them: .zip (also .whl and Go modules'), .tar.gz (also .tgz
// and .crate) and .tar, told apart by their content.
package archive

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
)

// Each calls visit for every regular file of an archive, in its order, until it returns fs.SkipAll or an error. Of a .tar.gz, at most
// limit bytes are unpacked: an archive may be a bomb.
func Each(file string, limit int64, visit func(name string, open func() (io.ReadCloser, error)) error) (err error) {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b := bufio.NewReader(f)
	magic, err := b.Peek(4)
	if err != nil {
		return err
	}
	if string(magic) == "PK\x03\x04" {
		z, err := zip.OpenReader(file)
		if err != nil {
			return err
		}
		for _, e := range z.File {
			if err == nil && e.Mode().IsRegular() {
				err = visit(e.Name, e.Open)
			}
		}
		if errors.Is(err, fs.SkipAll) {
			err = nil
		}
		return errors.Join(err, z.Close())
	}
	var unpacked io.Reader = b
	if magic[0] == 0x1f && magic[1] == 0x8b {
		if unpacked, err = gzip.NewReader(b); err != nil {
			return err
		}
	}
	t := tar.NewReader(io.LimitReader(unpacked, limit))
	for {
		h, err := t.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case h.Typeflag == tar.TypeReg:
			if err := visit(h.Name, func() (io.ReadCloser, error) { return io.NopCloser(t), nil }); errors.Is(err, fs.SkipAll) {
				return nil
			} else if err != nil {
				return err
			}
		}
	}
}
