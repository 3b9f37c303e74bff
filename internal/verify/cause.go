package verify

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"headwater/internal/proof"
	"headwater/internal/recipe"
	"headwater/internal/run"
)

// class is a known class of faults: what speaks for it, and where in the recipe it is put right.
type class struct {
	name    string
	pattern *regexp.Regexp // its first group that is set is the subject: a path, a name
	say     func(r *recipe.Recipe, subject string) (text, change string)
}

// classes are in the order of how much they explain: one that is named first is likelier the cause of those that follow.
func classes() []class {
	re := regexp.MustCompile
	path := `['"]?(/[^\s'":;,)\]]+)`
	return []class{
		{"missing shared library", re(`error while loading shared libraries: ([^\s:]+)|(?:ImportError|OSError): (lib[^\s:]+\.so[^\s:]*): cannot open shared object|cannot open shared object file:? .*?(lib[^\s:]+\.so[^\s:]*)|Error loading shared library ([^\s:]+)`), sayLibrary},
		{"cookie", re(`cookie: (\S+) is not accepted: ([^\n]+)`), sayCookie},
		{"library too old", re("version [`'](GLIBC(?:XX)?_[0-9.]+)' not found"), sayOld},
		{"no temporary folder", re(`No usable temporary directory found|(?:mkdtemp|mkstemp|mktemp|temporary (?:file|directory)).*(?:No such file|Read-only|Permission denied)|(?:TMPDIR|/tmp)\b.*(?i:no such file or directory|does not exist|not writable)`), sayTmp},
		{"read-only file system", re(`(?i)read-only file system:? ` + path + `|` + path + `['"]?:? (?i:read-only file system)|EROFS.*?` + path + `|(?i)read-only file system()`), sayReadOnly},
		{"missing module", re(`ModuleNotFoundError: No module named ['"]?([\w.]+)|Cannot find (?:module|package) ['"]([^'"]+)|ERR_MODULE_NOT_FOUND()|cannot load such file -- (\S+)|ImportError: cannot import name '([^']+)`), sayModule},
		{"port in use", re(`(?i)address already in use|EADDRINUSE|port (\d+) is (?:already )?in use`), sayPort},
		{"port of the system's", re(`(?i)(?:listen|bind).*:(\d{1,3}): (?:bind: )?permission denied|EACCES.*:(\d{1,3})\b`), sayLowPort},
		{"permission", re(`(?i)permission denied:? ` + path + `|` + path + `['"]?:? (?i:permission denied)|EACCES.*?` + path + `|chown: changing ownership of ` + path + `|(?i)permission denied()|Operation not permitted()`), sayPermission},
		{"unset variable", re(`KeyError: ['"]([A-Z][A-Z0-9_]{2,})['"]|\b([A-Z][A-Z0-9_]{2,}): (?:unbound variable|parameter (?:null or )?not set)|(?:[Ee]nvironment variable|env(?:ironment)? var|variable|setting)s? [` + "`" + `'"$]*([A-Z][A-Z0-9_]{2,})\b['"]? (?:is|was|must|not|has)|\b([A-Z][A-Z0-9_]*_[A-Z0-9_]+)\b['"]?:? (?:environment variable )?(?:is not set|is unset|not set|is required|must be set|must not be empty|is missing|missing)|(?:[Mm]issing|[Rr]equired|[Uu]nset|[Ss]et the) (?:required )?(?:([A-Z][A-Z0-9_]{2,}) )?(?:environment variable|env(?:ironment)? var|variable)s?(?::? [` + "`" + `'"]?([A-Z][A-Z0-9_]{2,}))?`), sayUnset},
		{"missing template", re(`TemplateDoesNotExist:? ([^\s'"]+)|(?i:template) ["']?([^\s"']+\.(?:html?|txt|tmpl|jinja2?|j2))["']? (?i:not found|does not exist|is not defined|: no such)`), sayTemplate},
		{"missing program", re(`exec: "([^"]+)": executable file not found|execvp ([^\s:]+): No such file|(?:line \d+: |sh: (?:\d+: )?)([^\s:]+): (?:command )?not found|spawn (\S+) ENOENT|env: [‘'"]?([^\s'’"]+)[’'"]?: No such file`), sayProgram},
		{missingFile, re(`(?:No such file or directory|ENOENT)[^/\n]*?` + path + `|` + path + `['"]?:? (?:\[Errno 2\] )?(?i:no such file or directory|does not exist|not found)|(?:open|stat|lstat|chdir|read) ([^\s:'"]+): no such file|(?i)(?:no such file or directory|file not found)()`), sayMissing},
		{"no space", re(`(?i)no space left on device|disk quota exceeded`), saySpace},
		{"out of memory", re(`MemoryError|(?i)\bout of memory|cannot allocate memory|heap out of memory|OutOfMemoryError`), sayMemory},
		{"migration fails on the data", re(`column "([^"]+)" (?:of relation "[^"]+" )?contains null values|could not create unique index "([^"]+)"|violates (?:not-null|check|foreign key|unique) constraint|(?:column|relation) "([^"]+)" (?:of relation "[^"]+" )?already exists|cannot cast type`), sayMigration},
		{"database not migrated", re(`relation "([^"]+)" does not exist|function ([\w.]+)\([^)]*\) does not exist|no such table: (\S+)|column "?([\w.]+)"? does not exist|(?i)unapplied migration|not (?:yet )?migrated|(?i)pending migrations?`), sayUnmigrated},
		{"password refused", re(`password authentication failed for user "([^"]+)"|(?i)access denied for user|NOAUTH|WRONGPASS`), sayPassword},
		{"something that is not there", re(`connection to server (?:on socket|at) ("[^"]+"(?:, port \d+)?)|(?i)could not translate host name "([^"]+)"|lookup (\S+?)(?: on \S+)?: (?:no such host|server misbehaving|Temporary failure)|getaddrinfo (?:ENOTFOUND|EAI_AGAIN) (\S+)|Name or service not known()|Temporary failure in name resolution()|connect(?:ion)?:? (?:to .*?)?refused()|ECONNREFUSED (\S+)|network is unreachable()`), sayAbsent},
		{"arguments", re("(?i)(?:unknown|no such|unrecognized|invalid) (?:sub)?(?:command|option|argument|flag|choice)s?:? [`'\"]?([^\\s`'\"]+)"), sayArguments},
		{"killed", re(`exit status 137|signal: killed|(?m)^Killed$`), sayKilled},
	}
}

