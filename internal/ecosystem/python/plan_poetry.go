package python

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"headwater/internal/plan"
	"headwater/internal/toml"
)

func poetryValued() []string {
	return strings.Fields("--directory -C --project -P --only --with --without --extras -E --output -o --format -f --python --group -G")
}

// poetry looks at a call of Poetry.
func (p planner) poetry(words []string) error {
	global, verb, rest := subcommand(words, poetryValued()...)
	operands, flags := arguments(rest, poetryValued()...)
	flags = append(global, flags...)
	dir := p.c.Dir
	for _, f := range flags {
		if slices.Contains([]string{"--directory", "-C", "--project", "-P"}, f.name) {
			dir = plan.Abs(p.c.Dir, f.value)
		}
	}
	dir = p.upward(dir, "pyproject.toml")
	switch verb {
	case "install", "sync":
		return p.poetryFill(p.fill(p.poetryVenv(dir)), dir, flags)
	case "config":
		if len(operands) == 2 && strings.HasPrefix(operands[0], "virtualenvs.") {
			p.Files.Place(poetryConfig+operands[0]+"="+strings.ToLower(operands[1]), plan.Origin{Kind: plan.Empty}, p.c.Evidence)
		}
	case "run":
		_, program, args := subcommand(rest)
		return p.inside(p.poetryVenv(dir), program, args)
	case "export":
		return p.poetryExport(dir, flags)
	case "build":
		return p.wheel([]string{dir, "-w", path.Join(dir, "dist")})
	case "add":
		p.unknown("poetry add")
	}
	return nil
}

// poetryConfig is where a plan keeps what an image has set for Poetry: empty files of the setting's name.
const poetryConfig = "/root/.config/pypoetry/"

// poetryVenv is where Poetry installs a project: into the environment that is stepped into, the project's own, or, where it is told
// to make none, the interpreter's. Where Poetry would choose a path of its own, the project's is taken.
func (p planner) poetryVenv(dir string) string {
	set := func(setting, variable string) (value, known bool) {
		if v, ok := p.c.Env[variable]; ok {
			return truthy(v), true
		}
		for _, v := range []string{"false", "true"} {
			if p.Files.Exists(poetryConfig + setting + "=" + v) {
				return v == "true", true
			}
		}
		return p.poetryToml(dir, strings.TrimPrefix(setting, "virtualenvs."))
	}
	if env := p.c.Env["VIRTUAL_ENV"]; env != "" {
		return plan.Abs(p.c.Dir, env)
	}
	if create, known := set("virtualenvs.create", "POETRY_VIRTUALENVS_CREATE"); known && !create {
		return p.current("")
	}
	return path.Join(dir, ".venv")
}

func (p planner) poetryToml(dir, key string) (value, known bool) {
	data, _, err := p.ReadFile(path.Join(dir, "poetry.toml"))
	if err != nil {
		return false, false
	}
	var config struct {
		Virtualenvs map[string]any
	}
	if toml.Unmarshal(data, &config) != nil {
		return false, false // locking reports it
	}
	value, known = config.Virtualenvs[key].(bool)
	return value, known
}

func (p planner) poetryFill(b *plan.Build, dir string, flags []flag) error {
	if !p.folder(b, dir, "pyproject.toml") {
		p.Notes.Ask(plan.Question{About: "components", Ask: "Poetry installs a project in " + dir + ", and no pyproject.toml of the source stands there", Looked: []plan.Evidence{p.c.Evidence}, Main: true})
		return nil
	}
	data, name, err := p.ReadFile(path.Join(dir, "pyproject.toml"))
	if err != nil {
		return err
	}
	manifest, err := ParseProject(data)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	w := poetryOptions(manifest, flags)
	if w.project && manifest.PoetryPackage() && !p.hasPoetryModule(dir, manifest) {
		w.project = false
		p.Notes.Remark(fmt.Sprintf("%s finds no package %s in %s, so what it depends on is installed alone", p.c.Text(), manifest.Name(), dir), p.c.Evidence)
	}
	if slices.ContainsFunc(flags, func(f flag) bool { return f.name == "--only-root" }) {
		// The project joins what is there.
		w.groups, _ = b.Options["groups"].([]string)
		w.extras, _ = b.Options["extras"].([]string)
		if len(w.groups) == 0 {
			w.groups = []string{MainGroup}
		}
	}
	if all, names, err := noBinaryEnv(p.c.Env["POETRY_INSTALLER_NO_BINARY"]); err == nil {
		w.compileAll, w.compile = all, names
	}
	for _, o := range []string{"groups", "extras", "compile", "project"} {
		delete(b.Options, o)
	}
	w.set(b)
	return p.fromLock(b, dir, "poetry.lock", p.interpreter(b, dir, flags), w)
}

