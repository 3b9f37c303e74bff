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

	"headwater/internal/atomicfile"
	"headwater/internal/dag"
	"headwater/internal/fetch"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/pin"
	"headwater/internal/recipe"
	"headwater/internal/registry"
	"headwater/internal/rootfs"
	"headwater/internal/store"
)

// StoreDir is the folder of the store that tests share.
func StoreDir() (string, error) {
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "headwater-test"), err
}

// OpenStore opens the store that tests share.
func OpenStore(ctx context.Context) (*store.Store, error) {
	dir, err := StoreDir()
	if err != nil {
		return nil, err
	}
	return store.Open(ctx, dir, store.Options{Now: time.Now})
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

// Pin writes a lock of a root for each suite, with the packages that tests want of it.
func Pin(ctx context.Context, file string, packages []string, suites ...string) (err error) {
	now := time.Now().UTC().Truncate(time.Second)
	s, err := OpenStore(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	archive, closeArchive, err := Archive(s, now)
	if err != nil {
		return err
	}
	defer closeArchive()
	resolver := rootfs.NewResolver(rootfs.Options{Archive: archive, At: now})
	f := &lock.File{
		Format: lock.Format, Date: now, Recipe: nix.Sum(nix.SHA256, nil),
		Roots: map[string]lock.Root{}, Toolchains: map[string][]lock.Artifact{}, Components: map[string]lock.Component{},
	}
	for _, suite := range suites {
		want := recipe.Root{Suites: []string{suite}, Packages: packages}
		found, err := resolver.Resolve(ctx, want)
		if err != nil {
			return err
		}
		hash, err := rootfs.Pin(ctx, rootfs.PinRequest{Name: suite, Packages: found, Archive: archive, Store: s})
		if err != nil {
			return err
		}
		f.Roots[suite] = lock.Root{Suites: want.Suites, Wanted: want.Packages, NARHash: hash, Packages: found}
	}
	data, err := f.Marshal()
	if err != nil {
		return err
	}
	return atomicfile.WriteSynced(file, data, 0o644)
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
