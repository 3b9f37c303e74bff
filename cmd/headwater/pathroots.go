package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"headwater/internal/cache"
	"headwater/internal/dag"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/nix/narinfo"
	"headwater/internal/pathroot"
	"headwater/internal/recipe"
)

// Paths implements pin.Roots.
func (r rootPinner) Paths(ctx context.Context, name string, want recipe.Root, old *lock.Root) (lock.Root, error) {
	if err := r.takePaths(ctx, name, want); err != nil {
		return lock.Root{}, err
	}
	if old != nil {
		return *old, pathroot.Check(ctx, r.store, name, *old)
	}
	return pathroot.Pin(ctx, r.store, name, want.Paths)
}

// takePaths takes those of a root's paths that the store lacks from the root's own cache, or from those that builds may take from.
// What no cache has stays missing.
func (b *builder) takePaths(ctx context.Context, name string, r recipe.Root) error {
	paths, err := pathroot.Parse(r.Paths)
	if err != nil {
		return err
	}
	for _, p := range paths {
		if err := b.store.AddTempRoot(ctx, p); err != nil {
			return err
		}
	}
	if valid, err := b.store.Valid(ctx, paths...); err != nil || len(valid) == len(paths) {
		return err
	}
	from := b.caches
	if r.Cache != "" {
		if from, err = b.rootCache(r); err != nil {
			return fmt.Errorf("root %s: %w", name, err)
		}
	}
	if from == nil {
		return nil
	}
	_, err = from.Pull(ctx, paths, nil)
	switch {
	case err == nil:
		return nil
	case r.Cache != "" && errors.Is(err, cache.ErrUntrusted):
		return &untrustedRoot{fmt.Errorf("root %s: %w", name, err)}
	}
	return fmt.Errorf("root %s: %w", name, err)
}

// untrustedRoot says that nobody whom a root trusts has signed what its cache has.
type untrustedRoot struct{ error }

func (e *untrustedRoot) Unwrap() error { return e.error }

// Hint says what to do.
func (e *untrustedRoot) Hint() string {
	return "if you trust who signs there, add the public key, NAME:BASE64, to the root's keys in headwater.yaml"
}

// rootCache opens the cache that a root names.
func (b *builder) rootCache(r recipe.Root) (*cache.Substituter, error) {
	var keys []narinfo.PublicKey
	for _, text := range r.Keys {
		k, err := narinfo.ParsePublicKey(text)
		if err != nil {
			return nil, &inputError{err, "a root's keys are written NAME:BASE64"}
		}
		keys = append(keys, k)
	}
	c, err := b.openCache(r.Cache)
	if err != nil {
		return nil, err
	}
	return cache.NewSubstituter(b.store, []cache.Source{{Cache: c, Keys: keys}}, cache.PullOptions{Events: b.events}), nil
}

// readyPaths makes sure that what is to be built finds the store paths that roots are made of, as they were locked. Nothing is
// asked for where the goal is there, or can be taken from a cache.
func (b *builder) readyPaths(ctx context.Context, p *project, goal *dag.Node) error {
	for _, name := range slices.Sorted(maps.Keys(p.recipe.Roots)) {
		root := p.recipe.Roots[name]
		if len(root.Paths) == 0 {
			continue
		}
		if there, err := b.there(ctx, goal); err != nil || there {
			return err
		}
		if err := b.takePaths(ctx, name, root); err != nil {
			return err
		}
		if err := pathroot.Check(ctx, b.store, name, p.lock.Roots[name]); err != nil {
			return err
		}
	}
	return nil
}

// there tells whether a node's output is valid, or offered by a cache that builds may take from.
func (b *builder) there(ctx context.Context, n *dag.Node) (bool, error) {
	valid, err := b.store.Valid(ctx, n.Path())
	if err != nil || len(valid) > 0 || b.caches == nil {
		return len(valid) > 0, err
	}
	offered, err := b.caches.Available(ctx, []nix.StorePath{n.Path()})
	return len(offered) > 0, err
}
