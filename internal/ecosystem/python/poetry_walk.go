package python

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// poetryWalk selects packages of a lock that does not say who is in which group, as Poetry 1 wrote it: it follows the dependencies
// from the project. Where the lock has several versions of a package, those that depend on it say which; as they may be of a version
// that is not the one in the end, the walk is made again until it agrees with itself.
type poetryWalk struct {
	env    Environment
	python Version
	byName map[string][]poetryCandidate // newest first
	root   []poetryDependency           // what is asked for of the project

	asked   map[string][]poetryDependency // by name, of the walk before
	asks    map[string][]poetryDependency // by name, of this walk
	visited map[poetryVisit]bool
	queue   []poetryVisit
}

type poetryCandidate struct {
	*poetryPackage
	version      Version
	dependencies []poetryDependency
}

// poetryVisit is a package, or one of its extras.
type poetryVisit struct {
	name  string
	index int // in byName
	extra string
}

// maxWalks bounds how often versions are chosen anew.
const maxWalks = 50

// unlocked are packages that Poetry before 1.5 thought too dangerous to install: a lock leaves them out though others depend on them.
var unlocked = []string{"distribute", "pip", "setuptools", "wheel"}

// walk gives the selected packages, in no order.
func (l *poetryLock) walk(project *Project, want Wanted) ([]*poetryPackage, error) {
	w := &poetryWalk{env: want.Environment, byName: map[string][]poetryCandidate{}}
	var err error
	if w.python, err = ParseVersion(want.Full); err != nil {
		return nil, err
	}
	for i := range l.Package {
		if err := w.add(&l.Package[i]); err != nil {
			return nil, fmt.Errorf("package %s %s: %w", l.Package[i].Name, l.Package[i].Version, err)
		}
	}
	for _, list := range w.byName {
		slices.SortStableFunc(list, func(a, b poetryCandidate) int { return b.version.Compare(a.version) })
	}
	if w.root, err = project.poetryDependencies(want.Groups, want.Extras); err != nil {
		return nil, err
	}
	for range maxWalks {
		if err := w.run(); err != nil {
			return nil, err
		}
		if w.agrees() {
			return w.selected(), nil
		}
		w.asked = w.asks
	}
	return nil, errors.New("no choice among the several versions of its packages suits all that depend on them")
}

// add makes a package one of those that can be chosen, if it goes with the interpreter.
func (w *poetryWalk) add(p *poetryPackage) error {
	c := poetryCandidate{poetryPackage: p}
	requires, err := parsePoetryVersions(p.PythonVersions)
	if err != nil {
		return err
	}
	if c.version, err = ParseVersion(p.Version); err != nil {
		return err
	}
	if c.dependencies, err = parsePoetryDependencies(p.Dependencies); err != nil {
		return err
	}
	name := NormalizeName(p.Name)
	list := w.byName[name] // that it is there is known even where it does not fit
	if requires.contain(w.python) {
		list = append(list, c)
	}
	w.byName[name] = list
	return nil
}

// run makes one walk.
func (w *poetryWalk) run() error {
	w.asks, w.visited, w.queue = map[string][]poetryDependency{}, map[poetryVisit]bool{}, nil
	if err := w.follow(w.root, nil); err != nil {
		return fmt.Errorf("the project %w", err)
	}
	for len(w.queue) > 0 {
		v := w.queue[0]
		w.queue = w.queue[1:]
		c := w.byName[v.name][v.index]
		deps, extras := c.of(v.extra)
		if err := w.follow(deps, extras); err != nil {
			return fmt.Errorf("package %s %s %w", c.Name, c.Version, err)
		}
	}
	return nil
}

