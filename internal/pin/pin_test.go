package pin_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/artifact"
	"headwater/internal/ecosystem"
	"headwater/internal/ecosystem/golang"
	"headwater/internal/ecosystem/node"
	"headwater/internal/ecosystem/plain"
	"headwater/internal/event"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/pin"
	"headwater/internal/recipe"
)

// shelf is an ecosystem.Network that has files by what names them; all else is gone. What the recipe has another place for it has by that
// place's name.
type shelf struct {
	dir    string
	recipe *recipe.Recipe
	files  map[string]string
	mu     sync.Mutex
	asked  int
}

func (s *shelf) Get(_ context.Context, a artifact.Artifact) (string, artifact.Artifact, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	name := a.File
	if _, by, ok := s.recipe.Replacing(a); ok {
		name = by.String()
	}
	text, ok := s.files[name]
	if !ok {
		return "", a, &artifact.AbsentError{Artifact: a, Why: "not on the shelf"}
	}
	a.Hash, a.Size = nix.Sum(nix.SHA256, []byte(text)), int64(len(text))
	file := filepath.Join(s.dir, a.Hash.Base32())
	return file, a, os.WriteFile(file, []byte(text), 0o600)
}

func (s *shelf) Index(_ context.Context, eco artifact.Ecosystem, name string) ([]byte, error) {
	return nil, &artifact.AbsentError{Artifact: artifact.Artifact{Ecosystem: eco, Name: name}, Why: "not on the shelf"}
}

// roots are pinned to a package each, but for one that is gone.
type roots struct{}

func (roots) Resolve(_ context.Context, r recipe.Root) ([]lock.Artifact, error) {
	a := lock.Artifact{Ecosystem: artifact.Debian, Name: r.Packages[0], Version: "1", File: "debian/pool/" + r.Packages[0] + ".deb", Hash: nix.Sum(nix.SHA256, []byte("deb"))}
	if a.Name == "gone" {
		return nil, &artifact.AbsentError{Artifact: a.Artifact(), Why: "not on the shelf"}
	}
	return []lock.Artifact{a}, nil
}

func (roots) Hash(context.Context, string, []lock.Artifact) (nix.Hash, error) {
	return nix.Sum(nix.SHA256, nil), nil
}

func (roots) Paths(context.Context, string, recipe.Root, *lock.Root) (lock.Root, error) {
	return lock.Root{}, errors.New("no root is made of paths")
}

func sri(text string) string { return nix.Sum(nix.SHA512, []byte(text)).SRI() }

