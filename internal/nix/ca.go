package nix

import (
	"fmt"
	"strings"
)

// Method says which bytes of an object a content address hashes. The zero value is none.
type Method uint8

// The methods of Nix's stable content addresses. (Manual, "Content-addressing store objects".)
const (
	Text Method = 1 + iota // a file's bytes; the object may have references
	Flat                   // a file's bytes
	NAR                    // the object's NAR
)

// String is text, flat or nar; "" for what is none of them.
func (m Method) String() string {
	switch m {
	case Text:
		return "text"
	case Flat:
		return "flat"
	case NAR:
		return "nar"
	}
	return ""
}

// prefix is what stands before the algorithm in derivations and fingerprints.
func (m Method) prefix() string {
	switch m {
	case Text:
		return "text:"
	case NAR:
		return "r:"
	}
	return ""
}

// ContentAddress says how an object's path follows from its bytes. The zero value means that it does not.
type ContentAddress struct {
	Method Method
	Hash   Hash
}

// IsZero reports whether c is the zero value.
func (c ContentAddress) IsZero() bool { return c == ContentAddress{} }

// String is the form in Nix's database and in narinfo: text:sha256:…, fixed:sha256:… or fixed:r:sha256:…, in base 32.
// The zero value gives "".
func (c ContentAddress) String() string {
	switch {
	case c.IsZero():
		return ""
	case c.Method == Text:
		return "text:" + c.Hash.String()
	}
	return "fixed:" + c.Method.prefix() + c.Hash.String()
}

// ParseContentAddress reads String's form; "" gives the zero value.
func ParseContentAddress(s string) (ContentAddress, error) {
	if s == "" {
		return ContentAddress{}, nil
	}
	c := ContentAddress{Method: Flat}
	rest, ok := strings.CutPrefix(s, "fixed:")
	if !ok {
		if rest, ok = strings.CutPrefix(s, "text:"); !ok {
			return ContentAddress{}, fmt.Errorf("parse content address %q: neither text nor fixed", s)
		}
		c.Method = Text
	} else if r, ok := strings.CutPrefix(rest, "r:"); ok {
		rest, c.Method = r, NAR
	}
	// Only "algo:digest" here: no SRI, no bare digest.
	algo, _, ok := strings.Cut(rest, ":")
	if !ok {
		return ContentAddress{}, fmt.Errorf("parse content address %q: no algorithm", s)
	}
	var err error
	if c.Hash, err = ParseHash(Algo(algo), rest); err != nil {
		return ContentAddress{}, fmt.Errorf("parse content address %q: %w", s, err)
	}
	if c.Method == Text && c.Hash.Algo() != SHA256 {
		return ContentAddress{}, fmt.Errorf("parse content address %q: text is hashed by sha256", s)
	}
	return c, nil
}

// HashAlgo is the "hash algorithm" field of a fixed output: sha256, r:sha256, text:sha256.
func (c ContentAddress) HashAlgo() string { return c.Method.prefix() + string(c.Hash.Algo()) }
