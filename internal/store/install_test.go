package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"headwater/internal/nix"
	"headwater/internal/store"
	"headwater/internal/store/storetest"
)

func TestInstall(t *testing.T) {
	s := open(t, storetest.Dir(t))
	dep := install(t, s, "dep", map[string]string{"": "just a file"})
	p := install(t, s, "app", map[string]string{"bin/app*": "exec " + string(dep), "self": string(outPath(t, "app"))}, dep)
	info, err := s.Query(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	if len(info.Refs) != 2 || !info.Ultimate || !info.RegistrationTime.Equal(clock()) {
		t.Errorf("registered %+v", info)
	}
	if fi, err := os.Lstat(s.RealPath(p)); err != nil || fi.Mode().Perm() != 0o555 || fi.ModTime().Unix() != 1 {
		t.Errorf("%v %v", fi, err)
	}
	clean(t, s)
}

// What a crashed build left, even read-only or unreadable, must not end up in the path.
func TestInstallClearsLeftovers(t *testing.T) {
	s := open(t, storetest.Dir(t))
	p := outPath(t, "app")
	makeTree(t, s.RealPath(p), map[string]string{"old/deep/file": "old", "shut/x": ""})
	for _, name := range []string{"old/deep", "old", "shut"} {
		if err := os.Chmod(filepath.Join(s.RealPath(p), name), 0o000); err != nil {
			t.Fatal(err)
		}
	}
	install(t, s, "app", map[string]string{"new": "new"})
	if l := listing(t, s.RealPath(p)); strings.Contains(l, "old") || !strings.Contains(l, "new") {
		t.Errorf("installed\n%s", l)
	}
	clean(t, s)
}

func TestInstallInPlace(t *testing.T) {
	ctx, s := context.Background(), open(t, storetest.Dir(t))
	p := outPath(t, "app")
	from := makeTree(t, s.RealPath(p), map[string]string{"bin/app*": "x"})
	e, err := store.Examine(ctx, from, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := lockAndInstall(s, store.Install{From: from, Info: store.PathInfo{Path: p, NARHash: e.NARHash, NARSize: e.NARSize}}); err != nil {
		t.Fatal(err)
	}
	clean(t, s)
}

func TestInstallLeavesValidPathsAlone(t *testing.T) {
	s := open(t, storetest.Dir(t))
	p := install(t, s, "app", map[string]string{"v": "1"})
	again := examined(t, s, p, map[string]string{"v": "2"})
	other := examined(t, s, outPath(t, "other"), map[string]string{"v": "3"})
	if err := lockAndInstall(s, again, other); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(s.RealPath(p), "v")); err != nil || string(b) != "1" {
		t.Errorf("valid path was changed: %q %v", b, err)
	}
	if _, err := os.Lstat(again.From); err != nil {
		t.Errorf("the tree that was not needed is gone: %v", err)
	}
	clean(t, s)
}

func TestInstallIsAllOrNothing(t *testing.T) {
	stranger := outPath(t, "stranger") // never valid
	for name, spoil := range map[string]func(*store.Install){
		"invalid reference": func(it *store.Install) { it.Info.Refs = []nix.StorePath{stranger} },
		"nothing there":     func(it *store.Install) { it.From += "-not" },
		"no hash":           func(it *store.Install) { it.Info.NARHash = nix.Hash{} },
		"wrong content address": func(it *store.Install) {
			it.Info.CA = nix.ContentAddress{Method: nix.NAR, Hash: it.Info.NARHash}
		},
		"derivation that is none": func(it *store.Install) { it.Info.Path += ".drv" },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, s := context.Background(), open(t, storetest.Dir(t))
			good := examined(t, s, outPath(t, "good"), map[string]string{"": "g"})
			bad := examined(t, s, outPath(t, "bad"), map[string]string{"": "b"})
			spoil(&bad)
			for _, items := range [][]store.Install{{good, bad}, {bad, good}} {
				if err := s.Install(ctx, items); err == nil {
					t.Fatal("installed")
				}
				for _, it := range items {
					if isValid(t, s, it.Info.Path) {
						t.Errorf("%s is valid", it.Info.Path)
					}
					if _, err := os.Lstat(s.RealPath(it.Info.Path)); !errors.Is(err, os.ErrNotExist) {
						t.Errorf("%s is left: %v", it.Info.Path, err)
					}
				}
				good = examined(t, s, outPath(t, "good"), map[string]string{"": "g"})
			}
		})
	}
}

// Paths may refer to one another only downwards, but be installed in any order.
func TestInstallInAnyOrder(t *testing.T) {
	s := open(t, storetest.Dir(t))
	one, two := outPath(t, "one"), outPath(t, "two")
	up := examined(t, s, two, map[string]string{"": string(one)}, one)
	down := examined(t, s, one, map[string]string{"": "x"})
	if err := s.Install(context.Background(), []store.Install{up, down}); err != nil {
		t.Fatal(err)
	}
	clean(t, s)
}

func TestInstallRegistersOutputsOfDerivations(t *testing.T) {
	dir := storetest.Dir(t)
	s := open(t, dir)
	text := `Derive([("out","/nix/store/11111111111111111111111111111111-b","","")],[],[],"x","/b",[],[("out","/nix/store/11111111111111111111111111111111-b")])`
	p, err := nix.TextPath("b.drv", nix.Sum(nix.SHA256, []byte(text)), nil)
	if err != nil {
		t.Fatal(err)
	}
	item := examined(t, s, p, map[string]string{"": text})
	item.Info.CA = nix.ContentAddress{Method: nix.Text, Hash: nix.Sum(nix.SHA256, []byte(text))}
	if err := lockAndInstall(s, item); err != nil {
		t.Fatal(err)
	}
	if got := nixStore(t, dir, "--query", "--outputs", string(p)); got != string(b) {
		t.Errorf("Nix knows the outputs %q", got)
	}
	clean(t, s)
}

// A tree deeper than a path can be long must at least be possible to get rid of.
func TestInstallClearsDeepLeftovers(t *testing.T) {
	s := open(t, storetest.Dir(t))
	p := outPath(t, "deep")
	parent, err := unix.Open(filepath.Dir(s.RealPath(p)), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	name := p.Base()
	for range 100 { // 100 × 200 bytes
		if err := unix.Mkdirat(parent, name, 0o755); err != nil {
			t.Fatal(err)
		}
		child, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		unix.Close(parent)
		if err != nil {
			t.Fatal(err)
		}
		parent, name = child, strings.Repeat("d", 200)
	}
	unix.Close(parent)
	install(t, s, "deep", map[string]string{"": "x"})
	clean(t, s)
}

func TestPathInfoRoundTrip(t *testing.T) {
	ctx, s := context.Background(), open(t, storetest.Dir(t))
	dep := install(t, s, "dep", map[string]string{"": "x"})
	item := examined(t, s, outPath(t, "app"), map[string]string{"": "y"})
	item.Info.Deriver, item.Info.Sigs, item.Info.Refs = a+".drv", []string{"k:1", "k:2"}, []nix.StorePath{dep}
	if err := s.Install(ctx, []store.Install{item}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Query(ctx, item.Info.Path)
	if err != nil {
		t.Fatal(err)
	}
	item.Info.RegistrationTime = clock()
	if d := cmp.Diff(item.Info, got, equalHashes); d != "" {
		t.Error(d)
	}
}