// project is a recipe with a component that npm installs for and one that pnpm does, of the same package.
func project(t *testing.T, replace map[string]recipe.Replacement) pin.Config {
	r := &recipe.Recipe{
		Name: "x", Release: "1", Replace: replace, Toolchains: map[string]string{},
		Roots: map[string]recipe.Root{"r": {Suites: []string{"s"}, Packages: []string{"sh"}}},
		Components: map[string]recipe.Component{
			"npm":  {Ecosystem: "node", Root: "r", Dir: "npm"},
			"pnpm": {Ecosystem: "node", Root: "r", Dir: "pnpm"},
			"data": {Ecosystem: "plain", Root: "r", Download: map[string]string{"map/world.bin": "https://files.example/world-3.bin"}},
		},
	}
	dir := t.TempDir()
	for name, data := range map[string]string{"a.deb": "deb", "other.bin": "other"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return pin.Config{
		Dir: dir, Recipe: r, Ecosystems: []ecosystem.Ecosystem{golang.New(), node.New(), plain.New()}, Roots: roots{}, Now: time.Unix(0, 0), Events: func(event.Event) {},
		Network: &shelf{dir: t.TempDir(), recipe: r, files: map[string]string{"url https://old.example/a.tgz": "a", "url https://old.example/b.tgz": "b", "file a.deb": "deb", "world.bin": "world", "file other.bin": "other"}},
		Source: fstest.MapFS{
			"npm/package-lock.json": {Data: []byte(`{"lockfileVersion":3,"packages":{"node_modules/a":{"version":"1.0.0","integrity":"` + sri("a") + `"}}}`)},
			"npm/package.json":      {Data: []byte("{}")},
			"pnpm/pnpm-lock.yaml":   {Data: []byte("lockfileVersion: '9.0'\nimporters:\n  .: {}\npackages:\n  p@1.0.0:\n    resolution: {integrity: " + sri("a") + "}\n")},
			"pnpm/package.json":     {Data: []byte("{}")},
		},
	}
}

func TestReplace(t *testing.T) {
	old := recipe.Replacement{URL: "https://old.example/a.tgz"}
	other := recipe.Replacement{URL: "https://old.example/b.tgz"}
	for name, c := range map[string]struct {
		replace map[string]recipe.Replacement
		want    []string // what the lock notes
		err     string
	}{
		"nothing":               {nil, nil, ""},
		"the same bytes":        {map[string]recipe.Replacement{"npm:a@1.0.0": old, "npm:p@1.0.0": old}, []string{"npm a 1.0.0: url https://old.example/a.tgz, the same bytes (a-1.0.0.tgz)", "npm p 1.0.0: url https://old.example/a.tgz, the same bytes (p-1.0.0.tgz)"}, ""},
		"of a root":             {map[string]recipe.Replacement{"debian:sh": {File: "a.deb"}}, []string{"debian sh 1: file a.deb, the same bytes (debian/pool/sh.deb)"}, ""},
		"other bytes":           {map[string]recipe.Replacement{"npm:a@1.0.0": other}, []string{"npm a 1.0.0: url https://old.example/b.tgz (a-1.0.0.tgz " + nix.Sum(nix.SHA256, []byte("b")).SRI() + ") instead of " + sri("a")}, ""},
		"not for pnpm":          {map[string]recipe.Replacement{"npm:p@1.0.0": other}, nil, "lock component pnpm: replace npm:p@1.0.0: url https://old.example/b.tgz has other bytes"},
		"no version for pnpm":   {map[string]recipe.Replacement{"npm:p": {Version: "2.0.0"}}, nil, "version 2.0.0 cannot stand in here"},
		"a download":            {map[string]recipe.Replacement{"url:data/map/world.bin": {File: "other.bin"}}, []string{"url data/map/world.bin: file other.bin (world.bin " + nix.Sum(nix.SHA256, []byte("other")).SRI() + ") instead of from https://files.example/world-3.bin"}, ""},
		"of nothing":            {map[string]recipe.Replacement{"npm:a@2.0.0": old, "npm:b@1": old}, nil, "replace.npm:a@2.0.0: matches nothing in the locks; remove it (they have npm:a@1.0.0)\nreplace.npm:b@1: matches nothing in the locks; remove it"},
		"gone as well":          {map[string]recipe.Replacement{"npm:a@1.0.0": {File: "x"}, "npm:p@1.0.0": {File: "y"}}, nil, "lock component npm: npm a 1.0.0 (a-1.0.0.tgz): not on the shelf"},
		"a version that is not": {map[string]recipe.Replacement{"npm:a@1.0.0": {Version: "3.0.0"}}, nil, "npm a: not on the shelf"},
	} {
		t.Run(name, func(t *testing.T) {
			config := project(t, c.replace)
			f, err := pin.Lock(t.Context(), config)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v, want an error that says %s", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, f.Replaced()); diff != "" {
				t.Error(diff)
			}
			// Locked again nothing changes, and nobody is asked; without the replacements it is as if there had been none.
			config.Previous = f
			shelf := config.Network.(*shelf)
			shelf.asked = 0
			again, err := pin.Lock(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			if text(t, f) != text(t, again) || shelf.asked > 0 {
				t.Errorf("locked again, asking %d times: %s", shelf.asked, cmp.Diff(text(t, f), text(t, again)))
			}
			config.Recipe.Replace = nil
			without, err := pin.Lock(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			plain, err := pin.Lock(t.Context(), project(t, nil))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(text(t, plain), text(t, without)); diff != "" {
				t.Errorf("without replacements: %s", diff)
			}
		})
	}
}

func text(t *testing.T, f *lock.File) string {
	t.Helper()
	data, err := f.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if parsed, err := lock.Parse(data); err != nil {
		t.Error(err)
	} else if again, err := parsed.Marshal(); err != nil || string(again) != string(data) {
		t.Errorf("the lock is read as another: %v", err)
	}
	return string(data)
}

// Of what is gone for roots, toolchains and components all is told at once.
func TestLockTellsOfAllThatIsGone(t *testing.T) {
	config := project(t, nil)
	config.Recipe.Roots["lost"] = recipe.Root{Suites: []string{"s"}, Packages: []string{"gone"}}
	config.Recipe.Toolchains["go"] = "1.26.8"
	config.Recipe.Components["idle"] = recipe.Component{Ecosystem: "node", Root: "lost", Dir: "npm"}
	config.Recipe.Components["yarn"] = recipe.Component{Ecosystem: "node", Root: "r", Dir: "yarn"}
	files := config.Source.(fstest.MapFS)
	files["yarn/package.json"] = &fstest.MapFile{Data: []byte("{}")}
	files["yarn/yarn.lock"] = &fstest.MapFile{Data: []byte("# yarn lockfile v1\n\n\nb@^1.0.0:\n  version \"1.0.0\"\n  resolved \"https://old.example/b/-/b-1.0.0.tgz#e9d71f5ee7c92d6dc9e92ffdad17b8bd49418f98\"\n")}
	_, err := pin.Lock(t.Context(), config)
	for _, want := range []string{"lock root lost: debian gone 1", "lock toolchain go 1.26.8: go golang.org/toolchain v0.0.1-go1.26.8.linux-amd64", "lock component yarn: b 1.0.0: npm b 1.0.0 (b-1.0.0.tgz): its index is gone: npm b: not on the shelf"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error that says %s", err, want)
		}
	}
	if err != nil && strings.Contains(err.Error(), "idle") {
		t.Errorf("a component without its root was tried: %v", err)
	}
}
