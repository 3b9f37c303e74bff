package nix

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
)

// StoreDir is the logical store: where store objects are as seen from inside a build, whatever the physical folder is.
// It enters every hash.
const StoreDir = "/nix/store"

const (
	digestLen  = 32 // base-32 digits of a store path's digest
	digestSize = 20 // its bytes
	maxName    = 211
	drvSuffix  = ".drv"
)

// StorePath is the full path of a store object, "/nix/store/<digest>-<name>". The zero value means "none"; any other
// value is to come from ParseStorePath or from one of the functions that compute a path.
type StorePath string

// ParseStorePath accepts the full path of a store object, and nothing below one.
func ParseStorePath(s string) (StorePath, error) {
	p, rest, err := SplitStorePath(s)
	if err != nil {
		return "", err
	}
	if rest != "" {
		return "", fmt.Errorf("parse store path %q: goes on below the store object", s)
	}
	return p, nil
}

// SplitStorePath splits a path in the store into the store object's and what follows it ("" or "/…").
func SplitStorePath(s string) (p StorePath, rest string, err error) {
	base, ok := strings.CutPrefix(s, StoreDir+"/")
	if !ok {
		return "", "", fmt.Errorf("parse store path %q: not in %s", s, StoreDir)
	}
	if i := strings.IndexByte(base, '/'); i >= 0 {
		base, rest = base[:i], base[i:]
	}
	if err := checkBase(base); err != nil {
		return "", "", fmt.Errorf("parse store path %q: %w", s, err)
	}
	return StorePath(s[:len(s)-len(rest)]), rest, nil
}

// ParseStoreBase accepts a store path's base name, "<digest>-<name>", as narinfo references have it.
func ParseStoreBase(base string) (StorePath, error) {
	if err := checkBase(base); err != nil {
		return "", fmt.Errorf("parse store path name %q: %w", base, err)
	}
	return StorePath(StoreDir + "/" + base), nil
}

func checkBase(base string) error {
	if len(base) < digestLen+1 || base[digestLen] != '-' || !IsBase32(base[:digestLen]) {
		return fmt.Errorf("does not begin with a digest of %d base-32 digits and a dash", digestLen)
	}
	return CheckName(base[digestLen+1:])
}

// Base is the path's last element, "<digest>-<name>".
func (p StorePath) Base() string { return strings.TrimPrefix(string(p), StoreDir+"/") }

// Digest is the path's 32 base-32 digits; a reference to the object is an occurrence of them.
func (p StorePath) Digest() string {
	if b := p.Base(); len(b) > digestLen {
		return b[:digestLen]
	}
	return ""
}

// Name is what follows the digest and its dash.
func (p StorePath) Name() string {
	if b := p.Base(); len(b) > digestLen {
		return b[digestLen+1:]
	}
	return ""
}

// IsDerivation reports whether the path names a .drv file.
func (p StorePath) IsDerivation() bool { return strings.HasSuffix(string(p), drvSuffix) }

// UnmarshalText accepts a full store path or nothing.
func (p *StorePath) UnmarshalText(b []byte) (err error) {
	if len(b) == 0 {
		*p = ""
		return nil
	}
	*p, err = ParseStorePath(string(b))
	return err
}

// CheckName tells whether name may follow the digest in a store path: 1 to 211 letters, digits and +-._?=, where the
// part before the first dash is neither "." nor "..". (Manual, "Store path: name".)
func CheckName(name string) error {
	if name == "" {
		return fmt.Errorf("check store path name: empty")
	}
	if len(name) > maxName {
		return fmt.Errorf("check store path name %q: longer than %d bytes", name, maxName)
	}
	for i := range len(name) {
		if !nameByte(name[i]) {
			return fmt.Errorf("check store path name %q: %q is not allowed", name, name[i])
		}
	}
	if head, _, _ := strings.Cut(name, "-"); head == "." || head == ".." {
		return fmt.Errorf("check store path name %q: begins with the path element %q", name, head)
	}
	return nil
}

func nameByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	switch c {
	case '+', '-', '.', '_', '?', '=':
		return true
	}
	return false
}

// TextPath is the path of a flat, non-executable file whose references are refs: .drv files and builtins.toFile.
// contents is the SHA-256 of the file's bytes.
func TextPath(name string, contents Hash, refs []StorePath) (StorePath, error) {
	if contents.Algo() != SHA256 {
		return "", fmt.Errorf("make text path %q: contents hashed by %q, not sha256", name, contents.Algo())
	}
	return makePath(pathType("text", refs, false), contents, name)
}

// FixedPath is the path of an object known by the hash of its bytes: a source, a fixed output, or, by ca.Method Text, a
// text file. Only text and sha256 NAR objects may have references, only the latter refer to themselves.
// self must not be among refs.
func FixedPath(name string, ca ContentAddress, refs []StorePath, self bool) (StorePath, error) {
	if ca.Hash.IsZero() {
		return "", fmt.Errorf("make fixed path %q: no hash", name)
	}
	switch {
	case ca.Method == Text && !self:
		return TextPath(name, ca.Hash, refs)
	case ca.Method == NAR && ca.Hash.Algo() == SHA256:
		return makePath(pathType("source", refs, self), ca.Hash, name)
	case self || len(refs) > 0:
		return "", fmt.Errorf("make fixed path %q: a %s %s object cannot have references", name, ca.Method, ca.Hash.Algo())
	case ca.Method != NAR && ca.Method != Flat:
		return "", fmt.Errorf("make fixed path %q: unknown method %q", name, ca.Method)
	}
	inner := Sum(SHA256, []byte("fixed:out:"+ca.Method.prefix()+string(ca.Hash.Algo())+":"+ca.Hash.Base16()+":"))
	return makePath("output:out", inner, name)
}

// OutputPath is the path of an input-addressed output. drvHashModulo is of drv.Hasher, drvName is the derivation's name
// without ".drv".
func OutputPath(drvHashModulo Hash, output, drvName string) (StorePath, error) {
	return makePath("output:"+output, drvHashModulo, OutputName(drvName, output))
}

// OutputName is the name of an output's store path: the derivation's, and the output's unless that is "out".
func OutputName(drvName, output string) string {
	if output == "out" {
		return drvName
	}
	return drvName + "-" + output
}

// pathType is the first field of a fingerprint; references are part of it, sorted.
func pathType(kind string, refs []StorePath, self bool) string {
	refs = slices.Compact(slices.Sorted(slices.Values(refs)))
	var b strings.Builder
	b.WriteString(kind)
	for _, r := range refs {
		b.WriteByte(':')
		b.WriteString(string(r))
	}
	if self {
		b.WriteString(":self")
	}
	return b.String()
}

// makePath hashes the fingerprint "<type>:<algo>:<base16>:<store>:<name>". (Manual, "Protocols: store path".)
func makePath(typ string, inner Hash, name string) (StorePath, error) {
	if inner.IsZero() {
		return "", fmt.Errorf("make store path %q: no hash", name)
	}
	if err := CheckName(name); err != nil {
		return "", fmt.Errorf("make store path: %w", err)
	}
	sum := sha256.Sum256([]byte(typ + ":" + string(inner.Algo()) + ":" + inner.Base16() + ":" + StoreDir + ":" + name))
	return StorePath(StoreDir + "/" + EncodeBase32(CompressHash(sum[:], digestSize)) + "-" + name), nil
}
