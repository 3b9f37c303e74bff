package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"headwater/internal/nix"
	"headwater/internal/nixtest"
	"headwater/internal/store"
	"headwater/internal/store/storetest"
)

// A lock of ours holds Nix up, too.
func TestLockHoldsNixUp(t *testing.T) {
	for _, r := range []nixtest.Release{nixtest.Current, nixtest.Old} {
		t.Run(string(r), func(t *testing.T) {
			ctx, dir, n := context.Background(), storetest.Dir(t), nixtest.New(t, r)
			src := makeTree(t, filepath.Join(t.TempDir(), "src"), map[string]string{"": "x"})
			p := n.Paths(t, "nix-store", "--store", t.TempDir(), "--add", src)[0]
			s := open(t, dir)
			unlock, err := s.Lock(ctx, p)
			if err != nil {
				t.Fatal(err)
			}
			cmd := n.Command(ctx, "nix-store", "--store", dir, "--add", src)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			select {
			case err := <-ended:
				t.Fatalf("Nix did not wait: %v %s", err, &stderr)
			case <-time.After(500 * time.Millisecond):
			}
			if isValid(t, s, p) {
				t.Error("valid while locked")
			}
			if err := unlock(); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; err != nil || !isValid(t, s, p) {
				t.Errorf("Nix ended with %v %s", err, &stderr)
			}
		})
	}
}

// Nix adds while we collect. A root that Nix has told a collector of is not in its own file yet when the answer comes
// (addTempRoot), so a next collection that begins in between, Nix's own as well, deletes what Nix then adds; it says so and
// adds again. Whatever happens, the store stays sound.
func TestNixAddsBesideOurCollector(t *testing.T) {
	ctx, dir, n := context.Background(), storetest.Dir(t), nixtest.New(t, nixtest.Current)
	s := open(t, dir)
	src := t.TempDir()
	for i := range 15 {
		makeTree(t, filepath.Join(src, fmt.Sprint(i)), map[string]string{"f": fmt.Sprint(i), "x": ""})
	}
	var nixes sync.WaitGroup
	for round := range 2 {
		nixes.Go(func() {
			for i := range 15 {
				var out []byte
				err := errors.New("never tried")
				for try := 0; try < 10 && err != nil; try++ {
					out, err = n.Command(ctx, "nix-store", "--store", dir, "--add", filepath.Join(src, fmt.Sprint((i*7+round)%15))).CombinedOutput()
				}
				if err != nil {
					t.Errorf("add: %v\n%s", err, out)
				}
			}
		})
	}
	whileRunning(t, &nixes, func(int) error { _, err := s.GC(ctx, store.GCOptions{}); return err })
	clean(t, s)
	nixVerify(t, dir)
}

// We add while Nix collects.
func TestWeAddBesideNixsCollector(t *testing.T) {
	ctx, dir, n := context.Background(), storetest.Dir(t), nixtest.New(t, nixtest.Current)
	s := open(t, dir)
	var nixes sync.WaitGroup
	nixes.Go(func() {
		for range 10 {
			if out, err := n.Command(ctx, "nix-store", "--store", dir, "--gc").CombinedOutput(); err != nil {
				t.Errorf("gc: %v\n%s", err, out)
			}
		}
	})
	// Stores that stay open: Nix's collector aborts now and then when those who tell it of roots come and go quickly.
	one, two := open(t, dir), open(t, dir)
	whileRunning(t, &nixes, func(i int) error { return use(ctx, one, 1, i) }, func(i int) error { return use(ctx, two, 2, i) })
	clean(t, s)
	nixVerify(t, dir)
}

// whileRunning repeats each of our functions, in a goroutine of its own, until the others are done.
func whileRunning(t *testing.T, others *sync.WaitGroup, ours ...func(i int) error) {
	t.Helper()
	done := make(chan struct{})
	var wg sync.WaitGroup
	for _, f := range ours {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				if err := f(i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	others.Wait()
	close(done)
	wg.Wait()
}

func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(dir string) error
		says  string
	}{
		{"another schema", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "nix/var/nix/db/schema"), []byte("11"), 0o644)
		}, `schema "11"`},
		{"no database", func(dir string) error { return os.Remove(filepath.Join(dir, "nix/var/nix/db/db.sqlite")) }, "db.sqlite"},
		{"not a database", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "nix/var/nix/db/db.sqlite"), []byte(strings.Repeat("junk", 4096)), 0o644)
		}, "not a database"},
		{"a file in the way", func(dir string) error {
			return errors.Join(os.RemoveAll(filepath.Join(dir, "nix")), os.WriteFile(filepath.Join(dir, "nix"), nil, 0o644))
		}, "not a directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := storetest.Dir(t)
			if err := open(t, dir).Close(); err != nil {
				t.Fatal(err)
			}
			if err := c.spoil(dir); err != nil {
				t.Fatal(err)
			}
			s, err := store.Open(context.Background(), dir, store.Options{Now: clock})
			if err == nil {
				s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), dir) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A creation that was killed midway is taken up again.
func TestOpenAfterHalfCreation(t *testing.T) {
	dir := storetest.Dir(t)
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "nix/var/nix/db/schema")); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	addText(t, s, "t", "x")
	clean(t, s)
	nixVerify(t, dir)
}

// Many processes may find that there is no store yet.
func TestOpenAtOnce(t *testing.T) {
	for range 10 {
		dir := storetest.Dir(t)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				s, err := store.Open(context.Background(), dir, store.Options{Now: clock})
				if err != nil {
					t.Error(err)
					return
				}
				_, err = s.AddTexts(context.Background(), []store.Text{{Name: "t", Content: fmt.Sprint(i / 2)}})
				if err := errors.Join(err, s.Close()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if r := clean(t, open(t, dir)); r.Paths != 4 {
			t.Errorf("%d paths", r.Paths)
		}
	}
}

func TestLockEndsWithContext(t *testing.T) {
	s := open(t, storetest.Dir(t))
	unlock, err := s.Lock(context.Background(), a)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Lock(ctx, a); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(s.Dir(), nix.StoreDir, "*.lock")); err != nil || len(left) > 0 {
		t.Errorf("left %v %v", left, err)
	}
}

func TestAddRootRefuses(t *testing.T) {
	ctx, s, dir := context.Background(), open(t, storetest.Dir(t)), t.TempDir()
	p := install(t, s, "p", map[string]string{"": "x"})
	makeTree(t, dir, map[string]string{"file": "mine", "link@": "/home/somebody", "folder/": ""})
	before := listing(t, dir)
	for _, name := range []string{"file", "link", "folder"} {
		if err := s.AddRoot(ctx, filepath.Join(dir, name), p); err == nil {
			t.Errorf("%s was replaced", name)
		}
	}
	if after := listing(t, dir); after != before {
		t.Errorf("changed to %s", after)
	}
	for _, q := range []nix.StorePath{p, install(t, s, "q", map[string]string{"": "y"})} {
		if err := s.AddRoot(ctx, filepath.Join(dir, "new"), q); err != nil {
			t.Error(err)
		}
		if got, err := os.Readlink(filepath.Join(dir, "new")); err != nil || got != string(q) {
			t.Errorf("root leads to %q, %v", got, err)
		}
	}
}
