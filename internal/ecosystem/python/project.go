package python

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"headwater/internal/toml"
)

// Project is a pyproject.toml.
type Project struct {
	raw    map[string]any
	fields projectFields
}

type projectFields struct {
	Project struct {
		Name, Version  string
		RequiresPython string `toml:"requires-python"`
	}
	BuildSystem *BuildSystem   `toml:"build-system"`
	Groups      map[string]any `toml:"dependency-groups"`
	Tool        struct {
		Poetry *poetryFields
		UV     uvSettings
	}
}

type poetryFields struct {
	Name, Version string
	PackageMode   *bool          `toml:"package-mode"`
	Dependencies  map[string]any `toml:"dependencies"`
	Extras        map[string][]string
	Packages      []any
	Group         map[string]any `toml:"group"`
	DevOld        map[string]any `toml:"dev-dependencies"`
}

// BuildSystem is pyproject.toml's table of that name (PEP 517, PEP 518).
type BuildSystem struct {
	Requires    []string `toml:"requires"`
	Backend     string   `toml:"build-backend"`
	BackendPath []string `toml:"backend-path"`
}

// uvSettings is what is read of [tool.uv] and of uv.toml.
type uvSettings struct {
	Package          *bool    `toml:"package"`
	NoBinary         bool     `toml:"no-binary"`
	NoBinaryPackage  []string `toml:"no-binary-package"`
	BuildConstraints []string `toml:"build-constraint-dependencies"`
}

// ParseProject reads a pyproject.toml. Keys that only other tools read are passed over.
func ParseProject(data []byte) (*Project, error) {
	p := &Project{}
	if err := toml.Unmarshal(data, &p.raw); err != nil {
		return nil, fmt.Errorf("read pyproject.toml: %w", tomlError(err))
	}
	if err := toml.Unmarshal(data, &p.fields); err != nil {
		return nil, fmt.Errorf("read pyproject.toml: %w", tomlError(err))
	}
	return p, nil
}

// Name is the project's normalised name, "" if it has none.
func (p *Project) Name() string {
	name := p.fields.Project.Name
	if poetry := p.fields.Tool.Poetry; poetry != nil {
		name = cmp.Or(name, poetry.Name)
	}
	return NormalizeName(name)
}

// Version is the project's static version, "" if it has none.
func (p *Project) Version() string {
	version := p.fields.Project.Version
	if poetry := p.fields.Tool.Poetry; poetry != nil {
		version = cmp.Or(version, poetry.Version)
	}
	return version
}

// PoetryPackage tells whether Poetry installs the project itself.
func (p *Project) PoetryPackage() bool {
	poetry := p.fields.Tool.Poetry
	return poetry == nil || poetry.PackageMode == nil || *poetry.PackageMode
}

// PoetryGroups lists the project's dependency groups, normalised, "main" among them, sorted.
func (p *Project) PoetryGroups() []string {
	groups := []string{MainGroup}
	for g := range p.fields.Groups {
		groups = append(groups, NormalizeName(g))
	}
	if poetry := p.fields.Tool.Poetry; poetry != nil {
		for g := range poetry.Group {
			groups = append(groups, NormalizeName(g))
		}
		if len(poetry.DevOld) > 0 {
			groups = append(groups, "dev")
		}
	}
	slices.Sort(groups)
	return slices.Compact(groups)
}

// Build is how the project is built. Without a build-system table, or without a backend in it, that is what PEP 517 and
// PEP 518 say: setuptools, run as setup.py used to be.
func (p *Project) Build() BuildSystem {
	legacy := BuildSystem{Requires: []string{"setuptools>=40.8.0"}, Backend: "setuptools.build_meta:__legacy__"}
	if p == nil || p.fields.BuildSystem == nil {
		return legacy
	}
	b := *p.fields.BuildSystem
	if b.Backend == "" {
		b.Backend, b.BackendPath = legacy.Backend, nil
	}
	return b
}

// poetryContent is the JSON text that Poetry 2 hashes to notice that a lock is out of date.
func (p *Project) poetryContent(withGroups bool) (string, error) {
	project := pick(table(p.raw, "project"), "requires-python", "dependencies", "optional-dependencies")
	var groups map[string]any
	if withGroups {
		groups = table(p.raw, "dependency-groups")
	}
	if len(project) == 0 && len(groups) == 0 {
		return p.poetryOldContent()
	}
	content := map[string]any{"tool": map[string]any{"poetry": pick(table(p.raw, "tool", "poetry"), poetryContent...)}}
	if len(project) > 0 {
		content["project"] = project
	}
	if len(groups) > 0 {
		content["dependency-groups"] = groups
	}
	return pythonJSON(content)
}

// poetryContent are the keys of [tool.poetry] that a lock depends on; all but the last are hashed as null where they are not there.
var poetryContent = []string{"dependencies", "source", "extras", "dev-dependencies", "group"}

// poetryOldContent is the JSON text that Poetry 1 hashes, and Poetry 2 where the project has all in [tool.poetry].
func (p *Project) poetryOldContent() (string, error) {
	content := pick(table(p.raw, "tool", "poetry"), poetryContent...)
	for _, k := range poetryContent[:len(poetryContent)-1] {
		if _, ok := content[k]; !ok {
			content[k] = nil
		}
	}
	return pythonJSON(content)
}

func pick(from map[string]any, keys ...string) map[string]any {
	out := map[string]any{}
	for _, k := range keys {
		if v, ok := from[k]; ok {
			out[k] = v
		}
	}
	return out
}