const missingFile = "missing file"

// inNamedFolder is a relative path within the folder that a line names, where that is a variable's value.
func inNamedFolder(r *recipe.Recipe, line, file string) string {
	for _, word := range regexp.MustCompile(`/[^\s'":;,]+`).FindAllString(line, -1) {
		for _, name := range slices.Sorted(maps.Keys(r.Package.Env)) {
			if r.Package.Env[name] == word {
				return path.Join(word, file)
			}
		}
	}
	return file
}

// lineOf is the line of a text that stands at an offset.
func lineOf(text string, at int) string {
	before, after := text[:at], text[at:]
	after, _, _ = strings.Cut(after, "\n")
	return before[strings.LastIndex(before, "\n")+1:] + after
}

// maxCauses is how many are told: the first ones explain the others.
const maxCauses = 3

// causesIn finds known causes in what a process printed and what was seen. What names its subject counts before what does not.
func causesIn(r *recipe.Recipe, text string) []proof.Cause {
	var list, vague []proof.Cause
	told := map[string]bool{} // subjects
	for _, c := range classes() {
		m := c.pattern.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		subject := ""
		for _, g := range m[1:] {
			if g != "" {
				subject = g
				break
			}
		}
		if subject != "" && c.name == missingFile && !path.IsAbs(subject) {
			subject = inNamedFolder(r, lineOf(text, c.pattern.FindStringIndex(text)[0]), subject)
		}
		say, change := c.say(r, subject)
		cause := proof.Cause{Class: c.name, Text: say, Change: change}
		switch {
		case subject == "" && c.pattern.NumSubexp() > 0:
			vague = append(vague, cause)
		case subject != "" && told[subject]:
		case !slices.ContainsFunc(list, func(p proof.Cause) bool { return p.Change == change }): // else it is told what to change
			list = append(list, cause)
			told[subject] = true
		}
	}
	switch {
	case len(list) > 0:
		return list[:min(len(list), maxCauses)]
	case len(vague) > 0:
		return vague[:1]
	}
	return nil
}

