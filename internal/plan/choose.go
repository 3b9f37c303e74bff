package plan

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
)

// candidate is an image that might be the one that ships: a Dockerfile, its stage, and the arguments and the context it is made with.
type candidate struct {
	image  *image
	target *Stage
	places []*place // that build it so
	notes  *Notes
	rank   rank
	wanted string            // the stage's name
	args   map[string]string // build arguments
	builds []string          // what is built for it, "ecosystem folder", sorted
}

// rank says how sure it is that a candidate is what ships. The rule, most telling first, is the order of the fields; each is told
// to people where it decides.
type rank struct {
	own      bool // not a dev container, a test, documentation or an example, by its path
	last     bool // no other image of the tree is made from it
	starts   bool // says what is started
	makes    bool // something that is built of the tree stands in it
	main     bool // its tags, or else its stage and file, name no variant ("alpine", "nightly", "rootless")
	named    bool // it is tagged with the name that the tree's manifests have
	whole    bool // nothing that it copies is missing
	plain    bool // the file is called just Dockerfile, Containerfile or default
	top      bool // made in the tree's top
	built    int  // 3: a compose file, which starts it, builds it, 2: a pipeline, 1: a script
	alone    bool // from the tree alone, without what somebody makes before
	products int  // how much is built for it
	depth    int  // of its folder, negative
}

// words tell what each field means, in their order.
func (r rank) fields() []struct {
	value int
	says  string
} {
	n := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	return []struct {
		value int
		says  string
	}{
		{n(r.own), "is not aside of the service"},
		{n(r.last), "is no base of another image"},
		{n(r.starts), "says what is started"},
		{n(r.makes), "has what is built of the tree"},
		{n(r.main), "names no variant"},
		{n(r.named), "is called like the tree"},
		{n(r.whole), "misses nothing that it copies"},
		{n(r.plain), "has the plain name"},
		{n(r.top), "is made of the whole tree"},
		{r.built, "is built by a pipeline or compose file"},
		{n(r.alone), "needs nothing that is made before it"},
		{r.products, "has most of what is built"},
		{r.depth, "is nearest to the top"},
	}
}

// decisive is how many of the fields tell one service from another; what follows only orders.
const decisive = 10

// compare orders ranks, better ones first, and tells which field decided, -1 if none.
func (r rank) compare(o rank) (order, field int) {
	a, b := r.fields(), o.fields()
	for i := range a {
		if c := cmp.Compare(b[i].value, a[i].value); c != 0 {
			return c, i
		}
	}
	return 0, -1
}

// chooser finds the image that ships.
type chooser struct {
	tree    *Tree
	options Options
	places  []*place
	notes   *Notes
	bases   map[string]bool // Dockerfiles whose image another is made from
	within  map[string]bool // images that are being followed, to notice one that is made of itself
}

// chooseImage follows every Dockerfile, in each way that the tree builds it, and takes the best; nil if there is none.
func chooseImage(t *Tree, o Options, notes *Notes) (*candidate, error) {
	c := &chooser{tree: t, options: o, places: findPlaces(t, o, notes), notes: notes, bases: map[string]bool{}, within: map[string]bool{}}
	var all []*candidate
	for _, name := range c.files() {
		if o.Dockerfile != "" && name != path.Clean(o.Dockerfile) {
			continue
		}
		some, err := c.candidates(name)
		if err != nil {
			notes.Remark(fmt.Sprintf("%s was left aside: %v", name, err), Evidence{File: name})
			continue
		}
		all = append(all, some...)
	}
	if len(all) == 0 {
		return nil, nil
	}
	for _, x := range all {
		x.rank = c.rank(x)
	}
	slices.SortStableFunc(all, func(a, b *candidate) int { order, _ := a.rank.compare(b.rank); return order })
	if r := all[0].rank; o.Dockerfile == "" && !r.own && !(r.starts && r.makes) { // to develop in, or for tests
		notes.Remark(fmt.Sprintf("%s is not how the service ships: %s", all[0].name(), Aside(all[0].image.name)), Evidence{File: all[0].image.name})
		return nil, nil
	}
	if image, ko := c.ko(); ko != (Evidence{}) && o.Dockerfile == "" && all[0].rank.built < 2 {
		notes.Remark(fmt.Sprintf("%s is not how the service ships: ko makes the image, of %s", all[0].name(), image), Evidence{File: all[0].image.name}, ko)
		return nil, nil
	}
	best, err := c.prepared(all[0])
	if err != nil {
		return nil, err
	}
	if other := sure(all[1:]); other != nil && (len(best.missing()) > 0 || best.asks()) && (c.published(other.image.name) || !c.published(best.image.name)) {
		notes.Remark(fmt.Sprintf("%s is taken, not %s: that could not be followed to its end", other.name(), best.name()), Evidence{File: other.image.name}, Evidence{File: best.image.name})
		best, all = other, slices.DeleteFunc(all, func(x *candidate) bool { return x == other || x.name() == best.name() })
		all = append([]*candidate{other}, all...)
	}
	notes.Questions = append(notes.Questions, best.notes.Questions...)
	notes.Remarks = append(notes.Remarks, best.notes.Remarks...)
	c.tell(best, all[1:])
	return best, nil
}

