package store

import (
	"context"
	"errors"
	"fmt"
	"hash"
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
	item, remove, err := s.ReceiveNAR(ctx, r, info)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	return s.Install(ctx, []Install{item})
}

// ReceiveNAR is the part of ImportNAR before the path becomes valid, for who installs several at once: it unpacks a NAR in a
// temporary folder, which remove deletes, and makes sure that it is what info says. The caller holds the path's lock.
func (s *Store) ReceiveNAR(ctx context.Context, r io.Reader, info PathInfo) (item Install, remove func() error, err error) {
	fail := func(err error) error { return fmt.Errorf("import %s: %w", info.Path, err) }
	if err := errors.Join(info.check(), info.checkCA()); err != nil {
		return Install{}, nil, fail(err)
	}
	dir, remove, err := s.TempDir(ctx)
	if err != nil {
		return Install{}, nil, fail(err)
	}
	from := filepath.Join(dir, info.Path.Base())
	if err := unpack(ctx, r, from, info); err != nil {
		return Install{}, nil, errors.Join(fail(err), remove())
	}
	return Install{From: from, Info: info}, remove, nil
}

func unpack(ctx context.Context, r io.Reader, to string, info PathInfo) error {
	sum := nix.NewSummer()
	also := []io.Writer{sum}
	var other hash.Hash                                                 // of another algorithm, where the content address has one
	if info.CA.Method == nix.NAR && info.CA.Hash.Algo() != nix.SHA256 { // else it is the NAR hash, see checkCA
		if other = info.CA.Hash.Algo().New(); other == nil {
			return fmt.Errorf("unknown hash algorithm %q", info.CA.Hash.Algo())
		}
		also = append(also, other)
	}
	// One byte more than promised is enough to know, and bounds what a hostile sender can make us write.
	err := nar.Unpack(ctx, io.LimitReader(r, info.NARSize+1), to, also...)
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
	if other != nil {
		if got, err := nix.NewHash(info.CA.Hash.Algo(), other.Sum(nil)); err != nil || got != info.CA.Hash {
			return errors.Join(fmt.Errorf("%w: content hash is %s, want %s", ErrMismatch, got, info.CA.Hash), err)
		}
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
