package node

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"headwater/internal/plan"
)

// found is a project in a stage.
type found struct {
	dir      string // absolute, in the stage
	folder   string // in the tree
	manifest manifest
	text     []byte // of package.json
	top      string // folder in the tree that has the lock
	lock     string // its name, "" if there is none
	locks    []string
}

// evidence is the line of package.json that has a text.
func (f found) evidence(text, rule string) plan.Evidence {
	e := plan.Evidence{File: path.Join(f.folder, manifestName), Rule: rule}
	if before, _, ok := strings.Cut(string(f.text), text); ok {
		e.Line = strings.Count(before, "\n") + 1
	}
	return e
}

// project finds the project of a folder: the nearest package.json above, and the lock for it.
func (p planner) project(dir string) (found, bool) {
	for at := path.Clean(dir); ; at = path.Dir(at) {
		data, name, err := p.ReadFile(path.Join(at, manifestName))
		if err == nil {
			f := found{dir: at, folder: path.Dir(name), text: data}
			if err := json.Unmarshal(data, &f.manifest); err != nil {
				p.Notes.Remark(fmt.Sprintf("%s is not understood: %v", name, err), plan.Evidence{File: name})
			}
			p.findLock(&f)
			return f, true
		}
		if at == "/" || at == "." {
			return found{}, false
		}
	}
}

// findLock looks for the lock as the ecosystem does: in the project's folder of the tree, then above.
func (p planner) findLock(f *found) {
	for at := f.folder; ; at = path.Dir(at) {
		for _, name := range []string{npmLockName, pnpmLockName, yarnLockName} {
			if p.Tree.Has(path.Join(at, name)) {
				f.locks = append(f.locks, name)
			}
		}
		if len(f.locks) > 0 {
			f.top, f.lock = at, f.locks[0]
			return
		}
		if at == "." || at == "/" {
			return
		}
	}
}

// build is the build of a project.
func (p planner) build(f found) *plan.Build {
	// What a stage before installed for the same project is the ecosystem's matter.
	if o, _ := p.Files.Lookup(path.Join(f.dir, modulesName)); o.Kind == plan.Product && o.Build.Ecosystem == "node" && o.Build.Folder == f.folder && !slices.Contains(p.AllBuilds(), o.Build) {
		p.Files.Remove(path.Join(f.dir, modulesName))
		b := p.BuildAt("node", f.dir, p.c.Evidence)
		for k, v := range o.Build.Options {
			if _, set := b.Options[k]; !set {
				b.Options[k] = v
			}
		}
		if !o.Build.Only {
			for _, c := range o.Build.Commands {
				c.Dir = b.Dir
				p.add(b, c)
			}
		}
		p.describe(b, f)
		return b
	}
	b := p.BuildAt("node", f.dir, p.c.Evidence)
	p.describe(b, f)
	return b
}

// describe says of a build what the project's files say.
func (p planner) describe(b *plan.Build, f found) {
	b.Folder = f.folder
	if f.lock == "" {
		p.Notes.Ask(plan.Question{
			About: "components", Ask: fmt.Sprintf("%s has no lock, so nothing says which packages are installed; write one with the upstream's package manager", path.Join(f.folder, manifestName)),
			Looked: []plan.Evidence{{File: path.Join(f.folder, manifestName)}}, Main: true,
		})
	}
	if f.top != f.folder { // what was installed for the lock above is the ecosystem's matter, too
		b.Before = b.Before.Only(func(at plan.Placement) bool {
			by := at.Origin.Build
			return by == nil || by.Ecosystem != "node" || !by.Only || by.Folder != f.top || path.Base(at.At) != modulesName
		})
	}
	p.unlocked(b, f)
	maps.Copy(b.Env, p.environment())
	b.Sources, b.Named = p.sources(f)
	p.toolchains(b, f)
	p.legacyHash(b, f)
	for _, library := range libraries(b.Toolchains["node"].Value) {
		b.Needs = appendNeed(b.Needs, library, plan.Evidence{Rule: "Node.js needs it"})
	}
}

