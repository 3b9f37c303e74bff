package recipe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"headwater/internal/nix"
	"headwater/internal/service"
)

// MaxSize is the largest headwater.yaml that Parse reads, in bytes.
const MaxSize = 1 << 20

// InvalidError lists all that is wrong with a recipe at once.
type InvalidError struct {
	Problems []string // "components.web.root: no root is named \"nod\" (there are: node, python)"
}

func (e *InvalidError) Error() string {
	return "recipe is not valid:\n  " + strings.Join(e.Problems, "\n  ")
}

// SyntaxError says that a file is no recipe at all, or of another format.
type SyntaxError struct{ Cause error }

func (e *SyntaxError) Error() string { return "parse recipe: " + e.Cause.Error() }

// Unwrap gives the cause.
func (e *SyntaxError) Unwrap() error { return e.Cause }

// Parse reads and checks a headwater.yaml. The error is a *SyntaxError or an *InvalidError.
func Parse(data []byte) (*Recipe, error) {
	r, err := decode(data)
	if err != nil {
		return nil, &SyntaxError{err}
	}
	if problems := r.Check(); len(problems) > 0 {
		return nil, &InvalidError{Problems: problems}
	}
	return r, nil
}

func decode(data []byte) (*Recipe, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%d bytes, more than %d", len(data), MaxSize)
	}
	var version struct {
		Format int `yaml:"headwater"`
	}
	if err := yaml.Unmarshal(data, &version); err != nil {
		return nil, err
	}
	if version.Format != Format {
		return nil, fmt.Errorf("format %d (key \"headwater\"), this program reads %d", version.Format, Format)
	}
	r := new(Recipe)
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(r); err != nil {
		return nil, err
	}
	if err := dec.Decode(new(yaml.Node)); err != io.EOF {
		return nil, errors.New("more than one YAML document in the file")
	}
	return r, nil
}

// Check returns what is wrong with a recipe, sorted by place; nothing of one that Parse returned.
func (r *Recipe) Check() []string {
	c := checker{recipe: r}
	c.name("name", r.Name)
	c.name("release", r.Release)
	if r.Source != "" && path.IsAbs(r.Source) {
		c.addf("source", "must be relative to the recipe")
	}
	for name, root := range sorted(r.Roots) {
		c.name("roots."+name, name)
		c.rootOf("roots."+name, root)
	}
	for name, comp := range sorted(r.Components) {
		c.component(name, comp)
	}
	c.cycles()
	c.pkg(r.Package)
	for name, s := range sorted(r.Services) {
		c.service("services."+name, s)
	}
	c.checks()
	for key, by := range sorted(r.Replace) {
		c.replacement(key, by)
	}
	return c.problems
}

