package solve_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"headwater/internal/rootfs/control"
	"headwater/internal/rootfs/solve"
)

// pool is a Pool written down in a small language, most preferred package first, one a line:
//
//	name version [suite] [: relation, …] [! conflict, …] [> provided, …]
type pool struct {
	list     []*solve.Package
	provides map[*solve.Package][]control.Relation
}

func (p *pool) Find(r control.Relation) []*solve.Package {
	var found, providers []*solve.Package
	for _, pkg := range p.list {
		if pkg.Name == r.Name {
			if r.Admits(pkg.Version) {
				found = append(found, pkg)
			}
			continue
		}
		for _, provided := range p.provides[pkg] {
			if provided.Name == r.Name && r.Admits(provided.Version) {
				providers = append(providers, pkg)
				break
			}
		}
	}
	return append(found, providers...)
}

type fataler interface{ Fatal(...any) }

func parsePool(t fataler, text string) *pool {
	p := &pool{provides: map[*solve.Package][]control.Relation{}}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		end := strings.IndexAny(line, ":!>")
		if end < 0 {
			end = len(line)
		}
		head := strings.Fields(line[:end])
		version, err := control.ParseVersion(head[1])
		if err != nil {
			t.Fatal(err)
		}
		pkg := &solve.Package{Name: head[0], Version: version}
		if len(head) > 2 {
			pkg.Label = head[2]
		}
		for rest := line[end:]; rest != ""; {
			kind := rest[0]
			rest = rest[1:]
			// Bounds of versions have ">" and "=" in parentheses; what begins a part has a space before it.
			end := len(rest)
			for _, mark := range []string{" : ", " ! ", " > "} {
				if i := strings.Index(rest, mark); i >= 0 {
					end = min(end, i+1)
				}
			}
			clauses, err := control.ParseRelations(rest[:end])
			if err != nil {
				t.Fatal(err)
			}
			rest = rest[end:]
			switch kind {
			case ':':
				pkg.Depends = append(pkg.Depends, clauses...)
			case '!':
				for _, c := range clauses {
					pkg.Conflicts = append(pkg.Conflicts, c...)
				}
			case '>':
				for _, c := range clauses {
					p.provides[pkg] = append(p.provides[pkg], c...)
				}
			}
		}
		p.list = append(p.list, pkg)
	}
	return p
}

func wants(t fataler, text string) []solve.Want {
	var list []solve.Want
	for w := range strings.SplitSeq(text, ",") {
		name, label, _ := strings.Cut(strings.TrimSpace(w), "/")
		r, err := control.ParseRelation(name)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, solve.Want{Relation: r, Label: label, Why: "is asked for"})
	}
	return list
}

func names(list []*solve.Package) string {
	var s []string
	for _, p := range list {
		s = append(s, p.Name+"="+p.Version.String())
	}
	return strings.Join(s, " ")
}

