package python

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"headwater/internal/plan"
)

func pipValued() []string {
	return strings.Fields("-r --requirement -c --constraint -e --editable -t --target --platform --python-version --implementation --abi --root --prefix --src " +
		"--upgrade-strategy -C --config-settings --global-option --no-binary --only-binary --progress-bar --root-user-action -i --index-url --extra-index-url " +
		"-f --find-links --cache-dir --timeout --retries --log --proxy --trusted-host --cert --client-cert --use-feature -w --wheel-dir -d --dest --python " +
		"-b --build-constraint --no-binary-package --override --index --default-index --python-platform --link-mode -p --index-strategy --group --extra " +
		"--requirements --constraints --build-constraints --overrides --python-preference --resolution --prerelease --exclude-newer --torch-backend --report")
}

// pip looks at a call of pip that works on an environment, "" for the one at hand.
func (p planner) pip(env string, words []string) error {
	flags, verb, rest := subcommand(words, pipValued()...)
	for _, f := range flags {
		if f.name == "--python" {
			env = defaultTo(p.named(f.value), env)
		}
	}
	switch verb {
	case "install":
		return p.pipInstall(env, rest)
	case "wheel":
		return p.wheel(rest)
	}
	return nil // the others bring nothing, or take away what is a tool
}

// tools are packages that images install to build with. They are no part of the service.
func tools() []string {
	return strings.Fields("pip setuptools wheel uv poetry poetry-core poetry-plugin-export poetry-dynamic-versioning pipenv pipx build virtualenv pip-tools hatch hatchling " +
		"pdm flit meson ninja cmake cython maturin setuptools-rust setuptools-scm installer twine tox nox cffi-builder")
}

// pipInstall is "pip install": it adds to an environment.
func (p planner) pipInstall(env string, words []string) error {
	operands, flags := arguments(words, pipValued()...)
	names := slices.DeleteFunc(slices.Clone(operands), func(o string) bool { return slices.Contains(tools(), bareName(o)) && !isPath(o) })
	if len(names) == 0 && !slices.ContainsFunc(flags, func(f flag) bool {
		return slices.Contains([]string{"-r", "--requirement", "--requirements", "-e", "--editable", "--group"}, f.name)
	}) {
		return nil // nothing but tools
	}
	venv, target := p.current(env), ""
	for _, f := range flags {
		switch f.name {
		case "-t", "--target":
			target = plan.Abs(p.c.Dir, f.value)
		case "--prefix":
			venv = plan.Abs(p.c.Dir, f.value)
		case "--user":
			venv = path.Join(defaultTo(p.c.Env["HOME"], p.Home()), ".local")
		}
	}
	if target != "" {
		venv = target
	}
	b := p.fill(venv)
	if target != "" {
		p.modules(b, target, flags)
	}
	return p.pipFill(b, names, flags)
}

// modules says that only the environment's modules are laid at a path, as "pip install --target" does.
func (p planner) modules(b *plan.Build, target string, flags []flag) {
	i := p.interpreter(b, p.c.Dir, flags)
	b.Outputs = []plan.Output{{At: target, Inside: fmt.Sprintf("lib/python3.%d/site-packages", i.minor)}}
}

// bareName is the package's name in a specifier.
func bareName(spec string) string {
	r, err := ParseRequirement(spec)
	if err != nil {
		return ""
	}
	return r.Name
}

// pipFill has a build install what pip's arguments say.
func (p planner) pipFill(b *plan.Build, names []string, flags []flag) error {
	fresh := b.Folder == "" && b.Options["requirements"] == nil && b.Options["install"] == nil
	noDeps := ""
	var editable []string
	for _, f := range flags {
		switch f.name {
		case "--no-deps":
			noDeps = "--no-deps "
		case "-r", "--requirement", "--requirements":
			p.requirements(b, f.value, "requirements", &fresh)
		case "-c", "--constraint", "--constraints":
			p.requirements(b, f.value, "constraints", &fresh)
		case "-e", "--editable":
			editable = append(editable, f.value)
		case "--group":
			if err := p.group(b, f.value); err != nil {
				return err
			}
		case "--no-binary", "--no-binary-package":
			add(b, "compile", compileNames(f.value)...)
		case "--index-url", "-i", "--extra-index-url", "--index", "--default-index":
			p.Notes.Remark("the upstream's image installs Python packages from another index, "+f.value+"; here the operator's settings say where they are", p.c.Evidence)
		}
	}
	for _, v := range []string{"PIP_NO_BINARY", "UV_NO_BINARY_PACKAGE"} {
		add(b, "compile", compileNames(p.c.Env[v])...)
	}
	for _, n := range names {
		p.installed(b, noDeps, n, &fresh)
	}
	for _, n := range editable {
		p.installed(b, noDeps+"-e ", n, &fresh)
	}
	if b.Folder != "" {
		p.place(b)
	}
	p.sdistsOf(b, p.interpreter(b, b.Dir, flags))
	if b.Sources == nil && !hasFolder(b) {
		b.Sources = []string{} // packages of the registry alone
	}
	p.keepLock(b)
	b.Alone = b.Sources != nil
	return nil
}

