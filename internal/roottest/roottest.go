// Package roottest gives tests roots out of pinned Debian packages, so that what a test needs besides Go (Nix, an
// interpreter, a server) is the same on every machine and nothing has to be installed.
//
// Roots are in the user's cache folder, in the store that all tests share. The first test on a machine fetches them.
//
//	dir, err := roottest.Unpacked(ctx, locked, "python")
package roottest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"headwater/internal/dag"
	"headwater/internal/fetch"
	"headwater/internal/lock"
	"headwater/internal/pin"
	"headwater/internal/registry"
	"headwater/internal/rootfs"
	"headwater/internal/store"
)

// OpenStore opens the store that tests share.
func OpenStore(ctx context.Context) (*store.Store, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	return store.Open(ctx, filepath.Join(cache, "headwater-test"), store.Options{Now: time.Now})
}

// Unpacked is the folder of a root of a lock, fetched and unpacked if it is not there yet.
func Unpacked(ctx context.Context, locked *lock.File, name string) (dir string, err error) {
	root, ok := locked.Roots[name]
	if !ok {
		return "", fmt.Errorf("root %s is not pinned", name)
	}
	s, err := OpenStore(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if dir, err = Valid(ctx, s, name, root); err != nil || dir != "" {
		return dir, err
	}
	archive, closeArchive, err := Archive(s, locked.Date)
	if err != nil {
		return "", err
	}
	defer closeArchive()
	hash, err := rootfs.Pin(ctx, rootfs.PinRequest{Name: name, Packages: root.Packages, Archive: archive, Store: s})
	if err != nil {
		return "", err
	}
	if hash != root.NARHash {
		return "", fmt.Errorf("root %s: its packages make a tree of hash %s, pinned is %s", name, hash, root.NARHash)
	}
	return Valid(ctx, s, name, root)
}

// Valid is the folder of a root that a store has, "" if it has not.
func Valid(ctx context.Context, s *store.Store, name string, root lock.Root) (string, error) {
	node, err := rootfs.Node(new(dag.Maker), name, root)
	if err != nil {
		return "", err
	}
	valid, err := s.Valid(ctx, node.Path())
	if err != nil || len(valid) == 0 {
		return "", err
	}
	return s.RealPath(node.Path()), nil
}

// Archive is Debian's, as this machine reaches it; what has left the mirrors is asked for as of the date.
func Archive(s *store.Store, date time.Time) (rootfs.Archive, func(), error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, nil, err
	}
	reg, err := registry.Open(registry.Machine{Env: os.Getenv, Home: home, Root: os.DirFS("/")}, registry.Options{})
	if err != nil {
		return nil, nil, err
	}
	client := fetch.New(reg.At(date), fetch.Options{})
	return &pin.Network{Store: s, Fetcher: client}, client.Close, nil
}
