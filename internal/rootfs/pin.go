package rootfs

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"

	"headwater/internal/artifact"
	"headwater/internal/dag"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/rootfs/tree"
	"headwater/internal/store"
)

// PinRequest asks for the hash of a root.
type PinRequest struct {
	Name     string          // the recipe's
	Packages []lock.Artifact // as Resolve chose them
	Archive  Archive
	Store    *store.Store // gets the root
}

// Pin fetches the packages, unpacks them once and returns the hash that the root has in the lock. The tree becomes a valid
// path of the store, where building finds it.
func Pin(ctx context.Context, r PinRequest) (nix.Hash, error) {
	tmp, remove, err := r.Store.TempDir(ctx)
	if err != nil {
		return nix.Hash{}, fmt.Errorf("pin root %s: %w", r.Name, err)
	}
	hash, err := r.pin(ctx, filepath.Join(tmp, "root"))
	if err = errors.Join(err, remove()); err != nil {
		return nix.Hash{}, fmt.Errorf("pin root %s: %w", r.Name, err)
	}
	return hash, nil
}

func (r *PinRequest) pin(ctx context.Context, dst string) (nix.Hash, error) {
	packages, err := r.fetch(ctx)
	if err != nil {
		return nix.Hash{}, err
	}
	if err := tree.Unpack(ctx, dst, packages); err != nil {
		return nix.Hash{}, err
	}
	examined, err := store.Examine(ctx, dst, nil)
	if err != nil {
		return nix.Hash{}, err
	}
	node, err := Node(new(dag.Maker), r.Name, lock.Root{NARHash: examined.NARHash, Packages: r.Packages})
	if err != nil {
		return nix.Hash{}, err
	}
	p := node.Path()
	if err := r.Store.AddTempRoot(ctx, p); err != nil {
		return nix.Hash{}, err
	}
	unlock, err := r.Store.Lock(ctx, p)
	if err != nil {
		return nix.Hash{}, err
	}
	err = r.Store.Install(ctx, []store.Install{{From: dst, Info: store.PathInfo{
		Path: p, NARHash: examined.NARHash, NARSize: examined.NARSize, CA: node.Content.ContentAddress(),
	}}})
	return examined.NARHash, errors.Join(err, unlock())
}

// fetch makes the packages available, some at a time.
func (r *PinRequest) fetch(ctx context.Context) ([]tree.Package, error) {
	list := make([]tree.Package, len(r.Packages))
	some := 8 * runtime.GOMAXPROCS(0) // these wait for the network, mostly
	return list, artifact.Each(ctx, len(list), some, func(ctx context.Context, i int) error {
		file, _, err := r.Archive.Get(ctx, r.Packages[i].Artifact())
		list[i] = tree.Package{Name: r.Packages[i].Name, File: file}
		return err
	})
}