// keepLock has an environment that a lock filled as well be made of that, too: requirements alone would be all there is in it.
func (p planner) keepLock(b *plan.Build) {
	lock := ""
	for _, e := range b.Evidence {
		if base := path.Base(e.File); base == "uv.lock" || base == "poetry.lock" {
			lock = e.File
		}
	}
	if lock == "" || b.Options["install"] == nil && b.Options["requirements"] == nil {
		return
	}
	b.Options["lock"] = relativePath(b.Folder, lock)
	for _, name := range []string{lock, path.Join(path.Dir(lock), "pyproject.toml")} {
		if b.Sources != nil {
			b.Sources = sorted(append(b.Sources, name))
		} else if at := path.Join(b.Dir, relativePath(b.Folder, name)); !b.Before.Exists(at) {
			b.Before.Place(at, plan.Origin{Kind: plan.Source, Path: name}, p.c.Evidence) // another stage read it
		}
	}
}

// group adds what a dependency group names, of a project in the command's folder or of another ("pip install --group FILE:NAME").
func (p planner) group(b *plan.Build, group string) error {
	file := "pyproject.toml"
	if i := strings.LastIndexByte(group, ':'); i >= 0 {
		file, group = group[:i], group[i+1:]
	}
	data, name, err := p.ReadFile(plan.Abs(p.c.Dir, file))
	if err != nil {
		p.Notes.Ask(plan.Question{About: "components", Ask: fmt.Sprintf("the group %s of %s is installed, and that is no file of the source; what does it say?", group, file), Looked: []plan.Evidence{p.c.Evidence}})
		return nil
	}
	manifest, err := ParseProject(data)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	names, ok := manifest.group(group, nil)
	if !ok {
		p.Notes.Ask(plan.Question{About: "components", Ask: fmt.Sprintf("the group %s is installed, which %s has not, or not as names of packages; what is in it?", group, name), Looked: []plan.Evidence{p.c.Evidence, {File: name}}})
	}
	add(b, "install", names...)
	b.Evidence = append(b.Evidence, plan.Evidence{File: name})
	return nil
}

// group are the requirements of a dependency group and of those that it includes (PEP 735). It is not ok where one is not there, includes itself,
// or has something else in it.
func (p *Project) group(name string, within []string) (requirements []string, ok bool) {
	name = NormalizeName(name)
	for _, key := range sortedKeys(p.fields.Groups) {
		list, is := p.fields.Groups[key].([]any)
		if NormalizeName(key) != name || !is || slices.Contains(within, name) {
			continue
		}
		for _, e := range list {
			switch e := e.(type) {
			case string:
				requirements = append(requirements, e)
			case map[string]any:
				included, _ := e["include-group"].(string)
				more, ok := p.group(included, append(slices.Clone(within), name))
				if !ok {
					return nil, false
				}
				requirements = append(requirements, more...)
			default:
				return nil, false
			}
		}
		return requirements, true
	}
	return nil, false
}

// compileNames reads what pip takes for --no-binary.
func compileNames(v string) []string {
	var out []string
	for _, n := range settingWords(v) {
		switch n {
		case ":all:":
			out = append(out, n)
		case ":none:":
		default:
			out = append(out, NormalizeName(n))
		}
	}
	return out
}

// project says which folder of the tree a build's options are seen from: that of the first file that it names.
func (p planner) project(b *plan.Build, abs, from string, fresh *bool) {
	if *fresh {
		*fresh = false
		b.Dir, b.Folder = path.Dir(abs), path.Dir(from)
	}
}

