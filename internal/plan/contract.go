package plan

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"headwater/internal/recipe"
)

// contract writes how the service is run: command, processes, environment, user, ports, volumes, health and what it needs, out of the
// last stage's configuration and of the compose file that starts the image.
func (a *assembly) contract(c *composed) {
	a.command()
	a.workdir()
	a.environment()
	a.user()
	a.processes(c)
	a.volumes(c)
	a.services(c)
	a.health(c)
	a.settings()
}

// settings asks for Django's settings where the project takes them from the environment and none of its files sets that: it does not start
// without.
func (a *assembly) settings() {
	const variable = "DJANGO_SETTINGS_MODULE"
	data, name, err := a.stage.ReadFile(Abs(a.stage.Dir, "manage.py"))
	if err != nil || !bytes.Contains(data, []byte("execute_from_command_line")) || bytes.Contains(data, []byte(variable)) || a.recipe.Package.Env[variable] != "" {
		return
	}
	for _, source := range a.Tree.sources([]string{".py"}) {
		if setsDjango.Match(source) {
			return
		}
	}
	a.Notes.Ask(Question{About: "package.env." + variable, Looked: []Evidence{{File: name}}, Ask: fmt.Sprintf("%s takes the settings that %s names, and nothing names any; which are they?", name, variable)})
}

// setsDjango is how a program of Python names Django's settings.
var setsDjango = regexp.MustCompile(`environ(?:\.setdefault\(|\[)\s*["']DJANGO_SETTINGS_MODULE["']`)

// command splits entry point and arguments: the first is the package's command, the others are the main process's.
func (a *assembly) command() {
	entry, cmd := a.stage.Config.Entrypoint, a.stage.Config.Cmd
	e := a.stage.Config.Evidence["entrypoint"]
	if len(entry) == 0 {
		entry, cmd = cmd, nil
		e = a.stage.Config.Evidence["cmd"]
	}
	if len(entry) == 0 {
		a.Notes.Ask(Question{
			About: "package.command", Main: true, Looked: []Evidence{a.stage.Evidence},
			Ask: fmt.Sprintf("the image says by neither ENTRYPOINT nor CMD what is started, and its base %s is not known; what is the command?", a.stage.BaseImage()),
		})
	}
	entry = a.withoutInit(entry, e)
	if len(entry) == 0 && len(cmd) > 0 { // the init program was all of the entry point
		entry, cmd = cmd, nil
		e = a.stage.Config.Evidence["cmd"]
	}
	entry = unwrap(entry)
	if len(entry) > 0 {
		entry = append([]string{a.program(entry[0])}, entry[1:]...)
	}
	if entry == nil {
		entry = []string{}
	}
	a.recipe.Package.Command = entry
	a.prove("package.command", e)
	a.args = cmd
	a.bare = len(a.stage.Config.Entrypoint) == 0 || len(a.withoutInit(a.stage.Config.Entrypoint, Evidence{})) == 0
}

// own are the arguments of an entry point that starts the same program as the image's own, and nothing else.
func (a *assembly) own(entry []string) (args []string, ok bool) {
	if len(entry) == 3 && path.Base(entry[0]) == "sh" && entry[1] == "-c" && !strings.ContainsAny(entry[2], "$`|&;<>()*?[]{}'\"\\\n#~") {
		entry = strings.Fields(strings.TrimPrefix(entry[2], "exec "))
	}
	own := a.recipe.Package.Command
	if len(own) == 0 || len(entry) < len(own) || a.program(entry[0]) != own[0] || !slices.Equal(entry[1:len(own)], own[1:]) {
		return nil, false
	}
	return slices.Clone(entry[len(own):]), true
}

// withoutInit leaves out a program that only starts another.
func (a *assembly) withoutInit(entry []string, e Evidence) []string {
	if len(entry) == 0 || !initProgram(entry[0]) {
		return entry
	}
	if e != (Evidence{}) {
		a.Notes.Remark(fmt.Sprintf("%s is left out: the launcher starts the command as the first process and passes signals on", entry[0]), e)
	}
	for i, w := range entry[1:] {
		if w == "--" {
			return entry[i+2:]
		}
		if !strings.HasPrefix(w, "-") {
			return entry[i+1:]
		}
	}
	return nil
}