// settingLines is how many lines at the end of a text may name a variable that is not right.
const settingLines = 5

var (
	variableName = regexp.MustCompile(`\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b`)
	quoted       = regexp.MustCompile(`["'` + "`" + `‘“]([^"'` + "`" + `’”\n]{2,80})["'` + "`" + `’”]`)
)

// settings tells of variables that stand in the end of a text, or whose values are quoted there.
func settings(r *recipe.Recipe, text string) []proof.Cause {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	end := strings.Join(lines[max(0, len(lines)-settingLines):], "\n")
	for _, m := range quoted.FindAllStringSubmatch(end, -1) {
		for _, name := range slices.Sorted(maps.Keys(r.Package.Env)) {
			if r.Package.Env[name] == m[1] {
				return []proof.Cause{{
					Class: "setting", Change: "package.env." + name,
					Text: fmt.Sprintf("it tells of %q, which is the value of %s: that may not be a value that it takes", m[1], name),
				}}
			}
		}
	}
	if names := variableName.FindAllString(end, 2*maxCauses); len(names) > 0 {
		slices.Sort(names)
		names = slices.Compact(names)
		change := "package.env." + names[0]
		for _, n := range names { // one that is not set is likelier what is wrong
			if _, ok := r.Package.Env[n]; !ok {
				change = "package.env." + n
				break
			}
		}
		return []proof.Cause{{Class: "setting", Change: change, Text: "it tells of " + strings.Join(names, " and ") + ", which may not be set, or not right"}}
	}
	return nil
}

func sayLibrary(r *recipe.Recipe, s string) (string, string) {
	return fmt.Sprintf("the shared library %s is not in the root that it runs in: add the Debian package that has it", s), "roots." + r.Package.Root + ".packages"
}

func sayCookie(_ *recipe.Recipe, s string) (string, string) {
	return fmt.Sprintf("what it sets as the cookie %s does not come back, so it does not know who asks: its domain, path or Secure does not fit the address that it is asked at, and a variable often says that address", s), "package.env"
}

func sayOld(r *recipe.Recipe, s string) (string, string) {
	return fmt.Sprintf("it was linked against a newer library than the root that it runs in has (%s): build and run in roots of the same suite", s), "roots." + r.Package.Root + ".suites"
}

func sayTmp(r *recipe.Recipe, _ string) (string, string) {
	if v := r.Package.Env["TMPDIR"]; v != "" && v != "/tmp" {
		return fmt.Sprintf("TMPDIR is %s, where it cannot write: /tmp, /run and the volumes are writable", v), "package.env.TMPDIR"
	}
	return "it finds no folder for temporary files: /tmp, /run, /var/tmp and the volumes are writable; say by a variable or an argument that it is to use one", "package.env.TMPDIR"
}

func sayReadOnly(r *recipe.Recipe, s string) (string, string) {
	if s == "" {
		return "it writes where nothing is writable: only the volumes, /tmp, /run and /var/tmp are", "package.volumes"
	}
	text := fmt.Sprintf("it writes to %s, and only the volumes, /tmp, /run and /var/tmp are writable: make that, or the folder that it is in, a volume", s)
	if key := variableKey(r, s); key != "" {
		return text + ", or give the variable that names it another value", key
	}
	return text + ", or say by a variable or an argument where it is to write", "package.volumes"
}

func sayModule(r *recipe.Recipe, s string) (string, string) {
	change := "components"
	for _, name := range slices.Sorted(maps.Keys(r.Components)) {
		if e := r.Components[name].Ecosystem; e == "python" || e == "node" {
			change = "components." + name
			break
		}
	}
	if s == "" {
		s = "that it imports"
	}
	return fmt.Sprintf("the module %s is not there at run time: it is no dependency of the component's own for running (but one for development, say), or the folder that has it is not in the layout", s), change
}

