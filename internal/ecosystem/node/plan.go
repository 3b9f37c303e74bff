package node

import (
	"path"
	"slices"
	"strings"

	"headwater/internal/plan"
)

// Recogniser knows the commands that install and build projects of Node.js: npm, pnpm, yarn, corepack, npx and node itself.
//
// A project is one build, whatever many commands are run in it; its dependencies are the ecosystem's own matter, so that copying
// node_modules from one stage to another says nothing.
//
// The zero value is ready. It reads each lock and each project anew; NewRecogniser's remembers what it read of a tree, since a plan
// follows many stages.
type Recogniser struct{ memory *memory }

// memory is what was read of a tree.
type memory struct {
	tree    *plan.Tree
	locks   map[string]lockFacts  // by path
	outside map[string]neighbours // by folder
}

// NewRecogniser makes a Recogniser for one plan after the other. It is not safe for concurrent use.
func NewRecogniser() Recogniser { return Recogniser{new(memory)} }

// of is the memory for a tree.
func (r Recogniser) of(t *plan.Tree) *memory {
	m := r.memory
	if m == nil {
		m = new(memory)
	}
	if m.tree != t {
		*m = memory{t, map[string]lockFacts{}, map[string]neighbours{}}
	}
	return m
}

// Recognise implements plan.Recogniser.
func (r Recogniser) Recognise(c plan.Command, s *plan.Stage) (bool, error) {
	p := planner{Stage: s, c: c, r: r}
	switch name := path.Base(c.Args[0]); name {
	case "corepack":
		return p.corepack()
	case "npm", "pnpm", "yarn", "yarnpkg":
		return true, p.manager(strings.TrimSuffix(name, "pkg"), c.Args[1:])
	case "npx", "pnpx", "bunx":
		return true, p.execute(map[string]string{"npx": "npm", "pnpx": "pnpm", "bunx": "npm"}[name], parseArguments(c.Args[1:], name))
	case "bun":
		return true, p.bun()
	case "node", "nodejs":
		return true, p.node()
	case "turbo":
		return p.prune(c.Args[1:]), nil
	case "nvm", "fnm", "volta", "n":
		return true, p.versionManager()
	}
	return p.local()
}

// planner looks at one command.
type planner struct {
	*plan.Stage
	c plan.Command
	r Recogniser

	moved bool // an argument of c says in which folder
}

// arguments are what is said to a manager.
type arguments struct {
	words   []string          // the subcommand, and what is said to it
	flags   map[string]string // by name without dashes; "" for those without a value
	dir     string            // of --prefix, -C and the like
	project []string          // workspaces that are meant
}

func (a arguments) has(names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { v, ok := a.flags[n]; return ok && v != "false" })
}

// parseArguments sorts the words. After the name of a script or a program, words are that one's own; npm takes options for itself there, too.
func parseArguments(args []string, tool string) arguments {
	valued := []string{
		"prefix", "C", "dir", "cwd", "w", "workspace", "F", "filter", "registry", "loglevel", "cache", "userconfig", "omit", "include", "network-timeout", "mutex",
		"cache-folder", "modules-folder", "store-dir", "reporter", "fetch-retries", "fetch-timeout", "maxsockets", "p", "package", "c", "call", "network-concurrency", "use-yarnrc", "global-dir",
	}
	a := arguments{flags: map[string]string{}}
	for i := 0; i < len(args); i++ {
		word := args[i]
		own := len(a.words) >= 1 && slices.Contains([]string{"exec", "dlx", "x"}, a.words[0]) || len(a.words) >= 2 && tool != "npm" && slices.Contains([]string{"run", "run-script", "workspace"}, a.words[0])
		if strings.HasSuffix(tool, "x") {
			own = len(a.words) >= 1
		}
		if word == "--" || own && len(a.words) > 1 {
			a.words = append(a.words, args[i:]...)
			break
		}
		if !strings.HasPrefix(word, "-") || word == "-" {
			a.words = append(a.words, word)
			continue
		}
		name, value, inline := strings.Cut(strings.TrimLeft(word, "-"), "=")
		takes := slices.Contains(valued, name) && (name != "w" || tool == "npm") && (name != "p" && name != "c" || strings.HasSuffix(tool, "x"))
		if !inline && takes && i+1 < len(args) {
			i++
			value = args[i]
		}
		switch name {
		case "prefix", "C", "dir", "cwd":
			a.dir = value
		case "w", "workspace", "F", "filter":
			if value != "" {
				a.project = append(a.project, value)
			}
		}
		if old := a.flags[name]; old != "" {
			value = old + "," + value
		}
		a.flags[name] = value
	}
	return a
}

