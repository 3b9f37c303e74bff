package python_test

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"headwater/internal/ecosystem/python"
)

// oracle is testdata/specifiers.json: what the reference implementation answers (specifiers.py beside it made it).
type oracle struct {
	Order          []string
	Compare        [][3]any
	Contains       [][3]any
	Parse          [][2]any
	ParseSpecifier [][2]any
	Markers        [][3]any
	Names          [][2]string
}

func readOracle(t *testing.T) oracle {
	t.Helper()
	data, err := os.ReadFile("testdata/specifiers.json")
	if err != nil {
		t.Fatal(err)
	}
	var o oracle
	if err := json.Unmarshal(data, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

func version(t *testing.T, s string) python.Version {
	t.Helper()
	v, err := python.ParseVersion(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVersionsAsReference(t *testing.T) {
	o := readOracle(t)
	for _, c := range o.Parse {
		if _, err := python.ParseVersion(c[0].(string)); (err == nil) != c[1].(bool) {
			t.Errorf("ParseVersion(%q): %v; the reference says %v", c[0], err, c[1])
		}
	}
	for _, c := range o.Compare {
		if got := version(t, c[0].(string)).Compare(version(t, c[1].(string))); got != int(c[2].(float64)) {
			t.Errorf("%s compared with %s: %d, the reference says %v", c[0], c[1], got, c[2])
		}
	}
}

func TestSpecifiersAsReference(t *testing.T) {
	o := readOracle(t)
	for _, c := range o.ParseSpecifier {
		if _, err := python.ParseSpecifiers(c[0].(string)); (err == nil) != c[1].(bool) {
			t.Errorf("ParseSpecifiers(%q): %v; the reference says %v", c[0], err, c[1])
		}
	}
	for _, c := range o.Contains {
		s, err := python.ParseSpecifiers(c[0].(string))
		if err != nil {
			t.Error(err)
			continue
		}
		if got := s.Contains(version(t, c[1].(string))); got != c[2].(bool) {
			t.Errorf("%s contains %s: %v, the reference says %v", c[0], c[1], got, c[2])
		}
	}
}

func TestMarkersAsReference(t *testing.T) {
	for _, c := range readOracle(t).Markers {
		m, err := python.ParseMarker(c[0].(string))
		if err != nil {
			t.Error(err)
			continue
		}
		env := trixieEnv
		if extra := c[1].(string); extra != "" {
			env.Extras = []string{extra}
		}
		if got := m.Holds(env); got != c[2].(bool) {
			t.Errorf("%s with extra %q: %v, the reference says %v", c[0], c[1], got, c[2])
		}
	}
}

var trixieEnv = python.Environment{Target: trixie, Full: "3.13.5"}

func TestNormalizeName(t *testing.T) {
	for _, c := range readOracle(t).Names {
		if got := python.NormalizeName(c[0]); got != c[1] {
			t.Errorf("NormalizeName(%q) = %q, want %q", c[0], got, c[1])
		}
	}
}

// TestVersionOrder: the order is total on what the grammar makes.
func TestVersionOrder(t *testing.T) {
	gen := rapid.StringMatching(`([0-2]!)?[0-3](\.[0-3]){0,3}((a|b|rc)[0-2])?(\.post[0-2])?(\.dev[0-2])?(\+[a-b0-2](\.[a-b0-2])?)?`)
	rapid.Check(t, func(t *rapid.T) {
		var vs []python.Version
		for _, s := range rapid.SliceOfN(gen, 3, 3).Draw(t, "versions") {
			v, err := python.ParseVersion(s)
			if err != nil {
				t.Fatal(err)
			}
			vs = append(vs, v)
		}
		slices.SortFunc(vs, python.Version.Compare)
		if vs[0].Compare(vs[1]) > 0 || vs[1].Compare(vs[2]) > 0 || vs[0].Compare(vs[2]) > 0 {
			t.Fatalf("%v %v %v are not in order", vs[0], vs[1], vs[2])
		}
		if vs[0].Compare(vs[2]) != -vs[2].Compare(vs[0]) {
			t.Fatalf("%v and %v compare differently from either side", vs[0], vs[2])
		}
	})
}

func TestMarkerErrors(t *testing.T) {
	for _, s := range []string{
		"", "python_version", `python_version <`, `"a" == "b"`, `os_name == sys_platform`, `moon == "full"`, `(os_name == "nt"`,
		`os_name == "nt")`, `os_name = "nt"`, `os_name == 'nt`, `os_name not "nt"`, `extra >= "x"`, `os_name == "nt" and`, `os_name == "nt" or or`,
	} {
		if m, err := python.ParseMarker(s); err == nil {
			t.Errorf("ParseMarker(%q) = %v, want an error", s, m)
		}
	}
}

func TestRequirement(t *testing.T) {
	for s, want := range map[string]struct {
		name   string
		extras []string
		specs  string
		url    string
		holds  bool
	}{
		"Cython>=3.1":                               {name: "cython", specs: ">=3.1", holds: true},
		"a.b_c [X, y_z] ( >= 1.0 , < 2 )":           {name: "a-b-c", extras: []string{"x", "y-z"}, specs: ">=1.0,<2", holds: true},
		`tomli>=1; python_version < "3.11"`:         {name: "tomli", specs: ">=1"},
		`x; sys_platform=="linux"`:                  {name: "x", holds: true},
		`x @ https://h.invalid/x;1.whl`:             {name: "x", url: "https://h.invalid/x;1.whl", holds: true},
		`x@https://h.invalid/x.whl ; os_name=="nt"`: {name: "x", url: "https://h.invalid/x.whl"},
		"setuptools":                                {name: "setuptools", holds: true},
	} {
		r, err := python.ParseRequirement(s)
		if err != nil {
			t.Error(err)
			continue
		}
		if r.Name != want.name || !slices.Equal(r.Extras, want.extras) || r.Specs.String() != want.specs || r.URL != want.url {
			t.Errorf("ParseRequirement(%q) = %q %q %q %q", s, r.Name, r.Extras, r.Specs, r.URL)
		}
		if holds := r.Marker == nil || r.Marker.Holds(trixieEnv); holds != want.holds {
			t.Errorf("marker of %q holds: %v", s, holds)
		}
	}
	for _, s := range []string{"", "-r x", "a b", "a>=", "a[b", "a[!]", "a (>1", "a >1)", "a @", "a; b", "a\nb", "a==1 ; os_name", "../x", "a[b]]"} {
		if r, err := python.ParseRequirement(s); err == nil {
			t.Errorf("ParseRequirement(%q) = %+v, want an error", s, r)
		}
	}
}

func FuzzRequirement(f *testing.F) {
	f.Add(`a.b[x,y] (>=1.0,<2!3.dev1) ; (python_version ~= "3.1" or 'x' in sys_platform) and extra != "z"`)
	f.Add(`a @ https://h.invalid/a.whl ; os_name == "nt"`)
	f.Fuzz(func(t *testing.T, s string) {
		r, err := python.ParseRequirement(s)
		if err != nil {
			return
		}
		if r.Marker != nil {
			r.Marker.Holds(trixieEnv)
		}
		r.Specs.Contains(version(t, "3.13"))
		if again, err := python.ParseSpecifiers(r.Specs.String()); err != nil || again.String() != r.Specs.String() {
			t.Errorf("specifiers of %q: %q does not read back: %v", s, r.Specs, err)
		}
	})
}

func FuzzVersion(f *testing.F) {
	f.Add("1!2.0.a1.post2.dev3+x.4", "v1-1")
	f.Fuzz(func(t *testing.T, a, b string) {
		v, err := python.ParseVersion(a)
		w, err2 := python.ParseVersion(b)
		if err == nil && err2 == nil && v.Compare(w) != -w.Compare(v) {
			t.Errorf("%q and %q compare differently from either side", a, b)
		}
	})
}
