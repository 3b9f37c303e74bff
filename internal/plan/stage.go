package plan

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Stage is one stage of an image's making: what stands where, and what was done to it, up to one instruction.
type Stage struct {
	Name     string
	Base     string // reference of the image it is made from, if that is not built from this tree
	Parent   *Stage // the stage it is made from, else
	Evidence Evidence

	Env      map[string]string
	Dir      string // working directory, absolute
	User     string
	Accounts Accounts
	Files    *Files
	Packages []Installed
	Builds   []*Build // in this stage; see all
	Config   Config

	// Owned lists the folders and files that are given to another user, which is who runs the service.
	Owned     []Owned
	downloads []string // addresses, in order
	// from are the stages that are copied from.
	from []*Stage

	ran []ran // in this stage
	// tells are the files by which what runs here tells its surroundings something, by absolute path: what is written to them is kept.
	tells map[string]*toldFile
	// contexts are the folders that were copied out of a build context.
	contexts []fromContext

	// Unrecognised lists the commands that nobody knew.
	Unrecognised []Command
	// Missing lists what was to be copied and is nowhere.
	Missing []Missing

	*shared
	args  map[string]string
	depth int // of scripts that call scripts
}

// shared is what all stages of a plan have in common.
type shared struct {
	Tree        *Tree
	Notes       *Notes
	Release     string // as the operator named it, or the tree
	recognisers []Recogniser
	commands    int // run so far, over all stages
	tasks       int // called so far, of Taskfiles
}

// Installed is a distribution's package that a stage installs.
type Installed struct {
	Manager  string // "apt", "apk", "dnf"
	Name     string
	Evidence Evidence
	Group    string // the name by which it may be taken away again with others; "" for none
}

// Missing is something that an instruction copies though nothing makes it.
type Missing struct {
	Path     string // absolute in the stage that is copied from, or relative to the tree
	From     string // name of that stage; "" means the tree
	Evidence Evidence
}

// Config is what an image says of how it is run. Each value has the evidence of the same key.
type Config struct {
	Entrypoint, Cmd []string
	Ports           []int
	Volumes         []string
	Health          []string // command
	Labels          map[string]string
	Evidence        map[string]Evidence // by "entrypoint", "cmd", "user", "workdir", "health", "port 80", "volume /x", "env X"
}

// Build is what an ecosystem's tools make in one folder of a stage.
type Build struct {
	Ecosystem  string // name of the ecosystem in a recipe
	Name       string // of the component; the plan gives one where this is ""
	Dir        string // absolute: the project's folder in its stage
	Folder     string // the project's folder in the tree, where what stands at Dir does not say it
	At         string // absolute: where the tree's top must stand, for a build that bakes its place in; "" is anywhere
	Stage      *Stage
	Before     *Files            // what stood where before it
	Commands   []Command         // what is run, in Dir unless they say otherwise; empty means what the ecosystem does by itself
	Outputs    []Output          // what it is told to make; besides these it may make anything below Dir
	Env        map[string]string // of its commands, beyond what the ecosystem sets
	Options    map[string]any    // the ecosystem's own, as in a recipe
	Toolchains map[string]Version
	Release    string      // the Debian release of its root; "" is the one that goes with its interpreter and its stage's image
	Needs      []Installed // what it needs of a distribution beyond what its stage installs
	RunNeeds   []Installed // what its outputs need of a distribution where they are run
	Programs   []string    // executables that its outputs bring, as far as the tree tells
	Sources    []string    // globs of the files it sees, from the tree's top; nil means what stands below Dir
	Named      []string    // what its files name outside of Dir, from the tree's top: of other builds' products there it sees these and what Sources say. nil means that nobody looked
	Only       bool        // it makes nothing but its outputs
	Passed     bool        // its outputs are for a later command of the ecosystem to take up, and no component's: wheels, an exported lock
	Rewrites   bool        // what it runs may write where the source stands too: a folder below Dir is then what it leaves there
	Alone      bool        // it sees Sources and nothing else that stands in its stage
	Evidence   []Evidence
}