// manager looks at a call of a manager.
func (p planner) manager(tool string, args []string) error {
	a := parseArguments(args, tool)
	if a.dir != "" {
		p.c.Dir, p.moved = plan.Abs(p.c.Dir, a.dir), true
	}
	word := ""
	if len(a.words) > 0 {
		word = a.words[0]
	}
	switch word {
	case "":
		if tool == "yarn" && !a.has("v", "version", "help") {
			return p.install(tool, a)
		}
		return nil
	case "ci", "clean-install", "install", "i", "add", "install-ci-test", "it":
		return p.install(tool, a)
	case "global":
		if tool == "yarn" && len(a.words) > 2 {
			p.global(a.words[2:])
		}
		return nil
	case "run", "run-script", "rum", "urn":
		if len(a.words) < 2 {
			return nil
		}
		return p.script(tool, a, a.words[1])
	case "exec", "dlx", "x":
		a.words = a.words[1:]
		return p.execute(tool, a)
	case "workspace", "workspaces":
		return p.workspace(tool, a)
	case "root":
		p.c.Print(globalDir + "\n")
		return nil
	case "rebuild", "prune", "dedupe", "deploy", "pack", "patch-commit":
		if word == "pack" && len(a.words) > 1 && !strings.HasPrefix(a.words[1], ".") && !strings.HasPrefix(a.words[1], "/") {
			p.Notes.Ask(plan.Question{About: "components", Main: true, Ask: p.c.Text() + " downloads a package while the image is made; which component has what is made of it?", Looked: []plan.Evidence{p.c.Evidence}})
			return nil
		}
		return p.command(tool, a)
	}
	if slices.Contains(quiet(), word) {
		return nil
	}
	// "npm start", "pnpm build" and "yarn build" run scripts.
	if tool != "npm" || slices.Contains([]string{"start", "test", "stop", "restart"}, word) {
		return p.script(tool, a, word)
	}
	p.Notes.Ask(plan.Question{About: "components", Ask: "what does " + p.c.Text() + " make?", Looked: []plan.Evidence{p.c.Evidence}})
	return nil
}

// quiet are subcommands that make nothing which ships.
func quiet() []string {
	return []string{
		"cache", "config", "set", "get", "c", "version", "audit", "fund", "outdated", "list", "ls", "ll", "la", "view", "info", "show", "whoami", "ping", "login", "logout", "help", "setup", "env",
		"store", "fetch", "import", "why", "explain", "bin", "prefix", "doctor", "completion", "link", "unlink", "licenses", "plugin", "policies", "set version", "npm", "self-update", "approve-builds", "node", "constraints", "check", "autoclean", "versions", "t", "tst",
	}
}

// globalDir is where images of Node.js keep what is installed for all.
const globalDir = "/usr/local/lib/node_modules"

// global notes what is installed for all: managers are toolchains, others are programs that no lock pins.
func (p planner) global(packages []string) {
	for _, word := range packages {
		if strings.HasPrefix(word, "-") {
			continue
		}
		name, version, _ := splitPattern(word)
		version, _, _ = strings.Cut(version, "+")
		p.Files.Place(globalDir+"/"+name, plan.Origin{Kind: plan.Network, Ref: "npm:" + name + "@" + version}, p.c.Evidence)
		if !slices.Contains([]string{"npm", "pnpm", "yarn", "corepack", "node-gyp"}, name) {
			p.Notes.Remark("the upstream's image installs "+word+" for all, which no lock pins", p.c.Evidence)
		}
	}
}

// installed is the version of a manager that is installed for all in the stage.
func (p planner) installed(tool string) (plan.Version, bool) {
	o, e := p.Files.Lookup(globalDir + "/" + tool)
	version, ok := strings.CutPrefix(o.Ref, "npm:"+tool+"@")
	if !ok || version == "" || version == "latest" {
		return plan.Version{}, false
	}
	e.Rule = tool + " of this version is installed for all"
	return plan.Version{Value: version, Evidence: e}, true
}

