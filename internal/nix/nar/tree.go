package nar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"headwater/internal/nix"
)

// Source is an object of a tree that need not be on disk as it is archived: a selection of files, or what is still in
// other archives.
type Source struct {
	Path       string // slash-separated, relative to the tree's top, which is ""
	Type       Type
	Executable bool   // files only
	Target     string // links only

	// A file's content is that of the file File on disk or, if File is "", the Size bytes that Open's reader gives. A file
	// without either is empty.
	File string
	Size int64
	Open func() (io.ReadCloser, error)
}

// DumpTree writes the archive of the tree made of sources, in any order, to every one of ws, as DumpTo does. Folders on the
// way to a source need not be listed; without any source the tree is an empty folder. A path that comes twice, or goes
// through a file or link, is an error.
func DumpTree(ctx context.Context, sources []Source, ws ...io.Writer) error {
	tree, err := virtual(sources)
	if err != nil {
		return err
	}
	return dumpTo(ctx, tree, ws...)
}

// HashTree is the SHA-256 and the length of the archive that DumpTree writes. It goes also to the other writers.
func HashTree(ctx context.Context, sources []Source, also ...io.Writer) (nix.Hash, int64, error) {
	tree, err := virtual(sources)
	if err != nil {
		return nix.Hash{}, 0, err
	}
	return sum(also, func(ws ...io.Writer) error { return dumpTo(ctx, tree, ws...) })
}

// virtual checks sources and lays them out.
func virtual(sources []Source) (func(*dumper) error, error) {
	sources = slices.Clone(sources)
	slices.SortFunc(sources, func(a, b Source) int { return comparePaths(a.Path, b.Path) })
	for i, s := range sources {
		if err := s.check(); err != nil {
			return nil, fmt.Errorf("dump tree: %q: %w", s.Path, err)
		}
		if i == 0 {
			continue
		}
		switch last := sources[i-1]; {
		case last.Path == s.Path:
			return nil, fmt.Errorf("dump tree: %q: twice there", s.Path)
		case last.Type != Folder && (last.Path == "" || strings.HasPrefix(s.Path, last.Path+"/")):
			return nil, fmt.Errorf("dump tree: %q: %q is no folder", s.Path, last.Path)
		}
	}
	return func(d *dumper) error {
		if err := d.sources(sources); err != nil {
			return fmt.Errorf("dump tree: %w", err)
		}
		return nil
	}, nil
}

// comparePaths sorts as archives do: a folder comes right before what it holds, siblings by their names' bytes. Plain
// comparison would put "a-b" between "a" and "a/b".
func comparePaths(a, b string) int {
	for i := range min(len(a), len(b)) {
		switch x, y := a[i], b[i]; {
		case x == y:
		case x == '/':
			return -1
		case y == '/':
			return 1
		default:
			return int(x) - int(y)
		}
	}
	return len(a) - len(b)
}

func (s *Source) check() error {
	if len(s.Path) > maxPath {
		return fmt.Errorf("path is longer than %d bytes", maxPath)
	}
	if s.Path != "" {
		for name := range strings.SplitSeq(s.Path, "/") {
			if err := checkName(name); err != nil {
				return err
			}
		}
	}
	switch {
	case s.Type == Link:
		return checkTarget(s.Target)
	case s.Type > Link:
		return fmt.Errorf("unknown type %v", s.Type)
	case s.Type == File && s.File == "" && (s.Size < 0 || s.Size > 0 && s.Open == nil):
		return fmt.Errorf("no content of %d bytes can be opened", s.Size)
	case s.Type == Folder && (s.File != "" || s.Size != 0 || s.Open != nil):
		return errors.New("a folder has no content")
	}
	return nil
}

// sources writes checked and sorted sources, and the folders around them.
func (d *dumper) sources(sources []Source) error {
	if len(sources) == 1 && sources[0].Path == "" && sources[0].Type != Folder {
		return d.source(sources[0])
	}
	d.str("(", "type", "directory")
	var open []string // names of the folders that are open below the top
	for _, s := range sources {
		if d.dead || s.Path == "" {
			continue
		}
		names := strings.Split(s.Path, "/")
		shared := 0
		for shared < len(open) && shared < len(names)-1 && open[shared] == names[shared] {
			shared++
		}
		open = d.closeFolders(open, shared)
		for len(open) < len(names)-1 {
			open = d.openFolder(open, names[len(open)])
		}
		name := names[len(names)-1]
		if s.Type == Folder {
			open = d.openFolder(open, name)
			continue
		}
		d.str("entry", "(", "name", name, "node")
		if err := d.source(s); err != nil {
			return err
		}
		d.str(")")
	}
	d.closeFolders(open, 0)
	d.str(")")
	return nil
}

func (d *dumper) openFolder(open []string, name string) []string {
	d.str("entry", "(", "name", name, "node", "(", "type", "directory")
	return append(open, name)
}

// closeFolders ends all open folders but the first keep.
func (d *dumper) closeFolders(open []string, keep int) []string {
	for range open[keep:] {
		d.str(")", ")")
	}
	return open[:keep]
}

// source writes a file or link.
func (d *dumper) source(s Source) error {
	if s.Type == Link {
		d.link(s.Target)
		return nil
	}
	if s.File == "" {
		return d.file(s.Executable, s.Size, content{name: s.Path, open: s.Open})
	}
	size, _, err := statFile(s.File)
	if err != nil {
		return err
	}
	return d.file(s.Executable, size, content{name: s.File})
}
