package python

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"headwater/internal/plan"
)

// interpreterOf is a Python of Debian's and what it stands on.
type interpreterOf struct {
	minor int // of 3.N
	suite string
	glibc int // minor of 2.N
}

// interpreters lists the Pythons of Debian's suites, oldest first.
func interpreters() []interpreterOf {
	return []interpreterOf{{11, "bookworm", 36}, {13, "trixie", 41}, {14, "forky", 42}}
}

// environment is what a plan takes an environment to be made for, which is exact enough to know what is compiled.
func (i interpreterOf) environment() Environment {
	return Environment{Target: Target{Major: 3, Minor: i.minor, GlibcMinor: i.glibc, Arch: "x86_64"}, Full: fmt.Sprintf("3.%d.99", i.minor)}
}

var (
	versionText  = regexp.MustCompile(`(?:^|[^0-9.])3\.([0-9]{1,2})(?:[^0-9]|$)`)
	imageVersion = regexp.MustCompile(`(?:^|[^0-9.])3\.([0-9]{1,2})(?:[.-]|$)`)
	// python:alpine3.14 has the newest Python on Alpine 3.14.
	alpineVersion = regexp.MustCompile(`alpine3\.[0-9]+`)
)

// interpreter chooses a build's Python by what the upstream says, and says which packages of the distribution bring it. project
// is the folder of the project in the stage, "" for none.
func (p planner) interpreter(b *plan.Build, project string, flags []flag) interpreterOf {
	minor, e := p.statedVersion(project, flags)
	requires, text, re := p.requiresPython(project)
	chosen, exact := choosePython(minor, requires)
	switch {
	case minor == 0 && text == "":
		e = plan.Evidence{Rule: "nothing says which Python: the stable suite's"}
	case minor == 0:
		e = re
	case !exact:
		p.Notes.Remark(fmt.Sprintf("the upstream runs Python 3.%d, which no suite of Debian's has; 3.%d is taken", minor, chosen.minor), e)
	}
	if !requires.contain(mustVersion(chosen.environment().Full)) {
		p.Notes.Ask(plan.Question{
			About: "roots", Ask: fmt.Sprintf("the project wants Python %s, which no suite of Debian's has", text), Looked: []plan.Evidence{re, e},
		})
	}
	name := fmt.Sprintf("python3.%d", chosen.minor)
	isPython := func(n string) bool { return strings.HasPrefix(n, "python3.") }
	b.Needs = needs(without(b.Needs, isPython), e, name, name+"-dev")
	b.RunNeeds = needs(without(b.RunNeeds, isPython), e, name)
	return chosen
}

func without(list []plan.Installed, drop func(string) bool) []plan.Installed {
	var out []plan.Installed
	for _, i := range list {
		if !drop(i.Name) {
			out = append(out, i)
		}
	}
	return out
}

func mustVersion(s string) Version {
	v, err := ParseVersion(s)
	if err != nil {
		return Version{} // satisfies nothing, so that a person is asked
	}
	return v
}

// statedVersion is the minor of Python 3 that the command, its environment, a file or the image names, 0 if none does.
func (p planner) statedVersion(project string, flags []flag) (int, plan.Evidence) {
	for _, f := range flags {
		if f.name == "-p" || f.name == "--python" {
			if n := minorIn(versionText, f.value); n > 0 {
				return n, p.c.Evidence
			}
		}
	}
	if n := minorIn(versionText, p.c.Env["UV_PYTHON"]); n > 0 {
		return n, p.c.Evidence
	}
	if n, e := p.imageVersion(); n > 0 {
		return n, e
	}
	for dir := project; dir != ""; dir = path.Dir(dir) {
		if data, name, err := p.ReadFile(path.Join(dir, ".python-version")); err == nil {
			line, _, _ := strings.Cut(strings.TrimSpace(string(data)), "\n")
			if n := minorIn(versionText, line); n > 0 {
				return n, plan.Evidence{File: name, Line: 1}
			}
		}
		if dir == "/" {
			break
		}
	}
	return 0, plan.Evidence{}
}

// imageVersion is that of the image at the bottom, by the conventions of images of Python: python:3.13-slim, uv:python3.13-alpine.
func (p planner) imageVersion() (int, plan.Evidence) {
	bottom := p.Stage
	for bottom.Parent != nil {
		bottom = bottom.Parent
	}
	ref, _, _ := strings.Cut(bottom.Base, "@")
	name, tag, _ := strings.Cut(path.Base(ref), ":")
	e := bottom.Evidence
	e.Rule = "the image " + ref
	tag = alpineVersion.ReplaceAllString(tag, "")
	if strings.Contains(name, "python") {
		return minorIn(imageVersion, tag), e
	}
	if _, after, ok := strings.Cut(tag, "python"); ok {
		return minorIn(imageVersion, after), e
	}
	return 0, e
}

func minorIn(pattern *regexp.Regexp, text string) int {
	m := pattern.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n := 0
	for _, d := range m[1] {
		n = 10*n + int(d-'0')
	}
	return n
}

// requiresPython is what a project's manifest says, and as it is written, "" where that is nothing.
func (p planner) requiresPython(project string) (versions poetryVersions, text string, e plan.Evidence) {
	if project == "" {
		return nil, "", plan.Evidence{}
	}
	data, name, err := p.ReadFile(path.Join(project, "pyproject.toml"))
	if err != nil {
		return nil, "", plan.Evidence{}
	}
	e = plan.Evidence{File: name, Rule: "the versions of Python that the project goes with"}
	manifest, err := ParseProject(data)
	if err != nil {
		return nil, "", e
	}
	if versions, text, err = manifest.wantsPython(); err != nil {
		return nil, "", e
	}
	return versions, text, e
}

// choosePython is Debian's interpreter of a minor version, or else the nearest that a project admits, newer ones first. exact tells
// that it is the one that was asked for. With 0 it is the stable suite's, where that is admitted.
func choosePython(minor int, requires poetryVersions) (chosen interpreterOf, exact bool) {
	all := interpreters()
	admitted := func(i interpreterOf) bool {
		return requires.contain(mustVersion(i.environment().Full))
	}
	for _, i := range all {
		if i.minor == minor {
			return i, true
		}
	}
	stable := all[1]
	if minor == 0 && admitted(stable) {
		return stable, true
	}
	for _, i := range all {
		if i.minor > minor && minor > 0 && admitted(i) {
			return i, false
		}
	}
	for k := len(all) - 1; k >= 0; k-- {
		if admitted(all[k]) {
			return all[k], minor == 0
		}
	}
	return stable, false
}
