package merge_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"headwater/internal/recipe/merge"
)

// value draws a small tree of mappings with words and lists of words at its ends.
func value(depth int) *rapid.Generator[any] {
	word := rapid.Map(rapid.SampledFrom([]string{"a", "b", "c", "1", "x: y", "# no", ""}), func(s string) any { return s })
	list := rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]string{"p", "q", "r", "s"}), 0, 3), func(l []string) any {
		out := []any{}
		for _, s := range l {
			out = append(out, s)
		}
		return out
	})
	if depth == 0 {
		return rapid.OneOf(word, list)
	}
	m := rapid.Map(rapid.MapOfN(rapid.SampledFrom([]string{"k", "l", "m", "packages"}), value(depth-1), 0, 3), func(m map[string]any) any { return m })
	return rapid.OneOf(word, list, m, m)
}

func recipes() *rapid.Generator[map[string]any] {
	return rapid.MapOfN(rapid.SampledFrom([]string{"roots", "components", "package", "name", "env"}), value(3), 0, 4)
}

// changed draws what m becomes when keys of it are set, taken out and added.
func changed(t *rapid.T, label string, m map[string]any) map[string]any {
	out := maps.Clone(m)
	for _, k := range slices.Sorted(maps.Keys(m)) {
		switch inner, isMap := m[k].(map[string]any); rapid.IntRange(0, 5).Draw(t, label) {
		case 0:
			delete(out, k)
		case 1:
			out[k] = value(2).Draw(t, label)
		case 2:
			if isMap {
				out[k] = changed(t, label, inner)
			}
		}
	}
	if rapid.Bool().Draw(t, label) {
		out[rapid.SampledFrom([]string{"n", "o"}).Draw(t, label)] = value(1).Draw(t, label)
	}
	return out
}

func text(t *rapid.T, m map[string]any) []byte {
	b, err := yaml.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func merged(t *rapid.T, base, mine, next []byte) (map[string]any, *merge.Result) {
	r, err := merge.Merge(base, mine, next)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := yaml.Unmarshal(r.Text, &m); err != nil {
		t.Fatalf("%v\n%s", err, r.Text)
	}
	return m, r
}

// note is a comment at the end of a text: the same recipe in other bytes, so that nothing is taken over as it is.
func note(text []byte) []byte { return append(slices.Clone(text), "# mine\n"...) }

func TestNoEdits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		before := recipes().Draw(t, "base")
		after := changed(t, "next", before)
		base, next := text(t, before), text(t, after)
		if _, r := merged(t, base, base, next); string(r.Text) != string(next) || len(r.Conflicts) > 0 {
			t.Fatalf("%s\n%v", r.Text, r.Conflicts)
		}
		if got, r := merged(t, base, note(base), next); !reflect.DeepEqual(got, after) || len(r.Conflicts) > 0 {
			t.Fatalf("merge(base, base, next) is not next but\n%s\n%v", r.Text, r.Conflicts)
		}
	})
}

func TestNothingNew(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		before := recipes().Draw(t, "base")
		edited := changed(t, "mine", before)
		base, mine := text(t, before), text(t, edited)
		if _, r := merged(t, base, mine, base); string(r.Text) != string(mine) || len(r.Conflicts) > 0 {
			t.Fatalf("%s\n%v", r.Text, r.Conflicts)
		}
		if got, r := merged(t, base, mine, note(base)); !reflect.DeepEqual(got, edited) || len(r.Conflicts) > 0 {
			t.Fatalf("merge(base, mine, base) is not mine but\n%s\n%v", r.Text, r.Conflicts)
		}
	})
}

// Every edit of a word, and every key taken out, is in the result; what only the plan changed is the plan's; a conflict is told for each
// thing that both changed otherwise, and for nothing else.
func TestNoEditIsLost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		before := recipes().Draw(t, "base")
		edited, after := changed(t, "mine", before), changed(t, "next", before)
		got, r := merged(t, text(t, before), text(t, edited), text(t, after))
		conflicts := map[string]bool{}
		for _, c := range r.Conflicts {
			conflicts[c.Key] = true
		}
		kept(t, "", conflicts, before, edited, after, got)
	})
}

func kept(t *rapid.T, at string, conflicts map[string]bool, before, edited, after, got map[string]any) {
	keys := map[string]bool{}
	for _, m := range []map[string]any{before, edited, after, got} {
		for k := range m {
			keys[k] = true
		}
	}
	for k := range keys {
		where := at + "." + k
		if at == "" {
			where = k
		}
		b, inBase := before[k]
		m, inMine := edited[k]
		n, inNext := after[k]
		g, inGot := got[k]
		mm, ok1 := m.(map[string]any)
		nm, ok2 := n.(map[string]any)
		gm, ok3 := g.(map[string]any)
		if ok1 && ok2 && ok3 {
			bm, _ := b.(map[string]any)
			kept(t, where, conflicts, bm, mm, nm, gm)
			continue
		}
		is := func(v any, in bool) bool { return inGot == in && (!in || reflect.DeepEqual(g, v)) }
		same := inMine == inBase && (!inBase || reflect.DeepEqual(m, b))
		moved := !(inNext == inBase && (!inBase || reflect.DeepEqual(n, b)))
		agree := inMine == inNext && (!inMine || reflect.DeepEqual(m, n))
		_, list := m.([]any)
		switch {
		case k == "packages" && list && !same && moved: // merged by elements
			for _, e := range m.([]any) {
				if bl, _ := b.([]any); !slices.Contains(bl, e) && !slices.Contains(g.([]any), e) {
					t.Fatalf("%s: %v is lost", where, e)
				}
			}
		case same && !is(n, inNext):
			t.Fatalf("%s: nobody edited it, and it is %v instead of %v", where, g, n)
		case !same && !is(m, inMine):
			t.Fatalf("%s: the edit %v is lost: %v", where, m, g)
		case conflicts[where] != (!same && moved && !agree):
			t.Fatalf("%s: conflict is %v: %s", where, conflicts[where], fmt.Sprint(b, m, n))
		}
	}
}