// unwrap takes the words out of a shell's text that is no more than one command of fixed words.
func unwrap(entry []string) []string {
	if len(entry) == 3 && slices.Contains([]string{"sh", "bash", "ash", "dash"}, path.Base(entry[0])) && entry[1] == "-c" && !strings.ContainsAny(entry[2], "$`|&;<>()*?[]{}'\"\\\n#~=") {
		if words := strings.Fields(strings.TrimPrefix(entry[2], "exec ")); len(words) > 0 {
			return words
		}
	}
	return entry
}

// program is where a program stands: seen from the working directory, or found on the PATH among what stands in the stage. One that
// the runtime root has keeps its bare name.
func (a *assembly) program(name string) string {
	if strings.Contains(name, "/") {
		return Abs(a.stage.Dir, name)
	}
	if slices.Contains([]string{"sh", "bash", "dash", "env"}, name) {
		return name // each root has them, and no build brings them
	}
	dirs := strings.Split(a.stage.Env["PATH"], ":")
	for _, dir := range slices.Concat(slices.DeleteFunc(slices.Clone(dirs), isSbin), dirs) { // environments have bin alone
		if at := path.Join(dir, name); path.IsAbs(dir) && a.stage.Files.Exists(at) {
			if o, _ := a.stage.Lookup(at); o.Kind == Source || o.Kind == Product || o.Kind == Link {
				return at
			}
		}
	}
	return name
}

func isSbin(dir string) bool { return path.Base(dir) == "sbin" }

func (a *assembly) workdir() {
	if a.stage.Dir != "/" {
		a.recipe.Package.Workdir = a.stage.Dir
		a.prove("package.workdir", a.stage.Config.Evidence["workdir"])
	}
}

// environment is what the stage sets, without what only matters to the image's making.
func (a *assembly) environment() {
	making := []string{"UV_", "PIP_", "POETRY_", "DEBIAN_FRONTEND", "CARGO_", "RUSTUP_", "RUSTFLAGS", "NPM_CONFIG_", "YARN_", "PNPM_", "COREPACK_", "GOPATH", "GOPROXY", "GOFLAGS", "CGO_", "GOSU_VERSION", "VIRTUAL_ENV_"}
	for _, k := range slices.Sorted(maps.Keys(a.stage.Env)) {
		e, ours := a.stage.Config.Evidence["env "+k]
		if !ours || a.stage.Env[k] == "" || slices.ContainsFunc(making, func(m string) bool { return strings.HasPrefix(k, m) }) {
			continue
		}
		a.setEnv(k, a.stage.Env[k], e)
	}
}

