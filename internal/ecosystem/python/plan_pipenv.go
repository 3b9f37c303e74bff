package python

import (
	"path"
	"strings"

	"headwater/internal/plan"
)

func pipenvValued() []string {
	return strings.Fields("--python --pypi-mirror -i --index --extra-pip-args --categories -r --requirements -e --editable")
}

// pipenv looks at a call of Pipenv. What it installs is what its lock says, which pip's requirements stand for.
func (p planner) pipenv(words []string) error {
	global, verb, rest := subcommand(words, pipenvValued()...)
	operands, flags := arguments(rest, pipenvValued()...)
	flags = append(global, flags...)
	dir := p.upward(p.c.Dir, "Pipfile")
	venv := path.Join(dir, ".venv")
	if env := p.c.Env["VIRTUAL_ENV"]; env != "" {
		venv = plan.Abs(p.c.Dir, env)
	}
	system := truthy(p.c.Env["PIPENV_SYSTEM"])
	for _, f := range flags {
		system = system || f.name == "--system"
	}
	if system {
		venv = p.current("")
	}
	switch verb {
	case "install", "sync":
		if len(operands) > 0 {
			p.unknown("pipenv install")
		}
		return p.pipenvFill(p.fill(venv), dir, flags)
	case "requirements":
		b := p.NewBuild("python", dir, p.c.Evidence)
		b.Options["venv"], b.Only, b.Passed = exported, true, true
		p.Notes.Remark("a requirements file is written by "+p.c.Text()+"; where it is installed, the lock stands in for it", p.c.Evidence)
		p.Makes(b, plan.Output{At: plan.Abs(p.c.Dir, "requirements.txt"), File: true}, p.c.Evidence)
		return p.pipenvFill(b, dir, flags)
	case "run":
		_, program, args := subcommand(rest)
		return p.inside(venv, program, args)
	}
	return nil
}

func (p planner) pipenvFill(b *plan.Build, dir string, flags []flag) error {
	lock := path.Join(dir, pipfileName)
	if _, ok := p.SourceOf(lock); !ok {
		p.Notes.Ask(plan.Question{About: "components", Main: true, Ask: p.c.Text() + " installs a project without a " + pipfileName + " in the source: nothing pins its dependencies", Looked: []plan.Evidence{p.c.Evidence}})
		return nil
	}
	for _, f := range flags {
		if f.name == "--dev" || f.name == "-d" || f.name == "--categories" {
			p.Notes.Ask(plan.Question{About: "components", Ask: p.c.Text() + " installs more than the packages that the service is run with; are those of " + strings.TrimSpace(f.name+" "+f.value) + " needed?", Looked: []plan.Evidence{p.c.Evidence}})
		}
	}
	return p.pipFill(b, nil, []flag{{"-r", lock}})
}
