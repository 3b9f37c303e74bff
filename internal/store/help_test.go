package store_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/nix"
	"headwater/internal/nixtest"
	"headwater/internal/store"
	"headwater/internal/store/storetest"
)

func clock() time.Time { return time.Unix(1700000000, 0) }

var equalHashes = cmp.Comparer(func(x, y nix.Hash) bool { return x == y })

func open(t testing.TB, dir string) *store.Store {
	t.Helper()
	return storetest.OpenAt(t, dir, clock)
}

// nixStore asks real Nix about the store in dir.
func nixStore(t testing.TB, dir string, args ...string) string {
	t.Helper()
	return nixtest.New(t, nixtest.Current).Run(t, "nix-store", append([]string{"--store", dir}, args...)...)
}

// nixVerify has old and new Nix judge the store in dir.
func nixVerify(t testing.TB, dir string) {
	t.Helper()
	nixtest.New(t, nixtest.Current).Verify(t, dir)
	nixtest.New(t, nixtest.Old).Verify(t, dir)
}

func goroot(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// makeTree makes a file if files has just "", else a folder. A name ending in * is executable, in @ a link, in / a folder.
func makeTree(t testing.TB, at string, files map[string]string) string {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(at, strings.TrimRight(name, "*@"))
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch {
		case err != nil:
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		case strings.HasSuffix(name, "@"):
			err = os.Symlink(content, path)
		case strings.HasSuffix(name, "*"):
			err = os.WriteFile(path, []byte(content), 0o755)
		default:
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return at
}

// install adds a tree under an input-addressed path of its own and tells the path.
func install(t testing.TB, s *store.Store, name string, files map[string]string, candidates ...nix.StorePath) nix.StorePath {
	t.Helper()
	p := outPath(t, name)
	item := examined(t, s, p, files, append(candidates, p)...)
	if err := lockAndInstall(s, item); err != nil {
		t.Fatal(err)
	}
	return p
}

func examined(t testing.TB, s *store.Store, p nix.StorePath, files map[string]string, candidates ...nix.StorePath) store.Install {
	t.Helper()
	ctx := context.Background()
	dir, _, err := s.TempDir(ctx)
	if err != nil {
		t.Fatal(err)
	}
	from := makeTree(t, filepath.Join(dir, "x"), files)
	e, err := store.Examine(ctx, from, candidates)
	if err != nil {
		t.Fatal(err)
	}
	return store.Install{From: from, Info: store.PathInfo{Path: p, NARHash: e.NARHash, NARSize: e.NARSize, Refs: e.Refs, Ultimate: true}}
}

func lockAndInstall(s *store.Store, items ...store.Install) (err error) {
	ctx := context.Background()
	slices.SortFunc(items, func(a, b store.Install) int { return strings.Compare(string(a.Info.Path), string(b.Info.Path)) })
	for _, it := range items {
		unlock, err := s.Lock(ctx, it.Info.Path)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, unlock()) }()
	}
	return s.Install(ctx, items)
}

// outPath is a path that follows from the name alone.
func outPath(t testing.TB, name string) nix.StorePath {
	t.Helper()
	p, err := nix.OutputPath(nix.Sum(nix.SHA256, []byte(name)), "out", name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func addText(t testing.TB, s *store.Store, name, content string, refs ...nix.StorePath) nix.StorePath {
	t.Helper()
	paths, err := s.AddTexts(context.Background(), []store.Text{{Name: name, Content: content, Refs: refs}})
	if err != nil {
		t.Fatal(err)
	}
	return paths[0]
}

func isValid(t testing.TB, s *store.Store, p nix.StorePath) bool {
	t.Helper()
	v, err := s.Valid(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	return len(v) == 1
}

// listing is the tree below dir, a line each: mode, modification time, name, content or target.
func listing(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		content := ""
		switch {
		case fi.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			content = string(data)
		case fi.Mode()&fs.ModeSymlink != 0:
			content, _ = os.Readlink(path)
			b.WriteString("link " + fi.ModTime().UTC().Format("05") + " " + rel + " " + content + "\n")
			return nil
		}
		b.WriteString(fi.Mode().String() + " " + fi.ModTime().UTC().Format("2006 05") + " " + rel + " " + content + "\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// clean makes sure that all of the store holds, by our own judgement.
func clean(t testing.TB, s *store.Store) store.VerifyResult {
	t.Helper()
	r, err := s.Verify(context.Background(), store.VerifyOptions{Contents: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Problems {
		t.Errorf("problem: %v", p)
	}
	return r
}

func statOf(fi fs.FileInfo) (inode, links uint64) {
	st := fi.Sys().(*syscall.Stat_t)
	return st.Ino, uint64(st.Nlink)
}
