// Package pathroot makes roots of store paths that exist already, such as Nix made of nixpkgs: pins them for a lock, and finds out
// whether a store has what was pinned.
//
// Such a root is as good as its paths: nothing here builds them or knows what is in them. What is pinned is the whole closure, each
// path by its NAR hash, so that a path which another machine has otherwise is noticed. Where a store gets them from, is
// for the caller.
//
//	locked, err := pathroot.Pin(ctx, store, "go", []string{"/nix/store/…-go-1.26.0", "/nix/store/…-bash-5.3", …})
//	err = pathroot.Check(ctx, store, "go", locked)
package pathroot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"headwater/internal/dag"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/store"
)

// programs are what entering such a root takes, besides bash.
func programs() []string {
	return []string{"bwrap", "chmod", "cp", "env", "find", "mkdir", "xargs"}
}

// MissingError says that a store lacks paths of a root.
type MissingError struct {
	Root  string
	Store string // its folder
	Paths []nix.StorePath
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("root %s: the store %s has no %s", e.Root, e.Store, join(e.Paths))
}

// Hint says what to do.
func (e *MissingError) Hint() string {
	return fmt.Sprintf("name a binary cache that has it as the root's cache, or copy it: nix copy --no-check-sigs --to %s %s", e.Store, join(e.Paths))
}

// UnfitError says that paths do not make a root to build in.
type UnfitError struct {
	Root    string
	Lacking []string // programs
}

func (e *UnfitError) Error() string {
	return fmt.Sprintf("root %s: none of its paths has bin/%s", e.Root, strings.Join(e.Lacking, ", bin/"))
}

// Hint says what to do.
func (e *UnfitError) Hint() string {
	return "add the paths of bash, bubblewrap, coreutils and findutils"
}

// ChangedError says that a store has another content for a path than the lock has.
type ChangedError struct {
	Root       string
	Path       nix.StorePath
	Have, Want nix.Hash
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("root %s: %s has the NAR hash %s, the lock says %s", e.Root, e.Path, e.Have.SRI(), e.Want.SRI())
}

// Hint says what to do.
func (e *ChangedError) Hint() string {
	return "the path was built twice with different results: take it from where the lock was made, or accept it by headwater lock --update"
}

func join(paths []nix.StorePath) string {
	s := make([]string, len(paths))
	for i, p := range paths {
		s[i] = string(p)
	}
	return strings.Join(s, " ")
}

// Parse reads the paths that a recipe names.
func Parse(wanted []string) ([]nix.StorePath, error) {
	paths := make([]nix.StorePath, len(wanted))
	for i, w := range wanted {
		var err error
		if paths[i], err = nix.ParseStorePath(w); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

// Pin describes the closure of the wanted paths, which s must have. The error is a *MissingError or an *UnfitError where the paths
// are not to be had or do not serve.
func Pin(ctx context.Context, s *store.Store, name string, wanted []string) (lock.Root, error) {
	paths, err := Parse(wanted)
	if err != nil {
		return lock.Root{}, fmt.Errorf("pin root %s: %w", name, err)
	}
	if err := present(ctx, s, name, paths); err != nil {
		return lock.Root{}, err
	}
	closure, err := s.Closure(ctx, paths, false)
	if err != nil {
		return lock.Root{}, fmt.Errorf("pin root %s: %w", name, err)
	}
	r := lock.Root{Wanted: wanted}
	for _, p := range closure {
		info, err := s.Query(ctx, p)
		if err != nil {
			return lock.Root{}, fmt.Errorf("pin root %s: %w", name, err)
		}
		r.Paths = append(r.Paths, lock.Path{Path: p, NARHash: info.NARHash, References: info.Refs})
	}
	if r.Shell, err = look(s, name, paths); err != nil {
		return lock.Root{}, err
	}
	return r, nil
}

// present makes sure that the paths are valid, and that no collector takes them while this process runs.
func present(ctx context.Context, s *store.Store, name string, paths []nix.StorePath) error {
	for _, p := range paths {
		if err := s.AddTempRoot(ctx, p); err != nil {
			return fmt.Errorf("look for root %s: %w", name, err)
		}
	}
	valid, err := s.Valid(ctx, paths...)
	if err != nil {
		return fmt.Errorf("look for root %s: %w", name, err)
	}
	missing := slices.DeleteFunc(slices.Clone(paths), func(p nix.StorePath) bool { return slices.Contains(valid, p) })
	if len(missing) > 0 {
		return &MissingError{name, s.Dir(), missing}
	}
	return nil
}

// look finds the path that has the shell, and that the other programs are there.
func look(s *store.Store, name string, paths []nix.StorePath) (nix.StorePath, error) {
	var shell nix.StorePath
	var lacking []string
	for _, program := range append([]string{"bash"}, programs()...) {
		i := slices.IndexFunc(paths, func(p nix.StorePath) bool { return has(s, filepath.Join(string(p), "bin", program)) })
		if i < 0 {
			lacking = append(lacking, program)
		} else if program == "bash" {
			shell = paths[i]
		}
	}
	if len(lacking) > 0 {
		return "", &UnfitError{name, lacking}
	}
	return shell, nil
}

// maxLinks is how many links are followed one after the other, as the kernel has it.
const maxLinks = 40

// has tells whether a file is there. Links may lead to other store paths, which are not where they say.
func has(s *store.Store, file string) bool {
	for range maxLinks {
		p, rest, err := nix.SplitStorePath(file)
		if err != nil {
			return false
		}
		real := s.RealPath(p) + rest
		fi, err := os.Lstat(real)
		if err != nil || fi.Mode()&fs.ModeSymlink == 0 {
			return err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0
		}
		target, err := os.Readlink(real)
		if err != nil {
			return false
		}
		if file = filepath.Join(filepath.Dir(file), target); filepath.IsAbs(target) {
			file = filepath.Clean(target)
		}
	}
	return false
}

// Check makes sure that s has what the lock has of a root: every path, with the same content. The error is a *MissingError or a
// *ChangedError where it has not.
func Check(ctx context.Context, s *store.Store, name string, r lock.Root) error {
	paths := make([]nix.StorePath, len(r.Paths))
	for i, p := range r.Paths {
		paths[i] = p.Path
	}
	if err := present(ctx, s, name, paths); err != nil {
		return err
	}
	var errs []error
	for _, p := range r.Paths {
		info, err := s.Query(ctx, p.Path)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("look for root %s: %w", name, err))
		case info.NARHash != p.NARHash:
			errs = append(errs, &ChangedError{name, p.Path, info.NARHash, p.NARHash})
		}
	}
	return errors.Join(errs...)
}

// Node makes a locked root a node of the graph.
func Node(m *dag.Maker, name string, r lock.Root) (*dag.Node, error) {
	paths, err := Parse(r.Wanted)
	if err != nil {
		return nil, fmt.Errorf("derive root %s: %w", name, err)
	}
	return m.PathRoot(name, r.Shell, paths)
}