func (a *assembly) setEnv(k, v string, e Evidence) {
	if !variableName.MatchString(k) {
		return
	}
	a.recipe.Package.Env[k] = v
	a.prove("package.env."+k, e)
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// dropPattern finds where a script goes on as another user.
var dropPattern = regexp.MustCompile(`(?m)(?:^|[\s;&|])(gosu|su-exec|s6-setuidgid|runuser|setpriv|chroot --userspec|su)\s+(?:-u\s+|--reuid[= ])?["']?([A-Za-z_$][^"'\s;]*|[0-9:]+)`)

// user is who the processes run as.
func (a *assembly) user() {
	e := a.stage.Config.Evidence["user"]
	if u := a.stage.User; u != "" && u != "root" && u != "0" && !strings.HasPrefix(u, "0:") && !strings.HasPrefix(u, "root:") {
		numbers, ok := a.stage.numbers(u)
		if !ok {
			a.Notes.Ask(Question{About: "package.user", Ask: fmt.Sprintf("which numbers has the user %q of the image?", u), Looked: []Evidence{e}})
			return
		}
		a.recipe.Package.User = numbers
		a.prove("package.user", e)
		return
	}
	if e == (Evidence{}) {
		e = a.stage.Evidence
	}
	if len(a.recipe.Package.Command) > 0 {
		if data, name, err := a.stage.ReadFile(a.recipe.Package.Command[0]); err == nil && a.drops(string(data), name) {
			return
		}
	}
	if a.stage.Evidence.File == unwrittenName {
		return // there is no image that says it
	}
	a.Notes.Remark(fmt.Sprintf("the image runs as root; here the service runs as the ordinary user %s", recipe.DefaultUser), e)
}

// drops reads from an entry point that starts as root as whom it goes on.
func (a *assembly) drops(script, name string) bool {
	script = regexp.MustCompile(`(?m)^\s*#.*$`).ReplaceAllString(script, "") // keeps the lines' count
	m := dropPattern.FindStringSubmatchIndex(script)
	if m == nil {
		return false
	}
	program, user := script[m[2]:m[3]], script[m[4]:m[5]]
	e := Evidence{File: name, Line: strings.Count(script[:m[2]], "\n") + 1, Rule: "starts as root and goes on as " + user}
	values := map[string]string{}
	for _, set := range regexp.MustCompile(`(?m)^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=["']?([^"'\s;]*)`).FindAllStringSubmatch(script, -1) {
		if _, ok := values[set[1]]; !ok {
			values[set[1]] = interpolate(set[2], known(a.stage.Env))
		}
	}
	for k, v := range a.stage.Env {
		values[k] = v
	}
	numbers, ok := a.stage.numbers(interpolate(user, known(values)))
	if ok && strings.HasPrefix(numbers, "0:") {
		return false // by default it stays what it is
	}
	if !ok {
		a.Notes.Ask(Question{
			About: "package.user", Looked: []Evidence{e},
			Ask: fmt.Sprintf("the entry point starts as root and goes on as %s by %s, which an ordinary user cannot; as whom is it run, and does it start without that?", user, program),
		})
		return true
	}
	a.recipe.Package.User = numbers
	a.prove("package.user", e)
	a.Notes.Remark(fmt.Sprintf("the image starts as root and goes on as %s by %s; here it is that user from the beginning", numbers, program), e)
	return true
}

// processes are what runs: the main one, and those that the compose file starts of the same image.
func (a *assembly) processes(c *composed) {
	p := &a.recipe.Package
	e := a.stage.Config.Evidence["cmd"]
	if e == (Evidence{}) {
		e = a.stage.Config.Evidence["entrypoint"]
	}
	main, args := "server", a.args
	if len(args) > 0 && wordPattern.MatchString(args[0]) {
		main = args[0]
	}
	found := false
	for _, name := range c.ours {
		s := c.file.Services[name]
		own := c.file.evidence(name, "")
		if args, same := a.own(s.Entrypoint); same {
			s.Command = append(args, s.Command...)
		} else if len(s.Entrypoint) > 0 {
			a.Notes.Remark(fmt.Sprintf("the compose file starts its service %s by another entry point (%s), which is left out", name, strings.Join(s.Entrypoint, " ")), own)
			continue
		}
		command := withoutWaiting(slices.Clone([]string(s.Command)))
		if len(command) > 0 && a.covered(c, name) {
			a.Notes.Ask(Question{
				About: "package.processes." + ComponentName(name), Looked: []Evidence{own},
				Ask: fmt.Sprintf("the compose file lays the source over the image, as who develops does, and starts its service %s by %q; is that how it runs where it ships?", name, strings.Join(command, " ")),
			})
		}
		switch {
		case c.once(name):
			if len(command) > 0 && p.Migrate == nil {
				p.Migrate = command
				a.prove("package.migrate", own)
			}
			continue
		case !found && (len(command) == 0 || slices.Equal(command, a.args) || a.args == nil && len(s.Ports) > 0):
			found = true
			if main = ComponentName(name); len(command) > 0 {
				args = command
			}
			e = own
			continue
		}
		p.Processes[ComponentName(name)] = recipe.Process{Args: command}
		a.prove("package.processes."+ComponentName(name), own)
	}
	if len(c.ours) == 1 && !found {
		args = p.Processes[ComponentName(c.ours[0])].Args // the only one is the main one
		main, e = ComponentName(c.ours[0]), c.file.evidence(c.ours[0], "")
	}
	if args == nil {
		args = []string{}
	}
	a.main = main
	p.Processes[main] = recipe.Process{Args: args, Port: a.port(c)}
	a.prove("package.processes."+main, e)
	if a.bare {
		a.instead(main, e)
	}
}

// instead is for an image without an entry point: what a compose file says stands in the place of the image's command, and does not follow it.
// One command is the package's own; where there are several, what starts them is a program that takes the place of the one that it is told.
func (a *assembly) instead(main string, e Evidence) {
	p := &a.recipe.Package
	own, several := p.Command, p.Migrate != nil
	for _, name := range slices.Sorted(maps.Keys(p.Processes)) {
		several = several || name != main
	}
	args := p.Processes[main].Args
	switch {
	case !several && (len(args) == 0 || slices.Equal(args, a.stage.Config.Cmd)):
		args = []string{}
	case !several:
		args = unwrap(args)
		p.Command, args = append([]string{a.program(args[0])}, args[1:]...), []string{}
		a.evidence["package.command"] = []Evidence{e}
	default:
		if p.Command = []string{"env"}; len(args) == 0 {
			args = own
		}
	}
	process := p.Processes[main]
	process.Args = args
	p.Processes[main] = process
	for name, process := range p.Processes {
		if name != main && len(process.Args) == 0 {
			process.Args = own
			p.Processes[name] = process
		}
	}
}

// covered tells whether a service of a compose file has the source laid over what the image has of it.
func (a *assembly) covered(c *composed, name string) bool {
	return slices.ContainsFunc(c.file.Services[name].Volumes, func(v composeVolume) bool { return a.covers(c, v) })
}

func (a *assembly) covers(c *composed, v composeVolume) bool {
	if !strings.HasPrefix(v.Source, ".") {
		return false
	}
	from := path.Join(path.Dir(c.file.name), v.Source)
	o, _ := a.stage.Files.Lookup(path.Clean(v.Target))
	return o.Kind == Source && (from == "." || o.Path == from || strings.HasPrefix(o.Path, from+"/")) && a.Tree.HasDir(from)
}

// configures tells whether a volume is a folder of the tree that is laid over one in which the image has files: other settings, not what the
// service keeps.
func (a *assembly) configures(c *composed, v composeVolume) bool {
	return strings.HasPrefix(v.Source, ".") && a.Tree.HasDir(path.Join(path.Dir(c.file.name), v.Source)) && len(a.hidden(v.Target)) > 0
}

// reads tells whether a process is started with a file as an argument that only a compose file lays there.
func (a *assembly) reads(c *composed, v composeVolume) bool {
	if !strings.HasPrefix(v.Source, ".") || !a.Tree.Has(path.Join(path.Dir(c.file.name), v.Source)) || a.stage.Files.Exists(path.Clean(v.Target)) {
		return false
	}
	for _, p := range a.recipe.Package.Processes {
		if slices.ContainsFunc(p.Args, func(arg string) bool { return arg == v.Target || strings.HasSuffix(arg, "="+v.Target) }) {
			return true
		}
	}
	return false
}

// hidden are the places of the layout that a volume would hide, sorted.
func (a *assembly) hidden(volume string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(a.recipe.Package.Layout)), func(at string) bool { return !within(path.Clean(volume), at) })
}