func sayPort(r *recipe.Recipe, _ string) (string, string) {
	byPort := map[int]string{}
	for _, name := range slices.Sorted(maps.Keys(r.Package.Processes)) {
		p := r.Package.Processes[name].Port
		if p == 0 {
			continue
		}
		if other, ok := byPort[p]; ok {
			return fmt.Sprintf("the processes %s and %s both are to listen on port %d", other, name, p), "package.processes." + name + ".port"
		}
		byPort[p] = name
	}
	return "two of the processes listen on the same port: here nothing else runs", "package.processes"
}

func sayLowPort(r *recipe.Recipe, s string) (string, string) {
	for _, name := range slices.Sorted(maps.Keys(r.Package.Processes)) {
		if strconv.Itoa(r.Package.Processes[name].Port) == s {
			return fmt.Sprintf("port %s is below 1024, where an unprivileged process may not listen: use another", s), "package.processes." + name + ".port"
		}
	}
	return fmt.Sprintf("port %s is below 1024, where an unprivileged process may not listen: use another", s), "package.processes"
}

func sayPermission(r *recipe.Recipe, s string) (string, string) {
	user := r.Package.User
	if user == "" {
		user = recipe.DefaultUser
	}
	if s == "" {
		return "it may not do that as the unprivileged user " + user, "package.user"
	}
	return fmt.Sprintf("%s is not for the user %s, without privileges, that it runs as", s, user), layoutKey(r, s, "package.user")
}

func sayUnset(_ *recipe.Recipe, s string) (string, string) {
	if s == "" {
		return "a variable that it needs is not set: give it a value, or list it under package.secrets for one to be made", "package.env"
	}
	return fmt.Sprintf("the variable %s is not set: give it a value, or list it under package.secrets for one to be made", s), "package.env." + s
}

func sayTemplate(r *recipe.Recipe, s string) (string, string) {
	return fmt.Sprintf("the template %s is not among the files that the component's src selects, or not in the layout", s), layoutKey(r, "", "package.layout")
}

func sayProgram(r *recipe.Recipe, s string) (string, string) {
	if path.IsAbs(s) || strings.Contains(s, "/") {
		if len(r.Package.Command) > 0 && r.Package.Command[0] == s {
			return fmt.Sprintf("%s, which the package is started by, is not there, or the interpreter that its first line names is not", s), "package.command"
		}
		return fmt.Sprintf("the program %s is not there, or the interpreter that its first line names is not", s), layoutKey(r, s, "package.layout")
	}
	return fmt.Sprintf("the program %s is not on PATH: its package is not in the root that it runs in, or PATH does not have its folder", s), "roots." + r.Package.Root + ".packages"
}

func sayMissing(r *recipe.Recipe, s string) (string, string) {
	if s == "" {
		return "a file that it needs is not there", "package.layout"
	}
	named := s
	if !path.IsAbs(s) {
		dir := path.Join("/", r.Package.Workdir)
		s, named = path.Join(dir, s), fmt.Sprintf("%s (as seen from %s, if it did not change its folder)", s, dir)
	}
	if key := variableKey(r, s); key != "" {
		return fmt.Sprintf("%s is not there, and a variable names it", s), key
	}
	return fmt.Sprintf("%s is not there: nothing in the layout or the root brings it, or it is meant relative to another working directory", named), layoutKey(r, s, "package.layout")
}

// variableKey is the variable of the package's that names a path or a folder that it is in, else one that names a path below it, whose folders
// are made from the top; "" if none does.
func variableKey(r *recipe.Recipe, file string) string {
	best, key, below := "", "", ""
	for _, name := range slices.Sorted(maps.Keys(r.Package.Env)) {
		v := r.Package.Env[name]
		switch {
		case !path.IsAbs(v) || v == "/":
		case file == v || strings.HasPrefix(file, strings.TrimSuffix(v, "/")+"/"):
			if len(v) > len(best) {
				best, key = v, "package.env."+name
			}
		case below == "" && !strings.Contains(v, ":") && strings.HasPrefix(v, file+"/"):
			below = "package.env." + name
		}
	}
	if key == "" {
		return below
	}
	return key
}

