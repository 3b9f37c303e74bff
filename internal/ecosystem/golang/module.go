package golang

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"headwater/internal/nix"
	"headwater/internal/recipe"
)

// MaxFile is the largest go.mod, go.sum, go.work or vendor/modules.txt that is read, in bytes.
const MaxFile = 16 << 20

// ownModule is a module that is in the source: a main module or one that a "replace" with a folder names.
type ownModule struct {
	Path    string // "" where the folder does not exist before the build, and no replace tells
	Dir     string // in the source, "." for its top
	Missing bool   // the folder has no go.mod before the build
}

// governing is what a main module's go.mod, or the go.work, says of other modules' versions.
type governing struct {
	Name     string            // in the source
	Work     bool              // a go.work, which requires nothing
	Requires map[string]string // versions, by module path
	Replaces []*modfile.Replace
}

// modules is what the go command would read before it builds a component.
type modules struct {
	Top      string                  // folder of the go.work, or of the main module's go.mod where there is none
	Work     bool                    // a go.work governs
	Own      []ownModule             // sorted by folder
	Files    []governing             // the go.work first, then the main modules' go.mod
	Required []string                // module paths that the main modules require, sorted
	Sums     []Sum                   // of go.work.sum and all main modules' go.sum, sorted, each once, without zips that no build takes
	Left     map[module.Version]bool // what no build takes: go.sum still has the sums of another version than the one in go.mod
	SumFiles map[string]nix.Hash     // these files' hashes, zero where there is no such file
	Vendored bool                    // a vendor folder takes the place of Sums
	Go       string                  // the highest version of Go that a main module or the go.work asks for, "" if none does
}

// readModules reads what governs the component's folder, as the go command finds it (Go Modules Reference, "Main module" and
// "Workspaces").
func readModules(fsys fs.FS, c recipe.Component, o options) (*modules, error) {
	r := reader{fsys: fsys, m: &modules{SumFiles: map[string]nix.Hash{}}, requires: map[module.Version]bool{}, versions: map[string][]string{}}
	dir := path.Join(".", c.Dir)
	root, err := r.above(dir, "go.mod")
	if err != nil {
		return nil, err
	}
	work, err := r.work(dir, c.Env["GOWORK"])
	switch {
	case err != nil:
		return nil, err
	case work != "":
		err = r.workspace(work)
	case root == "":
		return nil, fmt.Errorf("no go.mod is in %s or above it", dir)
	default:
		r.m.Top = path.Dir(root)
		err = errors.Join(r.main(path.Dir(root)), r.sums(path.Join(path.Dir(root), "go.sum")))
	}
	if err != nil {
		return nil, err
	}
	if err := r.vendor(o.Vendor); err != nil {
		return nil, err
	}
	return r.m, r.finish()
}

type reader struct {
	fsys     fs.FS
	m        *modules
	requires map[module.Version]bool // what is not replaced by a folder
	versions map[string][]string     // by path, the versions that go.mod files require or replace by
	partial  bool                    // a go.mod does not list all modules that packages come from
}

// above finds the nearest file of that name in dir or above it, "" if there is none.
func (r *reader) above(dir, name string) (string, error) {
	for {
		p := path.Join(dir, name)
		fi, err := fs.Stat(r.fsys, p)
		switch {
		case err == nil && fi.Mode().IsRegular():
			return p, nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return "", err
		case dir == ".":
			return "", nil
		}
		dir = path.Dir(dir)
	}
}

// work finds the go.work that governs dir. setting is GOWORK: "off" or "" (a path in it would be one of the build machine).
func (r *reader) work(dir, setting string) (string, error) {
	switch setting {
	case "off":
		return "", nil
	case "", "auto":
		return r.above(dir, "go.work")
	}
	return "", fmt.Errorf("read env: GOWORK is %q: only \"off\" is understood", setting)
}

// read reads a file of the source, nil where there is none.
func (r *reader) read(name string) ([]byte, error) {
	data, err := fs.ReadFile(r.fsys, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case len(data) > MaxFile:
		return nil, fmt.Errorf("read %s: %d bytes, more than %d", name, len(data), MaxFile)
	}
	return data, nil
}

