package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/nix"
	"headwater/internal/nix/drv"
	"headwater/internal/store"
	"headwater/internal/store/storetest"
)

func parsePath(s string) (nix.StorePath, error) { return nix.ParseStorePath(s) }

// reopen gives up the temporary roots of what was made.
func reopen(t testing.TB, s *store.Store) *store.Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, s.Dir())
}

func gc(t testing.TB, s *store.Store, opts store.GCOptions) store.GCResult {
	t.Helper()
	r, err := s.GC(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// build makes a derivation with one output valid, the way an engine does: the .drv, then the output.
func build(t testing.TB, s *store.Store, name string, inputs map[nix.StorePath][]string, resolve func(nix.StorePath) (*drv.Derivation, error), files map[string]string, candidates ...nix.StorePath) (drvPath, out nix.StorePath, d *drv.Derivation) {
	t.Helper()
	d = &drv.Derivation{Name: name, Outputs: map[string]drv.Output{"out": {}}, InputDrvs: inputs, System: "x86_64-linux", Builder: "/bin/sh", Env: map[string]string{"name": name}}
	h := drv.Hasher{Resolve: resolve}
	drvPath, text, err := h.Add(d)
	if err != nil {
		t.Fatal(err)
	}
	var refs []nix.StorePath
	for p := range inputs {
		refs = append(refs, p)
	}
	if got := addText(t, s, name+".drv", string(text), refs...); got != drvPath {
		t.Fatalf("derivation is at %s, want %s", got, drvPath)
	}
	out = d.Outputs["out"].Path
	item := examined(t, s, out, files, append(candidates, out)...)
	item.Info.Deriver = drvPath
	if err := lockAndInstall(s, item); err != nil {
		t.Fatal(err)
	}
	return drvPath, out, d
}

func TestGCKeepsWhatRootsKeep(t *testing.T) {
	ctx, s := context.Background(), open(t, storetest.Dir(t))
	kept := map[string]nix.StorePath{}
	for _, name := range []string{"indirect", "direct", "profile", "file", "below"} {
		dep := install(t, s, name+"-dep", map[string]string{"": name})
		kept[name] = install(t, s, name, map[string]string{"bin/x*": string(dep)}, dep)
	}
	lost := install(t, s, "lost", map[string]string{"": "x"})
	temp := install(t, s, "temp", map[string]string{"": "y"})
	link := filepath.Join(t.TempDir(), "result")
	stale := filepath.Join(t.TempDir(), "stale")
	for l, p := range map[string]nix.StorePath{link: kept["indirect"], stale: lost} {
		if err := s.AddRoot(ctx, l, p); err != nil {
			t.Fatal(err)
		}
	}
	state := filepath.Join(s.Dir(), "nix/var/nix")
	if err := errors.Join(
		os.Remove(stale),
		os.Symlink(string(kept["direct"]), filepath.Join(state, "gcroots/mine")),
		os.Symlink(string(kept["below"])+"/bin/x", filepath.Join(state, "gcroots/per-user/sub")),
		os.Symlink(string(kept["profile"]), filepath.Join(state, "profiles/app-1-link")),
		os.WriteFile(filepath.Join(state, "gcroots", kept["file"].Base()), nil, 0o644),
	); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	if err := s.AddTempRoot(ctx, temp); err != nil {
		t.Fatal(err)
	}
	dry := gc(t, s, store.GCOptions{DryRun: true})
	if !isValid(t, s, lost) {
		t.Error("the dry run deleted")
	}
	r := gc(t, s, store.GCOptions{})
	if d := cmp.Diff([]nix.StorePath{lost}, r.Dead); d != "" || r.Live != 11 || r.Freed < 4096 {
		t.Errorf("%s %+v", d, r)
	}
	if d := cmp.Diff(r.Dead, dry.Dead); d != "" {
		t.Error("dry run: ", d)
	}
	if isValid(t, s, lost) {
		t.Error("lost is valid")
	}
	if _, err := os.Lstat(s.RealPath(lost)); !errors.Is(err, os.ErrNotExist) {
		t.Error("lost is there")
	}
	autos, _ := os.ReadDir(filepath.Join(state, "gcroots/auto"))
	if len(autos) != 1 {
		t.Errorf("gcroots/auto holds %v", autos)
	}
	clean(t, s)
}

func TestGCAndDerivations(t *testing.T) {
	for _, c := range []struct {
		name string
		opts store.GCOptions
		root string // what is kept
		dead []string
	}{
		{"output keeps its derivation", store.GCOptions{}, "out", []string{"unbuilt.drv"}},
		{"output alone", store.GCOptions{DropDerivations: true}, "out", []string{"app.drv", "dep.drv", "unbuilt.drv"}},
		{"derivation keeps no output", store.GCOptions{}, "drv", []string{"app", "dep", "unbuilt.drv"}},
		{"derivation keeps outputs", store.GCOptions{KeepOutputs: true}, "drv", []string{"unbuilt.drv"}},
		{"nothing", store.GCOptions{}, "", []string{"app", "app.drv", "dep", "dep.drv", "unbuilt.drv"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, s := context.Background(), open(t, storetest.Dir(t))
			depDrv, dep, d := build(t, s, "dep", nil, nil, map[string]string{"": "x"})
			resolve := func(nix.StorePath) (*drv.Derivation, error) { return d, nil }
			appDrv, app, _ := build(t, s, "app", map[nix.StorePath][]string{depDrv: {"out"}}, resolve, map[string]string{"": string(dep)}, dep)
			addText(t, s, "unbuilt.drv", `Derive([("out","/nix/store/11111111111111111111111111111111-unbuilt","","")],[],[],"x","/b",[],[("out","/nix/store/11111111111111111111111111111111-unbuilt")])`)
			if c.root != "" {
				if err := s.AddRoot(ctx, filepath.Join(t.TempDir(), "r"), map[string]nix.StorePath{"out": app, "drv": appDrv}[c.root]); err != nil {
					t.Fatal(err)
				}
			}
			s = reopen(t, s)
			if !c.opts.KeepOutputs && !c.opts.DropDerivations {
				nixDead := strings.Split(nixStore(t, s.Dir(), "--gc", "--print-dead"), "\n")
				if d := cmp.Diff(c.dead, names(nixDead)); d != "" {
					t.Errorf("Nix judges otherwise: %s", d)
				}
			}
			r := gc(t, s, c.opts)
			var dead []string
			for _, p := range r.Dead {
				dead = append(dead, string(p))
			}
			if d := cmp.Diff(c.dead, names(dead)); d != "" {
				t.Error(d)
			}
			clean(t, s)
		})
	}
}

func names(paths []string) []string {
	var out []string
	for _, p := range paths {
		if p, err := nix.ParseStorePath(p); err == nil {
			out = append(out, p.Name())
		}
	}
	slices.Sort(out)
	return out
}

// On a random graph Nix finds the same garbage, and finds none after we have collected.
func TestGCAsNix(t *testing.T) {
	ctx, s := context.Background(), open(t, storetest.Dir(t))
	r := rand.New(rand.NewPCG(1, 2))
	var paths []nix.StorePath
	for i := range 150 {
		var refs []nix.StorePath
		for range min(i, r.IntN(4)) {
			refs = append(refs, paths[r.IntN(i)])
		}
		slices.Sort(refs)
		paths = append(paths, addText(t, s, fmt.Sprintf("t%d", i), fmt.Sprint(i, refs), slices.Compact(refs)...))
	}
	roots := t.TempDir()
	for i := range 12 {
		if err := s.AddRoot(ctx, filepath.Join(roots, fmt.Sprint(i)), paths[r.IntN(len(paths))]); err != nil {
			t.Fatal(err)
		}
	}
	s = reopen(t, s)
	want := names(strings.Split(nixStore(t, s.Dir(), "--gc", "--print-dead"), "\n"))
	var got []string
	for _, p := range gc(t, s, store.GCOptions{}).Dead {
		got = append(got, string(p))
	}
	if d := cmp.Diff(want, names(got)); d != "" || len(got) < 20 || len(got) > 130 {
		t.Errorf("%d dead: %s", len(got), d)
	}
	if left := nixStore(t, s.Dir(), "--gc", "--print-dead"); left != "" {
		t.Errorf("Nix still finds %s", left)
	}
	nixVerify(t, s.Dir())
}

func TestGCLimit(t *testing.T) {
	s := open(t, storetest.Dir(t))
	for i := range 20 {
		install(t, s, fmt.Sprintf("big%d", i), map[string]string{"": strings.Repeat("x", 100_000)})
	}
	s = reopen(t, s)
	r := gc(t, s, store.GCOptions{MaxFreed: 500_000})
	if r.Freed < 500_000 || r.Freed > 700_000 || len(r.Dead) < 5 || len(r.Dead) > 7 {
		t.Errorf("freed %d by %d paths", r.Freed, len(r.Dead))
	}
	if r := gc(t, s, store.GCOptions{}); len(r.Dead) < 13 || r.Live != 0 {
		t.Errorf("then %+v", r)
	}
}

func TestGCDeletesLeftovers(t *testing.T) {
	dir := storetest.Dir(t)
	s := open(t, dir)
	kept := install(t, s, "kept", map[string]string{"": "x"})
	base := filepath.Join(dir, nix.StoreDir)
	held := startChild(t, nil, "hold", dir, string(b))
	heldTmp := held.line(t)
	makeTree(t, base, map[string]string{
		a.Base() + "/bin/x*": "", a.Base() + ".lock": "", "tmp-1234/x": "", "junk": "", ".tmp-link-1": "", b.Base() + "/half": "", b.Base() + ".chroot/x": "",
	})
	os.Chmod(filepath.Join(base, a.Base(), "bin"), 0)
	r := gc(t, s, store.GCOptions{})
	slices.Sort(r.Leftovers)
	want := []string{".tmp-link-1", a.Base(), a.Base() + ".lock", "junk", "tmp-1234"}
	slices.Sort(want)
	if d := cmp.Diff(want, r.Leftovers); d != "" {
		t.Error(d)
	}
	for _, name := range []string{kept.Base(), b.Base(), b.Base() + ".lock", b.Base() + ".chroot", ".links"} {
		if _, err := os.Lstat(filepath.Join(base, name)); err != nil {
			t.Error(err)
		}
	}
	held.kill()
	r = gc(t, s, store.GCOptions{})
	if len(r.Leftovers) != 3 {
		t.Errorf("after the owner's death %v", r.Leftovers)
	}
	if _, err := os.Lstat(heldTmp); !errors.Is(err, os.ErrNotExist) {
		t.Error("the dead's temporary folder is there still")
	}
}

// While others add and use paths, a collector never takes what they use.
func TestGCBesideBuilders(t *testing.T) {
	ctx, dir := context.Background(), storetest.Dir(t)
	stop := make(chan struct{})
	var builders, collectors sync.WaitGroup
	for n := range 3 {
		s := open(t, dir)
		builders.Go(func() {
			for i := range 60 {
				if err := useBriefly(ctx, s, n, i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	collections := 0
	s := open(t, dir)
	collectors.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := s.GC(ctx, store.GCOptions{}); err != nil {
				t.Error(err)
				return
			}
			collections++
		}
	})
	builders.Wait()
	close(stop)
	collectors.Wait()
	if collections < 3 {
		t.Errorf("only %d collections", collections)
	}
	clean(t, s)
}

// useBriefly opens the store anew, as a process does, and uses it.
func useBriefly(ctx context.Context, like *store.Store, n, i int) (err error) {
	s, err := store.Open(ctx, like.Dir(), store.Options{Now: clock})
	if err != nil {
		return err
	}
	return errors.Join(use(ctx, s, n, i), s.Close())
}

// use makes a path and one that refers to it, and expects both to stay.
func use(ctx context.Context, s *store.Store, n, i int) error {
	// Others make the same: i alone is in its name.
	dep, err := s.AddTexts(ctx, []store.Text{{Name: "dep", Content: fmt.Sprint(i / 4)}})
	if err != nil {
		return err
	}
	app, err := s.AddTexts(ctx, []store.Text{{Name: "app", Content: fmt.Sprint(n, i, dep), Refs: dep}})
	if err != nil {
		return err
	}
	for range 3 {
		if v, err := s.Valid(ctx, append(app, dep...)...); err != nil || len(v) != 2 {
			return fmt.Errorf("of 2 paths in use %d are valid: %w", len(v), err)
		}
		for _, p := range append(app, dep...) {
			if _, err := os.Lstat(s.RealPath(p)); err != nil {
				return err
			}
		}
	}
	return nil
}
