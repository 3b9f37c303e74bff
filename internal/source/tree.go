package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"headwater/internal/nix"
	"headwater/internal/nix/nar"
)

// Tree is an upstream's tree on disk.
type Tree struct {
	dir    string
	fs     fs.FS
	listed []listed // every file and link, and every folder that could not be listed; sorted by path
}

// listed is one thing that the walk met.
type listed struct {
	path string
	d    fs.DirEntry
	err  error // why a folder could not be listed
}

// Open lists the tree at dir once; nothing is read, and nothing is judged before it is selected.
func Open(dir string) (*Tree, error) {
	dir = filepath.Clean(dir)
	fi, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("open source: %w", err)
	}
	if !fi.IsDir() {
		return nil, fmt.Errorf("open source %s: is not a folder", dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open source: %w", err)
	}
	inside, ok := root.FS().(rootFS)
	if !ok {
		return nil, fmt.Errorf("open source: %w", errors.ErrUnsupported)
	}
	top, err := root.Open(".") // closed when nothing refers to it any more, as root is
	if err != nil {
		return nil, fmt.Errorf("open source: %w", err)
	}
	t := &Tree{dir: dir, fs: beneath{inside, top}}
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if name == dir {
			return err
		}
		rel := filepath.ToSlash(name)
		if dir != "." { // below which WalkDir names no folder
			rel = filepath.ToSlash(strings.TrimPrefix(strings.TrimPrefix(name, dir), string(filepath.Separator)))
		}
		switch {
		case err != nil:
			t.listed = append(t.listed, listed{rel, d, err})
		case !d.IsDir():
			t.listed = append(t.listed, listed{rel, d, nil})
		case d.Name() == ".git":
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("open source: %w", err)
	}
	slices.SortFunc(t.listed, func(a, b listed) int { return strings.Compare(a.path, b.path) })
	return t, nil
}

// Dir is the folder that the tree was opened at.
func (t *Tree) Dir() string { return t.dir }

// FS reads the whole tree, links within it included. One that leads out of the tree cannot be followed.
func (t *Tree) FS() fs.FS { return t.fs }

// Selection is a part of a tree.
type Selection struct {
	dir     string
	entries []Entry // sorted by path
}

// Entries lists what is selected, sorted by path.
func (s *Selection) Entries() []Entry { return s.entries }

// maxLinks is how many links are followed one after the other, as the kernel has it.
const maxLinks = 40

// Open opens a selected file or folder; it implements fs.FS. What is not selected does not exist. A link is followed where
// it is the whole name, not where it is a folder on the way.
func (s *Selection) Open(name string) (fs.File, error) { return s.open(name, maxLinks) }

func (s *Selection) open(name string, links int) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if i, ok := s.find(name); ok {
		if s.entries[i].Link == "" {
			return os.Open(filepath.Join(s.dir, filepath.FromSlash(name)))
		}
		if links == 0 {
			return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("too many links")}
		}
		return s.open(path.Join(path.Dir(name), s.entries[i].Link), links-1)
	}
	children := s.children(name)
	if len(children) == 0 && name != "." {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	fi, err := os.Stat(filepath.Join(s.dir, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	return &folder{info: fi, entries: children}, nil
}

// ReadLink tells where a selected link leads; with Lstat it makes the selection an fs.ReadLinkFS.
func (s *Selection) ReadLink(name string) (string, error) {
	i, ok := s.find(name)
	switch {
	case !fs.ValidPath(name) || ok && s.entries[i].Link == "":
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	case !ok:
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrNotExist}
	}
	return s.entries[i].Link, nil
}

// Lstat describes a selected file, link or folder.
func (s *Selection) Lstat(name string) (fs.FileInfo, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "lstat", Path: name, Err: fs.ErrInvalid}
	}
	if _, ok := s.find(name); !ok && name != "." && len(s.children(name)) == 0 {
		return nil, &fs.PathError{Op: "lstat", Path: name, Err: fs.ErrNotExist}
	}
	return os.Lstat(filepath.Join(s.dir, filepath.FromSlash(name)))
}

func (s *Selection) find(name string) (int, bool) {
	return slices.BinarySearchFunc(s.entries, name, func(e Entry, name string) int { return strings.Compare(e.Path, name) })
}

// children lists what is right below a folder.
func (s *Selection) children(name string) []fs.DirEntry {
	prefix := name + "/"
	if name == "." {
		prefix = ""
	}
	var out []fs.DirEntry
	last := ""
	start, _ := s.find(prefix)
	for _, e := range s.entries[start:] {
		rest, ok := strings.CutPrefix(e.Path, prefix)
		if !ok {
			break
		}
		child, _, _ := strings.Cut(rest, "/")
		if child == last {
			continue
		}
		last = child
		if fi, err := os.Lstat(filepath.Join(s.dir, filepath.FromSlash(prefix+child))); err == nil {
			out = append(out, fs.FileInfoToDirEntry(fi))
		}
	}
	return slices.CompactFunc(out, func(a, b fs.DirEntry) bool { return a.Name() == b.Name() })
}

// folder is an open folder of a Selection.
type folder struct {
	info    fs.FileInfo
	entries []fs.DirEntry
}

func (f *folder) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *folder) Close() error               { return nil }
func (f *folder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: f.info.Name(), Err: errors.New("is a folder")}
}

func (f *folder) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		out := f.entries
		f.entries = nil
		return out, nil
	}
	if len(f.entries) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(f.entries))
	out := f.entries[:n]
	f.entries = f.entries[n:]
	return out, nil
}

// NARHash is the SHA-256 of the NAR that a copy of the selection has.
func (s *Selection) NARHash(ctx context.Context) (nix.Hash, error) {
	sources := make([]nar.Source, len(s.entries))
	for i, e := range s.entries {
		sources[i] = nar.Source{Path: e.Path, Executable: e.Executable, Target: e.Link, File: filepath.Join(s.dir, filepath.FromSlash(e.Path))}
		if e.Link != "" {
			sources[i].Type, sources[i].File = nar.Link, ""
		}
	}
	h, _, err := nar.HashTree(ctx, sources)
	if err != nil {
		return nix.Hash{}, fmt.Errorf("hash source %s: %w", s.dir, err)
	}
	return h, nil
}

// Copy makes dst, which must not exist, a copy of the selection: files 0644 or 0755, links as they are.
func (s *Selection) Copy(ctx context.Context, dst string) error {
	if err := os.Mkdir(dst, 0o755); err != nil {
		return fmt.Errorf("copy source: %w", err)
	}
	made := map[string]bool{".": true}
	for _, e := range s.entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		to := filepath.Join(dst, filepath.FromSlash(e.Path))
		if dir := path.Dir(e.Path); !made[dir] {
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				return fmt.Errorf("copy source: %w", err)
			}
			made[dir] = true
		}
		if err := s.copyEntry(e, to); err != nil {
			return fmt.Errorf("copy source: %w", err)
		}
	}
	return nil
}

func (s *Selection) copyEntry(e Entry, to string) error {
	if e.Link != "" {
		return os.Symlink(e.Link, to)
	}
	in, err := os.Open(filepath.Join(s.dir, filepath.FromSlash(e.Path)))
	if err != nil {
		return err
	}
	defer in.Close()
	mode := fs.FileMode(0o644)
	if e.Executable {
		mode = 0o755
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// Paths lists every file and link, sorted.
func (t *Tree) Paths() []string {
	paths := make([]string, 0, len(t.listed))
	for _, l := range t.listed {
		if l.err == nil {
			paths = append(paths, l.path)
		}
	}
	return paths
}