func (r *reader) workspace(file string) error {
	data, err := r.read(file)
	if err != nil {
		return err
	}
	w, err := modfile.ParseWork(file, data, nil)
	if err != nil {
		return fmt.Errorf("read %w", err)
	}
	r.m.Top, r.m.Work = path.Dir(file), true
	if w.Go != nil {
		r.wantGo(w.Go.Version)
	}
	r.m.Files = append(r.m.Files, governing{Name: file, Work: true, Replaces: w.Replace})
	errs := []error{r.sums(file + ".sum")}
	for _, u := range w.Use {
		dir, ok := inside(r.m.Top, u.Path)
		if !ok {
			errs = append(errs, fmt.Errorf("read %s: uses %s, which is out of the source", file, u.Path))
			continue
		}
		errs = append(errs, r.main(dir), r.sums(path.Join(dir, "go.sum")))
	}
	errs = append(errs, r.replaced(file, r.m.Top, w.Replace))
	return errors.Join(errs...)
}

// main reads a main module's go.mod.
func (r *reader) main(dir string) error {
	file := path.Join(dir, "go.mod")
	data, err := r.read(file)
	if err != nil {
		return err
	}
	if data == nil {
		r.m.Own = append(r.m.Own, ownModule{Dir: dir, Missing: true})
		return nil
	}
	f, err := modfile.Parse(file, data, nil)
	if err != nil {
		return fmt.Errorf("read %w", err)
	}
	if f.Module == nil {
		return fmt.Errorf("read %s: names no module", file)
	}
	r.m.Own = append(r.m.Own, ownModule{Path: f.Module.Mod.Path, Dir: dir})
	if f.Go != nil {
		r.wantGo(f.Go.Version)
	}
	// From Go 1.17 on, go.mod lists all modules that packages come from (Go Modules Reference, "Graph pruning").
	r.partial = r.partial || f.Go == nil || compareGo(f.Go.Version, "1.17") < 0
	own := governing{Name: file, Requires: map[string]string{}, Replaces: f.Replace}
	for _, req := range f.Require {
		own.Requires[req.Mod.Path] = req.Mod.Version
		r.versions[req.Mod.Path] = append(r.versions[req.Mod.Path], req.Mod.Version)
		r.m.Required = append(r.m.Required, req.Mod.Path)
		r.requires[req.Mod] = true
	}
	r.m.Files = append(r.m.Files, own)
	return r.replaced(file, dir, f.Replace)
}

// replaced notes the folders that take modules' places.
func (r *reader) replaced(file, dir string, list []*modfile.Replace) error {
	for _, rep := range list {
		if rep.New.Version != "" {
			r.versions[rep.New.Path] = append(r.versions[rep.New.Path], rep.New.Version)
			continue
		}
		to, ok := inside(dir, rep.New.Path)
		if !ok {
			return fmt.Errorf("read %s: replaces %s by %s, which is out of the source", file, rep.Old.Path, rep.New.Path)
		}
		data, err := r.read(path.Join(to, "go.mod"))
		if err != nil {
			return err
		}
		r.m.Own = append(r.m.Own, ownModule{Path: rep.Old.Path, Dir: to, Missing: data == nil})
		for req := range r.requires {
			if req.Path == rep.Old.Path && (rep.Old.Version == "" || rep.Old.Version == req.Version) {
				delete(r.requires, req)
			}
		}
	}
	return nil
}

// inside joins a relative path to a folder of the source, and tells whether it stays in the source.
func inside(dir, rel string) (string, bool) {
	if path.IsAbs(rel) {
		return "", false
	}
	p := path.Join(dir, rel)
	return p, fs.ValidPath(p)
}