// files are what is named like a Dockerfile, and what the tree builds as one whatever its name.
func (c *chooser) files() []string {
	all := c.tree.Dockerfiles()
	for _, p := range c.places {
		if !slices.Contains(all, p.dockerfile) {
			all = append(all, p.dockerfile)
		}
	}
	return all
}

// ko is the folder of the program of which ko makes the image, and where that is said, nothing if it makes none or makes images of Dockerfiles too.
func (c *chooser) ko() (folder string, e Evidence) {
	r, err := readReleaser(c.tree, c.options.Release)
	if err != nil || r == nil || len(r.Dockers)+len(r.DockersV2) > 0 { // what cannot be read was told
		return "", Evidence{}
	}
	image, folder, ok := r.ko()
	if !ok {
		return "", Evidence{}
	}
	return folder, Evidence{File: r.name, Line: image.line}
}

// asks tells whether it is not known what an image has that is nothing without.
func (x *candidate) asks() bool {
	return slices.ContainsFunc(x.notes.Questions, func(q Question) bool { return q.Main })
}

// sure is the first image that is the service's own, and the main one, has what is built of the tree, and could be followed to its end; nil
// if there is none.
func sure(all []*candidate) *candidate {
	i := slices.IndexFunc(all, func(x *candidate) bool {
		return x.rank.own && x.rank.last && x.rank.starts && x.rank.main && len(x.builds) > 0 && len(x.missingOfTree()) == 0 && !x.asks()
	})
	if i < 0 {
		return nil
	}
	return all[i]
}

// tell says why the best candidate is taken, and asks if another could be it as well.
func (c *chooser) tell(best *candidate, others []*candidate) {
	told := map[string]bool{best.name(): true}
	for _, o := range others {
		if told[o.name()] {
			continue
		}
		told[o.name()] = true
		_, field := best.rank.compare(o.rank)
		both := []Evidence{{File: best.image.name, Line: best.target.Evidence.Line}, {File: o.image.name, Line: o.target.Evidence.Line}}
		if field < 0 || field >= decisive && !subset(o.builds, best.builds) {
			c.notes.Ask(Question{
				About: "package", Main: true, Looked: both,
				Ask: fmt.Sprintf("%s and %s both may be what ships, and nothing in the tree says which; name one", best.name(), o.name()),
			})
			continue
		}
		c.notes.Remark(fmt.Sprintf("%s is taken, not %s: it %s", best.name(), o.name(), best.rank.fields()[field].says), both...)
	}
}

func subset(some, of []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(of, s) })
}

// name is a candidate's for people.
func (x *candidate) name() string {
	if x.target.Name == "" {
		return x.image.name
	}
	return x.image.name + " (" + x.target.Name + ")"
}

