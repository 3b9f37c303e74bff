package control_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"headwater/internal/rootfs/control"
)

func TestParse(t *testing.T) {
	got, err := control.Parse("\nPackage: a\nDescription: one\n two\n .\n three\nTag:\n x::y\n\n\n")
	if err != nil {
		t.Fatal(err)
	}
	want := control.Stanza{"Package": "a", "Description": "one\n two\n .\n three", "Tag": "x::y"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for text, want := range map[string]string{
		"":                     "no fields",
		"\n\n":                 "no fields",
		"A: 1\n\nB: 2\n":       "line 3: more than one stanza",
		"A: 1\nA: 2\n":         "line 2: field A is there twice",
		" A: 1\n":              "line 1",
		"A: 1\nB\n":            "line 2",
		"A: 1\n x\n y\n: 2\n":  "line 4",
		"A: 1\n#B: 2\n":        "line 2",
		"A b: 1\n":             "line 1",
		"A: 1\n\n continued\n": "line 3",
	} {
		if got, err := control.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %v, %v; want an error with %q", text, got, err, want)
		}
	}
}

func FuzzScanner(f *testing.F) {
	f.Add("A: 1\n 2\n\nB: 3")
	f.Fuzz(func(t *testing.T, text string) {
		s := control.NewScanner(text)
		for last := 0; s.Next(); {
			if s.End() {
				continue
			}
			if s.Line() <= last {
				t.Fatalf("line %d after line %d", s.Line(), last)
			}
			last = s.Line()
			if line := strings.Split(text, "\n")[last-1]; !strings.HasPrefix(line, s.Name+":") {
				t.Fatalf("field %q is not on line %d, %q", s.Name, last, line)
			}
		}
	})
}

func TestParseRelations(t *testing.T) {
	got, err := control.ParseRelations("libc6 (>= 2.38), debconf (>= 0.5) | debconf-2.0,\n python3:any, aa(<<1~), bb (< 2), ")
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for _, c := range got {
		text = append(text, c.String())
	}
	want := []string{"libc6 (>= 2.38)", "debconf (>= 0.5) | debconf-2.0", "python3:any", "aa (<< 1~)", "bb (<= 2)"}
	if d := cmp.Diff(want, text); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{"a", "|", "ab |", "ab (1)", "ab (>= )", "ab (>= 1", "ab (=> 1)", "ab [amd64]", "ab <!nocheck>", "ab (>= 1) x", "../ab", "ab:", "ab:x:y", "ab (= 1:)", "ab (= a b)"} {
		if got, err := control.ParseRelations(bad); err == nil {
			t.Errorf("ParseRelations(%q) = %v", bad, got)
		}
	}
}

func FuzzParseRelations(f *testing.F) {
	f.Add("libc6 (>= 2.38), debconf (>= 0.5) | debconf-2.0, x:any")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := control.ParseRelations(text)
		if err != nil {
			return
		}
		var parts []string
		for _, c := range got {
			parts = append(parts, c.String())
		}
		again, err := control.ParseRelations(strings.Join(parts, ", "))
		if err != nil {
			t.Fatalf("%q: %v", parts, err)
		}
		for i, c := range again {
			if c.String() != parts[i] {
				t.Errorf("%q became %q", parts[i], c)
			}
		}
		if len(again) != len(got) {
			t.Errorf("%d clauses became %d", len(got), len(again))
		}
	})
}

// TestCompare has the answers of dpkg --compare-versions.
func TestCompare(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"1.0", "1.0", 0},
		{"1.0", "1.00", 0},
		{"1.0-0", "1.0", 0},
		{"1.0-1", "1.0", 1},
		{"1.0~rc1", "1.0", -1},
		{"1.0~~", "1.0~", -1},
		{"1.9", "1.10", -1},
		{"1:0.1", "9.9", 1},
		{"0:1", "1", 0},
		{"1.0a", "1.0+", -1},
		{"1.0+b1", "1.0", 1},
		{"2.41-12+deb13u1", "2.41-12", 1},
		{"1.0-1-1", "1.0-1", 1},
		{"3.1~", "3.1", -1},
		{"1a", "1", 1},
	} {
		a, b := version(t, tt.a), version(t, tt.b)
		if got := sign(a.Compare(b)); got != tt.want {
			t.Errorf("%s against %s: got %d, want %d", a, b, got, tt.want)
		}
		if got := sign(b.Compare(a)); got != -tt.want {
			t.Errorf("%s against %s: got %d, want %d", b, a, got, -tt.want)
		}
	}
}

func version(t interface{ Fatal(...any) }, s string) control.Version {
	v, err := control.ParseVersion(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func sign(n int) int { return min(1, max(-1, n)) }

func TestAdmits(t *testing.T) {
	for rel, want := range map[string]string{
		"ab": "1 2 3 none", "ab (<< 2)": "1", "ab (<= 2)": "1 2", "ab (= 2)": "2", "ab (>= 2)": "2 3", "ab (>> 2)": "3",
	} {
		r, err := control.ParseRelation(rel)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range []string{"1", "2", "3"} {
			if r.Admits(version(t, v)) {
				got = append(got, v)
			}
		}
		if r.Admits(control.Version{}) {
			got = append(got, "none")
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s admits %q, want %q", rel, s, want)
		}
	}
}

// TestCompareOrders checks that Compare is an order, and that the five bounds agree with it.
func TestCompareOrders(t *testing.T) {
	gen := rapid.StringMatching(`([0-2]:)?[0-2](\.[0-9a~+]{0,3}){0,2}(-[0-2~]{1,2})?`)
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := version(t, gen.Draw(t, "a")), version(t, gen.Draw(t, "b")), version(t, gen.Draw(t, "c"))
		ab, bc, ac := sign(a.Compare(b)), sign(b.Compare(c)), sign(a.Compare(c))
		if ab != -sign(b.Compare(a)) {
			t.Fatalf("%s and %s are not ordered the same both ways", a, b)
		}
		if ab == bc && ac != ab {
			t.Fatalf("%s, %s, %s: %d, %d, but %d", a, b, c, ab, bc, ac)
		}
		for op, want := range map[control.Op]bool{
			control.Earlier: ab < 0, control.EarlierEqual: ab <= 0, control.Equal: ab == 0, control.LaterEqual: ab >= 0, control.Later: ab > 0,
		} {
			if got := (control.Relation{Name: "xx", Op: op, Version: b}).Admits(a); got != want {
				t.Fatalf("%s %s %s: got %v", a, op, b, got)
			}
		}
	})
}