// Output is something that a build is told to make.
type Output struct {
	At     string // absolute, in the stage
	Inside string // where it is in the component's output; "" means that the recipe's output says so, by the path below Dir
	File   bool   // not a folder
	// Whole says that it is of use only as a whole and at its own place, such as a Python environment: who has a part of it has it all.
	Whole bool
}

// Version is a toolchain's, as exactly as the tree says it: "1.26.8", "24".
type Version struct {
	Value    string
	Evidence Evidence
}

// child makes a stage on top of s.
func (s *Stage) child(name string, e Evidence) *Stage {
	c := *s
	c.Name, c.Parent, c.Evidence = name, s, e
	c.Base, c.Builds, c.ran, c.Unrecognised, c.Missing = "", nil, nil, nil, nil
	c.Env, c.args, c.Files = maps.Clone(s.Env), maps.Clone(s.args), s.Files.Clone() // arguments are inherited (Dockerfile reference, "Scope")
	c.Packages, c.Accounts, c.Owned, c.from = slices.Clone(s.Packages), s.Accounts.clone(), slices.Clone(s.Owned), nil
	c.Config.Labels, c.Config.Evidence = maps.Clone(s.Config.Labels), maps.Clone(s.Config.Evidence)
	return &c
}

// AllBuilds lists the builds of the stage and of those it is made from, in order.
func (s *Stage) AllBuilds() []*Build {
	if s.Parent == nil {
		return s.Builds
	}
	return slices.Concat(s.Parent.AllBuilds(), s.Builds)
}

// AnyUnknown tells whether a command of the stage, or of one that it is made from, is known to nobody: it may have made anything.
func (s *Stage) AnyUnknown() bool {
	return len(s.Unrecognised) > 0 || s.Parent != nil && s.Parent.AnyUnknown()
}

// BaseImage is the image at the bottom.
func (s *Stage) BaseImage() string {
	for s.Parent != nil {
		s = s.Parent
	}
	return s.Base
}

// Abs makes a path absolute, seen from a folder.
func Abs(dir, p string) string {
	if path.IsAbs(p) {
		return path.Clean(p)
	}
	return path.Join(dir, p)
}

// SourceOf tells which path of the tree stands at an absolute path.
func (s *Stage) SourceOf(abs string) (string, bool) {
	o, _ := s.Files.Lookup(abs)
	return o.Path, o.Kind == Source
}

// belowSource tells whether a folder above a path is the tree's: what is missing there is not its image's.
func (s *Stage) belowSource(abs string) bool {
	for abs != "/" {
		abs = path.Dir(abs)
		if _, ok := s.SourceOf(abs); ok {
			return true
		}
	}
	return false
}

// ReadFile reads a file of the tree that stands at an absolute path, and tells its path in the tree.
func (s *Stage) ReadFile(abs string) (data []byte, name string, err error) {
	name, ok := s.SourceOf(abs)
	if !ok {
		return nil, "", fmt.Errorf("%s: is not out of the source", abs)
	}
	data, err = s.Tree.Read(name)
	return data, name, err
}

// BuildAt is the build of an ecosystem in a folder, made if there is none; further commands of the same tool there belong to it.
func (s *Stage) BuildAt(ecosystem, dir string, e Evidence) *Build {
	for _, b := range slices.Backward(s.AllBuilds()) {
		if b.Ecosystem == ecosystem && b.Dir == dir {
			b.Evidence = append(b.Evidence, e)
			b.Before = s.Files.Clone() // what came in between, it sees too
			return b
		}
	}
	return s.NewBuild(ecosystem, dir, e)
}

// NewBuild adds a build in a folder.
func (s *Stage) NewBuild(ecosystem, dir string, e Evidence) *Build {
	b := &Build{
		Ecosystem: ecosystem, Dir: path.Clean(dir), Stage: s, Before: s.Files.Clone(), Env: map[string]string{}, Options: map[string]any{},
		Toolchains: map[string]Version{}, Evidence: []Evidence{e},
	}
	s.Builds = append(s.Builds, b)
	return b
}