// candidates are the images that a Dockerfile makes: of each stage that the tree builds, else of the one that convention says.
func (c *chooser) candidates(name string) ([]*candidate, error) {
	data, err := c.tree.Read(name)
	if err != nil {
		return nil, err
	}
	f := &image{name: name}
	if err := f.read(data); err != nil || len(f.parsed) == 0 {
		return nil, err
	}
	byTarget := map[string][]*place{}
	var targets []string
	for _, p := range c.places {
		if p.dockerfile != name {
			continue
		}
		t := strings.ToLower(p.target)
		if t == "" {
			t = strings.ToLower(f.parsed[len(f.parsed)-1].Name)
		}
		if byTarget[t] == nil {
			targets = append(targets, t)
		}
		byTarget[t] = append(byTarget[t], p)
	}
	usual := strings.ToLower(f.usualStage())
	switch {
	case c.options.Target != "":
		targets = []string{strings.ToLower(c.options.Target)}
	case !slices.ContainsFunc(targets, func(t string) bool { return variant(t) == "" }) && !slices.Contains(targets, usual):
		targets = append(targets, usual)
	}
	var out []*candidate
	for _, t := range targets {
		x, err := c.best(name, data, t, byTarget[t])
		if err != nil {
			return nil, err
		}
		if x != nil {
			out = append(out, x)
		}
	}
	return out, nil
}

// usualStage is the stage that ships by convention: the last, unless its name says that it is a variant and another has the name of
// what is released.
func (f *image) usualStage() string {
	last := f.parsed[len(f.parsed)-1].Name
	if variant(last) == "" {
		return last
	}
	for _, usual := range []string{"release", "production", "prod", "final", "runtime", "main", "default"} {
		for _, st := range f.parsed {
			if strings.EqualFold(st.Name, usual) {
				return st.Name
			}
		}
	}
	return last
}

// prepared makes the chosen image once more in each context that is prepared for its Dockerfile, and takes the one with least
// missing, and then with most that is built.
func (c *chooser) prepared(best *candidate) (*candidate, error) {
	data, err := c.tree.Read(best.image.name)
	if err != nil {
		return nil, err
	}
	tried := 0
	for _, p := range slices.Concat(best.places, c.of(best.image.name)) {
		if !p.prepares() || p.again == nil || tried == maxContexts || tried > 0 && len(best.missing()) == 0 {
			continue
		}
		tried++
		again := p.again(c.options.Recognisers)
		if again == nil || len(again.context.Builds) == 0 && !slices.ContainsFunc(again.context.Files.Placements(), func(p Placement) bool { return p.Origin.Kind == Product }) {
			continue // what is done there is not known either
		}
		x, err := c.follow(best.image.name, data, best.wanted, best.args, again)
		if err != nil || x == nil {
			return nil, err
		}
		x.places, x.rank = best.places, best.rank
		if len(x.missing()) < len(best.missing()) || len(x.missing()) == len(best.missing()) && len(closure(x.target)) > len(closure(best.target)) && subset(best.builds, x.builds) {
			x.notes.Remark(fmt.Sprintf("what is made before the image is built by %s is part of it", p.evidence), p.evidence)
			best = x
		}
		if p.kind == "script" {
			c.unsaid(again, closure(best.target))
		}
	}
	return best, nil
}

// unsaid asks for what a script builds just before the image of which nothing says what it writes: the image may be nothing without.
func (c *chooser) unsaid(p *place, needed []*Build) {
	for _, b := range p.context.AllBuilds() {
		if len(b.Outputs) > 0 || len(b.Commands) == 0 || slices.Contains(needed, b) {
			continue
		}
		c.notes.Ask(Question{
			About: "components", Main: true, Looked: append(slices.Clone(b.Evidence), p.evidence),
			Ask: fmt.Sprintf("%q is run in %s before the image is built, and nothing says what it writes; what of it is in the image?", short(b.Commands[len(b.Commands)-1].Text()), path.Join("/", relativeTo(checkoutDir, b.Dir))),
		})
	}
}

// maxContexts is in how many prepared contexts an image is tried.
const maxContexts = 4

// best makes a stage of a Dockerfile from the tree alone.
func (c *chooser) best(name string, data []byte, target string, places []*place) (*candidate, error) {
	main := slices.DeleteFunc(slices.Clone(places), func(p *place) bool { return !p.isMain() })
	args := map[string]string{}
	at := &place{dir: checkoutDir}
	slices.SortStableFunc(main, func(a, b *place) int { return releasing(b) - releasing(a) })
	for _, p := range slices.Concat(main, places) { // the first one's
		args, at = p.args, p
		break
	}
	x, err := c.follow(name, data, target, args, &place{dir: at.dir})
	if x != nil {
		x.places = places
	}
	return x, err
}

