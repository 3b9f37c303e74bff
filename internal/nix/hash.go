package nix

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strings"
)

// Algo is a hash algorithm, spelt as Nix spells it.
type Algo string

// The algorithms Nix has had from the start.
const (
	MD5    Algo = "md5"
	SHA1   Algo = "sha1"
	SHA256 Algo = "sha256"
	SHA512 Algo = "sha512"
)

// ParseAlgo accepts the names above.
func ParseAlgo(s string) (Algo, error) {
	if a := Algo(s); a.Size() != 0 {
		return a, nil
	}
	return "", fmt.Errorf("parse hash algorithm %q: unknown", s)
}

// Size is the length of a digest in bytes, 0 for an unknown algorithm.
func (a Algo) Size() int {
	switch a {
	case MD5:
		return md5.Size
	case SHA1:
		return sha1.Size
	case SHA256:
		return sha256.Size
	case SHA512:
		return sha512.Size
	}
	return 0
}

// New starts a computation. It is nil for an unknown algorithm.
func (a Algo) New() hash.Hash {
	switch a {
	case MD5:
		return md5.New()
	case SHA1:
		return sha1.New()
	case SHA256:
		return sha256.New()
	case SHA512:
		return sha512.New()
	}
	return nil
}

// Hash is a digest and its algorithm. It is comparable; the zero value means "none".
type Hash struct {
	// Raw. Its length tells the algorithm: no two of them have digests of one size, and graphs hold many hashes.
	sum string
}

// NewHash makes a Hash of a raw digest.
func NewHash(a Algo, digest []byte) (Hash, error) {
	switch {
	case a.Size() == 0:
		return Hash{}, fmt.Errorf("make hash: unknown algorithm %q", a)
	case len(digest) != a.Size():
		return Hash{}, fmt.Errorf("make %s hash: want %d bytes, have %d", a, a.Size(), len(digest))
	}
	return Hash{string(digest)}, nil
}

// Sum hashes data. The result is zero for an unknown algorithm.
func Sum(a Algo, data []byte) Hash {
	if a == SHA256 { // the common case
		s := sha256.Sum256(data)
		return Hash{string(s[:])}
	}
	w := a.New()
	if w == nil {
		return Hash{}
	}
	w.Write(data)
	h, _ := NewHash(a, w.Sum(nil))
	return h
}

// SumReader hashes r to its end and tells how many bytes that were.
func SumReader(a Algo, r io.Reader) (Hash, int64, error) {
	w := a.New()
	if w == nil {
		return Hash{}, 0, fmt.Errorf("hash: unknown algorithm %q", a)
	}
	n, err := io.Copy(w, r)
	if err != nil {
		return Hash{}, n, fmt.Errorf("hash: %w", err)
	}
	h, err := NewHash(a, w.Sum(nil))
	return h, n, err
}

// Summer is an io.Writer that hashes by SHA-256 and counts. NewSummer makes one.
type Summer struct {
	w hash.Hash
	n int64
}

// NewSummer starts a computation.
func NewSummer() *Summer { return &Summer{w: SHA256.New()} }

// Write never fails.
func (s *Summer) Write(b []byte) (int, error) {
	s.n += int64(len(b))
	return s.w.Write(b)
}

// Sum is the hash and the number of the bytes written so far.
func (s *Summer) Sum() (Hash, int64) {
	return Hash{string(s.w.Sum(nil))}, s.n
}

// ParseHash reads "<algo>:<digest>", "<algo>-<base64>" (SRI, without options), or, if a is not empty, a bare digest.
// A digest is base 16, Nix's base 32 or base 64, told apart by length. If both a and a prefix are given they must agree.
func ParseHash(a Algo, s string) (Hash, error) {
	digest, sri := s, false
	if i := strings.IndexAny(s, ":-"); i >= 0 {
		got, err := ParseAlgo(s[:i])
		if err != nil {
			return Hash{}, fmt.Errorf("parse hash %q: %w", s, err)
		}
		if a != "" && a != got {
			return Hash{}, fmt.Errorf("parse hash %q: want algorithm %s", s, a)
		}
		a, digest, sri = got, s[i+1:], s[i] == '-'
	}
	n := a.Size()
	if n == 0 {
		return Hash{}, fmt.Errorf("parse hash %q: no known algorithm", s)
	}
	var raw []byte
	var err error
	switch {
	case len(digest) == base64.StdEncoding.EncodedLen(n):
		raw, err = base64.StdEncoding.Strict().DecodeString(digest)
	case sri:
		err = fmt.Errorf("want base64 of %d bytes", n)
	case len(digest) == 2*n:
		raw, err = hex.DecodeString(digest)
	case len(digest) == base32Len(n):
		raw, err = DecodeBase32(digest)
	default:
		err = fmt.Errorf("wrong length %d for %s", len(digest), a)
	}
	if err != nil {
		return Hash{}, fmt.Errorf("parse hash %q: %w", s, err)
	}
	return NewHash(a, raw)
}

// IsZero reports whether h is the zero value, "none".
func (h Hash) IsZero() bool { return h.sum == "" }

// Algo is the hash's algorithm, "" for the zero value.
func (h Hash) Algo() Algo {
	switch len(h.sum) {
	case md5.Size:
		return MD5
	case sha1.Size:
		return SHA1
	case sha256.Size:
		return SHA256
	case sha512.Size:
		return SHA512
	}
	return ""
}

// Digest is a copy of the raw digest, nil for the zero value.
func (h Hash) Digest() []byte {
	if h.IsZero() {
		return nil
	}
	return []byte(h.sum)
}

// Base16 is the digest in lower-case hexadecimal.
func (h Hash) Base16() string { return hex.EncodeToString([]byte(h.sum)) }

// Base32 is the digest in Nix's base 32.
func (h Hash) Base32() string { return EncodeBase32([]byte(h.sum)) }

// Base64 is the digest in standard base 64 with padding.
func (h Hash) Base64() string { return base64.StdEncoding.EncodeToString([]byte(h.sum)) }

// SRI is "<algo>-<base64>", as in W3C's Subresource Integrity. The zero value gives "".
func (h Hash) SRI() string {
	if h.IsZero() {
		return ""
	}
	return string(h.Algo()) + "-" + h.Base64()
}

// String is "<algo>:<base32>", Nix's form in narinfo files and its database's content addresses. The zero value gives "".
func (h Hash) String() string {
	if h.IsZero() {
		return ""
	}
	return string(h.Algo()) + ":" + h.Base32()
}

// MarshalText writes the SRI form, so that a Hash stands in JSON and YAML as people know it.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.SRI()), nil }

// UnmarshalText reads any form that ParseHash reads without being told the algorithm; empty text gives the zero value.
func (h *Hash) UnmarshalText(b []byte) (err error) {
	if len(b) == 0 {
		*h = Hash{}
		return nil
	}
	*h, err = ParseHash("", string(b))
	return err
}

// CompressHash folds a digest to size bytes by exclusive or, as store paths do. (Manual, "Protocols: store path".)
func CompressHash(digest []byte, size int) []byte {
	out := make([]byte, size)
	for i, c := range digest {
		out[i%size] ^= c
	}
	return out
}
