package nix

import "fmt"

// Base32Alphabet holds the digits of Nix's base 32: no e, o, u or t. (Manual, "Protocols: store path".)
const Base32Alphabet = "0123456789abcdfghijklmnpqrsvwxyz"

// base32Value maps a byte to its digit's value, or 0xff.
var base32Value = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i := range len(Base32Alphabet) {
		t[Base32Alphabet[i]] = byte(i)
	}
	return t
}()

// EncodeBase32 writes b as Nix does: as one little-endian number whose most significant digit comes first, padded to
// the digits that len(b) bytes can need.
func EncodeBase32(b []byte) string {
	out := make([]byte, base32Len(len(b)))
	var acc uint32
	var bits uint
	pos := len(out)
	for _, c := range b {
		acc |= uint32(c) << bits
		for bits += 8; bits >= 5; bits -= 5 {
			pos--
			out[pos] = Base32Alphabet[acc&31]
			acc >>= 5
		}
	}
	if bits > 0 {
		out[0] = Base32Alphabet[acc]
	}
	return string(out)
}

// DecodeBase32 is the inverse of EncodeBase32. It accepts nothing that EncodeBase32 does not write.
func DecodeBase32(s string) ([]byte, error) {
	out := make([]byte, 0, len(s)*5/8)
	var acc uint32
	var bits uint
	for i := len(s) - 1; i >= 0; i-- {
		v := base32Value[s[i]]
		if v == 0xff {
			return nil, fmt.Errorf("decode base32 %q: %q is not a digit", s, s[i])
		}
		acc |= uint32(v) << bits
		if bits += 5; bits >= 8 {
			out = append(out, byte(acc))
			acc >>= 8
			bits -= 8
		}
	}
	if acc != 0 || bits >= 5 {
		return nil, fmt.Errorf("decode base32 %q: no whole number of bytes", s)
	}
	return out, nil
}

func base32Len(n int) int { return (n*8 + 4) / 5 }

// IsBase32 reports whether every byte of s is a base-32 digit.
func IsBase32(s string) bool {
	for i := range len(s) {
		if base32Value[s[i]] == 0xff {
			return false
		}
	}
	return true
}
