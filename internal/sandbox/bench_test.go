package sandbox_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"headwater/internal/nix"
	"headwater/internal/sandbox"
)

// One run of a builder that does nothing, with so many files as further inputs.
func BenchmarkRun(b *testing.B) {
	for _, n := range []int{0, 100, 2000} {
		b.Run(fmt.Sprintf("inputs=%d", n), func(b *testing.B) {
			s := folders(b)
			s.Args = []string{"nothing"}
			for i := range n {
				p := nix.StorePath(fmt.Sprintf("%s/%032d-file", nix.StoreDir, i+100))
				if err := os.WriteFile(filepath.Join(s.StoreDir, p.Base()), []byte("x"), 0o444); err != nil {
					b.Fatal(err)
				}
				s.Inputs = append(s.Inputs, p)
			}
			var r sandbox.Runner
			defer r.Close()
			for b.Loop() {
				if e, err := r.Run(context.Background(), s, io.Discard); err != nil || !e.Success() {
					b.Fatal(e, err)
				}
				b.StopTimer()
				entries, err := os.ReadDir(s.Outputs)
				if err != nil {
					b.Fatal(err)
				}
				for _, e := range entries {
					if err := os.Remove(filepath.Join(s.Outputs, e.Name())); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
			}
		})
	}
}
