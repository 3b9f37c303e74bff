package plan

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"headwater/internal/recipe"
)

// assembly turns the last stage of an image into a recipe: what stands in it is the layout, and what was needed to make that are
// the components.
type assembly struct {
	*shared
	stage      *Stage
	recipe     *recipe.Recipe
	evidence   map[string][]Evidence // by key of the recipe
	names      map[*Build]string
	order      []*Build
	sources    map[string]string // plain components of the source: by name, what they have
	writes     map[string]bool   // plain components that write texts of the image's own
	requesting map[*Build]bool   // builds in work: one that needs itself is no build
	args       []string          // of the main process, as the image has them
	main       string            // name of that process
	bare       bool              // the image has no entry point: what starts it names a whole command
}

func assemble(x *candidate, o Options, notes *Notes) *assembly {
	x.image.shared.Notes = notes // from here on
	a := &assembly{
		shared: x.image.shared, stage: x.target, evidence: map[string][]Evidence{}, names: map[*Build]string{}, sources: map[string]string{},
		writes:     map[string]bool{},
		requesting: map[*Build]bool{},
		recipe: &recipe.Recipe{
			Format: recipe.Format, Toolchains: map[string]string{}, Roots: map[string]recipe.Root{}, Components: map[string]recipe.Component{},
			Package: recipe.Package{Layout: map[string]string{}, Links: map[string]string{}, Env: map[string]string{}, Processes: map[string]recipe.Process{}},
		},
	}
	c := findCompose(a.Tree, x, notes)
	for _, r := range a.recognisers {
		if s, ok := r.(Shipper); ok {
			s.Ship(a.stage)
		}
	}
	a.layout()
	a.runtime()
	a.contract(c)
	a.identity(o, x, c)
	a.gaps(x)
	a.started()
	return a
}

// prove notes where a key of the recipe comes from.
func (a *assembly) prove(key string, e ...Evidence) {
	for _, one := range e {
		if one != (Evidence{}) && !slices.Contains(a.evidence[key], one) {
			a.evidence[key] = append(a.evidence[key], one)
		}
	}
}

// source is the plain component that brings a part of the source, and the part, as the layout writes it.
func (a *assembly) source(p Placement) string {
	of, has := p.Origin.Path, p.Origin.Path
	if p.Origin.Exec {
		has += "\x00executable"
	}
	name := "source"
	if of != "." {
		name = ComponentName(path.Base(of))
	}
	for i := 2; a.taken(name) && a.sources[name] != has; i++ {
		name = fmt.Sprint(ComponentName(path.Base(of)), "-", i)
	}
	c := recipe.Component{Ecosystem: "plain", Root: "runtime", Src: []string{of}}
	if of == "." {
		c.Src = []string{"**"}
	}
	for _, x := range p.Except {
		c.Src = append(c.Src, "!"+path.Join(of, x))
	}
	slices.Sort(c.Src[1:])
	if old, ok := a.recipe.Components[name]; ok && len(old.Src) < len(c.Src) {
		c = old // what one place leaves out, another has
	}
	if p.Origin.Exec {
		c.Build, c.Output = []string{"chmod 0755 " + quote(of)}, map[string]string{of: of}
	}
	a.sources[name] = has
	a.recipe.Components[name] = c
	a.prove("components."+name, p.Evidence)
	if of == "." {
		return name
	}
	return name + ":" + of
}

func (a *assembly) taken(name string) bool {
	_, is := a.recipe.Components[name]
	return is || slices.Contains(slices.Collect(maps.Values(a.names)), name)
}

// part is where a product stands and what is there, as the layout writes it: all of it, where a part is of no use.
func (a *assembly) part(p Placement) (at, has string) {
	for _, o := range p.Origin.Build.Outputs {
		if o.Whole && within(o.At, p.Origin.Path) {
			whole := p.Origin
			whole.Path = o.At
			return o.At, a.product(whole)
		}
	}
	return p.At, a.product(p.Origin)
}

// product is the component that makes something, and where it is in the component's output, as the layout writes it.
func (a *assembly) product(o Origin) string {
	name := a.component(o.Build)
	if inside := a.inside(o.Build, o.Path); inside != "." {
		return name + ":" + inside
	}
	return name
}

// inside is where something that a build made is in its component's output.
func (a *assembly) inside(b *Build, at string) string {
	for _, out := range b.Outputs {
		if out.Inside != "" && within(out.At, at) {
			return path.Join(out.Inside, relative(out.At, at))
		}
	}
	for _, out := range b.Outputs {
		if within(out.At, at) && !within(b.Dir, at) {
			// What a command is told to make outside of its folder is laid there by the recipe's output.
			name := path.Base(out.At)
			a.request(b, name, relativeTo(b.Dir, out.At))
			return path.Join(name, relative(out.At, at))
		}
	}
	rel := relative(b.Dir, at)
	a.request(b, rel, rel)
	return rel
}

