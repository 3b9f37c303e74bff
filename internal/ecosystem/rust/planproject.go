package rust

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"headwater/internal/plan"
	"headwater/internal/recipe"
)

// project is a workspace of the tree as it stands in a stage.
type project struct {
	*workspace
	fsys fs.FS
	src  string // folder in the tree that cargo is called for
	dir  string // the same, absolute in the stage
	top  string // the workspace's, absolute in the stage
}

// projectAt reads the workspace that a folder of a stage belongs to; what hinders that is a question.
func projectAt(c plan.Command, s *plan.Stage, dir string) (project, bool) {
	asked := dir
	manifest, ok := manifestAt(s, dir)
	for !ok && dir != "/" { // cargo takes the nearest
		dir = path.Dir(dir)
		manifest, ok = manifestAt(s, dir)
	}
	if !ok {
		s.Notes.Ask(plan.Question{About: "components", Ask: "cargo is called in " + asked + ", where no Cargo.toml of the tree stands", Looked: []plan.Evidence{c.Evidence}, Main: true})
		return project{}, false
	}
	src := path.Dir(manifest)
	p := project{fsys: s.Tree.FS(), src: src, dir: dir}
	var err error
	if p.workspace, err = readWorkspace(p.fsys, recipe.Component{Dir: src}); err != nil {
		s.Notes.Ask(plan.Question{About: "components", Ask: "what cargo builds in " + dir + " is not known: " + err.Error(), Looked: []plan.Evidence{c.Evidence}, Main: true})
		return project{}, false
	}
	p.top = dir
	if rel, ok := strings.CutPrefix(dir, "/"); ok && src != p.Top {
		below := strings.TrimPrefix(strings.TrimPrefix(src, p.Top), "/") // the folder, seen from the workspace's top
		p.top = path.Clean("/" + strings.TrimSuffix(rel, below))
	}
	return p, true
}

// manifestAt is the Cargo.toml of the tree that stands in a folder of a stage.
func manifestAt(s *plan.Stage, dir string) (name string, ok bool) {
	name, ok = s.SourceOf(path.Join(dir, "Cargo.toml"))
	return name, ok && s.Tree.Has(name)
}

// build is a build at the workspace's top.
func (p project) build(c plan.Command, s *plan.Stage, k call) *plan.Build {
	b := s.NewBuild("rust", p.top, c.Evidence)
	b.Only = true
	b.Options = k.options
	if k.profile != "release" {
		b.Options["profile"] = k.profile
	}
	packages := k.packages
	if len(packages) == 0 && p.src != p.Top && !k.all {
		if name := text(table(p.Members[p.src], "package"), "name"); name != "" {
			packages = []string{name}
		}
	}
	if k.all {
		packages = p.names()
	}
	if len(packages) > 0 {
		b.Options["packages"] = packages
	}
	if len(k.bins) > 0 {
		b.Options["bins"] = k.bins
	}
	b.Name = p.title(k)
	p.target(c, s, k, b)
	p.environment(c, s, b)
	p.needs(s, b)
	p.fromGit(s)
	return b
}

// title is what the component is called: like a program that has the name of its package, else like the first program or package.
func (p project) title(k call) string {
	var packages []string
	for _, dir := range p.selected(k) {
		packages = append(packages, text(table(p.Members[dir], "package"), "name"))
	}
	programs := p.programs(k)
	for _, n := range programs {
		if slices.Contains(packages, n) {
			return plan.ComponentName(n + ".x")
		}
	}
	if list := slices.Concat(programs, packages); len(list) > 0 {
		return plan.ComponentName(list[0] + ".x")
	}
	return ""
}

// target notes what is compiled for.
func (p project) target(c plan.Command, s *plan.Stage, k call, b *plan.Build) {
	need := func(names ...string) {
		for _, n := range names {
			b.Needs = append(b.Needs, plan.Installed{Manager: "apt", Name: n, Evidence: plan.Evidence{Rule: "Rust is built by Debian's cargo and rustc"}})
		}
	}
	need("cargo", "rustc")
	switch t := k.triple(c); {
	case t == wasm:
		b.Options["target"] = wasm
		need("libstd-rust-dev-wasm32", "lld")
		return
	case strings.HasPrefix(t, "wasm"):
		s.Notes.Ask(plan.Question{About: "components", Ask: "the target " + t + " is not supported", Looked: []plan.Evidence{c.Evidence}})
	case t != "" && t != "x86_64-unknown-linux-gnu":
		s.Notes.Remark("the target "+t+" is replaced by x86_64-unknown-linux-gnu: the programs need the C library of the root they run in", c.Evidence)
	}
	for _, n := range []string{"libc6", "libgcc-s1"} {
		b.RunNeeds = append(b.RunNeeds, plan.Installed{Manager: "apt", Name: n, Evidence: plan.Evidence{Rule: "Rust programs need it"}})
	}
}