// unlocked lays the project's lock beside its package.json where the image's file does not copy it: what is installed there is whatever
// is newest on the day, here it is what the lock says.
func (p planner) unlocked(b *plan.Build, f found) {
	top := f.dir
	if f.top != f.folder {
		above, ok := strings.CutSuffix(f.dir, "/"+f.folder)
		if !ok {
			return // the tree does not stand there as it is
		}
		top = path.Join("/", above, f.top)
	}
	at := path.Join(top, f.lock)
	if _, there := p.SourceOf(at); f.lock == "" || there {
		return
	}
	b.Before.Place(at, plan.Origin{Kind: plan.Source, Path: path.Join(f.top, f.lock)}, p.c.Evidence)
	p.Notes.Remark(path.Join(f.top, f.lock)+" is not copied into the upstream's image, where what is newest on the day is installed; here what it says is", p.c.Evidence)
}

// libraries are the packages that a Node.js out of its own archives is linked with, besides the C library: from 25 on libatomic too. What
// a word stands for is known only when it is locked.
func libraries(version string) []string {
	word, _, _ := strings.Cut(strings.TrimLeft(version, "^~>=v "), ".")
	if major, err := strconv.Atoi(word); err == nil && major < 25 || strings.HasPrefix(version, "lts/") && version != "lts/*" {
		return []string{"libstdc++6"}
	}
	return []string{"libatomic1", "libstdc++6"}
}

// environment is what of the command's environment a build may look at.
func (p planner) environment() map[string]string {
	out := map[string]string{}
	own := regexp.MustCompile(`(?i)^(PATH|HOME|PWD|OLDPWD|USER|UID|EUID|GID|HOSTNAME|SHELL|SHLVL|IFS|PPID|OPTIND|TERM|_|DEBIAN_FRONTEND|TARGET(PLATFORM|OS|ARCH|VARIANT)|BUILD(PLATFORM|OS|ARCH|VARIANT)|.*_proxy|npm_config_.*|pnpm_home|corepack_.*|node_version|yarn_version|gopath|.*_CACHE.*|NODE_OPTIONS|GITHUB_(ENV|OUTPUT))$`)
	for k, v := range p.c.Env {
		if v != "" && !own.MatchString(k) {
			out[k] = v
		}
	}
	if v := p.c.Env["NODE_OPTIONS"]; v != "" {
		out["NODE_OPTIONS"] = v
	}
	return out
}

// install looks at "npm ci" and the like.
func (p planner) install(tool string, a arguments) error {
	packages := a.words[min(1, len(a.words)):]
	if a.has("g", "global", "location") {
		p.global(packages)
		return nil
	}
	f, ok := p.project(p.c.Dir)
	if len(packages) > 0 {
		p.Notes.Ask(plan.Question{
			About: "components", Ask: p.c.Text() + " installs packages that no lock pins; what are they needed for?", Looked: []plan.Evidence{p.c.Evidence},
		})
		return nil
	}
	if !ok {
		p.Notes.Ask(plan.Question{About: "components", Ask: fmt.Sprintf("%s is run in %s, where nothing of the tree has a package.json", p.c.Text(), p.c.Dir), Looked: []plan.Evidence{p.c.Evidence}})
		return nil
	}
	b := p.build(f)
	if len(f.locks) > 1 {
		b.Options["manager"] = tool
	}
	switch again := b.Rewrites; {
	case again && p.leavesOut(a)["dev"]:
		// What was run before needs them, and a component has one set of dependencies.
		p.Notes.Remark(p.c.Text()+" takes the development's packages away after the build; here they stay", p.c.Evidence)
	case again:
	default:
		p.omitted(b, a)
		if a.has("ignore-scripts") {
			b.Options["scripts"] = false
		}
	}
	if !a.has("ignore-scripts") {
		p.lifecycle(b, f, tool, a)
	}
	p.lookAtLock(b, f)
	if len(b.Commands) == 0 { // no script is run: it is for its node_modules
		c := p.c
		c.Args, c.Dir = []string{"true"}, b.Dir
		b.Commands, b.Only = append(b.Commands, c), true
		p.Makes(b, plan.Output{At: path.Join(b.Dir, modulesName)}, p.c.Evidence)
		for _, w := range p.members(f) {
			p.Makes(b, plan.Output{At: path.Join(b.Dir, w, modulesName)}, p.c.Evidence)
		}
		p.manifestsAlone(b, f)
	}
	return nil
}

