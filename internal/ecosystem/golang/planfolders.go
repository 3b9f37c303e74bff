package golang

import (
	"go/build"
	"path"
	"slices"
	"strings"

	"headwater/internal/plan"
)

// ownFolders lists the folders at a module's top that have packages which the build imports, or files that those embed: by the top
// folder's name, or deeper where another project stands beside them. ok is false if a package cannot be read.
func ownFolders(s *plan.Stage, src string, b *plan.Build) (folders []string, embeds []embedded, ok bool) {
	packages, _ := b.Options["packages"].([]string)
	tags, _ := b.Options["tags"].([]string)
	cgo, _ := b.Options["cgo"].(bool)
	_, mod, found := moduleAt(s, b.Dir)
	if !found {
		return nil, nil, false
	}
	w := folderWalk{tree: s.Tree, module: mod.path, src: src, seen: map[string]bool{}}
	goVersion := b.Toolchains["go"].Value
	if mod.file.Go != nil && compareGo(mod.file.Go.Version, goVersion) > 0 {
		goVersion = mod.file.Go.Version // "1" of an image is its newest, so at least this
	}
	w.ctx = buildContext(s.Tree.FS(), options{Tags: tags, Cgo: cgo}, goVersion, b.Env)
	for _, p := range packages {
		rel, isBelow := strings.CutPrefix(p, "./")
		switch {
		case p == ".":
			w.todo = append(w.todo, ".")
		case strings.HasSuffix(p, "..."):
			return nil, nil, false
		case isBelow:
			w.todo = append(w.todo, rel)
		default:
			return nil, nil, false
		}
	}
	for len(w.todo) > 0 {
		next := w.todo[0]
		w.todo = w.todo[1:]
		w.visit(next)
	}
	w.unpacked(s)
	return w.collapse(), w.embeds, len(w.seen) > 0
}

type folderWalk struct {
	tree        *plan.Tree
	ctx         *build.Context
	module, src string
	todo        []string // folders, from the module's
	seen        map[string]bool
	embedded    []string // files and folders that are embedded
	embeds      []embedded
	packers     []plan.Evidence // imports of packages that read what a tool packs
}

func (w *folderWalk) visit(dir string) {
	if w.seen[dir] || !w.tree.HasDir(path.Join(w.src, dir)) {
		return
	}
	w.seen[dir] = true
	p, _ := w.ctx.ImportDir(path.Join(w.src, dir), 0) // what is wrong with it, go build tells
	if p == nil {
		return
	}
	for _, pattern := range p.EmbedPatterns {
		e := strings.TrimPrefix(pattern, "all:")
		if at := strings.IndexAny(e, "*?["); at >= 0 {
			e = path.Dir(e[:at] + "x")
		}
		at := plan.Evidence{File: path.Join(w.src, dir), Rule: "go:embed " + pattern}
		for _, pos := range p.EmbedPatternPos[pattern] {
			at.File, at.Line = path.Clean(pos.Filename), pos.Line
		}
		w.embedded = append(w.embedded, path.Join(dir, e))
		w.embeds = append(w.embeds, embedded{path.Join(dir, e), at})
	}
	for _, imp := range p.Imports {
		if at := p.ImportPos[imp]; packs(imp) && len(at) > 0 {
			w.packers = append(w.packers, plan.Evidence{File: path.Clean(at[0].Filename), Line: at[0].Line, Rule: "imports " + imp})
		}
		if rel, own := strings.CutPrefix(imp, w.module+"/"); own {
			w.todo = append(w.todo, rel)
		} else if imp == w.module {
			w.todo = append(w.todo, ".")
		}
	}
}

// packs tells whether a package reads files that a tool of its own compiles into a program beforehand; what was not packed it looks for on the
// disk, so the program compiles without, and lacks them where it runs.
func packs(imported string) bool {
	return slices.ContainsFunc([]string{"github.com/gobuffalo/packr", "github.com/GeertJohan/go.rice", "github.com/markbates/pkger"}, func(p string) bool {
		return imported == p || strings.HasPrefix(imported, p+"/")
	})
}

// unpacked asks for what such a tool has to do, where the tree does not have what it writes.
func (w *folderWalk) unpacked(s *plan.Stage) {
	written := slices.ContainsFunc(w.tree.Below(w.src), func(f string) bool {
		base := path.Base(f)
		return strings.HasSuffix(base, "-packr.go") || base == "rice-box.go" || base == "pkged.go"
	})
	if len(w.packers) > 0 && !written {
		s.Notes.Ask(plan.Question{
			About: "components", Main: true, Looked: w.packers,
			Ask: "files are packed into the program by a tool that is run before it is compiled, which is not followed; which command does that?",
		})
	}
}

// collapse makes few patterns of many folders.
func (w *folderWalk) collapse() []string {
	var out []string
	add := func(dir string) {
		if !slices.Contains(out, dir) {
			out = append(out, dir)
		}
	}
	place := func(dir string) {
		parts := strings.Split(dir, "/")
		for i := 1; i <= len(parts); i++ {
			part := path.Join(parts[:i]...)
			if i == len(parts) || !w.foreign(part) {
				add(part)
				return
			}
		}
	}
	for dir := range w.seen {
		place(dir)
	}
	for _, e := range w.embedded {
		if w.tree.Exists(path.Join(w.src, e)) && !slices.ContainsFunc(out, func(o string) bool { return o == e || o != "." && strings.HasPrefix(e, o+"/") }) {
			add(e)
		}
	}
	slices.Sort(out)
	return slices.DeleteFunc(slices.Clone(out), func(d string) bool {
		return d != "." && slices.ContainsFunc(out, func(o string) bool { return o != "." && o != d && strings.HasPrefix(d, o+"/") })
	})
}

// foreign tells whether a project of another kind is in a folder.
func (w *folderWalk) foreign(dir string) bool {
	return slices.ContainsFunc(w.tree.Below(path.Join(w.src, dir)), func(f string) bool {
		return slices.Contains([]string{"package.json", "pyproject.toml", "Cargo.toml", "manage.py"}, path.Base(f)) || strings.HasSuffix(f, ".py")
	})
}