// selected are the folders of the packages that a call builds (The Cargo Book, "cargo build", "Package Selection").
func (p project) selected(k call) []string {
	var all []string
	for _, dir := range slices.Sorted(maps.Keys(p.Members)) {
		if table(p.Members[dir], "package") != nil {
			all = append(all, dir)
		}
	}
	if len(k.packages) > 0 {
		return slices.DeleteFunc(all, func(d string) bool { return !slices.Contains(k.packages, text(table(p.Members[d], "package"), "name")) })
	}
	if k.all {
		return all
	}
	if p.src != p.Top {
		return []string{p.src}
	}
	if list := texts(table(p.Members[p.Top], "workspace"), "default-members"); len(list) > 0 {
		return slices.DeleteFunc(all, func(d string) bool {
			return !slices.ContainsFunc(list, func(pattern string) bool {
				ok, err := path.Match(path.Join(p.Top, pattern), d)
				return err == nil && ok
			})
		})
	}
	if table(p.Members[p.Top], "package") != nil {
		return []string{p.Top}
	}
	return all
}

// programs are the programs that a call makes, sorted.
func (p project) programs(k call) []string {
	if len(k.bins) > 0 {
		return slices.Sorted(slices.Values(k.bins))
	}
	if k.options["lib"] == true {
		return nil
	}
	var out []string
	for _, dir := range p.selected(k) {
		m := p.Members[dir]
		named := map[string]bool{} // paths that have a name of their own
		bins, _ := m["bin"].([]map[string]any)
		for _, b := range bins {
			named[path.Join(dir, text(b, "path"))] = true
			if n := text(b, "name"); n != "" {
				out = append(out, n)
			}
		}
		if table(m, "package")["autobins"] == false {
			continue
		}
		for _, pattern := range []string{"src/main.rs", "src/bin/*.rs", "src/bin/*/main.rs"} {
			found, err := fs.Glob(p.fsys, path.Join(globLiteral(dir), pattern))
			if err != nil {
				continue // a pattern of ours in a folder's literal name: always well-formed
			}
			for _, f := range found {
				name := strings.TrimSuffix(path.Base(f), ".rs")
				switch {
				case named[f]:
					continue
				case pattern == "src/main.rs":
					name = text(table(m, "package"), "name")
				case name == "main":
					name = path.Base(path.Dir(f))
				}
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// environment keeps the variables that decide what compiling gives and are the recipe's to set.
func (p project) environment(c plan.Command, s *plan.Stage, b *plan.Build) {
	asked := p.asked(s.Tree)
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		if _, taken := reserved()[name]; taken || c.Env[name] == "" {
			continue
		}
		prefixed := slices.ContainsFunc([]string{"CARGO_PROFILE_", "CARGO_FEATURE_", "PKG_CONFIG", "OPENSSL_", "SQLX_", "LIBSQLITE3_", "PROTOC"}, func(x string) bool { return strings.HasPrefix(name, x) })
		if prefixed || asked[name] || slices.Contains([]string{"RUSTFLAGS", "RUSTC_BOOTSTRAP", "CFLAGS", "CXXFLAGS", "CC", "CXX"}, name) {
			b.Env[name] = c.Env[name]
		}
	}
}

var (
	// compiledIn are the variables whose values are compiled into a program, buildAsks those that a build script asks for.
	compiledIn = regexp.MustCompile(`\benv!\(\s*"([A-Z][A-Z0-9_]*)"`)
	buildAsks  = regexp.MustCompile(`\bvar(?:_os)?\(\s*"([A-Z][A-Z0-9_]*)"`)
)

// asked are the variables of the environment that the workspace's sources ask for while they are compiled. CARGO_… are cargo's to set.
func (p project) asked(t *plan.Tree) map[string]bool {
	found, _ := t.Once("rust variables of "+p.Top, func() (any, error) {
		names := map[string]bool{}
		for _, f := range t.Below(p.Top) {
			if path.Ext(f) != ".rs" {
				continue
			}
			data, err := t.Read(f)
			if err != nil {
				continue // the build will say so
			}
			patterns := []*regexp.Regexp{compiledIn}
			if path.Base(f) == "build.rs" {
				patterns = append(patterns, buildAsks)
			}
			for _, pattern := range patterns {
				for _, m := range pattern.FindAllSubmatch(data, -1) {
					names[string(m[1])] = true
				}
			}
		}
		for _, every := range []string{"HOME", "PATH", "USER", "LANG", "TERM", "TMPDIR", "OUT_DIR", "TARGET", "HOST", "PROFILE"} {
			delete(names, every) // every build has its own
		}
		return names, nil
	})
	names, _ := found.(map[string]bool)
	return names
}

// suites are Debian's releases with the Rust that each has.
func suites() []struct{ release, rust string } {
	return []struct{ release, rust string }{{"trixie", "1.85"}, {"forky", "1.97"}}
}

// imagePattern is Rust's own image with a version.
var imagePattern = regexp.MustCompile(`(?:^|/)rust:([0-9]+\.[0-9]+(?:\.[0-9]+)?)`)

// newestPattern is Rust's own image without one.
var newestPattern = regexp.MustCompile(`(?:^|/)rust(?::(?:latest|slim|bookworm|trixie|alpine|slim-bookworm|slim-trixie))?$`)

// needs notes the release that has the Rust that is asked for, and what crates need that are bound to a system's library.
func (p project) needs(s *plan.Stage, b *plan.Build) {
	wanted, file, err := p.wanted(p.fsys)
	e := plan.Evidence{File: file, Rule: "asks for Rust " + wanted}
	if err != nil {
		s.Notes.Ask(plan.Question{About: "roots", Ask: "which Rust is it built with? " + err.Error(), Looked: []plan.Evidence{e}})
	}
	if m := imagePattern.FindStringSubmatch(s.BaseImage()); m != nil && compareRust(m[1], wanted) > 0 {
		wanted, e = m[1], plan.Evidence{File: s.Evidence.File, Line: s.Evidence.Line, Rule: "the image has Rust " + m[1]}
	}
	if wanted != "" {
		b.Evidence = append(b.Evidence, e)
	}
	list := suites()
	i := slices.IndexFunc(list, func(r struct{ release, rust string }) bool {
		return compareRust(cmp.Or(minorOf(wanted), "0.0"), r.rust) <= 0
	})
	if newestPattern.MatchString(s.BaseImage()) && i == 0 {
		s.Notes.Remark(fmt.Sprintf("the image has the newest Rust; Debian trixie's %s is taken, and %s has %s, if crates ask for a later one", list[0].rust, list[len(list)-1].release, list[len(list)-1].rust),
			plan.Evidence{File: s.Evidence.File, Line: s.Evidence.Line})
	}
	switch {
	case i > 0:
		b.Release = list[i].release
		s.Notes.Remark(fmt.Sprintf("Rust %s is asked for; Debian trixie has 1.85, so it is built in %s", wanted, list[i].release), e)
	case i < 0:
		b.Release = list[len(list)-1].release
		s.Notes.Ask(plan.Question{About: "roots", Ask: fmt.Sprintf("no Debian suite is known to have Rust %s; %s has the latest", wanted, b.Release), Looked: []plan.Evidence{e}})
	}
	for _, pkg := range p.Packages {
		for _, need := range systemCrates()[pkg.Name] {
			b.Needs = append(b.Needs, plan.Installed{Manager: "apt", Name: need, Evidence: plan.Evidence{File: path.Join(p.Top, "Cargo.lock"), Rule: "has the crate " + pkg.Name}})
		}
	}
}

// minorOf is a version's first two numbers.
func minorOf(v string) string {
	parts := strings.SplitN(v, ".", 3)
	return strings.Join(parts[:min(len(parts), 2)], ".")
}

// systemCrates are the Debian packages that crates need to be compiled, by the crate's name.
func systemCrates() map[string][]string {
	return map[string][]string{
		"openssl-sys": {"libssl-dev", "pkg-config"}, "openssl-src": {"perl", "make"}, "pq-sys": {"libpq-dev"}, "mysqlclient-sys": {"default-libmysqlclient-dev"},
		"aws-lc-sys": {"cmake"}, "libz-ng-sys": {"cmake"}, "rdkafka-sys": {"cmake", "make"}, "prost-build": {"protobuf-compiler"}, "protobuf-src": {"cmake"},
		"clang-sys": {"libclang-dev"}, "libdbus-sys": {"libdbus-1-dev", "pkg-config"}, "alsa-sys": {"libasound2-dev", "pkg-config"}, "libudev-sys": {"libudev-dev", "pkg-config"},
	}
}

// fromGit names the git repositories that are asked when it is locked.
func (p project) fromGit(s *plan.Stage) {
	for _, pkg := range p.Packages {
		if pkg.Git != nil {
			s.Notes.Remark(fmt.Sprintf("crates come from the git repository %s, at %s", pkg.Git.URL, pkg.Git.Commit), plan.Evidence{File: path.Join(p.Top, "Cargo.lock")})
		}
	}
}
