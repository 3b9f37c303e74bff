package refs_test

import (
	"io"
	"strings"
	"testing"

	"headwater/internal/nix"
	"headwater/internal/nix/nar"
	"headwater/internal/nix/refs"
)

// narinfo/testdata/built-yc9n….narinfo is of an object that Nix made content-addressed; this was its content.
func TestSelfHasherMatchesNix(t *testing.T) {
	const (
		self    = "/nix/store/yc9nzcclpa6fq0c5xk5p7zr55jacgsj9-built"
		content = self + " /nix/store/1bpskcccjn88sp76sa4vqzl9af2basys-refers\n"
		narHash = "sha256:0mp9rras3q53d624mnz6zdjz41cd3f8i2fxrldggynfi009b25gh"
		ca      = "sha256:0hbskq7203y7il862jf2w5ws6m2y1m4gzn0fkp0qg88fljdrjkry"
	)
	h := refs.NewSelfHasher(self)
	single := refs.NewSelfHasher(self)
	file := nar.Source{Size: int64(len(content)), Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }}
	got, _, err := nar.HashTree(t.Context(), []nar.Source{file}, h, byByte{single})
	if err != nil || got.String() != narHash {
		t.Fatalf("NAR hash %s, %v; want %s", got, err, narHash)
	}
	if sum := h.Sum(); sum.String() != ca {
		t.Errorf("hash %s, Nix says %s", sum, ca)
	}
	if sum := single.Sum(); sum.String() != ca {
		t.Errorf("byte by byte: hash %s, Nix says %s", sum, ca)
	}
	if sum := refs.NewSelfHasher(self).Sum(); sum != nix.Sum(nix.SHA256, nil) {
		t.Errorf("hash of nothing: %s", sum)
	}
}

type byByte struct{ io.Writer }

func (w byByte) Write(b []byte) (int, error) {
	for i := range b {
		if _, err := w.Writer.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}