// releasing is 1 for a place that makes images for others, 0 for one that may be there to try things.
func releasing(p *place) int {
	if p.kind == "pipeline" {
		return 1
	}
	return 0
}

// of are the places that make anything of a Dockerfile.
func (c *chooser) of(name string) []*place {
	return slices.DeleteFunc(slices.Clone(c.places), func(p *place) bool { return p.dockerfile != name })
}

// published tells whether something of the tree sends an image of a Dockerfile to a registry.
func (c *chooser) published(name string) bool {
	return slices.ContainsFunc(c.of(name), func(p *place) bool { return p.pushes })
}

// follow follows a stage in a context.
func (c *chooser) follow(name string, data []byte, target string, args map[string]string, at *place) (*candidate, error) {
	sh := &shared{Tree: c.tree, Notes: &Notes{}, Release: c.options.Release, recognisers: append([]Recogniser{system{}}, c.options.Recognisers...)}
	stage := at.context
	if stage == nil {
		stage = checkout(sh)
	} else {
		sh.Notes.Questions = slices.Clone(stage.Notes.Questions)
		sh.Notes.Remarks = slices.Clone(stage.Notes.Remarks)
	}
	ctx, err := newContext(stage, at.dir, name)
	if err != nil {
		return nil, err
	}
	f := &image{name: name, given: c.arguments(args), shared: sh, context: ctx}
	f.bases = func(ref string) (*Stage, error) { return c.base(ref, name, sh) }
	if err := f.read(data); err != nil {
		return nil, err
	}
	s, err := f.follow(target)
	if err != nil || s == nil {
		return nil, err
	}
	s.leave()
	x := &candidate{image: f, target: s, notes: sh.Notes, wanted: target, args: args}
	x.builds = builtFor(s)
	return x, nil
}

// arguments are a place's build arguments, with those that the operator gives.
func (c *chooser) arguments(args map[string]string) map[string]string {
	all := map[string]string{}
	for _, layer := range []map[string]string{args, c.options.Args} {
		for k, v := range layer {
			all[k] = v
		}
	}
	return all
}

// base follows the image that the tree builds under a reference; nil if it builds none.
func (c *chooser) base(ref, by string, sh *shared) (*Stage, error) {
	for _, p := range c.places {
		if !slices.ContainsFunc(p.tags, func(t string) bool { return sameImage(t, ref) }) {
			continue
		}
		if p.dockerfile == by && p.target == "" {
			continue // the image itself, an older one
		}
		key := p.dockerfile + "\x00" + p.target
		if c.within[key] {
			return nil, nil
		}
		c.within[key] = true
		defer delete(c.within, key)
		// What tests are made of, or what is published and what is made of it is not, may well be what ships.
		if Aside(by) == "" && (c.published(by) || !c.published(p.dockerfile)) {
			c.bases[p.dockerfile] = true
		}
		data, err := c.tree.Read(p.dockerfile)
		if err != nil {
			return nil, err
		}
		ctx, err := newContext(p.context, p.dir, p.dockerfile)
		if err != nil {
			return nil, err
		}
		f := &image{name: p.dockerfile, given: p.args, shared: sh, context: ctx}
		f.bases = func(ref string) (*Stage, error) { return c.base(ref, p.dockerfile, sh) }
		if err := f.read(data); err != nil {
			return nil, err
		}
		s, err := f.follow(p.target)
		if s != nil {
			c.notes.Remark(fmt.Sprintf("the image %s is what %s makes", ref, p.dockerfile), p.evidence)
		}
		return s, err
	}
	return nil, nil
}

// sameImage compares references, without the registry that is meant where none is named. One whose registry and owner come from a variable that nothing in
// the tree sets, and so begins with a slash, is any owner's.
func sameImage(a, b string) bool {
	a, b = canonical(a), canonical(b)
	return a == b || a[0] == '/' && strings.HasSuffix(b, a) || b[0] == '/' && strings.HasSuffix(a, b)
}

func canonical(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	ref = strings.TrimPrefix(strings.TrimPrefix(ref, "docker.io/"), "library/")
	if !strings.Contains(path.Base(ref), ":") {
		ref += ":latest"
	}
	return ref
}

