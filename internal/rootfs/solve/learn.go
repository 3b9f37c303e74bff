package solve

import "slices"

// learn takes a conflict back to its cause: it adds a clause that excludes it, and undoes decisions as far as that clause
// tells what else must hold. It returns false where no decision is to blame.
func (s *search) learn(conflict *clause) bool {
	// A clause that was just made may conflict with what was decided long ago.
	top := 0
	for _, l := range conflict.lits {
		top = max(top, s.level[l.variable()])
	}
	s.undo(top)
	if top == 0 {
		return false
	}
	learned, back := s.analyze(conflict, top)
	s.undo(back)
	s.add(learned)
	return true
}

// analyze resolves the conflict with the causes of the literals that the last decision led to, latest first, until one such
// literal is left: its opposite is what the decisions before would have implied. back is the level of the latest of those.
func (s *search) analyze(conflict *clause, top int) (learned *clause, back int) {
	learned = &clause{lits: []lit{0}}
	seen := map[variable]bool{}
	open := 0 // literals of level top that are not resolved yet
	at := len(s.trail)
	for c := conflict; ; {
		learned.parents = append(learned.parents, c)
		for _, l := range c.lits {
			v := l.variable()
			if seen[v] || s.level[v] == 0 || s.holds[l] {
				continue
			}
			seen[v] = true
			if s.level[v] == top {
				open++
				continue
			}
			learned.lits = append(learned.lits, l)
			back = max(back, s.level[v])
		}
		for at--; !seen[s.trail[at].variable()] || s.level[s.trail[at].variable()] != top; at-- {
		}
		if open--; open == 0 {
			learned.lits[0] = s.trail[at].not()
			return learned, back
		}
		c = s.because[s.trail[at].variable()]
	}
}

// undo takes back all decisions after the given level.
func (s *search) undo(level int) {
	if level >= len(s.marks) {
		return
	}
	keep := s.marks[level]
	for _, l := range s.trail[keep:] {
		s.holds[l] = false
	}
	s.trail, s.marks = s.trail[:keep], s.marks[:level]
	// A clause that was made late may tell something of a level before the one it was made at: look at all again.
	s.next = 0
}

// core lists the original clauses that the conflict follows from, in the order they were made.
func (s *search) core(conflict *clause) []*clause {
	in := map[*clause]bool{}
	for stack := []*clause{conflict}; len(stack) > 0; {
		c := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if c == nil || in[c] {
			continue
		}
		in[c] = true
		stack = append(stack, c.parents...)
		for _, l := range c.lits {
			// What holds by now holds for good.
			if v := l.variable(); s.holds[l] || s.holds[l.not()] {
				stack = append(stack, s.because[v])
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(s.originals), func(c *clause) bool { return !in[c] })
}
