package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"headwater/internal/nix"
	"headwater/internal/store"
	"headwater/internal/store/storetest"
)

// TestModel does random things to a store and to a model of it, which must agree.
func TestModel(t *testing.T) {
	base := storetest.Dir(t)
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		m := &model{t: t, rt: rt, dir: filepath.Join(base, fmt.Sprint(runs)), links: filepath.Join(base, fmt.Sprint("links", runs)),
			refs: map[nix.StorePath][]nix.StorePath{}, roots: map[string]nix.StorePath{}, temp: map[nix.StorePath]bool{}}
		m.open()
		defer func() { m.must(m.s.Close()) }()
		rt.Repeat(map[string]func(*rapid.T){
			"text":     m.text,
			"tree":     m.tree,
			"again":    m.again,
			"root":     m.root,
			"unroot":   m.unroot,
			"collect":  m.collect,
			"reopen":   func(*rapid.T) { m.must(m.s.Close()); m.open() },
			"optimise": func(*rapid.T) { _, err := m.s.Optimise(context.Background()); m.must(err) },
			"damage":   m.damage,
			"closure":  m.closure,
			"":         m.check,
		})
	})
}

type model struct {
	t          *testing.T
	rt         *rapid.T
	dir, links string
	s          *store.Store
	serial     int

	refs  map[nix.StorePath][]nix.StorePath // of every valid path, without itself
	roots map[string]nix.StorePath          // by link
	temp  map[nix.StorePath]bool
}

func (m *model) must(err error) {
	if err != nil {
		m.rt.Fatal(err)
	}
}

func (m *model) open() {
	s, err := store.Open(context.Background(), m.dir, store.Options{Now: clock, Optimise: m.serial%2 == 1})
	m.must(err)
	m.s, m.temp = s, map[nix.StorePath]bool{}
}

func (m *model) valid() []nix.StorePath { return slices.Sorted(maps.Keys(m.refs)) }

// pick is one valid path, or the step is skipped.
func (m *model) pick(t *rapid.T) nix.StorePath {
	if len(m.refs) == 0 {
		t.Skip("nothing is valid")
	}
	return rapid.SampledFrom(m.valid()).Draw(t, "path")
}

func (m *model) some(t *rapid.T) []nix.StorePath {
	if len(m.refs) == 0 {
		return nil
	}
	return rapid.SliceOfNDistinct(rapid.SampledFrom(m.valid()), 0, min(3, len(m.refs)), rapid.ID).Draw(t, "references")
}

func (m *model) text(t *rapid.T) {
	m.serial++
	refs := m.some(t)
	paths, err := m.s.AddTexts(context.Background(), []store.Text{{Name: "text", Content: fmt.Sprint(m.serial, refs), Refs: refs}})
	m.must(err)
	m.refs[paths[0]], m.temp[paths[0]] = refs, true
}

func (m *model) tree(t *rapid.T) {
	m.serial++
	refs := m.some(t)
	p := outPath(m.t, fmt.Sprint("tree", m.serial))
	if rapid.Bool().Draw(t, "leftover") {
		makeTree(m.t, m.s.RealPath(p), map[string]string{"left/over": "x"})
	}
	item := examined(m.t, m.s, p, map[string]string{"d/refs": fmt.Sprint(refs), "same": "the same in all", "d/same": "the same in all", "self@": string(p)}, append(m.valid(), p)...)
	m.must(lockAndInstall(m.s, item))
	m.refs[p], m.temp[p] = refs, true
}

// again installs what is valid already: nothing may change.
func (m *model) again(t *rapid.T) {
	p := m.pick(t)
	item := examined(m.t, m.s, p, map[string]string{"other": "x"})
	m.must(lockAndInstall(m.s, item))
	m.temp[p] = true
}

func (m *model) root(t *rapid.T) {
	p := m.pick(t)
	link := filepath.Join(m.links, fmt.Sprint(rapid.IntRange(0, 3).Draw(t, "link")))
	m.must(m.s.AddRoot(context.Background(), link, p))
	m.roots[link], m.temp[p] = p, true
}

func (m *model) unroot(t *rapid.T) {
	if len(m.roots) == 0 {
		t.Skip("no roots")
	}
	link := rapid.SampledFrom(slices.Sorted(maps.Keys(m.roots))).Draw(t, "link")
	m.must(os.Remove(link))
	delete(m.roots, link)
}

