package python

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"headwater/internal/artifact"
	"headwater/internal/ecosystem"
	"headwater/internal/lock"
)

// RoleBuild marks an artifact that only builds need.
const RoleBuild = "build"

// Lock implements ecosystem.Ecosystem.
func (Ecosystem) Lock(ctx context.Context, r ecosystem.LockRequest) (lock.Component, error) {
	l, err := newLocker(r)
	if err != nil {
		return lock.Component{}, err
	}
	packages, err := l.read()
	if err != nil {
		return lock.Component{}, err
	}
	if l.constraints, err = ParseRequirements(l.data.BuildConstraints); err != nil {
		return lock.Component{}, fmt.Errorf("read build constraints: %w", err)
	}
	for _, p := range packages {
		if err := l.pkg(ctx, p); err != nil {
			return lock.Component{}, fmt.Errorf("package %s %s: %w", p.Name, p.Version, err)
		}
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

	data data
	make *maker          // its files and sdists grow as they are locked
	run  map[string]bool // files that the environment itself is made of
	old  previous

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
		LockRequest: r, options: o, env: env, compile: map[string]bool{}, run: map[string]bool{},
		data:  data{Python: env.Full, SDists: map[string]build{}, Install: []string{}},
		pages: map[string][]Candidate{}, requires: map[string][]Requirement{},
	}
	l.data.BuildConstraints = slices.Clone(o.BuildConstraints)
	l.make = &maker{
		Maker: r.Maker, component: r.Name, root: r.RootNode, interpreter: env.interpreter(), env: r.Component.Env,
		files: map[string]artifact.Artifact{}, sdists: l.data.SDists,
	}
	for _, name := range o.Compile {
		l.compile[name] = true
	}
	// A lock of another shape is made anew: nothing of it is needed.
	if d, files, err := parseData(r.Previous); err == nil {
		l.old.data, l.old.files = d, files
	}
	return l, nil
}

// read selects the environment's packages, and notes what the project says must be compiled.
func (l *locker) read() ([]Package, error) {
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
	if err != nil {
		return nil, err
	}
	l.old.fits = l.old.data.Python == l.env.Full && slices.Equal(l.old.data.BuildConstraints, l.data.BuildConstraints)
	return packages, l.checkNames(packages)
}