// requirements adds a requirements file.
func (p planner) requirements(b *plan.Build, file, option string, fresh *bool) {
	abs := plan.Abs(p.c.Dir, file)
	o, _ := p.Lookup(abs)
	if of, ok := p.CopyOf(o); ok && p.Tree.Has(of) {
		o = plan.Origin{Kind: plan.Source, Path: of}
	}
	switch {
	case o.Kind == plan.Source:
		p.project(b, abs, o.Path, fresh)
		add(b, option, relativePath(b.Folder, o.Path))
		b.Evidence = append(b.Evidence, plan.Evidence{File: o.Path})
		b.Sources = sorted(append(b.Sources, p.requirementFiles(o.Path)...))
	case o.Kind == plan.Product && o.Build.Ecosystem == "python" && o.Build != b:
		p.takeOver(b, o.Build)
	default:
		p.Notes.Ask(plan.Question{
			About: "components", Ask: fmt.Sprintf("%s is installed from, and is no file of the source; what does it say?", abs), Looked: []plan.Evidence{p.c.Evidence},
		})
	}
}

// requirementFiles are a requirements file and what it includes, as far as they can be read.
func (p planner) requirementFiles(name string) []string {
	f, err := ReadRequirements(name, p.Tree.Read)
	if err != nil {
		p.Notes.Ask(plan.Question{About: "components", Ask: err.Error(), Looked: []plan.Evidence{p.c.Evidence, {File: name}}})
	}
	for _, at := range f.Indexes {
		p.Notes.Remark("the upstream's requirements name another index, "+at+"; here the operator's settings say where packages are", plan.Evidence{File: name})
	}
	return slices.DeleteFunc(f.Files, func(n string) bool { return !p.Tree.Has(n) })
}

// takeOver gives a build all that another, which is no environment itself, would install: an exported lock, a folder of wheels.
func (p planner) takeOver(b, from *plan.Build) {
	for _, placed := range slices.Clone(p.Files.Placements()) {
		if placed.Origin.Kind == plan.Product && placed.Origin.Build == from && from.Options["venv"] == exported {
			p.Files.Remove(placed.At) // it has done what it was for
		}
	}
	b.Before = p.Files.Clone()
	venv := b.Options["venv"]
	for k, v := range from.Options {
		b.Options[k] = v
	}
	b.Options["venv"] = venv
	b.Dir, b.Folder, b.At, b.Sources = from.Dir, from.Folder, from.At, slices.Clone(from.Sources)
	b.Evidence = append(b.Evidence, from.Evidence...)
	b.Needs, b.RunNeeds, b.Programs = slices.Clone(from.Needs), slices.Clone(from.RunNeeds), slices.Clone(from.Programs)
}

// installed adds a package, a folder, or files of wheels that another build made.
func (p planner) installed(b *plan.Build, prefix, what string, fresh *bool) {
	name, extras := what, ""
	if i := strings.IndexByte(what, '['); i >= 0 {
		name, extras = what[:i], what[i:]
	}
	abs := plan.Abs(p.c.Dir, name)
	if !isPath(what) && !(strings.HasPrefix(prefix, "-e") && !strings.Contains(what, "://")) && !strings.Contains(name, "*") {
		if made := p.wheelOf(bareName(what)); made != nil {
			p.takeOver(b, made)
			return
		}
		if _, err := ParseRequirementLine(what); err != nil {
			p.Notes.Ask(plan.Question{About: "components", Ask: "what is installed is not understood: " + err.Error(), Looked: []plan.Evidence{p.c.Evidence}})
			return
		}
		add(b, "install", prefix+what)
		return
	}
	for _, at := range []string{abs, path.Dir(abs)} {
		if o, _ := p.Lookup(at); o.Kind == plan.Product && o.Build.Ecosystem == "python" && o.Build != b && o.Build.Options["venv"] == exported {
			p.takeOver(b, o.Build)
			return
		}
	}
	from, ok := p.folderOf(abs)
	if !ok {
		p.Notes.Ask(plan.Question{About: "components", Ask: fmt.Sprintf("%s is installed, and nothing of the source stands there", abs), Looked: []plan.Evidence{p.c.Evidence}})
		return
	}
	p.project(b, path.Join(abs, "x"), path.Join(from, "x"), fresh)
	at := relativePath(b.Folder, from)
	if !strings.HasPrefix(at, ".") {
		at = "./" + at
	}
	add(b, "install", prefix+at+extras)
	if from == "." || from == b.Folder {
		b.Sources = nil // all that stands there
		if from == b.Folder {
			b.Dir = abs
		}
		return
	}
	if b.Sources != nil || !hasFolder(b) {
		b.Sources = sorted(append(b.Sources, from))
	}
}