// prune is "turbo prune", which copies the part of a workspace that a package needs: here it is all of it, twice where manifests are copied
// apart, and its lock beside (Turborepo, "prune").
func (p planner) prune(args []string) bool {
	if !slices.Contains(args, "prune") {
		return false
	}
	out, folders := "out", []string{""}
	for i, a := range args {
		if v, ok := strings.CutPrefix(a, "--out-dir="); ok {
			out = v
		} else if a == "--out-dir" && i+1 < len(args) {
			out = args[i+1]
		} else if a == "--docker" {
			folders = []string{"json", "full"}
		}
	}
	whole := p.Files.Clone()
	for _, folder := range folders {
		p.Files.CopyFrom(whole, p.c.Dir, path.Join(p.c.Dir, out, folder), p.c.Evidence)
	}
	for _, lock := range []string{npmLockName, pnpmLockName, yarnLockName} {
		p.Files.CopyFrom(whole, path.Join(p.c.Dir, lock), path.Join(p.c.Dir, out, lock), p.c.Evidence)
	}
	p.Notes.Remark(p.c.Text()+" takes a part of the workspace; here all of it is seen", p.c.Evidence)
	return true
}

// corepack brings the manager that package.json names.
func (p planner) corepack() (bool, error) {
	args := p.c.Args[1:]
	if len(args) == 0 {
		return true, nil
	}
	switch args[0] {
	case "enable", "disable", "cache", "pack", "hydrate", "up", "--version":
		return true, nil
	case "prepare", "install", "use":
		for _, w := range args[1:] {
			if name, version, ok := splitPattern(w); ok && version != "" && slices.Contains([]string{"npm", "pnpm", "yarn"}, name) {
				p.global([]string{w})
			}
		}
		return true, nil
	}
	name, version, pinned := splitPattern(args[0])
	if pinned {
		p.global([]string{name + "@" + version})
	}
	p.c.Args = append([]string{name}, args[1:]...)
	return p.r.Recognise(p.c, p.Stage)
}

// versionManager notes a version of Node.js that is installed by name.
func (p planner) versionManager() error {
	for i, w := range p.c.Args[1:] {
		if (w == "install" || w == "use") && i+2 < len(p.c.Args) {
			version := strings.TrimPrefix(strings.TrimPrefix(p.c.Args[i+2], "node@"), "v")
			p.Files.Place(globalDir+"/node", plan.Origin{Kind: plan.Network, Ref: "npm:node@" + version}, p.c.Evidence)
		}
	}
	return nil
}

// bun is another program with a lock of its own, which no lock here reads.
func (p planner) bun() error {
	p.Notes.Ask(plan.Question{
		About: "components", Ask: "the project is made with bun (" + p.c.Text() + "), which is not followed; has it a lock of npm, pnpm or yarn as well?",
		Looked: []plan.Evidence{p.c.Evidence}, Main: len(p.c.Args) > 1 && (p.c.Args[1] == "install" || p.c.Args[1] == "run" || p.c.Args[1] == "build"),
	})
	return nil
}

// node runs a program of the source while the image is made.
func (p planner) node() error {
	for i, w := range p.c.Args[1:] {
		switch {
		case w == "-v" || w == "--version" || w == "-e" || w == "-p" || w == "--eval" || w == "--print":
			return nil
		case strings.HasPrefix(w, "-"):
			continue
		}
		if i >= 0 {
			break
		}
	}
	pr, ok := p.project(p.c.Dir)
	if !ok || pr.lock == "" {
		p.Notes.Ask(plan.Question{About: "components", Ask: p.c.Text() + " is run while the image is made, outside of a project with a lock; what does it make?", Looked: []plan.Evidence{p.c.Evidence}})
		return nil
	}
	b := p.build(pr)
	p.add(b, p.c)
	return nil
}

// local is a call of a program of a project's own node_modules by its path.
func (p planner) local() (bool, error) {
	name := p.c.Args[0]
	at := strings.Index(name, modulesName+"/.bin/")
	if at < 0 {
		return false, nil
	}
	pr, ok := p.project(plan.Abs(p.c.Dir, name[:at]))
	if !ok {
		return false, nil
	}
	b := p.build(pr)
	p.add(b, p.c)
	p.outputs(b, strings.Join(p.c.Args, " "), p.c.Dir)
	return true, nil
}
