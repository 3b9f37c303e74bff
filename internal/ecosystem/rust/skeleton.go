package rust

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// noVersion stands for the versions of the workspace's own packages, which do not change what its dependencies compile to.
const noVersion = "0.0.0"

// The sources of the skeleton.
const (
	emptyProgram = "fn main() {}\n"
	emptyLibrary = ""
)

// skeleton is the workspace without its code, by path in the source: manifests with what decides how dependencies compile, the lock,
// and empty files in place of the libraries, programs and build scripts.
func (w *workspace) skeleton(fsys fs.FS) (map[string]string, error) {
	files := map[string]string{}
	for name, data := range w.Config {
		files[name] = string(data)
	}
	for _, dir := range slices.Sorted(maps.Keys(w.Members)) {
		data, err := encode(w.Members[dir].bare())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path.Join(dir, "Cargo.toml"), err)
		}
		files[path.Join(dir, "Cargo.toml")] = data
		if table(w.Members[dir], "package") == nil {
			continue
		}
		if err := w.Members[dir].sources(fsys, dir, files); err != nil {
			return nil, err
		}
	}
	lock, err := w.bareLock()
	if err != nil {
		return nil, err
	}
	files[path.Join(w.Top, "Cargo.lock")] = lock
	return files, nil
}

func encode(v any) (string, error) {
	var b bytes.Buffer
	err := toml.NewEncoder(&b).Encode(v)
	return b.String(), err
}

// bare is the manifest without what does not decide how dependencies compile.
func (m manifest) bare() map[string]any {
	out := map[string]any{}
	for _, k := range []string{
		"cargo-features", "features", "profile", "patch", "replace", "lib", "bin", "target",
		"dependencies", "dev-dependencies", "dev_dependencies", "build-dependencies", "build_dependencies",
	} {
		if v, ok := m[k]; ok {
			out[k] = v
		}
	}
	if p := table(m, "package"); p != nil {
		out["package"] = barePackage(p)
	}
	if ws := table(m, "workspace"); ws != nil {
		bare := map[string]any{}
		for _, k := range []string{"members", "default-members", "exclude", "resolver", "dependencies"} {
			if v, ok := ws[k]; ok {
				bare[k] = v
			}
		}
		if p := table(ws, "package"); p != nil {
			bare["package"] = barePackage(p)
		}
		out["workspace"] = bare
	}
	return unversioned(out, 0).(map[string]any)
}

func barePackage(p map[string]any) map[string]any {
	out := map[string]any{}
	for _, k := range []string{"name", "edition", "build", "links", "workspace", "resolver", "autolib", "autobins", "default-run"} {
		if v, ok := p[k]; ok {
			out[k] = v
		}
	}
	if _, ok := p["version"]; ok {
		out["version"] = noVersion
	}
	return out
}

// unversioned is a copy of v in which what is named by its path has no version, which would not be that of the skeleton.
func unversioned(v any, depth int) any {
	t, ok := v.(map[string]any)
	if !ok || depth > 8 {
		return v
	}
	out := make(map[string]any, len(t))
	_, local := t["path"].(string)
	for k, sub := range t {
		if _, is := sub.(string); is && local && k == "version" && depth > 0 {
			continue
		}
		out[k] = unversioned(sub, depth+1)
	}
	return out
}

// sources adds the empty sources of a package's targets (The Cargo Book, "Package Layout") to files.
func (m manifest) sources(fsys fs.FS, dir string, files map[string]string) error {
	add := func(p, content string) {
		if at := path.Join(dir, p); fs.ValidPath(at) {
			files[at] = content
		}
	}
	there := func(p string) bool {
		info, err := fs.Stat(fsys, path.Join(dir, p))
		return err == nil && info.Mode().IsRegular()
	}
	if p := text(table(m, "lib"), "path"); p != "" {
		add(p, emptyLibrary)
	} else if there("src/lib.rs") || table(m, "lib") != nil {
		add("src/lib.rs", emptyLibrary)
	}
	for _, pattern := range []string{"src/main.rs", "src/bin/*.rs", "src/bin/*/main.rs"} {
		found, err := fs.Glob(fsys, path.Join(globLiteral(dir), pattern))
		if err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		for _, f := range found {
			files[f] = emptyProgram
		}
	}
	bins, _ := m["bin"].([]map[string]any)
	for _, b := range bins {
		if p := text(b, "path"); p != "" {
			add(p, emptyProgram)
		}
	}
	if p := text(table(m, "package"), "build"); p != "" {
		add(p, emptyProgram)
	} else if _, said := table(m, "package")["build"]; !said && there("build.rs") {
		add("build.rs", emptyProgram)
	}
	return nil
}

// globLiteral makes a folder's name a pattern of path.Match that names it alone.
func globLiteral(dir string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(dir)
}

// bareLock is Cargo.lock with the workspace's own packages in noVersion.
func (w *workspace) bareLock() (string, error) {
	f, err := decodeLock(w.Lock)
	if err != nil {
		return "", err
	}
	own := map[string]string{} // of the packages that have one version: what others call them by
	for _, p := range f.Packages {
		if p.Source == "" {
			own[p.Name+" "+p.Version] = p.Name + " " + noVersion
		}
	}
	for i, p := range f.Packages {
		if p.Source == "" {
			f.Packages[i].Version = noVersion
		}
		for j, d := range p.Dependencies {
			if now, ok := own[d]; ok {
				f.Packages[i].Dependencies[j] = now
			}
		}
	}
	lock := map[string]any{"version": f.Version, "package": f.Packages}
	if len(f.Patch.Unused) > 0 {
		lock["patch"] = map[string]any{"unused": f.Patch.Unused}
	}
	return encode(lock)
}
