package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"headwater/internal/nix"
	"headwater/internal/nix/nar"
	"headwater/internal/store"
	"headwater/internal/store/storetest"
)

func TestExamineCanonicalises(t *testing.T) {
	dir := makeTree(t, filepath.Join(storetest.Dir(t), "tree"), map[string]string{
		"bin/run*": "#!/bin/sh\n", "lib/data": "data", "lib/link@": "data", "lib/dangling@": "/nowhere", "empty/": "", "setuid*": "s",
		"secret": "k", "shut/in": "inside",
	})
	for name, mode := range map[string]uint32{"setuid": 0o6755, "secret": 0, "shut": 0o000, "empty": 0o1777} {
		if err := syscall.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"lib/data", "lib"} {
		if err := unix.Lsetxattr(filepath.Join(dir, name), "user.note", []byte("x"), 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
			t.Fatal(err)
		}
	}
	e, err := store.Examine(context.Background(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := `dr-xr-xr-x 1970 01 . 
dr-xr-xr-x 1970 01 bin 
-r-xr-xr-x 1970 01 bin/run #!/bin/sh

dr-xr-xr-x 1970 01 empty 
dr-xr-xr-x 1970 01 lib 
link 01 lib/dangling /nowhere
-r--r--r-- 1970 01 lib/data data
link 01 lib/link data
-r--r--r-- 1970 01 secret k
-r-xr-xr-x 1970 01 setuid s
dr-xr-xr-x 1970 01 shut 
-r--r--r-- 1970 01 shut/in inside
`
	if d := cmp.Diff(want, listing(t, dir)); d != "" {
		t.Error(d)
	}
	for _, name := range []string{"lib/data", "lib"} {
		if n, _ := unix.Llistxattr(filepath.Join(dir, name), nil); n > 0 {
			t.Errorf("%s has extended attributes still", name)
		}
	}
	h, n, err := nar.HashPath(dir)
	if err != nil || h != e.NARHash || n != e.NARSize {
		t.Errorf("examined %s, %d bytes; is %s, %d, %v", e.NARHash, e.NARSize, h, n, err)
	}
}

func TestExamineRefusesSpecialFiles(t *testing.T) {
	for name, make := range map[string]func(string) error{
		"pipe":   func(p string) error { return unix.Mkfifo(p, 0o644) },
		"socket": func(p string) error { return unix.Mknod(p, unix.S_IFSOCK|0o644, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := makeTree(t, filepath.Join(storetest.Dir(t), "tree"), map[string]string{"a/b": "x"})
			if err := make(filepath.Join(dir, "a/special")); err != nil {
				t.Fatal(err)
			}
			_, err := store.Examine(context.Background(), dir, nil)
			if !errors.Is(err, store.ErrUnsupportedFile) || !strings.Contains(err.Error(), "a/special") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A symbolic link must never be followed: what it leads to is not the tree's.
func TestExamineLeavesLinkTargetsAlone(t *testing.T) {
	base := storetest.Dir(t)
	outside := filepath.Join(base, "outside")
	if err := os.WriteFile(outside, []byte("x"), 0o640); err != nil {
		t.Fatal(err)
	}
	dir := makeTree(t, filepath.Join(base, "tree"), map[string]string{"link@": outside, "up@": ".."})
	before := listing(t, base)
	if _, err := store.Examine(context.Background(), dir, nil); err != nil {
		t.Fatal(err)
	}
	line := func(l string) string {
		for s := range strings.Lines(l) {
			if strings.Contains(s, " outside ") {
				return s
			}
		}
		return ""
	}
	if d := cmp.Diff(line(before), line(listing(t, base))); d != "" {
		t.Error(d)
	}
}

func TestExamineFindsReferences(t *testing.T) {
	p, q, r := outPath(t, "p"), outPath(t, "q"), outPath(t, "r")
	dir := makeTree(t, filepath.Join(storetest.Dir(t), "tree"), map[string]string{
		"text": "see " + string(p) + "/bin", "link@": string(q), "split": strings.Repeat("x", 1<<18-10) + r.Digest(),
	})
	e, err := store.Examine(context.Background(), dir, []nix.StorePath{p, q, r, a})
	if err != nil {
		t.Fatal(err)
	}
	want := []nix.StorePath{p, q, r}
	slices.Sort(want)
	if d := cmp.Diff(want, e.Refs); d != "" {
		t.Error(d)
	}
}

func TestExamineStopsWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	dir := makeTree(t, filepath.Join(storetest.Dir(t), "tree"), map[string]string{"a": "x"})
	if _, err := store.Examine(ctx, dir, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