var wordPattern = regexp.MustCompile(`^[a-z][a-z-]*$`)

// port is the one that the main process listens on: of the image's, the one that the compose file publishes, else the first.
func (a *assembly) port(c *composed) int {
	ports := slices.Clone(a.stage.Config.Ports)
	for _, name := range c.ours {
		for _, p := range c.file.Services[name].Ports {
			if p > 0 && (len(a.stage.Config.Ports) == 0 || slices.Contains(ports, int(p))) {
				ports = append([]int{int(p)}, ports...)
				break
			}
		}
	}
	if port := a.healthPort(); len(ports) == 0 && port > 0 {
		a.prove("package.processes.port", a.stage.Config.Evidence["health"])
		return port
	}
	if len(ports) == 0 {
		a.Notes.Ask(Question{About: "package.processes", Ask: "no EXPOSE and no compose file says on which port the service listens", Looked: []Evidence{a.stage.Evidence}})
		return 0
	}
	port := ports[0]
	if i := slices.IndexFunc(ports, func(p int) bool { return !otherProtocol(p) && !a.namedOther(p) }); i > 0 && port == a.stage.Config.Ports[0] {
		port = ports[i]
	}
	e := a.stage.Config.Evidence[fmt.Sprint("port ", port)]
	a.prove("package.processes.port", e)
	if port >= 1024 {
		return port
	}
	for _, k := range slices.Sorted(maps.Keys(a.recipe.Package.Env)) {
		if v := a.recipe.Package.Env[k]; v == strconv.Itoa(port) || strings.HasSuffix(v, ":"+strconv.Itoa(port)) {
			free := port + 8000
			a.recipe.Package.Env[k] = strings.TrimSuffix(v, strconv.Itoa(port)) + strconv.Itoa(free)
			a.Notes.Remark(fmt.Sprintf("the image listens on port %d, which an ordinary user may not; %s makes it %d here", port, k, free), e, a.stage.Config.Evidence["env "+k])
			return free
		}
	}
	a.Notes.Remark(fmt.Sprintf("the image listens on port %d, which an ordinary user may in a container alone; headwater run gives it a network of its own", port), e)
	return port
}

