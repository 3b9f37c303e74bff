package store_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"headwater/internal/nix"
	"headwater/internal/store"
	"headwater/internal/store/storetest"
)

// sharing are trees with equal files.
func sharing() []map[string]string {
	return []map[string]string{
		{"a": "shared", "d/b": "shared", "d/run*": "shared", "own": "1", "empty": "", "l@": "a"},
		{"x/y/z": "shared", "own": "2", "run*": "shared", "empty": ""},
		{"": "shared"},
	}
}

func inodeOf(t *testing.T, path string) (inode uint64, links uint64) {
	t.Helper()
	fi, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return statOf(fi)
}

func TestOptimise(t *testing.T) {
	for _, atInstall := range []bool{false, true} {
		ctx, dir := context.Background(), storetest.Dir(t)
		s, err := store.Open(ctx, dir, store.Options{Now: clock, Optimise: atInstall})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var paths []nix.StorePath
		var before []string
		for i, files := range sharing() {
			paths = append(paths, install(t, s, string(rune('a'+i)), files))
			before = append(before, listing(t, s.RealPath(paths[i])))
		}
		r, err := s.Optimise(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if want := (store.OptimiseResult{Files: 4, Freed: 24}); !atInstall && r != want {
			t.Errorf("saved %+v, want %+v", r, want)
		} else if atInstall && r != (store.OptimiseResult{}) {
			t.Errorf("installed shared, and yet saved %+v", r)
		}
		one, n := inodeOf(t, s.RealPath(paths[0])+"/a")
		for _, other := range []string{s.RealPath(paths[0]) + "/d/b", s.RealPath(paths[1]) + "/x/y/z", s.RealPath(paths[2])} {
			if two, _ := inodeOf(t, other); one != two || n != 5 {
				t.Errorf("%s is not shared (%d links)", other, n)
			}
		}
		if run, _ := inodeOf(t, s.RealPath(paths[0])+"/d/run"); run == one {
			t.Error("an executable file is shared with one that is not")
		}
		for i, p := range paths {
			if d := cmp.Diff(before[i], listing(t, s.RealPath(p))); d != "" {
				t.Error(d)
			}
		}
		clean(t, s)
	}
}

// Nix names the shared files as we do, so it shares with what we shared.
// Several may optimise one store at once: they take turns in making the folder of what they replace writable.
func TestOptimiseTogether(t *testing.T) {
	ctx, dir := context.Background(), storetest.Dir(t)
	s, err := store.Open(ctx, dir, store.Options{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	files := map[string]string{}
	for i := range 2000 {
		files["d/"+strconv.Itoa(i)] = "shared"
	}
	p := install(t, s, "a", files)
	before := listing(t, s.RealPath(p))
	var all errgroup.Group
	for range 4 {
		all.Go(func() error {
			_, err := s.Optimise(ctx)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(before, listing(t, s.RealPath(p))); d != "" {
		t.Error(d)
	}
	if _, n := inodeOf(t, s.RealPath(p)+"/d/0"); n != 2001 {
		t.Errorf("%d links", n)
	}
	clean(t, s)
}

func TestOptimiseAsNix(t *testing.T) {
	var names [2][]string
	for i, theirs := range []bool{false, true} {
		dir := storetest.Dir(t)
		s := open(t, dir)
		for i, files := range sharing() {
			delete(files, "l@") // Nix shares links and empty files too, which gains nothing
			delete(files, "empty")
			install(t, s, string(rune('a'+i)), files)
		}
		if theirs {
			nixStore(t, dir, "--optimise")
			if r, err := s.Optimise(context.Background()); err != nil || r.Files > 0 {
				t.Errorf("after Nix %+v %v", r, err)
			}
		} else if _, err := s.Optimise(context.Background()); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(filepath.Join(dir, nix.StoreDir, ".links"))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names[i] = append(names[i], e.Name())
		}
		nixVerify(t, dir)
	}
	if d := cmp.Diff(names[1], names[0]); d != "" {
		t.Error(d)
	}
}

// A damaged shared file must not spread.
func TestOptimiseMistrustsDamagedLinks(t *testing.T) {
	content := string(bytes.Repeat([]byte("x"), 1000))
	for name, damage := range map[string]func(string) error{
		"truncated":   func(link string) error { return os.Truncate(link, 10) },
		"overwritten": func(link string) error { return os.WriteFile(link, bytes.Repeat([]byte("y"), 1000), 0o444) },
		"writable":    func(link string) error { return os.Chmod(link, 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, s := context.Background(), open(t, storetest.Dir(t))
			install(t, s, "one", map[string]string{"f": content})
			if _, err := s.Optimise(ctx); err != nil {
				t.Fatal(err)
			}
			links, err := filepath.Glob(filepath.Join(s.Dir(), nix.StoreDir, ".links/*"))
			if err != nil || len(links) != 1 {
				t.Fatal(links, err)
			}
			if err := errors.Join(os.Chmod(links[0], 0o644), damage(links[0])); err != nil {
				t.Fatal(err)
			}
			two := install(t, s, "two", map[string]string{"f": content})
			if _, err := s.Optimise(ctx); err != nil {
				t.Fatal(err)
			}
			path := s.RealPath(two) + "/f"
			if b, err := os.ReadFile(path); err != nil || string(b) != content {
				t.Errorf("second path has %.10q, %v", b, err)
			}
			if _, n := inodeOf(t, path); n != 2 {
				t.Errorf("second path's file has %d links", n)
			}
		})
	}
}

// What a collection leaves unused in .links goes.
func TestGCPrunesLinks(t *testing.T) {
	ctx, s := context.Background(), open(t, storetest.Dir(t))
	install(t, s, "lost", map[string]string{"f": "lost", "g": "shared"})
	kept := install(t, s, "kept", map[string]string{"f": "kept", "g": "shared"})
	if _, err := s.Optimise(ctx); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	if err := s.AddTempRoot(ctx, kept); err != nil {
		t.Fatal(err)
	}
	gc(t, s, store.GCOptions{})
	links, err := filepath.Glob(filepath.Join(s.Dir(), nix.StoreDir, ".links/*"))
	if err != nil || len(links) != 2 {
		t.Errorf("links are %v, %v", links, err)
	}
	clean(t, s)
}

// Who is killed at it leaves folders writable; the next who looks at the store sees to that.
func TestOptimiseKilled(t *testing.T) {
	ctx, dir := context.Background(), storetest.Dir(t)
	s := open(t, dir)
	p := install(t, s, "p", map[string]string{"d/f": "x"})
	dead := startChild(t, nil, "hold", dir, string(a))
	if err := errors.Join(os.Symlink(string(p), filepath.Join(dead.line(t), "open-object")), os.Chmod(s.RealPath(p)+"/d", 0o755)); err != nil {
		t.Fatal(err)
	}
	r, err := s.Verify(ctx, store.VerifyOptions{Contents: true})
	if err != nil || len(r.Problems) != 1 || r.Problems[0].Fault != store.FaultMetadata {
		t.Errorf("while it lives: %+v %v", r, err)
	}
	dead.kill()
	clean(t, s)
}
