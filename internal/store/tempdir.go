package store

import (
	"context"
	"errors"
	"fmt"
	"headwater/internal/flock"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// TempDir makes an empty folder on the store's own file system, outside nix/store. remove deletes it with all that is in
// it; Close deletes those that were not removed, and whoever next makes one deletes those of dead processes.
//
// A process's folders are in nix/var/headwater/tmp/<id>, and it lives as long as it holds the lock of <id>.lock.
func (s *Store) TempDir(ctx context.Context) (dir string, remove func() error, err error) {
	s.tempMu.Lock()
	defer s.tempMu.Unlock()
	if s.tempLock == nil {
		if err := s.openTemp(ctx); err != nil {
			return "", nil, fmt.Errorf("make temporary folder: %w", err)
		}
	}
	dir = filepath.Join(s.tempDir, strconv.FormatInt(s.serial.Add(1), 10))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", nil, fmt.Errorf("make temporary folder: %w", err)
	}
	return dir, func() error { return removeTree(dir, nil) }, nil
}

const lockSuffix = ".lock"

// openTemp claims this store's own folder and sweeps those of the dead.
func (s *Store) openTemp(ctx context.Context) error {
	base := s.own("tmp")
	if err := os.MkdirAll(base, 0o755); err != nil {
		return err
	}
	if err := s.sweepTemp(ctx); err != nil {
		return err
	}
	for n := 0; ; n++ {
		dir := filepath.Join(base, strconv.Itoa(os.Getpid())+"-"+strconv.Itoa(n))
		f, err := os.OpenFile(dir+lockSuffix, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, os.ErrExist) {
			continue // another store of this process, or a live process in another pid namespace
		}
		if err != nil {
			return err
		}
		held, err := flock.Try(f)
		if err == nil && held {
			held, err = still(f)
		}
		if err != nil {
			return errors.Join(err, f.Close())
		}
		if !held { // a sweeper took it for stale before we had locked it
			f.Close() // nothing was written
			continue
		}
		// No lock file, no folder: whoever deletes deletes the folder first. So ours cannot exist.
		if err := os.Mkdir(dir, 0o700); err != nil {
			return errors.Join(err, os.Remove(f.Name()), f.Close())
		}
		s.tempLock, s.tempDir = f, dir
		return nil
	}
}

// sweepTemp deletes the folders whose owners are dead.
func (s *Store) sweepTemp(ctx context.Context) error {
	entries, err := os.ReadDir(s.own("tmp"))
	if err != nil {
		return notExist(err)
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		id, ok := strings.CutSuffix(e.Name(), lockSuffix)
		if !ok {
			continue
		}
		if err := s.sweepOne(ctx, s.own("tmp", id)); err != nil {
			return fmt.Errorf("sweep temporary folders: %w", err)
		}
	}
	return nil
}

func (s *Store) sweepOne(ctx context.Context, dir string) error {
	f, err := os.OpenFile(dir+lockSuffix, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) { // swept by another; another user's
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() // also unlocks
	held, err := flock.Try(f)
	if err == nil && held {
		held, err = still(f)
	}
	if err != nil || !held {
		return err
	}
	if err := s.closeObjects(ctx, dir); err != nil {
		return err
	}
	return errors.Join(removeTree(dir, nil), os.Remove(f.Name()))
}

func (s *Store) closeTemp() error {
	s.tempMu.Lock()
	defer s.tempMu.Unlock()
	if s.tempLock == nil {
		return nil
	}
	err := errors.Join(removeTree(s.tempDir, nil), os.Remove(s.tempLock.Name()), s.tempLock.Close())
	s.tempLock = nil
	return err
}

// still tells whether f is still what its name names.
func still(f *os.File) (bool, error) {
	fi, err := f.Stat()
	if err != nil {
		return false, err
	}
	now, err := os.Lstat(f.Name())
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(fi, now), err
}