// aside is what stands in parentheses behind a word, "" if there is nothing to say.
func aside(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

func saySpace(*recipe.Recipe, string) (string, string) {
	return "its volumes or /tmp are full", "package.volumes"
}

func sayMemory(*recipe.Recipe, string) (string, string) {
	return "it had no memory left: fewer workers or a smaller heap may be a setting", "package.env"
}

func sayMigration(_ *recipe.Recipe, s string) (string, string) {
	return "a migration does not fit the data that is there" + aside(s) + ": that is the upstream's to put right; look for a release in between", "package.migrate"
}

func sayUnmigrated(r *recipe.Recipe, s string) (string, string) {
	if len(r.Package.Migrate) == 0 {
		return "the database has no tables" + aside(s) + ", and the recipe names no command that migrates it", "package.migrate"
	}
	return "the database is not as this release wants it" + aside(s) + ": migrations did not run, ran in another order, or are those of another release", "package.migrate"
}

func sayPassword(*recipe.Recipe, string) (string, string) {
	return "the service refuses the user or the password that it is given, or is given none", "services"
}

func sayAbsent(_ *recipe.Recipe, s string) (string, string) {
	return "it talks to something that is not there" + aside(s) + ": a service that the recipe does not start, another host or port than services give, or a variable by another name than the one that tells it; the network has loopback only", "services"
}

func sayArguments(r *recipe.Recipe, s string) (string, string) {
	text := fmt.Sprintf("it does not know %s, which it is started with: another release may call it otherwise", s)
	for _, name := range slices.Sorted(maps.Keys(r.Package.Processes)) {
		if slices.Contains(r.Package.Processes[name].Args, s) {
			return text, "package.processes." + name + ".args"
		}
	}
	if slices.Contains(r.Package.Migrate, s) {
		return text, "package.migrate"
	}
	return text, "package.command"
}

func sayKilled(*recipe.Recipe, string) (string, string) {
	return "it was killed, as the kernel does where memory is short, or as a supervisor of its own does", "package.processes"
}

// layoutKey is the layout's entry that a path stands in.
func layoutKey(r *recipe.Recipe, file, otherwise string) string {
	best := ""
	for at := range r.Package.Layout {
		if (file == at || strings.HasPrefix(file, at+"/")) && len(at) > len(best) {
			best = at
		}
	}
	if best == "" {
		return otherwise
	}
	return "package.layout." + best
}

// explain makes a failure of an error of package run or of a limit.
func (d *driver) explain(err error) *proof.Failure {
	var ended *run.EndedError
	var unhealthy *run.UnhealthyError
	var service *run.ServiceError
	var printed *run.LogLimitError
	var limit *LimitError
	f := &proof.Failure{Seen: err.Error()}
	switch {
	case errors.As(err, &limit):
		f.Expected, f.Seen, f.Process = "it takes no more than "+limit.Limit, limit.Error(), limit.Who
		f.Causes = []proof.Cause{{Class: "limit", Text: "it takes without end, or more than verify allows by default: see the limits of headwater verify", Change: d.processKey(limit.Who)}}
		f.Log = d.tail(limit.Who)
	case errors.As(err, &printed):
		f.Expected, f.Process = fmt.Sprintf("%s prints no more than %s", printed.Process, bytesText(printed.Limit)), printed.Process
		f.Seen = "it printed more"
		f.Log = d.tail(printed.Process)
		f.Causes = []proof.Cause{{Class: "limit", Text: "it prints without end", Change: d.processKey(printed.Process)}}
	case errors.As(err, &service):
		f.Expected = "the service " + service.Service + " starts"
		f.Seen = firstLine(service.Cause.Error())
		f.Process, f.Log = service.Service, lastLines(service.Cause.Error())
	case errors.As(err, &ended):
		f.Expected, f.Seen = ended.Process+" runs until it is asked to end", "it ended by itself, "+statusText(ended.Cause)
		if ended.Process == "migrate" {
			f.Expected, f.Seen = "migrations end with exit status 0", "they ended with "+statusText(ended.Cause)
		}
		f.Process, f.Log = ended.Process, logLines(ended.Tail)
		f.Causes = d.endCauses(ended, f.Log)
	case errors.As(err, &unhealthy):
		f.Expected = fmt.Sprintf("GET %s answers 2xx within %s", unhealthy.URL, d.plan.Limits.Health)
		if at, ok := unhealthy.Listening(); ok {
			f.Expected = fmt.Sprintf("it listens at %s within %s", at, d.plan.Limits.Health)
		}
		f.Seen, f.Process, f.Log = unhealthy.Cause.Error(), unhealthy.Process, logLines(unhealthy.Tail)
		text := strings.Join(f.Log, "\n")
		if answer, ok := strings.CutPrefix(f.Seen, run.Answers); ok { // else it is what our own request met
			text += "\n" + answer
		}
		f.Causes = append(causesIn(d.recipe, text), d.portCauses(unhealthy)...)
	default:
		f.Expected = "it works"
	}
	if f.Causes == nil {
		f.Causes = causesIn(d.recipe, strings.Join(f.Log, "\n")+"\n"+f.Seen)
	}
	return f
}

// endCauses are those of a process that ended by itself.
func (d *driver) endCauses(e *run.EndedError, log []string) []proof.Cause {
	list := causesIn(d.recipe, strings.Join(log, "\n")+"\n"+statusText(e.Cause))
	if len(list) == 0 {
		list = settings(d.recipe, strings.Join(log, "\n"))
	}
	if len(list) == 0 && e.Cause == nil && e.Process != "migrate" {
		list = append(list, proof.Cause{
			Class: "not a process that stays", Change: d.processKey(e.Process),
			Text: "its command ended, and with it all that it had started: it goes to the background, or does something once; it is to stay in the foreground",
		})
	}
	return list
}

// portCauses say where a process listens if not where the recipe says.
func (d *driver) portCauses(e *run.UnhealthyError) []proof.Cause {
	p := d.recipe.Package.Processes[e.Process]
	ports := listening()
	if ports[p.Port] {
		return []proof.Cause{{
			Class: "health", Change: "package.processes." + e.Process + ".health",
			Text: fmt.Sprintf("it listens on port %d, but %s does not answer 2xx: it is not ready, or that is not its health check", p.Port, p.Health),
		}}
	}
	var others []string
	known := map[int]bool{}
	for _, q := range d.recipe.Package.Processes {
		known[q.Port] = true
	}
	for port := range ports {
		if !known[port] && !d.servicePorts[port] {
			others = append(others, strconv.Itoa(port))
		}
	}
	slices.Sort(others)
	text := fmt.Sprintf("nothing listens on port %d", p.Port)
	if len(others) > 0 {
		text += "; something does on " + strings.Join(others, ", ")
	}
	return []proof.Cause{{Class: "port", Text: text, Change: "package.processes." + e.Process + ".port"}}
}

func (d *driver) processKey(name string) string {
	if _, ok := d.recipe.Package.Processes[name]; ok {
		return "package.processes." + name
	}
	if _, ok := d.recipe.Services[name]; ok {
		return "services." + name
	}
	if name == run.MigrateName {
		return "package.migrate"
	}
	return "package.processes"
}

// statusText tells how a process ended.
func statusText(err error) string {
	if err == nil {
		return "exit status 0"
	}
	text := firstLine(err.Error())
	// The launcher ends with 128 and the signal's number where a signal ended the command.
	if s, ok := strings.CutPrefix(text, "exit status "); ok {
		if n, err := strconv.Atoi(s); err == nil && n > 128 && n < 128+65 {
			text += fmt.Sprintf(" (signal %d)", n-128)
		}
	}
	return text
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// lastLines is a text without its first line, cut to what a failure tells.
func lastLines(s string) []string {
	_, rest, _ := strings.Cut(s, "\n")
	return logLines(rest)
}

// logLines takes the lines out of the end of a log as package run tells it.
func logLines(tail string) []string {
	var list []string
	for line := range strings.Lines(tail) {
		if line = strings.TrimRight(strings.TrimPrefix(line, "  │ "), "\n"); line != "" {
			list = append(list, line)
		}
	}
	return list[max(0, len(list)-maxLog):]
}

// maxLog is how many lines of a log a failure tells.
const maxLog = 30
