package difference

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxDepth is how many archives inside one another are looked into.
const maxDepth = 3

// contents explains how two files differ; base is where in them a and b begin.
func (j judge) contents(name string, a, b []byte, base int64, depth int) []File {
	if base == 0 && depth > 0 {
		if files := j.archives(name, a, b, depth); len(files) > 0 {
			return files
		}
	}
	f := File{Path: name, What: Content}
	if isText(a) && isText(b) {
		j.lines(&f, a, b, base)
	} else {
		j.binary(&f, a, b, base)
	}
	if f.Cause == Unknown && f.Why == "" {
		f.Why = fmt.Sprintf("nothing in these bytes tells; the file has %s and %s", size(int64(len(a))+base), size(int64(len(b))+base))
	}
	return []File{f}
}

func size(n int64) string { return fmt.Sprintf("%d bytes", n) }

func isText(b []byte) bool { return bytes.IndexByte(b, 0) < 0 && utf8.Valid(b) }

// linePair is a line of each that differs. Lines of only one file have the other's as "".
type linePair struct {
	line   int
	offset int64
	a, b   string
}

// maxPairs is how many lines that differ are judged.
const maxPairs = 200

// lines explains how two texts differ.
func (j judge) lines(f *File, a, b []byte, base int64) {
	x, y := strings.Split(string(a), "\n"), strings.Split(string(b), "\n")
	first := 0
	var offset int64
	for first < min(len(x), len(y)) && x[first] == y[first] {
		offset += int64(len(x[first])) + 1
		first++
	}
	endX, endY := len(x), len(y)
	for endX > first && endY > first && x[endX-1] == y[endY-1] {
		endX, endY = endX-1, endY-1
	}
	x, y = x[first:endX], y[first:endY]
	if cause, why := reordered(x, y, "lines"); cause != "" {
		f.Cause, f.Why = cause, why
		p := linePair{first + 1, base + offset, x[0], y[0]}
		f.Spots = []Spot{p.spot(base == 0)}
		return
	}
	var verdicts []verdict
	for _, p := range pairs(x, y) {
		p.line, p.offset = p.line+first+1, p.offset+offset+base
		if len(f.Spots) < MaxSpots {
			f.Spots = append(f.Spots, p.spot(base == 0))
		}
		cause, why := j.text(p.a, p.b)
		verdicts = append(verdicts, verdict{cause, why})
	}
	f.Cause, f.Why = foremost(verdicts)
	if f.Cause == Unknown && sameTokens(strings.Join(x, "\n"), strings.Join(y, "\n")) {
		f.Cause, f.Why = Order, "the same words in another order"
	}
	if f.Cause == Unknown && len(x) != len(y) {
		f.Why = fmt.Sprintf("%d lines in place of %d", len(y), len(x))
	}
}

// reordered tells whether two lists of lines are one in two orders, and whether it is the order of two languages.
func reordered(x, y []string, what string) (Cause, string) {
	if len(x) < 2 || len(x) != len(y) {
		return "", ""
	}
	bytewise := slices.Sorted(slices.Values(x))
	if !slices.Equal(bytewise, slices.Sorted(slices.Values(y))) {
		return "", ""
	}
	fold := func(s string) string { return strings.ToLower(strings.TrimLeft(s, "_-.\"' ")) }
	folded := func(l []string) bool {
		return slices.IsSortedFunc(l, func(a, b string) int { return strings.Compare(fold(a), fold(b)) })
	}
	if folded(x) && slices.IsSorted(y) || folded(y) && slices.IsSorted(x) {
		return Locale, fmt.Sprintf("the same %d %s, one time sorted as bytes and one time as a language sorts", len(x), what)
	}
	return Order, fmt.Sprintf("the same %d %s in another order", len(x), what)
}

// pairs puts lines beside one another: line by line, or those that the other file has not, whichever are fewer.
func pairs(x, y []string) []linePair {
	apart := missing(x, y)
	if len(x) != len(y) {
		return apart
	}
	var list []linePair
	offset := int64(0)
	for i := range x {
		if x[i] != y[i] {
			list = append(list, linePair{i, offset, x[i], y[i]})
		}
		if len(list) > len(apart) {
			return apart
		}
		offset += int64(len(x[i])) + 1
	}
	return list
}

// missing pairs the lines of each that the other has not, in their order, at most maxPairs.
func missing(x, y []string) []linePair {
	var list []linePair
	left := map[string]int{}
	for _, l := range y {
		left[l]++
	}
	common := map[string]int{} // lines that both have
	offset := int64(0)
	for i, l := range x {
		if left[l] > 0 {
			left[l]--
			common[l]++
		} else if len(list) < maxPairs {
			list = append(list, linePair{i, offset, l, ""})
		}
		offset += int64(len(l)) + 1
	}
	i := 0
	for _, l := range y {
		if common[l] > 0 {
			common[l]--
			continue
		}
		switch {
		case i < len(list):
			list[i].b = l
		case i < maxPairs:
			list = append(list, linePair{len(x), offset, "", l})
		}
		i++
	}
	return list
}

// shown is how much of a line is shown, in bytes, and lead how much of it comes before what differs.
const (
	shown = 120
	lead  = 40
)

