package change_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/change"
	"headwater/internal/lock"
	"headwater/internal/plan"
	"headwater/internal/recipe"
)

const recipeText = `headwater: 1
name: x
release: %s
toolchains: {go: "1.25"}
roots: {r: {suites: [trixie], packages: [gcc%s]}}
components:
  server: {ecosystem: go, root: r, src: [cmd], uses: [{component: web, at: web/dist}]%s}
  web: {ecosystem: node, root: r, dir: web, src: [web]}
package:
  root: r
  layout: {/app/server: server}
  env: {LEVEL: %s}
  command: [/app/server]
  processes: {server: {args: [], port: 80}}
`

func subject(t *testing.T, text string, files map[string]string) change.Subject {
	t.Helper()
	r, err := recipe.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	fsys, names := fstest.MapFS{}, []string(nil)
	for name, content := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(content)}
		names = append(names, name)
	}
	return change.Subject{
		Recipe: r, Tree: plan.NewTree(fsys, names),
		Prove: func(key string) []plan.Evidence { return []plan.Evidence{{File: "f", Rule: key}} },
	}
}

// told is a change in one line; the evidence must be there on each side that has a value.
func told(t *testing.T, changes []change.Change) []string {
	t.Helper()
	var out []string
	for _, c := range changes {
		out = append(out, fmt.Sprintf("%s %s: %s → %s", c.Area, c.Key, c.Old, c.New))
		if (len(c.OldEvidence) > 0) != (c.Old != "") || (len(c.NewEvidence) > 0) != (c.New != "") {
			t.Errorf("%+v: the evidence is not of the sides that have a value", c)
		}
	}
	return out
}

func TestBetween(t *testing.T) {
	t.Parallel()
	old := subject(t, fmt.Sprintf(recipeText, `"1"`, "", "", "info"), map[string]string{
		"go.mod":                       "module x\n\ngo 1.25\n\nrequire example.invalid/a v1.0.0\n",
		"web/package-lock.json":        `{"packages": {"": {}, "node_modules/a": {"version": "1.0.0"}, "node_modules/b/node_modules/a": {"version": "2.0.0"}, "node_modules/gone": {"version": "1.0.0"}}}`,
		"docs/package-lock.json":       `{"packages": {"node_modules/docs": {"version": "1.0.0"}}}`,
		"app/migrations/0001_first.py": "",
	})
	new := subject(t, fmt.Sprintf(recipeText, `"2"`, ", git", ", build: [make]", "warn"), map[string]string{
		"go.mod":                        "module x\n\ngo 1.25\n\nrequire example.invalid/a v1.1.0\n",
		"web/pnpm-lock.yaml":            "packages:\n  a@1.0.0:\n    resolution: {}\n  '@s/b@1.0.0(a@1.0.0)': {}\n",
		"docs/package-lock.json":        `{"packages": {"node_modules/docs": {"version": "3.0.0"}}}`,
		"app/migrations/0001_first.py":  "",
		"app/migrations/0002_second.py": "",
	})
	got, err := change.Between(old, new)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"release release: 1 → 2",
		"shape components.server.build:  → [make]",
		"roots roots.r.packages.git:  → yes",
		"runtime package.env.LEVEL: info → warn",
		"migrations app/migrations/0002_second.py:  → yes",
		"dependencies go example.invalid/a: v1.0.0 → v1.1.0",
		"dependencies npm @s/b:  → 1.0.0",
		"dependencies npm a: 1.0.0, 2.0.0 → 1.0.0",
		"dependencies npm gone: 1.0.0 → ",
	}
	if diff := cmp.Diff(want, told(t, got)); diff != "" {
		t.Error(diff)
	}
	if same, err := change.Between(new, new); err != nil || len(same) != 0 {
		t.Errorf("%v %v", same, err)
	}
	if e := got[5].NewEvidence; len(e) != 1 || e[0].String() != "go.mod:5" {
		t.Errorf("evidence of a module: %v", e)
	}
}

