package python

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"headwater/internal/plan"
)

// Recogniser knows the commands that make Python environments and run Python programs: pip, uv, Poetry, venv and python itself.
//
// Each environment is one build, whatever many commands fill it: its output is the whole environment, at the path where it
// stands in the stage, which is where it stands at run time. What pip puts into an image's own interpreter becomes an
// environment at /usr/local, which is where the images of that interpreter have it.
type Recogniser struct{}

// programPattern are the names of interpreters.
var programPattern = regexp.MustCompile(`^python(3(\.[0-9]+)?)?$`)

// Recognise implements plan.Recogniser.
func (Recogniser) Recognise(c plan.Command, s *plan.Stage) (bool, error) {
	p := planner{Stage: s, c: c}
	return p.command(c.Args)
}

// planner looks at one command.
type planner struct {
	*plan.Stage
	c plan.Command
}

// command looks at a command's words, the first of which is the program.
func (p planner) command(words []string) (bool, error) {
	if len(words) == 0 {
		return true, nil
	}
	name, rest := path.Base(words[0]), words[1:]
	if o, _ := p.Files.Lookup(plan.Abs(p.c.Dir, words[0])); o.Kind == plan.Network && strings.HasSuffix(o.Ref, "/uv/install.sh") {
		return true, nil // uv's own installer: what it brings is pinned here
	}
	switch {
	case strings.TrimRight(name, "0123456789.") == "pip":
		return true, p.pip(p.environmentOf(words[0]), rest)
	case programPattern.MatchString(name):
		return true, p.python(words, p.environmentOf(words[0]))
	}
	switch name {
	case "uv":
		return true, p.uv(rest)
	case "uvx":
		return true, p.tool(rest)
	case "pipx":
		return true, p.pipx(rest)
	case "poetry":
		return true, p.poetry(rest)
	case "virtualenv":
		p.venv(rest)
	case "pipenv":
		return true, p.pipenv(rest)
	case "mkdocs":
		return true, p.mkdocs(rest, words)
	case "pip-sync":
		return true, p.uvPip("sync", rest)
	case "pip-compile":
		return p.unknown("pip-tools"), nil
	case "compileall":
	case "pybabel":
		return true, p.pybabel(rest, words)
	case "django-admin":
		if known, err := p.django(rest, words, p.c.Dir); known || err != nil {
			return known, err
		}
		return p.brought(words)
	default:
		return p.brought(words)
	}
	return true, nil
}

// tool is a program that is run from an environment of its own ("uvx", "uv tool run", "pipx run"). What it does to the service's is followed
// where it is one of the tools that are known here: its version and what is installed beside it change nothing of that.
func (p planner) tool(words []string) error {
	_, name, rest := subcommand(words, uvValued()...)
	name, _, _ = strings.Cut(name, "@")
	if slices.Contains([]string{"poetry", "uv", "pipenv", "pip-sync", "pip-compile", "virtualenv"}, name) {
		_, err := p.command(append([]string{name}, rest...))
		return err
	}
	p.Notes.Remark("the upstream's image runs "+p.c.Text()+", a tool that is not part of the service's environment", p.c.Evidence)
	return nil
}

func (p planner) pipx(words []string) error {
	if _, verb, rest := subcommand(words); verb == "run" {
		return p.tool(rest)
	}
	p.Notes.Remark("the upstream's image installs a tool that is not part of the service's environment: "+p.c.Text(), p.c.Evidence)
	return nil
}

// unknown asks what a tool of the ecosystem does that is not followed.
func (p planner) unknown(tool string) bool {
	p.Notes.Ask(plan.Question{About: "components", Ask: tool + " is not followed: " + p.c.Text() + "; what does it install?", Looked: []plan.Evidence{p.c.Evidence}})
	return true
}

// python looks at a call of the interpreter.
func (p planner) python(words []string, env string) error {
	for i := 1; i < len(words); i++ {
		switch w := words[i]; {
		case w == "-m" && i+1 < len(words):
			return p.module(words[i+1], words[i+2:], words, env)
		case w == "-c", w == "-":
			return p.inline(words[i+1:])
		case w == "-V", w == "--version":
			return nil
		case w == "-W" || w == "-X":
			i++
		case strings.HasPrefix(w, "-"):
		default:
			return p.script(words, i)
		}
	}
	return nil
}

func (p planner) module(name string, rest, words []string, env string) error {
	switch name {
	case "pip":
		return p.pip(env, rest)
	case "venv", "virtualenv":
		p.venv(rest)
		return nil
	case "ensurepip", "compileall":
		return nil
	case "uv":
		return p.uv(rest)
	case "poetry":
		return p.poetry(rest)
	case "build":
		return p.wheel(append([]string{"."}, "-w", outDir(rest)))
	case "mkdocs":
		return p.mkdocs(rest, words)
	}
	return p.run(words)
}

