package python

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"headwater/internal/toml"
)

// poetryLock is what is read of a poetry.lock.
type poetryLock struct {
	Package  []poetryPackage
	Extras   map[string][]string
	Metadata struct {
		LockVersion string                  `toml:"lock-version"`
		ContentHash string                  `toml:"content-hash"`
		Python      string                  `toml:"python-versions"`
		Files       map[string][]poetryFile // by package, before lock-version 2.0
	}
}

type poetryFile struct{ File, Hash string }

type poetryPackage struct {
	Name, Version  string
	PythonVersions string   `toml:"python-versions"`
	Groups         []string // since lock-version 2.1
	Markers        any      // one marker, or one by group; since lock-version 2.1
	Develop        bool
	Files          []poetryFile
	Dependencies   map[string]any
	Extras         map[string][]string
	Source         struct {
		Type, URL, Reference string
		ResolvedReference    string `toml:"resolved_reference"`
		Subdirectory         string
	}
}

// grouped is the lock-version since which a lock says who is in which group, and under which condition: Poetry 2's.
const grouped = "2.1"

// older are the lock-versions of Poetry 1, where that follows from what depends on what: 2.0 of 1.3 to 1.8, 1.1 of 1.1 and 1.2.
var older = []string{"2.0", "1.1"}

// ReadPoetry reads a poetry.lock (lock-version 2.1 of Poetry 2, 2.0 and 1.1 of Poetry 1) and selects what `poetry install` with the
// wanted groups and extras installs. The project, its pyproject.toml parsed, says whether the lock still fits.
func ReadPoetry(data []byte, project *Project, want Wanted) ([]Package, error) {
	var l poetryLock
	if err := toml.Unmarshal(data, &l); err != nil {
		return nil, fmt.Errorf("read poetry.lock: %w", tomlError(err))
	}
	old := slices.Contains(older, l.Metadata.LockVersion)
	if !old && l.Metadata.LockVersion != grouped {
		return nil, fmt.Errorf("read poetry.lock: %w", &FormatError{"poetry.lock", cmp.Or(l.Metadata.LockVersion, "none"), grouped + ", " + strings.Join(older, " and ")})
	}
	if err := checkContentHash(l.Metadata.ContentHash, project, old); err != nil {
		return nil, fmt.Errorf("read poetry.lock: %w", err)
	}
	if err := project.checkPython(want.Environment); err != nil {
		return nil, fmt.Errorf("read poetry.lock: %w", err)
	}
	for _, g := range want.Groups {
		if !slices.Contains(project.PoetryGroups(), g) {
			return nil, fmt.Errorf("read poetry.lock: the project has no group %q (there are: %s)", g, strings.Join(project.PoetryGroups(), ", "))
		}
	}
	extras := map[string]bool{}
	for e := range l.Extras {
		extras[NormalizeName(e)] = true
	}
	for _, e := range want.Extras {
		if !extras[e] {
			return nil, fmt.Errorf("read poetry.lock: the project has no extra %q", e)
		}
	}
	choose := l.choose
	if old {
		choose = l.walk
	}
	chosen, err := choose(project, want)
	if err != nil {
		return nil, fmt.Errorf("read poetry.lock: %w", err)
	}
	var out []Package
	for _, p := range chosen {
		p.Files = l.filesOf(p)
		selected, err := p.pkg()
		if err != nil {
			return nil, fmt.Errorf("read poetry.lock: package %s %s: %w", p.Name, p.Version, err)
		}
		out = append(out, selected)
	}
	if want.Project && project.PoetryPackage() {
		out = append(out, Package{Name: project.Name(), Version: project.Version(), Dir: ".", Editable: true})
	}
	if out, err = distinct(out); err != nil {
		return nil, fmt.Errorf("read poetry.lock: %w", err)
	}
	return out, nil
}

// choose selects the packages that are in a wanted group, in the lock's order.
func (l *poetryLock) choose(_ *Project, want Wanted) ([]*poetryPackage, error) {
	env := want.Environment
	env.Extras = want.Extras
	var out []*poetryPackage
	for i := range l.Package {
		p := &l.Package[i]
		selected, err := p.selected(want.Groups, env)
		if err != nil {
			return nil, fmt.Errorf("package %s %s: %w", p.Name, p.Version, err)
		}
		if selected {
			out = append(out, p)
		}
	}
	return out, nil
}

// selected tells whether the package is in one of the groups, by that group's marker.
func (p poetryPackage) selected(groups []string, env Environment) (bool, error) {
	if len(p.Groups) == 0 {
		return false, errors.New("is in no group")
	}
	for _, g := range p.Groups {
		if !slices.Contains(groups, NormalizeName(g)) {
			continue
		}
		text, err := p.marker(g)
		if err != nil {
			return false, err
		}
		if text == "" || text == "*" {
			return true, nil
		}
		m, err := ParseMarker(text)
		if err != nil {
			return false, err
		}
		if m.Holds(env) {
			return true, nil
		}
	}
	return false, nil
}

func (p poetryPackage) marker(group string) (string, error) {
	switch m := p.Markers.(type) {
	case nil:
		return "", nil
	case string:
		return m, nil
	case map[string]any:
		switch text := m[group].(type) {
		case nil:
			return "", nil
		case string:
			return text, nil
		}
	}
	return "", errors.New("markers are neither text nor texts by group")
}

func (p poetryPackage) pkg() (Package, error) {
	out := Package{Name: NormalizeName(p.Name), Version: p.Version}
	if !namePattern.MatchString(p.Name) {
		return out, errors.New("is not the name of a distribution")
	}
	switch p.Source.Type {
	case "", "legacy":
		// A "legacy" source is another index. Where files come from is the operator's setting; the hashes tell them apart.
	case "directory":
		dir, err := projectDir(p.Name, p.Source.URL)
		out.Dir, out.Editable = dir, p.Develop
		return out, err
	case "git":
		out.Git, out.Folder = p.Source.URL+"#"+p.Source.ResolvedReference, p.Source.Subdirectory
		if p.Source.ResolvedReference == "" {
			return out, fmt.Errorf("its git repository %q names no commit", p.Source.URL)
		}
		return out, nil
	default:
		return out, &UnsupportedError{What: fmt.Sprintf("comes from a source of type %q (%s)", p.Source.Type, p.Source.URL)}
	}
	for _, f := range p.Files {
		a, err := pypi(out.Name, p.Version, f.File, f.Hash)
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

// UnsupportedError says that a lock file asks for what this package does not do.
type UnsupportedError struct{ What string }

func (e *UnsupportedError) Error() string { return e.What + ", which is not supported" }

// checkContentHash compares the lock's content-hash with the project's, as Poetry does before it installs. Poetry 1 read [tool.poetry]
// alone.
func checkContentHash(locked string, project *Project, old bool) error {
	// Poetry before 2.3 left the dependency groups out.
	texts := []func() (string, error){
		func() (string, error) { return project.poetryContent(true) },
		func() (string, error) { return project.poetryContent(false) },
	}
	if old {
		texts = []func() (string, error){project.poetryOldContent}
	}
	for _, text := range texts {
		s, err := text()
		if err != nil {
			return err
		}
		sum := sha256.Sum256([]byte(s))
		if hex.EncodeToString(sum[:]) == locked {
			return nil
		}
	}
	return &StaleError{"poetry.lock", "pyproject.toml has changed since it was locked (content-hash)"}
}

// tomlError keeps a parse error's place, which its Error leaves out.
func tomlError(err error) error {
	var p toml.ParseError
	if errors.As(err, &p) {
		return fmt.Errorf("line %d: %s", p.Position.Line, p.Message)
	}
	return err
}
