package tree

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// root is a tree all of whose links lead to somewhere within it, so that following them is safe. Paths are below its top.
type root struct{ dir string }

func (r root) at(name string) string { return filepath.Join(r.dir, filepath.FromSlash(name)) }

func (r root) lstat(name string) (fs.FileInfo, error) { return os.Lstat(r.at(name)) }

// stat follows links.
func (r root) stat(name string) (fs.FileInfo, error) { return os.Stat(r.at(name)) }

func (r root) exists(name string) bool {
	_, err := r.stat(name)
	return err == nil
}

// taken tells whether there is anything at name, a link that leads nowhere included.
func (r root) taken(name string) bool {
	_, err := r.lstat(name)
	return err == nil
}

// real replaces links among the folders of name.
func (r root) real(name string) (string, error) {
	dir, err := filepath.EvalSymlinks(r.at(path.Dir(name)))
	if err != nil {
		return "", err
	}
	dir, err = filepath.Rel(r.dir, dir)
	return path.Join(filepath.ToSlash(dir), path.Base(name)), err
}

// link makes a relative link at name to the path to, both below the top.
func (r root) link(name, to string) error {
	if err := os.MkdirAll(r.at(path.Dir(name)), 0o755); err != nil {
		return err
	}
	name, err := r.real(name)
	if err != nil {
		return err
	}
	up := strings.Repeat("../", strings.Count(name, "/"))
	// What both have in common is not gone up and down again: it keeps links short, and as packages write them.
	rest := to
	for dir := name; up != ""; up = up[len("../"):] {
		first, below, ok := strings.Cut(dir, "/")
		next, within := strings.CutPrefix(rest, first+"/")
		if !ok || !within {
			break
		}
		dir, rest = below, next
	}
	target := strings.TrimSuffix(up+rest, "/")
	if target == "" || to == path.Dir(name) {
		target = "."
	}
	return os.Symlink(target, r.at(name))
}

// write makes a file, in place of what is there.
func (r root) write(name string, content []byte) error {
	if err := os.MkdirAll(r.at(path.Dir(name)), 0o755); err != nil {
		return err
	}
	if r.taken(name) {
		if err := os.Remove(r.at(name)); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(r.at(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// read reads a file, following links.
func (r root) read(name string) ([]byte, error) { return os.ReadFile(r.at(name)) }
