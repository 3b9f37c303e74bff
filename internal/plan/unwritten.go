package plan

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"headwater/internal/recipe"
	"headwater/internal/toml"
)

// unwrittenName stands for the image's file where the tree has none; no evidence of it leaves the plan.
const unwrittenName = "\x00unwritten"

// unwritten is the image that a tree without a Dockerfile would most plainly be: what its manifests say is built, in a checkout, and
// what a Procfile, a unit of systemd, a script or the only program says is started. Each line has the evidence that it is there for.
// Following it is then as with any other image, so that nothing else of a plan knows the difference.
type unwritten struct {
	tree     *Tree
	notes    *Notes
	release  string // as the operator named it
	lines    []string
	evidence []Evidence // by line, from 1 on: evidence[0] is line 1's
	releaser *releaser  // nil if the tree has none
}

func (u *unwritten) add(e Evidence, format string, a ...any) {
	u.lines, u.evidence = append(u.lines, fmt.Sprintf(format, a...)), append(u.evidence, e)
}

// of is the evidence in place of one that names a line of the image.
func (u *unwritten) of(e Evidence) Evidence {
	if e.File != unwrittenName || e.Line < 1 || e.Line > len(u.evidence) {
		return e
	}
	own := u.evidence[e.Line-1]
	if own.Rule == "" {
		own.Rule = e.Rule
	}
	return own
}

// settle puts the evidence of the tree in place of that of the image's lines.
func (u *unwritten) settle(p *Plan) {
	list := func(all []Evidence) []Evidence {
		var out []Evidence
		for _, e := range all {
			if e = u.of(e); e != (Evidence{}) && !slices.Contains(out, e) {
				out = append(out, e)
			}
		}
		return out
	}
	for k, e := range p.Evidence {
		p.Evidence[k] = list(e)
	}
	for i := range p.Questions {
		p.Questions[i].Looked = list(p.Questions[i].Looked)
	}
	for i := range p.Remarks {
		p.Remarks[i].Evidence = list(p.Remarks[i].Evidence)
	}
}

// program is something that a tree has and a machine can start.
type program struct {
	language string // "go", "rust", "python", "node"
	name     string
	dir      string // of its manifest
	of       string // what to build: a Go package seen from dir, a crate
	command  []string
	module   string // of a script of Python's: the module that has it, "" for what something else brings
	evidence Evidence
}

// writeImage writes the image of a tree that has no Dockerfile and follows it. It is nil where nothing of the tree can be started, or where several
// things can and nothing says which; what was looked at is then a question.
func writeImage(t *Tree, o Options, notes *Notes) (*candidate, *unwritten, error) {
	u := &unwritten{tree: t, notes: notes, release: o.Release}
	looked := []Evidence{{Rule: fmt.Sprintf("%d files, none named Dockerfile, Containerfile, Dockerfile.*, Dockerfile-* or *.dockerfile", len(t.Files()))}}
	u.readReleaser()
	all := u.programs()
	main, args, ok := u.started(all)
	if !ok {
		for _, p := range all {
			looked = append(looked, p.evidence)
		}
		ask := "no Dockerfile says how the service is put together"
		if len(all) > 0 {
			ask += fmt.Sprintf(", and none of Procfile, a unit of systemd and package.json says which of %d programs is started", len(all))
		}
		notes.Ask(Question{About: "package", Ask: ask, Main: true, Looked: looked})
		return nil, u, nil
	}
	if u.ships(main) {
		notes.Remark("ko makes the image, without a Dockerfile: "+main.name+" is built and started", u.ko())
	} else {
		notes.Remark("no Dockerfile says how the service is put together; its manifests do: "+main.name+" is built and started", main.evidence)
	}
	u.write(main, args)
	c := &chooser{tree: t, options: o, notes: notes, bases: map[string]bool{}, within: map[string]bool{}}
	x, err := c.follow(unwrittenName, []byte(strings.Join(u.lines, "\n")), "", nil, &place{dir: checkoutDir})
	if err != nil || x == nil {
		return nil, u, err
	}
	notes.Questions = append(notes.Questions, x.notes.Questions...)
	notes.Remarks = append(notes.Remarks, x.notes.Remarks...)
	needed := closure(x.target)
	for _, s := range x.image.stages {
		for _, b := range s.Builds {
			if !slices.Contains(needed, b) {
				dir, _ := b.Before.sourceOf(b.Dir)
				notes.Ask(Question{
					About: "package.layout", Main: true, Looked: b.Evidence,
					Ask: fmt.Sprintf("what is built in %s is in no program, and nothing says where the service looks for it; where does it?", dir),
				})
			}
		}
	}
	return x, u, nil
}