// hasFolder tells whether the build has the folder itself among what it installs, and so sees all of it.
func hasFolder(b *plan.Build) bool {
	list, _ := b.Options["install"].([]string)
	return slices.ContainsFunc(list, func(s string) bool {
		l, err := ParseRequirementLine(s)
		return err == nil && l.Path == "."
	})
}

// folderOf is the folder of the tree that stands at a path, by itself or by its manifest.
func (p planner) folderOf(abs string) (string, bool) {
	for _, manifest := range []string{"pyproject.toml", "setup.py", "setup.cfg"} {
		if from, ok := p.SourceOf(path.Join(abs, manifest)); ok {
			return path.Dir(from), true
		}
	}
	return p.SourceOf(abs)
}

// wheelOf is a build of the stage, or of those that it copies from, that made a wheel of the project of that name.
func (p planner) wheelOf(name string) *plan.Build {
	for _, placed := range p.Files.Placements() {
		b := placed.Origin.Build
		if placed.Origin.Kind != plan.Product || b.Ecosystem != "python" || b.Options["venv"] != exported || name == "" {
			continue
		}
		if own, err := p.projectName(b.Dir); err == nil && own == name || slices.Contains(b.Programs, name) && own != "" {
			return b
		}
	}
	return nil
}

// wheel makes wheels in a folder, which something installs later: it stands for what they are made of.
func (p planner) wheel(words []string) error {
	operands, flags := arguments(words, pipValued()...)
	out := "."
	for _, f := range flags {
		if f.name == "-w" || f.name == "--wheel-dir" {
			out = f.value
		}
	}
	b := p.NewBuild("python", p.c.Dir, p.c.Evidence)
	b.Options["venv"], b.Only, b.Passed = exported, true, true
	if err := p.pipFill(b, operands, flags); err != nil {
		return err
	}
	if at := plan.Abs(p.c.Dir, out); at != p.c.Dir {
		p.Makes(b, plan.Output{At: at}, p.c.Evidence)
	}
	return nil
}

// sdistsOf adds what the packages of requirements need of the distribution, as far as their names tell that they are compiled.
func (p planner) sdistsOf(b *plan.Build, _ interpreterOf) {
	compile, _ := b.Options["compile"].([]string)
	table := nativeTable()
	var names []string
	note := func(l RequirementLine) {
		if l.Path == "" {
			names = append(names, l.Name)
		}
		if l.Name == "psycopg" && slices.Contains(l.Requirement.Extras, "c") {
			names = append(names, "psycopg-c")
		}
	}
	for _, option := range []string{"requirements", "install"} {
		list, _ := b.Options[option].([]string)
		for _, item := range list {
			if option == "install" {
				if l, err := ParseRequirementLine(item); err == nil {
					note(l)
				}
				continue
			}
			if f, err := ReadRequirements(path.Join(b.Folder, item), p.Tree.Read); err == nil {
				for _, l := range f.Lines {
					note(l)
				}
				compile = append(slices.Clone(compile), f.NoBinary...)
			}
		}
	}
	p.linked(b, unique(names), p.c.Evidence)
	for _, name := range unique(names) {
		n, known := table[name]
		b.Programs = sorted(append(b.Programs, name))
		if known && n.sdist || slices.Contains(compile, name) || slices.Contains(compile, ":all:") && known {
			p.system(b, []string{name}, p.c.Evidence)
		}
	}
	b.Programs = sorted(append(b.Programs, p.scripts(b.Dir)...))
}

// relativePath is p seen from dir, both in the tree.
func relativePath(dir, p string) string {
	a, b := strings.Split(path.Clean(dir), "/"), strings.Split(path.Clean(p), "/")
	if dir == "." {
		a = nil
	}
	if p == "." {
		b = nil
	}
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	if out := path.Join(strings.Repeat("../", len(a)), path.Join(b...)); out != "" {
		return out
	}
	return "."
}
