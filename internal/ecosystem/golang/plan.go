package golang

import (
	"cmp"
	"go/version"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"

	"headwater/internal/plan"
)

// Recogniser knows the go command.
type Recogniser struct{}

// Recognise implements plan.Recogniser.
func (Recogniser) Recognise(c plan.Command, s *plan.Stage) (bool, error) {
	if path.Base(c.Args[0]) != "go" || len(c.Args) < 2 {
		return false, nil
	}
	args := c.Args[1:]
	if args[0] == "-C" && len(args) > 2 {
		c.Dir, args = plan.Abs(c.Dir, args[1]), args[2:]
	}
	switch args[0] {
	case "build":
		return true, planBuild(c, s, args[1:])
	case "install":
		return true, planInstall(c, s, args[1:])
	case "run":
		s.Notes.Remark("the upstream's image runs a Go program while it is made: "+c.Text(), c.Evidence)
	case "generate":
		s.Notes.Remark("go generate is called; what it writes is taken as the tree has it", c.Evidence)
	}
	return true, nil // downloads, tests, questions: nothing that stands in the image
}

// call is what go build is told.
type call struct {
	out      string
	packages []string // as written
	options  map[string]any
}

func parseCall(args []string) call {
	k := call{options: map[string]any{}}
	for i := 0; i < len(args); i++ {
		name, value, inline := strings.Cut(strings.TrimPrefix(args[i], "-"), "=")
		name = strings.TrimPrefix(name, "-")
		if !strings.HasPrefix(args[i], "-") {
			k.packages = append(k.packages, args[i])
			continue
		}
		if !inline && slices.Contains([]string{
			"o", "ldflags", "tags", "mod", "modfile", "C", "p", "asmflags", "buildmode", "compiler", "gccgoflags", "gcflags", "installsuffix", "pgo", "pkgdir", "toolexec", "overlay", "buildvcs", "cover", "coverpkg",
		}, name) && i+1 < len(args) {
			if name == "cover" { // takes none
				continue
			}
			i++
			value = args[i]
		}
		switch name {
		case "o":
			k.out = value
		case "ldflags":
			if value = knownFlags(value); value != "" {
				k.options["ldflags"] = value
			}
		case "tags":
			k.tags(value)
		}
	}
	return k
}

// unknownValue is a variable that the linker is to set to what nobody knows who was not there: a commit, a date.
var unknownValue = regexp.MustCompile(`(?:^|\s)-X[ =](?:[\w./-]+=|'[\w./-]+='|"[\w./-]+=")(\s|$)`)

// knownFlags are the linker's without those; such a variable keeps what the source says.
func knownFlags(value string) string {
	for unknownValue.MatchString(value) {
		value = unknownValue.ReplaceAllString(value, "$1")
	}
	return strings.TrimSpace(value)
}

func (k *call) tags(list string) {
	tags, _ := k.options["tags"].([]string)
	for _, t := range strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(`, "'`, r) }) {
		if !slices.Contains(tags, t) {
			tags = append(tags, t)
		}
	}
	if len(tags) > 0 {
		k.options["tags"] = tags
	}
}

// planBuild makes a build of "go build".
func planBuild(c plan.Command, s *plan.Stage, args []string) error {
	k := parseCall(args)
	for _, f := range strings.Fields(c.Env["GOFLAGS"]) {
		if list, ok := strings.CutPrefix(strings.TrimLeft(f, "-"), "tags="); ok && strings.HasPrefix(f, "-") {
			k.tags(list)
		}
	}
	root, mod, ok := moduleAt(s, c.Dir)
	if !ok {
		s.Notes.Ask(plan.Question{About: "components", Ask: "go build is called in " + c.Dir + ", where no go.mod of the tree stands", Looked: []plan.Evidence{c.Evidence}, Main: true})
		return nil
	}
	packages := k.normal(s, c.Dir, root, mod)
	b := s.NewBuild("go", root, c.Evidence)
	b.Options = k.options
	b.Options["packages"] = packages
	cgo(c, s, b)
	planEnv(c, b)
	toolchainOf(s, b, mod)
	b.Needs = append(b.Needs, plan.Installed{Manager: "apt", Name: "unzip", Evidence: plan.Evidence{Rule: "unpacks the Go toolchain"}})
	if err := narrow(s, b, mod); err != nil {
		return err
	}
	unparsed(s, b, mod)
	k.outputs(c, s, b, packages, mod)
	b.Only = len(b.Outputs) > 0 // what else is made beside them, other commands make
	return nil
}