// manifestsAlone has an install see manifests and nothing else of the tree, so that it is done again only for those.
func (p planner) manifestsAlone(b *plan.Build, f found) {
	l := p.r.of(p.Tree).lock(path.Join(f.top, f.lock)).project
	if l.Locked == nil || slices.ContainsFunc(l.Local, func(dir string) bool { return !p.Tree.HasDir(path.Join(f.top, dir)) }) {
		return
	}
	b.Alone, b.Sources = true, nil
	for _, pattern := range l.manifestPatterns(p.Tree.FS()) {
		if p.Tree.Has(pattern) || strings.Contains(pattern, "*") && slices.ContainsFunc(p.Tree.Files(), func(name string) bool { return doublestar.MatchUnvalidated(pattern, name) }) {
			b.Sources = append(b.Sources, pattern)
		}
	}
	slices.Sort(b.Sources)
}

// fonts is where a project's pages ask for fonts that Next.js downloads while it builds (Next.js, "Font Module").
func fonts(t *plan.Tree, folder string) (plan.Evidence, bool) {
	found, _ := t.Once("fonts of "+folder, func() (any, error) {
		for i, name := range t.Below(folder) {
			if i > maxScanned || !slices.Contains([]string{".js", ".jsx", ".ts", ".tsx"}, path.Ext(name)) || plan.Aside(name) != "" {
				continue
			}
			data, err := t.Read(name)
			if err != nil || len(data) > maxSource {
				continue
			}
			if before, _, ok := strings.Cut(string(data), "next/font/google"); ok {
				return plan.Evidence{File: name, Line: strings.Count(before, "\n") + 1, Rule: "asks for fonts that are downloaded"}, nil
			}
		}
		return plan.Evidence{}, nil
	})
	e := found.(plan.Evidence)
	return e, e.File != ""
}

// members are the folders of a project's workspaces that stand in the stage and get a node_modules of their own.
func (p planner) members(f found) []string {
	l := p.r.of(p.Tree).lock(path.Join(f.top, f.lock)).project
	if f.top != f.folder || l.Locked == nil {
		return nil
	}
	var out []string
	for _, folder := range l.Folders {
		if w := path.Dir(folder); w != "." && p.Files.Exists(path.Join(f.dir, w, manifestName)) {
			out = append(out, w)
		}
	}
	return out
}

// omitted notes which kinds of dependencies are left out.
func (p planner) omitted(b *plan.Build, a arguments) {
	omit := p.leavesOut(a)
	var list []any
	for _, kind := range []string{"dev", "optional", "peer"} {
		if omit[kind] {
			list = append(list, kind)
		}
	}
	if delete(b.Options, "omit"); len(list) > 0 {
		b.Options["omit"] = list
	}
}

// leavesOut are the kinds of dependencies that an install does without.
func (p planner) leavesOut(a arguments) map[string]bool {
	omit := map[string]bool{}
	for _, kind := range strings.Split(a.flags["omit"], ",") {
		omit[kind] = true
	}
	if a.has("production", "prod", "P") || a.flags["only"] == "prod" || a.flags["only"] == "production" || p.c.Env["NODE_ENV"] == "production" && !a.has("dev", "D") {
		omit["dev"] = a.flags["production"] != "false"
	}
	if a.has("no-optional", "ignore-optional") {
		omit["optional"] = true
	}
	for _, kind := range strings.Split(a.flags["include"], ",") {
		delete(omit, kind)
	}
	return omit
}

// lifecycle adds the project's own scripts that an install runs.
func (p planner) lifecycle(b *plan.Build, f found, tool string, a arguments) {
	for _, name := range []string{"preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare", "postprepare"} {
		text, ok := f.manifest.Scripts[name]
		if !ok || idle(text) {
			continue
		}
		c := p.c
		c.Args, c.Dir = []string{tool, "run", name}, b.Dir
		c.Evidence = f.evidence(`"`+name+`"`, "an install runs it")
		p.add(b, c)
		b.Evidence = append(b.Evidence, c.Evidence)
		p.callees(b, text, f, c.Evidence)
	}
}

