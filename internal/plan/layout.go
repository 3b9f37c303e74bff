package plan

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// layout makes the package's layout of what stands in the last stage.
func (a *assembly) layout() {
	placed := a.settle(a.stage.Files.Placements())
	for _, at := range slices.Sorted(maps.Keys(placed)) {
		p := placed[at]
		key := "package.layout." + at
		switch p.Origin.Kind {
		case Source:
			a.recipe.Package.Layout[at] = a.source(p)
			a.prove(key, p.Evidence)
		case Product:
			if p.Origin.Build.Passed {
				continue
			}
			place, has := a.part(p)
			place = realPath(place)
			a.recipe.Package.Layout[place] = has
			a.prove("package.layout."+place, p.Evidence)
			if own := p.Origin.Path; place != at && own != at && within(place, own) {
				a.recipe.Package.Links[at] = own
				a.prove("package.links."+at, p.Evidence)
			}
		case Link:
			a.recipe.Package.Links[at] = p.Origin.Path
			a.prove("package.links."+at, p.Evidence)
		case Image, Network:
			a.foreign(key, p)
		case Empty:
			if name, has := debianHas(at); p.Origin.Text == "" || temporary(at) || has && name == "" || within("/etc/dpkg", at) {
				continue // a folder, or of use only while the image is made
			}
			if component, part, ok := a.written(p); ok {
				a.recipe.Package.Layout[at] = component + ":" + part
				a.prove(key, p.Evidence)
			}
		}
	}
}

// settle decides what stands at each path. /bin and the like are links into /usr in a root, so what is put there is put where they
// lead. Folders of the root itself are not replaced: what is copied to one is taken apart. So is what is copied over another copy.
func (a *assembly) settle(placements []Placement) map[string]Placement {
	placed := map[string]Placement{}
	var put func(p Placement)
	put = func(p Placement) {
		old, taken := placed[p.At]
		folder := p.Origin.Kind == Source && a.Tree.HasDir(p.Origin.Path)
		if folder && (rootFolder(p.At) || taken && old.Origin != p.Origin && old.Origin.Kind != Empty) {
			for _, child := range a.children(p) {
				put(child)
			}
			return
		}
		if taken && p.Origin.Kind == Empty && p.Origin.Text == "" {
			return // the folder was there
		}
		placed[p.At] = p
	}
	for _, p := range placements {
		if rewritten(placements, p) {
			continue
		}
		p.At = realPath(p.At)
		for _, at := range slices.Sorted(maps.Keys(placed)) { // what is copied over something that stood inside
			old := placed[at]
			if p.Origin.Kind == Source && at != p.At && within(p.At, at) && old.Origin.Kind == Product {
				if rel := relative(p.At, at); a.Tree.Exists(path.Join(p.Origin.Path, rel)) && !p.excepts(rel) {
					a.Notes.Remark(fmt.Sprintf("%s is copied over what was built at %s, and has files there as well; what was built is taken", p.Origin.Path, at), p.Evidence)
				}
			}
		}
		put(p)
	}
	for _, at := range slices.Sorted(maps.Keys(placed)) {
		if p := placed[at]; a.there(placed, p) {
			delete(placed, at)
		}
	}
	return placed
}

// rewritten tells whether something of the source stands in what a build leaves of its folder, where it was before the build: that has it.
func rewritten(placements []Placement, p Placement) bool {
	return p.Origin.Kind == Source && slices.ContainsFunc(placements, func(q Placement) bool {
		b := q.Origin.Build
		if b == nil || !b.Rewrites || q.Origin.Path != b.Dir || !within(q.At, p.At) {
			return false
		}
		before, _ := b.Before.Lookup(path.Join(b.Dir, relative(q.At, p.At)))
		return before == p.Origin
	})
}

// there tells whether the very same file of the source stands there already, within a folder that was copied as a whole.
func (a *assembly) there(placed map[string]Placement, p Placement) bool {
	if p.Origin.Kind != Source || p.Origin.Exec || a.Tree.HasDir(p.Origin.Path) {
		return false
	}
	for dir := path.Dir(p.At); dir != "/"; dir = path.Dir(dir) {
		if outer, ok := placed[dir]; ok {
			rel := relative(dir, p.At)
			return outer.Origin.Kind == Source && path.Join(outer.Origin.Path, rel) == p.Origin.Path && !outer.excepts(rel)
		}
	}
	return false
}

