package rust

import (
	"maps"
	"path"
	"slices"
	"strings"

	"headwater/internal/plan"
	"headwater/internal/recipe"
)

// Recogniser knows cargo and the tools around it.
type Recogniser struct{}

// Recognise implements plan.Recogniser.
func (Recogniser) Recognise(c plan.Command, s *plan.Stage) (bool, error) {
	switch path.Base(c.Args[0]) {
	case "cargo":
		return planCargo(c, s)
	case "wasm-pack":
		return true, planWasmPack(c, s)
	case "trunk":
		return planTrunk(c, s)
	case "rustup", "rustc", "rustfmt", "sccache", "cargo-binstall":
		return true, nil // toolchains are of the root
	}
	return false, nil
}

// Review asks where a program that ships is compiled as for development: that is cargo's default, and may have been the upstream's for trying only.
func (Recogniser) Review(_ *plan.Tree, r *recipe.Recipe, notes *plan.Notes) {
	for _, name := range slices.Sorted(maps.Keys(r.Components)) {
		if c := r.Components[name]; c.Ecosystem == "rust" && c.Options["profile"] == "dev" {
			about := "components." + name + ".options.profile"
			notes.Ask(plan.Question{About: about, Ask: "by default the upstream's image has the program compiled for development, without optimising; is that what ships?"})
		}
	}
}

func planCargo(c plan.Command, s *plan.Stage) (bool, error) {
	args := c.Args[1:]
	for len(args) > 0 && (strings.HasPrefix(args[0], "+") || strings.HasPrefix(args[0], "-")) {
		if args[0] == "-C" && len(args) > 1 {
			c.Dir, args = plan.Abs(c.Dir, args[1]), args[1:]
		}
		args = args[1:]
	}
	if len(args) == 0 {
		return true, nil
	}
	if slices.Contains([]string{"auditable", "zigbuild"}, args[0]) { // build, with a note in the program or with another linker
		if args[0] == "auditable" {
			args = args[1:]
		} else {
			args = append([]string{"build"}, args[1:]...)
		}
	}
	if len(args) == 0 {
		return true, nil
	}
	switch args[0] {
	case "build", "b":
		return true, planBuild(c, s, parseCall(args[1:]))
	case "rustc":
		own := args[1:]
		if i := slices.Index(own, "--"); i >= 0 {
			s.Notes.Remark("arguments to rustc are left out: "+strings.Join(own[i+1:], " "), c.Evidence)
			own = own[:i]
		}
		return true, planBuild(c, s, parseCall(own))
	case "install":
		return true, planInstall(c, s, parseCall(args[1:]))
	case "run", "r":
		s.Notes.Remark("the upstream's image runs a Rust program while it is made: "+c.Text(), c.Evidence)
		return true, nil
	case "chef":
		planChef(c, s, args[1:])
		return true, nil
	case "fetch", "vendor", "check", "c", "clippy", "fmt", "test", "t", "bench", "clean", "update", "generate-lockfile", "metadata", "tree", "init", "new",
		"binstall", "version", "help", "search", "login", "config", "nextest", "audit", "deny", "sqlx", "doc", "add", "remove", "cache", "set-version", "locate-project", "pkgid":
		return true, nil // nothing that stands in the image
	}
	return false, nil // a task or a tool of the project's own
}

// planChef places the list of dependencies that cargo-chef makes: other stages copy it, to compile dependencies apart, which is done anyway.
func planChef(c plan.Command, s *plan.Stage, args []string) {
	if len(args) == 0 || args[0] != "prepare" {
		return
	}
	file := "recipe.json"
	for i, a := range args {
		if v, ok := strings.CutPrefix(a, "--recipe-path="); ok {
			file = v
		} else if a == "--recipe-path" && i+1 < len(args) {
			file = args[i+1]
		}
	}
	s.Files.Place(plan.Abs(c.Dir, file), plan.Origin{Kind: plan.Empty}, c.Evidence)
}

// call is what cargo build or install is told.
type call struct {
	options  map[string]any
	packages []string
	bins     []string
	manifest string
	target   string // the triple, as written
	dir      string // --target-dir
	path     string // install --path
	root     string // install --root
	names    []string
	all      bool // the whole workspace
	profile  string
}

func parseCall(args []string) call {
	k := call{options: map[string]any{}}
	for i := 0; i < len(args); i++ {
		name, value, inline := strings.Cut(args[i], "=")
		if !strings.HasPrefix(name, "-") {
			k.names = append(k.names, args[i])
			continue
		}
		if len(name) > 2 && name[1] != '-' && strings.ContainsRune("pFjZ", rune(name[1])) { // -pNAME
			name, value, inline = args[i][:2], args[i][2:], true
		}
		valued := slices.Contains([]string{
			"-p", "--package", "--bin", "-F", "--features", "--profile", "--target", "--target-dir", "--manifest-path", "--path", "--root", "-j", "--jobs", "--exclude", "--example", "--test",
			"--bench", "--color", "--message-format", "--config", "-Z", "--git", "--branch", "--tag", "--rev", "--version", "--vers", "--index", "--registry", "--artifact-dir", "--out-dir",
		}, name)
		if valued && !inline && i+1 < len(args) {
			i++
			value = args[i]
		}
		k.option(name, value)
	}
	return k
}

