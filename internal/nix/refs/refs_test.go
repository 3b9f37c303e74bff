package refs_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"headwater/internal/nix"
	"headwater/internal/nix/nar"
	"headwater/internal/nix/refs"
)

// oracle is the definition.
func oracle(data []byte, paths []nix.StorePath) []nix.StorePath {
	var out []nix.StorePath
	for _, p := range paths {
		if bytes.Contains(data, []byte(p.Digest())) && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

// scan writes data in pieces; cuts are the pieces' lengths, the rest is the last.
func scan(data []byte, paths []nix.StorePath, cuts []byte) []nix.StorePath {
	s := refs.NewScanner(paths)
	for _, n := range cuts {
		piece := data[:min(int(n), len(data))]
		if k, err := s.Write(bytes.Clone(piece)); k != len(piece) || err != nil {
			panic("short write")
		}
		data = data[len(piece):]
	}
	s.Write(data)
	return s.Found()
}

func path(digest, name string) nix.StorePath {
	return nix.StorePath(nix.StoreDir + "/" + digest + "-" + name)
}

func TestFindsDigests(t *testing.T) {
	a := "0123456789abcdfghijklmnpqrsvwxyz"
	b := "123456789abcdfghijklmnpqrsvwxyz0" // a, shifted by one
	zero := strings.Repeat("0", 32)
	paths := []nix.StorePath{path(a, "a"), path(b, "b"), path(zero, "zero"), path(zero, "zero-too")}
	for name, c := range map[string]struct {
		data string
		want []nix.StorePath
	}{
		"none":              {"nothing here", nil},
		"one":               {"/nix/store/" + a + "-a/bin", paths[:1]},
		"alone":             {a, paths[:1]},
		"among digits":      {"xyz" + a + "123", paths[:1]},
		"overlapping":       {a + "0", paths[:2]},
		"one digit missing": {a[1:] + " " + a[:31], nil},
		"upper case":        {strings.ToUpper(a), nil},
		"two of one digest": {strings.Repeat("0", 40), paths[2:]},
		"after a near miss": {a[:31] + a, paths[:1]},
		"UTF-16":            {strings.Join(strings.Split(a, ""), "\x00"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			for cut := range len(c.data) + 1 {
				if diff := cmp.Diff(c.want, scan([]byte(c.data), paths, []byte{byte(cut)})); diff != "" {
					t.Fatalf("cut at %d (-want +got):\n%s", cut, diff)
				}
			}
			if diff := cmp.Diff(c.want, scan([]byte(c.data), paths, bytes.Repeat([]byte{1}, len(c.data)))); diff != "" {
				t.Errorf("byte by byte (-want +got):\n%s", diff)
			}
		})
	}
}

func TestIgnoresNoPath(t *testing.T) {
	if got := scan([]byte(strings.Repeat("0", 64)), []nix.StorePath{"", "/nix/store/x"}, nil); len(got) != 0 {
		t.Errorf("found %q", got)
	}
}

// Streams made of digests, pieces of digests and noise, cut anywhere.
func TestScannerAgainstOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		digest := rapid.OneOf(
			rapid.StringMatching(`[0-9abcdfghijklmnpqrsvwxyz]{32}`),
			rapid.StringMatching(`[01]{32}`),
		)
		digests := rapid.SliceOfN(digest, 1, 5).Draw(t, "digests")
		var paths []nix.StorePath
		for i, d := range digests {
			paths = append(paths, path(d, fmt.Sprint("n", i)))
		}
		whole := rapid.SampledFrom(digests)
		part := rapid.Custom(func(t *rapid.T) string {
			d := whole.Draw(t, "whole")
			from := rapid.IntRange(0, 32).Draw(t, "from")
			return d[from:rapid.IntRange(from, 32).Draw(t, "to")]
		})
		noise := rapid.StringMatching(`[eotu/01az-]{0,40}`)
		data := []byte(strings.Join(rapid.SliceOf(rapid.OneOf(whole, part, noise)).Draw(t, "data"), ""))
		cuts := rapid.SliceOf(rapid.ByteRange(0, 70)).Draw(t, "cuts")
		if diff := cmp.Diff(oracle(data, paths), scan(data, paths, cuts)); diff != "" {
			t.Fatalf("%q cut at %v (-oracle +scanner):\n%s", data, cuts, diff)
		}
	})
}

func FuzzScanner(f *testing.F) {
	a := "0123456789abcdfghijklmnpqrsvwxyz"
	f.Add([]byte("/nix/store/"+a+"-a"), []byte{20, 3}, a)
	f.Add([]byte(a[5:]+a+a), []byte{1, 1, 31, 32, 33}, a+a[16:]+a[:16])
	f.Add(bytes.Repeat([]byte("0"), 100), []byte{}, strings.Repeat("0", 64))
	f.Fuzz(func(t *testing.T, data, cuts []byte, digests string) {
		var paths []nix.StorePath
		for i := 0; i+32 <= len(digests); i += 32 {
			if p, err := nix.ParseStorePath(nix.StoreDir + "/" + digests[i:i+32] + "-n"); err == nil {
				paths = append(paths, p)
			}
		}
		if diff := cmp.Diff(oracle(data, paths), scan(data, paths, cuts)); diff != "" {
			t.Error(diff)
		}
	})
}

func candidates(n int) []nix.StorePath {
	r := rand.New(rand.NewPCG(1, 2))
	out := make([]nix.StorePath, n)
	for i := range out {
		digest := make([]byte, 20)
		for j := range digest {
			digest[j] = byte(r.Uint32())
		}
		out[i] = path(nix.EncodeBase32(digest), "n")
	}
	return out
}

func BenchmarkScanner(b *testing.B) {
	var tree bytes.Buffer
	if err := nar.Dump(&tree, runtime.GOROOT()+"/src"); err != nil {
		b.Fatal(err)
	}
	random := make([]byte, 32<<20)
	r := rand.NewChaCha8([32]byte{})
	r.Read(random)
	for name, data := range map[string][]byte{
		"sources": tree.Bytes(), "random": random, "hex": []byte(hex.EncodeToString(random[:16<<20])), "zeros": make([]byte, 32<<20),
	} {
		for _, n := range []int{10, 10_000} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.SetBytes(int64(len(data)))
				paths := candidates(n)
				for b.Loop() {
					s := refs.NewScanner(paths)
					for piece := range slices.Chunk(data, 256<<10) {
						s.Write(piece)
					}
				}
			})
		}
	}
}