func TestSolve(t *testing.T) {
	for _, tt := range []struct{ name, pool, wants, want string }{
		{"a chain", "aa 1 : bb\nbb 1 : cc (>= 1)\ncc 1\ndd 1", "aa", "aa=1 bb=1 cc=1"},
		{"a circle", "aa 1 : bb\nbb 1 : aa", "aa", "aa=1 bb=1"},
		{"the preferred version", "aa 2 new\naa 1 old", "aa", "aa=2"},
		{"a version of a suite", "aa 2 new\naa 1 old", "aa/old", "aa=1"},
		{"bounds", "aa 3\naa 2\naa 1\nbb 1 : aa (<< 3)", "bb", "aa=2 bb=1"},
		{"the first alternative", "aa 1 : bb | cc\ncc 1\nbb 1", "aa", "aa=1 bb=1"},
		{"an alternative that is there", "aa 1 : bb | cc\ncc 1\nbb 1", "aa, cc", "aa=1 cc=1"},
		{"an alternative that another needs", "aa 1 : bb | cc, dd\ncc 1\nbb 1\ndd 1 : cc", "aa", "aa=1 cc=1 dd=1"},
		{"an alternative that another needs in one of two versions", "aa 1 : bb | cc, dd\ncc 2\ncc 1\nbb 1\ndd 1 : cc", "aa", "aa=1 cc=2 dd=1"},
		{"the alternative that there is", "aa 1 : bb | cc\ncc 1", "aa", "aa=1 cc=1"},
		{"a name that is provided", "aa 1 : vv\nbb 1 > vv", "aa", "aa=1 bb=1"},
		{"a real package before one that provides it", "aa 1 : vv\nbb 1 > vv\nvv 1", "aa", "aa=1 vv=1"},
		{"a version that is provided", "aa 1 : vv (>= 2)\nbb 1 > vv\ncc 1 > vv (= 1)\ndd 1 > vv (= 2)", "aa", "aa=1 dd=1"},
		{"what it provides itself", "aa 1 : vv > vv", "aa", "aa=1"},
		{"conflict with what it provides itself", "aa 1 ! vv > vv", "aa", "aa=1"},
		{"a conflict avoided", "aa 1 : bb | cc, dd\nbb 1\ncc 1\ndd 1 ! bb", "aa", "aa=1 cc=1 dd=1"},
		{"a conflict from the other side", "aa 1 : dd, bb | cc\nbb 1 ! dd\ncc 1\ndd 1", "aa", "aa=1 cc=1 dd=1"},
		{"a conflict with an older version", "aa 1 : bb, cc\nbb 1\nbb 2\ncc 1 ! bb (<< 2)", "aa", "aa=1 bb=2 cc=1"},
		{"a conflict with what another provides", "aa 1 : bb | cc\nbb 1 > vv\ncc 1\ndd 1 ! vv", "dd, aa", "aa=1 cc=1 dd=1"},
		{"another suite's library for one package", "lib 1 stable\nlib 2 testing\nold 1 stable : lib\nnew 2 testing : lib (>= 2)", "old, new/testing", "lib=2 new=2 old=1"},
		{"a choice taken back far", "aa 1 : bb\nbb 2 : cc\nbb 1\ncc 1 : dd\ndd 1 : ee (>= 2)\nee 1", "aa", "aa=1 bb=1"},
		{"two choices taken back", "xx 1 : aa, bb\naa 2 : cc (= 2)\naa 1\nbb 2 : cc (= 1)\nbb 1 : cc (= 3)\ncc 3\ncc 2\ncc 1", "xx", "aa=1 bb=2 cc=1 xx=1"},
		{"nothing left over", "aa 1 : bb, cc\nbb 2 : dd\nbb 1\ndd 1\ncc 1 ! dd", "aa", "aa=1 bb=1 cc=1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := solve.Solve(t.Context(), parsePool(t, tt.pool), wants(t, tt.wants))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, names(got)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestUnsatisfiable(t *testing.T) {
	for _, tt := range []struct {
		name, pool, wants string
		want              []string
	}{
		{"no such package", "aa 1", "bb", []string{"bb is asked for, which no suite has"}},
		{"not of that suite", "aa 1 old", "aa/new", []string{"aa of new is asked for, but there is only aa 1 (old)"}},
		{"no such dependency", "aa 1 : bb\nbb 1 : cc (>= 2)\ncc 1", "aa", []string{
			"aa is asked for: aa 1", "aa 1 depends on bb: bb 1", "bb 1 depends on cc (>= 2), but there is only cc 1",
		}},
		{"no alternative", "aa 1 : bb | cc", "aa", []string{"aa is asked for: aa 1", "aa 1 depends on bb | cc, which no suite has"}},
		{"a conflict", "aa 1 : bb\nbb 1\ncc 1 ! bb", "aa, cc", []string{
			"aa is asked for: aa 1", "cc is asked for: cc 1", "aa 1 depends on bb: bb 1", "cc 1 conflicts with bb: bb 1",
		}},
		{"two versions of one", "aa 1 : cc (= 1)\nbb 1 : cc (= 2)\ncc 1 old\ncc 2 new", "aa, bb", []string{
			"aa is asked for: aa 1", "bb is asked for: bb 1", "aa 1 depends on cc (= 1): cc 1 (old)", "bb 1 depends on cc (= 2): cc 2 (new)",
			"cc 1 (old) and cc 2 (new) exclude one another",
		}},
		{"after choices", "aa 1 : bb\nbb 2 : cc\nbb 1 : dd\ncc 1 : zz\ndd 1 : zz\nee 1", "ee, aa", []string{
			"aa is asked for: aa 1", "aa 1 depends on bb: bb 2 or bb 1", "bb 2 depends on cc: cc 1", "cc 1 depends on zz, which no suite has",
			"bb 1 depends on dd: dd 1", "dd 1 depends on zz, which no suite has",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := solve.Solve(t.Context(), parsePool(t, tt.pool), wants(t, tt.wants))
			u, ok := err.(*solve.UnsatisfiableError)
			if !ok {
				t.Fatalf("got %s, error %v", names(got), err)
			}
			slices.Sort(u.Reasons)
			slices.Sort(tt.want)
			if d := cmp.Diff(tt.want, u.Reasons); d != "" {
				t.Error(d)
			}
		})
	}
}

// fulfils tells what is wrong with a choice, "" if nothing is.
func fulfils(p *pool, wants []solve.Want, choice []*solve.Package) string {
	any := func(found []*solve.Package) bool {
		return slices.ContainsFunc(found, func(f *solve.Package) bool { return slices.Contains(choice, f) })
	}
	for _, w := range wants {
		if !any(p.Find(w.Relation)) {
			return fmt.Sprintf("%s is missing", w.Relation)
		}
	}
	for i, c := range choice {
		for _, other := range choice[:i] {
			if other.Name == c.Name {
				return fmt.Sprintf("%s is there twice", c.Name)
			}
		}
		for _, d := range c.Depends {
			if !slices.ContainsFunc(d, func(r control.Relation) bool { return any(p.Find(r)) }) {
				return fmt.Sprintf("%s of %s is missing", d, c)
			}
		}
		for _, r := range c.Conflicts {
			for _, other := range p.Find(r) {
				if other.Name != c.Name && slices.Contains(choice, other) {
					return fmt.Sprintf("%s conflicts with %s", c, other)
				}
			}
		}
	}
	return ""
}

// needed tells whether a want or another chosen package asks for pkg.
func needed(p *pool, wants []solve.Want, choice []*solve.Package, pkg *solve.Package) bool {
	for _, w := range wants {
		if slices.Contains(p.Find(w.Relation), pkg) {
			return true
		}
	}
	for _, c := range choice {
		for _, r := range slices.Concat(c.Depends...) {
			if c != pkg && slices.Contains(p.Find(r), pkg) {
				return true
			}
		}
	}
	return false
}

// TestSolveAgainstBruteForce draws small pools and tries all choices there are.
func TestSolveAgainstBruteForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := drawPool(t)
		p := parsePool(t, text)
		w := wants(t, strings.Join(rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"aa", "bb", "cc"}), 1, 3, rapid.ID[string]).Draw(t, "wants"), ","))
		got, err := solve.Solve(context.Background(), p, w)
		again, _ := solve.Solve(context.Background(), p, w)
		if names(got) != names(again) {
			t.Fatalf("%s, then %s", names(got), names(again))
		}
		possible := false
		for set := range 1 << len(p.list) {
			var choice []*solve.Package
			for i, pkg := range p.list {
				if set>>i&1 == 1 {
					choice = append(choice, pkg)
				}
			}
			if possible = fulfils(p, w, choice) == ""; possible {
				break
			}
		}
		if possible != (err == nil) {
			t.Fatalf("possible: %v, but solving gave %s, error %v\n%s", possible, names(got), err, text)
		}
		if err != nil {
			return
		}
		if why := fulfils(p, w, got); why != "" {
			t.Fatalf("%s: %s\n%s", names(got), why, text)
		}
		for _, pkg := range got {
			if !needed(p, w, got, pkg) {
				t.Fatalf("%s: nothing asks for %s\n%s", names(got), pkg, text)
			}
		}
	})
}

func drawPool(t *rapid.T) string {
	name := rapid.SampledFrom([]string{"aa", "bb", "cc", "dd", "ee"})
	relation := rapid.Custom(func(t *rapid.T) string {
		bounds := rapid.SampledFrom([]string{"", "", "", " (>= 2)", " (= 1)", " (<< 2)"}).Draw(t, "bounds")
		return rapid.OneOf(name, rapid.Just("vv")).Draw(t, "name") + bounds
	})
	var b strings.Builder
	for _, pkg := range rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) string {
		return name.Draw(t, "name") + " " + rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "version")
	}), 1, 9, rapid.ID[string]).Draw(t, "packages") {
		b.WriteString(pkg + " s")
		for range rapid.IntRange(0, 2).Draw(t, "depends") {
			b.WriteString(" : " + strings.Join(rapid.SliceOfN(relation, 1, 2).Draw(t, "alternatives"), " | "))
		}
		if rapid.IntRange(0, 3).Draw(t, "conflicts") == 0 {
			b.WriteString(" ! " + relation.Draw(t, "conflict"))
		}
		if rapid.IntRange(0, 3).Draw(t, "provides") == 0 {
			b.WriteString(" > vv")
		}
		b.WriteString("\n")
	}
	return b.String()
}
