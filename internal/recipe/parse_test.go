package recipe_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/recipe"
)

const small = `headwater: 1
name: hello
release: 1.0.0
roots:
  build: {suites: [trixie], packages: [bubblewrap, gcc]}
components:
  api:
    ecosystem: openapi
    root: build
    src: [schema.yml]
  server:
    ecosystem: go
    root: build
    src: ["**/*.go", go.mod]
    uses: [{component: api, path: go, at: internal/api}]
    output: {bin/server: server}
package:
  root: build
  layout: {/server: "server:bin/server"}
  command: [/server]
  processes:
    server: {args: [], port: 8000, health: /health}
`

func TestParse(t *testing.T) {
	r, err := recipe.Parse([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	order, err := r.Order()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"api", "server"}, order); diff != "" {
		t.Error(diff)
	}
}

// Each case changes one thing in a valid recipe; the error must say what and where.
func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"another format":       {"headwater: 1", "headwater: 2", "format 2"},
		"no format":            {"headwater: 1\n", "", "format 0"},
		"unknown key":          {"release: 1.0.0", "release: 1.0.0\nrelaese: 2", "relaese"},
		"unknown nested key":   {"port: 8000", "prot: 8000", "prot"},
		"duplicate component":  {"  server:\n    ecosystem: go", "  api:\n    ecosystem: go", "api"},
		"store paths mixed":    {"packages: [bubblewrap, gcc]", "paths: [/nix/store/0123456789abcdfghijklmnpqrsvwxyz-go]", "roots.build.paths: cannot be mixed"},
		"no store path":        {"suites: [trixie], packages: [bubblewrap, gcc]", "paths: [/usr/bin]", "roots.build.paths[0]: parse store path"},
		"a derivation as path": {"suites: [trixie], packages: [bubblewrap, gcc]", "paths: [/nix/store/0123456789abcdfghijklmnpqrsvwxyz-go.drv]", "is a derivation"},
		"a path twice":         {"suites: [trixie], packages: [bubblewrap, gcc]", "paths: [/nix/store/0123456789abcdfghijklmnpqrsvwxyz-go, /nix/store/0123456789abcdfghijklmnpqrsvwxyz-go]", "there twice"},
		"keys of no cache":     {"suites: [trixie], packages: [bubblewrap, gcc]", "paths: [/nix/store/0123456789abcdfghijklmnpqrsvwxyz-go], keys: [a:b]", "roots.build.keys: are of no cache"},
		"cache without paths":  {"packages: [bubblewrap, gcc]", "cache: https://cache.example", "roots.build.cache: is for a root that has paths"},
		"runs in store paths":  {"suites: [trixie], packages: [bubblewrap, gcc]", "paths: [/nix/store/0123456789abcdfghijklmnpqrsvwxyz-go]", "package.root: root \"build\" is made of store paths"},
		"unknown component":    {"component: api", "component: apo", `components.server.uses[0].component: no component is named "apo"`},
		"unknown root":         {"root: build\n    src: [schema", "root: biuld\n    src: [schema", `components.api.root: no root is named "biuld"`},
		"cycle":                {"src: [schema.yml]", "src: [schema.yml]\n    uses: [{component: server, at: x}]", "cycle: api → server → api"},
		"path out of the tree": {"at: internal/api", "at: ../api", "components.server.uses[0].at"},
		"relative layout":      {"{/server: ", "{server: ", "package.layout.server"},
		"unclean layout":       {"{/server: ", "{/a/../server: ", "package.layout"},
		"no source files":      {"src: [schema.yml]", "src: []", "components.api.src"},
		"name no path can use": {"name: hello", "name: he/llo", "name: "},
		"port out of range":    {"port: 8000", "port: 80000", "package.processes.server.port"},
		"health without port":  {"port: 8000, ", "", "package.processes.server.health"},
		"unknown service":      {"package:\n", "services: {db: {kind: oracle, root: build}}\npackage:\n", `services.db.kind: "oracle" is not known (there are: mariadb, postgresql, redis)`},
		"unknown value":        {"package:\n", "services: {db: {kind: redis, root: build, env: {A: '${user}'}}}\npackage:\n", "services.db.env: redis has no ${user}"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(small, c.old) {
				t.Fatalf("the valid recipe has no %q", c.old)
			}
			_, err := recipe.Parse([]byte(strings.Replace(small, c.old, c.new, 1)))
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error does not say %q:\n%v", c.want, err)
			}
		})
	}
}