// outDir is where "python -m build" and "uv build" lay what they make.
func outDir(words []string) string {
	for i, w := range words {
		if (w == "-o" || w == "--outdir" || w == "--out-dir") && i+1 < len(words) {
			return words[i+1]
		}
		if v, ok := strings.CutPrefix(w, "--outdir="); ok {
			return v
		}
	}
	return "dist"
}

// inline is code on the command line. Most only prints or checks.
func (p planner) inline(rest []string) error {
	text := strings.Join(rest, " ")
	if strings.Contains(text, "download") || strings.Contains(text, "urlopen") || strings.Contains(text, "from_pretrained") {
		p.Notes.Remark("the upstream's image runs Python code that may download something: "+p.c.Text(), p.c.Evidence)
	}
	return nil
}

// script is a program of the source that Python runs.
func (p planner) script(words []string, at int) error {
	rest := words[at+1:]
	switch path.Base(words[at]) {
	case "setup.py":
		if slices.Contains(rest, "install") || slices.Contains(rest, "develop") {
			what := path.Dir(words[at])
			if slices.Contains(rest, "develop") {
				return p.pip(p.environmentOf(words[0]), []string{"install", "-e", what})
			}
			return p.pip(p.environmentOf(words[0]), []string{"install", what})
		}
	case "get-pip.py": // it brings pip, and has done what it is for
		p.Files.Remove(plan.Abs(p.c.Dir, words[at]))
		return nil
	case "manage.py":
		if known, err := p.django(rest, words, path.Dir(plan.Abs(p.c.Dir, words[at]))); known || err != nil {
			return err
		}
	}
	if _, ok := p.SourceOf(plan.Abs(p.c.Dir, words[at])); !ok {
		return nil // what it is, something else asks: it is no file of the source
	}
	return p.run(words)
}

// run adds a command that runs over what stands in the working directory to that folder's plain build.
func (p planner) run(words []string) error {
	b := p.plain(words)
	for _, out := range b.Outputs {
		if path.IsAbs(out.At) {
			return nil // something is known of it already
		}
	}
	p.Notes.Ask(plan.Question{
		About:  "components",
		Ask:    p.c.Text() + " is run while the image is made, and nothing says what it writes; which files of " + p.c.Dir + " are needed of it?",
		Looked: []plan.Evidence{p.c.Evidence},
	})
	return nil
}

// plain is the build of commands of a folder, with one more command.
func (p planner) plain(words []string) *plan.Build {
	b := p.BuildAt("plain", p.c.Dir, p.c.Evidence)
	if from, ok := p.SourceOf(p.c.Dir); ok && b.Folder == "" {
		b.Folder = from
		p.place(b) // programs find their environment and their settings by where they are
	}
	c := p.c
	for _, made := range p.Files.Inside(p.c.Dir) {
		// A folder that the image makes is not in the source, and what runs may write to it.
		c.Args = []string{"mkdir", "-p", strings.TrimPrefix(made.At, p.c.Dir+"/")}
		if made.Origin.Kind == plan.Empty && made.Origin.Text == "" && path.Ext(made.At) == "" && !slices.ContainsFunc(b.Commands, func(o plan.Command) bool { return slices.Equal(o.Args, c.Args) }) {
			b.Commands = append(b.Commands, c)
		}
	}
	c.Args = words
	b.Commands = append(b.Commands, c)
	for k, v := range p.c.Env {
		if k != "PATH" && k != "HOME" {
			b.Env[k] = v
		}
	}
	if search := p.c.Env["PATH"]; search != "" {
		b.Env["PATH"] = withSystem(search)
	}
	if !slices.ContainsFunc(b.Needs, func(i plan.Installed) bool { return strings.HasPrefix(i.Name, "python3") }) {
		if env := p.active(); env != nil {
			b.Needs = append(b.Needs, env.RunNeeds...)
		} else {
			b.Needs = append(b.Needs, plan.Installed{Manager: "apt", Name: "python3", Evidence: p.c.Evidence})
		}
	}
	return b
}

// withSystem is a search path that has the system's folders in any case.
func withSystem(search string) string {
	var list []string
	for _, d := range append(strings.Split(search, ":"), "/usr/local/bin", "/usr/bin", "/bin") {
		if d != "" && !slices.Contains(list, d) {
			list = append(list, d)
		}
	}
	return strings.Join(list, ":")
}

// brought is a call of a program that an environment of the stage brings.
func (p planner) brought(words []string) (bool, error) {
	env := p.active()
	if env == nil {
		return false, nil
	}
	name := words[0]
	venv, _ := env.Options["venv"].(string)
	if strings.Contains(name, "/") {
		if path.Dir(plan.Abs(p.c.Dir, name)) != path.Join(venv, "bin") {
			return false, nil
		}
	} else if !slices.Contains(env.Programs, name) {
		return false, nil
	}
	return true, p.run(words)
}