// idle tells scripts that do nothing where there is no version control.
func idle(text string) bool {
	text = strings.TrimSpace(text)
	for _, word := range []string{"husky", "is-ci", "lefthook", "simple-git-hooks", "only-allow", "npx only-allow", "npx husky", "git config", "pre-commit", "true", "exit 0", "echo", "node -e"} {
		if strings.HasPrefix(text, word) {
			return true
		}
	}
	return text == ""
}

// add adds a command, once. It may make anything, where before there was node_modules alone.
func (p planner) add(b *plan.Build, c plan.Command) {
	if b.Only {
		for _, o := range b.Outputs {
			p.Files.Unmake(o.At, b)
		}
		b.Commands, b.Outputs, b.Only, b.Alone = nil, nil, false, false
		b.Before = p.Files.Clone()
	}
	b.Rewrites = true
	if !slices.ContainsFunc(b.Commands, func(o plan.Command) bool { return slices.Equal(o.Args, c.Args) && o.Dir == c.Dir }) {
		b.Commands = append(b.Commands, c)
	}
}

// command adds a call of the manager that is neither an install nor a script.
func (p planner) command(tool string, a arguments) error {
	f, ok := p.project(p.c.Dir)
	if !ok || f.lock == "" {
		return nil
	}
	if len(a.words) > 0 && a.words[0] == "deploy" {
		p.Notes.Ask(plan.Question{
			About: "components", Main: true, Ask: p.c.Text() + " installs a workspace's dependencies once more beside a copy of it, which is not followed; what stands in for that folder?", Looked: []plan.Evidence{p.c.Evidence},
		})
		return nil
	}
	p.add(p.build(f), p.call(tool, f.dir))
	return nil
}

// call is the command as the build runs it: by the manager's name, without what names the folder.
func (p planner) call(tool, dir string) plan.Command {
	c := p.c
	c.Args = append([]string{tool}, c.Args[1:]...)
	for i := 1; p.moved && i < len(c.Args) && c.Args[i] != "--"; i++ {
		name, _, inline := strings.Cut(c.Args[i], "=")
		if slices.Contains([]string{"--prefix", "-C", "--dir", "--cwd"}, name) {
			c.Args = slices.Delete(slices.Clone(c.Args), i, min(len(c.Args), i+map[bool]int{true: 1, false: 2}[inline]))
			break
		}
	}
	return c
}

// workspace looks at "yarn workspace NAME run X" and "yarn workspaces foreach run X", which are run where the project is.
func (p planner) workspace(tool string, a arguments) error {
	if slices.Contains(a.words, "focus") || slices.Contains(a.words, "info") || slices.Contains(a.words, "list") {
		if slices.Contains(a.words, "focus") {
			return p.install(tool, arguments{flags: a.flags})
		}
		return nil
	}
	f, ok := p.project(p.c.Dir)
	if !ok {
		return nil
	}
	p.add(p.build(f), p.call(tool, f.dir))
	return nil
}

// script looks at "npm run X".
func (p planner) script(tool string, a arguments, name string) error {
	f, ok := p.project(p.c.Dir)
	if !ok {
		p.Notes.Ask(plan.Question{About: "components", Ask: fmt.Sprintf("%s is run in %s, where nothing of the tree has a package.json", p.c.Text(), p.c.Dir), Looked: []plan.Evidence{p.c.Evidence}})
		return nil
	}
	text, has := f.manifest.Scripts[name]
	if !has && len(a.project) == 0 && !a.has("r", "recursive", "workspaces", "ws", "if-present", "A") {
		if tool == "npm" || f.manifest.Scripts == nil && f.lock == "" {
			p.Notes.Ask(plan.Question{About: "components", Ask: fmt.Sprintf("%s runs a script that %s does not have", p.c.Text(), path.Join(f.folder, manifestName)), Looked: []plan.Evidence{p.c.Evidence, {File: path.Join(f.folder, manifestName)}}})
			return nil
		}
		// pnpm and yarn run programs of the dependencies so as well
	}
	b := p.build(f)
	p.add(b, p.call(tool, f.dir))
	if has {
		b.Evidence = append(b.Evidence, f.evidence(`"`+name+`"`, "what the script "+name+" is"))
		for _, hook := range []string{"pre" + name, name, "post" + name} {
			p.callees(b, f.manifest.Scripts[hook], f, f.evidence(`"`+hook+`"`, "the script "+hook))
		}
		p.outputs(b, text, f.dir)
		p.rebuilt(b, name, f)
	}
	p.lookAtLock(b, f)
	return nil
}