// children are the entries of a folder of the source that is placed somewhere.
func (a *assembly) children(p Placement) []Placement {
	var out []Placement
	seen := map[string]bool{}
	for _, f := range a.Tree.Below(p.Origin.Path) {
		name, _, _ := strings.Cut(relativeTo(p.Origin.Path, f), "/")
		if seen[name] || p.excepts(name) {
			continue
		}
		seen[name] = true
		c := Placement{At: path.Join(p.At, name), Origin: p.Origin.At(name), Evidence: p.Evidence}
		for _, x := range p.Except {
			if within("/"+name, "/"+x) && x != name {
				c.Except = append(c.Except, relative("/"+name, "/"+x))
			}
		}
		c.At = realPath(c.At)
		out = append(out, c)
	}
	return out
}

// rootFolder tells whether a folder is one that every root has.
func rootFolder(at string) bool {
	return slices.Contains([]string{
		"/", "/usr", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/share", "/usr/include", "/usr/libexec", "/usr/local", "/usr/local/bin", "/usr/local/lib", "/usr/local/share", "/usr/local/sbin", "/etc",
		"/var", "/var/lib", "/opt", "/home", "/srv",
	}, at)
}

// realPath is where a path leads in a root, whose /bin, /sbin, /lib and /lib64 are links into /usr.
func realPath(at string) string {
	for _, dir := range []string{"/bin", "/sbin", "/lib", "/lib64"} {
		if within(dir, at) {
			return "/usr" + at
		}
	}
	return at
}

// foreign decides on what comes out of an image that the tree does not build, or from the network: a program or data that Debian has
// come from there, what only building needs is left out, other files are downloaded as the image does, the rest is an open question.
func (a *assembly) foreign(key string, p Placement) {
	from := "out of the image " + p.Origin.Ref
	if p.Origin.Kind == Network {
		from = "from " + p.Origin.Ref
	}
	name, has := debianHas(p.At)
	if !has && path.Base(p.At) != path.Base(p.Origin.Path) {
		name, has = debianHas(p.Origin.Path)
	}
	switch {
	case has && name == "":
		a.Notes.Remark(fmt.Sprintf("%s, which comes %s, is left out: it is of use only while the image is made, or the launcher does the same", p.At, from), p.Evidence)
	case has:
		a.stage.Install("apt", p.Evidence, name)
		a.Notes.Remark(fmt.Sprintf("%s, which comes %s, is Debian's package %s here", p.At, from, name), p.Evidence)
	case p.Origin.Kind == Network && p.Origin.isFile() && !p.isProgram():
		component, part := a.download(p)
		a.recipe.Package.Layout[p.At] = component + ":" + part
		a.prove(key, p.Evidence)
	default:
		a.Notes.Ask(Question{About: key, Ask: fmt.Sprintf("%s comes %s, which is not built from this tree; which package or component has it?", p.At, from), Looked: []Evidence{p.Evidence}})
	}
}

// debianHas tells which Debian package has what stands at a path of other images, "" where nothing is needed of it.
func debianHas(at string) (name string, ok bool) {
	for _, dir := range []string{"/usr/share/keyrings", "/etc/apt", "/usr/local/share/ca-certificates", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/tmp"} {
		if within(dir, at) {
			return "", true
		}
	}
	switch {
	case within("/etc/ssl", at), within("/etc/ca-certificates", at), within("/usr/share/ca-certificates", at), at == "/etc/ca-certificates.conf":
		return "ca-certificates", true
	case at == "/etc/mime.types":
		return "media-types", true
	case within("/usr/share/zoneinfo", at), strings.HasSuffix(at, "/zoneinfo.zip"):
		return "tzdata", true
	}
	programs := map[string]string{
		"uv": "", "uvx": "", "tini": "", "tini-static": "", "dumb-init": "", "catatonit": "", "docker-init": "", "bun": "", "npm": "", "pnpm": "", "yarn": "", "corepack": "", "node-gyp": "", "cargo-chef": "", "sccache": "", "xx-go": "", "xx-apk": "", "upx": "", "buf": "", "goreleaser": "",
		"gosu": "gosu", "curl": "curl", "wget": "wget", "busybox": "busybox-static", "caddy": "caddy", "nginx": "nginx", "ffmpeg": "ffmpeg", "ffprobe": "ffmpeg", "git": "git", "jq": "jq", "rclone": "rclone", "restic": "restic", "tar": "tar", "supercronic": "", "docker": "docker-cli",
		"kubectl": "kubernetes-client", "envsubst": "gettext-base", "age": "age", "sqlite3": "sqlite3", "pg_dump": "postgresql-client", "psql": "postgresql-client",
	}
	name, ok = programs[path.Base(at)]
	if path.Base(at) == "supercronic" {
		return "", false
	}
	return name, ok
}