func (u *unwritten) readReleaser() {
	r, err := readReleaser(u.tree, u.release)
	if err != nil {
		u.notes.Remark(err.Error(), Evidence{File: ".goreleaser"})
	}
	u.releaser = r
}

// ships tells whether an image of the program is made by ko.
func (u *unwritten) ships(main program) bool {
	if u.releaser == nil || main.language != "go" {
		return false
	}
	_, folder, ok := u.releaser.ko()
	return ok && folder == path.Join(main.dir, main.of)
}

// ko is where it is said that ko makes the image.
func (u *unwritten) ko() Evidence {
	image, _, _ := u.releaser.ko()
	return Evidence{File: u.releaser.name, Line: image.line}
}

// programs are those of the tree that are not aside of the service.
func (u *unwritten) programs() []program {
	return slices.Concat(u.goPrograms(), u.rustPrograms(), u.pythonPrograms(), u.nodePrograms())
}

var (
	goMain   = regexp.MustCompile(`(?m)^func main\(\)`)
	goName   = regexp.MustCompile(`(?m)^package main\b`)
	goIgnore = regexp.MustCompile(`(?m)^//\s*(?:go:build|\+build) ignore\b`)
)

// goPrograms are the folders with a main function whose module is not aside.
func (u *unwritten) goPrograms() []program {
	var out []program
	for f, data := range u.tree.sources([]string{".go"}) {
		if !goMain.Match(data) || !goName.Match(data) || goIgnore.Match(data) || slices.ContainsFunc(strings.Split(f, "/"), func(d string) bool { return d == "scripts" || d == "hack" || d == "tools" || d == "internal" }) {
			continue
		}
		dir := path.Dir(f)
		module := u.above(dir, "go.mod")
		if module == "" || slices.ContainsFunc(out, func(p program) bool { return path.Join(p.dir, p.of) == dir }) {
			continue
		}
		p := program{language: "go", dir: path.Dir(module), name: path.Base(dir), evidence: Evidence{File: f, Line: lineAt(data, goMain.FindIndex(data)[0])}}
		if p.of = relativeTo(p.dir, dir); p.of == "" {
			p.of = "."
		}
		if data, err := u.tree.Read(module); err == nil && dir == p.dir {
			if name := moduleName(data); name != "" {
				p.name = path.Base(name)
			}
		}
		out = append(out, p)
	}
	return out
}

// above is the nearest file of a name in a folder or above it, "" if there is none.
func (u *unwritten) above(dir, name string) string {
	for {
		if f := path.Join(dir, name); u.tree.Has(f) {
			return f
		}
		if dir == "." {
			return ""
		}
		dir = path.Dir(dir)
	}
}

// rustPrograms are the crates with a main function, which have their name, and the programs that they name.
func (u *unwritten) rustPrograms() []program {
	var out []program
	for _, f := range u.tree.Named("Cargo.toml") {
		data, err := u.tree.Read(f)
		var m struct {
			Package struct{ Name string }
			Bin     []struct{ Name string }
		}
		if err != nil || Aside(f) != "" || toml.Unmarshal(data, &m) != nil || m.Package.Name == "" {
			continue
		}
		var names []string
		for _, b := range m.Bin {
			names = append(names, b.Name)
		}
		if len(names) == 0 && u.tree.Has(path.Join(path.Dir(f), "src/main.rs")) {
			names = []string{m.Package.Name}
		}
		for _, n := range names {
			out = append(out, program{language: "rust", name: n, dir: path.Dir(f), of: m.Package.Name, evidence: Evidence{File: f, Line: lineOf(data, `"`+n+`"`)}})
		}
	}
	return out
}

