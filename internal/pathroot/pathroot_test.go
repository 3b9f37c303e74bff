package pathroot_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/dag"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/pathroot"
	"headwater/internal/store"
	"headwater/internal/store/storetest"
)

// lab is a store to put paths into.
type lab struct {
	*store.Store
	t *testing.T
}

func newLab(t *testing.T) lab {
	t.Helper()
	s, err := store.Open(t.Context(), storetest.Dir(t), store.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return lab{s, t}
}

// add makes a store path with programs in its bin folder: by name, "" for an executable, "-" for a file that is none, else
// what a link says.
func (l lab) add(name string, programs map[string]string, refs ...nix.StorePath) nix.StorePath {
	l.t.Helper()
	must := func(err error) {
		l.t.Helper()
		if err != nil {
			l.t.Fatal(err)
		}
	}
	ctx := l.t.Context()
	dir, remove, err := l.TempDir(ctx)
	must(err)
	from := filepath.Join(dir, name)
	must(os.MkdirAll(filepath.Join(from, "bin"), 0o755))
	for program, what := range programs {
		file := filepath.Join(from, "bin", program)
		switch what {
		case "":
			must(os.WriteFile(file, []byte(name), 0o755))
		case "-":
			must(os.WriteFile(file, nil, 0o644))
		default:
			must(os.Symlink(what, file))
		}
	}
	e, err := store.Examine(ctx, from, nil)
	must(err)
	ca := nix.ContentAddress{Method: nix.NAR, Hash: e.NARHash}
	p, err := nix.FixedPath(name, ca, refs, false)
	must(err)
	unlock, err := l.Lock(ctx, p)
	must(err)
	must(l.Install(ctx, []store.Install{{From: from, Info: store.PathInfo{Path: p, NARHash: e.NARHash, NARSize: e.NARSize, CA: ca, Refs: refs}}}))
	must(errors.Join(unlock(), remove()))
	return p
}

// tools are what a root takes besides bash.
func tools() map[string]string {
	return map[string]string{"bwrap": "", "chmod": "", "cp": "", "env": "", "find": "", "mkdir": "", "xargs": ""}
}

func texts(paths ...nix.StorePath) (list []string) {
	for _, p := range paths {
		list = append(list, string(p))
	}
	return list
}

// What is pinned is the closure, and a store that has it passes; one that has another content for a path, or lacks one, does not.
func TestPinAndCheck(t *testing.T) {
	l := newLab(t)
	lib := l.add("glibc", nil)
	bash := l.add("bash", map[string]string{"bash": ""}, lib)
	rest := l.add("tools", tools())
	wanted := texts(rest, bash)
	r, err := pathroot.Pin(t.Context(), l.Store, "go", wanted)
	if err != nil {
		t.Fatal(err)
	}
	var paths []nix.StorePath
	for _, p := range r.Paths {
		paths = append(paths, p.Path)
		if p.Path == bash && !slices.Equal(p.References, []nix.StorePath{lib}) {
			t.Errorf("bash refers to %v", p.References)
		}
	}
	want := []nix.StorePath{lib, bash, rest}
	slices.Sort(want)
	if diff := cmp.Diff(want, paths); diff != "" || r.Shell != bash || !slices.Equal(r.Wanted, wanted) {
		t.Errorf("pinned %s, shell %s, wanted %v", diff, r.Shell, r.Wanted)
	}
	if err := pathroot.Check(t.Context(), l.Store, "go", r); err != nil {
		t.Error(err)
	}

	var missing *pathroot.MissingError
	if err := pathroot.Check(t.Context(), newLab(t).Store, "go", r); !errors.As(err, &missing) || !slices.Equal(missing.Paths, want) {
		t.Errorf("in an empty store: %v", err)
	} else if !strings.Contains(missing.Hint(), "nix copy --no-check-sigs --to "+missing.Store+" "+string(want[0])) {
		t.Errorf("the hint is %q", missing.Hint())
	}
	r.Paths = slices.Clone(r.Paths)
	r.Paths[1].NARHash = nix.Sum(nix.SHA256, nil)
	var changed *pathroot.ChangedError
	if err := pathroot.Check(t.Context(), l.Store, "go", r); !errors.As(err, &changed) || changed.Path != r.Paths[1].Path {
		t.Errorf("another content: %v", err)
	}
}

// Programs are found through links, within a path and to other paths, wherever the store's folder is.
func TestPinLooksForPrograms(t *testing.T) {
	l := newLab(t)
	real := l.add("real", map[string]string{"bash": ""})
	rest := l.add("tools", tools())
	for name, c := range map[string]struct {
		programs map[string]string
		ok       bool
	}{
		"a file":                     {map[string]string{"bash": ""}, true},
		"a link beside":              {map[string]string{"bash": "sh", "sh": ""}, true},
		"a link up and down":         {map[string]string{"bash": "../bin/sh", "sh": ""}, true},
		"a link to another path":     {map[string]string{"bash": string(real) + "/bin/bash"}, true},
		"nothing":                    {nil, false},
		"a file that cannot be run":  {map[string]string{"bash": "-"}, false},
		"a link to nothing":          {map[string]string{"bash": "sh"}, false},
		"a link to itself":           {map[string]string{"bash": "bash"}, false},
		"a link out of the store":    {map[string]string{"bash": "/bin/sh"}, false},
		"a link up out of the store": {map[string]string{"bash": "../../../../bin/sh"}, false},
		"a link to a folder":         {map[string]string{"bash": "../bin"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := l.add("bash", c.programs)
			r, err := pathroot.Pin(t.Context(), l.Store, "go", texts(rest, p))
			var unfit *pathroot.UnfitError
			switch {
			case c.ok && (err != nil || r.Shell != p):
				t.Errorf("shell %s (%v)", r.Shell, err)
			case !c.ok && (!errors.As(err, &unfit) || !slices.Equal(unfit.Lacking, []string{"bash"})):
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := pathroot.Pin(t.Context(), l.Store, "go", []string{"/usr"}); err == nil {
		t.Error("/usr is pinned")
	}
}

// The node of a root refers to its paths, and is the same whatever the recipe calls it.
func TestNode(t *testing.T) {
	const a, b = "/nix/store/2hkmr70hrpvmzjvhw4bl94a3wmjzdjyq-bash", "/nix/store/16hvpw4b3r05girazh4rnwbw0jgjkb4l-tools"
	var maker dag.Maker
	node := func(name string, wanted ...string) *dag.Node {
		n, err := pathroot.Node(&maker, name, lock.Root{Wanted: wanted, Shell: a})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	n := node("go", b, a)
	if !dag.OfPaths(n) || n.Kind != dag.Root || len(n.Inputs) != 2 || n.Inputs[0].Path() != b || n.Inputs[1].Path() != a {
		t.Errorf("the node is %+v", n)
	}
	if same := node("other", b, a); same != n {
		t.Error("another name makes another root")
	}
	if other := node("go", a, b); other.Path() == n.Path() {
		t.Error("another order makes the same root")
	}
	err := n.Inputs[0].Content.Write(t.Context(), filepath.Join(t.TempDir(), "x"), nil)
	var missing *dag.MissingError
	if !errors.As(err, &missing) || missing.Path != b {
		t.Errorf("making a path that exists already: %v", err)
	}
}
