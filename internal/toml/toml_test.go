package toml_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	library "github.com/BurntSushi/toml"

	"headwater/internal/toml"
)

func TestDecode(t *testing.T) {
	const text = `a = "]]][[[ \" {" # [[[
b = '''
[[[ ' '' {{{
''''
c = """x [ """""
[d."e.f".g]
h = [[1], {i = [2]}]
`
	var got, want map[string]any
	if _, err := library.Decode(text, &want); err != nil {
		t.Fatal(err)
	}
	if err := toml.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// What strings have in them is no nesting, and hides none.
	many := "a = [" + strings.Repeat("\"[[{\", '}', ", 1000) + "]\n" + strings.Repeat("[[x.y]]\nz.w = {a.b = 1}\n", 1000)
	if err := toml.Unmarshal([]byte(many), &got); err != nil {
		t.Error(err)
	}
	for name, text := range map[string]string{
		"arrays":                 "a = " + strings.Repeat("[", 1<<22),
		"arrays behind strings":  "a = " + strings.Repeat("[']', ", 1<<20),
		"arrays behind escapes":  "a = " + strings.Repeat(`["\"]", `, 1<<20),
		"arrays behind comments": "a = " + strings.Repeat("[ # ]\n", 1<<20),
		"tables":                 "a = " + strings.Repeat("{a=", 1<<20),
		"key":                    strings.Repeat("a.", 1<<20) + "a = 1",
		"header":                 "[" + strings.Repeat("a.", 1<<20) + "a]",
	} {
		if err := toml.Unmarshal([]byte(text), &got); err == nil || !strings.Contains(err.Error(), "deep") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is accepted is what the library makes of it; and what the library takes is accepted, unless it is deep.
func FuzzDecode(f *testing.F) {
	f.Add("a = \"x\"\n[b.'c']\nd = [1, {e = '''\n'''}]\n")
	f.Add("a = \"\"\"x\\\"\"\"\"\" # \"\n")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4<<10 {
			return
		}
		var got, want map[string]any
		err := toml.Unmarshal([]byte(text), &got)
		_, wrong := library.Decode(text, &want)
		if (err == nil) != (wrong == nil) && !strings.Contains(err.Error(), "deep") {
			t.Errorf("%v, the library: %v", err, wrong)
		}
	})
}