// spot shows a pair: of a long line the part that differs.
func (p linePair) spot(numbered bool) Spot {
	from, _, _ := middle(p.a, p.b)
	s := Spot{Offset: p.offset + int64(from), Here: excerpt(p.a, from), There: excerpt(p.b, from)}
	if numbered {
		s.Line = p.line
	}
	return s
}

// excerpt is a part of a line, around at, without what a terminal would obey.
func excerpt(s string, at int) string {
	start := 0
	if len(s) > shown {
		start = max(at-lead, 0)
	}
	end := min(start+shown, len(s))
	text := strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f || r == utf8.RuneError {
			return '.'
		}
		return r
	}, s[start:end])
	if start > 0 {
		text = "…" + text
	}
	if end < len(s) {
		text += "…"
	}
	return text
}

// verdict is what one place of a file says.
type verdict struct {
	cause Cause
	why   string
}

// foremost is the cause that most places speak for, of those that are known; what follows from others comes last.
func foremost(list []verdict) (Cause, string) {
	weight := func(c Cause) int {
		switch c {
		case Unknown, "":
			return 0
		case Follows, Number:
			return 1
		}
		return 2
	}
	count := map[Cause]int{}
	for _, v := range list {
		count[v.cause]++
	}
	best := verdict{cause: Unknown}
	if len(list) > 0 && list[0].cause == Unknown {
		best.why = list[0].why
	}
	for _, v := range list { // in their order: the first of equals
		if w, b := weight(v.cause), weight(best.cause); w > b || w == b && count[v.cause] > count[best.cause] {
			best = v
		}
	}
	return best.cause, best.why
}

// Foremost is the cause that most of the files speak for, of those that are known, and what speaks for it.
func Foremost(files []File) (Cause, string) {
	list := make([]verdict, len(files))
	for i, f := range files {
		list[i] = verdict{f.Cause, f.Why}
	}
	return foremost(list)
}

// run is a place where bytes differ: [from, toA) and [from, toB).
type run struct{ from, toA, toB int }

// maxRuns is how many places of a binary file are judged; gap is how many equal bytes part two of them.
const (
	maxRuns = 200
	gap     = 4
)

func runs(a, b []byte) []run {
	if len(a) != len(b) {
		from, toA, toB := middle(string(a), string(b))
		return []run{{from, toA, toB}}
	}
	var list []run
	for i := range a {
		switch {
		case a[i] == b[i]:
		case len(list) > 0 && i-list[len(list)-1].toA < gap:
			list[len(list)-1].toA, list[len(list)-1].toB = i+1, i+1
		case len(list) == maxRuns:
			return list
		default:
			list = append(list, run{i, i + 1, i + 1})
		}
	}
	return list
}

// binary explains how two files differ that are not text.
func (j judge) binary(f *File, a, b []byte, base int64) {
	var verdicts []verdict
	for _, r := range runs(a, b) {
		if len(f.Spots) < MaxSpots {
			f.Spots = append(f.Spots, Spot{Offset: base + int64(r.from), Here: dump(a, r.from, base), There: dump(b, r.from, base)})
		}
		cause, why := j.run(a, b, r)
		verdicts = append(verdicts, verdict{cause, why})
	}
	f.Cause, f.Why = foremost(verdicts)
	if f.Cause == Unknown && histogram(a) == histogram(b) {
		f.Cause, f.Why = Order, "the same bytes in another order"
	}
}

func (j judge) run(a, b []byte, r run) (Cause, string) {
	if cause, why := j.stamp(a, b, r.from); cause != "" {
		return cause, why
	}
	if cause, why := identifier(a, b, r.from, r.toA); cause != "" {
		return cause, why
	}
	x, y := printable(a, r.from, r.toA), printable(b, r.from, r.toB)
	if x != "" && y != "" {
		return j.text(x, y)
	}
	return Unknown, ""
}

// leastText is how many printable bytes are a text.
const leastText = 6

// printable is the text that [from, to) is in, "" if it is in none. It is short: who reads it has the file.
func printable(b []byte, from, to int) string {
	in := func(c byte) bool { return c >= ' ' && c < 0x7f || c == '\t' }
	for _, c := range b[from:to] {
		if !in(c) {
			return ""
		}
	}
	start, end := from, to
	for start > 0 && from-start < 1<<10 && in(b[start-1]) {
		start--
	}
	for end < len(b) && end-to < 1<<10 && in(b[end]) {
		end++
	}
	if end-start < leastText {
		return ""
	}
	return string(b[start:end])
}

func histogram(b []byte) (h [256]int) {
	for _, c := range b {
		h[c]++
	}
	return h
}

// dump shows the sixteen bytes that at is in, as hexdump -C does.
func dump(b []byte, at int, base int64) string {
	start := at &^ 15
	end := min(start+16, len(b))
	if start >= end {
		return fmt.Sprintf("%08x  (the end)", base+int64(len(b)))
	}
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return '.'
		}
		return r
	}, latin1(b[start:end]))
	return fmt.Sprintf("%08x  %-47s  |%s|", base+int64(start), fmt.Sprintf("% x", b[start:end]), text)
}

// latin1 makes each byte a rune.
func latin1(b []byte) string {
	r := make([]rune, len(b))
	for i, c := range b {
		r[i] = rune(c)
	}
	return string(r)
}
