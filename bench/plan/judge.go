package main

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing/fstest"

	"go.yaml.in/yaml/v3"
	"golang.org/x/tools/txtar"

	"headwater/internal/ecosystem/all"
	"headwater/internal/plan"
	"headwater/internal/recipe"
	"headwater/internal/source"
)

// classes of facts, in the order in which they are told.
func classes() []string {
	return []string{"components", "edges", "toolchains", "commands", "layout", "runtime", "remarks"}
}

// truth is what a careful reader of a tree's files writes down. Facts are spelled as factsOf does.
type truth struct {
	Trap      string              `yaml:"trap"`
	Release   string              `yaml:"release"` // as the operator names it; "" if that is left to the tree
	Tree      string              `yaml:"tree"`    // "gatehouse" stands for the example; otherwise the archive's other files
	Facts     map[string][]string `yaml:"facts"`
	Main      []string            `yaml:"main"`      // facts without which the main product is not the upstream's
	Uncertain bool                `yaml:"uncertain"` // the files do not tell what the main product is
	Evidence  map[string]string   `yaml:"evidence"`  // key of the recipe → "file:line" that has to be cited for it
}

type testcase struct {
	truth
	name string
	tree *plan.Tree
}

func readCase(file, gatehouse string) (*testcase, error) {
	a, err := txtar.ParseFile(file)
	if err != nil {
		return nil, err
	}
	c := &testcase{name: strings.TrimSuffix(filepath.Base(file), ".txtar")}
	fsys, names := fstest.MapFS{}, []string(nil)
	for _, f := range a.Files {
		if f.Name != "truth.yaml" {
			fsys[f.Name] = &fstest.MapFile{Data: f.Data}
			names = append(names, f.Name)
			continue
		}
		dec := yaml.NewDecoder(bytes.NewReader(f.Data))
		dec.KnownFields(true)
		if err := dec.Decode(&c.truth); err != nil {
			return nil, err
		}
	}
	for class := range c.Facts {
		if !slices.Contains(classes(), class) {
			return nil, fmt.Errorf("%q is no class of facts", class)
		}
	}
	if c.Trap == "" || (len(c.Main) == 0) != c.Uncertain {
		return nil, fmt.Errorf("the truth needs a trap, and either main or uncertain")
	}
	c.tree = plan.NewTree(fsys, names)
	if c.Tree == "gatehouse" {
		t, err := source.Open(gatehouse)
		if err != nil {
			return nil, err
		}
		c.tree = plan.NewTree(t.FS(), t.Paths())
	}
	return c, nil
}

func planTree(t *plan.Tree, release string) (*plan.Plan, error) {
	return plan.New(t, plan.Options{Name: "service", Release: release, Recognisers: all.Recognisers()})
}

// judge plans the tree and compares.
func (c *testcase) judge() (score, error) {
	p, err := planTree(c.tree, c.Release)
	if err != nil {
		return score{}, err
	}
	s := score{cases: 1, tally: map[string]tally{}}
	got := map[string][]string{}
	if p.Recipe != nil {
		got = factsOf(p.Recipe)
	}
	got["remarks"] = remarksOf(p)
	var all []string
	for _, class := range classes() {
		all = append(all, got[class]...)
		if c.Uncertain {
			continue // what is said of it is not known to be right
		}
		var t tally
		for _, f := range c.Facts[class] {
			if slices.Contains(got[class], f) {
				t.right++
			} else {
				t.missing++
				s.details = append(s.details, "missing "+class+": "+f)
			}
		}
		for _, f := range got[class] {
			if !slices.Contains(c.Facts[class], f) {
				t.wrong++
				s.details = append(s.details, "wrong "+class+": "+f)
			}
		}
		s.tally[class] = t
	}
	right := !c.Uncertain
	for _, f := range c.Main {
		right = right && slices.Contains(all, f)
	}
	s.sure = !p.Uncertain()
	s.right = right
	if s.sure && !right {
		s.silent = 1
	}
	c.weigh(p, &s)
	return s, nil
}