var (
	userPattern     = regexp.MustCompile(`^[0-9]{1,6}:[0-9]{1,6}$`)
	variablePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

type checker struct {
	recipe   *Recipe
	problems []string
}

func (c *checker) addf(where, format string, args ...any) {
	c.problems = append(c.problems, where+": "+fmt.Sprintf(format, args...))
}

func (c *checker) name(where, s string) {
	if err := nix.CheckName(s); err != nil {
		c.addf(where, "%v", err)
	}
}

func (c *checker) root(where, name string) {
	if _, ok := c.recipe.Roots[name]; !ok {
		c.addf(where, "no root is named %q (there are: %s)", name, strings.Join(keys(c.recipe.Roots), ", "))
	}
}

// rootOf checks what a root is made of.
func (c *checker) rootOf(at string, r Root) {
	if len(r.Paths) == 0 {
		if len(r.Suites) == 0 {
			c.addf(at+".suites", "names no suite, and there are no paths")
		}
		if r.Cache != "" || len(r.Keys) > 0 {
			c.addf(at+".cache", "is for a root that has paths")
		}
		return
	}
	if len(r.Suites) > 0 || len(r.Packages) > 0 {
		c.addf(at+".paths", "cannot be mixed with suites and packages: components may have different roots")
	}
	if len(r.Keys) > 0 && r.Cache == "" {
		c.addf(at+".keys", "are of no cache")
	}
	for i, s := range r.Paths {
		where := fmt.Sprintf("%s.paths[%d]", at, i)
		p, err := nix.ParseStorePath(s)
		switch {
		case err != nil:
			c.addf(where, "%v", err)
		case p.IsDerivation():
			c.addf(where, "%s is a derivation, not what it makes", p)
		case slices.Contains(r.Paths[:i], s):
			c.addf(where, "%s is there twice", p)
		}
	}
}

// runtime checks the name of a root to run something in.
func (c *checker) runtime(where, name string) {
	c.root(where, name)
	if len(c.recipe.Roots[name].Paths) > 0 {
		c.addf(where, "root %q is made of store paths, which can be built in; what runs needs a root of Debian packages", name)
	}
}

func (c *checker) service(at string, s Service) {
	c.runtime(at+".root", s.Root)
	kind, ok := service.Find(s.Kind)
	if !ok {
		c.addf(at+".kind", "%q is not known (there are: %s)", s.Kind, strings.Join(service.Names(), ", "))
		return
	}
	for _, name := range kind.Facts().Unknown(s.Env) {
		c.addf(at+".env", "%s has no ${%s}", s.Kind, name)
	}
}

// inside checks a slash-separated path that must stay below its folder.
func (c *checker) inside(where, p string) {
	if p != "" && !fs.ValidPath(p) {
		c.addf(where, "%q is not a clean relative path", p)
	}
}

func (c *checker) component(name string, comp Component) {
	at := "components." + name
	c.name(at, name)
	c.root(at+".root", comp.Root)
	c.inside(at+".dir", comp.Dir)
	if comp.At != "" {
		c.absolute(at+".at", comp.At)
	}
	if comp.Ecosystem == "" {
		c.addf(at+".ecosystem", "is missing")
	}
	if len(comp.Src) == 0 && len(comp.Download) == 0 && !comp.needsNoFile() {
		c.addf(at+".src", "names no file, so the component would see none")
	}
	for file, address := range sorted(comp.Download) {
		c.inside(at+".download."+file, file)
		if file == "." || path.Clean(file) != file {
			c.addf(at+".download."+file, "is not the path of a file, as short as it can be written")
		}
		c.address(at+".download."+file, address)
	}
	for i, u := range comp.Uses {
		at := fmt.Sprintf("%s.uses[%d]", at, i)
		c.isComponent(at+".component", u.Component)
		c.inside(at+".path", u.Path)
		if path.IsAbs(u.At) {
			c.absolute(at+".at", u.At)
		} else {
			c.inside(at+".at", u.At)
		}
	}
	for out, from := range sorted(comp.Output) {
		c.inside(at+".output", out)
		c.inside(at+".output."+out, path.Join(comp.Dir, from)) // a build may write beside its folder, within the source
	}
}

// needsNoFile tells whether a component may be made of nothing of the source: of what its commands write, or of published packages.
func (c Component) needsNoFile() bool {
	switch c.Ecosystem {
	case "plain":
		return len(c.Build) > 0 && len(c.Output) > 0
	case "python":
		return c.Options["install"] != nil
	}
	return false
}

func (c *checker) isComponent(where, name string) {
	if _, ok := c.recipe.Components[name]; !ok {
		c.addf(where, "no component is named %q (there are: %s)", name, strings.Join(keys(c.recipe.Components), ", "))
	}
}

func (c *checker) pkg(p Package) {
	c.runtime("package.root", p.Root)
	if len(p.Command) == 0 {
		c.addf("package.command", "is missing")
	}
	for at, from := range sorted(p.Layout) {
		c.absolute("package.layout."+at, at)
		comp, sub, _ := strings.Cut(from, ":")
		c.isComponent("package.layout."+at, comp)
		c.inside("package.layout."+at, sub)
	}
	for at, to := range sorted(p.Links) {
		c.absolute("package.links."+at, at)
		if to == "" || strings.ContainsAny(to, "\x00\n\t") {
			c.addf("package.links."+at, "%q is no link's target", to)
		}
	}
	for _, names := range [][]string{keys(p.Env), p.Secrets} {
		for _, name := range names {
			if !variablePattern.MatchString(name) {
				c.addf("package", "%q is not the name of a variable", name)
			}
		}
	}
	for i, v := range p.Volumes {
		c.absolute(fmt.Sprintf("package.volumes[%d]", i), v)
	}
	for name := range p.Labels {
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			c.addf("package.labels", "%q is no label's name", name)
		}
	}
	if p.User != "" && !userPattern.MatchString(p.User) {
		c.addf("package.user", "%q is not two numbers, \"uid:gid\"", p.User)
	}
	if p.Workdir != "" {
		c.absolute("package.workdir", p.Workdir)
	}
	for name, proc := range sorted(p.Processes) {
		if proc.Port < 0 || proc.Port > 65535 {
			c.addf("package.processes."+name+".port", "%d is no TCP port", proc.Port)
		}
		if proc.Health != "" && (proc.Port == 0 || !strings.HasPrefix(proc.Health, "/")) {
			c.addf("package.processes."+name+".health", "needs a port and a path that starts with /")
		}
	}
}

func (c *checker) absolute(where, p string) {
	if !path.IsAbs(p) || path.Clean(p) != p || strings.ContainsAny(p, "\x00\n\t") {
		c.addf(where, "%q is not a clean absolute path", p)
	}
}

// cycles reports the first cycle among components, by its members.
func (c *checker) cycles() {
	if _, err := c.recipe.Order(); err != nil {
		c.addf("components", "%v", err)
	}
}

// Order lists the components so that each comes after those it uses; ties by name.
func (r *Recipe) Order() ([]string, error) {
	var order, trail []string
	done := map[string]bool{}
	var visit func(string) error
	visit = func(name string) error {
		if i := slices.Index(trail, name); i >= 0 {
			return errors.New("cycle: " + strings.Join(append(slices.Clone(trail[i:]), name), " → "))
		}
		if done[name] {
			return nil
		}
		trail = append(trail, name)
		for _, u := range r.Components[name].Uses {
			if err := visit(u.Component); err != nil {
				return err
			}
		}
		trail = trail[:len(trail)-1]
		done[name] = true
		if _, ok := r.Components[name]; ok {
			order = append(order, name)
		}
		return nil
	}
	for _, name := range keys(r.Components) {
		if err := visit(name); err != nil {
			return nil, err
		}
	}
	return order, nil
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// sorted ranges over a map in the order of its keys.
func sorted[V any](m map[string]V) func(func(string, V) bool) {
	return func(yield func(string, V) bool) {
		for _, k := range keys(m) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
