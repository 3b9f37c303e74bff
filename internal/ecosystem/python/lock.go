package python

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"headwater/internal/artifact"
	"headwater/internal/ecosystem"
	"headwater/internal/lock"
	"headwater/internal/toml"
)

// RoleBuild marks an artifact that only builds need.
const RoleBuild = "build"

// Lock implements ecosystem.Ecosystem.
func (Ecosystem) Lock(ctx context.Context, r ecosystem.LockRequest) (lock.Component, error) {
	l, err := newLocker(r)
	if err != nil {
		return lock.Component{}, err
	}
	packages, err := l.read(ctx)
	if err != nil {
		return lock.Component{}, err
	}
	if l.constraints, err = ParseRequirements(l.data.BuildConstraints); err != nil {
		return lock.Component{}, fmt.Errorf("read build constraints: %w", err)
	}
	// All that cannot be locked is told at once.
	var errs []error
	for _, p := range packages {
		if err := l.pkg(ctx, p); err != nil {
			errs = append(errs, fmt.Errorf("package %s %s: %w", p.Name, p.Version, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	if err := errors.Join(errs...); err != nil {
		return lock.Component{}, err
	}
	return l.result()
}

// locker locks one component.
type locker struct {
	ecosystem.LockRequest
	options     options
	env         Environment
	dir         string // of the lock file, in the source: the project's
	compile     map[string]bool
	all         bool // everything is compiled
	constraints []Requirement

	data   data
	make   *maker          // its files and sdists grow as they are locked
	run    map[string]bool // files that the environment itself is made of
	chosen map[string]bool // packages whose versions are not the upstream's choice
	old    previous

	stands   map[string]stand  // by file
	inside   map[string]string // by file of a repository's tree: the folder that the package is in, "" for the top
	folders  []lock.Folder
	pages    map[string][]Candidate
	requires map[string][]Requirement // by file
}

// previous is what an earlier lock knew.
type previous struct {
	data  data
	files map[string]artifact.Artifact
	fits  bool // it was made for the same interpreter and constraints: what it chose for builds still holds
}

func newLocker(r ecosystem.LockRequest) (*locker, error) {
	o, err := parseOptions(r.Component)
	if err != nil {
		return nil, err
	}
	env, err := o.environment(r.Root)
	if err != nil {
		return nil, err
	}
	l := &locker{
		LockRequest: r, options: o, env: env, compile: map[string]bool{}, run: map[string]bool{}, chosen: map[string]bool{},
		data:   data{Python: env.Full, SDists: map[string]build{}, Install: []string{}},
		stands: map[string]stand{}, inside: map[string]string{}, pages: map[string][]Candidate{}, requires: map[string][]Requirement{},
	}
	l.data.BuildConstraints = slices.Clone(o.BuildConstraints)
	l.make = &maker{
		Maker: r.Maker, component: r.Name, root: r.RootNode, interpreter: env.interpreter(), env: r.Component.Env,
		files: map[string]artifact.Artifact{}, sdists: l.data.SDists,
	}
	for _, name := range o.Compile {
		l.force(name == compileAll, nil)
		l.compile[name] = name != compileAll
	}
	delete(l.compile, compileAll)
	// A lock of another shape is made anew: nothing of it is needed.
	if d, files, err := parseData(r.Previous); err == nil {
		l.old.data, l.old.files = d, files
	}
	return l, nil
}

// read selects the environment's packages: those of the upstream's lock, those that requirements ask for, or both.
func (l *locker) read(ctx context.Context) ([]Package, error) {
	var locked []Package
	l.dir = path.Clean(l.Component.Dir)
	if !l.options.resolves() || l.options.Lock != "" {
		var err error
		if locked, err = l.readLock(); err != nil {
			return nil, err
		}
	}
	l.old.fits = l.old.data.Python == l.env.Full && slices.Equal(l.old.data.BuildConstraints, l.data.BuildConstraints)
	locked, err := l.replace(ctx, locked)
	if err != nil {
		return nil, err
	}
	packages := locked
	if l.options.resolves() {
		more, err := l.choose(ctx, locked)
		if err != nil {
			return nil, err
		}
		for _, p := range more {
			if !p.member() {
				l.chosen[p.Name] = true
			}
		}
		packages = append(slices.Clone(locked), more...)
	}
	if err := l.checkNames(packages); err != nil {
		return nil, err
	}
	packages = slices.DeleteFunc(packages, func(p Package) bool { return slices.Contains(l.options.Exclude, p.Name) })
	return distinct(packages)
}

// readLock selects the packages of the upstream's lock, and notes what the project says must be compiled.
func (l *locker) readLock() ([]Package, error) {
	file, err := l.options.lockFile(l.Source, l.Component.Dir)
	if err != nil {
		return nil, err
	}
	l.dir = path.Dir(file)
	locked, err := fs.ReadFile(l.Source, file)
	if err != nil {
		return nil, err
	}
	project, err := l.project(l.dir)
	if err != nil {
		return nil, err
	}
	if project == nil {
		return nil, fmt.Errorf("no pyproject.toml is beside %s", file)
	}
	want := Wanted{Environment: l.env, Groups: l.options.Groups, Extras: l.options.Extras, Packages: l.options.Packages, Project: l.options.project()}
	var packages []Package
	if path.Base(file) == "uv.lock" {
		if err := l.uvSettings(project); err != nil {
			return nil, err
		}
		packages, err = ReadUV(locked, want)
	} else {
		if len(want.Packages) > 0 {
			return nil, errors.New("read options: packages are of uv's workspaces, the project has a poetry.lock")
		}
		if err := l.poetrySettings(); err != nil {
			return nil, err
		}
		packages, err = ReadPoetry(locked, project, want)
	}
	return packages, err
}

// checkNames sees to it that the options name packages that there are: a misspelt name would change nothing, silently.
func (l *locker) checkNames(packages []Package) error {
	for _, name := range slices.Concat(l.options.Compile, l.options.Exclude) {
		if name != compileAll && !slices.ContainsFunc(packages, func(p Package) bool { return p.Name == name }) {
			return fmt.Errorf("read options: compile or exclude names %s, which is not in the environment", name)
		}
	}
	return nil
}

// project reads the pyproject.toml in dir, nil if there is none.
func (l *locker) project(dir string) (*Project, error) {
	b, err := l.optional(path.Join(dir, "pyproject.toml"))
	if err != nil || b == nil {
		return nil, err
	}
	return ParseProject(b)
}

// optional reads a file of the source, nil if it is not there.
func (l *locker) optional(name string) ([]byte, error) {
	if !fs.ValidPath(name) {
		return nil, fmt.Errorf("%s is not in the source", name)
	}
	b, err := fs.ReadFile(l.Source, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

func (l *locker) poetrySettings() error {
	b, err := l.optional(path.Join(l.dir, "poetry.toml"))
	if err != nil || b == nil {
		return err
	}
	all, names, err := PoetryNoBinary(b)
	l.force(all, names)
	return err
}

// uvSettings reads uv.toml, which stands in for pyproject.toml's [tool.uv] where both are.
func (l *locker) uvSettings(project *Project) error {
	settings := project.fields.Tool.UV
	b, err := l.optional(path.Join(l.dir, "uv.toml"))
	if err != nil {
		return err
	}
	if b != nil {
		settings = uvSettings{}
		if err := toml.Unmarshal(b, &settings); err != nil {
			return fmt.Errorf("read uv.toml: %w", tomlError(err))
		}
	}
	l.force(settings.NoBinary, settings.NoBinaryPackage)
	// These stand in pyproject.toml only, where uv.toml is too.
	l.data.BuildConstraints = append(l.data.BuildConstraints, project.fields.Tool.UV.BuildConstraints...)
	return nil
}

func (l *locker) force(all bool, names []string) {
	l.all = l.all || all
	for _, n := range names {
		l.compile[NormalizeName(n)] = true
	}
}

// pkg locks one package of the environment.
func (l *locker) pkg(ctx context.Context, p Package) error {
	if p.member() {
		return l.member(ctx, p)
	}
	files := map[string]artifact.Artifact{}
	for _, a := range p.Files {
		files[a.File] = a
	}
	chosen, sdist, err := l.env.Choose(sortedKeys(files), l.all || l.compile[p.Name])
	if err != nil {
		return err
	}
	a := files[chosen]
	if err := l.take(a); err != nil {
		return err
	}
	l.run[chosen] = true
	l.data.Install = append(l.data.Install, chosen)
	if l.data.Resolved != nil && l.chosen[p.Name] {
		l.data.Resolved.Files = append(l.data.Resolved.Files, chosen)
	}
	if !sdist {
		return nil
	}
	return l.sdist(ctx, a)
}

// take notes an artifact. Two files of one name that differ would be mistaken for one another.
func (l *locker) take(a artifact.Artifact) error {
	old, ok := l.make.files[a.File]
	if ok && old.Hash != a.Hash {
		return fmt.Errorf("file %s is locked with two hashes, %s and %s", a.File, old.Hash, a.Hash)
	}
	if ok {
		old.Hint, old.Size = cmp.Or(old.Hint, a.Hint), cmp.Or(old.Size, a.Size)
		a = old
	}
	l.make.files[a.File] = a
	return nil
}

// result puts the lock together, sorted. Candidates that were looked at and not chosen are no part of it.
func (l *locker) result() (lock.Component, error) {
	slices.Sort(l.data.Install)
	if l.data.Resolved != nil {
		slices.Sort(l.data.Resolved.Files)
	}
	keep := map[string]bool{}
	var reach func(files []string)
	reach = func(files []string) {
		for _, f := range files {
			if !keep[f] {
				keep[f] = true
				reach(l.data.SDists[f].Env)
				reach(l.data.SDists[f].Crates)
			}
		}
	}
	reach(l.data.Install)
	for _, m := range l.data.Members {
		reach(m.Env)
	}
	for _, sdist := range sortedKeys(l.data.SDists) {
		if !keep[sdist] {
			delete(l.data.SDists, sdist)
		}
	}
	out := lock.Component{Artifacts: []lock.Artifact{}, Folders: slices.SortedFunc(slices.Values(l.folders), func(a, b lock.Folder) int { return strings.Compare(a.Name, b.Name) })}
	for _, f := range sortedKeys(keep) {
		a := l.make.files[f]
		role := ""
		switch {
		case !l.run[f]:
			role = RoleBuild
		case l.data.Resolved != nil && !l.data.Resolved.Exact && slices.Contains(l.data.Resolved.Files, f):
			role = RoleChosen
		}
		out.Artifacts = append(out.Artifacts, lock.Artifact{
			Ecosystem: a.Ecosystem, Name: a.Name, Version: a.Version, File: a.File, Hash: a.Hash, Size: a.Size, Hint: a.Hint, Role: role,
			By: l.stands[f].by, Instead: l.stands[f].instead,
		})
	}
	slices.SortFunc(out.Artifacts, func(a, b lock.Artifact) int {
		return cmp.Or(strings.Compare(string(a.Ecosystem), string(b.Ecosystem)), strings.Compare(a.Name, b.Name), strings.Compare(a.Version, b.Version), strings.Compare(a.File, b.File))
	})
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(l.data); err != nil {
		return out, err
	}
	out.Data = bytes.TrimSpace(text.Bytes())
	return out, nil
}
