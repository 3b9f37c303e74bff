// Package change says what differs between two releases of a service: the shape of the build, toolchains, roots, what the service is
// given at run time, migrations, dependencies and the roots' packages, each with the evidence on either side.
//
// A release is told in facts, one for each thing that can change by itself; two releases are compared fact by fact. Dependencies come
// from Headwater's locks if both releases have one, else from the upstream's own lock files, of the folders that components are
// built in: what is not shipped does not count.
//
//	for _, c := range change.Between(old, new) { fmt.Println(c.Area, c.Key, c.Old, c.New) }
package change

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"headwater/internal/lock"
	"headwater/internal/plan"
	"headwater/internal/recipe"
)

// Area is what a change is about.
type Area string

// The areas, in the order in which they are told.
const (
	Release      Area = "release"
	Shape        Area = "shape"
	Toolchains   Area = "toolchains"
	Roots        Area = "roots"
	Runtime      Area = "runtime"
	Migrations   Area = "migrations"
	Dependencies Area = "dependencies"
	Packages     Area = "packages" // that roots are made of, as locked
)

// Areas lists all areas in their order.
func Areas() []Area {
	return []Area{Release, Shape, Toolchains, Roots, Runtime, Migrations, Dependencies, Packages}
}

// Change is one thing that differs. Old or New is "" where it is not there; a thing without a value of its own has "yes".
type Change struct {
	Area        Area            `json:"area"`
	Key         string          `json:"key"` // of the recipe, a file, or an ecosystem and a name
	Old         string          `json:"old,omitempty"`
	New         string          `json:"new,omitempty"`
	OldEvidence []plan.Evidence `json:"old-evidence,omitempty"`
	NewEvidence []plan.Evidence `json:"new-evidence,omitempty"`
}

// Subject is a release to compare.
type Subject struct {
	Recipe *recipe.Recipe
	Tree   *plan.Tree // the upstream's; nil if it is not at hand
	Lock   *lock.File // nil if there is none
	Prove  func(key string) []plan.Evidence

	LockText []byte // of Lock, for the lines that are evidence
}

// fact is a value with where it comes from.
type fact struct {
	value    string
	evidence []plan.Evidence
}

type place struct {
	area Area
	key  string
}

// Between lists what differs, by area, then by key. The error says what cannot be read.
func Between(old, new Subject) ([]Change, error) {
	locks := old.Lock != nil && new.Lock != nil
	a, err := old.facts(locks)
	if err != nil {
		return nil, fmt.Errorf("compare the old release: %w", err)
	}
	b, err := new.facts(locks)
	if err != nil {
		return nil, fmt.Errorf("compare the new release: %w", err)
	}
	var out []Change
	for p, was := range a {
		if is := b[p]; is.value != was.value {
			out = append(out, Change{p.area, p.key, was.value, is.value, was.evidence, is.evidence})
		}
	}
	for p, is := range b {
		if _, both := a[p]; !both {
			out = append(out, Change{Area: p.area, Key: p.key, New: is.value, NewEvidence: is.evidence})
		}
	}
	order := Areas()
	slices.SortFunc(out, func(x, y Change) int {
		return cmp.Or(cmp.Compare(slices.Index(order, x.Area), slices.Index(order, y.Area)), strings.Compare(x.Key, y.Key))
	})
	return out, nil
}

// facts are all that a release says.
func (s Subject) facts(locks bool) (map[place]fact, error) {
	f := map[place]fact{}
	var doc yaml.Node
	if err := doc.Encode(s.Recipe); err != nil {
		return nil, err
	}
	s.leaves(f, "", &doc)
	if s.Tree != nil {
		migrations(f, s.Tree)
	}
	switch {
	case locks:
		locked(f, s.Lock, s.LockText)
	case s.Tree != nil:
		if err := upstream(f, s); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// area is what a key of the recipe is about, "" for keys of the operator's own.
func area(key string) Area {
	top, rest, _ := strings.Cut(key, ".")
	switch {
	case top == "release", strings.HasPrefix(key, "package.labels"):
		return Release
	case top == "toolchains":
		return Toolchains
	case top == "roots":
		return Roots
	case top == "components":
		return Shape
	case top == "package" && rest != "root", top == "services":
		return Runtime
	case top == "replace":
		return Dependencies
	}
	return ""
}

// leaves adds a fact for each end of the recipe; the elements of lists that are sets are facts of their own.
func (s Subject) leaves(f map[place]fact, key string, n *yaml.Node) {
	add := func(key, value string) {
		if a := area(key); a != "" {
			var e []plan.Evidence
			if s.Prove != nil {
				e = s.Prove(key)
			}
			f[place{a, key}] = fact{value, e}
		}
	}
	last := key[strings.LastIndexByte(key, '.')+1:]
	switch {
	case n.Kind == yaml.MappingNode && last != "options":
		if strings.Count(key, ".") == 1 && area(key) == Shape || strings.Count(key, ".") == 2 && strings.HasPrefix(key, "package.processes.") {
			add(key, "yes")
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			below := n.Content[i].Value
			if key != "" {
				below = key + "." + below
			}
			s.leaves(f, below, n.Content[i+1])
		}
	case n.Kind == yaml.SequenceNode && slices.Contains([]string{"packages", "src", "volumes", "secrets"}, last):
		for _, e := range n.Content {
			add(key+"."+e.Value, "yes")
		}
	case n.Kind == yaml.SequenceNode && last == "uses":
		for _, e := range n.Content {
			var u recipe.Use
			if e.Decode(&u) == nil {
				add(key+"."+u.At, strings.TrimSuffix(u.Component+":"+u.Path, ":"))
			}
		}
	case n.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			add(key+"."+n.Content[i].Value, text(n.Content[i+1]))
		}
	default:
		add(key, text(n))
	}
}

// text is a value on one line.
func text(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode {
		return n.Value
	}
	n.Style |= yaml.FlowStyle
	b, err := yaml.Marshal(n)
	if err != nil {
		return n.Value
	}
	return strings.TrimSpace(string(b))
}
