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
	if poetry := p.fields.Tool.Poetry; poetry != nil && poetry.Dependencies != nil && project["dependencies"] == nil {
		return poetryRequires(poetry.Dependencies)
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

// poetryRequires reads Poetry's own table of dependencies. Optional ones are extras', which pip is not asked for.
func poetryRequires(table map[string]any) ([]Requirement, error) {
	deps, err := parsePoetryDependencies(table)
	if err != nil {
		return nil, err
	}
	var out []Requirement
	for _, d := range deps {
		switch {
		case d.optional:
			continue
		case d.kind != "":
			return nil, fmt.Errorf("dependency %s: %w", d.name, &UnsupportedError{What: "comes from no index"})
		case len(d.version) > 1:
			return nil, fmt.Errorf("dependency %s: %w", d.name, &UnsupportedError{What: "has alternatives of versions"})
		}
		r := Requirement{Name: d.name, Extras: d.extras, Marker: d.marker}
		if len(d.version) == 1 {
			r.Specs = d.version[0]
		}
		r.text = r.Name + r.Specs.String()
		if len(r.Extras) > 0 {
			r.text = r.Name + "[" + strings.Join(r.Extras, ",") + "]" + r.Specs.String()
		}
		out = append(out, r)
	}
	return out, nil
}
