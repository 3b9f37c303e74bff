package tree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"

	"headwater/internal/rootfs/control"
	"headwater/internal/rootfs/deb"
)

// maxLinks is how many links a path may go through, as Linux has it.
const maxLinks = 40

// settler decides who owns what, and moves things to where they belong.
type settler struct {
	dst      string
	packages []*unpacked

	owners  map[string]owned     // of files and links, by path
	folders map[string]*unpacked // the first package that has a folder, by path
	losers  []string             // files that are not part of the tree
	divert  map[string]diversion // by path
}

// owned is a file or link and whose it is.
type owned struct {
	entry
	pkg *unpacked
}

func newSettler(dst string, packages []*unpacked) *settler {
	return &settler{dst: dst, packages: packages, owners: map[string]owned{}, folders: map[string]*unpacked{}}
}

func (s *settler) run(ctx context.Context) error {
	var err error
	if s.divert, err = diversions(ctx, s.packages); err != nil {
		return err
	}
	for _, p := range s.packages {
		for _, e := range p.entries {
			switch {
			case e.Kind == deb.Folder && e.Path == "": // the top itself
			case e.Kind == deb.Folder:
				if s.folders[e.Path] == nil {
					s.folders[e.Path] = p
				}
			default:
				if err := s.own(owned{e, p}); err != nil {
					return err
				}
			}
		}
	}
	if err := s.followLinks(); err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return err
	}
	if err := s.moveFiles(); err != nil {
		return err
	}
	if err := s.makeFolders(); err != nil {
		return err
	}
	return s.makeLinks()
}

// own gives o its path, unless another has a better right to it: a package may replace files of those that it says it
// replaces. (Policy 7.6.1.)
func (s *settler) own(o owned) error {
	if d, ok := s.divert[o.Path]; ok && d.by != o.pkg {
		o.Path = d.to
	}
	old, taken := s.owners[o.Path]
	if !taken {
		s.owners[o.Path] = o
		return nil
	}
	switch {
	case o.pkg.replaces(old.pkg):
		s.lose(old)
		s.owners[o.Path] = o
		return nil
	case old.pkg.replaces(o.pkg):
		s.lose(o)
		return nil
	}
	same, err := identical(old, o)
	if err != nil {
		return err
	}
	if !same {
		return fmt.Errorf("packages %s and %s both have %q, and neither says that it replaces the other", old.pkg, o.pkg, o.Path)
	}
	s.lose(o)
	return nil
}

func (s *settler) lose(o owned) {
	if o.Kind == deb.File {
		s.losers = append(s.losers, o.at)
	}
}

func (p *unpacked) replaces(q *unpacked) bool {
	list, err := control.ParseRelations(p.fields["Replaces"])
	if err != nil {
		return false // what cannot be read gives no right
	}
	return slices.ContainsFunc(list, func(c control.Clause) bool {
		return slices.ContainsFunc(c, func(r control.Relation) bool { return r.Name == q.name && r.Admits(q.version) })
	})
}

func identical(a, b owned) (bool, error) {
	if a.Kind != b.Kind || a.Executable != b.Executable || a.Size != b.Size || a.Target != b.Target {
		return false, nil
	}
	if a.Kind == deb.Link {
		return true, nil
	}
	f, err := os.Open(a.at)
	if err != nil {
		return false, err
	}
	defer f.Close()
	g, err := os.Open(b.at)
	if err != nil {
		return false, err
	}
	defer g.Close()
	return sameBytes(f, g)
}

func sameBytes(f, g io.Reader) (bool, error) {
	x, y := make([]byte, 1<<16), make([]byte, 1<<16)
	for {
		n, err := io.ReadFull(f, x)
		m, err2 := io.ReadFull(g, y)
		if !bytes.Equal(x[:n], y[:m]) {
			return false, nil
		}
		switch {
		case err == nil && err2 == nil:
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return true, nil
		default:
			return false, errors.Join(err, err2)
		}
	}
}

