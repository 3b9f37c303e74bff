package solve

import (
	"fmt"
	"strings"

	"headwater/internal/rootfs/control"
)

// maxReasons is how many lines of a chain are told.
const maxReasons = 20

// UnsatisfiableError says why the wants cannot be had together.
type UnsatisfiableError struct {
	Reasons []string // who wants what, and what stands against it; each follows from those before
}

func (e *UnsatisfiableError) Error() string {
	return "choose packages: these cannot be had together:\n  " + strings.Join(e.Reasons, "\n  ")
}

func (s *search) explain(conflict *clause) error {
	e := &UnsatisfiableError{}
	for _, c := range s.core(conflict) {
		e.Reasons = append(e.Reasons, s.sentence(c))
	}
	if n := len(e.Reasons) - maxReasons; n > 1 {
		e.Reasons = append(e.Reasons[:maxReasons:maxReasons], fmt.Sprintf("… and %d more", n))
	}
	return e
}

func (s *search) sentence(c *clause) string {
	switch w := c.why; {
	case w.want != nil:
		name := w.want.Relation.String()
		if w.want.Label != "" {
			name += " of " + w.want.Label
		}
		return name + " " + w.want.Why + s.candidates(c, control.Clause{w.want.Relation})
	case w.depends != nil:
		return w.pkg.String() + " depends on " + w.depends.String() + s.candidates(c, w.depends)
	case w.conflict != nil:
		return w.pkg.String() + " conflicts with " + w.conflict.String() + ": " + w.other.String()
	default:
		return w.pkg.String() + " and " + w.other.String() + " exclude one another"
	}
}

// candidates tells what would fulfil a clause; where that is nothing, what comes near.
func (s *search) candidates(c *clause, wanted control.Clause) string {
	var names []string
	for _, l := range c.lits[1:] {
		names = append(names, s.pkgs[l.variable()].String())
	}
	if len(names) > 0 {
		return ": " + few(names, " or ")
	}
	for _, r := range wanted {
		for _, p := range s.pool.Find(control.Relation{Name: r.Name}) {
			names = append(names, p.String())
		}
	}
	if len(names) == 0 {
		return ", which no suite has"
	}
	return ", but there is only " + few(names, ", ")
}

// few joins the first of many names.
func few(names []string, sep string) string {
	if n := len(names) - 4; n > 1 {
		names = append(names[:4:4], fmt.Sprintf("%d more", n))
	}
	return strings.Join(names, sep)
}