// of is what the package depends on, or one of its extras does, and the extras that markers are to hold of.
func (c poetryCandidate) of(extra string) (deps []poetryDependency, extras []string) {
	if extra == "" {
		return slices.DeleteFunc(slices.Clone(c.dependencies), func(d poetryDependency) bool { return d.optional }), nil
	}
	for name, list := range c.Extras {
		if NormalizeName(name) != extra {
			continue
		}
		for _, text := range list {
			// Its name alone: versions, and the extras of an extra that is made of others, are said by the dependency.
			m := reqPattern.FindStringSubmatch(strings.TrimSpace(text))
			if m == nil {
				continue
			}
			for _, d := range c.dependencies {
				if d.optional && d.name == NormalizeName(m[1]) {
					deps = append(deps, d)
				}
			}
		}
	}
	return deps, []string{extra}
}

func (w *poetryWalk) follow(deps []poetryDependency, extras []string) error {
	env := w.env
	env.Extras = extras
	for _, d := range deps {
		if d.marker != nil && !d.marker.Holds(env) {
			continue
		}
		list, known := w.byName[d.name]
		if !known && slices.Contains(unlocked, d.name) {
			continue
		}
		w.asks[d.name] = append(w.asks[d.name], d)
		i, err := w.choose(list, append(slices.Clone(w.asked[d.name]), d))
		switch {
		case !known:
			return fmt.Errorf("depends on %s, which is not in the lock", d.name)
		case len(list) == 0:
			return fmt.Errorf("depends on %s, which the lock has in no version for Python %s", d.name, w.env.Full)
		case err != nil:
			return fmt.Errorf("depends on %s: %w", d.name, err)
		}
		w.visit(poetryVisit{name: d.name, index: i})
		for _, extra := range d.extras {
			w.visit(poetryVisit{d.name, i, extra})
		}
	}
	return nil
}

func (w *poetryWalk) visit(v poetryVisit) {
	if !w.visited[v] {
		w.visited[v] = true
		w.queue = append(w.queue, v)
	}
}

// choose is the newest of the candidates that suits all who ask; of one candidate it is that, as Poetry made sure of it.
func (w *poetryWalk) choose(list []poetryCandidate, asks []poetryDependency) (int, error) {
	if len(list) == 1 {
		return 0, nil
	}
	var found []int
	for i, c := range list {
		if !slices.ContainsFunc(asks, func(d poetryDependency) bool { return !d.fits(c) }) {
			found = append(found, i)
		}
	}
	switch {
	case len(found) == 0:
		return 0, fmt.Errorf("none of the %d versions in the lock suits all that depend on it", len(list))
	case len(found) > 1 && list[found[0]].version.Compare(list[found[1]].version) == 0:
		return 0, fmt.Errorf("the lock has version %s from several sources", list[found[0]].Version)
	}
	return found[0], nil
}

// agrees tells whether each name was chosen in one version, which suits all that asked.
func (w *poetryWalk) agrees() bool {
	chosen := map[string]int{}
	for v := range w.visited {
		if i, ok := chosen[v.name]; ok && i != v.index {
			return false
		}
		chosen[v.name] = v.index
	}
	for name, asks := range w.asks {
		if i, err := w.choose(w.byName[name], asks); err != nil || i != chosen[name] {
			return false
		}
	}
	return true
}

func (w *poetryWalk) selected() []*poetryPackage {
	set := map[*poetryPackage]bool{}
	for v := range w.visited {
		set[w.byName[v.name][v.index].poetryPackage] = true
	}
	return slices.Collect(maps.Keys(set))
}

// poetryDependency is one entry of a table of dependencies, of a project or of a package in a lock.
type poetryDependency struct {
	name     string
	version  poetryVersions
	marker   Marker // nil holds always
	extras   []string
	optional bool
	source   string // name of the index, "" for any
	kind     string // the lock's type of source that it must be of, "" for any index
}

func (d poetryDependency) fits(c poetryCandidate) bool {
	kind := c.Source.Type
	if kind == "legacy" {
		kind = ""
	}
	if kind == "file" {
		kind = "directory" // both are a path
	}
	return d.kind == kind && d.version.contain(c.version) && (d.source == "" || strings.EqualFold(d.source, c.Source.Reference))
}

