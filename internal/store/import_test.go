package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"headwater/internal/nix"
	"headwater/internal/nix/nar"
	"headwater/internal/store"
	"headwater/internal/store/storetest"
)

// narOf is a tree's archive and what is to be known of it.
func narOf(t *testing.T, files map[string]string) ([]byte, store.PathInfo) {
	t.Helper()
	var buf bytes.Buffer
	if err := nar.Dump(&buf, makeTree(t, filepath.Join(storetest.Dir(t), "x"), files)); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes(), store.PathInfo{NARHash: nix.Sum(nix.SHA256, buf.Bytes()), NARSize: int64(buf.Len())}
}

func fixedPath(t *testing.T, name string, ca nix.ContentAddress) nix.StorePath {
	t.Helper()
	p, err := nix.FixedPath(name, ca, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestImportNAR(t *testing.T) {
	ctx := context.Background()
	tree, treeInfo := narOf(t, map[string]string{"bin/x*": "run", "l@": "bin/x", "e/": ""})
	file, fileInfo := narOf(t, map[string]string{"": "hello"})
	script, scriptInfo := narOf(t, map[string]string{"*": "hello"})
	hello := nix.Sum(nix.SHA256, []byte("hello"))
	at := func(info store.PathInfo, ca nix.ContentAddress) store.PathInfo {
		info.CA, info.Path = ca, outPath(t, "x")
		if !ca.IsZero() {
			info.Path = fixedPath(t, "x", ca)
		}
		return info
	}
	treeCA := nix.ContentAddress{Method: nix.NAR, Hash: treeInfo.NARHash}
	broken := errors.New("connection reset")
	for _, c := range []struct {
		name string
		r    io.Reader
		info store.PathInfo
		want error // nil: imported
	}{
		{"input-addressed", bytes.NewReader(tree), at(treeInfo, nix.ContentAddress{}), nil},
		{"tree by hash", bytes.NewReader(tree), at(treeInfo, treeCA), nil},
		{"tree by other hash", bytes.NewReader(tree), at(treeInfo, nix.ContentAddress{Method: nix.NAR, Hash: nix.Sum(nix.SHA512, tree)}), nil},
		{"tree with another's other hash", bytes.NewReader(tree), at(treeInfo, nix.ContentAddress{Method: nix.NAR, Hash: nix.Sum(nix.SHA1, file)}), store.ErrMismatch},
		{"file by hash", bytes.NewReader(file), at(fileInfo, nix.ContentAddress{Method: nix.Flat, Hash: hello}), nil},
		{"file by other hash", bytes.NewReader(file), at(fileInfo, nix.ContentAddress{Method: nix.Flat, Hash: nix.Sum(nix.SHA1, []byte("hello"))}), nil},
		{"text", bytes.NewReader(file), at(fileInfo, nix.ContentAddress{Method: nix.Text, Hash: hello}), nil},
		{"byte by byte", iotest.OneByteReader(bytes.NewReader(tree)), at(treeInfo, treeCA), nil},
		{"other content", bytes.NewReader(file), at(treeInfo, treeCA), store.ErrMismatch},
		{"longer", bytes.NewReader(append(bytes.Clone(file), 0)), at(fileInfo, nix.ContentAddress{}), store.ErrMismatch},
		{"much longer", bytes.NewReader(tree), at(fileInfo, nix.ContentAddress{}), store.ErrMismatch},
		{"same length", bytes.NewReader(bytes.ReplaceAll(file, []byte("hello"), []byte("world"))), at(fileInfo, nix.ContentAddress{}), store.ErrMismatch},
		{"file with another's hash", bytes.NewReader(file), at(fileInfo, nix.ContentAddress{Method: nix.Flat, Hash: nix.Sum(nix.SHA256, nil)}), store.ErrMismatch},
		{"executable as flat", bytes.NewReader(script), at(scriptInfo, nix.ContentAddress{Method: nix.Flat, Hash: hello}), store.ErrMismatch},
		{"tree as text", bytes.NewReader(tree), at(treeInfo, nix.ContentAddress{Method: nix.Text, Hash: hello}), store.ErrMismatch},
		{"truncated", bytes.NewReader(tree[:len(tree)-8]), at(treeInfo, treeCA), store.ErrMismatch},
		{"broken off", io.MultiReader(bytes.NewReader(tree[:200]), iotest.ErrReader(broken)), at(treeInfo, treeCA), broken},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := storetest.Dir(t)
			s := open(t, dir)
			err := s.ImportNAR(ctx, c.r, c.info)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if got := isValid(t, s, c.info.Path); got != (c.want == nil) {
				t.Errorf("valid: %v", got)
			}
			if r := clean(t, s); len(r.Leftovers) > 0 {
				t.Errorf("left: %v", r.Leftovers)
			}
			if c.want == nil {
				nixVerify(t, dir)
				return
			}
			empty(t, filepath.Join(dir, "nix/var/headwater/tmp"))
		})
	}
}

// empty makes sure that no temporary folder is left.
func empty(t *testing.T, base string) {
	t.Helper()
	dirs, err := filepath.Glob(base + "/*/*")
	if err != nil || len(dirs) > 0 {
		t.Errorf("left: %v %v", dirs, err)
	}
}

func TestImportNARReadsNothingIfValid(t *testing.T) {
	ctx, s := context.Background(), open(t, storetest.Dir(t))
	file, info := narOf(t, map[string]string{"": "hello"})
	info.Path = outPath(t, "x")
	if err := s.ImportNAR(ctx, bytes.NewReader(file), info); err != nil {
		t.Fatal(err)
	}
	if err := s.ImportNAR(ctx, iotest.ErrReader(errors.New("was read")), info); err != nil {
		t.Error(err)
	}
}

func TestImportNARRefusesImpossibleRecords(t *testing.T) {
	ctx, s := context.Background(), open(t, storetest.Dir(t))
	file, good := narOf(t, map[string]string{"": "hello"})
	good.Path = outPath(t, "x")
	for name, spoil := range map[string]func(*store.PathInfo){
		"path":      func(i *store.PathInfo) { i.Path = "/nix/store/../../etc/passwd" },
		"hash":      func(i *store.PathInfo) { i.NARHash = nix.Sum(nix.SHA1, file) },
		"size":      func(i *store.PathInfo) { i.NARSize = -1 },
		"signature": func(i *store.PathInfo) { i.Sigs = []string{"two words"} },
		"reference": func(i *store.PathInfo) { i.Refs = []nix.StorePath{a} },
		"address":   func(i *store.PathInfo) { i.CA = nix.ContentAddress{Method: nix.NAR, Hash: i.NARHash} },
	} {
		t.Run(name, func(t *testing.T) {
			info := good
			spoil(&info)
			if err := s.ImportNAR(ctx, bytes.NewReader(file), info); err == nil {
				t.Error("imported")
			}
			if _, err := os.Lstat(s.RealPath(good.Path)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("left: %v", err)
			}
		})
	}
}

func TestByDigest(t *testing.T) {
	ctx, s := context.Background(), open(t, storetest.Dir(t))
	a, b := install(t, s, "a", map[string]string{"": "a"}), install(t, s, "b", map[string]string{"": "b"})
	for _, p := range []nix.StorePath{a, b} {
		if got, err := s.ByDigest(ctx, p.Digest()); got != p || err != nil {
			t.Errorf("%s: got %s, %v", p.Digest(), got, err)
		}
	}
	for _, digest := range []string{"", a.Digest()[:31], "00000000000000000000000000000000", "%", a.Base()} {
		if got, err := s.ByDigest(ctx, digest); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%q: got %s, %v", digest, got, err)
		}
	}
}