func (k *call) option(name, value string) {
	switch name {
	case "-p", "--package":
		value, _, _ = strings.Cut(value, "@")
		k.packages = append(k.packages, value)
	case "--bin":
		k.bins = append(k.bins, value)
	case "--lib":
		k.options["lib"] = true
	case "-F", "--features":
		old, _ := k.options["features"].([]string)
		k.options["features"] = append(old, strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })...)
	case "--all-features", "--no-default-features":
		k.options[strings.TrimPrefix(name, "--")] = true
	case "-r", "--release":
		k.profile = "release"
	case "--profile":
		k.profile = value
	case "--debug":
		k.profile = "dev"
	case "--target":
		k.target = value
	case "--target-dir":
		k.dir = value
	case "--manifest-path":
		k.manifest = value
	case "--path":
		k.path = value
	case "--root":
		k.root = value
	case "--workspace", "--all":
		k.all = true
	case "--git":
		k.names = append(k.names, value)
	}
}

// planBuild makes a build of "cargo build".
func planBuild(c plan.Command, s *plan.Stage, k call) error {
	dir := c.Dir
	if k.manifest != "" {
		dir = path.Dir(plan.Abs(c.Dir, k.manifest))
	}
	if k.profile == "" {
		k.profile = "dev"
	}
	p, ok := projectAt(c, s, dir)
	if !ok {
		return nil
	}
	b := p.build(c, s, k)
	target := path.Join(p.top, "target")
	for _, v := range []string{c.Env["CARGO_BUILD_TARGET_DIR"], c.Env["CARGO_TARGET_DIR"], k.dir} {
		if v != "" {
			target = plan.Abs(c.Dir, v)
		}
	}
	place := options{Profile: k.profile, Target: k.triple(c)}.folder()
	b.Before.Remove(path.Join(p.top, "target"))
	b.Before.Remove(target)
	for _, name := range p.programs(k) {
		if k.triple(c) == wasm {
			s.Makes(b, plan.Output{At: path.Join(target, place, name+".wasm"), Inside: "wasm/" + name + ".wasm", File: true}, c.Evidence)
			continue
		}
		s.Makes(b, plan.Output{At: path.Join(target, place, name), Inside: "bin/" + name, File: true}, c.Evidence)
	}
	return nil
}

// planInstall makes a build of "cargo install --path".
func planInstall(c plan.Command, s *plan.Stage, k call) error {
	if k.path == "" {
		if len(k.names) > 0 {
			s.Notes.Remark("the upstream's image installs the Rust program "+strings.Join(k.names, ", "), c.Evidence)
		}
		return nil
	}
	if k.profile == "" {
		k.profile = "release"
	}
	p, ok := projectAt(c, s, plan.Abs(c.Dir, k.path))
	if !ok {
		return nil
	}
	b := p.build(c, s, k)
	root := "/usr/local/cargo"
	for _, v := range []string{c.Env["CARGO_HOME"], c.Env["CARGO_INSTALL_ROOT"], k.root} {
		if v != "" {
			root = plan.Abs(c.Dir, v)
		}
	}
	for _, name := range p.programs(k) {
		s.Makes(b, plan.Output{At: path.Join(root, "bin", name), Inside: "bin/" + name, File: true}, c.Evidence)
	}
	return nil
}

// triple is the target as the command or its environment says it.
func (k call) triple(c plan.Command) string {
	if k.target != "" {
		return k.target
	}
	return c.Env["CARGO_BUILD_TARGET"]
}

// planWasmPack makes a build of "wasm-pack build".
func planWasmPack(c plan.Command, s *plan.Stage) error {
	if len(c.Args) < 2 || c.Args[1] != "build" {
		return nil // tests, its version
	}
	dir, out, bindgen, name := c.Dir, "pkg", "bundler", ""
	k := call{options: map[string]any{"lib": true}, profile: "release", target: wasm}
	args := c.Args[2:]
	for i := 0; i < len(args); i++ {
		flag, value, inline := strings.Cut(args[i], "=")
		if slices.Contains([]string{"-t", "--target", "-d", "--out-dir", "--out-name", "-s", "--scope", "-m", "--mode", "--profile"}, flag) && !inline && i+1 < len(args) {
			i++
			value = args[i]
		}
		switch flag {
		case "-t", "--target":
			bindgen = value
		case "-d", "--out-dir":
			out = value
		case "--out-name":
			name = value
		case "--dev", "--debug":
			k.profile = "dev"
		case "--profile":
			k.profile = value
		case "--":
			rest := parseCall(args[i+1:])
			rest.options["lib"], rest.profile, rest.target = true, k.profile, wasm
			k, i = rest, len(args)
		default:
			if !strings.HasPrefix(flag, "-") {
				dir = plan.Abs(c.Dir, args[i])
			}
		}
	}
	p, ok := projectAt(c, s, dir)
	if !ok {
		return nil
	}
	k.options["bindgen"] = bindgen
	if name != "" {
		k.options["bindgen-name"] = name
	}
	b := p.build(c, s, k)
	b.Dir = p.dir // where its folder is made
	b.Before.Remove(path.Join(p.top, "target"))
	s.Notes.Remark("wasm-pack's work is done by cargo and wasm-bindgen: the package.json that it adds and its optimising are left out", c.Evidence)
	s.Makes(b, plan.Output{At: plan.Abs(dir, out), Inside: "pkg"}, c.Evidence)
	return nil
}

// planTrunk says what is not known of "trunk build".
func planTrunk(c plan.Command, s *plan.Stage) (bool, error) {
	if len(c.Args) > 1 && c.Args[1] == "build" {
		s.Notes.Ask(plan.Question{
			About: "components", Ask: "trunk bundles the web pages in " + c.Dir + ", which is not supported; which commands make them from the output of wasm-bindgen?", Looked: []plan.Evidence{c.Evidence},
		})
		return false, nil
	}
	return true, nil
}