func TestLocksAndLockFiles(t *testing.T) {
	t.Parallel()
	text := fmt.Sprintf(recipeText, `"1"`, "", "", "info")
	for name, c := range map[string]struct {
		file, content string
		want          []string
	}{
		"yarn 1":       {"web/yarn.lock", "# yarn lockfile v1\n\n\"@s/a@^1\", \"@s/a@^1.2\":\n  version \"1.2.3\"\n  resolved \"x\"\n", []string{"dependencies npm @s/a:  → 1.2.3"}},
		"yarn from 2":  {"web/yarn.lock", "__metadata:\n  version: 8\n\n\"a@npm:^1\":\n  version: 1.2.3\n\n\"x@workspace:.\":\n  version: 0.0.0-use.local\n", []string{"dependencies npm a:  → 1.2.3"}},
		"not shipped":  {"uv.lock", "[[package]]\nname = \"a\"\nversion = \"1\"\n", nil},
		"go in folder": {"tools/go.mod", "module x\nrequire example.invalid/a v1.0.0\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := change.Between(subject(t, text, nil), subject(t, text, map[string]string{c.file: c.content}))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, told(t, got)); diff != "" {
				t.Error(diff)
			}
		})
	}
	a, b := subject(t, text, nil), subject(t, text, map[string]string{"go.mod": "module x\nrequire example.invalid/a v1.0.0\n"})
	a.Lock = &lock.File{Components: map[string]lock.Component{"web": {Artifacts: []lock.Artifact{{Ecosystem: "npm", Name: "a", Version: "1"}}}}}
	b.Lock = &lock.File{
		Components: map[string]lock.Component{"web": {Artifacts: []lock.Artifact{{Ecosystem: "npm", Name: "a", Version: "2"}}}},
		Roots:      map[string]lock.Root{"runtime": {Packages: []lock.Artifact{{Ecosystem: "debian", Name: "tide", Version: "3"}}}},
	}
	var err error
	if b.LockText, err = b.Lock.Marshal(); err != nil {
		t.Fatal(err)
	}
	got, err := change.Between(a, b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"dependencies npm a: 1 → 2", "packages debian tide:  → 3"}, told(t, got)); diff != "" {
		t.Error(diff)
	}
	for i, name := range []string{`"name":"a"`, `"name":"tide"`} {
		lines := strings.Split(string(b.LockText), "\n")
		at := got[i].NewEvidence[0].Line
		if at < 1 || at > len(lines) || !strings.Contains(lines[at-1], name) {
			t.Errorf("%s is said to be in line %d of\n%s", name, at, b.LockText)
		}
	}
	if _, err := change.Between(subject(t, text, map[string]string{"web/package-lock.json": "{"}), b); err == nil {
		t.Error("a lock file that is broken is passed over")
	}
}

func FuzzLockFiles(f *testing.F) {
	for name, content := range map[string]string{
		"go.mod": "module x\nrequire a.invalid/b v1.0.0\n", "web/package-lock.json": `{"packages":{"node_modules/a":{"version":"1"}}}`, "web/pnpm-lock.yaml": "packages: {a@1: {}}\n", "web/yarn.lock": "a@1:\n  version \"1\"\n",
	} {
		f.Add(name, content)
	}
	f.Fuzz(func(t *testing.T, name, content string) {
		r, err := recipe.Parse(fmt.Appendf(nil, recipeText, `"1"`, "", "", "info"))
		if err != nil {
			t.Fatal(err)
		}
		s := change.Subject{Recipe: r, Tree: plan.NewTree(fstest.MapFS{name: {Data: []byte(content)}}, []string{name})}
		if changes, err := change.Between(s, s); err == nil && len(changes) > 0 {
			t.Errorf("differs from itself: %v", changes)
		}
	})
}

// What the recipe has in place of artifacts is told, in the recipe and in the lock.
func TestReplacements(t *testing.T) {
	text := fmt.Sprintf(recipeText, "1", "", "", "info")
	a, b := subject(t, text, nil), subject(t, text+"replace: {\"npm:a@1\": {version: \"1.1\"}}\n", nil)
	a.Lock = &lock.File{Components: map[string]lock.Component{"web": {Artifacts: []lock.Artifact{{Ecosystem: "npm", Name: "a", Version: "1"}}}}}
	b.Lock = &lock.File{Components: map[string]lock.Component{"web": {
		Artifacts: []lock.Artifact{{Ecosystem: "npm", Name: "a", Version: "1.1", By: recipe.Replacement{Version: "1.1"}}},
		Folders:   []lock.Folder{{Ecosystem: "pypi", Name: "b", By: recipe.Replacement{Source: "b"}}},
	}}}
	changes, err := change.Between(a, b)
	want := []string{
		"dependencies npm a: 1 → 1.1 (replaced: version 1.1)",
		"dependencies pypi b:  → source b",
		"dependencies replace.npm:a@1.version:  → 1.1",
	}
	if diff := cmp.Diff(want, told(t, changes)); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
}
