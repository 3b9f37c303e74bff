package python

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"headwater/internal/artifact"
	"headwater/internal/toml"
)

// uvLock is what is read of a uv.lock. Its revision adds keys that older readers may pass over, so it is not checked.
type uvLock struct {
	Version        *int
	RequiresPython string `toml:"requires-python"`
	Package        []uvPackage
	Manifest       struct{ Members []string }
}

type uvPackage struct {
	Name, Version string
	Source        uvSource
	Dependencies  []uvDependency
	Optional      map[string][]uvDependency `toml:"optional-dependencies"`
	Dev           map[string][]uvDependency `toml:"dev-dependencies"`
	SDist         *uvFile
	Wheels        []uvFile
}

type uvSource struct{ Registry, Git, URL, Path, Directory, Editable, Virtual string }

type uvFile struct {
	URL, Path, Filename, Hash string
	Size                      int64
}

type uvDependency struct {
	Name, Version string
	Source        uvSource
	Extra         []string
	Marker        string
}

// dir is the folder of a package that is in the source, "" for others.
func (s uvSource) dir() string { return cmp.Or(s.Editable, s.Virtual, s.Directory) }

// ReadUV reads a uv.lock (version 1) and selects what `uv sync` with the wanted groups and extras installs. A member that
// uv calls virtual is not installed, its dependencies are.
func ReadUV(data []byte, want Wanted) ([]Package, error) {
	l, err := parseUV(data)
	if err != nil {
		return nil, err
	}
	return l.choose(want)
}

func parseUV(data []byte) (*uvLock, error) {
	l := new(uvLock)
	if err := toml.Unmarshal(data, l); err != nil {
		return nil, fmt.Errorf("read uv.lock: %w", tomlError(err))
	}
	if l.Version == nil || *l.Version != 1 {
		got := "none"
		if l.Version != nil {
			got = fmt.Sprint(*l.Version)
		}
		return nil, fmt.Errorf("read uv.lock: %w", &FormatError{"uv.lock", got, "1"})
	}
	return l, nil
}

// members lists the members of the lock's workspace, normalised.
func (l *uvLock) members() []string { return unique(l.Manifest.Members) }

// choose selects packages; the lock stays as it is.
func (l *uvLock) choose(want Wanted) ([]Package, error) {
	if err := checkPython(l.RequiresPython, want.Environment); err != nil {
		return nil, fmt.Errorf("read uv.lock: %w", err)
	}
	w := uvWalk{lock: *l, want: want, byName: map[string][]*uvPackage{}, visited: map[uvVisit]bool{}, selected: map[*uvPackage]bool{}}
	for i := range l.Package {
		p := &l.Package[i]
		if !namePattern.MatchString(p.Name) {
			return nil, fmt.Errorf("read uv.lock: %q is not the name of a distribution", p.Name)
		}
		w.byName[NormalizeName(p.Name)] = append(w.byName[NormalizeName(p.Name)], p)
	}
	out, err := w.run()
	if err != nil {
		return nil, fmt.Errorf("read uv.lock: %w", err)
	}
	return out, nil
}

// checkPython compares the interpreter with a requires-python.
func checkPython(requires string, env Environment) error {
	specs, err := ParseSpecifiers(requires)
	if err != nil {
		return err
	}
	v, err := ParseVersion(env.Full)
	if err != nil {
		return err
	}
	if !specs.Contains(v) {
		return &PythonError{requires, env.Full}
	}
	return nil
}

// PythonError says that the interpreter is not one that the project wants.
type PythonError struct{ Wants, Has string }

func (e *PythonError) Error() string {
	return fmt.Sprintf("the project wants Python %s, the root has %s", e.Wants, e.Has)
}

// uvWalk follows the dependencies.
type uvWalk struct {
	lock     uvLock
	want     Wanted
	byName   map[string][]*uvPackage
	visited  map[uvVisit]bool
	selected map[*uvPackage]bool
	queue    []uvVisit
}

// uvVisit is a package, or one of its extras.
type uvVisit struct {
	pkg   *uvPackage
	extra string
}

func (w *uvWalk) run() ([]Package, error) {
	roots, err := w.roots()
	if err != nil {
		return nil, err
	}
	if err := w.start(roots); err != nil {
		return nil, err
	}
	for len(w.queue) > 0 {
		v := w.queue[0]
		w.queue = w.queue[1:]
		deps := v.pkg.Dependencies
		if v.extra != "" {
			deps = v.pkg.Optional[v.extra]
		}
		if err := w.follow(v.pkg, deps); err != nil {
			return nil, err
		}
	}
	var out []Package
	for p := range w.selected {
		if p.Source.Virtual != "" || !w.want.Project && slices.Contains(roots, p) {
			continue
		}
		chosen, err := p.pkg()
		if err != nil {
			return nil, fmt.Errorf("package %s %s: %w", p.Name, p.Version, err)
		}
		out = append(out, chosen)
	}
	return distinct(out)
}

// roots are the members to start from: those that are asked for, or the project at the lock's folder, or, where that is no
// project, all members.
func (w *uvWalk) roots() ([]*uvPackage, error) {
	names := w.want.Packages
	if len(names) == 0 {
		for i := range w.lock.Package {
			if p := &w.lock.Package[i]; p.Source.dir() == "." {
				return []*uvPackage{p}, nil
			}
		}
		names = w.lock.Manifest.Members
	}
	var roots []*uvPackage
	for _, name := range names {
		found := slices.DeleteFunc(slices.Clone(w.byName[NormalizeName(name)]), func(p *uvPackage) bool { return p.Source.dir() == "" })
		if len(found) != 1 {
			return nil, fmt.Errorf("the workspace has no member %q", name)
		}
		roots = append(roots, found[0])
	}
	if len(roots) == 0 {
		return nil, errors.New("neither a project nor members of a workspace are in it")
	}
	return roots, nil
}