// otherProtocol tells whether a port, or one of those that stand in for it where an ordinary user listens, is by agreement another protocol's than HTTP: files,
// shells, names, mail, directories (IANA, "Service Name and Transport Protocol Port Number Registry").
func otherProtocol(port int) bool {
	known := []int{21, 22, 23, 25, 53, 110, 143, 389, 465, 587, 636, 853, 993, 995}
	return slices.Contains(known, port) || port > 1000 && slices.Contains(known, port-1000) || port == 2222
}

// otherPort is a variable's name that says that its port is of another protocol than the web's.
var otherPort = regexp.MustCompile(`(?:^|_)(?:LDAPS?|SMTPS?|IMAPS?|SSH|FTP|DNS|MQTT|GRPC|METRICS|PROMETHEUS|ADMIN)_`)

// namedOther tells whether a variable of the image, by its name, has a port for another protocol.
func (a *assembly) namedOther(port int) bool {
	for k, v := range a.stage.Env {
		if v == strconv.Itoa(port) && otherPort.MatchString(k) {
			return true
		}
	}
	return false
}

// healthPort is the port that the image's health check asks, 0 if it has none.
func (a *assembly) healthPort() int {
	m := healthURL.FindStringSubmatch(interpolate(strings.Join(a.stage.Config.Health, " "), known(a.recipe.Package.Env)))
	if m == nil {
		return 0
	}
	port, err := strconv.Atoi(m[1])
	if err != nil {
		return 0 // the usual one of the protocol: a proxy's
	}
	return port
}

