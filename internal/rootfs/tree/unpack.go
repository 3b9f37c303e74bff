// Package tree makes a root's file tree out of Debian packages, without running anything of theirs.
//
// Unpack writes files only, below folders that it made itself, several packages at a time; links are laid when all files are
// there, so no entry of any package can be written through a link. Who owns a path that several packages have is decided
// afterwards, in the order of the packages' names. Every link in the tree is relative and leads to somewhere within it, even
// where the package had an absolute one: reading the tree from outside never leaves it.
//
// What maintainer scripts would have done is then done by this package: alternatives, users, certificates, the loader's
// cache.
package tree

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"

	"headwater/internal/rootfs/control"
	"headwater/internal/rootfs/deb"
)

// sideDir is where, in the tree that is being made, files wait that were not the first at their path.
const sideDir = ".headwater-aside"

// Package is a package to unpack.
type Package struct {
	Name string // for people, and for the order
	File string // where the .deb is
}

// Unpack makes the tree at dst, which does not exist while its parent does. The same packages make the same tree, in
// whatever order they are given. On an error, what is at dst is unfinished.
func Unpack(ctx context.Context, dst string, packages []Package) error {
	return UnpackWithin(ctx, dst, packages, deb.Limits{})
}

// UnpackWithin is Unpack with limits of what each package may contain.
func UnpackWithin(ctx context.Context, dst string, packages []Package, limits deb.Limits) error {
	if err := os.Mkdir(dst, 0o755); err != nil {
		return fmt.Errorf("unpack root: %w", err)
	}
	dst, err := filepath.EvalSymlinks(dst)
	if err != nil {
		return fmt.Errorf("unpack root: %w", err)
	}
	u := &unpacker{dst: dst, limits: limits, claimed: map[string]bool{}, made: map[string]bool{"": true, ".": true}}
	if _, err := u.settled(ctx, packages); err != nil {
		return fmt.Errorf("unpack root: %w", err)
	}
	return nil
}

type unpacker struct {
	dst    string
	limits deb.Limits

	mu      sync.Mutex
	claimed map[string]bool // paths that a file was written to, or is being
	made    map[string]bool // folders that are there
}

// unpacked is a package of which the files are written.
type unpacked struct {
	name    string
	version control.Version
	fields  control.Stanza
	scripts map[string]string // "preinst", "postinst"
	entries []entry
}

func (p *unpacked) String() string { return p.name + " " + p.version.String() }

// entry is a deb.Entry that has its place in a merged /usr.
type entry struct {
	deb.Entry
	at string // where a file is for now
}

// settled makes the whole tree and tells whose its files and links are, by path, but for what finish makes.
func (u *unpacker) settled(ctx context.Context, packages []Package) (map[string]owned, error) {
	if err := os.Mkdir(filepath.Join(u.dst, sideDir), 0o755); err != nil {
		return nil, err
	}
	list, err := u.unpackAll(ctx, packages)
	if err != nil {
		return nil, err
	}
	s := newSettler(u.dst, list)
	if err := s.run(ctx); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(filepath.Join(u.dst, sideDir)); err != nil {
		return nil, err
	}
	return s.owners, finish(ctx, root{u.dst}, list)
}

// unpackAll writes the files of all packages and returns the packages in the order of their names.
func (u *unpacker) unpackAll(ctx context.Context, packages []Package) ([]*unpacked, error) {
	packages = slices.Clone(packages)
	slices.SortFunc(packages, func(a, b Package) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.File, b.File)) })
	sizes := make([]int64, len(packages))
	order := make([]int, len(packages))
	for i, p := range packages {
		if i > 0 && packages[i-1].Name == p.Name {
			return nil, fmt.Errorf("package %s is there twice", p.Name)
		}
		fi, err := os.Stat(p.File)
		if err != nil {
			return nil, fmt.Errorf("package %s: %w", p.Name, err)
		}
		sizes[i], order[i] = fi.Size(), i
	}
	// The largest first, so that no processor waits for one that began late.
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(sizes[b], sizes[a]) })
	list := make([]*unpacked, len(packages))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, i := range order {
		group.Go(func() error {
			p, err := u.unpack(ctx, i, packages[i])
			if err != nil {
				return fmt.Errorf("package %s: %w", packages[i].Name, err)
			}
			list[i] = p
			return nil
		})
	}
	return list, group.Wait()
}

func (u *unpacker) unpack(ctx context.Context, number int, p Package) (*unpacked, error) {
	f, err := os.Open(p.File)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := deb.NewReader(f, u.limits)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out := &unpacked{name: p.Name, scripts: map[string]string{"preinst": string(r.Control["preinst"]), "postinst": string(r.Control["postinst"])}}
	if out.fields, err = control.Parse(string(r.Control["control"])); err != nil {
		return nil, err
	}
	if out.version, err = control.ParseVersion(out.fields["Version"]); err != nil {
		return nil, err
	}
	w := &writer{unpacker: u, number: number, files: map[string]int{}, seen: map[string]deb.Kind{}, buf: make([]byte, 1<<17)}
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			out.entries = w.entries
			return out, nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		name := e.Path
		if err := w.add(e, r); err != nil {
			return nil, fmt.Errorf("entry %q: %w", name, err)
		}
	}
}

