package python

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"headwater/internal/plan"
)

// staticRoot is Django's setting of the folder that collectstatic fills, in the forms that settings have.
var staticRoot = regexp.MustCompile(`(?m)^\s*STATIC_ROOT\s*(?::\s*\w+\s*)?=\s*(.+?)\s*(?:#.*)?$`)

var (
	quoted    = regexp.MustCompile(`["']([^"']*)["']`)
	onBaseDir = regexp.MustCompile(`^(?:str\()?(?:os\.path\.join\(\s*)?(?:\w*BASE_DIR|PROJECT_ROOT|ROOT_DIR)\b`)
)

// collectStatic is Django's command that gathers assets in one folder, which the settings name.
func (p planner) collectStatic(words []string, manage string) error {
	if !slices.Contains(words, "--noinput") && !slices.Contains(words, "--no-input") {
		words = append(slices.Clone(words), "--noinput") // as no one is there to be asked
	}
	b := p.plain(words)
	found, looked := p.staticRoots(path.Dir(manage))
	if len(found) != 1 {
		p.Notes.Ask(plan.Question{
			About: "components", Ask: "collectstatic is run, and no settings say where STATIC_ROOT is; which folder is needed of it?",
			Looked: append([]plan.Evidence{p.c.Evidence}, looked...),
		})
		return nil
	}
	p.Makes(b, plan.Output{At: found[0]}, looked[0])
	return nil
}

// staticRoots are the folders that settings of the project name, absolute.
func (p planner) staticRoots(dir string) (found []string, looked []plan.Evidence) {
	top, ok := p.SourceOf(dir)
	if !ok {
		top = "."
	}
	for _, f := range p.Tree.Below(top) {
		if path.Ext(f) != ".py" || !strings.Contains(f, "settings") || strings.Contains(f, "test") {
			continue
		}
		data, err := p.Tree.Read(f)
		if err != nil {
			continue // a link to nowhere, say: what cannot be read says nothing
		}
		for _, m := range staticRoot.FindAllSubmatchIndex(data, -1) {
			value := string(data[m[2]:m[3]])
			e := plan.Evidence{File: f, Line: 1 + strings.Count(string(data[:m[2]]), "\n"), Rule: "Django's STATIC_ROOT"}
			looked = append(looked, e)
			var parts []string
			for _, q := range quoted.FindAllStringSubmatch(value, -1) {
				parts = append(parts, q[1])
			}
			at := ""
			switch {
			case len(parts) == 0:
				continue
			case onBaseDir.MatchString(value):
				at = path.Join(dir, path.Join(parts...))
			case len(parts) == 1 && value[0] == value[len(value)-1] && strings.ContainsAny(value[:1], `"'`):
				at = plan.Abs(dir, parts[0])
			default:
				continue
			}
			if !slices.Contains(found, at) {
				found = append(found, at)
			}
		}
	}
	return found, looked
}
