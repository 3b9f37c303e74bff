package python

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"headwater/internal/plan"
)

// uvValued are uv's options that take a value in the next word.
func uvValued() []string {
	return strings.Fields("--directory --project --config-file --cache-dir --color --python -p --extra --no-extra --group --no-group --only-group " +
		"--no-install-package --no-binary-package --no-build-package --no-build-isolation-package --package --with --with-editable --with-requirements --env-file " +
		"--index --default-index --index-url -i --extra-index-url --find-links -f --index-strategy --keyring-provider --resolution --prerelease --fork-strategy " +
		"--exclude-newer --link-mode --refresh-package --reinstall-package --upgrade-package -P --config-setting -C --output-file -o --format --prompt --out-dir " +
		"--python-platform --target --prefix --no-emit-package --constraint -c --constraints --override --overrides --requirement -r --requirements --editable -e " +
		"--no-binary --only-binary --no-sources-package --seed-package --python-preference --torch-backend --from")
}

// uv looks at a call of uv.
func (p planner) uv(words []string) error {
	global, verb, rest := subcommand(words, uvValued()...)
	switch verb {
	case "sync":
		_, flags := arguments(rest, uvValued()...)
		return p.uvSync(append(global, flags...))
	case "run":
		flags, program, args := subcommand(rest, uvValued()...)
		return p.uvRun(append(global, flags...), program, args)
	case "pip":
		_, verb, rest := subcommand(rest, uvValued()...)
		return p.uvPip(verb, rest)
	case "venv":
		dirs, _ := arguments(rest, uvValued()...)
		if len(dirs) == 0 {
			rest = append(slices.Clone(rest), defaultTo(p.c.Env["UV_PROJECT_ENVIRONMENT"], ".venv"))
		}
		p.venv(rest)
	case "export":
		_, flags := arguments(rest, uvValued()...)
		return p.uvExport(append(global, flags...))
	case "build":
		return p.wheel([]string{".", "-w", outDir(rest)})
	case "add":
		p.unknown("uv add")
	case "tool":
		if _, verb, rest := subcommand(rest); verb == "run" {
			return p.tool(rest)
		}
		p.Notes.Remark("the upstream's image installs a tool that is not part of the service's environment: "+p.c.Text(), p.c.Evidence)
	}
	return nil // the others bring uv itself, a Python, or nothing that stays
}

// subcommand takes a command line apart at its first operand.
func subcommand(words []string, valued ...string) (flags []flag, verb string, rest []string) {
	for i := 0; i < len(words); i++ {
		w := words[i]
		if !strings.HasPrefix(w, "-") {
			return flags, w, words[i+1:]
		}
		if w == "--" && i+1 < len(words) {
			return flags, words[i+1], words[i+2:]
		}
		n := 1
		if slices.Contains(valued, w) {
			n = 2
		}
		_, got := arguments(words[i:min(i+n, len(words))], valued...)
		flags, i = append(flags, got...), i+n-1
	}
	return flags, "", nil
}

func defaultTo(v, otherwise string) string {
	if v == "" {
		return otherwise
	}
	return v
}

// uvProject is the folder of the lock that uv uses, and that of the project, absolute.
func (p planner) uvProject(flags []flag) (top, project string) {
	dir := plan.Abs(p.c.Dir, defaultTo(p.c.Env["UV_PROJECT"], "."))
	for _, f := range flags {
		if f.name == "--directory" || f.name == "--project" {
			dir = plan.Abs(p.c.Dir, f.value)
		}
	}
	project = p.upward(dir, "pyproject.toml")
	return p.upward(project, "uv.lock"), project
}

// upward is the nearest folder at or above dir that has a file, dir itself if none has.
func (p planner) upward(dir, file string) string {
	for d := dir; ; d = path.Dir(d) {
		if _, ok := p.SourceOf(path.Join(d, file)); ok {
			return d
		}
		if d == "/" {
			return dir
		}
	}
}

func (p planner) uvSync(flags []flag) error {
	top, project := p.uvProject(flags)
	venv := plan.Abs(top, defaultTo(p.c.Env["UV_PROJECT_ENVIRONMENT"], ".venv"))
	for _, f := range flags {
		if f.name == "--active" && p.c.Env["VIRTUAL_ENV"] != "" {
			venv = plan.Abs(top, p.c.Env["VIRTUAL_ENV"])
		}
	}
	b := p.fill(venv)
	return p.uvFill(b, top, project, flags)
}

