package python

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Provider tells a Resolver what there is.
type Provider interface {
	// Candidates lists a package's versions for the target, newest first.
	Candidates(ctx context.Context, name string) ([]Candidate, error)
	// Requires lists what a candidate depends on, with its extras' requirements, whose markers name the extra.
	Requires(ctx context.Context, c Candidate) ([]Requirement, error)
}

// Resolver chooses versions that satisfy requirements: of each package the newest that the others allow, tried in the order
// in which requirements name them. What had no part in a conflict is not chosen anew for it (conflict-directed backjumping: Prosser 1993), which leaves out
// no choice that is possible. The same requirements, offers and preferences give the same choice.
type Resolver struct {
	Provider    Provider
	Environment Environment
	Prefer      map[string]Version // tried first, where they satisfy: what a previous lock had
	Constraints []Requirement      // bound versions of what is chosen, and choose nothing themselves
}

// maxSteps bounds the search. Build requirements are few; a search that long has no solution that a person would find.
const maxSteps = 20_000

// ConflictError says that no choice satisfies the requirements.
type ConflictError struct {
	Name string   // the package that the search failed at last
	Why  []string // the requirements on it, by whom
	// among are the packages whose choice led to it: another choice of any other leads to it again.
	among map[string]bool
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("no version of %s satisfies %s", e.Name, strings.Join(e.Why, " and "))
}

