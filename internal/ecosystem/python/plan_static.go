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
	belowBase = regexp.MustCompile(`\b(?:\w*BASE_DIR|PROJECT_ROOT|ROOT_DIR)((?:\.parent)*)((?:\s*[/,]\s*["'][^"']*["'])+)`)
	onBaseDir = regexp.MustCompile(`^(?:str\()?(?:os\.path\.join\(\s*)?(?:\w*BASE_DIR|PROJECT_ROOT|ROOT_DIR)\b`)
)

// django looks at a command of Django's for a project in a folder; it reports whether that is one whose outcome is known.
func (p planner) django(rest, words []string, project string) (bool, error) {
	if len(rest) == 0 {
		return false, nil
	}
	switch rest[0] {
	case "compilescss", "compress": // they write beside their sources or into STATIC_ROOT, where what is collected has it
		p.plain(words)
		return true, nil
	case "collectstatic":
		return true, p.collectStatic(words, project)
	case "compilemessages":
		if _, ok := p.SourceOf(p.c.Dir); ok {
			project = p.c.Dir
		}
		return true, p.translations(words, project)
	}
	return false, nil
}

// pybabel compiles the translations of the folder that it is told.
func (p planner) pybabel(rest, words []string) error {
	_, verb, rest := subcommand(rest)
	_, flags := arguments(rest, "-d", "--directory", "-D", "--domain", "-i", "--input-file", "-o", "--output-file", "-l", "--locale")
	for _, f := range flags {
		if verb != "compile" || f.name != "-d" && f.name != "--directory" {
			continue
		}
		// An environment that is laid somewhere as modules alone has no programs.
		words = append([]string{"python3", "-m", "babel.messages.frontend"}, words[1:]...)
		at := plan.Abs(p.c.Dir, f.value)
		if _, ok := p.SourceOf(p.c.Dir); !ok {
			p.c.Dir = path.Dir(at)
		}
		return p.translations(words, at)
	}
	p.Notes.Remark("translations are not compiled: "+p.c.Text(), p.c.Evidence)
	return nil
}

// translations is a command that compiles the translations below a folder: beside each text (.po) it lays what programs read (.mo). Each
// folder of languages is then what the command made of it.
func (p planner) translations(words []string, below string) error {
	top, ok := p.SourceOf(below)
	if !ok {
		p.Notes.Ask(plan.Question{About: "components", Ask: p.c.Text() + " compiles translations, and nothing of the source stands in " + below + "; which does it compile?", Looked: []plan.Evidence{p.c.Evidence}})
		return nil
	}
	var folders []string
	for _, f := range p.Tree.Below(top) {
		dir, ok := strings.CutSuffix(path.Dir(f), "/LC_MESSAGES")
		at := path.Join(below, relativePath(top, path.Dir(dir)))
		if o, _ := p.Lookup(at); ok && path.Ext(f) == ".po" && plan.Aside(f) == "" && o.Kind == plan.Source && o.Path == path.Dir(dir) && !slices.Contains(folders, at) {
			folders = append(folders, at)
		}
	}
	if len(folders) == 0 {
		return nil // there is nothing to do
	}
	b := p.plain(words)
	for _, at := range folders {
		p.Makes(b, plan.Output{At: at}, p.c.Evidence)
	}
	return nil
}

// collectStatic is Django's command that gathers assets in one folder, which the settings name.
func (p planner) collectStatic(words []string, project string) error {
	if !slices.Contains(words, "--noinput") && !slices.Contains(words, "--no-input") {
		words = append(slices.Clone(words), "--noinput") // as no one is there to be asked
	}
	b := p.plain(words)
	found, looked := p.staticRoots(project)
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

// setting is the value of the variable that a setting is read from, "" if it is from none that is set.
func (p planner) setting(value string, words []string) string {
	for _, w := range words {
		if strings.Contains(value, "env") && p.c.Env[w] != "" {
			return p.c.Env[w]
		}
	}
	return ""
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
			below := belowBase.FindStringSubmatch(value)
			switch set := p.setting(value, parts); {
			case len(parts) == 0:
				continue
			case set != "":
				at = plan.Abs(dir, set)
			case below != nil: // maybe what stands in for a variable
				at = dir + strings.Repeat("/..", strings.Count(below[1], ".parent"))
				for _, q := range quoted.FindAllStringSubmatch(below[2], -1) {
					at = path.Join(at, q[1])
				}
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