// poetryDependencies is what the wanted groups and extras of the project depend on.
func (p *Project) poetryDependencies(groups, extras []string) ([]poetryDependency, error) {
	poetry := p.fields.Tool.Poetry
	if poetry == nil {
		return nil, errors.New("pyproject.toml has no [tool.poetry]")
	}
	asked := map[string]bool{} // optional dependencies of main
	for name, list := range poetry.Extras {
		if slices.Contains(extras, NormalizeName(name)) {
			for _, item := range list {
				asked[NormalizeName(item)] = true
			}
		}
	}
	var out []poetryDependency
	for _, g := range groups {
		var tables []map[string]any
		if g == MainGroup {
			tables = append(tables, poetry.Dependencies)
		}
		if g == "dev" {
			tables = append(tables, poetry.DevOld)
		}
		for name, group := range poetry.Group {
			if NormalizeName(name) == g {
				group, _ := group.(map[string]any)
				table, _ := group["dependencies"].(map[string]any)
				tables = append(tables, table)
			}
		}
		for _, table := range tables {
			deps, err := parsePoetryDependencies(table)
			if err != nil {
				return nil, fmt.Errorf("pyproject.toml: %w", err)
			}
			for _, d := range deps {
				if !d.optional || asked[d.name] {
					out = append(out, d)
				}
			}
		}
	}
	return out, nil
}

// parsePoetryDependencies reads a table: a name has versions, a table, or a list of tables of which markers choose.
func parsePoetryDependencies(table map[string]any) ([]poetryDependency, error) {
	var out []poetryDependency
	for _, name := range sortedKeys(table) {
		if name == "python" {
			continue
		}
		list, ok := table[name].([]any)
		if tables, isTables := table[name].([]map[string]any); isTables {
			for _, t := range tables {
				list = append(list, t)
			}
		} else if !ok {
			list = []any{table[name]}
		}
		for _, v := range list {
			d, err := parsePoetryDependency(name, v)
			if err != nil {
				return nil, fmt.Errorf("dependency %s: %w", name, err)
			}
			out = append(out, d)
		}
	}
	return out, nil
}

func parsePoetryDependency(name string, value any) (poetryDependency, error) {
	d := poetryDependency{name: NormalizeName(name)}
	if text, ok := value.(string); ok {
		var err error
		d.version, err = parsePoetryVersions(text)
		return d, err
	}
	table, ok := value.(map[string]any)
	if !ok {
		return d, fmt.Errorf("is neither versions nor a table but %T", value)
	}
	text := func(key string) string { s, _ := table[key].(string); return s }
	var err error
	if d.version, err = parsePoetryVersions(text("version")); err != nil {
		return d, err
	}
	if d.marker, err = poetryMarker(text("markers"), text("python"), text("platform")); err != nil {
		return d, err
	}
	extras, err := texts(table["extras"])
	if err != nil {
		return d, err
	}
	for _, e := range extras {
		d.extras = append(d.extras, NormalizeName(e))
	}
	d.optional, _ = table["optional"].(bool)
	d.source = text("source")
	for key, kind := range map[string]string{"git": "git", "url": "url", "path": "directory", "file": "directory"} {
		if text(key) != "" {
			d.kind = kind
		}
	}
	return d, nil
}

// poetryMarker joins what a dependency holds for: a marker, versions of Python, a platform; each "" for any.
func poetryMarker(marker, python, platform string) (Marker, error) {
	var parts []Marker
	if platform != "" && platform != "*" {
		parts = append(parts, comparison{variable: "sys_platform", op: "==", literal: platform})
	}
	versions, err := parsePoetryVersions(python)
	if err != nil {
		return nil, err
	}
	if versions != nil {
		parts = append(parts, pythonMarker(versions))
	}
	if marker != "" {
		m, err := ParseMarker(marker)
		if err != nil {
			return nil, err
		}
		parts = append(parts, m)
	}
	switch len(parts) {
	case 0:
		return nil, nil
	case 1:
		return parts[0], nil
	}
	return junction{all: true, parts: parts}, nil
}

