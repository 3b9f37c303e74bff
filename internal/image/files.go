package image

import (
	"archive/tar"
	"context"
	"fmt"
	"maps"
	"path"
	"slices"

	"headwater/internal/nix"
	"headwater/internal/store"
)

// File is a file or a symbolic link of an image and where it is from.
type File struct {
	At   string        // absolute path in the image
	Path nix.StorePath // store path that it is of, "" for a link that no store path has
	Sub  string        // path inside of that
	Link bool          // a symbolic link
}

// Files lists the files and symbolic links of the image that Make makes of spec, sorted by At. A file that the image has by several names
// is listed by each of them.
func Files(ctx context.Context, spec Spec, s *store.Store) ([]File, error) {
	plans, err := planLayers(ctx, spec, s)
	if err != nil {
		return nil, err
	}
	all := map[string]File{}
	for _, p := range plans { // what a later layer has at a path hides what an earlier one had
		for at := range p.Links {
			all[at] = File{At: at, Link: true}
		}
		for _, x := range p.Pieces {
			entries := map[string]entry{}
			if err := x.walk(s.RealPath, entries, map[string]string{}); err != nil {
				return nil, fmt.Errorf("list files of image: %s: %w", x.At, err)
			}
			for at, e := range entries {
				if e.header.Typeflag != tar.TypeDir {
					all[at] = File{At: at, Path: x.Path, Sub: path.Join(x.Sub, at[len(x.At):]), Link: e.header.Typeflag == tar.TypeSymlink}
				}
			}
		}
	}
	list := make([]File, 0, len(all))
	for _, at := range slices.Sorted(maps.Keys(all)) {
		list = append(list, all[at])
	}
	return list, nil
}