func (m *model) reach(from []nix.StorePath) map[nix.StorePath]bool {
	seen := map[nix.StorePath]bool{}
	for len(from) > 0 {
		p := from[0]
		from = from[1:]
		if _, valid := m.refs[p]; valid && !seen[p] {
			seen[p] = true
			from = append(slices.Clone(from), m.refs[p]...)
		}
	}
	return seen
}

func (m *model) collect(t *rapid.T) {
	live := m.reach(append(slices.Collect(maps.Values(m.roots)), slices.Collect(maps.Keys(m.temp))...))
	var want []nix.StorePath
	for _, p := range m.valid() {
		if !live[p] {
			want = append(want, p)
		}
	}
	r, err := m.s.GC(context.Background(), store.GCOptions{DryRun: rapid.Bool().Draw(t, "dry")})
	m.must(err)
	got := slices.Sorted(slices.Values(r.Dead))
	if !slices.Equal(got, want) || r.Live != len(live) {
		t.Fatalf("dead are %v, want %v; %d live, want %d", got, want, r.Live, len(live))
	}
	r, err = m.s.GC(context.Background(), store.GCOptions{})
	m.must(err)
	for _, p := range want {
		delete(m.refs, p)
	}
}

// damage deletes or changes a path behind the store's back, which verifying must find and repair, with all referrers.
func (m *model) damage(t *rapid.T) {
	p := m.pick(t)
	if fi, err := os.Lstat(m.s.RealPath(p)); err == nil && fi.IsDir() {
		m.must(os.Chmod(m.s.RealPath(p), 0o755)) // else only root could move it
	}
	m.must(os.Rename(m.s.RealPath(p), filepath.Join(m.dir, fmt.Sprint("lost", m.serial, len(m.refs)))))
	if rapid.Bool().Draw(t, "replaced") {
		m.must(os.WriteFile(m.s.RealPath(p), []byte("other"), 0o444))
	}
	r, err := m.s.Verify(context.Background(), store.VerifyOptions{Contents: true, Repair: true})
	m.must(err)
	if len(r.Problems) != 1 || r.Problems[0].Path != p || !r.Problems[0].Repaired {
		t.Fatalf("damaged %s, found %v", p, r.Problems)
	}
	for _, q := range m.valid() {
		if m.reach([]nix.StorePath{q})[p] {
			defer delete(m.refs, q)
		}
	}
}

func (m *model) closure(t *rapid.T) {
	p := m.pick(t)
	got, err := m.s.Closure(context.Background(), []nix.StorePath{p}, false)
	m.must(err)
	if want := slices.Sorted(maps.Keys(m.reach([]nix.StorePath{p}))); !slices.Equal(got, want) {
		t.Fatalf("closure %v, want %v", got, want)
	}
	var want []nix.StorePath
	for _, q := range m.valid() {
		if m.reach([]nix.StorePath{q})[p] {
			want = append(want, q)
		}
	}
	if got, err = m.s.Closure(context.Background(), []nix.StorePath{p}, true); err != nil || !slices.Equal(got, want) {
		t.Fatalf("reverse closure %v, want %v: %v", got, want, err)
	}
}

func (m *model) check(t *rapid.T) {
	ctx := context.Background()
	r, err := m.s.Verify(ctx, store.VerifyOptions{Contents: true})
	m.must(err)
	if len(r.Problems) > 0 || r.Paths != len(m.refs) {
		t.Fatalf("%d paths, want %d; problems %v", r.Paths, len(m.refs), r.Problems)
	}
	for p, refs := range m.refs {
		info, err := m.s.Query(ctx, p)
		m.must(err)
		got := slices.DeleteFunc(info.Refs, func(q nix.StorePath) bool { return q == p })
		if want := slices.Sorted(slices.Values(refs)); !slices.Equal(got, want) {
			t.Fatalf("%s refers to %v, want %v", p, got, want)
		}
	}
	stranger := outPath(m.t, "stranger")
	if _, err := m.s.Query(ctx, stranger); !errors.Is(err, store.ErrInvalid) {
		t.Fatalf("query of what never was: %v", err)
	}
	if _, err := m.s.Closure(ctx, []nix.StorePath{stranger}, false); !errors.Is(err, store.ErrInvalid) {
		t.Fatalf("closure of what never was: %v", err)
	}
}
