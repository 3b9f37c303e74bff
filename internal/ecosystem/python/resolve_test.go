package python_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"headwater/internal/artifact"
	"headwater/internal/ecosystem/python"
)

// offers is a Provider: "name version[ sdist][ yanked]" → requirements.
type offers map[string][]string

func (o offers) Candidates(_ context.Context, name string) ([]python.Candidate, error) {
	var out []python.Candidate
	for key := range o {
		words := strings.Fields(key)
		if words[0] != name {
			continue
		}
		v, err := python.ParseVersion(words[1])
		if err != nil {
			return nil, err
		}
		out = append(out, python.Candidate{
			Name: name, Version: v, Artifact: artifact.Artifact{Name: name, Version: words[1], File: key},
			SDist: slices.Contains(words, "sdist"), Yanked: slices.Contains(words, "yanked"),
		})
	}
	slices.SortFunc(out, func(a, b python.Candidate) int { return b.Version.Compare(a.Version) })
	return out, nil
}

func (o offers) Requires(_ context.Context, c python.Candidate) ([]python.Requirement, error) {
	return python.ParseRequirements(o[c.Artifact.File])
}

func requirements(t testing.TB, list ...string) []python.Requirement {
	t.Helper()
	out, err := python.ParseRequirements(list)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func chosen(list []python.Candidate) string {
	var out []string
	for _, c := range list {
		out = append(out, c.Name+" "+c.Version.String())
	}
	return strings.Join(out, ", ")
}

func TestResolve(t *testing.T) {
	index := offers{
		"a 1": nil, "a 2": nil, "a 3a1": nil,
		"b 1": {"a<2"}, "b 2": {"a>=2"}, "b 3": {"a>=9"},
		"c 1": {"d[fast,slow]>=1", "e; python_version < '3'"},
		"d 1": {"a; extra == 'fast'", "b<3; extra == 'slow'", "f; extra == 'none'"},
		"g 1": nil, "g 2 sdist": nil,
		"h 1": nil, "h 2 yanked": nil,
		"i 1a1": nil,
		"j 1":   {"k"}, "k 1": {"j"},
		"l 1": {"d"}, "m 1": {"d[fast]"},
	}
	for name, c := range map[string]struct {
		requires, constraints []string
		prefer                map[string]string
		want, fails           string
	}{
		"the newest":                        {requires: []string{"a"}, want: "a 2"},
		"a bound":                           {requires: []string{"a<2"}, want: "a 1"},
		"a pre-release by name":             {requires: []string{"a>=3a1"}, want: "a 3a1"},
		"a pre-release, nothing else":       {requires: []string{"i"}, want: "i 1a1"},
		"back to an older version":          {requires: []string{"b"}, want: "a 2, b 2"},
		"back over two packages":            {requires: []string{"b", "a<2"}, want: "a 1, b 1"},
		"extras":                            {requires: []string{"c"}, want: "a 2, b 2, c 1, d 1"},
		"an extra demanded later":           {requires: []string{"l", "m"}, want: "a 2, d 1, l 1, m 1"},
		"an extra demanded later, conflict": {requires: []string{"l", "a<1.5", "m", "a>=1"}, want: "a 1, d 1, l 1, m 1"},
		"a wheel before a newer sdist":      {requires: []string{"g"}, want: "g 1"},
		"an sdist where it must be":         {requires: []string{"g>=2"}, want: "g 2"},
		"not a yanked version":              {requires: []string{"h"}, want: "h 1"},
		"a yanked version by name":          {requires: []string{"h==2"}, want: "h 2"},
		"a cycle":                           {requires: []string{"j"}, want: "j 1, k 1"},
		"what was chosen before":            {requires: []string{"a"}, prefer: map[string]string{"a": "1"}, want: "a 1"},
		"what was chosen and fits no more":  {requires: []string{"a>1"}, prefer: map[string]string{"a": "1"}, want: "a 2"},
		"a yanked version chosen before":    {requires: []string{"h"}, prefer: map[string]string{"h": "2"}, want: "h 2"},
		"a constraint":                      {requires: []string{"a"}, constraints: []string{"a<2", "b<1"}, want: "a 1"},
		"nothing":                           {want: ""},
		"no such package":                   {requires: []string{"zz"}, fails: "no version of zz satisfies zz"},
		"a conflict":                        {requires: []string{"b==2", "a<2"}, fails: "no version of a satisfies a<2 and a>=2 (of b 2)"},
		"a constraint in the way":           {requires: []string{"a"}, constraints: []string{"a>7"}, fails: "a>7 (a constraint)"},
		"an address":                        {requires: []string{"a @ https://h.invalid/a.whl"}, fails: "names an address"},
	} {
		t.Run(name, func(t *testing.T) {
			r := python.Resolver{Provider: index, Environment: trixieEnv, Constraints: requirements(t, c.constraints...), Prefer: map[string]python.Version{}}
			for n, v := range c.prefer {
				r.Prefer[n] = version(t, v)
			}
			got, err := r.Resolve(t.Context(), requirements(t, c.requires...))
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("got %s, %v; want an error that says %q", chosen(got), err, c.fails)
				}
				return
			}
			if err != nil || chosen(got) != c.want {
				t.Errorf("got %q, %v; want %q", chosen(got), err, c.want)
			}
		})
	}
}

