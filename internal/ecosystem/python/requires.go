package python

import (
	"fmt"
	"strings"
)

// Requires is what a project says it requires to run, with its extras' requirements, whose markers name the extra. It is an error
// if only its build tells.
func (p *Project) Requires() ([]Requirement, error) {
	project, has := p.raw["project"].(map[string]any)
	dynamic, _ := project["dynamic"].([]any)
	for _, d := range dynamic {
		if d == "dependencies" || d == "optional-dependencies" {
			return nil, fmt.Errorf("what the project requires is known by its build alone (dynamic: %v); name it in the option requirements", d)
		}
	}
	if poetry := p.poetryDependencies(); poetry != nil && project["dependencies"] == nil {
		return poetryRequires(poetry)
	}
	if !has {
		return nil, fmt.Errorf("no [project] table says what the project requires; name it in the option requirements")
	}
	list, err := texts(project["dependencies"])
	if err != nil {
		return nil, err
	}
	out, err := ParseRequirements(list)
	if err != nil {
		return nil, err
	}
	extras, _ := project["optional-dependencies"].(map[string]any)
	for _, extra := range sortedKeys(extras) {
		if list, err = texts(extras[extra]); err != nil {
			return nil, err
		}
		more, err := ParseRequirements(list)
		if err != nil {
			return nil, err
		}
		for _, r := range more {
			only := comparison{variable: "extra", op: "==", literal: NormalizeName(extra)}
			if r.Marker == nil {
				r.Marker = only
			} else {
				r.Marker = junction{all: true, parts: []Marker{r.Marker, only}}
			}
			r.text += " (extra " + extra + ")"
			out = append(out, r)
		}
	}
	return out, nil
}

func texts(v any) ([]string, error) {
	list, ok := v.([]any)
	if v != nil && !ok {
		return nil, fmt.Errorf("dependencies are %v, not a list", v)
	}
	var out []string
	for _, e := range list {
		s, ok := e.(string)
		if !ok {
			return nil, fmt.Errorf("dependency %v is not text", e)
		}
		out = append(out, s)
	}
	return out, nil
}

func (p *Project) poetryDependencies() map[string]any {
	tool, _ := p.raw["tool"].(map[string]any)
	poetry, _ := tool["poetry"].(map[string]any)
	deps, _ := poetry["dependencies"].(map[string]any)
	return deps
}

// poetryRequires reads Poetry's own table of dependencies. Optional ones are extras', which pip is not asked for.
func poetryRequires(deps map[string]any) ([]Requirement, error) {
	var out []Requirement
	for _, name := range sortedKeys(deps) {
		if NormalizeName(name) == "python" {
			continue
		}
		text, optional, err := poetrySpec(name, deps[name])
		if err != nil {
			return nil, fmt.Errorf("dependency %s: %w", name, err)
		}
		if optional {
			continue
		}
		r, err := ParseRequirement(text)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// poetrySpec writes one of Poetry's dependencies as a specifier.
func poetrySpec(name string, v any) (text string, optional bool, err error) {
	version, extras, marker := "", "", ""
	switch v := v.(type) {
	case string:
		version = v
	case map[string]any:
		for _, source := range []string{"git", "path", "url", "file"} {
			if v[source] != nil {
				return "", false, &UnsupportedError{What: fmt.Sprintf("comes from a source of type %q (%v)", source, v[source])}
			}
		}
		version, _ = v["version"].(string)
		optional, _ = v["optional"].(bool)
		list, err := texts(v["extras"])
		if err != nil {
			return "", false, err
		}
		if len(list) > 0 {
			extras = "[" + strings.Join(list, ",") + "]"
		}
		marker, _ = v["markers"].(string)
	default:
		return "", false, fmt.Errorf("is %v, neither text nor a table", v)
	}
	specs, err := poetryVersions(version)
	if err != nil {
		return "", false, err
	}
	if text = name + extras + specs; marker != "" {
		text += " ; " + marker
	}
	return text, optional, nil
}

// poetryVersions writes Poetry's clauses as specifiers: ^ and ~ are its own, and a bare version means itself.
func poetryVersions(s string) (string, error) {
	if strings.Contains(s, "|") {
		return "", &UnsupportedError{What: fmt.Sprintf("has alternatives of versions (%s)", s)}
	}
	var out []string
	for clause := range strings.SplitSeq(s, ",") {
		clause = strings.TrimSpace(clause)
		switch {
		case clause == "" || clause == "*":
		case clause[0] == '^' || clause[0] == '~' && !strings.HasPrefix(clause, "~="):
			v, err := ParseVersion(clause[1:])
			if err != nil {
				return "", err
			}
			out = append(out, ">="+strings.TrimSpace(clause[1:]), "<"+nextVersion(v, strings.Count(clause, ".")+1, clause[0] == '^'))
		case strings.ContainsAny(clause[:1], "<>=!~"):
			out = append(out, strings.ReplaceAll(clause, " ", ""))
		default:
			out = append(out, "=="+clause)
		}
	}
	return strings.Join(out, ","), nil
}

// nextVersion is the first that ^ (caret) or ~ excludes; parts is how many parts were written.
func nextVersion(v Version, parts int, caret bool) string {
	release := make([]uint64, max(parts, 3))
	copy(release, v.release)
	at := min(parts-1, 1)
	if caret {
		for at = 0; at < parts-1 && release[at] == 0; at++ {
		}
	}
	release[at]++
	text := fmt.Sprint(release[0])
	for _, n := range release[1 : at+1] {
		text += fmt.Sprint(".", n)
	}
	return text
}
