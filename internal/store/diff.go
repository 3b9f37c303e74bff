package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
	"zombiezen.com/go/sqlite"

	"headwater/internal/nix"
	"headwater/internal/nix/nar"
)

// DiffOptions say how closely to look.
type DiffOptions struct {
	Contents bool            // hash what is on disk in both stores, and compare that as well as what is registered
	Only     []nix.StorePath // compare these alone; nil means all that is valid in either store
}

// Difference is a path that is not the same in both stores.
type Difference struct {
	Path  nix.StorePath
	What  string        // "NAR hash", "references" or "content", which is what is on disk
	Here  string        // what the first store has
	There string        // what the second has
	Drv   nix.StorePath // the derivation that made it, as either store knows; "" if none does
}

// DiffResult tells what two stores have in common. All lists are sorted by path.
type DiffResult struct {
	Common      int // paths valid in both
	Derivations int // of these, .drv files
	Different   []Difference
	OnlyHere    []nix.StorePath
	OnlyThere   []nix.StorePath
}

// Equal is the number of paths that are the same in both stores.
func (r *DiffResult) Equal() int { return r.Common - len(r.Different) }

// Exists tells whether a folder holds a store. Open would make one.
func Exists(dir string) (bool, error) {
	_, err := os.Stat(filepath.Join(dir, "nix/var/nix/db/db.sqlite"))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Diff compares what is valid in two stores. A path's name says what it was made from, so one path with two contents means
// that making it is not reproducible, or that one of the stores is wrong.
func Diff(ctx context.Context, here, there *Store, opts DiffOptions) (DiffResult, error) {
	var r DiffResult
	ours, err := here.allInfos(ctx)
	if err != nil {
		return r, fmt.Errorf("compare stores: %s: %w", here.dir, err)
	}
	theirs, err := there.allInfos(ctx)
	if err != nil {
		return r, fmt.Errorf("compare stores: %s: %w", there.dir, err)
	}
	var common []nix.StorePath
	for _, p := range opts.paths(ours, theirs) {
		_, a := ours[p]
		_, b := theirs[p]
		switch {
		case a && b:
			common = append(common, p)
			if p.IsDerivation() {
				r.Derivations++
			}
		case a:
			r.OnlyHere = append(r.OnlyHere, p)
		case b:
			r.OnlyThere = append(r.OnlyThere, p)
		default:
			return r, fmt.Errorf("compare stores: %s: %w in either", p, ErrInvalid)
		}
	}
	r.Common = len(common)
	found := make([]*Difference, len(common))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, p := range common {
		group.Go(func() (err error) {
			if found[i] = compareInfos(ours[p], theirs[p]); found[i] == nil && opts.Contents {
				found[i], err = compareContents(ctx, p, here, there)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return r, fmt.Errorf("compare stores: %w", err)
	}
	for i, d := range found {
		if d != nil {
			d.Path, d.Drv = common[i], ours[common[i]].Deriver
			if d.Drv == "" {
				d.Drv = theirs[common[i]].Deriver
			}
			r.Different = append(r.Different, *d)
		}
	}
	return r, nil
}

// paths lists what is to be compared, sorted.
func (o DiffOptions) paths(ours, theirs map[nix.StorePath]PathInfo) []nix.StorePath {
	paths := slices.Clone(o.Only)
	if o.Only == nil {
		for p := range ours {
			paths = append(paths, p)
		}
		for p := range theirs {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

func compareInfos(a, b PathInfo) *Difference {
	if a.NARHash != b.NARHash {
		return &Difference{What: "NAR hash", Here: a.NARHash.SRI(), There: b.NARHash.SRI()}
	}
	if !slices.Equal(a.Refs, b.Refs) {
		return &Difference{What: "references", Here: fmt.Sprint(a.Refs), There: fmt.Sprint(b.Refs)}
	}
	return nil
}

// compareContents hashes what is on disk.
func compareContents(ctx context.Context, p nix.StorePath, here, there *Store) (*Difference, error) {
	a, _, err := nar.Hash(ctx, here.RealPath(p))
	if err != nil {
		return nil, err
	}
	b, _, err := nar.Hash(ctx, there.RealPath(p))
	if err != nil || a == b {
		return nil, err
	}
	return &Difference{What: "content", Here: a.SRI(), There: b.SRI()}, nil
}

// allInfos is what is known of every valid path; references are sorted.
func (s *Store) allInfos(ctx context.Context) (map[nix.StorePath]PathInfo, error) {
	infos := map[nix.StorePath]PathInfo{}
	err := s.read(ctx, func(c *sqlite.Conn) error {
		err := rows(c, "select "+infoColumns+" from ValidPaths", func(r *sqlite.Stmt) error {
			info, err := readInfo(r)
			infos[info.Path] = info
			return err
		})
		if err != nil {
			return err
		}
		return rows(c, "select a.path, b.path from Refs join ValidPaths a on referrer = a.id join ValidPaths b on reference = b.id order by 2",
			func(r *sqlite.Stmt) error {
				info := infos[nix.StorePath(r.ColumnText(0))]
				info.Refs = append(info.Refs, nix.StorePath(r.ColumnText(1)))
				infos[info.Path] = info
				return nil
			})
	})
	return infos, err
}
