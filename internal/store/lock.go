package store

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"headwater/internal/flock"
	"headwater/internal/nix"
)

// Lock keeps other goroutines and processes, Nix's included, from making the same path. It waits until ctx ends.
//
// It makes the path a temporary root. The lock is the file <path>.lock. Whoever unlocks removes it and then writes a byte to it, which tells those who had it
// open that what they lock is no longer there.
func (s *Store) Lock(ctx context.Context, path nix.StorePath) (unlock func() error, err error) {
	// A collector deletes lock files too, unless the path is a root.
	if err := s.AddTempRoot(ctx, path); err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	for {
		f, err := s.openLock(path)
		if err != nil {
			return nil, err
		}
		if err := flock.Lock(ctx, f, unix.LOCK_EX); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if unlock, err := s.locked(f); err != nil || unlock != nil {
			return unlock, err
		}
	}
}

// tryLockPath is Lock without waiting: unlock is nil if another holds the lock.
func (s *Store) tryLockPath(path nix.StorePath) (unlock func() error, err error) {
	for {
		f, err := s.openLock(path)
		if err != nil {
			return nil, err
		}
		if held, err := flock.Try(f); err != nil || !held {
			return nil, errors.Join(err, f.Close())
		}
		if unlock, err := s.locked(f); err != nil || unlock != nil {
			return unlock, err
		}
	}
}

func (s *Store) openLock(path nix.StorePath) (*os.File, error) {
	f, err := os.OpenFile(s.RealPath(path)+lockSuffix, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// locked makes the unlock function of a locked file. It is nil if another had unlocked the file, and so removed it.
func (s *Store) locked(f *os.File) (unlock func() error, err error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if fi.Size() != 0 {
		return nil, f.Close()
	}
	s.passOn()
	return func() error {
		s.passOn()
		rm := os.Remove(f.Name())
		_, wr := f.WriteString("d")
		if errors.Is(wr, unix.ENOSPC) {
			wr = nil
		}
		return errors.Join(rm, wr, f.Close())
	}, nil
}

// passOn orders the memory of successive holders of a file lock, of which Go's memory model knows nothing.
func (s *Store) passOn() {
	s.order.Lock()
	defer s.order.Unlock()
}
