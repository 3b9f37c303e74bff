package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"headwater/internal/nix"
	"headwater/internal/nix/nar"
)

// ErrMismatch says that an object is not what it was said to be.
var ErrMismatch = errors.New("content does not match")

// ImportNAR unpacks a NAR, makes sure that it is what info says (hash, size, and content address if it has one), and installs
// it. Nothing is read if the path is valid already. Whether info is to be believed, its signatures, is for the caller to
// decide. It takes the path's lock.
func (s *Store) ImportNAR(ctx context.Context, r io.Reader, info PathInfo) (err error) {
	fail := func(err error) error { return fmt.Errorf("import %s: %w", info.Path, err) }
	if err := errors.Join(info.check(), info.checkCA()); err != nil {
		return fail(err)
	}
	unlock, err := s.Lock(ctx, info.Path)
	if err != nil {
		return fail(err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if valid, err := s.Valid(ctx, info.Path); err != nil || len(valid) > 0 {
		return err
	}
	dir, remove, err := s.TempDir(ctx)
	if err != nil {
		return fail(err)
	}
	defer func() { err = errors.Join(err, remove()) }()
	from := filepath.Join(dir, info.Path.Base())
	if err := unpack(ctx, r, from, info); err != nil {
		return fail(err)
	}
	return s.Install(ctx, []Install{{From: from, Info: info}})
}

func unpack(ctx context.Context, r io.Reader, to string, info PathInfo) error {
	sum := nix.NewSummer()
	// One byte more than promised is enough to know, and bounds what a hostile sender can make us write.
	err := nar.Unpack(ctx, io.LimitReader(r, info.NARSize+1), to, sum)
	got, n := sum.Sum()
	switch {
	case err == nil && n > info.NARSize:
		return fmt.Errorf("%w: NAR is longer than %d bytes", ErrMismatch, info.NARSize)
	case errors.Is(err, nar.ErrFormat):
		return fmt.Errorf("%w: %w", ErrMismatch, err)
	case err != nil:
		return err
	case n < info.NARSize:
		return fmt.Errorf("%w: NAR has %d bytes, want %d", ErrMismatch, n, info.NARSize)
	}
	if got != info.NARHash {
		return fmt.Errorf("%w: NAR hash is %s, want %s", ErrMismatch, got, info.NARHash)
	}
	if err := checkFileHash(to, info.CA); err != nil {
		return err
	}
	// The parent's default access lists, if it has any, are inherited; nar.Unpack sees to all else.
	if n, err := unix.Llistxattr(to, nil); err == nil && n > 0 {
		return Canonicalise(ctx, to)
	}
	return nil
}

// checkFileHash checks a content address of method text or flat, which are hashes of a file's bytes.
func checkFileHash(path string, ca nix.ContentAddress) error {
	if ca.Method != nix.Text && ca.Method != nix.Flat {
		return nil
	}
	fi, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() || fi.Mode()&0o100 != 0 {
		return fmt.Errorf("%w: a %s object is a plain file, not executable", ErrMismatch, ca.Method)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	got, _, err := nix.SumReader(ca.Hash.Algo(), f)
	if err != nil {
		return err
	}
	if got != ca.Hash {
		return fmt.Errorf("%w: content hash is %s, want %s", ErrMismatch, got, ca.Hash)
	}
	return nil
}
