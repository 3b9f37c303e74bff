// Package refs finds references: the 32 base-32 digits of store paths, anywhere in a stream.
package refs

import (
	"maps"
	"slices"

	"headwater/internal/nix"
)

const width = 32

// Scanner is an io.Writer that looks for digests with a sliding window, across writes.
type Scanner struct {
	want  map[string]nix.StorePath
	found map[nix.StorePath]bool
	tail  []byte // up to width-1 last bytes of earlier writes
	digit [256]bool
}

// NewScanner looks for the given paths' digests.
func NewScanner(paths []nix.StorePath) *Scanner {
	s := &Scanner{want: map[string]nix.StorePath{}, found: map[nix.StorePath]bool{}}
	for _, p := range paths {
		s.want[p.Digest()] = p
	}
	for i := range len(nix.Base32Alphabet) {
		s.digit[nix.Base32Alphabet[i]] = true
	}
	return s
}

// Write never fails.
func (s *Scanner) Write(b []byte) (int, error) {
	head := b[:min(len(b), width-1)]
	joint := append(s.tail, head...)
	s.scan(joint)
	s.scan(b)
	if len(b) >= width-1 {
		joint = b
	}
	s.tail = slices.Clone(joint[max(0, len(joint)-(width-1)):])
	return len(b), nil
}

// scan tests a window from its end: a byte that is no digit rules out every window that holds it.
func (s *Scanner) scan(b []byte) {
	for i := 0; i+width <= len(b); {
		j := width - 1
		for j >= 0 && s.digit[b[i+j]] {
			j--
		}
		if j >= 0 {
			i += j + 1
			continue
		}
		if p, ok := s.want[string(b[i:i+width])]; ok {
			s.found[p] = true
		}
		i++
	}
}

// Found lists the paths seen so far, sorted.
func (s *Scanner) Found() []nix.StorePath { return slices.Sorted(maps.Keys(s.found)) }
