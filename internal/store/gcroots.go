package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"headwater/internal/flock"
	"headwater/internal/nix"
)

// Root is what keeps a path from being collected.
type Root struct {
	From string // the link that names the path, or "{temp:<pid>}" for a live process's
	Path nix.StorePath
}

// Roots lists what keeps paths, valid or not: links below gcroots and profiles, links elsewhere that gcroots/auto names, and
// the temporary roots of live processes. Links in gcroots/auto to what is gone are deleted, and the files of temporary
// roots of dead processes.
func (s *Store) Roots(ctx context.Context) ([]Root, error) {
	roots, err := s.linkRoots(ctx)
	if err != nil {
		return nil, fmt.Errorf("find roots: %w", err)
	}
	temp, err := s.readTempRoots(ctx)
	if err != nil {
		return nil, fmt.Errorf("find roots: %w", err)
	}
	return append(roots, temp...), nil
}

// linkRoots are the permanent roots.
func (s *Store) linkRoots(ctx context.Context) ([]Root, error) {
	w := rootWalk{ctx: ctx, auto: s.state("gcroots", "auto")}
	for _, dir := range []string{"gcroots", "profiles"} {
		if err := w.visit(s.state(dir)); err != nil {
			return nil, err
		}
	}
	return w.roots, nil
}

type rootWalk struct {
	ctx   context.Context
	auto  string
	roots []Root
}

// visit looks at one file, link or folder of gcroots or profiles. What cannot be read is an error: collecting without
// knowing all roots would delete what is in use.
func (w *rootWalk) visit(path string) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	fi, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	switch {
	case fi.IsDir():
		entries, err := os.ReadDir(path)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := w.visit(filepath.Join(path, e.Name())); err != nil {
				return err
			}
		}
	case fi.Mode()&os.ModeSymlink != 0:
		return w.link(path)
	case fi.Mode().IsRegular(): // a file called like a store object stands for it
		if p, err := nix.ParseStoreBase(fi.Name()); err == nil {
			w.roots = append(w.roots, Root{From: path, Path: p})
		}
	}
	return nil
}

// link follows a link into the store, or one link further.
func (w *rootWalk) link(path string) error {
	target, err := os.Readlink(path)
	if err != nil {
		return notExist(err)
	}
	if p, _, err := nix.SplitStorePath(target); err == nil {
		w.roots = append(w.roots, Root{From: path, Path: p})
		return nil
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(path), target)
	}
	second, err := os.Readlink(target)
	switch {
	case err == nil:
		if p, _, err := nix.SplitStorePath(second); err == nil {
			w.roots = append(w.roots, Root{From: target, Path: p})
		}
		return nil
	case errors.Is(err, unix.EINVAL): // something else than a link
		return nil
	case errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR):
		if filepath.Dir(path) == w.auto {
			return notExist(os.Remove(path))
		}
		return nil
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("root %s: %w (whether it is in use cannot be known)", target, err)
	}
	return err
}

func notExist(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// readTempRoots reads the files of live processes and deletes those of dead ones: nobody holds their lock.
func (s *Store) readTempRoots(ctx context.Context) ([]Root, error) {
	entries, err := os.ReadDir(s.state("temproots"))
	if err != nil {
		return nil, notExist(err)
	}
	var roots []Root
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		held, err := readTempRootsFile(s.state("temproots", e.Name()))
		if err != nil {
			return nil, fmt.Errorf("temporary roots of process %s: %w", e.Name(), err)
		}
		for _, p := range held {
			roots = append(roots, Root{From: "{temp:" + e.Name() + "}", Path: p})
		}
	}
	return roots, nil
}

func readTempRootsFile(name string) ([]nix.StorePath, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, notExist(err)
	}
	defer f.Close()
	free, err := flock.Try(f)
	if err != nil {
		return nil, err
	}
	if free {
		if same, err := still(f); err != nil || !same {
			return nil, err // its owner deleted it; the name may be another's
		}
		// The byte tells a process of Nix that has it open but not yet locked that it must make another.
		if _, err := f.WriteString("d"); err != nil && !errors.Is(err, unix.ENOSPC) {
			return nil, err
		}
		return nil, notExist(os.Remove(name))
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	var paths []nix.StorePath
	for {
		line, rest, ok := bytes.Cut(data, []byte{0})
		if !ok {
			return paths, nil // what follows the last 0 is being written, by one who waits for the collector's word
		}
		p, err := nix.ParseStorePath(string(line))
		if err != nil {
			return nil, err
		}
		paths, data = append(paths, p), rest
	}
}
