// Package solve chooses packages: those wanted, and of what they depend on the most preferred that go together.
//
// It is a search by unit propagation with learning from conflicts (as SAT solvers do it), over clauses that are made when a
// package is first chosen, so that what nothing leads to is never looked at. Decisions follow the pool's order of preference
// and the order in which dependencies are written; the same pool and wants always give the same answer.
package solve

import (
	"context"
	"errors"
	"slices"
	"strings"

	"headwater/internal/rootfs/control"
)

// maxConflicts ends a search that an archive's maintainers cannot have meant.
const maxConflicts = 50_000

// Package is one version of a package.
type Package struct {
	Name      string
	Version   control.Version
	Label     string // where it is from, for people and for Want: the suite
	Depends   []control.Clause
	Conflicts []control.Relation // with packages of other names
}

// String names the package for people.
func (p *Package) String() string {
	if p.Label == "" {
		return p.Name + " " + p.Version.String()
	}
	return p.Name + " " + p.Version.String() + " (" + p.Label + ")"
}

// Pool is what can be chosen from.
type Pool interface {
	// Find returns what fulfils the relation, by its name or by providing it, the most preferred first. The same package
	// is the same pointer every time.
	Find(control.Relation) []*Package
}

// Want is a package to be chosen.
type Want struct {
	control.Relation
	Label string // only packages with this label, "" for any
	Why   string // for people: "is asked for"
}

