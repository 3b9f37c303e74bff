package store

import (
	"context"
	"errors"
	"fmt"
	"os"

	"headwater/internal/nix"
)

// Install is one finished tree and what is to be registered of it.
type Install struct {
	From string // examined; on the store's own file system (TempDir), or already where the path belongs
	Info PathInfo
}

// Install moves each tree into place and registers all in one transaction, so that either all become valid or none. What
// lies at a target without being valid, a crashed build's leftover, is deleted first. A path that is valid already stays as
// it is, and so does its From.
//
// The caller holds the paths' locks and has examined the trees. A tree that does not become valid is deleted.
func (s *Store) Install(ctx context.Context, items []Install) error {
	if len(items) == 0 {
		return nil
	}
	paths := make([]nix.StorePath, len(items))
	for i, it := range items {
		paths[i] = it.Info.Path
		if err := errors.Join(it.Info.check(), it.Info.checkCA()); err != nil {
			return fmt.Errorf("install %s: %w", it.Info.Path, err)
		}
	}
	// Before anything is in place: a collector would take it for garbage.
	if err := s.AddTempRoot(ctx, paths...); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	todo, err := s.invalid(ctx, items)
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	infos := make([]PathInfo, len(todo))
	for i, it := range todo {
		if err = s.place(ctx, &it); err != nil {
			err = fmt.Errorf("install %s: %w", it.Info.Path, err)
			todo = todo[:i+1]
			break
		}
		infos[i] = it.Info
	}
	if err == nil {
		err = s.Register(ctx, infos)
	}
	if err != nil {
		return errors.Join(err, s.withdraw(ctx, todo))
	}
	return nil
}

// invalid are those of the items that are not valid, each once.
func (s *Store) invalid(ctx context.Context, items []Install) ([]Install, error) {
	seen := make(map[nix.StorePath]bool, len(items))
	paths := make([]nix.StorePath, len(items))
	for i, it := range items {
		paths[i] = it.Info.Path
	}
	valid, err := s.Valid(ctx, paths...)
	if err != nil {
		return nil, err
	}
	for _, p := range valid {
		seen[p] = true
	}
	var todo []Install
	for _, it := range items {
		if !seen[it.Info.Path] {
			seen[it.Info.Path] = true
			todo = append(todo, it)
		}
	}
	return todo, nil
}

// place brings one tree to where its path is.
func (s *Store) place(ctx context.Context, it *Install) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if it.Info.Path.IsDerivation() && it.Info.Outputs == nil {
		text, err := os.ReadFile(it.From)
		if err != nil {
			return err
		}
		if it.Info.Outputs, err = derivationOutputs(it.Info.Path, text); err != nil {
			return err
		}
	}
	if s.opts.Optimise {
		if err := s.share(ctx, it.From); err != nil {
			return fmt.Errorf("share files: %w", err)
		}
	}
	to := s.RealPath(it.Info.Path)
	if it.From == to {
		_, err := os.Lstat(to)
		return err
	}
	if err := removeTree(to, nil); err != nil {
		return err
	}
	return moveTree(it.From, to)
}

// withdraw deletes what was put in place but not registered. Cancelling does not stop it.
func (s *Store) withdraw(ctx context.Context, items []Install) error {
	ctx = context.WithoutCancel(ctx)
	for _, it := range items {
		valid, err := s.Valid(ctx, it.Info.Path)
		if err != nil {
			return err // leave it to a collector: it may be valid
		}
		if len(valid) > 0 {
			continue
		}
		if err := removeTree(s.RealPath(it.Info.Path), nil); err != nil {
			return err
		}
	}
	return nil
}