// pythonPrograms are the scripts of the projects that the tree's lock files or requirements are of.
func (u *unwritten) pythonPrograms() []program {
	var out []program
	for _, f := range u.tree.Named("pyproject.toml") {
		data, err := u.tree.Read(f)
		var m struct {
			Project struct{ Scripts map[string]any }
			Tool    struct {
				Poetry struct{ Scripts map[string]any }
			}
		}
		if err != nil || Aside(f) != "" || toml.Unmarshal(data, &m) != nil || path.Dir(f) != "." {
			continue
		}
		scripts := m.Project.Scripts
		if len(scripts) == 0 {
			scripts = m.Tool.Poetry.Scripts
		}
		for _, n := range slices.Sorted(maps.Keys(scripts)) {
			of, _ := scripts[n].(string)
			module, _, _ := strings.Cut(of, ":")
			out = append(out, program{language: "python", name: n, dir: ".", command: []string{n}, module: module, evidence: Evidence{File: f, Line: lineOf(data, n+" = ")}})
		}
	}
	return out
}

// nodePrograms is what package.json at the top starts.
func (u *unwritten) nodePrograms() []program {
	m, data, ok := u.manifest("package.json")
	if !ok || m.Scripts["start"] == "" {
		return nil
	}
	p := program{language: "node", name: path.Base(m.Name), dir: ".", command: shellWords(m.Scripts["start"]), evidence: Evidence{File: "package.json", Line: lineOf(data, `"start"`)}}
	if p.name == "." {
		p.name = "the script start"
	}
	return []program{p}
}

// nodeManifest is what is used of a package.json.
type nodeManifest struct {
	Name    string
	Scripts map[string]string
}

func (u *unwritten) manifest(file string) (m nodeManifest, data []byte, ok bool) {
	data, err := u.tree.Read(file)
	return m, data, err == nil && json.Unmarshal(data, &m) == nil
}

// shellWords are the words of a command line, a shell's text where it is more than that.
func shellWords(text string) []string {
	if words := unwrap([]string{"/bin/sh", "-c", text}); len(words) != 3 || words[1] != "-c" {
		return words
	}
	return []string{"/bin/sh", "-c", text}
}

// start is what a file says of how something is started.
type start struct {
	process  string
	command  []string // the program, "" where it is the tree's own, and its arguments; of a Procfile a shell's text
	env      []string // NAME=VALUE
	dir      string
	volumes  []string
	evidence Evidence
}

// started says which program is the service's, and what is said of its start: by a Procfile, a unit of systemd, or nothing, where there is one alone.
func (u *unwritten) started(all []program) (main program, s start, ok bool) {
	if s, ok := u.procfile(); ok {
		for _, p := range all {
			if path.Base(s.command[0]) == p.name && len(u.processes()) == 1 {
				s.command = append([]string{""}, s.command[1:]...)
				return p, s, true
			}
		}
		switch { // a program that what is installed brings
		case u.pythonProject() != "":
			return program{language: "python", name: "the process " + s.process, dir: ".", command: s.command, evidence: s.evidence}, s, true
		case u.tree.Has("package.json"):
			return program{language: "node", name: "the process " + s.process, dir: ".", command: s.command, evidence: s.evidence}, s, true
		}
	}
	var units []start
	var of []program
	for _, unit := range u.units() {
		for _, p := range all {
			if path.Base(unit.command[0]) == p.name && !slices.ContainsFunc(units, func(o start) bool { return slices.Equal(o.command, unit.command) }) {
				units, of = append(units, unit), append(of, p)
			}
		}
	}
	if len(units) == 1 {
		units[0].command[0] = ""
		return of[0], units[0], true
	}
	if i := slices.IndexFunc(all, u.ships); i >= 0 {
		return all[i], start{}, true
	}
	compiled := slices.DeleteFunc(slices.Clone(all), func(p program) bool { return p.language == "node" })
	if others := u.units(); len(compiled) == 1 && compiled[0].language == "python" && len(others) > 0 {
		looked := []Evidence{compiled[0].evidence}
		for _, o := range others {
			looked = append(looked, o.evidence)
		}
		u.notes.Ask(Question{ // a server that has the project's application in it, say
			About: "package.command", Main: true, Looked: looked,
			Ask: fmt.Sprintf("the project's script is %s, and units of systemd start something else; what is started?", compiled[0].name),
		})
	}
	if len(compiled) == 1 { // what Node.js starts beside it serves its pages to who works on them
		return compiled[0], start{}, true
	}
	if len(all) == 1 {
		return all[0], start{}, true
	}
	return program{}, start{}, false
}

var procfileLine = regexp.MustCompile(`^([A-Za-z0-9_-]+):\s*(.+?)\s*$`)

