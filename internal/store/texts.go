package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
	"zombiezen.com/go/sqlite"

	"headwater/internal/nix"
)

// Text is a small content-addressed file: a .drv, a script.
type Text struct {
	Name    string // of the store path, with ".drv" if it is a derivation
	Content string
	Refs    []nix.StorePath // valid, or among the texts added together
}

// AddTexts adds files in one transaction and tells their paths, in the order given. Those that are valid already are not
// written again. Of a derivation the outputs are registered too.
func (s *Store) AddTexts(ctx context.Context, texts []Text) ([]nix.StorePath, error) {
	paths, infos := make([]nix.StorePath, len(texts)), make([]PathInfo, len(texts))
	for i, t := range texts {
		info, err := textInfo(t)
		if err != nil {
			return nil, fmt.Errorf("add text %s: %w", t.Name, err)
		}
		infos[i], paths[i] = info, info.Path
	}
	if err := s.AddTempRoot(ctx, paths...); err != nil {
		return nil, fmt.Errorf("add texts: %w", err)
	}
	valid, err := s.Valid(ctx, paths...)
	if err != nil {
		return nil, fmt.Errorf("add texts: %w", err)
	}
	done := make(map[nix.StorePath]bool, len(paths))
	for _, p := range valid {
		done[p] = true
	}
	var missing []PathInfo
	var contents []string
	for i, info := range infos {
		if !done[info.Path] {
			done[info.Path] = true
			missing, contents = append(missing, info), append(contents, texts[i].Content)
		}
	}
	if len(missing) == 0 {
		return paths, nil
	}
	if err := s.addMissing(ctx, missing, contents); err != nil {
		return nil, fmt.Errorf("add texts: %w", err)
	}
	return paths, nil
}

func textInfo(t Text) (PathInfo, error) {
	ca := nix.ContentAddress{Method: nix.Text, Hash: nix.Sum(nix.SHA256, []byte(t.Content))}
	p, err := nix.TextPath(t.Name, ca.Hash, t.Refs)
	if err != nil {
		return PathInfo{}, err
	}
	archive := fileNAR(t.Content)
	info := PathInfo{Path: p, NARHash: nix.Sum(nix.SHA256, archive), NARSize: int64(len(archive)), Refs: t.Refs, CA: ca}
	if p.IsDerivation() {
		info.Outputs, err = derivationOutputs(p, []byte(t.Content))
	}
	return info, err
}

// fileNAR is the NAR of a file that is not executable.
func fileNAR(content string) []byte {
	n := int64(len(content))
	return append(append(fileNARHead(false, n), content...), fileNARTail(n)...)
}

// fileNARHead is what stands before a file's bytes in the NAR of a lone file, fileNARTail what stands after them.
func fileNARHead(executable bool, size int64) []byte {
	words := []string{"nix-archive-1", "(", "type", "regular", "contents"}
	if executable {
		words = []string{"nix-archive-1", "(", "type", "regular", "executable", "", "contents"}
	}
	b := make([]byte, 0, 160)
	for _, w := range words {
		b = appendNARWord(b, w)
	}
	return binary.LittleEndian.AppendUint64(b, uint64(size))
}

func fileNARTail(size int64) []byte { return appendNARWord(make([]byte, -size&7), ")") }

func appendNARWord(b []byte, w string) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(len(w)))
	return append(append(b, w...), make([]byte, -len(w)&7)...)
}

// addMissing writes files, then puts them into place and registers them in one transaction. It takes no path's lock, which
// would be thousands: of those who write texts, the database's own lock lets only one at a time touch their paths. Nix does
// not take that, but where both write the same path, the same bytes replace one another by a rename.
func (s *Store) addMissing(ctx context.Context, infos []PathInfo, contents []string) (err error) {
	dir, remove, err := s.TempDir(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	for i, content := range contents {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := writeText(filepath.Join(dir, strconv.Itoa(i)), content); err != nil {
			return err
		}
	}
	s.wrote.Store(true)
	var placed []nix.StorePath
	err = s.write(ctx, func(c *sqlite.Conn) error {
		var todo []PathInfo
		for i, info := range infos {
			if id, err := pathID(c, info.Path); err != nil {
				return err
			} else if id != 0 { // another process was quicker
				continue
			}
			if err := s.placeText(filepath.Join(dir, strconv.Itoa(i)), info.Path); err != nil {
				return err
			}
			todo, placed = append(todo, info), append(placed, info.Path)
		}
		return s.register(c, todo)
	})
	if err != nil {
		return errors.Join(err, s.withdrawTexts(ctx, placed))
	}
	return nil
}

func writeText(path, content string) error {
	if err := os.WriteFile(path, []byte(content), 0o444); err != nil {
		return err
	}
	if err := os.Chmod(path, 0o444); err != nil { // the umask may have taken something
		return err
	}
	return setMtime(unix.AT_FDCWD, path, path)
}

func (s *Store) placeText(tmp string, p nix.StorePath) error {
	to := s.RealPath(p)
	err := os.Rename(tmp, to)
	if err == nil {
		return nil
	}
	if fi, statErr := os.Lstat(to); statErr == nil && fi.IsDir() {
		// No valid text can be a folder.
		if err := removeTree(to, nil); err != nil {
			return err
		}
		return os.Rename(tmp, to)
	}
	return err
}

// withdrawTexts deletes files whose registration failed, unless another process has them or is at it.
func (s *Store) withdrawTexts(ctx context.Context, paths []nix.StorePath) error {
	if len(paths) == 0 {
		return nil
	}
	return s.write(context.WithoutCancel(ctx), func(c *sqlite.Conn) error {
		for _, p := range paths {
			if id, err := pathID(c, p); err != nil || id != 0 {
				return err
			}
			unlock, err := s.tryLockPath(p)
			if err != nil {
				return err
			}
			if unlock == nil {
				continue
			}
			if err := errors.Join(removeTree(s.RealPath(p), nil), unlock()); err != nil {
				return err
			}
		}
		return nil
	})
}