// Makes says that a build makes something, which then stands there.
func (s *Stage) Makes(b *Build, o Output, e Evidence) {
	o.At = path.Clean(o.At)
	if !slices.Contains(b.Outputs, o) {
		b.Outputs = append(b.Outputs, o)
	}
	s.Files.Remove(o.At)
	s.Files.Place(o.At, Origin{Kind: Product, Path: o.At, Build: b}, e)
}

// MakesBelow says that a build makes something below what stands there already, such as an environment that shares its folders.
func (s *Stage) MakesBelow(b *Build, o Output, e Evidence) {
	o.At = path.Clean(o.At)
	if !slices.Contains(b.Outputs, o) {
		b.Outputs = append(b.Outputs, o)
	}
	s.Files.PlaceBelow(o.At, Origin{Kind: Product, Path: o.At, Build: b}, e)
}

// Lookup tells where what stands at a path came from. What neither the source nor anything else has, a build made that worked in a
// folder around it.
func (s *Stage) Lookup(abs string) (Origin, Evidence) {
	o, e := s.Files.Lookup(abs)
	if o.Kind != Unknown {
		return o, e
	}
	for _, b := range slices.Backward(s.AllBuilds()) {
		if !b.Only && within(b.Dir, abs) && len(s.Files.Inside(abs)) == 0 && !s.namedByUnknown(path.Base(abs)) {
			return Origin{Kind: Product, Path: abs, Build: b}, b.Evidence[0]
		}
	}
	for _, c := range slices.Backward(s.contexts) {
		if rel := relative(c.at, abs); within(c.at, abs) && !c.context.ignores(path.Join(c.rel, rel)) {
			if o, e := c.context.stage.Lookup(path.Join(c.context.dir, c.rel, rel)); o.Kind == Product {
				return o, e
			}
		}
	}
	return Origin{}, Evidence{}
}

// fromContext is a folder of the build context that was copied: what was made there before the image comes with it.
type fromContext struct {
	context *buildContext
	rel     string // in the context
	at      string // absolute, in the stage
}

// settle places the outermost folder around a path that only a build can have made, so that taking a part of it away leaves the rest.
func (s *Stage) settle(abs string, e Evidence) {
	o, _ := s.Lookup(abs)
	if o.Kind != Product || o.Path != abs || o.Build.Dir == abs {
		return
	}
	if placed, _ := s.Files.Lookup(abs); placed.Kind != Unknown {
		return
	}
	for top := abs; ; top = path.Dir(top) {
		if path.Dir(top) == o.Build.Dir || s.Files.Exists(path.Dir(top)) {
			s.Makes(o.Build, Output{At: top}, e)
			return
		}
	}
}

// namedByUnknown tells whether a command that nobody knows has a name among its words: then that makes it, and no build does.
func (s *Stage) namedByUnknown(name string) bool {
	return slices.ContainsFunc(s.Unrecognised, func(c Command) bool {
		return slices.ContainsFunc(c.Args[1:], func(a string) bool { return path.Base(a) == name })
	}) || s.Parent != nil && s.Parent.namedByUnknown(name)
}

// Copy lays what stands at src in from at dst, here. It reports whether there is anything.
func (s *Stage) Copy(from *Stage, src, dst string, e Evidence) bool {
	src, dst = path.Clean(src), path.Clean(dst)
	if b := from.rewriter(src); b != nil && from != s {
		s.Files.Place(dst, Origin{Kind: Product, Path: src, Build: b}, e)
		for _, p := range from.Files.Inside(src) {
			if p.Origin.Kind != Source && p.Origin.Build != b { // the build leaves its own and the source's there
				s.Files.Place(path.Join(dst, relative(src, p.At)), p.Origin, e)
			}
		}
		return true
	}
	found := s.Files.CopyFrom(from.Files, src, dst, e)
	for _, b := range from.AllBuilds() {
		if !b.Only && within(src, b.Dir) && from.Files.Exists(b.Dir) { // with all that was made in its folder
			s.Files.Place(path.Join(dst, relative(src, b.Dir)), Origin{Kind: Product, Path: b.Dir, Build: b}, e)
			found = true
		}
	}
	if found {
		return true
	}
	o, _ := from.Lookup(src)
	if o.Kind == Unknown {
		return false
	}
	s.Files.Place(dst, o, e)
	return true
}