// procfile is the process "web" of a Procfile, or the only one.
func (u *unwritten) procfile() (start, bool) {
	all := u.processes()
	services := slices.DeleteFunc(slices.Clone(all), func(s start) bool { return s.process == "release" })
	for _, s := range services {
		if s.process == "web" || len(services) == 1 {
			if len(all) > 1 { // one command starts them all
				s.command = []string{"/bin/sh", "-c", shellText(s)}
			}
			return s, true
		}
	}
	return start{}, false
}

// processes are those of a Procfile.
func (u *unwritten) processes() []start {
	data, err := u.tree.Read("Procfile")
	if err != nil || len(data) > maxYAML {
		return nil
	}
	var all []start
	for i, line := range strings.Split(string(data), "\n") {
		if m := procfileLine.FindStringSubmatch(line); m != nil {
			s := start{process: m[1], command: shellWords(m[2]), evidence: Evidence{File: "Procfile", Line: i + 1}}
			if s.process == "web" || strings.Contains(m[2], "$PORT") || strings.Contains(m[2], "${PORT") { // servers know the variable, too
				s.env = []string{"PORT=" + procfilePort}
			}
			all = append(all, s)
		}
	}
	return all
}

// shellText is a start as a shell's text, which the program takes the place of the shell in where it is one command.
func shellText(s start) string {
	text := s.command[len(s.command)-1]
	if len(s.command) != 3 || s.command[1] != "-c" {
		words := make([]string, len(s.command))
		for i, w := range s.command {
			words[i] = quote(w)
		}
		text = strings.Join(words, " ")
	}
	if strings.ContainsAny(text, "&|;\n") || strings.HasPrefix(text, "exec ") {
		return text
	}
	return "exec " + text
}

// complete adds what a Procfile says beyond what an image can: its other processes, and what is run before a release is.
func (u *unwritten) complete(a *assembly) {
	p := &a.recipe.Package
	all := u.processes()
	main, ok := u.procfile()
	if !ok || len(all) < 2 || !slices.Equal(p.Command, main.command[:2]) {
		return
	}
	for _, s := range all {
		name, key := ComponentName(s.process), "package.processes."+ComponentName(s.process)
		switch s.process {
		case main.process:
			if name != a.main {
				p.Processes[name] = p.Processes[a.main]
				delete(p.Processes, a.main)
				for _, part := range []string{"", ".health"} {
					a.evidence[key+part] = a.evidence["package.processes."+a.main+part]
					delete(a.evidence, "package.processes."+a.main+part)
				}
				a.main = name
			}
		case "release":
			p.Migrate, key = []string{shellText(s)}, "package.migrate"
			a.prove(key, s.evidence)
		default:
			p.Processes[name] = recipe.Process{Args: []string{shellText(s)}}
			a.prove(key, s.evidence)
		}
	}
}

// procfilePort is the port that a process of a Procfile is told: who starts it chooses, as PORT.
const procfilePort = "8000"

// units are the services of systemd that the tree has.
func (u *unwritten) units() []start {
	var out []start
	for _, f := range u.tree.Files() {
		if path.Ext(f) != ".service" {
			continue
		}
		data, err := u.tree.Read(f)
		if err != nil || len(data) > maxYAML {
			continue
		}
		s := start{}
		for i, line := range strings.Split(string(data), "\n") {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch value = strings.TrimSpace(value); key {
			case "ExecStart":
				s.command, s.evidence = strings.Fields(strings.TrimLeft(value, "-@:+!")), Evidence{File: f, Line: i + 1}
			case "WorkingDirectory":
				s.dir = value
			case "StateDirectory": // seen from /var/lib (systemd.exec)
				for _, word := range strings.Fields(value) {
					s.volumes = append(s.volumes, path.Join("/var/lib", word))
				}
			case "Environment":
				for _, word := range strings.Fields(value) {
					s.env = append(s.env, strings.Trim(word, `"'`))
				}
			}
		}
		if len(s.command) > 0 && !strings.ContainsAny(strings.Join(slices.Concat(s.command, s.volumes), " "), "%$\\\"'") {
			out = append(out, s)
		}
	}
	return out
}

// write writes the image's lines.
func (u *unwritten) write(main program, s start) {
	switch main.language {
	case "go", "rust":
		u.compiled(main, s)
	default:
		u.interpreted(main, s)
	}
	for _, word := range s.env {
		if k, v, ok := strings.Cut(word, "="); ok && variableName.MatchString(k) {
			u.add(s.evidence, "ENV %s=%s", k, strconv.Quote(v))
		}
	}
	if len(s.volumes) > 0 {
		u.add(s.evidence, "VOLUME %s", jsonList(s.volumes))
	}
	if port, e, ok := u.port(main, s); ok {
		u.add(e, "EXPOSE %s", port)
	}
}