// uvFill has a build install what uv would for a project. A later call takes the place of an earlier one: uv makes the
// environment what the last says.
func (p planner) uvFill(b *plan.Build, top, project string, flags []flag) error {
	if !p.folder(b, top, "pyproject.toml") {
		p.Notes.Ask(plan.Question{About: "components", Ask: "uv installs a project in " + top + ", and no pyproject.toml of the source stands there", Looked: []plan.Evidence{p.c.Evidence}, Main: true})
		return nil
	}
	data, name, err := p.ReadFile(path.Join(top, "pyproject.toml"))
	if err != nil {
		return err
	}
	manifest, err := ParseProject(data)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	w := uvOptions(manifest, flags, p.c.Env)
	if top != project {
		if member, err := p.projectName(project); err == nil && member != "" && len(w.packages) == 0 && !w.allPackages {
			w.packages = []string{member}
		}
	}
	for _, o := range []string{"groups", "extras", "packages", "exclude", "compile", "project", "editable"} {
		delete(b.Options, o)
	}
	if !slices.ContainsFunc(flags, func(f flag) bool { return f.name == "--inexact" }) { // it takes away what the lock has not
		delete(b.Options, "install")
		delete(b.Options, "requirements")
		delete(b.Options, "constraints")
	}
	w.set(b)
	i := p.interpreter(b, top, flags)
	return p.fromLock(b, top, "uv.lock", i, w)
}

func (p planner) projectName(dir string) (string, error) {
	data, _, err := p.ReadFile(path.Join(dir, "pyproject.toml"))
	if err != nil {
		return "", err
	}
	manifest, err := ParseProject(data)
	if err != nil {
		return "", err
	}
	return manifest.Name(), nil
}

// selection is what a tool's command line says of what is to be installed out of a lock.
type selection struct {
	groups, extras, packages, exclude, compile []string
	project, editable                          bool
	allPackages, noMembers, compileAll         bool
}

// set writes a selection as a component's options.
func (w selection) set(b *plan.Build) {
	if !slices.Equal(w.groups, []string{MainGroup}) {
		add(b, "groups", w.groups...)
	}
	add(b, "extras", w.extras...)
	add(b, "packages", w.packages...)
	add(b, "exclude", w.exclude...)
	if !w.project {
		b.Options["project"] = false
	}
	if !w.editable {
		b.Options["editable"] = false
	}
}

// uvOptions reads uv's options for what a project offers.
func uvOptions(manifest *Project, flags []flag, env map[string]string) selection {
	w := selection{project: true, editable: !truthy(env["UV_NO_EDITABLE"])}
	all := manifest.PoetryGroups() // those of [dependency-groups], and main
	defaults := manifest.uvDefaultGroups()
	noDefault, noDev := truthy(env["UV_NO_DEFAULT_GROUPS"]), truthy(env["UV_NO_DEV"])
	var groups, without, only []string
	without = append(without, settingWords(env["UV_NO_GROUP"])...)
	for _, f := range flags {
		switch f.name {
		case "--no-dev":
			noDev = true
		case "--dev":
			groups = append(groups, "dev")
		case "--only-dev":
			only = append(only, "dev")
		case "--group":
			groups = append(groups, f.value)
		case "--only-group":
			only = append(only, f.value)
		case "--no-group":
			without = append(without, f.value)
		case "--all-groups":
			groups = append(groups, all...)
		case "--no-default-groups":
			noDefault = true
		case "--extra":
			w.extras = append(w.extras, NormalizeName(f.value))
		case "--all-extras":
			w.extras = append(w.extras, manifest.extras()...)
		case "--package":
			w.packages = append(w.packages, NormalizeName(f.value))
		case "--all-packages":
			w.allPackages = true
		case "--no-install-project":
			w.project = false
		case "--no-install-workspace", "--no-install-local":
			w.project, w.noMembers = false, true
		case "--no-install-package":
			w.exclude = append(w.exclude, NormalizeName(f.value))
		case "--no-editable":
			w.editable = false
		case "--no-binary":
			w.compileAll = true
		case "--no-binary-package":
			w.compile = append(w.compile, NormalizeName(f.value))
		}
	}
	if truthy(env["UV_NO_INSTALL_PROJECT"]) {
		w.project = false
	}
	w.compileAll = w.compileAll || truthy(env["UV_NO_BINARY"])
	for _, n := range settingWords(env["UV_NO_BINARY_PACKAGE"]) {
		w.compile = append(w.compile, NormalizeName(n))
	}
	if noDev {
		without = append(without, "dev")
	}
	switch {
	case len(only) > 0:
		w.groups, w.project = only, false
	default:
		w.groups = []string{MainGroup}
		if !noDefault {
			w.groups = append(w.groups, defaults...)
		}
		w.groups = append(w.groups, groups...)
	}
	for i, g := range without {
		without[i] = NormalizeName(g)
	}
	w.groups = slices.DeleteFunc(unique(w.groups), func(g string) bool { return slices.Contains(without, g) })
	w.extras, w.exclude, w.compile = unique(w.extras), unique(w.exclude), unique(w.compile)
	return w
}

