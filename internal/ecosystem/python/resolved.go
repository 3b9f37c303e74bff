package python

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"headwater/internal/artifact"
	"headwater/internal/recipe"
)

// RoleChosen marks an artifact of the environment whose version is Headwater's choice: the upstream's files leave it open.
const RoleChosen = "chosen"

// resolved is what versions were chosen for, where the upstream's files leave them open.
type resolved struct {
	For   []string `json:"for"`             // what is to be installed and what bounds it, as the files say it
	Files []string `json:"files"`           // what was chosen, sorted
	Exact bool     `json:"exact,omitempty"` // the upstream's files name every version and hash, so nothing was left to choose
}

// GitError says which packages come from git repositories, which no registry has.
type GitError struct{ Packages []Package }

func (e *GitError) Error() string {
	list := make([]string, len(e.Packages))
	for i, p := range e.Packages {
		list[i] = fmt.Sprintf("%s %s (%s)", p.Name, p.Version, p.Git)
	}
	return fmt.Sprintf("%d packages come from git repositories, which no registry has: %s", len(list), strings.Join(list, ", "))
}

// Hint says what to do.
func (e *GitError) Hint() string {
	var list []string
	for _, p := range e.Packages {
		key := recipe.ReplacedOf(artifact.Artifact{Ecosystem: artifact.PyPI, Name: p.Name, Version: p.Version})
		list = append(list, fmt.Sprintf("\n    %s: {version: …}", key))
	}
	return "in a requirements file or the option install, write a version of the registry or an address of an archive in their place; for packages of a lock, name\nwhat stands in for them in headwater.yaml, a version, a url, a file beside the recipe, or a folder of the source (source: …):\n\n  replace:" + strings.Join(list, "")
}

// requirements reads what is to be installed beyond a lock: the component's requirements files, then its own list.
func (l *locker) requirements() (*RequirementsFile, error) {
	all := &RequirementsFile{}
	read := func(name string) ([]byte, error) {
		if !fs.ValidPath(name) {
			return nil, fmt.Errorf("%s is not in the source", name)
		}
		return fs.ReadFile(l.Source, name)
	}
	for _, name := range l.options.Requirements {
		f, err := ReadRequirements(path.Join(l.Component.Dir, name), read)
		if err != nil {
			return nil, err
		}
		all.Lines = append(all.Lines, f.Lines...)
		all.Constraints = append(all.Constraints, f.Constraints...)
		all.NoBinary = append(all.NoBinary, f.NoBinary...)
	}
	for _, name := range l.options.Constraints {
		r := requirementsReader{out: all, read: read}
		if err := r.file(path.Join(l.Component.Dir, name), true); err != nil {
			return nil, err
		}
	}
	for _, text := range l.options.Install {
		line, err := ParseRequirementLine(text)
		if err != nil {
			return nil, fmt.Errorf("read options: install: %w", err)
		}
		if line.Path != "" {
			line.Path = path.Join(path.Clean(l.Component.Dir), line.Path)
		}
		all.Lines = append(all.Lines, line)
	}
	return all, nil
}

// choose selects packages for requirements. locked are those that a lock has already: they bound the choice and are not chosen again.
func (l *locker) choose(ctx context.Context, locked []Package) ([]Package, error) {
	f, err := l.requirements()
	if err != nil {
		return nil, err
	}
	all, names, err := parseCompile(f.NoBinary)
	if err != nil {
		return nil, err
	}
	l.force(all, names)
	lines := slices.DeleteFunc(f.Lines, func(r RequirementLine) bool { return r.Marker != nil && !r.Marker.Holds(l.env) })
	p := &offers{locker: l, fixed: map[string]offer{}}
	out, err := p.fix(ctx, lines)
	if err != nil {
		return nil, err
	}
	exact, err := hashed(lines)
	if err != nil {
		return nil, err
	}
	l.data.Resolved = &resolved{For: l.wants(lines, f.Constraints, p), Exact: exact}
	if old := l.old.data.Resolved; old != nil && l.old.data.Python == l.env.Full && slices.Equal(old.For, l.data.Resolved.For) {
		for _, file := range old.Files {
			a := l.old.files[file]
			out = append(out, Package{Name: a.Name, Version: a.Version, Files: []artifact.Artifact{a}})
		}
	} else if exact {
		out, err = l.pinned(ctx, lines, out)
	} else {
		out, err = l.open(ctx, p, lines, f.Constraints, locked, out)
	}
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(out, func(p Package) bool {
		return slices.ContainsFunc(locked, func(o Package) bool { return o.Name == p.Name })
	}), nil
}