func (a *assembly) request(b *Build, inside, at string) {
	name := a.names[b]
	c := a.recipe.Components[name]
	if c.Output == nil {
		c.Output = map[string]string{}
	}
	c.Output[inside] = at
	a.recipe.Components[name] = c
}

// component makes the component of a build, with all that it uses, and tells its name.
func (a *assembly) component(b *Build) string {
	if name, ok := a.names[b]; ok {
		return name
	}
	name := b.Name
	if name == "" {
		name = b.Ecosystem
		if src, ok := b.Before.sourceBelow(b.Dir); ok && src != "." {
			name = ComponentName(path.Base(src))
		}
	}
	for i, wanted := 2, name; a.taken(name); i++ {
		name = fmt.Sprint(wanted, "-", i)
	}
	a.names[b] = name
	a.order = append(a.order, b)
	dir := b.Folder
	if dir == "" {
		dir, _ = b.Before.sourceBelow(b.Dir)
	}
	c := recipe.Component{Ecosystem: b.Ecosystem, Root: a.root(b, name), At: b.At, Src: slices.Clone(b.Sources), Options: b.Options}
	if dir != "." {
		c.Dir = dir
	}
	if len(b.Env) > 0 {
		c.Env = b.Env
	}
	for _, cmd := range b.Commands {
		text := cmd.Text()
		if cmd.Dir != b.Dir {
			text = "cd " + quote(relativeTo(b.Dir, cmd.Dir)) + " && " + text
		}
		c.Build = append(c.Build, text)
	}
	a.recipe.Components[name] = c
	a.prove("components."+name, b.Evidence...)
	for _, tool := range slices.Sorted(maps.Keys(b.Toolchains)) { // in order, for they may leave questions
		a.toolchain(tool, b.Toolchains[tool])
	}
	a.inputs(b, name, dir)
	return name
}

// inputs are the source's files and other components' outputs that a build sees.
func (a *assembly) inputs(b *Build, name, dir string) {
	if b.Alone {
		return
	}
	var src []string
	for _, p := range b.Before.Placements() {
		rel := relativeTo(b.Dir, p.At)
		at := path.Join(dir, rel) // where it stands, seen from the source's top
		outside := strings.HasPrefix(at, "..")
		switch p.Origin.Kind {
		case Source:
			if !outside && path.Clean(p.Origin.Path) == at || p.Origin.Path == "." && rel == relativeTo(dir, ".") {
				src = append(src, p.Origin.Path)
				for _, x := range p.Except {
					src = append(src, "!"+path.Join(p.Origin.Path, x))
				}
				a.prove("components."+name+".src", p.Evidence)
				continue
			}
			if outside {
				continue // elsewhere in the stage; nothing says that the build looks there
			}
			component, part, _ := strings.Cut(a.source(p), ":")
			a.use(name, recipe.Use{Component: component, Path: part, At: at}, p.Evidence)
		case Network:
			switch {
			case !within(b.Dir, p.At), p.Origin.Path == "" && !p.Origin.isFile(): // a registry's package
			case p.Origin.Path == "":
				component, part := a.download(p)
				a.use(name, recipe.Use{Component: component, Path: part, At: at}, p.Evidence)
			default:
				a.Notes.Ask(Question{
					About: "components." + name + ".uses", Main: a.named(b, path.Base(p.At)), Looked: []Evidence{p.Evidence},
					Ask: fmt.Sprintf("%s, which %s may need, comes from %s; what stands in for it?", at, name, p.Origin.Ref),
				})
			}
		case Empty:
			if now, _ := b.Before.Lookup(p.At); !within(b.Dir, p.At) || now != p.Origin || now.Text == "" {
				continue
			}
			if component, part, ok := a.written(p); ok {
				a.use(name, recipe.Use{Component: component, Path: part, At: at}, p.Evidence)
			}
		case Product:
			if p.Origin.Build == b || p.Origin.Build.Passed || b.repeats(p.Origin.Build) || a.requesting[p.Origin.Build] || outside && within(p.At, b.Dir) || !b.sees(p.At, at) {
				continue
			}
			if outside {
				at = p.At
			}
			a.requesting[b] = true
			place, has := a.part(p)
			component, part, _ := strings.Cut(has, ":")
			delete(a.requesting, b)
			if slices.ContainsFunc(p.Origin.Build.Outputs, func(o Output) bool { return o.Whole && o.At == place }) {
				at = place // it is of use at its own place alone
			}
			a.use(name, recipe.Use{Component: component, Path: part, At: at}, p.Evidence)
		}
	}
	c := a.recipe.Components[name]
	if c.Src == nil {
		c.Src = patterns(src)
	}
	a.recipe.Components[name] = c
}

