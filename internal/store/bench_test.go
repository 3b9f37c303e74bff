package store_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"headwater/internal/nix"
	"headwater/internal/nix/nar"
	"headwater/internal/store"
	"headwater/internal/store/storetest"
)

func BenchmarkOpenClose(b *testing.B) {
	dir := b.TempDir()
	open(b, dir)
	for b.Loop() {
		s, err := store.Open(context.Background(), dir, store.Options{Now: clock})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// manyTexts is like the .drv files of a graph: each refers to the one before it.
func manyTexts(b *testing.B, n int, tag string) []store.Text {
	texts := make([]store.Text, n)
	var last []nix.StorePath
	for i := range texts {
		content := fmt.Sprintf("%s %d %01500d", tag, i, 0)
		texts[i] = store.Text{Name: fmt.Sprintf("text-%d", i), Content: content, Refs: last}
		p, err := nix.TextPath(texts[i].Name, nix.Sum(nix.SHA256, []byte(content)), last)
		if err != nil {
			b.Fatal(err)
		}
		last = []nix.StorePath{p}
	}
	return texts
}

func BenchmarkAddTexts3000(b *testing.B) {
	ctx, s := context.Background(), open(b, b.TempDir())
	n := 0
	for b.Loop() {
		b.StopTimer()
		texts := manyTexts(b, 3000, fmt.Sprint(n))
		n++
		b.StartTimer()
		if _, err := s.AddTexts(ctx, texts); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkClosure3000(b *testing.B) {
	ctx, s := context.Background(), open(b, b.TempDir())
	paths, err := s.AddTexts(ctx, manyTexts(b, 3000, "x"))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("valid", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Valid(ctx, paths...); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("closure", func(b *testing.B) {
		for b.Loop() {
			if got, err := s.Closure(ctx, paths[len(paths)-1:], false); err != nil || len(got) != len(paths) {
				b.Fatal(len(got), err)
			}
		}
	})
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Verify(ctx, store.VerifyOptions{Contents: true}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("dry-gc", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.GC(ctx, store.GCOptions{DryRun: true}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkExamineGoTree(b *testing.B) {
	ctx, tree := context.Background(), filepath.Join(b.TempDir(), "go")
	if err := os.CopyFS(tree, os.DirFS(filepath.Join(goroot(b), "src"))); err != nil {
		b.Fatal(err)
	}
	b.Run("canonicalise", func(b *testing.B) {
		for b.Loop() {
			if err := store.Canonicalise(ctx, tree); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("examine", func(b *testing.B) {
		for b.Loop() {
			e, err := store.Examine(ctx, tree, []nix.StorePath{a})
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(e.NARSize)
		}
	})
}

// BenchmarkImportGoTree is what nix-store --add does: read a tree, write it into the store, register it.
func BenchmarkImportGoTree(b *testing.B) {
	ctx, tree := context.Background(), goroot(b)
	h, size, err := nar.HashPath(tree)
	if err != nil {
		b.Fatal(err)
	}
	info := store.PathInfo{NARHash: h, NARSize: size, CA: nix.ContentAddress{Method: nix.NAR, Hash: h}}
	if info.Path, err = nix.FixedPath("go", info.CA, nil, false); err != nil {
		b.Fatal(err)
	}
	b.Run("headwater", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			s := open(b, storetest.Dir(b))
			b.StartTimer()
			r, w := io.Pipe()
			go func() { w.CloseWithError(nar.Dump(w, tree)) }()
			if err := s.ImportNAR(ctx, r, info); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(size)
		}
	})
	b.Run("nix", func(b *testing.B) {
		for b.Loop() {
			if got := nixStore(b, storetest.Dir(b), "--add", tree); got != string(info.Path) {
				b.Logf("Nix adds %s", got) // another name
			}
			b.SetBytes(size)
		}
	})
}

// BenchmarkInstallSmall is what the store costs a trivial build.
func BenchmarkInstallSmall(b *testing.B) {
	s := open(b, storetest.Dir(b))
	for i := 0; b.Loop(); i++ {
		install(b, s, fmt.Sprint("p", i), map[string]string{"bin/x*": "exec true", "doc": "text"})
	}
}
