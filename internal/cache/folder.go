package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// folder is a cache in a folder.
type folder string

func (f folder) path(name string) string { return filepath.Join(string(f), filepath.FromSlash(name)) }

func (f folder) open(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	if !fs.ValidPath(name) || strings.Contains(name, "?") {
		return nil, 0, fmt.Errorf("%w: %q is no name of a file in a folder", ErrFalse, name)
	}
	fi, err := os.Stat(f.path(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, 0, fmt.Errorf("%s %w", name, ErrAbsent)
	case err != nil:
		return nil, 0, err
	case !fi.Mode().IsRegular(): // opening a pipe would wait
		return nil, 0, fmt.Errorf("%w: %s is no file", ErrFalse, name)
	}
	file, err := os.Open(f.path(name))
	if err != nil {
		return nil, 0, err
	}
	return file, fi.Size(), nil
}

func (f folder) has(ctx context.Context, name string) (bool, error) {
	_, err := os.Stat(f.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, ctx.Err()
	}
	return err == nil, errors.Join(err, ctx.Err())
}

func (f folder) spoolDir() (string, error) {
	dir := f.path("nar")
	return dir, os.MkdirAll(dir, 0o755)
}

// put writes a temporary file beside the file and renames it.
func (f folder) put(ctx context.Context, name string, s *spool) error {
	to := f.path(name)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if s.file != nil && filepath.Dir(s.file.Name()) == filepath.Dir(to) {
		return s.moveTo(to)
	}
	tmp, err := createTemp(filepath.Dir(to))
	if err != nil {
		return err
	}
	_, err = io.Copy(tmp, s.reader())
	err = errors.Join(err, tmp.Close(), context.Cause(ctx))
	if err == nil {
		err = os.Rename(tmp.Name(), to)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

// createTemp makes a file that others may read, which os.CreateTemp does not.
func createTemp(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, ".headwater-")
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(0o644); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return f, nil
}
