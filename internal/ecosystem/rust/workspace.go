package rust

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"headwater/internal/recipe"
	"headwater/internal/toml"
)

// maxMembers is how many manifests a workspace may have.
const maxMembers = 10000

// workspace is what cargo reads of the source before it compiles anything.
type workspace struct {
	Top      string              // its folder in the source
	Members  map[string]manifest // by folder in the source; Top is one of them, with or without a package
	Lock     []byte              // Cargo.lock
	Packages []Package           // what is in it
	Config   map[string][]byte   // cargo's own settings, by path in the source
}

// manifest is a Cargo.toml.
type manifest map[string]any

// table is a table in t, nil if there is none of that name.
func table(t map[string]any, name string) map[string]any {
	sub, _ := t[name].(map[string]any)
	return sub
}

func text(t map[string]any, name string) string {
	s, _ := t[name].(string)
	return s
}

// texts is a list of texts in t; what else is in it is left out, cargo tells better.
func texts(t map[string]any, name string) []string {
	list, _ := t[name].([]any)
	var out []string
	for _, v := range list {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// readWorkspace reads the workspace that the component's folder is in.
func readWorkspace(fsys fs.FS, c recipe.Component) (*workspace, error) {
	dir := path.Join(".", c.Dir)
	top, err := findTop(fsys, dir)
	if err != nil {
		return nil, err
	}
	w := &workspace{Top: top, Members: map[string]manifest{}, Config: map[string][]byte{}}
	if w.Lock, err = readSmall(fsys, path.Join(top, "Cargo.lock")); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s is missing: nothing pins the crates, let the upstream's cargo write it", path.Join(top, "Cargo.lock"))
		}
		return nil, err
	}
	if w.Packages, err = ParseLock(w.Lock); err != nil {
		return nil, err
	}
	if err := w.readMembers(fsys); err != nil {
		return nil, err
	}
	for d := dir; ; d = path.Dir(d) {
		for _, name := range []string{".cargo/config.toml", ".cargo/config"} {
			data, err := readSmall(fsys, path.Join(d, name))
			if err == nil {
				w.Config[path.Join(d, name)] = data
			} else if !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		}
		if d == "." {
			return w, nil
		}
	}
}

// findTop is the folder of the manifest that is dir's or around it and is a workspace (The Cargo Book, "Workspaces"), else dir itself.
func findTop(fsys fs.FS, dir string) (string, error) {
	m, err := readManifest(fsys, dir)
	if err != nil {
		return "", err
	}
	if at := text(table(m, "package"), "workspace"); at != "" {
		top := path.Join(dir, at)
		if strings.HasPrefix(top, "..") {
			return "", fmt.Errorf("%s: its workspace is outside the source", path.Join(dir, "Cargo.toml"))
		}
		return top, nil
	}
	for d := dir; ; d = path.Dir(d) {
		m, err := readManifest(fsys, d)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if ws := table(m, "workspace"); ws != nil && !excluded(d, dir, texts(ws, "exclude")) {
			return d, nil
		}
		if d == "." {
			return dir, nil
		}
	}
}

func excluded(top, dir string, list []string) bool {
	return slices.ContainsFunc(list, func(x string) bool {
		x = path.Join(top, x)
		return dir == x || strings.HasPrefix(dir, x+"/")
	})
}

func readSmall(fsys fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxLock {
		return nil, fmt.Errorf("read %s: has more than %d bytes", name, maxLock)
	}
	return fs.ReadFile(fsys, name)
}

func readManifest(fsys fs.FS, dir string) (manifest, error) {
	name := path.Join(dir, "Cargo.toml")
	data, err := readSmall(fsys, name)
	if err != nil {
		return nil, err
	}
	m := manifest{}
	if _, err := toml.Decode(string(data), &m); err != nil {
		return nil, fmt.Errorf("parse %s: %w", name, err)
	}
	return m, nil
}