// goBuild is the command that builds a program of Go: as a GoReleaser configuration has it, else the plainest.
func (u *unwritten) goBuild(main program, to string) (string, Evidence) {
	r := u.releaser
	if r == nil {
		return fmt.Sprintf("go build -o %s %s", quote(to), quote("./"+main.of)), main.evidence
	}
	for _, b := range r.builds() {
		if path.Join("/", b.Dir, b.folder()) != path.Join("/", main.dir, main.of) {
			continue
		}
		b.Main = "./" + main.of
		env, command := r.command(b, to)
		for _, k := range slices.Backward(slices.Sorted(maps.Keys(env))) {
			if variableName.MatchString(k) {
				command = k + "=" + quote(env[k]) + " " + command
			}
		}
		return command, Evidence{File: r.name, Line: b.line}
	}
	return fmt.Sprintf("go build -o %s %s", quote(to), quote("./"+main.of)), main.evidence
}

// compiled builds a program in a checkout and ships it, with the folders that it opens from where it is started.
func (u *unwritten) compiled(main program, s start) {
	tree := Evidence{Rule: "the tree"}
	u.add(main.evidence, "FROM debian:stable AS build")
	u.add(tree, "WORKDIR /src")
	u.add(tree, "COPY . .")
	u.pages()
	to := "/usr/local/bin/" + main.name
	if u.ships(main) {
		to = "/ko-app/" + main.name
	}
	if main.language == "go" {
		command, e := u.goBuild(main, to)
		u.add(e, "RUN cd %s && %s", quote(main.dir), command)
	} else {
		u.add(main.evidence, "RUN cd %s && cargo build --release --locked -p %s --bin %s", quote(main.dir), quote(main.of), quote(main.name))
	}
	if u.ships(main) {
		image, _, _ := u.releaser.ko()
		u.add(u.ko(), "FROM %s", cmp.Or(u.releaser.expand(image.Base), "cgr.dev/chainguard/static"))
	} else {
		u.add(main.evidence, "FROM debian:stable-slim")
		u.add(Evidence{Rule: "a service may ask others by TLS"}, "RUN apt-get install -y ca-certificates")
	}
	from := to
	if main.language == "rust" {
		from = path.Join("/src", path.Dir(u.outermost(main.dir, "Cargo.lock")), "target/release", main.name)
	}
	u.add(main.evidence, "COPY --from=build %s %s", from, to)
	for i, d := range u.opened() {
		if i == 0 {
			u.add(d.evidence, "WORKDIR %s", cmp.Or(s.dir, "/app"))
		}
		u.add(d.evidence, "COPY %s ./%s", d.dir, d.dir)
	}
	e := main.evidence
	if s.evidence != (Evidence{}) {
		e = s.evidence
	}
	u.add(e, "ENTRYPOINT %s", jsonList([]string{to}))
	if len(s.command) > 1 {
		u.add(s.evidence, "CMD %s", jsonList(s.command[1:]))
	}
}

// outermost is the file of a name in the highest folder above dir that has one; in dir itself if none has.
func (u *unwritten) outermost(dir, name string) string {
	best := path.Join(dir, name)
	for d := dir; ; d = path.Dir(d) {
		if u.tree.Has(path.Join(d, name)) {
			best = path.Join(d, name)
		}
		if d == "." {
			return best
		}
	}
}

// interpreted ships the tree, with what its manifests install laid into it.
func (u *unwritten) interpreted(main program, s start) {
	image, e := u.interpreter(main)
	tree := Evidence{Rule: "the tree"}
	u.add(e, "FROM %s", image)
	u.add(tree, "WORKDIR /app")
	u.add(tree, "COPY . .")
	command := main.command
	if main.language == "python" {
		u.pages()
		file := u.pythonProject()
		e := Evidence{File: file}
		environment := "/app/.venv"
		switch path.Base(file) {
		case "uv.lock":
			u.add(e, "RUN uv sync --frozen --no-dev")
		case "poetry.lock":
			u.add(e, "RUN POETRY_VIRTUALENVS_IN_PROJECT=true poetry install --only main")
		default:
			u.add(e, "RUN python -m venv /app/.venv && /app/.venv/bin/pip install -r %s", quote(file))
			u.script(main, file)
		}
		u.add(Evidence{File: file, Rule: "what it installs is found on the PATH"}, "ENV PATH=%s/bin:$PATH", environment)
	} else {
		u.node(".")
	}
	if len(s.command) > 1 && s.command[0] == "" {
		command = append(slices.Clone(command), s.command[1:]...)
	}
	if len(command) == 3 && command[1] == "-c" {
		u.add(main.evidence, "ENTRYPOINT %s", jsonList(command[:2]))
		command = command[2:]
	}
	u.add(main.evidence, "CMD %s", jsonList(command))
}