// volumes are the folders that are writable and kept.
func (a *assembly) volumes(c *composed) {
	add := func(at string, e Evidence) {
		at = path.Clean(at)
		if !path.IsAbs(at) || at == "/" || slices.Contains(a.recipe.Package.Volumes, at) || temporary(at) {
			return
		}
		a.recipe.Package.Volumes = append(a.recipe.Package.Volumes, at)
		a.prove("package.volumes."+at, e)
	}
	for _, v := range a.stage.Config.Volumes {
		add(v, a.stage.Config.Evidence["volume "+v])
	}
	for _, name := range c.ours {
		for _, v := range c.file.Services[name].Volumes {
			file := strings.HasPrefix(v.Source, "/var/run") || strings.HasPrefix(v.Source, "/run") || strings.HasPrefix(v.Source, "/etc/") || path.Ext(v.Target) != ""
			e := c.file.evidence(name, "volume")
			if a.reads(c, v) {
				a.Notes.Ask(Question{
					About: "package.processes." + ComponentName(name), Looked: []Evidence{e},
					Ask: fmt.Sprintf("the compose file starts the service with %s, which it lays over the image out of %s; which settings has it where it ships?", v.Target, v.Source),
				})
			}
			switch {
			case file || a.covers(c, v):
			case a.configures(c, v):
				a.Notes.Remark(fmt.Sprintf("the compose file lays %s over %s, in which the image has files of its own: these are taken, and it is no volume", v.Source, v.Target), e)
			default:
				add(v.Target, e)
			}
		}
	}
	for _, o := range a.stage.Owned {
		if origin, _ := a.stage.Files.Lookup(o.At); origin.Kind == Empty && len(a.stage.Files.Inside(o.At)) == 0 {
			add(o.At, o.Evidence)
		}
	}
	for _, p := range a.stage.Files.Placements() {
		if p.Origin.Kind == Empty && slices.Contains([]string{"data", "db", "database", "media", "uploads", "storage"}, path.Base(p.At)) && len(a.stage.Files.Inside(p.At)) == 0 {
			add(p.At, p.Evidence)
		}
	}
	if named := a.argumentsFolders(); len(a.recipe.Package.Volumes) == 0 {
		e := a.evidence["package.processes."+a.main]
		if cmd, ok := a.stage.Config.Evidence["cmd"]; ok {
			e = []Evidence{cmd}
		}
		for _, f := range named {
			for _, one := range e {
				add(f.at, one)
				a.Notes.Remark(fmt.Sprintf("no volume is named anywhere; the service is started with %s, and the image has nothing in %s, so that is one", f.argument, f.at), one)
			}
		}
	}
	if at := path.Join("/", a.stage.Dir, "data"); len(a.recipe.Package.Volumes) == 0 && a.stage.Dir != "/" && (!a.stage.Files.Exists(at) || a.keptEmpty(at)) {
		if e, ok := a.Tree.keepsData(); ok {
			add(at, e)
			a.Notes.Remark("no volume is named anywhere; the sources keep files in data, seen from the working directory, so "+at+" is one", e)
		}
	}
	for _, folder := range a.emptyFolders() {
		at := path.Join(a.stage.Dir, folder)
		e := Evidence{File: folder, Rule: "the source keeps the folder, and nothing in it"}
		add(at, e)
		a.Notes.Remark("no volume is named anywhere; the source keeps "+folder+" without a file in it, so "+at+" is one", e)
	}
	a.recipe.Package.Volumes = outermost(a.recipe.Package.Volumes)
	for _, v := range a.recipe.Package.Volumes {
		if hidden := a.hidden(v); len(hidden) > 0 {
			a.Notes.Remark(fmt.Sprintf("the image has %s, and %s is a volume, which begins empty here", strings.Join(hidden, ", "), v), a.evidence["package.volumes."+v]...)
		}
	}
}

// argumentsFolder is a folder that an argument of the command names.
type argumentsFolder struct{ at, argument string }

// argumentsFolders are those of which the image has nothing.
func (a *assembly) argumentsFolders() []argumentsFolder {
	var out []argumentsFolder
	words := slices.Concat(a.recipe.Package.Command, a.recipe.Package.Processes[a.main].Args)
	for _, arg := range words[min(1, len(a.recipe.Package.Command)):] { // the first is the program
		_, value, ok := strings.Cut(arg, "=")
		if !ok {
			value = arg
		}
		at := path.Clean(value)
		if !path.IsAbs(at) {
			continue
		}
		if path.Ext(at) != "" {
			at = path.Dir(at)
		}
		o, _ := a.stage.Files.Lookup(at)
		empty := o.Kind == Empty && len(a.stage.Files.Inside(at)) == 0 || !a.stage.Files.Exists(at)
		if at != "/" && empty && !slices.ContainsFunc([]string{"/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/sbin", "/sys", "/usr"}, func(d string) bool { return within(d, at) }) {
			out = append(out, argumentsFolder{at, arg})
		}
	}
	return out
}

