package export

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// OccupiedError says that a folder holds something else than an export.
type OccupiedError struct{ Dir string }

func (e *OccupiedError) Error() string {
	return "export to " + e.Dir + ": is there already and was not made by headwater export"
}

// Hint says what to do.
func (e *OccupiedError) Hint() string { return "name a folder that does not exist, or is empty" }

// entries are what an export consists of; default.nix comes last, so that it never stands beside older ones unnoticed.
func entries() []string {
	return []string{"src", "roots", "roots.txt", "fetches.txt", "flake.nix", "default.nix"}
}

// place has an export made in a folder beside dst and puts it in place.
func place(dst string, make func(tmp string) error) (err error) {
	exists, err := ours(dst)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dst), "."+filepath.Base(dst)+".tmp-*")
	if err != nil {
		return fmt.Errorf("export to %s: %w", dst, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	if err := make(tmp); err != nil {
		return err
	}
	if exists {
		err = renew(dst, tmp)
	} else if err = os.Chmod(tmp, 0o755); err == nil {
		err = os.Rename(tmp, dst)
	}
	if err != nil {
		return fmt.Errorf("export to %s: %w", dst, err)
	}
	return nil
}

// ours tells whether dst is an export already; nothing and an empty folder are not, and anything else is an error.
func ours(dst string) (bool, error) {
	list, err := os.ReadDir(dst)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("export to %s: %w", dst, err)
	case len(list) == 0:
		return false, os.Remove(dst)
	}
	have, err := os.ReadFile(filepath.Join(dst, "default.nix"))
	if errors.Is(err, fs.ErrNotExist) || err == nil && !strings.HasPrefix(string(have), marker) {
		return false, &OccupiedError{dst}
	}
	return err == nil, err
}

// renew replaces dst's entries by tmp's.
func renew(dst, tmp string) error {
	for _, name := range entries() {
		from, to := filepath.Join(tmp, name), filepath.Join(dst, name)
		_, err := os.Lstat(from)
		if gone := errors.Is(err, fs.ErrNotExist); err != nil && !gone {
			return err
		} else if gone || name == "src" || name == "roots" {
			if err := os.RemoveAll(to); err != nil {
				return err
			}
			if gone {
				continue
			}
		}
		if err := os.Rename(from, to); err != nil {
			return err
		}
	}
	return nil
}
