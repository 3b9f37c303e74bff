package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/nix"
	"headwater/internal/store"
)

const a, b nix.StorePath = "/nix/store/00000000000000000000000000000000-a", "/nix/store/11111111111111111111111111111111-b"

func TestRegisterQueryClosure(t *testing.T) {
	ctx, s := context.Background(), open(t, t.TempDir())
	if _, err := s.Query(ctx, a); !errors.Is(err, store.ErrInvalid) {
		t.Fatalf("query before registering: %v", err)
	}
	hash := nix.Sum(nix.SHA256, nil)
	want := store.PathInfo{Path: b, NARHash: hash, NARSize: 7, Refs: []nix.StorePath{a, b}, Deriver: a, Sigs: []string{"k:1", "k:2"}, Ultimate: true, RegistrationTime: clock()}
	if err := s.Register(ctx, []store.PathInfo{want}); err == nil {
		t.Fatal("a reference to an invalid path was registered")
	}
	if v, _ := s.Valid(ctx, a, b); len(v) != 0 {
		t.Fatalf("a failed transaction left %v", v)
	}
	if err := s.Register(ctx, []store.PathInfo{want, {Path: a, NARHash: hash, NARSize: 7}}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Query(ctx, b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, equalHashes); d != "" {
		t.Error(d)
	}
	rev, err := s.Closure(ctx, []nix.StorePath{a}, true)
	if d := cmp.Diff([]nix.StorePath{a, b}, rev); d != "" || err != nil {
		t.Error(d, err)
	}
}

// What Nix wrote, we read; and what we registered, Nix finds sound.
func TestSharedWithNix(t *testing.T) {
	ctx, dir, src := context.Background(), t.TempDir(), filepath.Join(t.TempDir(), "src")
	if err := os.WriteFile(src, []byte("hi\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	p := nix.StorePath(nixStore(t, dir, "--add", src))
	theirs, err := s.Query(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.RealPath(b), []byte("hi\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := store.Canonicalise(ctx, s.RealPath(b)); err != nil {
		t.Fatal(err)
	}
	if err := s.Register(ctx, []store.PathInfo{{Path: b, NARHash: theirs.NARHash, NARSize: theirs.NARSize, Refs: []nix.StorePath{p}}}); err != nil {
		t.Fatal(err)
	}
	nixVerify(t, dir)
	if got := nixStore(t, dir, "-q", "--references", string(b)); got != string(p) {
		t.Errorf("Nix reads references %q, want %q", got, p)
	}
}

func TestLockExcludes(t *testing.T) {
	ctx, s := context.Background(), open(t, t.TempDir())
	var holders atomic.Int32
	total := 0 // the lock alone orders its uses
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			unlock, err := s.Lock(ctx, a)
			if err != nil {
				t.Error(err)
				return
			}
			if n := holders.Add(1); n != 1 {
				t.Errorf("%d hold the lock at once", n)
			}
			time.Sleep(time.Millisecond)
			holders.Add(-1)
			total++
			if err := unlock(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if total != 20 {
		t.Errorf("%d of 20 had the lock", total)
	}
}
