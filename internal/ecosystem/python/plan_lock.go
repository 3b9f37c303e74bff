package python

import (
	"crypto/sha256"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"headwater/internal/plan"
)

// fromLock reads which packages a lock brings and says what follows: system packages, executables, the files of the source that
// it sees. A lock that is missing or does not read is an open question.
func (p planner) fromLock(b *plan.Build, top, file string, i interpreterOf, w selection) error {
	at := path.Join(top, file)
	data, name, err := p.ReadFile(at)
	if err != nil {
		p.Notes.Ask(plan.Question{
			About: "components", Ask: fmt.Sprintf("%s installs a project without a %s in the source: nothing pins its dependencies", p.c.Args[0], file),
			Looked: []plan.Evidence{p.c.Evidence},
		})
		p.sources(b, top, nil)
		return nil
	}
	e := plan.Evidence{File: name}
	b.Evidence = append(b.Evidence, e)
	packages, members, err := p.readLock(data, top, file, i, w)
	if err != nil {
		p.Notes.Ask(plan.Question{About: "components", Ask: fmt.Sprintf("%s: %v", name, err), Looked: []plan.Evidence{p.c.Evidence, e}})
		p.sources(b, top, nil)
		return nil
	}
	if w.allPackages {
		add(b, "packages", members...)
	}
	for _, m := range packages {
		if w.noMembers && m.member() && m.Dir != "." {
			add(b, "exclude", m.Name)
		}
	}
	excluded, _ := b.Options["exclude"].([]string)
	packages = slices.DeleteFunc(packages, func(m Package) bool { return slices.Contains(excluded, m.Name) })
	p.packages(b, packages, i, w, e)
	p.sources(b, top, packages)
	p.keepLock(b)
	return p.git(packages, e)
}

// readLock selects a lock's packages as locking will.
func (p planner) readLock(data []byte, top, file string, i interpreterOf, w selection) (packages []Package, members []string, err error) {
	want := Wanted{Environment: i.environment(), Groups: w.groups, Extras: w.extras, Packages: w.packages, Project: w.project}
	if file == "poetry.lock" {
		manifest, _, err := p.ReadFile(path.Join(top, "pyproject.toml"))
		if err != nil {
			return nil, nil, err
		}
		project, err := ParseProject(manifest)
		if err != nil {
			return nil, nil, err
		}
		packages, err = ReadPoetry(data, project, want)
		return packages, nil, err
	}
	sum := sha256.Sum256(data)
	known, err := p.Tree.Once(fmt.Sprintf("uv.lock %x", sum), func() (any, error) { return parseUV(data) })
	if err != nil {
		return nil, nil, err
	}
	parsed := known.(*uvLock)
	members = parsed.members()
	if w.allPackages {
		want.Packages = members
	}
	read, err := p.Tree.Once(fmt.Sprintf("uv.lock %x %+v", sum, want), func() (any, error) { return parsed.choose(want) })
	if err != nil {
		return nil, nil, err
	}
	return read.([]Package), members, nil
}

// packages says what follows of the packages that an environment has.
func (p planner) packages(b *plan.Build, list []Package, i interpreterOf, w selection, e plan.Evidence) {
	env := i.environment()
	all, names := w.compileAll, slices.Clone(w.compile)
	settingsAll, settings := p.noBinarySettings(b.Dir)
	var sdists, compiled []string
	b.Programs = nil
	for _, pkg := range list {
		b.Programs = append(b.Programs, pkg.Name)
		if pkg.member() {
			continue
		}
		if all || slices.Contains(names, pkg.Name) {
			compiled = append(compiled, pkg.Name)
		}
		var files []string
		for _, f := range pkg.Files {
			files = append(files, f.File)
		}
		source := all || settingsAll || slices.Contains(names, pkg.Name) || slices.Contains(settings, pkg.Name)
		if _, sdist, err := env.Choose(files, source); err == nil && sdist {
			sdists = append(sdists, pkg.Name)
		}
	}
	add(b, "compile", compiled...)
	p.system(b, sdists, e)
	p.linked(b, b.Programs, e)
	b.Programs = sorted(append(b.Programs, p.scripts(b.Dir)...))
}

// linked adds the library of C++ for wheels that are linked with it: they expect it of the system (PEP 600), and every image of Debian has it.
func (p planner) linked(b *plan.Build, names []string, e plan.Evidence) {
	for _, name := range names {
		if linkedWithCXX(name) {
			e.Rule = name + " is linked with it"
			b.RunNeeds = needs(b.RunNeeds, e, "libstdc++6")
		}
	}
}

// linkedWithCXX tells whether a package's wheel, or that of one that it always brings, has a part in C++.
func linkedWithCXX(name string) bool {
	return nativeTable()[name].cxx || slices.Contains([]string{"greenlet", "gevent", "playwright", "sqlalchemy", "numpy", "pandas", "scipy", "opencv-python", "opencv-python-headless", "grpcio", "onnxruntime", "pyarrow", "torch"}, name)
}

