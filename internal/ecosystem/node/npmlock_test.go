package node_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/ecosystem/node"
)

var linux = node.Platform{OS: "linux", CPU: "x64", Libc: "glibc"}

const sha = `"integrity":"sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="`

func TestReadLock(t *testing.T) {
	got, err := node.ReadLock([]byte(`{"lockfileVersion":3,"packages":{
		"":{"name":"web","workspaces":["packages/*"]},
		"packages/ui":{"name":"@web/ui","version":"1.0.0"},
		"node_modules/@web/ui":{"resolved":"packages/ui","link":true},
		"node_modules/@scope/a":{"version":"1.2.3",`+sha+`},
		"node_modules/b":{"version":"2.0.0","resolved":"https://npm.example/b/-/b-2.0.0.tgz",`+sha+`},
		"node_modules/b/node_modules/c":{"version":"3.0.0","inBundle":true,`+sha+`},
		"node_modules/d/node_modules/b":{"version":"2.0.0","resolved":"https://npm.example/b/-/b-2.0.0.tgz",`+sha+`},
		"node_modules/alias":{"name":"real","version":"4.0.0",`+sha+`},
		"node_modules/mac":{"version":"1.0.0","optional":true,"os":["darwin"],`+sha+`},
		"node_modules/musl":{"version":"1.0.0","optional":true,"os":["linux"],"libc":["musl"],`+sha+`},
		"node_modules/nowin":{"version":"1.0.0","optional":true,"os":["!win32"],`+sha+`}
	}}`), linux)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range got.Artifacts {
		names = append(names, a.Name+" "+a.File+" "+a.Hint)
	}
	want := []string{
		"@scope/a a-1.2.3.tgz ", "b b-2.0.0.tgz https://npm.example/b/-/b-2.0.0.tgz",
		"nowin nowin-1.0.0.tgz ", "real real-4.0.0.tgz ",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"packages/ui"}, got.Workspaces); diff != "" {
		t.Error(diff)
	}
	if got.Placed["node_modules/d/node_modules/b"] != got.Artifacts[1].Hash {
		t.Error("the second place of b has not b's artifact")
	}
}

func TestReadLockRefuses(t *testing.T) {
	for name, c := range map[string]struct{ lock, want string }{
		"not JSON":         {`{`, "read package-lock.json"},
		"version 1":        {`{"lockfileVersion":1}`, "lockfileVersion 1"},
		"no integrity":     {`{"lockfileVersion":3,"packages":{"node_modules/a":{"version":"1.0.0"},"node_modules/b":{"version":"1.0.0"}}}`, "2 packages"},
		"unknown hash":     {`{"lockfileVersion":3,"packages":{"node_modules/a":{"version":"1.0.0","integrity":"md9-xx"}}}`, "known kind"},
		"git":              {`{"lockfileVersion":3,"packages":{"node_modules/a":{"version":"1.0.0","resolved":"git+ssh://git.example/a#0",` + sha + `}}}`, "from git"},
		"out of the tree":  {`{"lockfileVersion":3,"packages":{"node_modules/../../a":{"version":"1.0.0",` + sha + `}}}`, "clean path"},
		"above the folder": {`{"lockfileVersion":3,"packages":{"../node_modules/a":{"version":"1.0.0",` + sha + `}}}`, "clean path"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := node.ReadLock([]byte(c.lock), linux)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want an error that says %q, got %v", c.want, err)
			}
		})
	}
}

func FuzzReadLock(f *testing.F) {
	f.Add([]byte(`{"lockfileVersion":3,"packages":{"node_modules/a":{"version":"1.0.0",` + sha + `}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := node.ReadLock(data, linux)
		if err != nil {
			return
		}
		for dir := range got.Placed {
			if strings.HasPrefix(dir, "/") || strings.Contains("/"+dir+"/", "/../") {
				t.Errorf("folder %q leaves the tree", dir)
			}
		}
	})
}

// What an optional package needs and the lock does not have, npm asks the registry of.
func TestReadLockListsWhatIsMissing(t *testing.T) {
	const integrity = `"integrity":"sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="`
	l, err := node.ReadLock([]byte(`{"lockfileVersion":3,"packages":{
		"":{"dependencies":{"not-locked":"1"}},
		"node_modules/a":{"version":"1.0.0",`+integrity+`,"dependencies":{"gone":"^1"}},
		"node_modules/b":{"version":"1.0.0",`+integrity+`,"optional":true,"dependencies":{"a":"1","parser":"=0.2.1","deep":"^2"}},
		"node_modules/b/node_modules/c":{"version":"1.0.0",`+integrity+`,"optional":true,"dependencies":{"d":"1","parser":"=0.2.1"}},
		"node_modules/b/node_modules/d":{"version":"1.0.0",`+integrity+`,"optional":true},
		"node_modules/e":{"version":"1.0.0",`+integrity+`,"optional":true,"os":["win32"],"dependencies":{"f":"1"}}
	}}`), node.Platform{OS: "linux", CPU: "x64", Libc: "glibc"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]node.Wanted{{Name: "deep", Range: "^2"}, {Name: "parser", Range: "=0.2.1"}}, l.Missing); diff != "" {
		t.Error(diff)
	}
}
