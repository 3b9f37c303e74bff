package python

import (
	"maps"
	"path"
	"slices"
	"strings"

	"headwater/internal/plan"
)

// systemVenv is where an image's own interpreter has its packages and scripts.
const systemVenv = "/usr/local"

// environmentOf is the environment that a program is in by its path, "" if that does not tell: /opt/venv/bin/pip, and venv/bin/pip
// as it is seen from the command's folder.
func (p planner) environmentOf(program string) string {
	if !strings.Contains(program, "/") {
		return ""
	}
	dir := path.Dir(plan.Abs(p.c.Dir, program))
	if path.Base(dir) != "bin" || dir == "/usr/bin" || dir == "/bin" {
		return ""
	}
	return path.Dir(dir)
}

// named is the environment that an option names, as itself or by its interpreter, "" if it names a version or the system's.
func (p planner) named(python string) string {
	if at := plan.Abs(p.c.Dir, python); strings.Contains(python, "/") && p.environment(at) != nil {
		return at
	}
	return p.environmentOf(python)
}

// current is the environment that a tool such as pip works on: the one that it is in, the one that is stepped into, the first on
// PATH, or the interpreter's own.
func (p planner) current(env string) string {
	switch {
	case env != "":
		return env
	case p.c.Env["VIRTUAL_ENV"] != "":
		return plan.Abs(p.c.Dir, p.c.Env["VIRTUAL_ENV"])
	}
	for _, dir := range strings.Split(p.c.Env["PATH"], ":") {
		if venv := p.environmentOf(path.Join(dir, "x")); venv != "" && p.environment(venv) != nil {
			return venv
		}
	}
	return systemVenv
}

// environment is the build of the environment at a path, nil if there is none yet.
func (p planner) environment(venv string) *plan.Build {
	for _, b := range slices.Backward(p.AllBuilds()) {
		if b.Ecosystem == "python" && b.Options["venv"] == venv {
			return b
		}
	}
	// One that a stage was given a copy of.
	if o, _ := p.Files.Lookup(venv); o.Kind == plan.Product && o.Build.Ecosystem == "python" && o.Build.Options["venv"] == venv {
		return o.Build
	}
	return nil
}

// active is the build of the environment whose programs a command finds, nil if there is none.
func (p planner) active() *plan.Build {
	if venv := p.environmentOf(p.c.Args[0]); venv != "" {
		if b := p.environment(venv); b != nil {
			return b
		}
	}
	return p.environment(p.current(""))
}

// fill is the build of the environment at venv, to be given more. One that another stage made is taken up as this stage's own, so
// that what is made of the other stage besides keeps what it had.
func (p planner) fill(venv string) *plan.Build {
	venv = path.Clean(venv)
	old := p.environment(venv)
	if old != nil && old.Stage == p.Stage {
		old.Evidence = append(old.Evidence, p.c.Evidence)
		old.Before = p.Files.Clone()
		return old
	}
	b := p.NewBuild("python", p.c.Dir, p.c.Evidence)
	b.Name, b.Only = "env", true
	if old != nil {
		b.Name, b.Dir, b.Folder, b.At, b.Sources = old.Name, old.Dir, old.Folder, old.At, slices.Clone(old.Sources)
		b.Needs, b.RunNeeds, b.Programs = slices.Clone(old.Needs), slices.Clone(old.RunNeeds), slices.Clone(old.Programs)
		b.Options, b.Env = maps.Clone(old.Options), maps.Clone(old.Env)
		b.Evidence = append(slices.Clone(old.Evidence), p.c.Evidence)
	}
	b.Options["venv"] = venv
	out := plan.Output{At: venv, Inside: ".", Whole: true}
	if venv == systemVenv {
		p.MakesBelow(b, out, p.c.Evidence) // other things stand there too
	} else {
		p.Makes(b, out, p.c.Evidence)
	}
	return b
}

// folder says that a build's project is in a folder of the stage, and where the source must stand for that.
func (p planner) folder(b *plan.Build, dir, file string) bool {
	b.Dir = dir
	from, ok := p.SourceOf(path.Join(dir, file))
	if !ok {
		return false
	}
	b.Folder = path.Dir(from)
	p.place(b)
	return true
}

// place says where the source's top, or the project's folder, stands at run time: what is imported from the source needs it.
func (p planner) place(b *plan.Build) {
	top, ok := strings.CutSuffix(b.Dir, path.Join("/", b.Folder))
	delete(b.Options, "folder")
	switch {
	case b.Folder == ".":
		b.At = b.Dir
	case ok && top != "":
		b.At = top
	case b.Ecosystem == "python":
		b.Options["folder"] = b.Dir
	}
	if b.At == "/" { // nothing can be laid there
		b.At = ""
	}
}

// venv is "python -m venv DIR" or "virtualenv DIR".
func (p planner) venv(words []string) {
	dirs, flags := arguments(words, "--prompt", "-p", "--python", "--symlink-app-data", "--seeder")
	if len(dirs) == 0 {
		return
	}
	for _, f := range flags {
		if f.name == "--system-site-packages" {
			p.Notes.Remark("the environment sees the distribution's own packages ("+f.name+"); here it does not", p.c.Evidence)
		}
	}
	if p.environment(plan.Abs(p.c.Dir, dirs[0])) == nil {
		p.interpreter(p.fill(plan.Abs(p.c.Dir, dirs[0])), "", flags)
	}
}

// flag is an option of a command line.
type flag struct{ name, value string }

// arguments splits words into operands and options. valued are the options that take a value in the next word.
func arguments(words []string, valued ...string) (operands []string, flags []flag) {
	for i := 0; i < len(words); i++ {
		w := words[i]
		name, value, assigned := strings.Cut(w, "=")
		switch {
		case w == "--":
			return append(operands, words[i+1:]...), flags
		case strings.HasPrefix(w, "-") && w != "-":
			if !assigned && slices.Contains(valued, w) && i+1 < len(words) {
				i++
				value = words[i]
			} else if short := w[:min(2, len(w))]; !strings.HasPrefix(w, "--") && len(w) > 2 && slices.Contains(valued, short) {
				name, value = short, strings.TrimPrefix(w[2:], "=") // -rrequirements.txt
			}
			flags = append(flags, flag{name, value})
		default:
			operands = append(operands, w)
		}
	}
	return operands, flags
}

// truthy is how tools read a switch in the environment.
func truthy(v string) bool {
	return slices.Contains([]string{"1", "true", "yes", "on", "t", "y"}, strings.ToLower(v))
}

// add appends names to a list among a build's options, each once.
func add(b *plan.Build, option string, names ...string) {
	list, _ := b.Options[option].([]string)
	for _, n := range names {
		if n != "" && !slices.Contains(list, n) {
			list = append(slices.Clone(list), n)
		}
	}
	if len(list) > 0 {
		b.Options[option] = list
	}
}

// needs adds packages of the distribution.
func needs(list []plan.Installed, e plan.Evidence, names ...string) []plan.Installed {
	for _, n := range names {
		if !slices.ContainsFunc(list, func(i plan.Installed) bool { return i.Name == n }) {
			list = append(list, plan.Installed{Manager: "apt", Name: n, Evidence: e})
		}
	}
	return list
}

// words are the names in a setting of the environment.
func settingWords(v string) []string {
	return strings.FieldsFunc(v, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' || r == '\n' })
}