// weigh counts evidence that names a line that is there and says something, and lines of the truth that are cited.
func (c *testcase) weigh(p *plan.Plan, s *score) {
	for _, key := range slices.Sorted(maps.Keys(p.Evidence)) {
		for _, e := range p.Evidence[key] {
			if e.File == "" {
				continue // a convention, named by its rule
			}
			s.evidence.all++
			if says(c.tree, e) {
				s.evidence.right++
			} else {
				s.details = append(s.details, fmt.Sprintf("evidence for %s: %s says nothing", key, e))
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.Evidence)) {
		s.cited.all++
		if slices.ContainsFunc(p.Evidence[key], func(e plan.Evidence) bool { return fmt.Sprint(e.File, ":", e.Line) == c.Evidence[key] }) {
			s.cited.right++
		} else {
			s.details = append(s.details, fmt.Sprintf("evidence for %s: %s is not cited, but %v", key, c.Evidence[key], p.Evidence[key]))
		}
	}
}

func says(t *plan.Tree, e plan.Evidence) bool {
	data, err := t.Read(e.File)
	if err != nil {
		return t.HasDir(e.File) && e.Line == 0
	}
	lines := strings.Split(string(data), "\n")
	if e.Line == 0 {
		return len(data) > 0
	}
	return e.Line <= len(lines) && strings.Trim(lines[e.Line-1], " \t{}") != "" && !strings.HasPrefix(strings.TrimSpace(lines[e.Line-1]), "#")
}

// remarksOf are a plan's remarks on clients out of step with their schema; the truth leaves open which others there are.
func remarksOf(p *plan.Plan) []string {
	var out []string
	for _, r := range p.Remarks {
		if strings.Contains(r.Text, "client") {
			out = append(out, r.Text)
		}
	}
	return out
}

// factsOf spells a recipe's facts without the names that a planner is free to choose: a component is its ecosystem and folder, a plain
// one its first pattern, if it sees any file.
func factsOf(r *recipe.Recipe) map[string][]string {
	f := map[string][]string{}
	add := func(class string, fact ...string) {
		if s := words(fact...); !slices.Contains(f[class], s) {
			f[class] = append(f[class], s)
		}
	}
	id := func(name string) string {
		c := r.Components[name]
		if c.Ecosystem == "plain" && len(c.Src) == 0 {
			return "plain without files"
		}
		if c.Ecosystem == "plain" {
			return "plain " + c.Src[0]
		}
		if c.Ecosystem == "openapi" {
			return fmt.Sprint("openapi ", c.Options["generator"])
		}
		return c.Ecosystem + " " + path.Clean("./"+c.Dir)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Components)) {
		c := r.Components[name]
		add("components", id(name))
		for _, u := range c.Uses {
			add("edges", id(name), "<-", id(u.Component), "at", u.At)
		}
		for _, cmd := range c.Build {
			add("commands", id(name)+":", cmd)
		}
		for _, o := range []string{"packages", "tags", "ldflags", "venv"} {
			if v, ok := c.Options[o]; ok {
				add("commands", id(name)+":", o, fmt.Sprint(v))
			}
		}
	}
	for _, t := range slices.Sorted(maps.Keys(r.Toolchains)) {
		add("toolchains", t, r.Toolchains[t])
	}
	for at, from := range r.Package.Layout {
		name, part, ok := strings.Cut(from, ":")
		if r.Components[name].Ecosystem == "plain" && slices.Index(r.Components[name].Src, part) == 0 {
			ok = false
		}
		if ok {
			part = ":" + part
		} else {
			part = ""
		}
		add("layout", at, "=", id(name)+part)
	}
	runtimeFacts(r, add)
	for class := range f {
		slices.Sort(f[class])
	}
	return f
}

func runtimeFacts(r *recipe.Recipe, add func(string, ...string)) {
	p := r.Package
	add("runtime", "command", strings.Join(p.Command, " "))
	for _, one := range []struct{ what, value string }{{"workdir", p.Workdir}, {"user", p.User}, {"migrate", strings.Join(p.Migrate, " ")}} {
		if one.value != "" {
			add("runtime", one.what, one.value)
		}
	}
	for k, v := range p.Env {
		add("runtime", "env", k+"="+v)
	}
	for _, v := range p.Volumes {
		add("runtime", "volume", v)
	}
	for _, x := range p.Processes {
		add("runtime", "process", strings.Join(x.Args, " "))
		if x.Port != 0 {
			add("runtime", "port", fmt.Sprint(x.Port))
		}
		if x.Health != "" {
			add("runtime", "health", x.Health)
		}
	}
	for _, s := range r.Services {
		add("runtime", "service", s.Kind)
	}
}
