package nar_test

import (
	"bytes"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"headwater/internal/nix"
	"headwater/internal/nix/nar"
	"headwater/internal/nix/refs"
)

// The Go tree is one of many files that every machine which runs these benchmarks has. To compare with Nix in the same run:
//
//	go test -run '^$' -bench . ./internal/nix/nar
//	time nix --extra-experimental-features nix-command hash path "$(go env GOROOT)"
//	time nix-store --dump "$(go env GOROOT)" | sha256sum
func goTree() string { return runtime.GOROOT() }

func BenchmarkHashPath(b *testing.B) {
	for b.Loop() {
		_, n, err := nar.HashPath(goTree())
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(n)
	}
}

func BenchmarkHashAndScan(b *testing.B) {
	var candidates []nix.StorePath
	for i := range byte(100) {
		p, err := nix.TextPath("x", nix.Sum(nix.SHA256, []byte{i}), nil)
		if err != nil {
			b.Fatal(err)
		}
		candidates = append(candidates, p)
	}
	for b.Loop() {
		_, n, err := nar.Hash(b.Context(), goTree(), refs.NewScanner(candidates))
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(n)
	}
}

// What one small object costs, such as a .drv file.
func BenchmarkHashSmallFile(b *testing.B) {
	for b.Loop() {
		if _, _, err := nar.HashPath("testdata/run.nar"); err != nil {
			b.Fatal(err)
		}
	}
}

// One big file, to compare with BenchmarkSHA256.
func BenchmarkHashBigFile(b *testing.B) {
	path := filepath.Join(b.TempDir(), "big")
	if err := os.WriteFile(path, make([]byte, 256<<20), 0o600); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		_, n, err := nar.HashPath(path)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(n)
	}
}

func BenchmarkSHA256(b *testing.B) {
	data := make([]byte, 256<<20)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		sha256.Sum256(data)
	}
}

// Unpacking into the folder for temporary files, with the hash that an import needs.
func BenchmarkUnpack(b *testing.B) {
	var archive bytes.Buffer
	if err := nar.Dump(&archive, filepath.Join(goTree(), "src")); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(archive.Len()))
	dst := filepath.Join(b.TempDir(), "tree")
	for b.Loop() {
		if err := nar.Unpack(b.Context(), bytes.NewReader(archive.Bytes()), dst, nix.SHA256.New()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := os.RemoveAll(dst); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func BenchmarkRead(b *testing.B) {
	var archive bytes.Buffer
	if err := nar.Dump(&archive, filepath.Join(goTree(), "src")); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(archive.Len()))
	for b.Loop() {
		r := nar.NewReader(bytes.NewReader(archive.Bytes()))
		for {
			if _, err := r.Next(); err == io.EOF {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
}
