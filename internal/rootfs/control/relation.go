package control

import (
	"fmt"
	"strings"

	"pault.ag/go/debian/version"
)

// Op is how a relation restricts a version.
type Op string

// The operators of Policy 7.1. The zero value restricts nothing.
const (
	Any          Op = ""
	Earlier      Op = "<<"
	EarlierEqual Op = "<="
	Equal        Op = "="
	LaterEqual   Op = ">="
	Later        Op = ">>"
)

// Version is a Debian version; the zero value means that there is none.
type Version struct {
	text   string
	parsed version.Version
}

// maxVersion is longer than any version in use; comparing takes time linear in it.
const maxVersion = 256

// ParseVersion reads "[epoch:]upstream[-revision]". (Policy 5.6.12.)
func ParseVersion(s string) (Version, error) {
	if len(s) > maxVersion {
		return Version{}, fmt.Errorf("parse version %.40q…: longer than %d bytes", s, maxVersion)
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return Version{}, fmt.Errorf("parse version %q: byte %q is not allowed", s, s[i])
		}
	}
	v, err := version.Parse(s)
	if err != nil {
		return Version{}, fmt.Errorf("parse version %q: %w", s, err)
	}
	return Version{text: s, parsed: v}, nil
}

// String is the version as it was written.
func (v Version) String() string { return v.text }

// IsZero reports whether there is no version.
func (v Version) IsZero() bool { return v.text == "" }

// Compare is negative, zero or positive as v is earlier than, equal to or later than w. Versions that are spelt differently
// can be equal ("1.0" and "1.00").
func (v Version) Compare(w Version) int {
	if v.text == w.text {
		return 0
	}
	return version.Compare(v.parsed, w.parsed)
}

// Relation names packages: those of a name, within bounds of their version.
type Relation struct {
	Name    string
	Arch    string // qualifier: "any", "amd64"; "" if none
	Op      Op
	Version Version // zero where Op is Any
}

// String is the relation in Debian's notation.
func (r Relation) String() string {
	s := r.Name
	if r.Arch != "" {
		s += ":" + r.Arch
	}
	if r.Op != Any {
		s += " (" + string(r.Op) + " " + r.Version.text + ")"
	}
	return s
}

// Admits tells whether version v is within the relation's bounds. A package without a version (a name that is provided
// without one) is so only where there are no bounds. (Policy 7.5.)
func (r Relation) Admits(v Version) bool {
	if r.Op == Any {
		return true
	}
	if v.IsZero() {
		return false
	}
	c := v.Compare(r.Version)
	switch r.Op {
	case Earlier:
		return c < 0
	case EarlierEqual:
		return c <= 0
	case Equal:
		return c == 0
	case LaterEqual:
		return c >= 0
	default:
		return c > 0
	}
}

// Clause is a list of alternatives of which one is enough.
type Clause []Relation

// String is the clause in Debian's notation.
func (c Clause) String() string {
	var b strings.Builder
	for i, r := range c {
		if i > 0 {
			b.WriteString(" | ")
		}
		b.WriteString(r.String())
	}
	return b.String()
}

// ParseRelations reads the value of a relationship field: "a (>= 1) | b, c:any". Build profiles and architecture
// restrictions, which binary packages do not have, are errors.
func ParseRelations(s string) ([]Clause, error) {
	var out []Clause
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue // a comma too many at the end, or an empty field
		}
		var c Clause
		for alt := range strings.SplitSeq(part, "|") {
			r, err := parseRelation(strings.TrimSpace(alt))
			if err != nil {
				return nil, fmt.Errorf("parse relation %.80q: %w", part, err)
			}
			c = append(c, r)
		}
		out = append(out, c)
	}
	return out, nil
}

// ParseRelation reads a single relation.
func ParseRelation(s string) (Relation, error) {
	r, err := parseRelation(strings.TrimSpace(s))
	if err != nil {
		return Relation{}, fmt.Errorf("parse relation %.80q: %w", s, err)
	}
	return r, nil
}

func parseRelation(s string) (Relation, error) {
	var r Relation
	head, tail, bounded := strings.Cut(s, "(")
	head = strings.TrimSpace(head)
	r.Name, r.Arch, _ = strings.Cut(head, ":")
	if err := CheckName(r.Name); err != nil {
		return Relation{}, err
	}
	if strings.Contains(head, ":") && !word(r.Arch) {
		return Relation{}, fmt.Errorf("%q is no architecture", r.Arch)
	}
	if !bounded {
		return r, nil
	}
	inner, ok := strings.CutSuffix(tail, ")")
	if !ok {
		return Relation{}, fmt.Errorf("want %q at the end", ")")
	}
	inner = strings.TrimSpace(inner)
	n := 0
	for n < len(inner) && strings.IndexByte("<=>", inner[n]) >= 0 {
		n++
	}
	switch op := Op(inner[:n]); op {
	case Earlier, EarlierEqual, Equal, LaterEqual, Later:
		r.Op = op
	case "<": // obsolete spellings, which dpkg takes as these
		r.Op = EarlierEqual
	case ">":
		r.Op = LaterEqual
	default:
		return Relation{}, fmt.Errorf("%q is no comparison", inner[:n])
	}
	var err error
	r.Version, err = ParseVersion(strings.TrimSpace(inner[n:]))
	return r, err
}

// CheckName tells whether s may name a package: at least two of a-z 0-9 + - . beginning with a letter or digit. (Policy
// 5.6.7.) Capitals, which a few names that are only ever conflicted with have, are let through.
func CheckName(s string) error {
	if len(s) < 2 || len(s) > maxFieldName {
		return fmt.Errorf("%.60q is no package name: want 2 to %d characters", s, maxFieldName)
	}
	for i := range len(s) {
		c := s[i]
		alnum := 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z'
		if !alnum && (i == 0 || strings.IndexByte("+-._", c) < 0) {
			return fmt.Errorf("%q is no package name: byte %q at %d", s, c, i)
		}
	}
	return nil
}

func word(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-') {
			return false
		}
	}
	return s != ""
}
