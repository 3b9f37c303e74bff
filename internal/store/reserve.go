package store

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// reserveSize is Nix's: a file of this size in the database's folder is deleted when a full disk leaves no room for what
// it takes to delete anything: the database's journal.
const reserveSize = 8 << 20

// keepReserve makes the file if it is not there. No room for it is no error.
func (s *Store) keepReserve() error {
	f, err := os.OpenFile(s.state("db", "reserved"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) || errors.Is(err, unix.ENOSPC) {
		return nil
	}
	if err != nil {
		return err
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, reserveSize)
	if err == nil {
		return f.Close()
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EDQUOT) {
		err = nil
	}
	return errors.Join(err, f.Close(), os.Remove(f.Name()))
}

// giveReserve deletes the file and tells whether there was one.
func (s *Store) giveReserve() bool { return os.Remove(s.state("db", "reserved")) == nil }