// gaps asks for all that the stages miss, and what was called that nobody knows.
func (a *assembly) gaps(x *candidate) {
	for _, m := range x.missing() {
		from, looked := "the tree", []Evidence{m.Evidence}
		if m.From != "" {
			from = "the stage " + m.From
		}
		a.Notes.Ask(Question{
			About: "package.layout", Main: !a.checksHealth(m.Path), Looked: looked,
			Ask: fmt.Sprintf("%s is copied out of %s, but nothing that was followed makes it; who makes it?", m.Path, from),
		})
	}
	for _, s := range x.image.stages {
		for _, c := range s.Unrecognised {
			a.Notes.Ask(Question{About: "components", Ask: fmt.Sprintf("what does %q make, in %s? No ecosystem knows it", short(c.Text()), c.Dir), Looked: []Evidence{c.Evidence}})
		}
	}
}

// started asks for the program that is started, if it is neither in the layout nor, by its name, of the runtime root's packages: without it there
// is no service.
func (a *assembly) started() {
	if len(a.recipe.Package.Command) == 0 || len(a.recipe.Components) == 0 {
		return
	}
	program := a.recipe.Package.Command[0]
	if strings.Contains(program, "/") {
		program = realPath(program)
	}
	for at := range a.recipe.Package.Layout {
		if within(at, program) {
			return
		}
	}
	for at := range a.recipe.Package.Links {
		if within(at, program) {
			return
		}
	}
	name := path.Base(program)
	if strings.Contains(program, "/") && !slices.Contains([]string{"/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/libexec"}, path.Dir(program)) {
		name = "" // no package of Debian's has it there
	}
	if name != "" && (slices.Contains(everyRootHas(), name) || slices.ContainsFunc(a.recipe.Roots["runtime"].Packages, func(p string) bool {
		p, _, _ = strings.Cut(p, "/")
		return p == name || strings.HasPrefix(p, name+"-") || strings.HasPrefix(p, strings.TrimRight(name, "0123456789.")) || strings.HasSuffix(p, "-"+name)
	})) {
		return
	}
	a.Notes.Ask(Question{
		About: "package.layout", Main: true, Looked: a.evidence["package.command"],
		Ask: fmt.Sprintf("%s is started, but neither a component nor a package of the runtime root has it; where does it come from?", program),
	})
}

// everyRootHas are programs of Debian's essential packages that start services.
func everyRootHas() []string {
	return []string{"sh", "bash", "dash", "env", "perl", "nice", "timeout", "stdbuf", "setpriv", "sleep", "tail", "cat"}
}

// checksHealth tells whether a program is what the image's health check runs: the service does without.
func (a *assembly) checksHealth(program string) bool {
	for _, text := range a.stage.Config.Health {
		for _, word := range strings.Fields(text) {
			if path.Base(word) == path.Base(program) {
				return true
			}
		}
	}
	return false
}

// short is a text of at most 160 bytes.
func short(s string) string {
	if len(s) > 160 {
		return strings.ToValidUTF8(s[:157], "") + "…"
	}
	return s
}

// environment tells whether what is built is a whole environment of Python, which has an interpreter by its plain name.
func (b *Build) environment() bool {
	return b.Ecosystem == "python" && slices.ContainsFunc(b.Outputs, func(o Output) bool { return o.Inside == "" || o.Inside == "." })
}

// runtime is the root that the service runs in: what the last stage installs, and what its base image has.
func (a *assembly) runtime() {
	b := parseBase(a.stage.BaseImage())
	if b.guessed {
		a.Notes.Ask(Question{
			About: "roots.runtime", Looked: []Evidence{a.stage.Evidence},
			Ask: fmt.Sprintf("the image %s is not known; by its name it is taken for one of %s %s; is it?", b.ref, b.family, b.version),
		})
	}
	var installed []Installed
	runs := b.runs(a.stage.Evidence, a.Notes)
	if b.family == "python" && !slices.ContainsFunc(a.order, (*Build).environment) {
		runs = append(runs, "python-is-python3") // by which name no package of Debian's interpreter has it
	}
	for _, name := range runs {
		installed = append(installed, Installed{Manager: "apt", Name: name, Evidence: Evidence{File: a.stage.Evidence.File, Line: a.stage.Evidence.Line, Rule: "the base image has it"}})
	}
	installed = append(installed, a.stage.Packages...)
	for _, made := range a.order {
		installed = append(installed, made.RunNeeds...)
	}
	r, evidence := packageRoot(b.release(installed, a.stage.Evidence, a.Notes), installed, a.Notes)
	r.Packages = slices.DeleteFunc(r.Packages, initProgram)
	a.recipe.Roots["runtime"] = r
	a.prove("roots.runtime", evidence...)
	a.recipe.Package.Root = "runtime"
}