const checked = small + `browser: build
checks:
  - name: page
    repeat: true
    request: {path: /, contains: [x], capture: {TOKEN: /a/b, CSRF: "cookie:csrf"}}
  - name: sign in
    browser: [{open: /}, {fill: {Name: a}}, {press: Go}, {see: Hello}]
  - name: application
    oauth2: {client-id: a, redirect: "http://app.invalid/cb", scopes: [email]}
allow-logs: ["^x"]
`

// Each case changes one thing in valid checks.
func TestParseRefusesChecks(t *testing.T) {
	r, err := recipe.Parse([]byte(checked))
	if err != nil {
		t.Fatal(err)
	}
	if r.Front() != "server" || !r.NeedsBrowser() {
		t.Errorf("the front is %q; takes a browser: %t", r.Front(), r.NeedsBrowser())
	}
	for name, c := range map[string]struct{ old, new, want string }{
		"no browser":        {"browser: build\n", "", "browser: is missing"},
		"unknown browser":   {"browser: build\n", "browser: x\n", `browser: no root is named "x"`},
		"a name twice":      {"name: sign in", "name: page", `two checks named "page"`},
		"no kind":           {"    request: {path: /, contains: [x], capture: {TOKEN: /a/b, CSRF: \"cookie:csrf\"}}\n", "", "has 0 of request"},
		"relative path":     {"path: /,", "path: x,", `"x" is no path`},
		"two bodies":        {"path: /,", "path: /, body: x, form: {a: b},", "has 2 of json, form and body"},
		"odd status":        {"path: /,", "path: /, status: 99,", "99 is no HTTP status"},
		"odd time":          {"path: /,", "path: /, within: 601,", "601 is not between"},
		"odd method":        {"path: /,", "path: /, method: get,", "is no HTTP method"},
		"odd capture":       {"/a/b", "a/b", "is no JSON pointer"},
		"two groups":        {"/a/b", "'match:(a)(b)'", "has 2 groups"},
		"odd expression":    {"/a/b", "'match:('", "capture.TOKEN"},
		"two in a step":     {"{open: /}", "{open: /, see: x}", "has 2 of open"},
		"unknown process":   {"repeat: true", "process: x", `is named "x"`},
		"relative redirect": {"http://app.invalid/cb", "/cb", "oauth2.redirect"},
		"odd pattern":       {"^x", "(", "allow-logs[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(checked, c.old) {
				t.Fatalf("the valid recipe has no %q", c.old)
			}
			_, err := recipe.Parse([]byte(strings.Replace(checked, c.old, c.new, 1)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error does not say %q: %v", c.want, err)
			}
		})
	}
}

func TestParseTellsAllProblems(t *testing.T) {
	bad := strings.NewReplacer("root: build\n    src: [schema", "root: x\n    src: [schema", "port: 8000", "port: -1").Replace(small)
	_, err := recipe.Parse([]byte(bad))
	var invalid *recipe.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("got %v", err)
	}
	if len(invalid.Problems) < 2 {
		t.Errorf("only %q", invalid.Problems)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte(checked))
	f.Add([]byte("headwater: 1\ncomponents: {a: {uses: [{component: a}]}}"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := recipe.Parse(data)
		if err == nil {
			if _, err := r.Order(); err != nil {
				t.Errorf("valid, but %v", err)
			}
		}
	})
}
