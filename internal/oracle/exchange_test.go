package oracle_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/dag"
	"headwater/internal/engine/local"
	"headwater/internal/nix"
	"headwater/internal/nix/drv"
	"headwater/internal/nixtest"
	"headwater/internal/store"
	"headwater/internal/store/storetest"
)

// tower makes derivations that stand on one another: the last needs all.
func tower(l *lab) []*dag.Node {
	base := l.tooled("base", []string{"out", "dev"}, []string{"shell", "mkdir $out", "write $out/self $out", "write $out/f " + string(l.texts[1].Path()), "write $dev $out"}, nil, l.texts[1])
	middle := l.tooled("middle", []string{"out"}, []string{"shell", "link $out " + string(base.Outputs["dev"])}, nil, base)
	top := l.tooled("top", []string{"out"}, []string{"shell", "write $out " + string(middle.Path()) + " " + drv.Placeholder("out")}, nil, middle, base)
	return []*dag.Node{base, middle, top}
}

// A store that we filled is sound to Nix, which builds on top of it and collects it as we would.
func TestNixUsesOurStore(t *testing.T) {
	for _, n := range nixtest.All(t) {
		t.Run(string(n.Release), func(t *testing.T) {
			l := newLab(t)
			nodes := tower(l)
			below, top := nodes[:2], nodes[2]
			if _, err := l.realise(below...); err != nil {
				t.Fatal(errorText(err))
			}
			n.Verify(t, l.store.Dir())
			writeDerivation(t, l.store, top)
			log, err := nixRealise(t, n, l.store.Dir(), []*dag.Node{top})
			if err != nil || strings.Contains(log, "building '"+string(nodes[0].DrvPath)) || strings.Contains(log, "building '"+string(nodes[1].DrvPath)) {
				t.Errorf("%v\n%s", err, log)
			}
			sound(t, l.store)
			info, err := l.store.Query(t.Context(), top.Path())
			if want := []nix.StorePath{nodes[1].Path(), top.Path()}; err != nil || cmp.Diff(sorted(want), info.Refs) != "" {
				t.Errorf("top refers to %v, %v", info.Refs, err)
			}
			// A root of ours holds what Nix built, for both collectors; the rest goes.
			if err := l.store.AddRoot(t.Context(), filepath.Join(t.TempDir(), "root"), top.Path()); err != nil {
				t.Fatal(err)
			}
			if err := l.store.Close(); err != nil { // temporary roots end here
				t.Fatal(err)
			}
			l.store = storetest.Open(t, l.store.Dir())
			dead := n.Paths(t, "nix-store", "--store", l.store.Dir(), "--gc", "--print-dead")
			ours, err := l.store.GC(t.Context(), store.GCOptions{DryRun: true})
			if d := cmp.Diff(sorted(dead), sorted(ours.Dead)); err != nil || d != "" {
				t.Errorf("Nix and we find different paths dead: %s %v", d, err)
			}
			n.Run(t, "nix-store", "--store", l.store.Dir(), "--gc")
			sound(t, l.store)
			if v := valid(t, l.store, paths(nodes)); len(v) != 4 {
				t.Errorf("of what top needs %v are left", v)
			}
		})
	}
}

// A store that Nix filled is sound to us; we load what Nix instantiated, build on top of what it built, and collect.
func TestWeUseNixsStore(t *testing.T) {
	for _, n := range nixtest.All(t) {
		t.Run(string(n.Release), func(t *testing.T) {
			l, dir := newLab(t), storeDir(t)
			nodes := tower(l)
			// Nix's own store from the start: it adds the sources, instantiates and builds.
			addSources(t, n, dir, l)
			if err := evaluate(t, n, dir, nodes); err != nil {
				t.Fatal(err)
			}
			if log, err := nixRealise(t, n, dir, nodes[:2]); err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			s := storetest.Open(t, dir)
			sound(t, s)
			loaded, err := local.Load(t.Context(), s, nodes[2].DrvPath)
			if err != nil {
				t.Fatal(err)
			}
			onTop := &lab{t: t, store: s}
			r, err := onTop.realise(loaded...)
			if err != nil || len(r.Realised) != 1 || r.Realised[0].Name != "top" {
				t.Errorf("realised %v: %s", r.Realised, errorText(err))
			}
			n.Verify(t, dir)
			if _, err := l.realise(nodes...); err != nil {
				t.Fatal(errorText(err))
			}
			if _, err := compare(t, l.store, s, nodes); err != nil {
				t.Error(err)
			}
			collectNixs(t, n, s, nodes)
		})
	}
}

// collectNixs collects all but what a root of Nix's holds.
func collectNixs(t *testing.T, n *nixtest.Nix, s *store.Store, nodes []*dag.Node) {
	t.Helper()
	link := filepath.Join(t.TempDir(), "link")
	n.Run(t, "nix-store", "--store", s.Dir(), "--add-root", link, "--realise", string(nodes[1].Path()))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = storetest.Open(t, s.Dir())
	if _, err := s.GC(t.Context(), store.GCOptions{}); err != nil {
		t.Fatal(err)
	}
	if v := valid(t, s, paths(nodes)); len(v) != 3 || slices.Contains(v, nodes[2].Path()) {
		t.Errorf("%v are left", v)
	}
	sound(t, s)
	n.Verify(t, s.Dir())
}

// addSources has Nix add the builder and the files of the lab.
func addSources(t *testing.T, n *nixtest.Nix, dir string, l *lab) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tool")
	if err := l.tool.Content.Write(t.Context(), file, nil); err != nil {
		t.Fatal(err)
	}
	n.Run(t, "nix-store", "--store", dir, "--add", file)
	n.Run(t, "nix-instantiate", "--store", dir, "--eval", "--read-write-mode", "-E", `builtins.toFile "second" "${builtins.toFile "first" "1\n"}\n"`)
	if v := valid(t, storetest.Open(t, dir), []nix.StorePath{l.tool.Path(), l.texts[0].Path(), l.texts[1].Path()}); len(v) != 3 {
		t.Fatalf("Nix added the sources elsewhere: %v", v)
	}
}

// sound expects that our verification finds nothing.
func sound(t *testing.T, s *store.Store) {
	t.Helper()
	r, err := s.Verify(t.Context(), store.VerifyOptions{Contents: true})
	if err != nil || len(r.Problems) > 0 {
		t.Errorf("problems %v, %v", r.Problems, err)
	}
}

// writeDerivation puts n's .drv into a store that has its inputs'.
func writeDerivation(t *testing.T, s *store.Store, n *dag.Node) {
	t.Helper()
	text := store.Text{Name: n.DrvPath.Name(), Content: string(n.Drv.Marshal()), Refs: slices.Clone(n.Drv.InputSrcs)}
	for p := range n.Drv.InputDrvs {
		text.Refs = append(text.Refs, p)
	}
	if _, err := s.AddTexts(t.Context(), []store.Text{text}); err != nil {
		t.Fatal(err)
	}
}

func sorted(list []nix.StorePath) []nix.StorePath { return slices.Sorted(slices.Values(list)) }
