package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"headwater/internal/nix"
)

// flock locks f. It polls: a blocking flock could not be cancelled.
func flock(ctx context.Context, f *os.File, how int) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("lock %s: %w", f.Name(), ctx.Err())
		case <-time.After(wait):
		}
	}
}

// Lock keeps other goroutines and processes, Nix's included, from making the same path. It waits until ctx ends.
//
// It makes the path a temporary root. The lock is the file <path>.lock. Whoever unlocks removes it and then writes a byte to it, which tells those who had it
// open that what they lock is no longer there.
func (s *Store) Lock(ctx context.Context, path nix.StorePath) (unlock func() error, err error) {
	// A collector deletes lock files too, unless the path is a root.
	if err := s.AddTempRoot(ctx, path); err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	name := s.RealPath(path) + ".lock"
	for {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if err := flock(ctx, f, unix.LOCK_EX); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		fi, err := f.Stat()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		if fi.Size() == 0 {
			s.passOn()
			return func() error {
				s.passOn()
				rm := os.Remove(name)
				_, wr := f.WriteString("d")
				return errors.Join(rm, wr, f.Close())
			}, nil
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
}

// passOn orders the memory of successive holders of a file lock, of which Go's memory model knows nothing.
func (s *Store) passOn() {
	s.order.Lock()
	defer s.order.Unlock()
}