// checkNames sees to it that the options name packages that there are: a misspelt name would change nothing, silently.
func (l *locker) checkNames(packages []Package) error {
	for _, name := range l.options.Compile {
		if !slices.ContainsFunc(packages, func(p Package) bool { return p.Name == name }) {
			return fmt.Errorf("read options: compile names %s, which is not in the environment", name)
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

// sdist locks how an sdist is built, once.
func (l *locker) sdist(ctx context.Context, a artifact.Artifact) error {
	if _, done := l.data.SDists[a.File]; done {
		return nil
	}
	if kept, err := l.keep(ctx, a); err != nil || kept {
		return err
	}
	file, got, err := l.Network.Get(ctx, a)
	if err != nil {
		return err
	}
	a.Size = got.Size
	if err := l.take(a); err != nil {
		return err
	}
	project, err := ReadSDistProject(file)
	if err != nil {
		return err
	}
	fetch, err := l.Maker.Fetch(a)
	if err != nil {
		return err
	}
	b, err := l.build(ctx, a.Name, project.Build(), l.oldEnv(a.Name), func(b build) (hookNode, error) {
		return onSDist(a, fetch, b, "requires-wheel"), nil
	})
	if err != nil {
		return err
	}
	l.data.SDists[a.File] = b
	return nil
}

// keep takes over how the previous lock builds the sdist, if it is the same file and nothing else that matters changed.
func (l *locker) keep(ctx context.Context, a artifact.Artifact) (bool, error) {
	old, ok := l.old.data.SDists[a.File]
	if !ok || !l.old.fits || l.old.files[a.File].Hash != a.Hash || !l.sameRequires(a.Name, old) {
		return false, nil
	}
	a.Size = l.old.files[a.File].Size
	if err := l.take(a); err != nil {
		return false, err
	}
	l.data.SDists[a.File] = old
	return true, l.keepEnv(ctx, old.Env)
}

// keepEnv takes over a build environment.
func (l *locker) keepEnv(ctx context.Context, env []string) error {
	for _, file := range env {
		a := l.old.files[file]
		if err := l.take(a); err != nil {
			return err
		}
		if !isWheel(file) {
			if err := l.sdist(ctx, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// sameRequires tells whether the recipe adds the same requirements to a package's as it did.
func (l *locker) sameRequires(name string, old build) bool {
	return slices.Equal(old.Added, slices.Sorted(slices.Values(l.options.BuildRequires[name])))
}

// build resolves a package's build requirements: those that it states, then with those that its backend asks for. ask gives
// the node to ask the backend with; it is nil where the backend is not to be asked.
func (l *locker) build(ctx context.Context, name string, system BuildSystem, prefer map[string]Version, ask func(build) (hookNode, error)) (build, error) {
	b := build{
		Backend: system.Backend, BackendPath: system.BackendPath,
		Requires: slices.Sorted(slices.Values(system.Requires)), Added: slices.Sorted(slices.Values(l.options.BuildRequires[name])),
	}
	if err := l.resolve(ctx, &b, prefer); err != nil {
		return b, err
	}
	if ask == nil {
		return b, nil
	}
	h, err := ask(b)
	if err != nil {
		return b, err
	}
	n, err := l.make.hook(h)
	if err != nil {
		return b, err
	}
	dir, err := l.Realise(ctx, n)
	if err != nil {
		return b, fmt.Errorf("ask the build backend %s for its requirements: %w", b.Backend, err)
	}
	if b.Dynamic, err = readRequires(dir); err != nil || len(b.Dynamic) == 0 {
		return b, err
	}
	return b, l.resolve(ctx, &b, prefer)
}

// readRequires reads what build.py wrote.
func readRequires(dir string) ([]string, error) {
	f, err := os.Open(filepath.Join(dir, "requires.json"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := readLimited(f)
	if err != nil {
		return nil, err
	}
	var list []string
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("read the build backend's requirements: %w", err)
	}
	return list, nil
}

// resolve chooses b's environment.
func (l *locker) resolve(ctx context.Context, b *build, prefer map[string]Version) error {
	requirements, err := ParseRequirements(slices.Concat(b.Requires, b.Added, b.Dynamic))
	if err != nil {
		return err
	}
	r := Resolver{Provider: l, Environment: l.env, Prefer: prefer, Constraints: l.constraints}
	chosen, err := r.Resolve(ctx, requirements)
	if err != nil {
		return err
	}
	b.Env = []string{}
	for _, c := range chosen {
		if err := l.take(c.Artifact); err != nil {
			return err
		}
		if c.SDist {
			if err := l.sdist(ctx, c.Artifact); err != nil {
				return fmt.Errorf("build requirement %s %s: %w", c.Name, c.Version, err)
			}
		}
		b.Env = append(b.Env, c.Artifact.File)
	}
	slices.Sort(b.Env)
	return nil
}

// Candidates implements Provider.
func (l *locker) Candidates(ctx context.Context, name string) ([]Candidate, error) {
	if list, ok := l.pages[name]; ok {
		return list, nil
	}
	page, err := l.Network.Index(ctx, artifact.PyPI, name)
	if err != nil {
		return nil, err
	}
	list, err := ParseIndex(page, name, l.env)
	if err != nil {
		return nil, err
	}
	l.pages[name] = list
	return list, nil
}

// Requires implements Provider. A candidate without wheel is built to learn what it needs.
func (l *locker) Requires(ctx context.Context, c Candidate) ([]Requirement, error) {
	if list, ok := l.requires[c.Artifact.File]; ok {
		return list, nil
	}
	file, err := l.wheelOf(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("build requirement %s %s: %w", c.Name, c.Version, err)
	}
	m, err := ReadWheelMetadata(file)
	if err == nil && NormalizeName(m.Name) != c.Name {
		err = fmt.Errorf("%s is a wheel of %q", c.Artifact.File, m.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("build requirement %s %s: %w", c.Name, c.Version, err)
	}
	l.requires[c.Artifact.File] = m.RequiresDist
	return m.RequiresDist, nil
}

// wheelOf is a wheel of the candidate.
func (l *locker) wheelOf(ctx context.Context, c Candidate) (string, error) {
	if !c.SDist {
		file, _, err := l.Network.Get(ctx, c.Artifact)
		return file, err
	}
	if slices.Contains(l.make.building, c.Artifact.File) {
		return "", errors.New("is needed to build itself, and has no wheel")
	}
	l.make.building = append(l.make.building, c.Artifact.File)
	err := errors.Join(l.take(c.Artifact), l.sdist(ctx, c.Artifact))
	l.make.building = l.make.building[:len(l.make.building)-1]
	if err != nil {
		return "", err
	}
	n, err := l.make.wheel(c.Artifact.File)
	if err != nil {
		return "", err
	}
	dir, err := l.Realise(ctx, n)
	if err != nil {
		return "", err
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("its build made %d wheels", len(found))
	}
	if err != nil {
		return "", err
	}
	return found[0], nil
}

// oldEnv are the versions that the previous lock built the package with, of whatever version it was.
func (l *locker) oldEnv(name string) map[string]Version {
	out := map[string]Version{}
	for _, sdist := range sortedKeys(l.old.data.SDists) {
		if l.old.files[sdist].Name == name {
			l.addVersions(out, l.old.data.SDists[sdist].Env)
		}
	}
	return out
}

func (l *locker) addVersions(out map[string]Version, files []string) {
	for _, f := range files {
		a := l.old.files[f]
		if v, err := ParseVersion(a.Version); err == nil {
			out[a.Name] = v
		}
	}
}

// result puts the lock together, sorted. Candidates that were looked at and not chosen are no part of it.
func (l *locker) result() (lock.Component, error) {
	slices.Sort(l.data.Install)
	keep := map[string]bool{}
	var reach func(files []string)
	reach = func(files []string) {
		for _, f := range files {
			if !keep[f] {
				keep[f] = true
				reach(l.data.SDists[f].Env)
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
	out := lock.Component{Artifacts: []lock.Artifact{}}
	for _, f := range sortedKeys(keep) {
		a := l.make.files[f]
		role := ""
		if !l.run[f] {
			role = RoleBuild
		}
		out.Artifacts = append(out.Artifacts, lock.Artifact{
			Ecosystem: a.Ecosystem, Name: a.Name, Version: a.Version, File: a.File, Hash: a.Hash, Size: a.Size, Hint: a.Hint, Role: role,
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
