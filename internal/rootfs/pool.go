package rootfs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"headwater/internal/rootfs/control"
	"headwater/internal/rootfs/index"
	"headwater/internal/rootfs/solve"
)

// pool is the packages of a root's suites as package solve sees them. Versions and relations are parsed when a name is first
// looked for: of some hundred thousand packages a root's dependencies touch a few thousand.
type pool struct {
	named     map[string][]*entry // packages by name
	providers map[string][]*entry // packages that provide a name, by that name
	essential map[string]bool     // names of the first release's essential packages

	found   map[string][]candidate // by name, the most preferred first
	entries map[*solve.Package]*entry
	err     error // the first thing that could not be parsed
}

// entry is a package in a suite.
type entry struct {
	*index.Package
	suite  string
	rank   int            // of its release, 0 is the most preferred
	order  int            // of its suite
	parsed *solve.Package // nil until it is looked for
}

// candidate is a package that fulfils a relation to a name, as far as the relation's bounds admit the version.
type candidate struct {
	*entry
	version control.Version // the package's own, or what it provides the name as; zero if it does not say
}

// release is a suite's name without the ending that makes it a part of a release.
func release(suite string) string {
	for _, end := range []string{"-security", "-proposed-updates", "-updates"} {
		if r, ok := strings.CutSuffix(suite, end); ok {
			return r
		}
	}
	return suite
}

func newPool(suites []*suite) *pool {
	p := &pool{
		named: map[string][]*entry{}, providers: map[string][]*entry{}, essential: map[string]bool{},
		found: map[string][]candidate{}, entries: map[*solve.Package]*entry{},
	}
	var releases []string
	for order, s := range suites {
		rank := slices.Index(releases, release(s.name))
		if rank < 0 {
			rank = len(releases)
			releases = append(releases, release(s.name))
		}
		entries := make([]entry, len(s.packages))
		for i := range s.packages {
			e := &entries[i]
			*e = entry{Package: &s.packages[i], suite: s.name, rank: rank, order: order}
			p.add(e)
		}
	}
	return p
}

func (p *pool) add(e *entry) {
	if e.Arch != arch && e.Arch != "all" {
		return
	}
	p.named[e.Name] = append(p.named[e.Name], e)
	if e.Essential == "yes" && e.rank == 0 {
		p.essential[e.Name] = true
	}
	for _, c := range p.relations(e, "Provides", e.Provides) {
		p.providers[c[0].Name] = append(p.providers[c[0].Name], e)
	}
}

// Find implements solve.Pool: packages of the name first, then those that provide it.
func (p *pool) Find(r control.Relation) []*solve.Package {
	if !native(r) {
		return nil
	}
	var list []*solve.Package
	for _, c := range p.candidates(r.Name) {
		if r.Admits(c.version) && !slices.Contains(list, c.parsed) {
			list = append(list, c.parsed)
		}
	}
	return list
}

// native tells whether a relation is to packages of the root's architecture.
func native(r control.Relation) bool {
	return r.Arch == "" || r.Arch == "any" || r.Arch == "native" || r.Arch == arch
}

func (p *pool) candidates(name string) []candidate {
	if list, ok := p.found[name]; ok {
		return list
	}
	var own, providing []candidate
	for _, e := range p.named[name] {
		p.parse(e)
		own = append(own, candidate{e, e.parsed.Version})
	}
	for _, e := range p.providers[name] {
		p.parse(e)
		for _, c := range p.relations(e, "Provides", e.Provides) {
			if c[0].Name == name {
				providing = append(providing, candidate{e, c[0].Version})
			}
		}
	}
	slices.SortStableFunc(own, compareVersions)
	slices.SortStableFunc(providing, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(priority(a.Priority), priority(b.Priority)), strings.Compare(a.Name, b.Name), compareVersions(a, b))
	})
	p.found[name] = append(own, providing...)
	return p.found[name]
}

// compareVersions orders the packages of a name: by release, then the latest first, then by suite.
func compareVersions(a, b candidate) int {
	return cmp.Or(cmp.Compare(a.rank, b.rank), b.parsed.Version.Compare(a.parsed.Version), cmp.Compare(a.order, b.order))
}

// priority orders Debian's priorities, the most common in an installation first. (Policy 2.5.)
func priority(s string) int {
	list := []string{"required", "important", "standard", "optional"}
	if i := slices.Index(list, s); i >= 0 {
		return i
	}
	return len(list)
}

// parse makes e a solve.Package.
func (p *pool) parse(e *entry) {
	if e.parsed != nil {
		return
	}
	pkg := &solve.Package{Name: e.Name, Label: e.suite}
	e.parsed = pkg
	p.entries[pkg] = e
	var err error
	if pkg.Version, err = control.ParseVersion(e.Version); err != nil {
		p.fail(e, err)
	}
	for _, c := range p.relations(e, "Pre-Depends", e.PreDepends) {
		// What must be there before the package is even unpacked may be an installer that knows how to.
		if !slices.ContainsFunc(c, func(r control.Relation) bool { return r.Name == "dpkg" }) {
			pkg.Depends = append(pkg.Depends, c)
		}
	}
	pkg.Depends = append(pkg.Depends, p.relations(e, "Depends", e.Depends)...)
	pkg.Depends = slices.DeleteFunc(pkg.Depends, func(c control.Clause) bool {
		return slices.ContainsFunc(c, func(r control.Relation) bool { return slices.Contains(notNeeded(), r.Name) })
	})
	for _, c := range slices.Concat(p.relations(e, "Conflicts", e.Conflicts), p.relations(e, "Breaks", e.Breaks)) {
		pkg.Conflicts = append(pkg.Conflicts, c[0])
	}
}

func (p *pool) relations(e *entry, field, value string) []control.Clause {
	if value == "" {
		return nil
	}
	list, err := control.ParseRelations(value)
	if err != nil {
		p.fail(e, fmt.Errorf("%s: %w", field, err))
	}
	return list
}

func (p *pool) fail(e *entry, err error) {
	if p.err == nil {
		p.err = fmt.Errorf("package %s %s (%s): %w", e.Name, e.Version, e.suite, err)
	}
}
