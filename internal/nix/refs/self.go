package refs

import (
	"bytes"
	"hash"
	"strconv"

	"headwater/internal/nix"
)

// SelfHasher hashes the NAR of an object that refers to itself and yet is content-addressed: with its own digest blanked
// out wherever it occurs, followed by where that was. It is an io.Writer and not safe for concurrent use.
//
// (Nix's source, libstore/references: HashModuloSink. It goes with content addresses of method NAR and SHA-256.)
type SelfHasher struct {
	digest []byte
	sum    hash.Hash
	held   []byte // the end of what was written, where the digest may have begun
	at     int64  // where held begins in the stream
	seen   []int64
}

// NewSelfHasher hashes an object that was at p when it was made.
func NewSelfHasher(p nix.StorePath) *SelfHasher {
	return &SelfHasher{digest: []byte(p.Digest()), sum: nix.SHA256.New()}
}

// Write never fails.
func (h *SelfHasher) Write(b []byte) (int, error) {
	h.held = append(h.held, b...)
	for from := 0; len(h.digest) > 0; {
		i := bytes.Index(h.held[from:], h.digest)
		if i < 0 {
			break
		}
		from += i
		h.seen = append(h.seen, h.at+int64(from))
		clear(h.held[from : from+len(h.digest)])
	}
	done := max(0, len(h.held)-(width-1))
	h.sum.Write(h.held[:done])
	h.at += int64(done)
	h.held = append(h.held[:0], h.held[done:]...)
	return len(b), nil
}

// Sum is the hash of what was written. Nothing may be written after it.
func (h *SelfHasher) Sum() nix.Hash {
	h.sum.Write(h.held)
	h.held = nil
	for _, at := range h.seen {
		h.sum.Write(strconv.AppendInt([]byte("|"), at, 10))
	}
	sum, _ := nix.NewHash(nix.SHA256, h.sum.Sum(nil)) // fails for a wrong length only
	return sum
}
