package merge_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/recipe/merge"
)

const base = `# note: a remark of the plan
headwater: 1
# (go.mod:1)
name: x
release: 1.0.0
toolchains:
  # (go.mod:3)
  go: "1.25"
roots:
  # (Dockerfile:2)
  go: {suites: [trixie], packages: [gcc, unzip]}
components:
  # (Dockerfile:9)
  server:
    ecosystem: go
    root: go
    src: [cmd, go.mod]
    uses: [{component: web, at: web/dist}]
    build: [make]
  # (Dockerfile:4)
  web: {ecosystem: node, root: go, src: [web]}
package:
  layout: {/app/server: server, /app/web: web}
  # (Dockerfile:30)
  user: 1000:1000
`

// edit replaces parts of a text, each of which must be there.
func edit(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i+1 < len(pairs); i += 2 {
		if strings.Count(text, pairs[i]) != 1 {
			t.Fatalf("%q is there %d times", pairs[i], strings.Count(text, pairs[i]))
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

func TestMerge(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mine, next, want []string // replaced in base; want: in what next makes of base, unless it is of the person alone
		conflicts        []merge.Conflict
	}{
		"a value that the person set stays, one that upstream changed moves": {
			mine: []string{"user: 1000:1000", "user: 2000:2000"}, next: []string{"release: 1.0.0", "release: 1.1.0", `go: "1.25"`, `go: "1.26"`},
			want: []string{"release: 1.0.0", "release: 1.1.0", `go: "1.25"`, `go: "1.26"`, "user: 1000:1000", "user: 2000:2000"},
		},
		"a conflict keeps the person's and shows both": {
			mine: []string{`go: "1.25"`, `go: 1.24.3`}, next: []string{`go: "1.25"`, `go: "1.26"`}, want: []string{`go: "1.25"`, `go: 1.24.3`},
			conflicts: []merge.Conflict{{Key: "toolchains.go", Base: `"1.25"`, Mine: "1.24.3", Next: `"1.26"`}},
		},
		"both say the same": {
			mine: []string{`go: "1.25"`, `go: "1.26"`}, next: []string{`go: "1.25"`, `go: '1.26'`}, want: []string{`go: "1.25"`, `go: "1.26"`},
		},
		"comments of people stay where they are, evidence moves": {
			mine: []string{"  # (Dockerfile:30)", "  # the share has this owner\n  # (Dockerfile:30)", "build: [make]", "build: [make] # slow"},
			next: []string{"(Dockerfile:30)", "(Dockerfile:33)"},
			want: []string{"  # (Dockerfile:30)", "  # the share has this owner\n  # (Dockerfile:33)", "build: [make]", "build: [make] # slow"},
		},
		"evidence that the person took out stays out": {
			mine: []string{"  # (Dockerfile:30)\n", ""}, next: []string{"(Dockerfile:30)", "(Dockerfile:33)", "release: 1.0.0", "release: 1.1.0"},
			want: []string{"  # (Dockerfile:30)\n", "", "release: 1.0.0", "release: 1.1.0"},
		},
		"elements of sets are one thing each": {
			mine: []string{"[gcc, unzip]", "[gcc, git]", "src: [cmd, go.mod]", "src: [cmd, go.mod, '!cmd/tool']"},
			next: []string{"[gcc, unzip]", "[g++, gcc, unzip]", "src: [cmd, go.mod]", "src: [cmd, go.mod, internal]"},
			want: []string{"[gcc, unzip]", "[g++, gcc, git]", "src: [cmd, go.mod]", "src: [cmd, go.mod, internal, '!cmd/tool']"},
		},
		"what is used is told apart by its place": {
			mine: []string{"at: web/dist}]", "at: web/dist, writable: true}]"}, next: []string{"{component: web, at: web/dist}", "{component: ui, at: web/dist}, {component: web, at: api}"},
			want: []string{"{component: web, at: web/dist}", "{component: ui, at: web/dist, writable: true}, {component: web, at: api}"},
		},
		"commands are one value": {
			mine: []string{"[make]", "[make, strip x]"}, next: []string{"[make]", "[make all]"}, want: []string{"[make]", "[make, strip x]"},
			conflicts: []merge.Conflict{{Key: "components.server.build", Base: "[make]", Mine: "[make, strip x]", Next: "[make all]"}},
		},
		"a component that is gone goes, one that is new comes behind the one that it follows": {
			next: []string{"  # (Dockerfile:4)\n  web: {ecosystem: node, root: go, src: [web]}", "  # (Dockerfile:5)\n  ui: {ecosystem: node, root: go, src: [ui]}"},
			mine: []string{"user: 1000:1000", "user: 1:1"},
			want: []string{"  # (Dockerfile:4)\n  web: {ecosystem: node, root: go, src: [web]}", "  # (Dockerfile:5)\n  ui: {ecosystem: node, root: go, src: [ui]}", "user: 1000:1000", "user: 1:1"},
		},
		"what the person took out stays out, and is told if upstream changed it": {
			mine: []string{"  # (Dockerfile:4)\n  web: {ecosystem: node, root: go, src: [web]}\n", ""}, next: []string{"src: [web]}", "src: [ui]}"},
			want:      []string{"  # (Dockerfile:4)\n  web: {ecosystem: node, root: go, src: [web]}\n", ""},
			conflicts: []merge.Conflict{{Key: "components.web", Base: "{ecosystem: node, root: go, src: [web]}", Next: "{ecosystem: node, root: go, src: [ui]}"}},
		},
		"what the person edited stays when upstream takes it out, and is told": {
			mine: []string{"root: go, src: [web]}", "root: node, src: [web]}"}, next: []string{"  # (Dockerfile:4)\n  web: {ecosystem: node, root: go, src: [web]}\n", ""},
			want:      []string{"root: go, src: [web]}", "root: node, src: [web]}"},
			conflicts: []merge.Conflict{{Key: "components.web", Base: "{ecosystem: node, root: go, src: [web]}", Mine: "{ecosystem: node, root: node, src: [web]}"}},
		},
		"a key that the person added stays": {
			mine: []string{"build: [make]", "build: [make]\n    env: {CGO_ENABLED: \"0\"}"}, next: []string{"release: 1.0.0", "release: 1.1.0"},
			want: []string{"build: [make]", "build: [make]\n    env: {CGO_ENABLED: \"0\"}", "release: 1.0.0", "release: 1.1.0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := merge.Merge([]byte(base), []byte(edit(t, base, c.mine...)), []byte(edit(t, base, c.next...)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(edit(t, base, c.want...), string(r.Text)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.conflicts, r.Conflicts); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a: &x {b: 1}\nc: *x\n": "anchors",
		"[a]\n":                 "no mapping",
		"":                      "EOF",
		"a: 1\n---\na: 2\n":     "more than one",
		"? [a]\n: 1\n":          "no word",
		"a: 1\na: 2\n":          "twice",
		"a: [\n":                "did not find",
	} {
		_, err := merge.Merge([]byte("a: 1\n"), []byte(text), []byte("a: 2\n"))
		var s *merge.SyntaxError
		if !errors.As(err, &s) || s.Text != "the recipe" || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzMerge(f *testing.F) {
	f.Add(base, strings.Replace(base, "make", "go build", 1), strings.Replace(base, "1.0.0", "2", 1))
	f.Add("a: 1\n", "a: {b: [x]}\n", "a: [1, {c: 2}]\n")
	f.Add("a: |\n  x\n", "# c\na: 'y' # d\n", "a: !!binary eA==\n")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		r, err := merge.Merge([]byte(a), []byte(b), []byte(c))
		if err != nil {
			return
		}
		// What was merged can be merged again, and then holds.
		again, err := merge.Merge([]byte(c), r.Text, []byte(c))
		if err != nil || string(again.Text) != string(r.Text) || len(again.Conflicts) != 0 {
			t.Errorf("%v\n%s", err, r.Text)
		}
	})
}