// dataPath is the path of a file or folder in data, seen from the working directory, as a text of its own in a source.
var dataPath = regexp.MustCompile("[\"'`](?:\\./)?data/[A-Za-z0-9._-]+[\"'`]")

// databaseFile is such a path of a database, which is written to in any case.
var databaseFile = regexp.MustCompile("[\"'`](?:\\.{1,2}/)?data/[A-Za-z0-9._-]+\\.(?:sqlite3?|db)[\"'`]")

// emptyFolders are those at the tree's top that it keeps without a file in them, where no volume is named and the service runs at the tree's top: for
// what it writes, unless by their names that is what a build writes.
func (a *assembly) emptyFolders() []string {
	o, _ := a.stage.Lookup(a.stage.Dir)
	top := o.Kind == Source && o.Path == "." || o.Kind == Product && o.Path == o.Build.Dir && o.Build.folder() == "."
	if !top || len(a.recipe.Package.Volumes) > 0 || a.stage.Dir == "/" {
		return nil
	}
	var out []string
	last := ""
	for _, f := range a.Tree.Files() {
		folder, _, below := strings.Cut(f, "/")
		if !below || folder == last {
			continue
		}
		if last = folder; strings.HasPrefix(folder, ".") || slices.Contains([]string{"bin", "build", "dist", "node_modules", "out", "output", "public", "static", "target", "vendor"}, folder) {
			continue
		}
		if a.Tree.onlyKept(folder) {
			out = append(out, folder)
		}
	}
	return out
}

// keptEmpty tells whether the source has a folder only so that it is there: git keeps none that is empty.
func (a *assembly) keptEmpty(at string) bool {
	from, ok := a.stage.SourceOf(at)
	return ok && a.Tree.HasDir(from) && a.Tree.onlyKept(from)
}

// onlyKept tells whether a folder has nothing but files that have git keep it.
func (t *Tree) onlyKept(folder string) bool {
	return !slices.ContainsFunc(t.Below(folder), func(f string) bool {
		return !strings.HasPrefix(path.Base(f), ".git") && !strings.HasPrefix(path.Base(f), ".keep")
	})
}

// keepsData looks for a source file that names several paths in data, or a database's, as defaults of settings do.
func (t *Tree) keepsData() (Evidence, bool) {
	for f, data := range t.sources([]string{".go", ".py", ".rs", ".rb", ".php", ".java", ".kt", ".cs", ".ex"}) {
		if !bytes.Contains(data, []byte("data/")) {
			continue
		}
		if at := databaseFile.FindIndex(data); at != nil {
			return Evidence{File: f, Line: lineAt(data, at[0]), Rule: "keeps a database in data"}, true
		}
		if found := dataPath.FindAllIndex(data, -1); len(found) > 1 {
			return Evidence{File: f, Line: lineAt(data, found[0][0]), Rule: "keeps files in data"}, true
		}
	}
	return Evidence{}, false
}

// temporary tells whether what stands at a path does not outlive a start.
func temporary(at string) bool {
	return slices.ContainsFunc([]string{"/tmp", "/run", "/var/run", "/dev", "/proc", "/sys", "/var/tmp", "/root"}, func(d string) bool { return within(d, at) })
}

// outermost leaves out folders that are inside others, and sorts.
func outermost(list []string) []string {
	slices.Sort(list)
	return slices.DeleteFunc(list, func(v string) bool {
		return slices.ContainsFunc(list, func(o string) bool { return o != v && o != "" && within(o, v) })
	})
}