func table(from map[string]any, keys ...string) map[string]any {
	for _, k := range keys {
		from, _ = from[k].(map[string]any)
	}
	return from
}

// wantsPython is what interpreters the project goes with: by requires-python, and by Poetry's own dependency. text is that as it is
// written.
func (p *Project) wantsPython() (versions poetryVersions, text string, err error) {
	text = p.fields.Project.RequiresPython
	specs, err := ParseSpecifiers(text)
	if err != nil {
		return nil, text, err
	}
	poetry := p.fields.Tool.Poetry
	if poetry == nil {
		return poetryVersions{specs}, text, nil
	}
	own, _ := poetry.Dependencies["python"].(string)
	if versions, err = parsePoetryVersions(own); err != nil {
		return nil, own, err
	}
	if versions == nil {
		return poetryVersions{specs}, text, nil
	}
	for i := range versions {
		versions[i] = append(slices.Clone(specs), versions[i]...)
	}
	if text != "" && own != "" {
		text += " and "
	}
	return versions, text + own, nil
}

// checkPython compares the interpreter with what the project wants.
func (p *Project) checkPython(env Environment) error {
	versions, text, err := p.wantsPython()
	if err != nil {
		return err
	}
	v, err := ParseVersion(env.Full)
	if err == nil && !versions.contain(v) {
		err = &PythonError{text, env.Full}
	}
	return err
}

// pythonJSON writes v as Python's json.dumps(v, sort_keys=True) does.
func pythonJSON(v any) (string, error) {
	var s strings.Builder
	err := writePythonJSON(&s, v)
	return s.String(), err
}

func writePythonJSON(s *strings.Builder, v any) error {
	switch v := v.(type) {
	case nil:
		s.WriteString("null")
	case bool:
		s.WriteString(strconv.FormatBool(v))
	case int64:
		s.WriteString(strconv.FormatInt(v, 10))
	case float64:
		return writePythonFloat(s, v)
	case string:
		writePythonString(s, v)
	case []map[string]any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = v[i]
		}
		return writePythonJSON(s, list)
	case []any:
		s.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				s.WriteString(", ")
			}
			if err := writePythonJSON(s, e); err != nil {
				return err
			}
		}
		s.WriteByte(']')
	case map[string]any:
		s.WriteByte('{')
		for i, k := range sortedKeys(v) {
			if i > 0 {
				s.WriteString(", ")
			}
			writePythonString(s, k)
			s.WriteString(": ")
			if err := writePythonJSON(s, v[k]); err != nil {
				return err
			}
		}
		s.WriteByte('}')
	default:
		return fmt.Errorf("read pyproject.toml: a dependency holds a value of type %T", v)
	}
	return nil
}

// writePythonFloat covers the plain decimals that a version may be mistaken for; others are beyond what a lock depends on.
func writePythonFloat(s *strings.Builder, v float64) error {
	if math.IsInf(v, 0) || math.IsNaN(v) || v != 0 && (math.Abs(v) >= 1e16 || math.Abs(v) < 1e-4) {
		return fmt.Errorf("read pyproject.toml: a dependency holds the number %v", v)
	}
	text := strconv.FormatFloat(v, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	s.WriteString(text)
	return nil
}

// writePythonString escapes all that is not ASCII, as json.dumps does by default.
func writePythonString(s *strings.Builder, v string) {
	s.WriteByte('"')
	for _, r := range v {
		switch {
		case r == '"' || r == '\\':
			s.WriteByte('\\')
			s.WriteRune(r)
		case r == '\n':
			s.WriteString(`\n`)
		case r == '\r':
			s.WriteString(`\r`)
		case r == '\t':
			s.WriteString(`\t`)
		case r == '\b':
			s.WriteString(`\b`)
		case r == '\f':
			s.WriteString(`\f`)
		case r >= 0x20 && r < 0x7f:
			s.WriteRune(r)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(s, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(s, `\u%04x`, r)
		}
	}
	s.WriteByte('"')
}

// sortedKeys are a map's keys in the order of their code points.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// noBinary is a setting that is a list of names, ":all:", ":none:", or true or false (Poetry's installer.no-binary).
type noBinary struct {
	all   bool
	names []string
}

func parseNoBinary(v any) (noBinary, error) {
	var names []string
	switch v := v.(type) {
	case nil:
	case bool:
		return noBinary{all: v}, nil
	case string:
		names = strings.Split(v, ",")
	case []any:
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				return noBinary{}, fmt.Errorf("no-binary has %v, which is not a name", e)
			}
			names = append(names, s)
		}
	default:
		return noBinary{}, fmt.Errorf("no-binary is %v, neither names nor true or false", v)
	}
	var out noBinary
	for _, n := range names {
		switch n = strings.TrimSpace(n); n {
		case ":all:":
			out.all = true
		case ":none:":
			out = noBinary{}
		case "":
		default:
			out.names = append(out.names, NormalizeName(n))
		}
	}
	return out, nil
}

// PoetryNoBinary reads what a poetry.toml says must be compiled: names, or all.
func PoetryNoBinary(data []byte) (all bool, names []string, err error) {
	var config struct {
		Installer struct {
			NoBinary any `toml:"no-binary"`
		}
	}
	if err := toml.Unmarshal(data, &config); err != nil {
		return false, nil, fmt.Errorf("read poetry.toml: %w", tomlError(err))
	}
	n, err := parseNoBinary(config.Installer.NoBinary)
	if err != nil {
		return false, nil, fmt.Errorf("read poetry.toml: %w", err)
	}
	return n.all, n.names, nil
}
