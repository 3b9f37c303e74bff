package python

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Version is a version of a distribution ("Version specifiers", formerly PEP 440). The zero value is version 0.
type Version struct {
	epoch     uint64
	release   []uint64 // without trailing zeros
	pre       part     // a, b, rc
	post, dev part
	local     []string // lower case
	text      string
}

// part is a letter and a number; no letter means that there is none.
type part struct {
	letter string
	number uint64
}

var versionPattern = regexp.MustCompile(`(?i)^v?(?:([0-9]+)!)?([0-9]+(?:\.[0-9]+)*)` +
	`(?:[-_.]?(alpha|beta|preview|pre|a|b|c|rc)[-_.]?([0-9]*))?` +
	`(?:-([0-9]+)|[-_.]?(post|rev|r)[-_.]?([0-9]*))?` +
	`(?:[-_.]?(dev)[-_.]?([0-9]*))?` +
	`(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?$`)

// ParseVersion reads a version in any of the spellings that the specification normalises.
func ParseVersion(s string) (Version, error) {
	s = strings.TrimSpace(s)
	m := versionPattern.FindStringSubmatch(s)
	if m == nil || len(s) > 200 {
		return Version{}, fmt.Errorf("parse version %.100q: not of the form [N!]N(.N)*[{a|b|rc}N][.postN][.devN][+local]", s)
	}
	v := Version{text: s}
	var err error
	number := func(digits string) uint64 {
		if digits == "" {
			return 0
		}
		n, e := strconv.ParseUint(digits, 10, 64)
		err = cmp.Or(err, e)
		return n
	}
	v.epoch = number(m[1])
	for _, d := range strings.Split(m[2], ".") {
		v.release = append(v.release, number(d))
	}
	for len(v.release) > 1 && v.release[len(v.release)-1] == 0 {
		v.release = v.release[:len(v.release)-1]
	}
	if m[3] != "" {
		v.pre = part{preLetter(strings.ToLower(m[3])), number(m[4])}
	}
	switch {
	case m[5] != "":
		v.post = part{"post", number(m[5])}
	case m[6] != "":
		v.post = part{"post", number(m[7])}
	}
	if m[8] != "" {
		v.dev = part{"dev", number(m[9])}
	}
	if m[10] != "" {
		v.local = strings.FieldsFunc(strings.ToLower(m[10]), func(r rune) bool { return r == '-' || r == '_' || r == '.' })
	}
	if err != nil {
		return Version{}, fmt.Errorf("parse version %q: %w", s, err)
	}
	return v, nil
}

func preLetter(s string) string {
	switch s {
	case "alpha":
		return "a"
	case "beta":
		return "b"
	case "c", "pre", "preview":
		return "rc"
	}
	return s
}

// String is the version as it was written.
func (v Version) String() string { return v.text }

// IsPre tells whether v is a pre-release or a development release.
func (v Version) IsPre() bool { return v.pre.letter != "" || v.dev.letter != "" }

// Compare orders versions ("Version specifiers", "Summary of permitted suffixes and relative ordering").
func (v Version) Compare(o Version) int {
	return cmp.Or(v.comparePublic(o), compareLocal(v.local, o.local))
}

// comparePublic orders versions without their local part.
func (v Version) comparePublic(o Version) int {
	return cmp.Or(v.compareBase(o), comparePart(v.preKey(), o.preKey()), comparePart(v.postKey(), o.postKey()), comparePart(v.devKey(), o.devKey()))
}

// compareBase orders versions by epoch and release alone.
func (v Version) compareBase(o Version) int {
	if c := cmp.Compare(v.epoch, o.epoch); c != 0 {
		return c
	}
	for i := range max(len(v.release), len(o.release)) {
		if c := cmp.Compare(at(v.release, i), at(o.release, i)); c != 0 {
			return c
		}
	}
	return 0
}

func at(release []uint64, i int) uint64 {
	if i < len(release) {
		return release[i]
	}
	return 0
}

func comparePart(a, b part) int {
	return cmp.Or(strings.Compare(a.letter, b.letter), cmp.Compare(a.number, b.number))
}

// "!" sorts before every letter and "~" after.
var before, after = part{letter: "!"}, part{letter: "~"}

func (v Version) preKey() part {
	switch {
	case v.pre.letter != "":
		return v.pre
	case v.post.letter == "" && v.dev.letter != "":
		return before // 1.0.dev1 is older than 1.0a1
	}
	return after
}

func (v Version) postKey() part {
	if v.post.letter == "" {
		return before
	}
	return v.post
}

func (v Version) devKey() part {
	if v.dev.letter == "" {
		return after
	}
	return v.dev
}

// compareLocal: no local part is oldest; numbers are newer than words; the longer is newer where one starts the other.
func compareLocal(a, b []string) int {
	return slices.CompareFunc(a, b, func(x, y string) int {
		n, xerr := strconv.ParseUint(x, 10, 64)
		m, yerr := strconv.ParseUint(y, 10, 64)
		switch {
		case xerr == nil && yerr == nil:
			return cmp.Compare(n, m)
		case xerr == nil:
			return 1
		case yerr == nil:
			return -1
		}
		return strings.Compare(x, y)
	})
}