// hasPoetryModule tells whether the stage has what Poetry takes for the project's package where pyproject.toml names none: a folder or a file
// called like it, at the top or in src. Poetry 1 passes over a project without; Poetry 2 ends with an error.
func (p planner) hasPoetryModule(dir string, manifest *Project) bool {
	if poetry := manifest.fields.Tool.Poetry; poetry == nil || len(poetry.Packages) > 0 {
		return true
	}
	name := strings.ReplaceAll(manifest.Name(), "-", "_")
	return slices.ContainsFunc([]string{name, name + ".py", "src/" + name, "src/" + name + ".py"}, func(at string) bool { return p.Files.Exists(path.Join(dir, at)) })
}

func noBinaryEnv(v string) (all bool, names []string, err error) {
	if v == "" {
		return false, nil, nil
	}
	n, err := parseNoBinary(v)
	return n.all, n.names, err
}

// poetryOptions reads Poetry's options for what a project offers.
func poetryOptions(manifest *Project, flags []flag) selection {
	w := selection{project: true, editable: true}
	var only, with, without []string
	noDev := false
	for _, f := range flags {
		switch f.name {
		case "--only":
			only = append(only, settingWords(f.value)...)
		case "--with":
			with = append(with, settingWords(f.value)...)
		case "--without":
			without = append(without, settingWords(f.value)...)
		case "--no-dev":
			noDev = true
		case "--no-root":
			w.project = false
		case "--extras", "-E":
			w.extras = append(w.extras, settingWords(f.value)...)
		case "--all-extras":
			w.extras = append(w.extras, manifest.extras()...)
		case "--all-groups":
			with = append(with, manifest.PoetryGroups()...)
		}
	}
	switch {
	case len(only) > 0:
		w.groups = unique(only)
	case noDev:
		w.groups = []string{MainGroup}
	default:
		optional := manifest.optionalGroups()
		w.groups = slices.DeleteFunc(manifest.PoetryGroups(), func(g string) bool { return slices.Contains(optional, g) })
		w.groups = append(w.groups, with...)
	}
	without = unique(without)
	w.groups = slices.DeleteFunc(unique(w.groups), func(g string) bool { return slices.Contains(without, g) })
	w.extras = unique(w.extras)
	if !manifest.PoetryPackage() {
		w.project = true // it is not installed anyway, so nothing has to say so
	}
	return w
}

// optionalGroups are those that Poetry leaves out unless it is told to take them.
func (p *Project) optionalGroups() []string {
	var out []string
	if poetry := p.fields.Tool.Poetry; poetry != nil {
		for name, v := range poetry.Group {
			if t, ok := v.(map[string]any); ok && t["optional"] == true {
				out = append(out, NormalizeName(name))
			}
		}
	}
	return sorted(out)
}

// poetryExport writes a requirements file out of the lock.
func (p planner) poetryExport(dir string, flags []flag) error {
	out := "requirements.txt"
	for _, f := range flags {
		if f.name == "-o" || f.name == "--output" {
			out = f.value
		}
	}
	if !slices.ContainsFunc(flags, func(f flag) bool { return f.name == "--with" || f.name == "--only" || f.name == "--all-groups" }) {
		flags = append(slices.Clone(flags), flag{"--only", MainGroup}) // what export writes by default
	}
	flags = append(slices.Clone(flags), flag{"--no-root", ""})
	b := p.NewBuild("python", dir, p.c.Evidence)
	b.Options["venv"], b.Only, b.Passed = exported, true, true
	p.Makes(b, plan.Output{At: plan.Abs(p.c.Dir, out), File: true}, p.c.Evidence)
	return p.poetryFill(b, dir, flags)
}
