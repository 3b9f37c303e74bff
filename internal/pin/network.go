package pin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"headwater/internal/artifact"
	"headwater/internal/dag"
	"headwater/internal/fetch"
	"headwater/internal/nix"
	"headwater/internal/store"
)

// Fetcher downloads artifacts and registries' indexes; *fetch.Client is one.
type Fetcher interface {
	Fetch(ctx context.Context, a artifact.Artifact, dst string, progress func(done, total int64)) (fetch.Result, error)
	Index(ctx context.Context, eco artifact.Ecosystem, name string) ([]byte, error)
}

// Network is the ecosystem.Network that keeps what it downloads in the store, where building finds it.
type Network struct {
	Store   *store.Store
	Fetcher Fetcher
}

// Index implements ecosystem.Network.
func (n *Network) Index(ctx context.Context, eco artifact.Ecosystem, name string) ([]byte, error) {
	return n.Fetcher.Index(ctx, eco, name)
}

// Get implements ecosystem.Network.
func (n *Network) Get(ctx context.Context, a artifact.Artifact) (string, artifact.Artifact, error) {
	if !a.Hash.IsZero() {
		file, size, err := n.known(ctx, a)
		if err != nil || file != "" {
			a.Size = size
			return file, a, err
		}
	}
	tmp, remove, err := n.Store.TempDir(ctx)
	if err != nil {
		return "", a, fmt.Errorf("get %s: %w", a.Ref(), err)
	}
	file, a, err := n.download(ctx, a, filepath.Join(tmp, "file"))
	return file, a, errors.Join(err, remove())
}

// known is the file of an artifact that the store has, "" if it has not.
func (n *Network) known(ctx context.Context, a artifact.Artifact) (string, int64, error) {
	node, err := new(dag.Maker).Fetch(a)
	if err != nil {
		return "", 0, err
	}
	if err := n.Store.AddTempRoot(ctx, node.Path()); err != nil {
		return "", 0, err
	}
	valid, err := n.Store.Valid(ctx, node.Path())
	if err != nil || len(valid) == 0 {
		return "", 0, err
	}
	file := n.Store.RealPath(node.Path())
	fi, err := os.Stat(file)
	if err != nil {
		return "", 0, err
	}
	return file, fi.Size(), nil
}

// download fetches a to tmp and gives it to the store.
func (n *Network) download(ctx context.Context, a artifact.Artifact, tmp string) (string, artifact.Artifact, error) {
	r, err := n.Fetcher.Fetch(ctx, a, tmp, func(int64, int64) {})
	if err != nil {
		return "", a, err
	}
	if a.Hash.IsZero() {
		a.Hash = r.Hash
	}
	a.Size = r.Size
	node, err := new(dag.Maker).Fetch(a)
	if err != nil {
		return "", a, err
	}
	p := node.Path()
	if err := n.Store.AddTempRoot(ctx, p); err != nil {
		return "", a, err
	}
	unlock, err := n.Store.Lock(ctx, p)
	if err != nil {
		return "", a, err
	}
	return n.Store.RealPath(p), a, errors.Join(n.install(ctx, p, tmp, a.Hash), unlock())
}

func (n *Network) install(ctx context.Context, p nix.StorePath, tmp string, hash nix.Hash) error {
	if valid, err := n.Store.Valid(ctx, p); err != nil || len(valid) == 1 {
		return err
	}
	e, err := store.Examine(ctx, tmp, nil)
	if err != nil {
		return err
	}
	return n.Store.Install(ctx, []store.Install{{From: tmp, Info: store.PathInfo{
		Path: p, NARHash: e.NARHash, NARSize: e.NARSize, CA: nix.ContentAddress{Method: nix.Flat, Hash: hash},
	}}})
}