// pythonMarker holds for some versions of Python.
type pythonMarker poetryVersions

// Holds implements Marker.
func (m pythonMarker) Holds(e Environment) bool {
	v, err := ParseVersion(e.Full)
	return err == nil && poetryVersions(m).contain(v)
}

// poetryVersions is a union of specifiers, nil for any version.
type poetryVersions []Specifiers

func (u poetryVersions) contain(v Version) bool {
	return u == nil || slices.ContainsFunc(u, func(s Specifiers) bool { return s.Contains(v) })
}

var (
	poetryClause    = regexp.MustCompile(`^[\s,]*(\^|~=|~|===|==|=|!=|<>|<=|>=|<|>)?\s*([^\s,|<>=!~^]+)`)
	poetryWordUnion = regexp.MustCompile(`\s*\|\|?\s*`)
)

// parsePoetryVersions reads versions as Poetry writes them ("Dependency specification", version constraints): "^1.2", "~1.2.3",
// "1.2.*", "1.2", ">=1,<2 || >3", "*".
func parsePoetryVersions(s string) (poetryVersions, error) {
	s = strings.TrimSpace(s)
	if s == "" || s == "*" {
		return nil, nil
	}
	var out poetryVersions
	for _, part := range poetryWordUnion.Split(s, -1) {
		var all Specifiers
		for strings.Trim(part, " \t,") != "" {
			m := poetryClause.FindStringSubmatch(part)
			if m == nil {
				return nil, fmt.Errorf("versions %.100q cannot be read", s)
			}
			part = part[len(m[0]):]
			clauses, err := poetryBounds(m[1], m[2])
			if err != nil {
				return nil, fmt.Errorf("versions %.100q: %w", s, err)
			}
			all = append(all, clauses...)
		}
		out = append(out, all)
	}
	return out, nil
}

// poetryBounds says one clause in specifiers.
func poetryBounds(op, version string) (Specifiers, error) {
	switch op {
	case "", "=":
		if version == "*" || version == "x" {
			return nil, nil
		}
		op = "=="
	case "<>":
		op = "!="
	case "^", "~":
		v, err := ParseVersion(strings.TrimSuffix(version, ".*"))
		if err != nil {
			return nil, err
		}
		// What follows the number that may not change may. ^ keeps the first that is not zero, or the last that is written; ~ the second.
		keep := 1
		if op == "^" {
			for keep < len(v.release) && at(v.release, keep-1) == 0 {
				keep++
			}
		} else if len(v.release) > 1 {
			keep = 2
		}
		end := make([]string, keep)
		for i := range end {
			n := at(v.release, i)
			if i == keep-1 {
				n++
			}
			end[i] = fmt.Sprint(n)
		}
		return ParseSpecifiers(fmt.Sprintf(">=%s,<%s", strings.TrimSuffix(version, ".*"), strings.Join(end, ".")))
	}
	if strings.HasPrefix(op, "=") || op == "!=" {
		return ParseSpecifiers(op + version)
	}
	return ParseSpecifiers(op + strings.TrimSuffix(version, ".*"))
}

// filesOf are the files of a package in a lock of Poetry before 1.3, which lists those of all versions by name.
func (l *poetryLock) filesOf(p *poetryPackage) []poetryFile {
	if len(p.Files) > 0 {
		return p.Files
	}
	name, several := NormalizeName(p.Name), false
	for i := range l.Package {
		several = several || &l.Package[i] != p && NormalizeName(l.Package[i].Name) == name
	}
	var out []poetryFile
	for listed, files := range l.Metadata.Files {
		if NormalizeName(listed) != name {
			continue
		}
		for _, f := range files {
			if version, ok := fileVersion(f.File, name); !several || ok && sameVersion(version, p.Version) {
				out = append(out, f)
			}
		}
	}
	return out
}

func sameVersion(a, b string) bool {
	v, err := ParseVersion(a)
	w, err2 := ParseVersion(b)
	return err == nil && err2 == nil && v.Compare(w) == 0
}