// Solve returns what was chosen, sorted by name. The error is an *UnsatisfiableError where nothing goes together.
func Solve(ctx context.Context, pool Pool, wants []Want) ([]*Package, error) {
	s := &search{pool: pool, index: map[*Package]variable{}}
	request := s.variable(&Package{})
	s.expanded[request] = true
	s.assign(literal(request), nil)
	conflict := s.addWants(request, wants)
	for conflicts := 0; ; {
		if conflict == nil {
			conflict = s.propagate()
		}
		if conflict != nil {
			if conflicts++; conflicts > maxConflicts {
				return nil, errors.New("choose packages: gave up after too many conflicts between them")
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if !s.learn(conflict) {
				return nil, s.explain(conflict)
			}
			conflict = nil
			continue
		}
		if v, ok := s.unexpanded(); ok {
			conflict = s.expand(v)
			continue
		}
		l, ok := s.choose()
		if !ok {
			return s.chosen(request), nil
		}
		s.marks = append(s.marks, len(s.trail))
		s.assign(l, nil)
	}
}

// A variable says that a package is chosen; a literal is a variable (even) or its opposite (odd).
type (
	variable int
	lit      int
)

func literal(v variable) lit     { return lit(v) << 1 }
func (l lit) not() lit           { return l ^ 1 }
func (l lit) variable() variable { return variable(l >> 1) }

// clause is a list of literals of which one must hold.
type clause struct {
	lits    []lit
	why     reason
	parents []*clause // what a learned clause follows from; nil for others
}

// reason tells a person where a clause comes from.
type reason struct {
	want     *Want
	pkg      *Package
	depends  control.Clause
	conflict *control.Relation
	other    *Package
}

type search struct {
	pool  Pool
	index map[*Package]variable

	// by variable
	pkgs     []*Package
	expanded []bool
	level    []int     // of the decision that its value follows from
	because  []*clause // why it has its value, nil for a decision
	needs    [][]*clause

	// by literal
	holds  []bool
	occurs [][]*clause

	originals []*clause // clauses that are not learned, in the order they were made
	trail     []lit     // what holds, in the order it came to
	next      int       // first literal of the trail that is not propagated yet
	marks     []int     // length of the trail before each decision
}

func (s *search) variable(p *Package) variable {
	if v, ok := s.index[p]; ok {
		return v
	}
	v := variable(len(s.pkgs))
	s.index[p] = v
	s.pkgs = append(s.pkgs, p)
	s.expanded = append(s.expanded, false)
	s.level = append(s.level, 0)
	s.because = append(s.because, nil)
	s.needs = append(s.needs, nil)
	s.holds = append(s.holds, false, false)
	s.occurs = append(s.occurs, nil, nil)
	return v
}

func (s *search) assign(l lit, because *clause) {
	s.holds[l] = true
	v := l.variable()
	s.level[v], s.because[v] = len(s.marks), because
	s.trail = append(s.trail, l)
}

// settle looks at a clause: it is returned where none of its literals can hold, and makes the last one that can hold.
func (s *search) settle(c *clause) *clause {
	open := lit(-1)
	for _, l := range c.lits {
		switch {
		case s.holds[l]:
			return nil
		case s.holds[l.not()]:
		case open >= 0:
			return nil
		default:
			open = l
		}
	}
	if open < 0 {
		return c
	}
	s.assign(open, c)
	return nil
}

func (s *search) propagate() (conflict *clause) {
	for ; s.next < len(s.trail); s.next++ {
		for _, c := range s.occurs[s.trail[s.next].not()] {
			if conflict := s.settle(c); conflict != nil {
				return conflict
			}
		}
	}
	return nil
}

// add registers a clause, and returns it if it is in conflict with what holds.
func (s *search) add(c *clause) *clause {
	if c.parents == nil {
		s.originals = append(s.originals, c)
	}
	for _, l := range c.lits {
		s.occurs[l] = append(s.occurs[l], c)
	}
	return s.settle(c)
}

func (s *search) addWants(request variable, wants []Want) (conflict *clause) {
	for i, w := range wants {
		c := &clause{lits: []lit{literal(request).not()}, why: reason{want: &wants[i]}}
		for _, p := range s.pool.Find(w.Relation) {
			if w.Label == "" || p.Label == w.Label {
				c.lits = append(c.lits, literal(s.variable(p)))
			}
		}
		s.needs[request] = append(s.needs[request], c)
		if bad := s.add(c); conflict == nil {
			conflict = bad
		}
	}
	return conflict
}

// unexpanded finds a chosen package of which the clauses have not been made.
func (s *search) unexpanded() (variable, bool) {
	for _, l := range s.trail {
		if v := l.variable(); l == literal(v) && !s.expanded[v] {
			return v, true
		}
	}
	return 0, false
}

// expand makes the clauses of a package. They hold whether or not it stays chosen.
func (s *search) expand(v variable) (conflict *clause) {
	s.expanded[v] = true
	p := s.pkgs[v]
	add := func(c *clause) {
		if bad := s.add(c); conflict == nil {
			conflict = bad
		}
	}
	for _, other := range s.pool.Find(control.Relation{Name: p.Name}) {
		if other != p && other.Name == p.Name {
			add(&clause{lits: []lit{literal(v).not(), literal(s.variable(other)).not()}, why: reason{pkg: p, other: other}})
		}
	}
	for i, r := range p.Conflicts {
		for _, other := range s.pool.Find(r) {
			if other.Name != p.Name {
				add(&clause{lits: []lit{literal(v).not(), literal(s.variable(other)).not()}, why: reason{pkg: p, other: other, conflict: &p.Conflicts[i]}})
			}
		}
	}
	for _, d := range p.Depends {
		c := &clause{lits: []lit{literal(v).not()}, why: reason{pkg: p, depends: d}}
		for _, r := range d {
			for _, other := range s.pool.Find(r) {
				if l := literal(s.variable(other)); !slices.Contains(c.lits, l) {
					c.lits = append(c.lits, l)
				}
			}
		}
		if slices.Contains(c.lits, literal(v)) {
			continue // it provides what it needs
		}
		s.needs[v] = append(s.needs[v], c)
		add(c)
	}
	return conflict
}

// choose finds what to decide: the preferred candidate of a dependency that nothing fulfils yet. Those that leave open only
// which version to take come first, for they may fulfil the others.
func (s *search) choose() (lit, bool) {
	other := lit(-1)
	for _, l := range s.trail {
		if l != literal(l.variable()) {
			continue
		}
		for _, c := range s.needs[l.variable()] {
			open, oneName := s.open(c)
			switch {
			case open < 0:
			case oneName:
				return open, true
			case other < 0:
				other = open
			}
		}
	}
	return other, other >= 0
}

// open is the first literal of c that can still be made to hold, -1 if c holds already.
func (s *search) open(c *clause) (open lit, oneName bool) {
	open, oneName = -1, true
	for _, l := range c.lits {
		switch {
		case s.holds[l]:
			return -1, false
		case s.holds[l.not()]:
		case open < 0:
			open = l
		case s.pkgs[l.variable()].Name != s.pkgs[open.variable()].Name:
			oneName = false
		}
	}
	return open, oneName
}

// chosen lists what the request needs, each dependency fulfilled by the first package that does.
func (s *search) chosen(request variable) []*Package {
	seen := map[variable]bool{request: true}
	var list []*Package
	for queue := []variable{request}; len(queue) > 0; queue = queue[1:] {
		for _, c := range s.needs[queue[0]] {
			for _, l := range c.lits {
				if !s.holds[l] {
					continue
				}
				if v := l.variable(); !seen[v] {
					seen[v] = true
					queue = append(queue, v)
					list = append(list, s.pkgs[v])
				}
				break
			}
		}
	}
	slices.SortFunc(list, func(a, b *Package) int { return strings.Compare(a.Name, b.Name) })
	return list
}