// leave has the folders of a stage's builds hold what these leave there, where they may have written anything: that ships with the source, which is
// still what is read.
func (s *Stage) leave() {
	for _, b := range s.AllBuilds() {
		if b.Rewrites && !rootFolder(b.Dir) && s.Files.Exists(b.Dir) {
			s.Files.PlaceBelow(b.Dir, Origin{Kind: Product, Path: b.Dir, Build: b}, b.Evidence[0])
		}
	}
}

// rewriter is the build that may have written into a folder of the source, nil if none has.
func (s *Stage) rewriter(folder string) *Build {
	if o, _ := s.Files.Lookup(folder); o.Kind != Source || !s.Tree.HasDir(o.Path) {
		return nil
	}
	for _, b := range slices.Backward(s.AllBuilds()) {
		if b.Rewrites && b.Dir != folder && within(b.Dir, folder) {
			return b
		}
	}
	return nil
}

// CopyOf is the path of the tree that something which a build made seems to be a copy of: one in the build's folder whose last names are the
// same ("dist/views" of "views").
func (s *Stage) CopyOf(o Origin) (string, bool) {
	if o.Kind != Product || !within(o.Build.Dir, o.Path) {
		return "", false
	}
	folder := o.Build.folder()
	for rel := relative(o.Build.Dir, o.Path); ; {
		_, rest, deeper := strings.Cut(rel, "/")
		if !deeper {
			return "", false
		}
		if rel = rest; s.Tree.Exists(path.Join(folder, rel)) {
			return path.Join(folder, rel), true
		}
	}
}

// folder is the project's folder in the tree, "" if it is in none.
func (b *Build) folder() string {
	if b.Folder != "" {
		return b.Folder
	}
	folder, _ := b.Before.sourceOf(b.Dir)
	return folder
}

// repeats tells whether a build does once more what another has done of the same project before the image was made: then it needs nothing
// of that.
func (b *Build) repeats(before *Build) bool {
	return before != b && before.Stage != b.Stage && before.Stage.isCheckout() && before.Ecosystem == b.Ecosystem && before.folder() == b.folder()
}

// Install notes packages of a distribution.
func (s *Stage) Install(manager string, e Evidence, names ...string) {
	for _, n := range names {
		if !slices.ContainsFunc(s.Packages, func(p Installed) bool { return p.Manager == manager && p.Name == n }) {
			s.Packages = append(s.Packages, Installed{Manager: manager, Name: n, Evidence: e})
		}
	}
}

// recognise hands a command to who knows it.
func (s *Stage) recognise(c Command) error {
	c, done := s.withoutCross(c)
	if done {
		return nil
	}
	if s.commands++; s.commands > maxCommands {
		return fmt.Errorf("%s: more than %d commands are run", c.Evidence, maxCommands)
	}
	for _, r := range s.recognisers {
		known, err := r.Recognise(c, s)
		if err != nil {
			if errors.As(err, new(commandError)) { // of a command that this one calls: it says where
				return err
			}
			return commandError{fmt.Errorf("%s: %s: %w", c.Evidence, short(strings.Join(c.Args, " ")), err)}
		}
		if known {
			return nil
		}
	}
	s.Unrecognised = append(s.Unrecognised, c)
	return nil
}

// commandError is a command that could not be followed, and where it is.
type commandError struct{ error }

func (e commandError) Unwrap() error { return e.error }

// maxCommands is how many commands a plan looks at, of all stages and the scripts that they call.
const maxCommands = 20000

// SourceTop is where the tree's top stands, seen from a folder of a stage: the folder itself, if that does not say.
func (s *Stage) SourceTop(dir string) string {
	src, ok := s.SourceOf(dir)
	if !ok {
		return dir
	}
	if src == "." {
		return dir
	}
	if top, found := strings.CutSuffix(dir, "/"+src); found {
		return path.Clean("/" + top)
	}
	return dir
}