// What has no part in a conflict is not chosen anew for it: that would be all choices of all that was chosen in between.
func TestResolvePastOthers(t *testing.T) {
	index := offers{"x 2": {"z<2"}, "x 1": {"z<3", "w[more]"}, "y 1": {"z>=2"}, "z 1": nil, "z 2": nil, "z 3": nil, "w 1": {"v<2; extra == 'more'"}, "v 1": nil, "v 2": nil, "no 1": {"x>=2", "y"}}
	wanted, want := []string{"x"}, []string{"v 1", "w 1", "x 1", "y 1", "z 2"}
	for i := range 20 {
		name := fmt.Sprintf("a%02d", i)
		for v := 1; v < 9; v++ {
			index[fmt.Sprint(name, " ", v)] = nil
		}
		wanted, want = append(wanted, name), append(want, name+" 8")
	}
	slices.Sort(want)
	r := python.Resolver{Provider: index, Environment: trixieEnv}
	got, err := r.Resolve(t.Context(), requirements(t, append(wanted, "y")...))
	if diff := cmp.Diff(strings.Join(want, ", "), chosen(got)); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if _, err := r.Resolve(t.Context(), requirements(t, append(wanted, "no")...)); err == nil || strings.Contains(err.Error(), "steps") {
		t.Errorf("what is not possible: %v", err)
	}
}

// TestResolveProperties compares the search with a walk over all choices: what it finds satisfies everything, and it finds
// something wherever there is something.
func TestResolveProperties(t *testing.T) {
	const packages, versions = 4, 3
	rapid.Check(t, func(t *rapid.T) {
		requirement := rapid.Custom(func(t *rapid.T) string {
			return fmt.Sprintf("p%d%s%d", rapid.IntRange(0, packages-1).Draw(t, "package"),
				rapid.SampledFrom([]string{">=", "<=", "==", "!="}).Draw(t, "operator"), rapid.IntRange(1, versions).Draw(t, "version"))
		})
		index := offers{}
		for p := range packages {
			for v := range versions {
				if rapid.Float64Range(0, 1).Draw(t, "offered") < 0.8 {
					index[fmt.Sprintf("p%d %d", p, v+1)] = rapid.SliceOfN(requirement, 0, 2).Draw(t, "requires")
				}
			}
		}
		wanted, err := python.ParseRequirements(rapid.SliceOfN(requirement, 1, 3).Draw(t, "wanted"))
		if err != nil {
			t.Fatal(err)
		}
		r := python.Resolver{Provider: index, Environment: trixieEnv}
		got, err := r.Resolve(context.Background(), wanted)
		var conflict *python.ConflictError
		if err != nil && !errors.As(err, &conflict) {
			t.Fatal(err)
		}
		if err == nil && !satisfied(index, wanted, got) {
			t.Fatalf("%s does not satisfy %v", chosen(got), wanted)
		}
		if err != nil {
			if better := exhaust(index, wanted, packages, versions, nil); better != nil {
				t.Fatalf("%v, though %s does", err, chosen(better))
			}
			return
		}
		again, err := r.Resolve(context.Background(), wanted)
		if diff := cmp.Diff(chosen(got), chosen(again)); err != nil || diff != "" {
			t.Fatalf("a second time: %v %s", err, diff)
		}
	})
}