// normal is the packages seen from the module's folder; files become their folder, and import paths of the module's own packages theirs.
func (k call) normal(s *plan.Stage, dir, root string, mod moduleFile) []string {
	list := k.packages
	if len(list) == 0 {
		list = []string{"."}
	}
	var out []string
	for _, p := range list {
		if strings.HasSuffix(p, ".go") {
			p = "./" + path.Dir(p)
		}
		if rel, own := strings.CutPrefix(p+"/", mod.path+"/"); own && !strings.HasSuffix(p, "...") {
			if at := path.Join(root, rel); s.Files.Exists(at) && (rel == "" || !s.Files.Exists(path.Join(at, "go.mod"))) {
				p = at
			}
		}
		if p == "." || strings.HasPrefix(p, "./") || strings.HasPrefix(p, "../") || path.IsAbs(p) {
			rel := strings.TrimPrefix(strings.TrimPrefix(plan.Abs(dir, p), root), "/")
			if p = "./" + rel; rel == "" {
				p = "."
			}
		}
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// outputs says which files stand where: the one that -o names, in the folder that it names, or in the folder it was called in.
func (k call) outputs(c plan.Command, s *plan.Stage, b *plan.Build, packages []string, mod moduleFile) {
	for _, p := range packages {
		name := binary(p, mod.path)
		at := plan.Abs(c.Dir, name)
		switch {
		case strings.HasSuffix(p, "..."):
			if k.out != "" {
				s.Makes(b, plan.Output{At: plan.Abs(c.Dir, k.out), Inside: "bin"}, c.Evidence)
			}
			continue
		case strings.HasSuffix(k.out, "/") || k.out != "" && len(packages) > 1:
			at = path.Join(plan.Abs(c.Dir, k.out), name)
		case k.out != "":
			at = plan.Abs(c.Dir, k.out)
		}
		if b.Name == "" {
			b.Name = plan.ComponentName(path.Base(at))
		}
		s.Makes(b, plan.Output{At: at, Inside: "bin/" + name, File: true}, c.Evidence)
	}
}

// majorPattern is the end of an import path that is a major version.
var majorPattern = regexp.MustCompile(`^v[0-9]+$`)

// binary is the name that the go command gives a package's program.
func binary(pkg, modulePath string) string {
	p := pkg
	if p == "." {
		p = modulePath
	}
	name := path.Base(p)
	if majorPattern.MatchString(name) && strings.Contains(p, "/") {
		name = path.Base(path.Dir(p))
	}
	return name
}

func planInstall(c plan.Command, s *plan.Stage, args []string) error {
	for _, p := range parseCall(args).packages {
		if strings.Contains(p, "@") {
			s.Notes.Remark("the upstream's image installs the Go program "+p, c.Evidence)
			return nil
		}
		if p == "tool" { // all those that go.mod names (Go Modules Reference, "tool directive")
			s.Notes.Remark("the upstream's image installs the Go programs that go.mod names as tools", c.Evidence)
			return nil
		}
	}
	gobin := c.Env["GOBIN"]
	if gobin == "" {
		gobin = path.Join(cmp.Or(c.Env["GOPATH"], "/go"), "bin")
	}
	return planBuild(c, s, append([]string{"-o", gobin + "/"}, args...))
}

// moduleFile is what go.mod says.
type moduleFile struct {
	path   string
	file   *modfile.File
	inTree string
}

// maxModule is the largest go.mod that a plan reads, in bytes.
const maxModule = 1 << 20

// moduleAt finds the go.mod that a folder of a stage belongs to.
func moduleAt(s *plan.Stage, dir string) (root string, m moduleFile, ok bool) {
	for {
		if data, name, err := s.ReadFile(path.Join(dir, "go.mod")); err == nil && len(data) <= maxModule {
			f, err := modfile.Parse(name, data, nil)
			if err != nil { // what a later Go knows; reading it so leaves out more than that, toolchain for one
				f, err = modfile.ParseLax(name, data, nil)
			}
			if err != nil || f.Module == nil {
				return "", m, false
			}
			return dir, moduleFile{f.Module.Mod.Path, f, name}, true
		}
		if dir == "/" {
			return "", m, false
		}
		dir = path.Dir(dir)
	}
}

// cgo notes whether C is compiled: as CGO_ENABLED says, else if the image has a C compiler.
func cgo(c plan.Command, s *plan.Stage, b *plan.Build) {
	compiler := func(p plan.Installed) bool {
		return slices.Contains([]string{"gcc", "build-base", "build-essential", "clang", "musl-dev", "g++"}, p.Name)
	}
	on := c.Env["CGO_ENABLED"] == "1"
	if c.Env["CGO_ENABLED"] == "" {
		// Go's own image has a compiler, unless it is Alpine's; whether another has one, what is built in it tells.
		on = slices.ContainsFunc(s.Packages, compiler) || !strings.Contains(s.BaseImage(), "alpine") && usesC(s, b)
	}
	if !on {
		return
	}
	b.Options["cgo"] = true
	e := plan.Evidence{File: c.Evidence.File, Line: c.Evidence.Line, Rule: "cgo"}
	b.Needs = append(b.Needs, plan.Installed{Manager: "apt", Name: "gcc", Evidence: e}, plan.Installed{Manager: "apt", Name: "libc6-dev", Evidence: e})
}

// usesC tells whether go.sum names a module that is known to be C behind a Go interface. Without a compiler such modules build, and
// fail when they are used.
func usesC(s *plan.Stage, b *plan.Build) bool {
	data, _, err := s.ReadFile(path.Join(b.Dir, "go.mod"))
	return err == nil && strings.Contains(string(data), "/go-sqlite3 ")
}

// planEnv keeps the variables that decide what compiling gives and are the recipe's to set.
func planEnv(c plan.Command, b *plan.Build) {
	for _, name := range slices.Sorted(maps.Keys(toolEnv(c.Env))) {
		if _, taken := reserved[name]; taken || c.Env[name] == "" || slices.Contains([]string{"GOOS", "GOARCH", "GOARM", "GOAMD64", "GO_VERSION", "GOLANG_VERSION", "GOPRIVATE"}, name) {
			continue
		}
		b.Env[name] = c.Env[name]
	}
}

// imagePattern is Go's own image, with its version if it is of one.
var imagePattern = regexp.MustCompile(`(?:^|/)golang(?::([0-9]+(?:\.[0-9]+){0,2}))?(?:[:@-]|$)`)

// builderTag is the tag of another image in which Go is called, where it begins as Go's versions do: images to build in are named after them.
var builderTag = regexp.MustCompile(`:(1\.[12][0-9](?:\.[0-9]+)?)(?:[@-]|$)`)

// toolchainOf notes the version of Go: that of the image or, if go.mod asks for a later one, which Go then fetches by itself, that. An image of no
// version has the newest Go, for which the one in go.mod is the least: its newest release is taken.
func toolchainOf(s *plan.Stage, b *plan.Build, m moduleFile) {
	best, image, e := plan.Version{}, s.BaseImage(), s.Evidence
	if o, at := s.Files.Lookup("/usr/local/go"); o.Kind == plan.Image { // copied out of another image
		image, e = o.Ref, at
	}
	if found := imagePattern.FindStringSubmatch(image); found != nil && found[1] != "" {
		best = plan.Version{Value: found[1], Evidence: e}
	} else if found != nil && m.file.Go != nil && version.IsValid("go"+m.file.Go.Version) {
		best = plan.Version{Value: strings.TrimPrefix(version.Lang("go"+m.file.Go.Version), "go"), Evidence: plan.Evidence{
			File: m.inTree, Line: m.file.Go.Syntax.Start.Line, Rule: "the least that it is built with; the image has the newest",
		}}
	} else if found := builderTag.FindStringSubmatch(s.BaseImage()); found != nil {
		best = plan.Version{Value: found[1], Evidence: plan.Evidence{File: s.Evidence.File, Line: s.Evidence.Line, Rule: "an image to build in, of Go " + found[1] + " by its tag"}}
	}
	ask := func(v string, line int) {
		v = strings.TrimPrefix(v, "go")
		if !version.IsValid("go" + v) {
			return
		}
		// "1.26" of an image is the newest 1.26, so it satisfies 1.26.3.
		if best.Value == "" || version.Compare("go"+v, "go"+best.Value) > 0 && !strings.HasPrefix(v, best.Value) {
			best = plan.Version{Value: v, Evidence: plan.Evidence{File: m.inTree, Line: line}}
		}
	}
	if m.file.Go != nil {
		ask(m.file.Go.Version, m.file.Go.Syntax.Start.Line)
	}
	if m.file.Toolchain != nil {
		ask(m.file.Toolchain.Name, m.file.Toolchain.Syntax.Start.Line)
	}
	b.Toolchains["go"] = best
}

// narrow selects the files that the packages need: the folders at the module's top that own packages are in, and what they embed. A
// program whose packages the tree does not show, or that is copied in selected parts, sees what stands in its stage.
func narrow(s *plan.Stage, b *plan.Build, mod moduleFile) error {
	src, ok := s.SourceOf(b.Dir)
	whole := ok
	if !ok {
		if src, ok = s.SourceOf(path.Join(b.Dir, "go.mod")); !ok {
			return nil
		}
		src = path.Dir(src)
	}
	folders, embed, ok := ownFolders(s, src, b)
	if !ok {
		return nil
	}
	if err := embeds(s, b, src, embed); err != nil {
		return err
	}
	b.Before = s.Files.Clone()
	if !whole || s.Tree.Has(path.Join(src, "go.work")) { // whose modules may be anywhere
		return nil
	}
	patterns := []string{path.Join(src, "go.mod"), path.Join(src, "go.sum")}
	if s.Tree.HasDir(path.Join(src, "vendor")) {
		patterns = append(patterns, path.Join(src, "vendor"))
	}
	patterns = append(patterns, replaced(s, src, mod)...)
	for _, dir := range folders {
		p := path.Join(src, dir)
		if dir == "." {
			p = path.Join(src, "*.go")
		}
		patterns = append(patterns, p)
	}
	b.Sources = patterns
	return nil
}

// replaced are the folders of the tree that stand in for modules which the main one requires.
func replaced(s *plan.Stage, src string, m moduleFile) (folders []string) {
	for _, r := range m.file.Replace {
		at := path.Join(src, r.New.Path)
		required := slices.ContainsFunc(m.file.Require, func(q *modfile.Require) bool { return q.Mod.Path == r.Old.Path })
		if modfile.IsDirectoryPath(r.New.Path) && !path.IsAbs(r.New.Path) && required && at != "." && s.Tree.HasDir(at) {
			folders = append(folders, at)
		}
	}
	return folders
}

// unparsed lists the modules that go.mod requires directly and no file of the tree imports: generated code does, so their packages are
// compiled with the dependencies.
func unparsed(s *plan.Stage, b *plan.Build, m moduleFile) {
	products := slices.ContainsFunc(s.Files.Inside(b.Dir), func(p plan.Placement) bool { return p.Origin.Kind == plan.Product })
	if !products {
		return
	}
	src, ok := s.SourceOf(b.Dir)
	if !ok {
		return
	}
	var text strings.Builder
	for _, f := range s.Tree.Below(src) {
		if strings.HasSuffix(f, ".go") {
			if data, err := s.Tree.Read(f); err == nil {
				text.Write(data)
			}
		}
	}
	var imports []string
	for _, r := range m.file.Require {
		if !r.Indirect && !strings.Contains(text.String(), `"`+r.Mod.Path) {
			imports = append(imports, r.Mod.Path)
		}
	}
	if len(imports) > 0 {
		b.Options["imports"] = imports
	}
}
