package rootfs_test

import (
	"archive/tar"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headwater/internal/artifact"
	"headwater/internal/dag"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/nix/nar"
	"headwater/internal/recipe"
	"headwater/internal/rootfs"
	"headwater/internal/rootfs/debtest"
	"headwater/internal/store"
)

// openStore opens a new store in dir.
func openStore(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), dir, store.Options{Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The folders of valid paths cannot be written to, nor emptied.
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				err = os.Chmod(name, 0o755)
			}
			return err
		})
		if err := errors.Join(s.Close(), err); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestPinAndNode pins a root and then has the engine's part done: what Node's content writes has the path that was locked.
func TestPinAndNode(t *testing.T) {
	a := newArchive(t)
	a.publish("trixie", minimal, map[string][]byte{
		"bash":       debtest.Package{Name: "bash", Compression: "xz", Entries: []tar.Header{debtest.Program("./bin/bash")}}.Bytes(t),
		"bubblewrap": debtest.Package{Name: "bubblewrap", Compression: "zst", Entries: []tar.Header{debtest.Program("./usr/bin/bwrap")}}.Bytes(t),
		"libc6":      debtest.Package{Name: "libc6", Entries: []tar.Header{debtest.Link("./lib64/ld.so", "/lib/ld.so"), debtest.File("./lib/ld.so")}}.Bytes(t),
	})
	packages, err := a.resolver().Resolve(t.Context(), recipe.Root{Suites: []string{"trixie"}})
	if err != nil {
		t.Fatal(err)
	}
	s := openStore(t, t.TempDir())
	hash, err := rootfs.Pin(t.Context(), rootfs.PinRequest{Name: "base", Packages: packages, Archive: a, Store: s})
	if err != nil {
		t.Fatal(err)
	}
	maker := new(dag.Maker)
	node, err := rootfs.Node(maker, "base", lock.Root{NARHash: hash, Packages: packages})
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Query(t.Context(), node.Path())
	if err != nil {
		t.Fatalf("the store did not get the root: %v", err)
	}
	if info.NARHash != hash || info.CA != node.Content.ContentAddress() || len(node.Inputs) != 3 || node.Kind != dag.Root {
		t.Errorf("registered %+v, node %+v", info, node)
	}
	files := map[nix.StorePath]string{}
	for i, in := range node.Inputs {
		files[in.Path()] = filepath.Join(a.dir, packages[i].File)
	}
	dst := filepath.Join(t.TempDir(), "root")
	if err := node.Content.Write(t.Context(), dst, func(p nix.StorePath) string { return files[p] }); err != nil {
		t.Fatal(err)
	}
	if got, _, err := nar.HashPath(dst); err != nil || got != hash {
		t.Errorf("unpacked again it has hash %s (%v), want %s", got, err, hash)
	}
	again, err := rootfs.Node(maker, "another", lock.Root{NARHash: hash, Packages: packages})
	if err != nil || again != node {
		t.Errorf("the same packages are another node: %v, %v", again, err)
	}
	if hash2, err := rootfs.Pin(t.Context(), rootfs.PinRequest{Name: "base", Packages: packages, Archive: a, Store: s}); err != nil || hash2 != hash {
		t.Errorf("pinned again: %s, %v", hash2, err)
	}
}

func TestPinErrors(t *testing.T) {
	a := newArchive(t)
	s := openStore(t, t.TempDir())
	a.publish("trixie", minimal, nil)
	packages, err := a.resolver().Resolve(t.Context(), recipe.Root{Suites: []string{"trixie"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rootfs.Pin(t.Context(), rootfs.PinRequest{Name: "base", Packages: packages, Archive: a, Store: s}); err == nil || !strings.Contains(err.Error(), "root base") {
		t.Errorf("packages that are none: %v", err)
	}
	packages[0].File = "debian/pool/none.deb"
	if _, err := rootfs.Pin(t.Context(), rootfs.PinRequest{Name: "base", Packages: packages, Archive: a, Store: s}); err == nil || !strings.Contains(err.Error(), "none.deb") {
		t.Errorf("a package that is not there: %v", err)
	}
}

func TestNodeErrors(t *testing.T) {
	hash := nix.Sum(nix.SHA256, nil)
	for _, a := range []lock.Artifact{
		{Ecosystem: artifact.Debian, Name: "bash", File: "debian/pool/bash.deb"},
		{Ecosystem: artifact.NPM, Name: "bash", File: "bash.tgz", Hash: hash},
	} {
		if n, err := rootfs.Node(new(dag.Maker), "base", lock.Root{NARHash: hash, Packages: []lock.Artifact{a}}); err == nil || !strings.Contains(err.Error(), "bash") {
			t.Errorf("%+v: got %v, %v", a, n, err)
		}
	}
}