// Resolve chooses candidates for the requirements and all that they need in turn, sorted by name.
func (r *Resolver) Resolve(ctx context.Context, requirements []Requirement) ([]Candidate, error) {
	s := &search{Resolver: r, ctx: ctx}
	var open []demand
	for _, q := range requirements {
		open = s.add(open, "", q, nil)
	}
	chosen, err := s.solve(open, nil)
	if err != nil {
		if s.steps > maxSteps {
			err = fmt.Errorf("no choice found in %d steps; the last failure: %w", maxSteps, err)
		}
		return nil, fmt.Errorf("resolve requirements: %w", err)
	}
	out := make([]Candidate, 0, len(chosen))
	for _, c := range chosen {
		out = append(out, c.Candidate)
	}
	slices.SortFunc(out, func(a, b Candidate) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// demand is a requirement and who has it.
type demand struct {
	Requirement
	by string
}

func (d demand) describe() string {
	if d.by == "" {
		return d.String()
	}
	return d.String() + " (of " + d.by + ")"
}

// choice is a candidate and the extras of it that are demanded so far.
type choice struct {
	Candidate
	extras []string
}

type search struct {
	*Resolver
	ctx   context.Context
	steps int
}

// add appends a requirement whose marker holds for one of the extras.
func (s *search) add(open []demand, by string, q Requirement, extras []string) []demand {
	env := s.Environment
	env.Extras = extras
	if q.Marker != nil && !q.Marker.Holds(env) {
		return open
	}
	return append(open, demand{q, by})
}

// solve extends the choice until every demand is met. all holds every demand so far, met or not.
func (s *search) solve(all []demand, chosen []choice) ([]choice, error) {
	if err := s.ctx.Err(); err != nil {
		return nil, err
	}
	if s.steps++; s.steps > maxSteps {
		return nil, errors.New("too many steps")
	}
	next, done := unmet(all, chosen)
	if done {
		return chosen, nil
	}
	if next.URL != "" {
		return nil, &UnsupportedError{What: fmt.Sprintf("requirement %s names an address", next.describe())}
	}
	if i := find(chosen, next.Name); i >= 0 {
		// Chosen already, and now with further extras: what these require joins the demands.
		c := choice{chosen[i].Candidate, union(chosen[i].extras, next.Extras)}
		demands, err := s.demands(all, c)
		if err != nil {
			return nil, err
		}
		after := slices.Clone(chosen)
		after[i] = c
		found, err := s.try(demands, after)
		var conflict *ConflictError
		if errors.As(err, &conflict) && conflict.among[c.Name] { // and so did who demands the extras
			maps.Copy(conflict.among, s.conflict(all, c.Name).among)
		}
		return found, err
	}
	candidates, err := s.admitted(all, next.Name)
	if err != nil {
		return nil, err
	}
	failed := s.conflict(all, next.Name)
	among := failed.among
	for _, c := range candidates {
		added := choice{c, next.Extras}
		demands, err := s.demands(all, added)
		if err != nil {
			return nil, err
		}
		found, err := s.try(demands, append(slices.Clone(chosen), added))
		var conflict *ConflictError
		if err == nil || !errors.As(err, &conflict) || !conflict.among[next.Name] {
			return found, err
		}
		failed = conflict
		maps.Copy(among, conflict.among)
	}
	delete(among, next.Name)
	return nil, &ConflictError{failed.Name, failed.Why, among}
}

// try goes on where no demand speaks against what is chosen.
func (s *search) try(all []demand, chosen []choice) ([]choice, error) {
	for _, c := range chosen {
		if !s.satisfies(all, c.Candidate) {
			conflict := s.conflict(all, c.Name)
			conflict.among[c.Name] = true
			return nil, conflict
		}
	}
	return s.solve(all, chosen)
}

// unmet is the first demand for a package, or for an extra of one, that is not chosen.
func unmet(all []demand, chosen []choice) (demand, bool) {
	for _, d := range all {
		i := find(chosen, d.Name)
		if i < 0 || len(union(chosen[i].extras, d.Extras)) > len(chosen[i].extras) {
			return d, false
		}
	}
	return demand{}, true
}

func find(chosen []choice, name string) int {
	return slices.IndexFunc(chosen, func(c choice) bool { return c.Name == name })
}

func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// demands adds what a choice requires. For a choice that gained extras that repeats demands, which does no harm.
func (s *search) demands(all []demand, c choice) ([]demand, error) {
	requires, err := s.Provider.Requires(s.ctx, c.Candidate)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(all)
	by := c.Name + " " + c.Version.String()
	extras := c.extras
	if len(extras) == 0 {
		extras = []string{""}
	}
	for _, q := range requires {
		for _, extra := range extras {
			n := len(out)
			if out = s.add(out, by, q, []string{extra}); len(out) > n {
				break
			}
		}
	}
	return out, nil
}

// admitted are the candidates that all demands allow, in the order to try: what is preferred, then wheels newest first, then
// sdists newest first, since what has no wheel must be built to be known.
func (s *search) admitted(all []demand, name string) ([]Candidate, error) {
	candidates, err := s.Provider.Candidates(s.ctx, name)
	if err != nil {
		return nil, err
	}
	prefer, preferred := s.Prefer[name]
	rank := func(c Candidate) int {
		switch {
		case preferred && c.Version.Compare(prefer) == 0:
			return 0
		case !c.SDist:
			return 1
		}
		return 2
	}
	var final, pre []Candidate
	for _, c := range candidates {
		switch {
		case !s.satisfies(all, c) || c.Yanked && rank(c) > 0 && !s.pinned(all, name):
		case c.Version.IsPre() && rank(c) > 0 && !s.namesPre(all, name):
			pre = append(pre, c)
		default:
			final = append(final, c)
		}
	}
	if len(final) == 0 {
		final = pre // a pre-release is taken where there is nothing else
	}
	slices.SortStableFunc(final, func(a, b Candidate) int { return rank(a) - rank(b) })
	return final, nil
}

// on are the clauses on a package, constraints among them.
func (s *search) on(all []demand, name string) []Specifiers {
	var out []Specifiers
	for _, d := range all {
		if d.Name == name {
			out = append(out, d.Specs)
		}
	}
	for _, c := range s.Constraints {
		if c.Name == name && (c.Marker == nil || c.Marker.Holds(s.Environment)) {
			out = append(out, c.Specs)
		}
	}
	return out
}

func (s *search) satisfies(all []demand, c Candidate) bool {
	return !slices.ContainsFunc(s.on(all, c.Name), func(specs Specifiers) bool { return !specs.Contains(c.Version) })
}

func (s *search) pinned(all []demand, name string) bool {
	return slices.ContainsFunc(s.on(all, name), Specifiers.Pins)
}

func (s *search) namesPre(all []demand, name string) bool {
	return slices.ContainsFunc(s.on(all, name), Specifiers.NamesPre)
}

// conflict is that of the demands for a package. Those who have them led to it.
func (s *search) conflict(all []demand, name string) *ConflictError {
	e := &ConflictError{Name: name, among: map[string]bool{}}
	for _, d := range all {
		if d.Name == name {
			e.Why = append(e.Why, d.describe())
			if by, _, chosen := strings.Cut(d.by, " "); chosen {
				e.among[by] = true
			}
		}
	}
	for _, c := range s.Constraints {
		if c.Name == name {
			e.Why = append(e.Why, c.String()+" (a constraint)")
		}
	}
	return e
}
