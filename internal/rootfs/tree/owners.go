package tree

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"headwater/internal/rootfs/deb"
)

// Made is the owner, in Owners, of what no package has: alternatives, users, certificates, the loader's cache.
const Made = ""

// Owners tells which package each file and link of the tree comes from that Unpack makes, by the path below the tree's top. It unpacks
// them to scratch, which does not exist before and not after: what replaces, diverts or moves what is only known then.
func Owners(ctx context.Context, scratch string, packages []Package) (owners map[string]string, err error) {
	if err := os.Mkdir(scratch, 0o755); err != nil {
		return nil, fmt.Errorf("find owners in root: %w", err)
	}
	defer func() {
		if e := os.RemoveAll(scratch); err == nil && e != nil {
			err = e
		}
	}()
	dst, err := filepath.EvalSymlinks(scratch)
	if err != nil {
		return nil, fmt.Errorf("find owners in root: %w", err)
	}
	u := &unpacker{dst: dst, limits: deb.Limits{}, claimed: map[string]bool{}, made: map[string]bool{"": true, ".": true}}
	settled, err := u.settled(ctx, packages)
	if err != nil {
		return nil, fmt.Errorf("find owners in root: %w", err)
	}
	owners = map[string]string{}
	err = filepath.WalkDir(dst, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dst, name)
		if err != nil {
			return err
		}
		owners[rel] = Made
		if o, ok := settled[rel]; ok {
			owners[rel] = o.pkg.name
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find owners in root: %w", err)
	}
	return owners, nil
}