// followLinks gives what a package has below a folder that is another package's link its place where that link leads, as
// if it had been unpacked after it.
func (s *settler) followLinks() error {
	var last string
	for range maxLinks {
		moved := 0
		for _, name := range slices.Sorted(maps.Keys(s.owners)) {
			o, there := s.owners[name]
			if !there {
				continue
			}
			to, err := s.through(name, o.pkg)
			if err != nil {
				return err
			}
			if to == name {
				continue
			}
			moved++
			last = name
			delete(s.owners, name)
			o.Path = to
			if err := s.own(o); err != nil {
				return err
			}
		}
		for _, name := range slices.Sorted(maps.Keys(s.folders)) {
			p := s.folders[name]
			to, err := s.through(name+"/.", p)
			if err != nil {
				return err
			}
			if to = path.Clean(to); to == name {
				continue
			}
			moved++
			last = name
			delete(s.folders, name)
			if s.folders[to] == nil && to != "." {
				s.folders[to] = p
			}
		}
		if moved == 0 {
			return nil
		}
	}
	return fmt.Errorf("entry %q: is below links that lead in a circle", last)
}

// through replaces the first folder of name that is a link by where it leads.
func (s *settler) through(name string, p *unpacked) (string, error) {
	for i := range len(name) {
		if name[i] != '/' {
			continue
		}
		link, ok := s.owners[name[:i]]
		if !ok || link.Kind != deb.Link {
			continue
		}
		if link.pkg == p {
			return "", fmt.Errorf("package %s: entry %q: is below %q, which is a link", p, name, name[:i])
		}
		to, err := inside(link.Path, link.Target)
		if err != nil {
			return "", fmt.Errorf("package %s: entry %q: %w", link.pkg, link.Path, err)
		}
		return path.Join(to, name[i+1:]), nil
	}
	return name, nil
}

// check finds files that stand in another's way.
func (s *settler) check() error {
	for _, name := range slices.Sorted(maps.Keys(s.owners)) {
		o := s.owners[name]
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if other, ok := s.owners[dir]; ok {
				return fmt.Errorf("package %s: entry %q: %q is no folder but a file of package %s", o.pkg, name, dir, other.pkg)
			}
		}
		if p, ok := s.folders[name]; ok {
			return fmt.Errorf("package %s: entry %q: is a folder of package %s", o.pkg, name, p)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.folders)) {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if other, ok := s.owners[dir]; ok {
				return fmt.Errorf("package %s: entry %q: %q is no folder but a file of package %s", s.folders[name], name, dir, other.pkg)
			}
		}
	}
	return nil
}

// moveFiles removes what is not part of the tree and moves what was written elsewhere.
func (s *settler) moveFiles() error {
	for _, at := range s.losers {
		if err := os.Remove(at); err != nil {
			return err
		}
	}
	// All of them aside first: one may be where another belongs.
	type move struct{ from, to string }
	var moves []move
	for _, name := range slices.Sorted(maps.Keys(s.owners)) {
		o := s.owners[name]
		m := move{o.at, filepath.Join(s.dst, name)}
		if o.Kind != deb.File || m.from == m.to {
			continue
		}
		m.from = filepath.Join(s.dst, sideDir, "moved-"+strconv.Itoa(len(moves)))
		if err := os.Rename(o.at, m.from); err != nil {
			return err
		}
		moves = append(moves, m)
	}
	for _, m := range moves {
		if err := os.MkdirAll(filepath.Dir(m.to), 0o755); err != nil {
			return err
		}
		if err := removeEmpty(m.to); err != nil {
			return err
		}
		if err := os.Rename(m.from, m.to); err != nil {
			return err
		}
	}
	return nil
}

func (s *settler) makeFolders() error {
	for _, name := range slices.Sorted(maps.Keys(s.folders)) {
		if err := os.MkdirAll(filepath.Join(s.dst, name), 0o755); err != nil {
			return err
		}
	}
	return nil
}

func (s *settler) makeLinks() error {
	for _, name := range slices.Sorted(maps.Keys(s.owners)) {
		o := s.owners[name]
		if o.Kind != deb.Link {
			continue
		}
		to, err := inside(name, o.Target)
		if err != nil {
			return fmt.Errorf("package %s: entry %q: %w", o.pkg, name, err)
		}
		if err := removeEmpty(filepath.Join(s.dst, name)); err != nil {
			return fmt.Errorf("package %s: entry %q: %w", o.pkg, name, err)
		}
		if err := (root{s.dst}).link(name, to); err != nil {
			return fmt.Errorf("package %s: entry %q: %w", o.pkg, name, err)
		}
	}
	return nil
}

// removeEmpty removes a folder in which there is no file, if there is one.
func removeEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeEmpty(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return os.Remove(dir)
}
