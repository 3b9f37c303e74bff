package golang

import (
	"cmp"
	"fmt"
	"go/build"
	"go/version"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/module"
)

// rareStd are folders of the standard library that few programs use. They are left out of the compiled standard library,
// which all components share, and are compiled with the dependencies of those that import them.
var rareStd = [...]string{"cmd", "debug", "go", "image", "index", "net/rpc", "plugin", "runtime/cgo", "runtime/race", "simd", "testing"}

// imports lists the packages outside the component's own modules that it imports, sorted: those of other modules, and the
// rare ones of the standard library. It follows imports from the option packages through the own modules' files, under the
// build constraints of the component.
func (m *modules) imports(fsys fs.FS, dir string, o options, goVersion string, env map[string]string) ([]string, error) {
	w := &walker{m: m, fsys: fsys, ctx: buildContext(fsys, o, goVersion, env), found: map[string]bool{}, seen: map[string]bool{}}
	for _, p := range o.Packages {
		if p == "." || strings.HasPrefix(p, "./") {
			if err := w.pattern(dir, p); err != nil {
				return nil, err
			}
		} else {
			w.path(p)
		}
	}
	for _, p := range o.Imports {
		w.path(p)
	}
	for len(w.todo) > 0 {
		next := w.todo[0]
		w.todo = w.todo[1:]
		w.dir(next)
	}
	list := make([]string, 0, len(w.found))
	for p := range w.found {
		list = append(list, p)
	}
	slices.Sort(list)
	return list, nil
}

type walker struct {
	m     *modules
	fsys  fs.FS
	ctx   *build.Context
	todo  []string
	seen  map[string]bool // folders
	found map[string]bool // import paths
}

func (w *walker) add(dir string) {
	if !w.seen[dir] {
		w.seen[dir] = true
		w.todo = append(w.todo, dir)
	}
}

// dir reads one package of the own modules.
func (w *walker) dir(dir string) {
	// What is wrong with a package, the go command tells best, when it builds it. What could be read is returned all the same.
	p, _ := w.ctx.ImportDir(dir, 0)
	if p == nil {
		return
	}
	for _, imp := range p.Imports {
		if imp != "C" {
			w.path(imp)
		}
	}
}

// path follows one import path.
func (w *walker) path(p string) {
	// What is no import path (a relative one, say) is the go command's to refuse, and must not become one of its flags.
	if module.CheckImportPath(p) != nil {
		return
	}
	// The module with the longest path that is a prefix has the package, if it is there (Go Modules Reference, "Resolving a
	// package to a module").
	var own *ownModule
	longest := -1
	for i, o := range w.m.Own {
		if o.Path != "" && under(p, o.Path) && len(o.Path) > longest {
			own, longest = &w.m.Own[i], len(o.Path)
		}
	}
	for _, r := range w.m.Required {
		if under(p, r) && len(r) > longest {
			own, longest = nil, len(r)
		}
	}
	first, _, _ := strings.Cut(p, "/")
	switch {
	case own != nil:
		w.add(path.Join(own.Dir, strings.TrimPrefix(p[len(own.Path):], "/")))
	case longest < 0 && !strings.Contains(first, "."):
		// The standard library, since its paths alone have no dot in the first element.
		if slices.ContainsFunc(rareStd[:], func(dir string) bool { return under(p, dir) }) {
			w.found[p] = true
		}
	default:
		w.found[p] = true
	}
}

// under tells whether p is dir or below it.
func under(p, dir string) bool {
	rest, ok := strings.CutPrefix(p, dir)
	return ok && (rest == "" || rest[0] == '/')
}

// pattern adds the packages that "./x" or "./x/..." names (go help packages).
func (w *walker) pattern(dir, p string) error {
	base, all := strings.CutSuffix(p, "...")
	base = path.Join(dir, base)
	if !all {
		w.add(base)
		return nil
	}
	return fs.WalkDir(w.fsys, base, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("read packages %s: %w", p, err)
		}
		if !d.IsDir() {
			return nil
		}
		if name != base {
			elem := path.Base(name)
			if elem == "testdata" || elem == "vendor" || elem[0] == '_' || elem[0] == '.' {
				return fs.SkipDir
			}
			// Another module begins here.
			if _, err := fs.Stat(w.fsys, path.Join(name, "go.mod")); err == nil {
				return fs.SkipDir
			}
		}
		w.add(name)
		return nil
	})
}

// main tells whether the folder has a main package.
func (m *modules) main(fsys fs.FS, dir string, o options, goVersion string, env map[string]string) bool {
	p, _ := buildContext(fsys, o, goVersion, env).ImportDir(dir, 0)
	return p != nil && p.Name == "main"
}

// buildContext is what go/build judges build constraints by: the component's own, nothing of this machine's.
func buildContext(fsys fs.FS, o options, goVersion string, env map[string]string) *build.Context {
	c := &build.Context{
		GOARCH: cmp.Or(env["GOARCH"], "amd64"), GOOS: cmp.Or(env["GOOS"], "linux"), Compiler: "gc",
		CgoEnabled: o.Cgo, BuildTags: o.Tags, ReleaseTags: releaseTags(goVersion),
		JoinPath: path.Join, IsAbsPath: path.IsAbs, SplitPathList: func(string) []string { return nil },
		HasSubdir: func(root, dir string) (string, bool) {
			rel, ok := strings.CutPrefix(dir, root+"/")
			return rel, ok
		},
		IsDir: func(name string) bool {
			fi, err := fs.Stat(fsys, name)
			return err == nil && fi.IsDir()
		},
		ReadDir: func(name string) ([]fs.FileInfo, error) {
			entries, err := fs.ReadDir(fsys, name)
			if err != nil {
				return nil, err
			}
			infos := make([]fs.FileInfo, 0, len(entries))
			for _, e := range entries {
				info, err := e.Info()
				if err != nil {
					return nil, err
				}
				infos = append(infos, info)
			}
			return infos, nil
		},
		OpenFile: func(name string) (io.ReadCloser, error) { return fsys.Open(name) },
	}
	for _, e := range strings.Split(env["GOEXPERIMENT"], ",") {
		if e != "" && !strings.HasPrefix(e, "no") {
			c.ToolTags = append(c.ToolTags, "goexperiment."+e)
		}
	}
	if c.GOARCH == "amd64" {
		for i := range amd64Level(env["GOAMD64"]) {
			c.ToolTags = append(c.ToolTags, "amd64.v"+strconv.Itoa(i+1))
		}
	}
	return c
}

func amd64Level(s string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(cmp.Or(s, "v1"), "v"))
	if err != nil || n < 1 || n > 4 {
		return 1
	}
	return n
}

// releaseTags are go1.1 up to the version's own (go/build, ReleaseTags).
func releaseTags(goVersion string) []string {
	lang := strings.TrimPrefix(version.Lang("go"+goVersion), "go1.")
	minor, err := strconv.Atoi(lang)
	if err != nil {
		return nil
	}
	tags := make([]string, minor)
	for i := range tags {
		tags[i] = "go1." + strconv.Itoa(i+1)
	}
	return tags
}

// compareGo orders versions of Go as go.mod writes them.
func compareGo(a, b string) int { return version.Compare("go"+a, "go"+b) }
