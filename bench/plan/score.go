package main

// tally counts facts of a class.
type tally struct{ right, wrong, missing int }

func (t tally) precision() float64 { return ratio(t.right, t.right+t.wrong) }
func (t tally) recall() float64    { return ratio(t.right, t.right+t.missing) }
func (t tally) f1() float64        { return ratio(2*t.right, 2*t.right+t.wrong+t.missing) }

// part is how many of all are right.
type part struct{ right, all int }

// score is of one tree, or the sum of several.
type score struct {
	cases, silent   int
	sure, right     bool // of one tree
	tally           map[string]tally
	evidence, cited part
	details         []string
}

func (s *score) add(o score) {
	if s.tally == nil {
		s.tally = map[string]tally{}
	}
	for class, t := range o.tally {
		sum := s.tally[class]
		s.tally[class] = tally{sum.right + t.right, sum.wrong + t.wrong, sum.missing + t.missing}
	}
	s.cases += o.cases
	s.silent += o.silent
	s.evidence = part{s.evidence.right + o.evidence.right, s.evidence.all + o.evidence.all}
	s.cited = part{s.cited.right + o.cited.right, s.cited.all + o.cited.all}
}

func (s score) f1() float64 {
	var sum tally
	for _, t := range s.tally {
		sum = tally{sum.right + t.right, sum.wrong + t.wrong, sum.missing + t.missing}
	}
	return sum.f1()
}

// verdict is what became of the main product.
func (s score) verdict() string {
	switch {
	case s.silent > 0:
		return "WRONG"
	case s.right && s.sure:
		return "right"
	case s.right:
		return "unsure"
	}
	return "asks"
}