// readMembers reads the manifests of the workspace: those that it names, and all that they name by their paths.
func (w *workspace) readMembers(fsys fs.FS) error {
	top, err := readManifest(fsys, w.Top)
	if err != nil {
		return err
	}
	queue := []string{w.Top}
	for _, pattern := range texts(table(top, "workspace"), "members") {
		found, err := fs.Glob(fsys, path.Join(w.Top, pattern, "Cargo.toml"))
		if err != nil {
			return fmt.Errorf("%s: members: %q: %w", path.Join(w.Top, "Cargo.toml"), pattern, err)
		}
		for _, f := range found {
			if !excluded(w.Top, path.Dir(f), texts(table(top, "workspace"), "exclude")) {
				queue = append(queue, path.Dir(f))
			}
		}
	}
	for len(queue) > 0 {
		dir := queue[0]
		queue = queue[1:]
		if _, known := w.Members[dir]; known {
			continue
		}
		m, err := readManifest(fsys, dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue // for another target or of another component; where it is needed, cargo says so
		}
		if err != nil {
			return err
		}
		if w.Members[dir] = m; len(w.Members) > maxMembers {
			return fmt.Errorf("%s: has more than %d members", path.Join(w.Top, "Cargo.toml"), maxMembers)
		}
		for _, d := range m.dependencies() {
			for _, spec := range d {
				t, _ := spec.(map[string]any)
				if p := text(t, "path"); p != "" && !path.IsAbs(p) {
					if at := path.Join(dir, p); at != ".." && !strings.HasPrefix(at, "../") {
						queue = append(queue, at)
					}
				}
			}
		}
	}
	return nil
}

// dependencies are all tables of the manifest that name dependencies.
func (m manifest) dependencies() []map[string]any {
	var out []map[string]any
	in := func(t map[string]any) {
		for _, name := range []string{"dependencies", "dev-dependencies", "dev_dependencies", "build-dependencies", "build_dependencies"} {
			if d := table(t, name); d != nil {
				out = append(out, d)
			}
		}
	}
	in(m)
	in(table(m, "workspace"))
	targets := table(m, "target")
	for _, name := range slices.Sorted(maps.Keys(targets)) {
		in(table(targets, name))
	}
	patches := table(m, "patch")
	for _, name := range slices.Sorted(maps.Keys(patches)) {
		out = append(out, table(patches, name))
	}
	if r := table(m, "replace"); r != nil {
		out = append(out, r)
	}
	return out
}

// names are the packages of the workspace, sorted.
func (w *workspace) names() []string {
	var out []string
	for _, m := range w.Members {
		if name := text(table(m, "package"), "name"); name != "" {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// wanted is the oldest Rust that the manifests and rust-toolchain.toml ask for, and the file that does; "" if none does.
func (w *workspace) wanted(fsys fs.FS) (version, file string, err error) {
	for _, dir := range slices.Sorted(maps.Keys(w.Members)) {
		for _, t := range []map[string]any{table(w.Members[dir], "package"), table(table(w.Members[dir], "workspace"), "package")} {
			if v := text(t, "rust-version"); v != "" && compareRust(v, version) > 0 {
				version, file = v, path.Join(dir, "Cargo.toml")
			}
		}
	}
	channel, name, err := toolchainFile(fsys, w.Top)
	if err == nil && compareRust(channel, version) > 0 {
		version, file = channel, name
	}
	return version, file, err
}

// toolchainFile is the version that rust-toolchain.toml in a folder names, "" if none or a channel such as "stable".
func toolchainFile(fsys fs.FS, dir string) (channel, name string, err error) {
	for _, base := range []string{"rust-toolchain.toml", "rust-toolchain"} {
		name := path.Join(dir, base)
		data, err := readSmall(fsys, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", name, err
		}
		t := map[string]any{}
		if _, err := toml.Decode(string(data), &t); err != nil {
			if base == "rust-toolchain.toml" {
				return "", name, fmt.Errorf("parse %s: %w", name, err)
			}
			return numbered(strings.TrimSpace(string(data))), name, nil // the old form: the channel alone
		}
		return numbered(text(table(t, "toolchain"), "channel")), name, nil
	}
	return "", "", nil
}