// sees tells whether a build's files name what another build made: in its own folder it may always.
func (b *Build) sees(abs, inTree string) bool {
	if b.Named == nil || within(b.Dir, abs) || within(abs, b.Dir) {
		return true
	}
	return slices.ContainsFunc(slices.Concat(b.Named, b.Sources), func(n string) bool { return within("/"+inTree, "/"+n) || within("/"+n, "/"+inTree) })
}

func (a *assembly) use(name string, u recipe.Use, e Evidence) {
	c := a.recipe.Components[name]
	c.Uses = slices.DeleteFunc(c.Uses, func(o recipe.Use) bool { return o.At == u.At })
	c.Uses = append(c.Uses, u)
	a.recipe.Components[name] = c
	a.prove("components."+name+".uses", e)
}

// toolchain notes a version; the most exact wins, and two that differ are an open question.
func (a *assembly) toolchain(tool string, v Version) {
	old := a.recipe.Toolchains[tool]
	switch {
	case old == "" || strings.HasPrefix(v.Value, old+"."):
		a.recipe.Toolchains[tool] = v.Value
	case old != v.Value && !strings.HasPrefix(old, v.Value+"."):
		a.Notes.Ask(Question{About: "toolchains." + tool, Ask: fmt.Sprintf("%s is %s in one place and %s in another", tool, old, v.Value), Looked: append(slices.Clone(a.evidence["toolchains."+tool]), v.Evidence)})
	}
	a.prove("toolchains."+tool, v.Evidence)
}

// root is the root that a build is made in. Builds of one ecosystem in images that install the same have one.
func (a *assembly) root(b *Build, name string) string {
	r, evidence := debian(b, a.Notes)
	for _, other := range slices.Sorted(maps.Keys(a.recipe.Roots)) {
		if old := a.recipe.Roots[other]; slices.Equal(old.Packages, r.Packages) && slices.Equal(old.Suites, r.Suites) && other != "runtime" {
			return other
		}
	}
	root := b.Ecosystem
	for i := 1; root == "runtime" || len(a.recipe.Roots[root].Suites) > 0; i++ { // a component may be called like its ecosystem
		if root = name; i > 1 {
			root = fmt.Sprint(name, "-", i)
		}
	}
	a.recipe.Roots[root] = r
	a.prove("roots."+root, evidence...)
	return root
}

// patterns are the globs of src, each once, without those that another has in it.
func patterns(src []string) []string {
	var out []string
	for _, s := range src {
		if s == "." {
			s = "**"
		}
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	if slices.Contains(out, "**") {
		out = slices.DeleteFunc(out, func(s string) bool { return s != "**" && !strings.HasPrefix(s, "!") })
	}
	out = slices.DeleteFunc(slices.Clone(out), func(s string) bool { // what is in a folder that is named
		return slices.ContainsFunc(out, func(o string) bool {
			return o != s && !strings.HasPrefix(s, "!") && !strings.HasPrefix(o, "!") && strings.HasPrefix(s, o+"/")
		})
	})
	slices.SortStableFunc(out, func(a, b string) int {
		return strings.Compare(strings.Repeat("~", strings.Count(a[:1], "!"))+a, strings.Repeat("~", strings.Count(b[:1], "!"))+b)
	})
	return out
}

func (f *Files) sourceOf(abs string) (string, bool) {
	o, _ := f.Lookup(abs)
	return o.Path, o.Kind == Source
}

// sourceBelow is the folder of the source that stands somewhere, though something that was made may have been copied over it as a whole.
// Where there is none, it is the top.
func (f *Files) sourceBelow(abs string) (string, bool) {
	for _, p := range slices.Backward(f.placed) {
		if p.Origin.Kind != Source || !within(p.At, abs) {
			continue
		}
		rel := relative(p.At, abs)
		if dir := p.Origin.At(rel).Path; !p.excepts(rel) && f.tree.HasDir(dir) {
			return dir, true
		}
	}
	return ".", false
}

// relativeTo is p seen from dir, with as many ".." as it takes; both are clean, both absolute or both not.
func relativeTo(dir, p string) string {
	if rest, ok := strings.CutPrefix(p, dir); ok && len(rest) > 1 && rest[0] == '/' {
		return rest[1:] // most are below
	}
	a, b := split(dir), split(p)
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	return path.Join(strings.Repeat("../", len(a)), path.Join(b...))
}

func split(p string) []string {
	return strings.FieldsFunc(p, func(r rune) bool { return r == '/' || r == '.' && p == "." })
}

// ComponentName makes a name that recipes allow of a folder's or a file's.
func ComponentName(s string) string {
	s = strings.TrimSuffix(strings.ToLower(s), path.Ext(s))
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, s)
	if s = strings.Trim(s, "-"); s == "" {
		return "part"
	}
	return s
}