// rank judges a candidate.
func (c *chooser) rank(x *candidate) rank {
	name := x.image.name
	base := strings.ToLower(path.Base(name))
	prepared := slices.ContainsFunc(c.of(name), (*place).prepares)
	r := rank{
		own: Aside(name) == "", last: !c.bases[name], makes: len(x.builds) > 0 || len(x.missing()) > 0 && prepared,
		whole:  x.takes() && (len(x.missingOfTree()) == 0 || prepared),
		starts: len(x.target.Config.Entrypoint)+len(x.target.Config.Cmd) > 0,
		plain:  base == "dockerfile" || base == "containerfile" || strings.Contains(base, "default"), top: x.image.context.dir == checkoutDir,
		products: len(x.builds), depth: -strings.Count(name, "/"),
	}
	r.main = variant(x.target.Name) == "" && variant(strings.TrimPrefix(base, "dockerfile")) == "" && variant(path.Base(path.Dir(name))) == ""
	told := 0 // by a script's tags, by a pipeline's or compose file's
	for _, p := range x.places {
		if by := map[bool]int{true: 1, false: 2}[p.kind == "script"]; len(p.tags) > 0 && by >= told {
			r.main = told == by && r.main || p.isMain()
			r.named = told == by && r.named || c.named(p)
			told = by
		}
		of := map[string]int{"script": 1, "compose": 3}[p.kind]
		if of == 0 || of == 3 && Aside(p.evidence.File) != "" {
			of = 2
		}
		r.built = max(r.built, of)
	}
	if len(x.places) == 0 { // its Dockerfile's other stages tell
		r.named = slices.ContainsFunc(c.of(name), c.named)
	}
	r.alone = len(x.missingOfTree()) == 0
	r.main = r.main && satellite(base) == "" && satellite(path.Base(path.Dir(name))) == "" // whatever its tags
	return r
}

// named tells whether a place tags what it makes with the tree's name.
func (c *chooser) named(p *place) bool {
	return slices.ContainsFunc(p.tags, func(t string) bool { return slices.Contains(c.tree.names(), strings.ToLower(repository(t))) })
}

// isMain tells whether one of a place's tags names no variant; without tags, its stage and its file.
func (p *place) isMain() bool {
	if len(p.tags) == 0 {
		return variant(p.target) == "" && variant(strings.TrimPrefix(strings.ToLower(path.Base(p.dockerfile)), "dockerfile")) == ""
	}
	return slices.ContainsFunc(p.tags, func(t string) bool {
		_, tag, _ := strings.Cut(path.Base(t), ":")
		return variant(tag) == "" && tag != "master" && tag != "main" && tag != "local"
	})
}

// takes tells whether anything of the tree is in the image, or is to be.
func (x *candidate) takes() bool {
	return len(x.missing()) > 0 || slices.ContainsFunc(x.target.Files.Placements(), func(p Placement) bool { return p.Origin.Kind == Source || p.Origin.Kind == Product })
}

// missing lists what is to be copied and is nowhere, of all stages that were followed for it.
func (x *candidate) missing() []Missing {
	var all []Missing
	for _, s := range x.image.stages {
		all = append(all, s.Missing...)
	}
	return all
}

// missingOfTree lists what the tree should have. What a stage should have may be made by a command that no ecosystem knows.
func (x *candidate) missingOfTree() []Missing {
	return slices.DeleteFunc(x.missing(), func(m Missing) bool { return m.From != "" })
}

// closure lists the builds whose products stand in a stage, and those that these need.
func closure(s *Stage) []*Build {
	var list []*Build
	seen := map[*Build]bool{}
	var visit func(f *Files, of *Build)
	visit = func(f *Files, of *Build) {
		for _, p := range f.Placements() {
			if b := p.Origin.Build; b != nil && !seen[b] && (of == nil || !of.repeats(b)) {
				seen[b] = true
				list = append(list, b)
				visit(b.Before, b)
			}
		}
	}
	visit(s.Files, nil)
	return list
}

func builtFor(s *Stage) []string {
	var names []string
	for _, b := range closure(s) {
		if n := b.Ecosystem + " " + b.folder(); !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}
