package local

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"headwater/internal/engine"
	"headwater/internal/nix"
	"headwater/internal/store"
)

// write brings a content-addressed object about and makes sure that it is what its path says.
func (j *job) write(ctx context.Context) error {
	n := j.node
	at := filepath.Join(j.dir, "object")
	if err := n.Content.Write(ctx, at, j.Store.RealPath); err != nil {
		return fmt.Errorf("make %s: %w", n.Name, err)
	}
	found, err := store.Examine(ctx, at, nil)
	if err != nil {
		return fmt.Errorf("make %s: %w", n.Name, err)
	}
	info := store.PathInfo{Path: n.Path(), NARHash: found.NARHash, NARSize: found.NARSize, CA: n.Content.ContentAddress()}
	if info.CA.Method == nix.Text { // its path depends on what it says it refers to
		for _, in := range n.Inputs {
			info.Refs = append(info.Refs, in.Path())
		}
		slices.Sort(info.Refs)
		info.Refs = slices.Compact(info.Refs)
	}
	got, err := contentHash(ctx, at, info.CA, found)
	if err != nil {
		return fmt.Errorf("make %s: %w", n.Name, err)
	}
	if got != info.CA.Hash {
		return &engine.ContentError{Node: n, Want: info.CA.Hash, Have: got}
	}
	if p, err := nix.FixedPath(n.Path().Name(), info.CA, info.Refs, false); err != nil || p != n.Path() {
		return fmt.Errorf("make %s: its content address belongs to %s, not to %s", n.Name, p, n.Path())
	}
	if err := j.Store.Install(ctx, []store.Install{{From: at, Info: info}}); err != nil {
		return fmt.Errorf("make %s: %w", n.Name, err)
	}
	return nil
}
