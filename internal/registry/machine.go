package registry

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// maxSettings bounds the files that are read whole, in bytes. The largest is a wheel of pip, about 2 MB.
const maxSettings = 16 << 20

// Machine is what may be seen of the machine: its environment and its files.
type Machine struct {
	Env  func(string) string // nil: every variable is empty
	Home string              // the user's home folder, "" if there is none
	Root fs.FS               // the machine's files; paths are relative to "/". nil: there are none
}

func (m Machine) env(name string) string {
	if m.Env == nil {
		return ""
	}
	return m.Env(name)
}

// firstEnv is the first of these variables that is not empty, with its name.
func (m Machine) firstEnv(names ...string) (name, value string) {
	for _, n := range names {
		if v := m.env(n); v != "" {
			return n, v
		}
	}
	return "", ""
}

// home makes a path below the home folder; "" if there is no home.
func (m Machine) home(elem ...string) string {
	if m.Home == "" {
		return ""
	}
	return path.Join(slices.Insert(elem, 0, m.Home)...)
}

// config makes a path below the user's configuration folder (XDG Base Directory Specification); "" if there is none.
func (m Machine) config(elem ...string) string {
	if dir := m.env("XDG_CONFIG_HOME"); path.IsAbs(dir) {
		return path.Join(slices.Insert(elem, 0, dir)...)
	}
	return m.home(slices.Insert(elem, 0, ".config")...)
}

// tilde shortens paths below the home folder, for people.
func (m Machine) tilde(name string) string {
	if rest, ok := strings.CutPrefix(name, m.Home+"/"); ok && m.Home != "" {
		return "~/" + rest
	}
	return name
}

// read reads a file by its absolute path. A file that does not exist, and the path "", give nil.
func (m Machine) read(name string) ([]byte, error) {
	rel := strings.TrimPrefix(path.Clean(name), "/")
	if name == "" || m.Root == nil || !fs.ValidPath(rel) {
		return nil, nil
	}
	f, err := m.Root.Open(rel)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, cause(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, cause(err))
	}
	if !info.Mode().IsRegular() {
		return nil, nil // "/dev/null" is how people say "no such file"
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSettings+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, cause(err))
	}
	if len(data) > maxSettings {
		return nil, fmt.Errorf("read %s: larger than %d bytes", name, maxSettings)
	}
	return data, nil
}

// glob lists files by an absolute pattern; what cannot be listed is not there.
func (m Machine) glob(pattern string) []string {
	if m.Root == nil {
		return nil
	}
	names, err := fs.Glob(m.Root, strings.TrimPrefix(path.Clean(pattern), "/"))
	if err != nil {
		return nil
	}
	for i, n := range names {
		names[i] = "/" + n
	}
	return names
}

// path lists the folders of PATH.
func (m Machine) path() []string {
	return slices.DeleteFunc(strings.Split(m.env("PATH"), ":"), func(dir string) bool { return !path.IsAbs(dir) })
}

// cause drops the operation and path that a PathError repeats.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