// satisfied tells whether the choice meets the requirements and its own.
func satisfied(index offers, wanted []python.Requirement, got []python.Candidate) bool {
	all := slices.Clone(wanted)
	for _, c := range got {
		more, err := index.Requires(context.Background(), c)
		if err != nil {
			return false
		}
		all = append(all, more...)
	}
	for _, q := range all {
		if !slices.ContainsFunc(got, func(c python.Candidate) bool { return c.Name == q.Name && q.Specs.Contains(c.Version) }) {
			return false
		}
	}
	return true
}

// exhaust tries every choice of a version or none for each package.
func exhaust(index offers, wanted []python.Requirement, packages, versions int, so []python.Candidate) []python.Candidate {
	if packages == 0 {
		if satisfied(index, wanted, so) {
			return so
		}
		return nil
	}
	if found := exhaust(index, wanted, packages-1, versions, so); found != nil {
		return found
	}
	list, err := index.Candidates(context.Background(), fmt.Sprintf("p%d", packages-1))
	if err != nil {
		return nil
	}
	for _, c := range list {
		if found := exhaust(index, wanted, packages-1, versions, append(slices.Clone(so), c)); found != nil {
			return found
		}
	}
	return nil
}

func TestParseIndex(t *testing.T) {
	const digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	file := func(name, rest string) string {
		return fmt.Sprintf(`{"filename": %q, "url": "../../%s", "hashes": {"sha256": %q}%s}`, name, name, digest, rest)
	}
	page := `{"meta": {"api-version": "1.3"}, "name": "Old-Thing", "files": [` + strings.Join([]string{
		file("old-thing-0.9.zip", ""), file("old-thing-0.9.tar.gz", `, "size": 7`),
		file("old_thing-1.0-py3-none-any.whl", `, "requires-python": ">=3.8"`), file("old_thing-1.0.tar.gz", ""),
		file("old_thing-1.1-cp313-cp313-manylinux_2_17_x86_64.whl", ""), file("old_thing-1.1-py3-none-any.whl", ""),
		file("old_thing-1.2-py3-none-any.whl", `, "requires-python": ">=3.14"`),
		file("old_thing-1.3-cp313-cp313-win_amd64.whl", ""),
		file("old_thing-1.4-py3-none-any.whl", `, "yanked": "broken"`), file("old_thing-1.4.1-py3-none-any.whl", `, "yanked": false`),
		file("old_thing-x-py3-none-any.whl", ""), file("other-2.0-py3-none-any.whl", ""), file("old-thing-extra-3.0.tar.gz", ""),
		file("old_thing-2.0.exe", ""), file("../old_thing-2.1.tar.gz", ""),
		`{"filename": "old_thing-2.2-py3-none-any.whl", "url": "x", "hashes": {}}`,
	}, ",") + `]}`
	got, err := python.ParseIndex([]byte(page), "old-thing", trixieEnv)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, c := range got {
		lines = append(lines, fmt.Sprintf("%s %s %d sdist=%v yanked=%v", c.Version, c.Artifact.File, c.Artifact.Size, c.SDist, c.Yanked))
	}
	want := []string{
		"1.4.1 old_thing-1.4.1-py3-none-any.whl 0 sdist=false yanked=false",
		"1.4 old_thing-1.4-py3-none-any.whl 0 sdist=false yanked=true",
		"1.1 old_thing-1.1-cp313-cp313-manylinux_2_17_x86_64.whl 0 sdist=false yanked=false",
		"1.0 old_thing-1.0-py3-none-any.whl 0 sdist=false yanked=false",
		"0.9 old-thing-0.9.tar.gz 7 sdist=true yanked=false",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("candidates (-want +got):\n%s", diff)
	}
	for _, bad := range []string{"", "[]", `{"meta": {"api-version": "2.0"}}`, `{"meta": {"api-version": "1.0"}, "name": "another"}`} {
		if _, err := python.ParseIndex([]byte(bad), "old-thing", trixieEnv); err == nil {
			t.Errorf("page %q was taken", bad)
		}
	}
}

func FuzzParseIndex(f *testing.F) {
	f.Add([]byte(`{"meta": {"api-version": "1.0"}, "files": [{"filename": "a-1.tar.gz", "hashes": {"sha256": "00"}, "yanked": true}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := python.ParseIndex(data, "a", trixieEnv)
		for _, c := range list {
			if err != nil || c.Artifact.Hash.IsZero() {
				t.Errorf("candidate %v, %v", c, err)
			}
		}
	})
}