// start queues the roots with the wanted extras and groups, each of which one of the roots must have.
func (w *uvWalk) start(roots []*uvPackage) error {
	w.want.Environment.Extras = conflictExtras(roots, w.want)
	for _, p := range roots {
		if slices.Contains(w.want.Groups, MainGroup) {
			w.visit(p, "")
		}
	}
	for _, extra := range w.want.Extras {
		found := false
		for _, p := range roots {
			for name := range p.Optional {
				if NormalizeName(name) == extra {
					found = true
					w.visit(p, name)
				}
			}
		}
		if !found {
			return fmt.Errorf("the project has no extra %q", extra)
		}
	}
	for _, group := range w.want.Groups {
		found := group == MainGroup
		for _, p := range roots {
			for name, deps := range p.Dev {
				if NormalizeName(name) != group {
					continue
				}
				found = true
				if err := w.follow(p, deps); err != nil {
					return err
				}
			}
		}
		if !found {
			return fmt.Errorf("the project has no group %q", group)
		}
	}
	return nil
}

// conflictExtras are the words that uv's markers use for the chosen extras and groups where some exclude one another: kind,
// length of the package's name, the name, and what is chosen.
func conflictExtras(roots []*uvPackage, want Wanted) []string {
	var out []string
	for _, p := range roots {
		name := NormalizeName(p.Name)
		for _, e := range want.Extras {
			out = append(out, fmt.Sprintf("extra-%d-%s-%s", len(name), name, e))
		}
		for _, g := range want.Groups {
			out = append(out, fmt.Sprintf("group-%d-%s-%s", len(name), name, g))
		}
		out = append(out, fmt.Sprintf("project-%d-%s", len(name), name))
	}
	return out
}

func (w *uvWalk) visit(p *uvPackage, extra string) {
	v := uvVisit{p, extra}
	if !w.visited[v] {
		w.visited[v] = true
		w.queue = append(w.queue, v)
	}
	w.selected[p] = true
}

func (w *uvWalk) follow(from *uvPackage, deps []uvDependency) error {
	for _, d := range deps {
		if d.Marker != "" {
			m, err := ParseMarker(d.Marker)
			if err != nil {
				return fmt.Errorf("package %s: %w", from.Name, err)
			}
			if !m.Holds(w.want.Environment) {
				continue
			}
		}
		p, err := w.find(d)
		if err != nil {
			return fmt.Errorf("package %s: %w", from.Name, err)
		}
		w.visit(p, "")
		for _, extra := range d.Extra {
			// An extra that the package does not have adds nothing, as in uv.
			if _, ok := p.Optional[extra]; ok {
				w.visit(p, extra)
			}
		}
	}
	return nil
}

// find is the package that a dependency names; version and source are given where the name alone does not tell.
func (w *uvWalk) find(d uvDependency) (*uvPackage, error) {
	var found []*uvPackage
	for _, p := range w.byName[NormalizeName(d.Name)] {
		if (d.Version == "" || d.Version == p.Version) && (d.Source == uvSource{} || d.Source == p.Source) {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("depends on %s %s, which is not in the lock", d.Name, d.Version)
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("depends on %s, of which the lock has %d that fit", d.Name, len(found))
}

func (p *uvPackage) pkg() (Package, error) {
	out := Package{Name: NormalizeName(p.Name), Version: p.Version}
	switch s := p.Source; {
	case s.dir() != "":
		dir, err := projectDir(p.Name, s.dir())
		out.Dir, out.Editable = dir, s.Editable != ""
		return out, err
	case s.Git != "":
		out.Git = s.Git
		if _, commit, ok := strings.Cut(s.Git, "#"); !ok || commit == "" {
			return out, fmt.Errorf("its git repository %q names no commit", s.Git)
		}
		return out, nil
	case s.Path != "":
		return out, &UnsupportedError{What: fmt.Sprintf("comes from an archive beside the project (%s)", s.Path)}
	case s.Registry == "" && s.URL == "":
		return out, errors.New("has no source")
	}
	files := p.Wheels
	if p.SDist != nil {
		files = append(slices.Clone(files), *p.SDist)
	}
	for _, f := range files {
		a, err := p.file(f)
		if err != nil {
			return out, err
		}
		out.Files = append(out.Files, a)
	}
	if len(out.Files) == 0 {
		return out, errors.New("lists no files")
	}
	return out, nil
}

func (p *uvPackage) file(f uvFile) (artifact.Artifact, error) {
	address := cmp.Or(f.URL, p.Source.URL)
	if address == "" {
		return artifact.Artifact{}, &UnsupportedError{What: fmt.Sprintf("comes from a folder of archives (%s)", cmp.Or(f.Path, f.Filename))}
	}
	u, err := url.Parse(address)
	if err != nil {
		return artifact.Artifact{}, fmt.Errorf("address %q: %w", address, errors.Unwrap(err))
	}
	if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.HasSuffix(u.Path, "/") {
		return artifact.Artifact{}, fmt.Errorf("address %q is not that of a file on a web server", address)
	}
	if u.User != nil {
		return artifact.Artifact{}, fmt.Errorf("address of a file on %s holds a user name: credentials belong in settings", u.Host)
	}
	u.Fragment = ""
	a, err := pypi(NormalizeName(p.Name), p.Version, path.Base(u.Path), f.Hash)
	if err != nil {
		return a, err
	}
	if p.Source.URL != "" {
		a.Ecosystem = artifact.URL
	}
	a.Size, a.Hint = max(f.Size, 0), u.String()
	return a, nil
}
