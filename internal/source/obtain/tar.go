package obtain

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"
)

// Tar writes the tree of a commit, given by its whole ID, of a repository elsewhere as a tar file that is the same bytes always: below one
// folder named as the repository, sorted by path, all of 1980-01-01 (the first day that zip files know), of user 0, files 0644 or
// 0755. Its submodules are in it.
func Tar(ctx context.Context, url, commit string, o Options, w io.Writer) error {
	if !commitID.MatchString(commit) {
		return &GitError{redact(url), fmt.Errorf("%q is no whole ID of a commit", commit)}
	}
	found, err := o.remote(ctx, url, commit)
	if err != nil {
		return err
	}
	return writeTar(found.Dir, found.Name, w)
}

func writeTar(dir, top string, w io.Writer) error {
	t := tar.NewWriter(w)
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		h := &tar.Header{Name: path.Join(top, filepath.ToSlash(rel)), Mode: 0o644, ModTime: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			h.Typeflag, h.Mode = tar.TypeSymlink, 0o777
			if h.Linkname, err = os.Readlink(name); err != nil {
				return err
			}
			return t.WriteHeader(h)
		case !info.Mode().IsRegular():
			return fmt.Errorf("%s is neither file nor link", rel)
		case info.Mode()&0o100 != 0:
			h.Mode = 0o755
		}
		h.Typeflag, h.Size = tar.TypeReg, info.Size()
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		_, err = io.Copy(t, f)
		return errors.Join(err, f.Close())
	})
	return errors.Join(err, t.Close())
}