// script has the project installed besides its requirements where one of its scripts is started: these do not bring it.
func (u *unwritten) script(main program, requirements string) {
	if main.module == "" {
		return
	}
	below := strings.ReplaceAll(main.module, ".", "/")
	here := func(f string) bool {
		return slices.ContainsFunc([]string{below + ".py", below + "/__init__.py"}, func(m string) bool { return f == m || strings.HasSuffix(f, "/"+m) && Aside(f) == "" })
	}
	if !slices.ContainsFunc(u.tree.Files(), here) {
		u.notes.Ask(Question{
			About: "package.command", Main: true, Looked: []Evidence{main.evidence, {File: requirements}},
			Ask: fmt.Sprintf("the script %s is in the module %s, which the tree has not as it is; what makes it, or what is started in its place?", main.name, main.module),
		})
		return
	}
	u.add(main.evidence, "RUN /app/.venv/bin/pip install --no-deps .")
}

// interpreter is the image of the version that the tree asks for.
func (u *unwritten) interpreter(main program) (string, Evidence) {
	files := []string{".python-version", "runtime.txt"}
	if main.language == "node" {
		files = []string{".nvmrc", ".node-version"}
	}
	for _, f := range files {
		if data, err := u.tree.Read(f); err == nil {
			if m := regexp.MustCompile(`[0-9]+(\.[0-9]+)*`).Find(data); m != nil {
				return main.language + ":" + string(m), Evidence{File: f, Line: 1, Rule: "the version that it is worked on with"}
			}
		}
	}
	return main.language, main.evidence
}

// pythonProject is the file that says what the tree's top needs of Python, "" if none does.
func (u *unwritten) pythonProject() string {
	for _, f := range []string{"uv.lock", "poetry.lock", "requirements.txt"} {
		if u.tree.Has(f) {
			return f
		}
	}
	return ""
}

// pages builds the projects of Node.js that have a lock of their own: they may be part of a program of another language.
func (u *unwritten) pages() {
	for _, f := range u.tree.Named("package.json") {
		if m, _, ok := u.manifest(f); ok && Aside(f) == "" && m.Scripts["build"] != "" {
			if lock, _ := u.nodeLock(path.Dir(f)); lock != "" {
				u.node(path.Dir(f))
			}
		}
	}
}

// nodeLock is the lock of a project of Node.js, "" if it has none, and what installs from it.
func (u *unwritten) nodeLock(dir string) (lock, install string) {
	for _, l := range [][2]string{
		{"package-lock.json", "npm ci"}, {"npm-shrinkwrap.json", "npm ci"}, {"pnpm-lock.yaml", "pnpm install --frozen-lockfile"},
		{"yarn.lock", "yarn install --frozen-lockfile"}, {"bun.lock", "bun install"}, {"bun.lockb", "bun install"},
	} {
		if f := path.Join(dir, l[0]); u.tree.Has(f) {
			return f, l[1]
		}
	}
	return "", "npm"
}

// node installs what a project of Node.js needs, and runs its script "build".
func (u *unwritten) node(dir string) {
	lock, install := u.nodeLock(dir)
	file := path.Join(dir, "package.json")
	m, data, _ := u.manifest(file)
	manager, _, _ := strings.Cut(install, " ")
	if m.Scripts["build"] == "" && manager == "npm" {
		install += " --omit=dev"
	}
	if lock != "" {
		u.add(Evidence{File: lock}, "RUN cd %s && %s", quote(dir), install)
	} else {
		u.notes.Ask(Question{About: "components", Ask: "no lock of npm, pnpm or yarn says which packages " + file + " means", Main: true, Looked: []Evidence{{File: file}}})
	}
	if m.Scripts["build"] != "" {
		u.add(Evidence{File: file, Line: lineOf(data, `"build"`)}, "RUN cd %s && %s run build", quote(dir), manager)
	}
}