// unique normalises names and takes each once, in their order.
func unique(list []string) []string {
	var out []string
	for _, n := range list {
		if n = NormalizeName(n); n != "" && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// uvRun is "uv run", which brings the environment up to date and runs a program in it.
func (p planner) uvRun(flags []flag, program string, args []string) error {
	top, _ := p.uvProject(flags)
	venv := plan.Abs(top, defaultTo(p.c.Env["UV_PROJECT_ENVIRONMENT"], ".venv"))
	has := func(name string) bool {
		return slices.ContainsFunc(flags, func(f flag) bool { return f.name == name })
	}
	if !has("--no-sync") && !truthy(p.c.Env["UV_NO_SYNC"]) && !has("--no-project") && !has("--script") {
		if err := p.uvSync(flags); err != nil {
			return err
		}
	}
	if has("--module") || has("-m") {
		program, args = "python", append([]string{"-m", program}, args...)
	}
	if strings.HasSuffix(program, ".py") {
		program, args = "python", append([]string{program}, args...)
	}
	return p.inside(venv, program, args)
}

// inside looks at a program that is run in an environment.
func (p planner) inside(venv, program string, args []string) error {
	if program == "" {
		return nil
	}
	env := map[string]string{}
	for k, v := range p.c.Env {
		env[k] = v
	}
	env["VIRTUAL_ENV"], env["PATH"] = venv, path.Join(venv, "bin")+":"+env["PATH"]
	p.c.Env, p.c.Args = env, append([]string{program}, args...)
	known, err := p.command(p.c.Args)
	if err == nil && !known {
		err = p.run(p.c.Args)
	}
	return err
}

// uvPip is uv's pip, which looks for an environment in .venv as well.
func (p planner) uvPip(verb string, rest []string) error {
	_, flags := arguments(rest, uvValued()...)
	env := ""
	for _, f := range flags {
		switch f.name {
		case "--system":
			env = systemVenv
		case "--python", "-p":
			env = defaultTo(p.named(f.value), env)
		}
	}
	if truthy(p.c.Env["UV_SYSTEM_PYTHON"]) {
		env = systemVenv
	}
	if env == "" && p.c.Env["VIRTUAL_ENV"] == "" {
		if at := plan.Abs(p.c.Dir, ".venv"); p.environment(at) != nil {
			env = at
		}
	}
	if verb == "sync" {
		var list []string
		files, _ := arguments(rest, uvValued()...)
		for _, f := range files {
			list = append(list, "-r", f)
		}
		return p.pipInstall(env, list)
	}
	return p.pip(env, append([]string{verb}, rest...))
}

// uvExport writes a requirements file out of the lock, which something installs later: it stands for the lock.
func (p planner) uvExport(flags []flag) error {
	out := ""
	for _, f := range flags {
		if f.name == "-o" || f.name == "--output-file" {
			out = f.value
		}
	}
	top, project := p.uvProject(flags)
	b := p.NewBuild("python", top, p.c.Evidence)
	if out == "" {
		p.Notes.Remark("a requirements file is written by "+p.c.Text()+"; where it is installed, the lock stands in for it", p.c.Evidence)
		out = "requirements.txt"
	}
	b.Options["venv"], b.Only, b.Passed = exported, true, true
	p.Makes(b, plan.Output{At: plan.Abs(p.c.Dir, out), File: true}, p.c.Evidence)
	return p.uvFill(b, top, project, flags)
}

// exported marks a build that is no environment yet, but a file or a folder of wheels that one is made of.
const exported = ""
