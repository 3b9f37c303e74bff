package plan

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"sort"
	"strings"
	"sync"
)

// maxFile is the largest manifest, lock or script that is read, in bytes.
const maxFile = 64 << 20

// Tree is an upstream's files, listed once.
type Tree struct {
	fs    fs.FS
	files []string            // every file and link, sorted
	named map[string][]string // files by their base name
	dirs  map[string]bool     // every folder that has files, "." too
	mutex sync.Mutex
	once  map[string]func() (any, error)
}

// Once is what f gives, which is asked only the first time that it is called with a key: for what is read of large files, which
// several commands of a plan need. Nobody may change it.
func (t *Tree) Once(key string, f func() (any, error)) (any, error) {
	t.mutex.Lock()
	if t.once == nil {
		t.once = map[string]func() (any, error){}
	}
	known, ok := t.once[key]
	if !ok {
		known = sync.OnceValues(f)
		t.once[key] = known
	}
	t.mutex.Unlock()
	return known()
}

// NewTree makes a tree of files that are listed, sorted by path.
func NewTree(fsys fs.FS, files []string) *Tree {
	t := &Tree{fs: fsys, files: slices.Sorted(slices.Values(files)), named: map[string][]string{}, dirs: map[string]bool{".": true}}
	for _, f := range t.files {
		t.named[path.Base(f)] = append(t.named[path.Base(f)], f)
		for dir := path.Dir(f); !t.dirs[dir]; dir = path.Dir(dir) {
			t.dirs[dir] = true
		}
	}
	return t
}

// Files lists every file, sorted by path.
func (t *Tree) Files() []string { return t.files }

// Has tells whether name is a file.
func (t *Tree) Has(name string) bool {
	_, ok := slices.BinarySearch(t.files, path.Clean(name))
	return ok
}

// HasDir tells whether name is a folder with files; "." is.
func (t *Tree) HasDir(name string) bool { return t.dirs[path.Clean(name)] }

// Exists tells whether name is a file or a folder.
func (t *Tree) Exists(name string) bool { return t.Has(name) || t.HasDir(name) }

// Below lists the files in a folder and its folders, sorted.
func (t *Tree) Below(dir string) []string {
	if dir = path.Clean(dir); dir == "." {
		return t.files
	}
	from := sort.SearchStrings(t.files, dir+"/")
	to := sort.SearchStrings(t.files, dir+"0") // '0' follows '/'
	return t.files[from:to]
}

// Named lists the files whose base name is one of names, in any folder, shallow ones first.
func (t *Tree) Named(names ...string) []string {
	var out []string
	for i, name := range names {
		if !slices.Contains(names[:i], name) {
			out = append(out, t.named[name]...)
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		return cmp.Or(strings.Count(a, "/")-strings.Count(b, "/"), strings.Compare(a, b))
	})
	return out
}

// match lists the files and folders that a pattern of a Dockerfile selects, sorted. The pattern is one of path.Match.
func (t *Tree) match(pattern string) []string {
	depth := strings.Count(pattern, "/")
	found := map[string]bool{}
	for _, f := range t.files {
		parts := strings.Split(f, "/")
		if len(parts) <= depth {
			continue
		}
		name := strings.Join(parts[:depth+1], "/")
		if ok, err := path.Match(pattern, name); ok && err == nil {
			found[name] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// Read reads a file of at most 64 MiB. The error is fs.ErrNotExist if there is none.
func (t *Tree) Read(name string) (data []byte, err error) {
	name = path.Clean(name)
	if !t.Has(name) {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
	}
	f, err := t.fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var b bytes.Buffer
	if fi, err := f.Stat(); err == nil {
		b.Grow(int(min(fi.Size(), maxFile)) + bytes.MinRead)
	}
	_, err = b.ReadFrom(io.LimitReader(f, maxFile+1))
	if data = b.Bytes(); err == nil && len(data) > maxFile {
		err = fmt.Errorf("read %s: has more than %d bytes", name, maxFile)
	}
	return data, err
}

// FS reads the tree.
func (t *Tree) FS() fs.FS { return t.fs }

// executable tells whether a file can be started as it is.
func (t *Tree) executable(name string) bool {
	info, err := fs.Stat(t.fs, name)
	return err == nil && info.Mode()&0o111 != 0
}