func (r *reader) sums(file string) error {
	data, err := r.read(file)
	if err != nil {
		return err
	}
	r.m.SumFiles[file] = nix.Hash{}
	if data != nil {
		r.m.SumFiles[file] = nix.Sum(nix.SHA256, data)
	}
	sums, err := ReadSums(data)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for _, s := range sums {
		// The go command does not take its toolchain from the module cache here, GOTOOLCHAIN being "local".
		if s.Module.Path != toolchainModule {
			r.m.Sums = append(r.m.Sums, s)
		}
	}
	return nil
}

// vendor decides whether the vendor folder is used, and checks that it is that of the go.mod.
func (r *reader) vendor(want *bool) error {
	if want != nil && !*want {
		return nil
	}
	file := path.Join(r.m.Top, "vendor/modules.txt")
	data, err := r.read(file)
	if err != nil {
		return err
	}
	if data == nil {
		if want != nil {
			return fmt.Errorf("read options: vendor is true, but there is no %s", file)
		}
		return nil
	}
	r.m.Vendored = true
	has := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) >= 3 && f[0] == "#" {
			has[f[1]+" "+f[2]] = true
		}
	}
	var missing []string
	for req := range r.requires {
		if !has[req.Path+" "+req.Version] {
			missing = append(missing, req.String())
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return fmt.Errorf("%s does not have %s, which go.mod requires: run go mod vendor, or set the option vendor to false", file, strings.Join(missing, ", "))
	}
	return nil
}

func (r *reader) wantGo(v string) {
	if r.m.Go == "" || compareGo(v, r.m.Go) > 0 {
		r.m.Go = v
	}
}

// finish sorts what was read, drops what is there twice, and tells what no build could succeed with.
func (r *reader) finish() error {
	m := r.m
	slices.SortFunc(m.Own, func(a, b ownModule) int { return strings.Compare(a.Dir+"\x00"+a.Path, b.Dir+"\x00"+b.Path) })
	// A workspace's module that another one replaces by its folder is one module.
	m.Own = slices.CompactFunc(m.Own, func(a, b ownModule) bool { return a.Dir == b.Dir && a.Path == b.Path })
	slices.Sort(m.Required)
	m.Required = slices.Compact(m.Required)
	if m.Vendored {
		m.Sums = nil
		return nil
	}
	slices.SortFunc(m.Sums, func(a, b Sum) int { return strings.Compare(a.key()+a.Hash, b.key()+b.Hash) })
	m.Sums = slices.Compact(m.Sums)
	mods := map[module.Version]bool{}
	for i, s := range m.Sums {
		if i > 0 && s.key() == m.Sums[i-1].key() {
			return fmt.Errorf("the modules' go.sum files have two hashes for %s: %s and %s", s.Module, m.Sums[i-1].Hash, s.Hash)
		}
		mods[s.Module] = mods[s.Module] || s.GoMod
	}
	m.Left = map[module.Version]bool{}
	for _, s := range m.Sums {
		switch {
		case mods[s.Module]:
		case len(r.versions[s.Module.Path]) > 0:
			return fmt.Errorf("go.sum has a hash of %s, but none of its go.mod: run go mod tidy", s.Module)
		default:
			m.Left[s.Module] = true // Go reads a module's go.mod before its packages, so nothing uses this
		}
	}
	m.Sums = slices.DeleteFunc(m.Sums, func(s Sum) bool { return m.Left[s.Module] })
	r.leave()
	for req := range r.requires {
		if len(m.Sums) == 0 && !slices.ContainsFunc(m.Own, func(o ownModule) bool { return o.Path == req.Path }) {
			return errors.New("go.mod requires modules, but go.sum has no sum: run go mod tidy")
		}
	}
	return nil
}

// leave drops the zips of versions that go.mod moved away from, and notes them: tools that move it on often leave go.sum as it was.
// Their go.mod files stay, since the module graph may have them.
func (r *reader) leave() {
	if r.partial {
		return
	}
	r.m.Sums = slices.DeleteFunc(r.m.Sums, func(s Sum) bool {
		versions := r.versions[s.Module.Path]
		left := !s.GoMod && len(versions) > 0 && !slices.Contains(versions, s.Module.Version)
		if left {
			r.m.Left[s.Module] = true
		}
		return left
	})
}