// writer writes the files of one package.
type writer struct {
	*unpacker
	number  int // of the package
	aside   int // how many files went to sideDir
	entries []entry
	files   map[string]int // index in entries of a file, by path
	seen    map[string]deb.Kind
	buf     []byte
}

func (w *writer) add(e deb.Entry, content io.Reader) error {
	e.Path = merge(e.Path, e.Kind)
	if top, _, _ := strings.Cut(e.Path, "/"); top == sideDir {
		return errors.New("has a name that is Headwater's own")
	}
	if kind, twice := w.seen[e.Path]; twice && (kind != deb.Folder || e.Kind != deb.Folder) {
		return errors.New("is there twice")
	}
	w.seen[e.Path] = e.Kind
	if e.Kind == deb.Link {
		if _, err := inside(e.Path, e.Target); err != nil {
			return err
		}
	}
	if excluded(e) {
		return nil
	}
	out := entry{Entry: e}
	var err error
	switch e.Kind {
	case deb.File:
		out.at, err = w.file(e, content)
	case deb.HardLink:
		out, err = w.hardLink(e)
	}
	if err != nil {
		return err
	}
	if out.Kind == deb.File {
		w.files[e.Path] = len(w.entries)
	}
	w.entries = append(w.entries, out)
	return nil
}

func (w *writer) file(e deb.Entry, content io.Reader) (at string, err error) {
	mode := os.FileMode(0o444)
	if e.Executable {
		mode = 0o555
	}
	var f *os.File
	at, err = w.place(e.Path, func(at string) (err error) {
		f, err = os.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		return err
	})
	if err != nil {
		return "", err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, struct{ io.Reader }{content}, w.buf)
	return at, errors.Join(err, f.Close())
}

func (w *writer) hardLink(e deb.Entry) (entry, error) {
	to := merge(e.Target, deb.File)
	i, ok := w.files[to]
	if !ok {
		return entry{}, fmt.Errorf("is a hard link to %q, which is no file before it", to)
	}
	old := w.entries[i]
	at, err := w.place(e.Path, func(at string) error { return os.Link(old.at, at) })
	e.Kind, e.Executable, e.Size = deb.File, old.Executable, old.Size
	return entry{e, at}, err
}

// place makes a file where it belongs, or aside where something else is there or in the way: settling finds out which of
// the two is in the right.
func (w *writer) place(name string, make func(at string) error) (at string, err error) {
	if w.claim(name) {
		at = filepath.Join(w.dst, name)
		if err = w.mkdir(path.Dir(name)); err == nil {
			err = make(at)
		}
		if !errors.Is(err, syscall.EEXIST) && !errors.Is(err, syscall.ENOTDIR) && !errors.Is(err, syscall.EISDIR) {
			return at, err
		}
	}
	w.aside++
	at = filepath.Join(w.dst, sideDir, strconv.Itoa(w.number)+"-"+strconv.Itoa(w.aside))
	return at, make(at)
}

func (u *unpacker) claim(name string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.claimed[name] {
		return false
	}
	u.claimed[name] = true
	return true
}

// mkdir makes a folder and those above it.
func (u *unpacker) mkdir(name string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.mkdirLocked(name)
}

func (u *unpacker) mkdirLocked(name string) error {
	if u.made[name] {
		return nil
	}
	if err := u.mkdirLocked(path.Dir(name)); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(u.dst, name), 0o755); err != nil {
		return err
	}
	u.made[name] = true
	return nil
}

// merge moves what is in /bin, /sbin and /lib* to /usr. The folders themselves are moved too, links in their place are not:
// they are what a merged /usr has there.
func merge(name string, kind deb.Kind) string {
	top, _, within := strings.Cut(name, "/")
	if slices.Contains(mergedDirs(), top) && (within || kind == deb.Folder) {
		return "usr/" + name
	}
	return name
}

// mergedDirs are the top folders that a merged /usr has as links. (UsrMerge in Debian's wiki.)
func mergedDirs() []string {
	return []string{"bin", "sbin", "lib", "lib32", "lib64", "libo32", "libx32"}
}

// inside tells where in the tree the link at name leads: the path below the top, "" for the top itself. An absolute target
// begins at the tree's top, above which there is nothing.
func inside(name, target string) (string, error) {
	var to string
	if strings.HasPrefix(target, "/") {
		to = strings.TrimPrefix(path.Clean(target), "/")
	} else if to = path.Join(path.Dir(name), target); to == ".." || strings.HasPrefix(to, "../") {
		return "", fmt.Errorf("links to %q, which leads out of the tree", target)
	}
	if to == "." {
		to = ""
	}
	return merge(to, deb.Folder), nil
}

// excluded tells what a root does without: documentation other than copyright notices, translations of messages (builds run
// in the locale C.UTF-8), and notes to Debian's own tools. Folders that have anything left come with it.
func excluded(e deb.Entry) bool {
	rest, ok := strings.CutPrefix(e.Path, "usr/share/")
	if !ok {
		return false
	}
	first, rest, below := strings.Cut(rest, "/")
	if !below {
		return false
	}
	switch first {
	case "doc":
		// A package's folder may be a link to that of another.
		return e.Kind == deb.Folder || path.Base(rest) != "copyright" && (e.Kind != deb.Link || strings.Contains(rest, "/"))
	case "man", "info", "lintian", "bug", "doc-base":
		return true
	case "locale":
		return e.Kind == deb.Folder || strings.Contains(rest, "/LC_")
	}
	return false
}