// openedFolder is a folder of the tree's top that a source opens from where the program is started.
type openedFolder struct {
	dir      string
	evidence Evidence
}

// opened are the folders at the top that the sources of a compiled program name in a path of their own and do not embed.
func (u *unwritten) opened() []openedFolder {
	var names []string
	for _, f := range u.tree.Files() {
		if dir, _, below := strings.Cut(f, "/"); below && Aside(f) == "" && slices.Contains([]string{"templates", "static", "public", "assets", "views", "locales", "migrations", "lang", "i18n", "themes"}, dir) && !slices.Contains(names, dir) {
			names = append(names, dir)
		}
	}
	var out []openedFolder
	for _, dir := range names {
		named := regexp.MustCompile("[\"`](?:\\./)?" + regexp.QuoteMeta(dir) + "(?:/[^\"`\\s]*)?[\"`]")
		embedded := regexp.MustCompile(`(?m)^//go:embed\s+(?:\S+\s+)*(?:all:)?` + regexp.QuoteMeta(dir) + `(?:/|\s|$)|(?:include_dir|RustEmbed|folder)[^\n]*` + regexp.QuoteMeta(dir))
		var found Evidence
		whole := false
		for f, data := range u.tree.sources([]string{".go", ".rs"}) {
			whole = whole || embedded.Match(data)
			if at := named.FindIndex(data); at != nil && found == (Evidence{}) {
				found = Evidence{File: f, Line: lineAt(data, at[0]), Rule: "opens " + dir + " from where it is started"}
			}
		}
		if found != (Evidence{}) && !whole {
			out = append(out, openedFolder{dir, found})
		}
	}
	return out
}

// portPatterns find the port that a program listens on where nothing tells it another: an address, or what stands in for PORT.
func portPatterns() []*regexp.Regexp {
	return []*regexp.Regexp{
		regexp.MustCompile(`process\.env\.PORT\s*(?:\|\||\?\?)\s*["']?([0-9]{2,5})`),
		regexp.MustCompile("[\"'`](?:0\\.0\\.0\\.0|\\[::\\]|127\\.0\\.0\\.1|localhost)?:([0-9]{2,5})[\"'`]"),
	}
}

// listens is what stands before an address that is listened on.
var listens = regexp.MustCompile(`(?i)listen|addr|port|bind|serve`)

// remote tells whether a port is one of those that nobody listens on by agreement: they are given to who calls (RFC 6335, section 6).
func remote(port string) bool {
	n, err := strconv.Atoi(port)
	return err != nil || n >= 49152
}

// port is the one that a Procfile's process is told, or the only one that the program's own sources name.
func (u *unwritten) port(main program, s start) (string, Evidence, bool) {
	if slices.Contains(s.env, "PORT="+procfilePort) {
		return procfilePort, Evidence{File: s.evidence.File, Line: s.evidence.Line, Rule: "who starts it chooses PORT"}, true
	}
	ends := map[string][]string{"go": {".go"}, "rust": {".rs"}, "python": {".py"}, "node": {".js", ".mjs", ".cjs", ".ts"}}[main.language]
	ports := map[string]Evidence{}
	for f, data := range u.tree.sources(ends) {
		if !within("/"+main.dir, "/"+f) && main.dir != "." {
			continue
		}
		for _, pattern := range portPatterns() {
			for _, m := range pattern.FindAllSubmatchIndex(data, -1) {
				line := data[bytes.LastIndexByte(data[:m[0]], '\n')+1 : m[1]]
				if p := string(data[m[2]:m[3]]); listens.Match(line) && !remote(p) && ports[p] == (Evidence{}) {
					ports[p] = Evidence{File: f, Line: lineAt(data, m[0])}
				}
			}
		}
	}
	if len(ports) != 1 {
		return "", Evidence{}, false
	}
	p := slices.Collect(maps.Keys(ports))[0]
	return p, ports[p], true
}

// lineAt is the line of an offset.
func lineAt(data []byte, offset int) int { return 1 + bytes.Count(data[:offset], []byte("\n")) }

func jsonList(words []string) string {
	data, err := json.Marshal(words)
	if err != nil {
		return "[]" // words are text, which has no other way
	}
	return string(data)
}
