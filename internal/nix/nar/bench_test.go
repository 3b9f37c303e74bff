package nar_test

import (
	"runtime"
	"testing"

	"headwater/internal/nix/nar"
)

// goTree is a tree of many files that every machine which runs these benchmarks has.
func goTree(b *testing.B) string {
	dir := runtime.GOROOT()
	if dir == "" {
		b.Skip("no Go tree here")
	}
	return dir
}

func BenchmarkHashPath(b *testing.B) {
	dir := goTree(b)
	for b.Loop() {
		_, n, err := nar.HashPath(dir)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(n)
	}
}