func parseCompile(list []string) (all bool, names []string, err error) {
	var values []any
	for _, n := range list {
		values = append(values, n)
	}
	n, err := parseNoBinary(values)
	return n.all, n.names, err
}

// wants is what the choice depends on, as text.
func (l *locker) wants(lines []RequirementLine, constraints []Requirement, p *offers) []string {
	var out []string
	for _, r := range lines {
		out = append(out, r.String())
	}
	for _, c := range constraints {
		out = append(out, "-c "+c.String())
	}
	for _, name := range sortedKeys(p.fixed) {
		for _, r := range p.fixed[name].requires {
			out = append(out, name+": "+r.String())
		}
	}
	for _, name := range sortedKeys(l.compile) {
		out = append(out, "--no-binary "+name)
	}
	if l.all {
		out = append(out, "--no-binary "+compileAll)
	}
	return out
}

// hashed tells whether the lines pin all by hash. As for pip, one hash means that all must have one.
func hashed(lines []RequirementLine) (bool, error) {
	any := slices.ContainsFunc(lines, func(r RequirementLine) bool { return len(r.Hashes) > 0 })
	if !any {
		return false, nil
	}
	for _, r := range lines {
		if r.Path == "" && (len(r.Hashes) == 0 || r.URL == "" && !r.Specs.Pins()) {
			return false, fmt.Errorf("%s:%d: %s has no hash or no exact version, while others have", r.File, r.Line, r.Name)
		}
	}
	return true, nil
}

// pinned finds the files that lines name by version and hash.
func (l *locker) pinned(ctx context.Context, lines []RequirementLine, out []Package) ([]Package, error) {
	var errs []error
	for _, r := range lines {
		if r.Path != "" || r.URL != "" || slices.ContainsFunc(out, func(p Package) bool { return p.Name == r.Name }) {
			continue
		}
		releases, err := l.releases(ctx, r.Name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p := Package{Name: r.Name}
		for _, key := range sortedKeys(releases) {
			rel := releases[key]
			if !r.Specs.Contains(rel.version) {
				continue
			}
			for _, file := range sortedKeys(rel.files) {
				if a := rel.files[file]; slices.Contains(r.Hashes, a.Hash) {
					p.Version = a.Version
					p.Files = append(p.Files, a)
				}
			}
		}
		if len(p.Files) == 0 {
			errs = append(errs, fmt.Errorf("%s:%d: %s: the registry has no file with one of the %d hashes that fits Python %s", r.File, r.Line, r.Requirement, len(r.Hashes), l.env.Full))
			continue
		}
		out = append(out, p)
	}
	return out, errors.Join(errs...)
}

// open chooses versions for lines that leave them open, and for all that these need.
func (l *locker) open(ctx context.Context, p *offers, lines []RequirementLine, constraints []Requirement, locked, out []Package) ([]Package, error) {
	r := Resolver{Provider: p, Environment: l.env, Prefer: map[string]Version{}, Constraints: slices.Clone(constraints)}
	if l.old.data.Resolved != nil {
		l.addVersions(r.Prefer, l.old.data.Resolved.Files)
	}
	for _, k := range locked {
		c, err := ParseRequirement(k.Name + "==" + k.Version)
		if err == nil && !k.member() {
			r.Constraints = append(r.Constraints, c)
		}
	}
	var want []Requirement
	for _, line := range lines {
		q := line.Requirement
		if line.Path != "" {
			q = Requirement{Name: p.folders[line.Path], Extras: line.Extras, text: line.String()}
		}
		q.URL, q.Marker = "", nil
		want = append(want, q)
	}
	chosen, err := r.Resolve(ctx, want)
	if err != nil {
		return nil, err
	}
	for _, c := range chosen {
		if _, fixed := p.fixed[c.Name]; fixed {
			continue
		}
		releases, err := l.releases(ctx, c.Name)
		if err != nil {
			return nil, err
		}
		pkg := Package{Name: c.Name, Version: c.Version.String()}
		rel := releases[versionKey(c.Version)]
		for _, file := range sortedKeys(rel.files) {
			pkg.Files = append(pkg.Files, rel.files[file])
		}
		out = append(out, pkg)
	}
	return out, nil
}

// releases are the versions that the registry has of a package.
func (l *locker) releases(ctx context.Context, name string) (map[string]*release, error) {
	page, err := l.Network.Index(ctx, artifact.PyPI, name)
	if err != nil {
		return nil, err
	}
	return parseReleases(page, name, l.env)
}