// Specifiers is a set of version clauses that must all hold. The zero value admits every version.
type Specifiers []clause

type clause struct {
	op       string
	version  Version
	wildcard bool   // "==1.2.*"
	raw      string // the version as written; for "===" all there is
	digits   int    // how many numbers of the release were written: "~=2.0" has 2
}

var clausePattern = regexp.MustCompile(`^(~=|===|==|!=|<=|>=|<|>)\s*([^\s,;]+)$`)

// ParseSpecifiers reads comma-separated clauses: ">=1.0, !=1.3.*, <2". Empty text gives the zero value.
func ParseSpecifiers(s string) (Specifiers, error) {
	var out Specifiers
	for text := range strings.SplitSeq(s, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		c, err := parseClause(text)
		if err != nil {
			return nil, fmt.Errorf("parse version specifier %.200q: %w", s, err)
		}
		out = append(out, c)
	}
	return out, nil
}

func parseClause(text string) (clause, error) {
	m := clausePattern.FindStringSubmatch(text)
	if m == nil {
		return clause{}, fmt.Errorf("%.100q is not an operator and a version", text)
	}
	c := clause{op: m[1], raw: m[2]}
	if c.op == "===" {
		return c, nil
	}
	version, wildcard := strings.CutSuffix(c.raw, ".*")
	v, err := ParseVersion(version)
	if err != nil {
		return clause{}, err
	}
	c.version, c.wildcard = v, wildcard
	c.digits = strings.Count(versionPattern.FindStringSubmatch(version)[2], ".") + 1
	switch equality := c.op == "==" || c.op == "!="; {
	case wildcard && !equality:
		return clause{}, fmt.Errorf("%q: .* goes with == and != only", text)
	case wildcard && (v.dev.letter != "" || len(v.local) > 0):
		return clause{}, fmt.Errorf("%q: .* cannot follow a development or local version", text)
	case !equality && len(v.local) > 0:
		return clause{}, fmt.Errorf("%q: a local version goes with == and != only", text)
	case c.op == "~=" && c.digits < 2:
		return clause{}, fmt.Errorf("%q: ~= needs two numbers at least", text)
	}
	return c, nil
}

// String writes the clauses canonically spaced, in their order.
func (s Specifiers) String() string {
	parts := make([]string, len(s))
	for i, c := range s {
		parts[i] = c.op + c.raw
	}
	return strings.Join(parts, ",")
}

// Contains tells whether all clauses hold of v, pre-release or not.
func (s Specifiers) Contains(v Version) bool {
	return !slices.ContainsFunc(s, func(c clause) bool { return !c.holds(v) })
}

// NamesPre tells whether a clause names a pre-release, which then may be chosen.
func (s Specifiers) NamesPre() bool {
	return slices.ContainsFunc(s, func(c clause) bool { return c.op != "!=" && c.op != "===" && c.version.IsPre() })
}

// Pins tells whether a clause admits one version only, which then may be chosen although it was yanked.
func (s Specifiers) Pins() bool {
	return slices.ContainsFunc(s, func(c clause) bool { return c.op == "===" || c.op == "==" && !c.wildcard })
}

func (c clause) holds(v Version) bool {
	switch c.op {
	case "===":
		return strings.EqualFold(v.text, c.raw)
	case "==":
		return c.equal(v)
	case "!=":
		return !c.equal(v)
	case "<=":
		return v.comparePublic(c.version) <= 0
	case ">=":
		return v.comparePublic(c.version) >= 0
	case "~=":
		return v.comparePublic(c.version) >= 0 && c.prefix(v, c.digits-1)
	case "<":
		// A pre-release of the bound is not below it, unless the bound is one itself.
		return v.Compare(c.version) < 0 && (c.version.IsPre() || !v.IsPre() || v.compareBase(c.version) != 0)
	default: // ">": a post-release or a local version of the bound is not above it, unless the bound is a post-release.
		sameBase := v.compareBase(c.version) == 0
		return v.Compare(c.version) > 0 && !(sameBase && (len(v.local) > 0 || v.post.letter != "" && c.version.post.letter == ""))
	}
}

func (c clause) equal(v Version) bool {
	if !c.wildcard {
		if len(c.version.local) == 0 {
			return v.comparePublic(c.version) == 0
		}
		return v.Compare(c.version) == 0
	}
	if !c.prefix(v, c.digits) {
		return false
	}
	if c.version.pre.letter != "" && (v.compareBase(c.version) != 0 || v.pre != c.version.pre) {
		return false
	}
	return c.version.post.letter == "" || v.compareBase(c.version) == 0 && v.post == c.version.post
}

// prefix tells whether the first n numbers of v's release are those of the clause.
func (c clause) prefix(v Version, n int) bool {
	if v.epoch != c.version.epoch {
		return false
	}
	for i := range n {
		if at(v.release, i) != at(c.version.release, i) {
			return false
		}
	}
	return true
}