// rebuilt has what stands in the source where builds write by convention taken from after the build: a stub must not pass for what the
// build makes, and what the build leaves alone is there afterwards too.
func (p planner) rebuilt(b *plan.Build, script string, f found) {
	if !strings.HasPrefix(script, "build") && !strings.HasPrefix(script, "generate") {
		return
	}
	for _, folder := range []string{"dist", ".output"} {
		at := path.Join(f.dir, folder)
		if o, _ := p.Files.Lookup(at); o.Kind == plan.Source && p.Tree.HasDir(o.Path) {
			p.Makes(b, plan.Output{At: at}, p.c.Evidence)
		}
	}
}

// execute looks at "npx X" and "pnpm exec X".
func (p planner) execute(tool string, a arguments) error {
	if len(a.words) == 0 {
		return nil
	}
	f, ok := p.project(p.c.Dir)
	name, _, _ := splitPattern(strings.TrimPrefix(a.words[0], "--"))
	if name == "turbo" && p.prune(p.c.Args) {
		return nil
	}
	if !ok || f.lock == "" {
		p.Notes.Ask(plan.Question{About: "components", Ask: p.c.Text() + " runs a package that no lock pins; what does it make?", Looked: []plan.Evidence{p.c.Evidence}})
		return nil
	}
	if name == "playwright" || name == "puppeteer" || name == "cypress" {
		p.Notes.Remark(p.c.Text()+" downloads a browser, which is left out", p.c.Evidence)
		return nil
	}
	b := p.build(f)
	c := p.c
	c.Args = append([]string{path.Base(c.Args[0])}, c.Args[1:]...)
	p.add(b, c)
	p.outputs(b, strings.Join(a.words, " "), p.c.Dir)
	p.lookAtLock(b, f)
	return nil
}

// others are programs that scripts call and that are no packages of npm.
func others() map[string]string {
	return map[string]string{
		"make": "make", "python": "python3", "python3": "python3", "git": "git", "zip": "zip", "unzip": "unzip", "rsync": "rsync", "jq": "jq", "protoc": "protobuf-compiler", "curl": "curl", "wget": "wget", "brotli": "brotli", "gzip": "gzip",
	}
}

// callees looks at which programs of other ecosystems a script calls; what Node.js' own packages do need not be known.
func (p planner) callees(b *plan.Build, text string, f found, e plan.Evidence) {
	p.callee(b, text, f, e, map[string]bool{})
}