// system adds the distribution's packages that sdists need.
func (p planner) system(b *plan.Build, sdists []string, e plan.Evidence) {
	for _, name := range sorted(sdists) {
		build, run := SystemPackages([]string{name})
		e.Rule = name + " is compiled"
		b.Needs = needs(b.Needs, e, build...)
		for _, i := range b.RunNeeds {
			if nativeTable()[NormalizeName(name)].embeds && pythonPackage.MatchString(i.Name) {
				run = append(run, "lib"+i.Name)
			}
		}
		b.RunNeeds = needs(b.RunNeeds, e, run...)
	}
}

// pythonPackage is Debian's package of one version of the interpreter.
var pythonPackage = regexp.MustCompile(`^python3\.[0-9]+$`)

// noBinarySettings are what the project's own files say is compiled, which locking reads by itself.
func (p planner) noBinarySettings(dir string) (all bool, names []string) {
	if data, _, err := p.ReadFile(path.Join(dir, "poetry.toml")); err == nil {
		all, names, _ = PoetryNoBinary(data) // a broken one is locking's to report
	}
	if data, _, err := p.ReadFile(path.Join(dir, "pyproject.toml")); err == nil {
		if project, err := ParseProject(data); err == nil {
			all = all || project.fields.Tool.UV.NoBinary
			names = append(names, project.fields.Tool.UV.NoBinaryPackage...)
		}
	}
	return all, unique(names)
}

// scripts are the executables that the project's manifest declares.
func (p planner) scripts(dir string) []string {
	data, _, err := p.ReadFile(path.Join(dir, "pyproject.toml"))
	if err != nil {
		return nil
	}
	project, err := ParseProject(data)
	if err != nil {
		return nil
	}
	return project.Scripts()
}

// git notes what comes from git repositories: not from a registry.
func (p planner) git(packages []Package, e plan.Evidence) error {
	for _, pkg := range packages {
		if pkg.Git != "" {
			p.Notes.Remark(fmt.Sprintf("%s %s comes from a git repository, %s", pkg.Name, pkg.Version, pkg.Git), e)
		}
	}
	return nil
}

// sources are the files of the tree that the environment's own builds see: its project's manifests and its members' folders. An
// environment that has the project itself sees all that stands in its folder.
func (p planner) sources(b *plan.Build, top string, packages []Package) {
	b.Sources, b.Alone = nil, false
	var globs []string
	for _, name := range []string{"pyproject.toml", "uv.lock", "uv.toml", "poetry.lock", "poetry.toml", "setup.py", "setup.cfg"} {
		if from, ok := p.SourceOf(path.Join(top, name)); ok {
			globs = append(globs, from)
		}
	}
	for _, pkg := range packages {
		if !pkg.member() {
			continue
		}
		if pkg.Dir == "." {
			return
		}
		at := path.Join(top, pkg.Dir)
		from, ok := p.SourceOf(at)
		if !ok {
			p.Notes.Ask(plan.Question{About: "components", Ask: fmt.Sprintf("the package %s is a folder, %s, and nothing of the source stands there", pkg.Name, at), Looked: []plan.Evidence{p.c.Evidence}})
			continue
		}
		globs = append(globs, from)
	}
	b.Sources, b.Alone = sorted(globs), len(globs) > 0
}

// extras are the project's, sorted.
func (p *Project) extras() []string {
	project, _ := p.raw["project"].(map[string]any)
	list, _ := project["optional-dependencies"].(map[string]any)
	names := sortedKeys(list)
	if tool, ok := p.raw["tool"].(map[string]any); ok {
		if poetry, ok := tool["poetry"].(map[string]any); ok {
			more, _ := poetry["extras"].(map[string]any)
			names = append(names, sortedKeys(more)...)
		}
	}
	return sorted(unique(names))
}

// Scripts are the executables that the project declares, sorted.
func (p *Project) Scripts() []string {
	var names []string
	project, _ := p.raw["project"].(map[string]any)
	for _, key := range []string{"scripts", "gui-scripts"} {
		list, _ := project[key].(map[string]any)
		names = append(names, sortedKeys(list)...)
	}
	if tool, ok := p.raw["tool"].(map[string]any); ok {
		if poetry, ok := tool["poetry"].(map[string]any); ok {
			list, _ := poetry["scripts"].(map[string]any)
			names = append(names, sortedKeys(list)...)
		}
	}
	return sorted(names)
}

// uvDefaultGroups are the groups that uv installs unless it is told otherwise.
func (p *Project) uvDefaultGroups() []string {
	tool, _ := p.raw["tool"].(map[string]any)
	uv, _ := tool["uv"].(map[string]any)
	all := slices.DeleteFunc(p.PoetryGroups(), func(g string) bool { return g == MainGroup })
	_, old := uv["dev-dependencies"]
	switch list := uv["default-groups"].(type) {
	case string:
		if list == "all" {
			return all
		}
	case []any:
		var out []string
		for _, g := range list {
			if s, ok := g.(string); ok {
				out = append(out, NormalizeName(s))
			}
		}
		return out
	}
	if old || slices.Contains(all, "dev") {
		return []string{"dev"}
	}
	return nil
}

// isPath tells whether what is to be installed is a folder or a file, not a name.
func isPath(s string) bool {
	return s == "." || strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../") || strings.HasPrefix(s, "/") || strings.HasPrefix(s, ".[") ||
		(strings.HasSuffix(s, ".whl") || strings.HasSuffix(s, ".tar.gz")) && !strings.Contains(s, "://")
}
