package nar_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"headwater/internal/nix/nar"
)

// tree is an object to draw at random, and to write by the definition.
type tree struct {
	kind       nar.Type
	executable bool
	content    string // or target
	children   map[string]*tree
}

func genTree(depth int) *rapid.Generator[*tree] {
	return rapid.Custom(func(t *rapid.T) *tree {
		n := &tree{kind: rapid.SampledFrom([]nar.Type{nar.File, nar.Link, nar.Folder}).Draw(t, "kind")}
		if depth == 0 && n.kind == nar.Folder {
			n.kind = nar.File
		}
		switch n.kind {
		case nar.File:
			n.executable = rapid.Bool().Draw(t, "executable")
			size := rapid.OneOf(rapid.IntRange(0, 20), rapid.IntRange(130_000, 132_000), rapid.IntRange(0, 600_000)).Draw(t, "size")
			n.content = strings.Repeat(rapid.StringN(1, 3, 9).Draw(t, "content"), size)[:size]
		case nar.Link:
			n.content = strings.ReplaceAll(rapid.StringN(1, 20, 100).Draw(t, "target"), "\x00", "0")
		case nar.Folder:
			name := rapid.Map(rapid.StringN(1, 8, 30), func(s string) string {
				s = strings.NewReplacer("/", "-", "\x00", "0").Replace(s)
				if s == "." || s == ".." {
					s += "x"
				}
				return s
			})
			n.children = rapid.MapOfN(name, genTree(depth-1), 0, 6).Draw(t, "children")
		}
		return n
	})
}

// write is the definition of the format.
func (n *tree) write(b []byte) []byte {
	str := func(ss ...string) {
		for _, s := range ss {
			b = binary.LittleEndian.AppendUint64(b, uint64(len(s)))
			b = append(b, s...)
			for len(s)%8 != 0 {
				b, s = append(b, 0), s+"0"
			}
		}
	}
	str("(", "type", n.kind.String())
	switch n.kind {
	case nar.File:
		if n.executable {
			str("executable", "")
		}
		str("contents", n.content)
	case nar.Link:
		str("target", n.content)
	case nar.Folder:
		var names []string
		for name := range n.children {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			str("entry", "(", "name", name, "node")
			b = n.children[name].write(b)
			str(")")
		}
	}
	str(")")
	return b
}

func (n *tree) sources(path string, out []nar.Source) []nar.Source {
	switch n.kind {
	case nar.File:
		open := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(n.content)), nil }
		return append(out, nar.Source{Path: path, Executable: n.executable, Size: int64(len(n.content)), Open: open})
	case nar.Link:
		return append(out, nar.Source{Path: path, Type: nar.Link, Target: n.content})
	}
	if len(n.children) == 0 {
		out = append(out, nar.Source{Path: path, Type: nar.Folder})
	}
	for name, child := range n.children { // any order will do
		out = child.sources(strings.TrimPrefix(path+"/"+name, "/"), out)
	}
	return out
}

func TestRandomTrees(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		n := genTree(3).Draw(rt, "tree")
		want := n.write(archive("nix-archive-1"))
		if got := dumpTree(t, n.sources("", nil)); !bytes.Equal(got, want) {
			rt.Fatalf("DumpTree: %q\nwant %q", got, want)
		}
		dst := filepath.Join(dir, "dst")
		var copied bytes.Buffer
		if err := nar.Unpack(t.Context(), bytes.NewReader(want), dst, &copied); err != nil {
			rt.Fatal(err)
		}
		var dumped bytes.Buffer
		if err := nar.Dump(&dumped, dst); err != nil {
			rt.Fatal(err)
		}
		if !bytes.Equal(dumped.Bytes(), want) || !bytes.Equal(copied.Bytes(), want) {
			rt.Fatalf("Dump of what was unpacked: %q\npassed on: %q\nwant %q", dumped.Bytes(), copied.Bytes(), want)
		}
		if err := remove(dst); err != nil {
			rt.Fatal(err)
		}
	})
}

// remove removes a read-only tree.
func remove(dst string) error {
	err := filepath.WalkDir(dst, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(path, 0o700)
		}
		return err
	})
	return errors.Join(err, os.RemoveAll(dst))
}

// What is read as an archive is what would be written for what was read.
func FuzzReader(f *testing.F) {
	for _, name := range []string{"odd.nar", "empty.nar", "run.nar", "link.nar", "folder.nar"} {
		f.Add(readFile(f, name))
	}
	for _, c := range hostile() {
		if len(c.archive) < 1000 {
			f.Add(c.archive)
		}
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		dst := filepath.Join(dir, "dst")
		unpacked := nar.Unpack(t.Context(), bytes.NewReader(data), dst)
		objects, err := list(data)
		if skimmed := skim(data); (skimmed == nil) != (err == nil) {
			t.Errorf("read: %v; contents skipped: %v", err, skimmed)
		}
		if err != nil {
			if !errors.Is(unpacked, nar.ErrFormat) {
				t.Errorf("read: %v; unpacked: %v", err, unpacked)
			}
			if _, err := os.Lstat(dst); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("left over: %v", err)
			}
			return
		}
		again := dumpTree(t, sources(objects))
		if !bytes.HasPrefix(data, again) {
			t.Errorf("written again: %q", again)
		}
		if (unpacked == nil) != (len(again) == len(data)) {
			t.Errorf("%d of %d bytes are an archive; unpacked: %v", len(again), len(data), unpacked)
		}
		if unpacked != nil {
			return
		}
		var dumped bytes.Buffer
		if err := errors.Join(nar.Dump(&dumped, dst), remove(dst)); err != nil {
			t.Error(err)
		}
		if !bytes.Equal(dumped.Bytes(), data) {
			t.Errorf("dumped again: %q", dumped.Bytes())
		}
	})
}
