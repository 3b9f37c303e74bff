// Package refs finds references: the 32 base-32 digits of store paths, anywhere in a stream.
//
// Nix takes a tree to refer to a store object if the object's digest occurs in the tree's NAR, at any offset, whatever is
// around it. (Manual, "Store object: references".)
//
//	s := refs.NewScanner(candidates)
//	hash, size, err := nar.Hash(ctx, dir, s)
//	found := s.Found()
package refs

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"headwater/internal/nix"
)

const width = 32

// Scanner is an io.Writer that looks for digests with a sliding window, across writes. It costs about the same however many
// digests it looks for. It is not safe for concurrent use.
type Scanner struct {
	want   map[string][]nix.StorePath // by digest; several paths may share one
	found  []nix.StorePath
	tail   [2*width - 2]byte // the latest bytes, and room for the first ones of the next write
	tailed int
	filter filter
}

// NewScanner looks for the given paths' digests.
func NewScanner(paths []nix.StorePath) *Scanner {
	s := &Scanner{want: make(map[string][]nix.StorePath, len(paths)), filter: newFilter(len(paths))}
	for _, p := range paths {
		d := p.Digest()
		if len(d) != width || slices.Contains(s.want[d], p) {
			continue
		}
		s.want[d] = append(s.want[d], p)
		s.filter.add(d)
	}
	return s
}

// Write never fails.
func (s *Scanner) Write(b []byte) (int, error) {
	if len(s.want) == 0 {
		return len(b), nil
	}
	n := len(b)
	// A digest that began in an earlier write ends within the first width-1 bytes of this one.
	head := copy(s.tail[s.tailed:s.tailed+min(n, width-1)], b)
	joint := s.tail[:s.tailed+head]
	s.scan(joint)
	s.scan(b)
	if n >= width-1 {
		joint = b
	}
	s.tailed = copy(s.tail[:], joint[max(0, len(joint)-(width-1)):])
	return n, nil
}

// scan looks at windows of width bytes. It tests one from its end: a byte that is no digit rules out every window that
// holds it, so that most bytes are never looked at, and what follows such a byte is known to be digits, so that none is
// looked at twice.
func (s *Scanner) scan(b []byte) {
	for i, known := 0, 0; i+width <= len(b); {
		w := b[i : i+width : i+width]
		j := width - 1
		for j >= known && isDigit[w[j]] {
			j--
		}
		if j >= known {
			i += j + 1
			known = width - 1 - j
			continue
		}
		if s.filter.has(w) {
			s.match(w)
		}
		i++
		known = width - 1
	}
}

func (s *Scanner) match(w []byte) {
	if paths, ok := s.want[string(w)]; ok {
		s.found = append(s.found, paths...)
		delete(s.want, string(w))
	}
}

// Found lists the paths seen so far, sorted.
func (s *Scanner) Found() []nix.StorePath { return slices.Sorted(slices.Values(s.found)) }

// isDigit tells which bytes are base-32 digits.
var isDigit = func() (t [256]bool) {
	for _, c := range []byte(nix.Base32Alphabet) {
		t[c] = true
	}
	return t
}()

// filter tells quickly that a window is none of the digests: data such as hexadecimal dumps is all digits.
type filter struct {
	set   []uint64
	shift int
}

func newFilter(n int) filter {
	size := max(12, bits.Len(uint(n))+4) // 16 to 32 bits for each digest
	return filter{set: make([]uint64, 1<<(size-6)), shift: 64 - size}
}

func (f filter) key(w []byte) uint64 {
	const odd = 0x9e3779b97f4a7c15 // spreads its factor's bits to the high ones
	return binary.LittleEndian.Uint64(w) * odd >> f.shift
}

func (f filter) add(digest string) {
	k := f.key([]byte(digest))
	f.set[k/64] |= 1 << (k % 64)
}

func (f filter) has(w []byte) bool {
	k := f.key(w)
	return f.set[k/64]>>(k%64)&1 != 0
}
