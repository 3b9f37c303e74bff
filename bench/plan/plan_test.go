package main

import "testing"

// BenchmarkGenerated is for profiles: go test ./bench/plan -run - -bench . -cpuprofile cpu.
func BenchmarkGenerated(b *testing.B) {
	dir := b.TempDir()
	files, _ := generated(5700)
	if err := write(dir, files); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := openAndPlan(dir); err != nil {
			b.Fatal(err)
		}
	}
}