func (p planner) callee(b *plan.Build, text string, f found, e plan.Evidence, seen map[string]bool) {
	if seen[text] || len(seen) > 200 {
		return
	}
	seen[text] = true
	for _, part := range regexp.MustCompile(`&&|\|\||[;|&\n]`).Split(text, -1) {
		fields := strings.Fields(part)
		for len(fields) > 0 && (regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`).MatchString(fields[0]) || slices.Contains([]string{"cross-env", "env", "time", "exec"}, fields[0])) {
			fields = fields[1:]
		}
		if len(fields) == 0 {
			continue
		}
		program := path.Base(fields[0])
		switch {
		case slices.Contains([]string{"node", "tsx", "ts-node"}, program):
			p.downloads(fields[1:], f, e)
		case slices.Contains([]string{"npm", "pnpm", "yarn", "npm-run-all", "run-s", "run-p"}, program):
			for _, word := range fields[1:] {
				if next, ok := f.manifest.Scripts[word]; ok {
					for _, hook := range []string{"pre" + word, "post" + word} {
						p.callee(b, f.manifest.Scripts[hook], f, e, seen)
					}
					p.callee(b, next, f, e, seen)
				}
			}
		case others()[program] != "":
			b.Needs = appendNeed(b.Needs, others()[program], e)
			if program == "curl" || program == "wget" {
				p.Notes.Remark("a script of "+path.Join(f.folder, manifestName)+" downloads: "+strings.TrimSpace(part), e)
			}
		case slices.Contains([]string{"go", "cargo", "wasm-pack", "docker", "mvn", "gradle", "openapi-generator", "openapi-generator-cli", "poetry", "uv", "pip", "buf", "composer"}, program):
			p.Notes.Ask(plan.Question{
				About: "components", Ask: fmt.Sprintf("a script of %s calls %s, which is no package of npm: %s; which component makes what it makes?", path.Join(f.folder, manifestName), program, strings.TrimSpace(part)),
				Looked: []plan.Evidence{e},
			})
		}
	}
}

// asksNetwork finds a call by which a program of Node.js asks another machine.
var asksNetwork = regexp.MustCompile(`\b(?:https?\.(?:get|request)|fetch|axios(?:\.get)?|got(?:\.stream)?)\(`)

// downloads tells of a program of the tree that a script runs and that asks an address: a build has no network.
func (p planner) downloads(args []string, f found, e plan.Evidence) {
	i := slices.IndexFunc(args, func(a string) bool { return !strings.HasPrefix(a, "-") })
	if i < 0 {
		return
	}
	name := path.Join(f.folder, args[i])
	data, err := p.Tree.Read(name)
	if err != nil || len(data) > maxSource || !asksNetwork.Match(data) {
		return
	}
	if url := regexp.MustCompile("https?://[^\\s\"'`$]+").FindIndex(data); url != nil {
		own := plan.Evidence{File: name, Line: strings.Count(string(data[:url[0]]), "\n") + 1}
		p.Notes.Remark(fmt.Sprintf("%s, which a script of %s runs, asks %s; a build has no network", name, path.Join(f.folder, manifestName), data[url[0]:url[1]]), own, e)
	}
}

func appendNeed(needs []plan.Installed, name string, e plan.Evidence) []plan.Installed {
	if slices.ContainsFunc(needs, func(i plan.Installed) bool { return i.Name == name }) {
		return needs
	}
	return append(needs, plan.Installed{Manager: "apt", Name: name, Evidence: e})
}

// outputs finds what a script writes outside of its project's folder, where what is below needs not be said; and what Vite writes.
func (p planner) outputs(b *plan.Build, text, dir string) {
	for _, m := range regexp.MustCompile(`--(?:outDir|out-dir|outdir|output-path|dist-dir|output|out)[= ]\s*["']?(\.\.[^\s"']*)`).FindAllStringSubmatch(text, 20) {
		p.Makes(b, plan.Output{At: plan.Abs(dir, m[1])}, p.c.Evidence)
	}
	if strings.Contains(text, "--outDir") || strings.Contains(text, "--outdir") {
		return
	}
	p.vite(b, text, dir)
	p.angular(b, text, dir)
}

var (
	viteBuild     = regexp.MustCompile(`\bvite((?:\s+-[^\s&|;]+(?:\s+[^-\s&|;][^\s&|;]*)?)*?)\s+build\b([^&|;\n]*)`)
	viteConfig    = regexp.MustCompile(`(?:--config|-c)[= ]\s*["']?([^\s"']+)`)
	viteOut       = regexp.MustCompile(`\boutDir:\s*["']([^"'\n]*)["']`)
	viteRoot      = regexp.MustCompile(`\broot:\s*["']([^"'\n]*)["']`)
	viteElsewhere = regexp.MustCompile(`\b(?:outDir|root)\s*[:,]`)
)

// vite finds what Vite writes: what "outDir" says in its configuration, and without that dist, both seen from its root, which is the
// folder it is run in (Vite, "Build Options" and "Shared Options").
func (p planner) vite(b *plan.Build, text, dir string) {
	configs := []string{"vite.config.ts", "vite.config.js", "vite.config.mts", "vite.config.mjs"}
	called := viteBuild.FindStringSubmatch(text)
	if called != nil {
		if m := viteConfig.FindStringSubmatch(called[1] + called[2]); m != nil {
			configs = []string{m[1]}
		}
	}
	for _, config := range configs {
		data, name, err := p.ReadFile(plan.Abs(dir, config))
		if err != nil {
			continue
		}
		root := dir
		if m := viteRoot.FindSubmatch(data); m != nil {
			root = plan.Abs(dir, string(m[1]))
		}
		if m := viteOut.FindSubmatchIndex(data); m != nil && (called != nil || strings.HasPrefix(string(data[m[2]:m[3]]), "..")) {
			e := plan.Evidence{File: name, Line: strings.Count(string(data[:m[0]]), "\n") + 1, Rule: "where the build writes"}
			if at := plan.Abs(root, string(data[m[2]:m[3]])); at != root { // beside the sources, any of it may be the build's
				p.Makes(b, plan.Output{At: at}, e)
			}
		} else if called != nil && m == nil && !viteElsewhere.Match(data) {
			p.Makes(b, plan.Output{At: path.Join(dir, "dist")}, plan.Evidence{File: name, Rule: "Vite writes to dist"})
		}
	}
}

// neighbours are what a project's files name outside of its folder: in the tree, and not.
type neighbours struct{ tree, other []string }

// sources are the globs of what the project sees, where the whole tree stands around it: its folder, its lock's, and what its files
// name outside of them; nil means all that stands in the stage. named is what they name that is not of the tree, where more than the
// project stands around.
func (p planner) sources(f found) (globs, named []string) {
	whole, around := false, false
	for _, at := range p.Files.Placements() {
		if at.Origin.Kind == plan.Source && f.folder != "." && at.Origin.Path != f.folder && !strings.HasPrefix(at.Origin.Path, f.folder+"/") {
			around = true
			whole = whole || at.Origin.Path == "." || strings.HasPrefix(f.folder, at.Origin.Path+"/")
		}
	}
	if !around || f.top == "." { // in the latter case, a workspace of the whole tree
		return nil, nil
	}
	seen := p.r.of(p.Tree).outside
	if _, known := seen[f.folder]; !known {
		tree, other := outside(p.Tree, f.folder)
		seen[f.folder] = neighbours{tree, other}
	}
	named = append([]string{}, seen[f.folder].other...)
	if !whole { // who copies folder by folder copies what is needed
		return nil, append(named, seen[f.folder].tree...)
	}
	out := map[string]bool{f.folder: true}
	if f.top != "" && f.top != f.folder {
		out[f.top] = true
	}
	for _, name := range seen[f.folder].tree {
		if !strings.HasPrefix(name, f.top+"/") || f.top == f.folder {
			out[name] = true
		}
	}
	return slices.Sorted(maps.Keys(out)), named
}

// lookAtLock notes what the dependencies bring on: compilers for native addons, and downloads that are left out.
func (p planner) lookAtLock(b *plan.Build, f found) {
	if f.lock == "" {
		return
	}
	name := f.lock
	if m, ok := b.Options["manager"].(string); ok {
		name = map[string]string{"npm": npmLockName, "pnpm": pnpmLockName, "yarn": yarnLockName}[m]
	}
	file := path.Join(f.top, name)
	facts := p.r.of(p.Tree).lock(file)
	if facts.err != nil {
		p.Notes.Ask(plan.Question{About: "components", Ask: fmt.Sprintf("%s cannot be used: %v", file, facts.err), Looked: []plan.Evidence{{File: file}}})
	}
	if facts.next && b.Rewrites {
		if e, ok := fonts(p.Tree, f.folder); ok {
			p.Notes.Ask(plan.Question{
				About: "components", Ask: "next build takes fonts from the network where a page asks for next/font/google, and fails without one; what does it get in their place (NEXT_FONT_GOOGLE_MOCKED_RESPONSES names a file)?", Looked: []plan.Evidence{e},
			})
		}
	}
	for _, pkg := range facts.packages {
		e := plan.Evidence{File: file, Line: pkg.line, Rule: pkg.name + " is installed"}
		for _, need := range natives()[pkg.name] {
			b.Needs = appendNeed(b.Needs, need, e)
		}
		if _, native := natives()[pkg.name]; native {
			p.Notes.Remark(pkg.name+" is a native addon: upstream's install may download one that is built already; here it is compiled", e)
		}
		if slices.Contains(unpinned(), pkg.name) {
			p.Notes.Ask(plan.Question{
				About: "components", Ask: pkg.name + " downloads programs when it is installed, which no lock pins and a build without a network does not get; where does the service have them from?", Looked: []plan.Evidence{e},
			})
		}
		if slices.Contains(downloaders(), pkg.name) {
			p.Notes.Remark(pkg.name+" downloads a program when it is installed, which is left out", e)
		}
	}
}

// unpinned are packages that are nothing without what they download when they are installed.
func unpinned() []string {
	return []string{"@prisma/engines", "ffmpeg-static", "onnxruntime-node", "youtube-dl-exec"}
}

// downloaders are packages that bring a program that they download.
func downloaders() []string {
	return []string{"puppeteer", "playwright", "cypress", "electron", "chromedriver", "@sentry/cli"}
}

// lockFacts is what a plan wants to know of a lock.
type lockFacts struct {
	packages []lockedPackage // those that bring something on
	project  project
	next     bool // Next.js is among them
	err      error
}

type lockedPackage struct {
	name string
	line int
}

// lock reads a lock, once.
func (m *memory) lock(file string) lockFacts {
	facts, ok := m.locks[file]
	if ok {
		return facts
	}
	defer func() { m.locks[file] = facts }()
	data, err := m.tree.Read(file)
	if err != nil {
		facts.err = err
		return facts
	}
	l, err := parseLock(m.tree.FS(), path.Dir(file), path.Base(file), data)
	if err != nil {
		facts.err = err
		return facts
	}
	facts.project = project{l, path.Dir(file)}
	special := natives()
	names := l.names()
	_, facts.next = slices.BinarySearch(names, "next")
	for _, name := range names {
		if _, native := special[name]; !native && !slices.Contains(downloaders(), name) && !slices.Contains(unpinned(), name) {
			continue
		}
		pkg := lockedPackage{name: name}
		for _, mark := range []string{"node_modules/" + name + `"`, name + "@"} {
			if before, _, ok := strings.Cut(string(data), mark); ok {
				pkg.line = strings.Count(before, "\n") + 1
				break
			}
		}
		facts.packages = append(facts.packages, pkg)
	}
	return facts
}

// names lists the packages of a lock, sorted.
func (l *Locked) names() []string {
	var out []string
	for _, a := range l.Artifacts {
		out = append(out, a.Name)
	}
	for _, p := range l.Packages {
		out = append(out, p.Name)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// natives are packages that compile something when no built one can be downloaded, and the Debian packages that this takes.
func natives() map[string][]string {
	compiler := []string{"g++", "make", "python3", "python3-setuptools"} // the last for old releases of node-gyp, which import distutils
	with := func(more ...string) []string { return append(slices.Clone(compiler), more...) }
	return map[string][]string{
		"better-sqlite3": compiler, "sqlite3": compiler, "bcrypt": compiler, "node-pty": compiler, "cpu-features": compiler, "re2": compiler, "argon2": compiler, "node-sass": compiler,
		"canvas": with("libcairo2-dev", "libgif-dev", "libjpeg-dev", "libpango1.0-dev", "librsvg2-dev", "pkg-config"), "node-libcurl": with("libcurl4-openssl-dev"), "pg-native": with("libpq-dev"),
		"node-expat": compiler, "leveldown": compiler, "isolated-vm": compiler, "zeromq": compiler, "kerberos": with("libkrb5-dev"), "usb": with("libudev-dev"), "@serialport/bindings-cpp": compiler,
	}
}
