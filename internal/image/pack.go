package image

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"headwater/internal/nix"
)

// epoch is the date of an image that has none: no clock is asked.
var epoch = time.Unix(0, 0).UTC()

// fileTime is when everything in an image was changed last: what it is in a store, so that what compares times (Python's compiled
// modules do) finds the same in both.
var fileTime = time.Unix(1, 0)

// entry is one entry of a layer.
type entry struct {
	header tar.Header
	file   string // content, for regular files
}

// pack writes a layer's archive: entries sorted by path, so that folders come before what they hold and files before the hard links to
// them. real tells where store paths are.
func (p *layerPlan) pack(ctx context.Context, w io.Writer, real func(nix.StorePath) string) error {
	entries, err := p.entries(real)
	if err != nil {
		return err
	}
	tw := tar.NewWriter(w)
	buf := make([]byte, 1<<17)
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := tw.WriteHeader(&e.header); err != nil {
			return fmt.Errorf("pack %s: %w", e.header.Name, err)
		}
		if e.header.Typeflag == tar.TypeReg && e.header.Size > 0 {
			if err := copyFile(tw, e.file, buf); err != nil {
				return err
			}
		}
	}
	return tw.Close()
}

// copyFile copies a whole file. The archive's writer sees to it that the length is what was said.
func copyFile(w io.Writer, name string, buf []byte) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{f}, buf); err != nil {
		return fmt.Errorf("pack %s: %w", name, err)
	}
	return nil
}

// entries lists what is in a layer, sorted.
func (p *layerPlan) entries(real func(nix.StorePath) string) ([]entry, error) {
	all := map[string]entry{}
	for at, f := range p.Folders {
		all[at] = folderEntry(at, f)
	}
	for at, target := range p.Links {
		all[at] = linkEntry(at, target)
	}
	first := map[string]string{} // file in the store → where the image has it first
	for _, x := range p.Pieces {
		if err := x.walk(real, all, first); err != nil {
			return nil, fmt.Errorf("pack %s: %w", x.At, err)
		}
	}
	list := make([]entry, 0, len(all))
	for _, at := range slices.Sorted(maps.Keys(all)) {
		list = append(list, all[at])
	}
	for i := range list { // a hard link is one to the file that comes first in the archive, which only now is known
		if h := &list[i].header; h.Typeflag == tar.TypeReg {
			if to, ok := first[list[i].file]; ok && to != "/"+h.Name {
				h.Typeflag, h.Linkname, h.Size = tar.TypeLink, strings.TrimPrefix(to, "/"), 0
			}
		}
	}
	return list, nil
}

// walk adds what a piece has.
func (x *piece) walk(real func(nix.StorePath) string, all map[string]entry, first map[string]string) error {
	top := path.Join(real(x.Path), x.Sub)
	fi, err := os.Lstat(top)
	if err != nil {
		return err
	}
	var visit func(at, name string, fi fs.FileInfo) error
	visit = func(at, name string, fi fs.FileInfo) error {
		if _, hidden := slices.BinarySearch(x.Hide, at); hidden {
			return nil
		}
		switch fi.Mode().Type() {
		case 0:
			all[at] = fileEntry(at, name, fi)
			if to, ok := first[name]; !ok || at < to {
				first[name] = at
			}
		case fs.ModeSymlink:
			target, err := os.Readlink(name)
			if err != nil {
				return err
			}
			all[at] = linkEntry(at, target)
		case fs.ModeDir:
			all[at] = folderEntry(at, folder{Mode: 0o755})
			children, err := os.ReadDir(name)
			if err != nil {
				return err
			}
			for _, c := range children {
				fi, err := c.Info()
				if err != nil {
					return err
				}
				if err := visit(at+"/"+c.Name(), name+"/"+c.Name(), fi); err != nil {
					return err
				}
			}
		default:
			return fmt.Errorf("%s is neither file, folder nor link", name)
		}
		return nil
	}
	return visit(x.At, top, fi)
}

func folderEntry(at string, f folder) entry {
	return entry{header: tar.Header{Typeflag: tar.TypeDir, Name: at[1:] + "/", Mode: int64(f.Mode), Uid: f.UID, Gid: f.GID, ModTime: fileTime}}
}

func linkEntry(at, target string) entry {
	return entry{header: tar.Header{Typeflag: tar.TypeSymlink, Name: at[1:], Linkname: target, Mode: 0o777, ModTime: fileTime}}
}

// fileEntry is a regular file, root's: writable to its owner as an upstream's own image has it, which changes nothing for the user.
func fileEntry(at, name string, fi fs.FileInfo) entry {
	mode := int64(0o644)
	if fi.Mode()&0o100 != 0 {
		mode = 0o755
	}
	return entry{file: name, header: tar.Header{Typeflag: tar.TypeReg, Name: at[1:], Size: fi.Size(), Mode: mode, ModTime: fileTime}}
}
