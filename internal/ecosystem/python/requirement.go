package python

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Requirement is a dependency specifier (PEP 508).
type Requirement struct {
	Name   string   // normalised
	Extras []string // normalised, sorted
	Specs  Specifiers
	URL    string // "name @ URL", "" if none
	Marker Marker // nil holds always
	text   string
}

// String is the requirement as it was written.
func (r Requirement) String() string { return r.text }

var (
	separators  = regexp.MustCompile(`[-_.]+`)
	namePattern = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$`)
	reqPattern  = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?\s*(.*)$`)
	urlPattern  = regexp.MustCompile(`^@\s*(\S+?)(?:\s+;(.*))?$`)
)

// NormalizeName gives the one spelling of a distribution's name ("Names and normalization").
func NormalizeName(name string) string {
	return strings.ToLower(separators.ReplaceAllString(name, "-"))
}

// ParseRequirement reads one dependency specifier: `cython[x] (>=3, <4) ; python_version > "3"`.
func ParseRequirement(s string) (Requirement, error) {
	r := Requirement{text: strings.TrimSpace(s)}
	fail := func(format string, args ...any) (Requirement, error) {
		return Requirement{}, fmt.Errorf("parse requirement %.200q: %w", s, fmt.Errorf(format, args...))
	}
	if len(s) > 10_000 || strings.ContainsAny(r.text, "\n\r\x00") {
		return fail("more than one line, or more than 10000 bytes")
	}
	m := reqPattern.FindStringSubmatch(r.text)
	if m == nil || !namePattern.MatchString(m[1]) {
		return fail("does not start with the name of a distribution")
	}
	r.Name = NormalizeName(m[1])
	for extra := range strings.SplitSeq(m[2], ",") {
		if extra = strings.TrimSpace(extra); extra == "" {
			continue
		}
		if !namePattern.MatchString(extra) {
			return fail("%q is not the name of an extra", extra)
		}
		r.Extras = append(r.Extras, NormalizeName(extra))
	}
	slices.Sort(r.Extras)
	r.Extras = slices.Compact(r.Extras)

	rest, marker := m[3], ""
	if strings.HasPrefix(rest, "@") {
		u := urlPattern.FindStringSubmatch(rest)
		if u == nil {
			return fail("no address after @")
		}
		r.URL, marker = u[1], u[2]
	} else {
		var specs string
		specs, marker, _ = strings.Cut(rest, ";")
		specs = strings.TrimSpace(specs)
		if inner, ok := strings.CutPrefix(specs, "("); ok {
			if specs, ok = strings.CutSuffix(inner, ")"); !ok {
				return fail("a parenthesis is not closed")
			}
		}
		var err error
		if r.Specs, err = ParseSpecifiers(specs); err != nil {
			return fail("%w", err)
		}
	}
	if strings.TrimSpace(marker) != "" {
		var err error
		if r.Marker, err = ParseMarker(marker); err != nil {
			return fail("%w", err)
		}
	}
	return r, nil
}

// ParseRequirements reads a list of dependency specifiers.
func ParseRequirements(list []string) ([]Requirement, error) {
	out := make([]Requirement, 0, len(list))
	for _, s := range list {
		r, err := ParseRequirement(s)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}
