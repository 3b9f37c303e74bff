// Package narinfo holds what a binary cache says of a store object: narinfo files, and the signatures that vouch for them.
//
// Specification: Nix's manual, "Protocols: store object info" and "Nix archive info", and what Nix itself writes. A narinfo
// comes from the network: nothing in it is to be believed until a trusted key has signed it (Info.SignedBy) or the path
// follows from the content (Info.ContentAddressed) and the NAR has the hash.
//
//	info, err := narinfo.Parse(data)
//	if len(info.SignedBy(trusted)) == 0 && !info.ContentAddressed() { … }
package narinfo

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"headwater/internal/nix"
)

// Info is one narinfo.
type Info struct {
	Path        nix.StorePath
	URL         string // of the compressed NAR, relative to the cache
	Compression string // "none", "xz", "zstd" …
	FileHash    nix.Hash
	FileSize    int64 // bytes, 0 if unknown
	NARHash     nix.Hash
	NARSize     int64           // bytes
	Refs        []nix.StorePath // sorted; may hold Path itself
	Deriver     nix.StorePath   // "" if unknown
	Sigs        []string        // "<key name>:<base64>"
	CA          nix.ContentAddress
}

// defaultCompression is what a narinfo means that names none.
const defaultCompression = "bzip2"

// Parse reads a narinfo. Fields that it does not know are passed over, as Nix does, since caches add their own; a field that
// comes twice, lacks its value or has a wrong one is an error.
func Parse(data []byte) (*Info, error) {
	info := &Info{}
	seen := map[string]bool{}
	line := 0
	for text := range strings.Lines(string(data)) {
		line++
		text, ended := strings.CutSuffix(text, "\n")
		name, value, ok := strings.Cut(text, ":")
		if !ended || !ok {
			return nil, fmt.Errorf("parse narinfo: line %d: not a line of the form \"name: value\"", line)
		}
		if seen[name] && name != "Sig" {
			return nil, fmt.Errorf("parse narinfo: line %d: %s: twice there", line, name)
		}
		seen[name] = true
		// An empty list may lack the space.
		if err := info.set(name, strings.TrimPrefix(value, " ")); err != nil {
			return nil, fmt.Errorf("parse narinfo: line %d: %s: %w", line, name, err)
		}
	}
	if info.Compression == "" {
		info.Compression = defaultCompression
	}
	for _, name := range []string{"StorePath", "URL", "NarHash", "NarSize"} {
		if !seen[name] {
			return nil, fmt.Errorf("parse narinfo: %s: missing", name)
		}
	}
	return info, nil
}

func (info *Info) set(name, value string) (err error) {
	switch name {
	case "StorePath":
		info.Path, err = nix.ParseStorePath(value)
	case "URL":
		info.URL, err = word(value)
	case "Compression":
		info.Compression, err = word(value)
	case "FileHash":
		info.FileHash, err = prefixedHash(value)
	case "FileSize":
		info.FileSize, err = size(value)
	case "NarHash":
		info.NARHash, err = prefixedHash(value)
		if err == nil && info.NARHash.Algo() != nix.SHA256 {
			err = fmt.Errorf("want sha256, have %s", info.NARHash.Algo())
		}
	case "NarSize":
		info.NARSize, err = size(value)
		if err == nil && info.NARSize == 0 {
			err = errors.New("is 0")
		}
	case "References":
		info.Refs, err = references(value)
	case "Deriver":
		if value != "unknown-deriver" { // old caches
			info.Deriver, err = nix.ParseStoreBase(value)
		}
	case "Sig":
		// Signatures of kinds that are not known here are kept: they may be to others.
		if value, err = word(value); err == nil && !strings.Contains(value, ":") {
			err = fmt.Errorf("%q: want name:signature", value)
		}
		info.Sigs = append(info.Sigs, value)
	case "CA":
		info.CA, err = nix.ParseContentAddress(value)
		if err == nil && info.CA.IsZero() {
			err = errors.New("is empty")
		}
	}
	return err
}

func word(value string) (string, error) {
	if value == "" || strings.ContainsFunc(value, isBlank) {
		return "", fmt.Errorf("%q is empty or holds white space", value)
	}
	return value, nil
}

// prefixedHash reads "algo:digest" or "algo-base64".
func prefixedHash(value string) (nix.Hash, error) { return nix.ParseHash("", value) }

func isBlank(r rune) bool { return r <= ' ' || r == 0x7f }

func size(value string) (int64, error) {
	n, err := strconv.ParseUint(value, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%q is no size", value)
	}
	return int64(n), nil
}

func references(value string) ([]nix.StorePath, error) {
	var refs []nix.StorePath
	for base := range strings.FieldsSeq(value) {
		p, err := nix.ParseStoreBase(base)
		if err != nil {
			return nil, err
		}
		refs = append(refs, p)
	}
	slices.Sort(refs)
	return slices.Compact(refs), nil
}

// Marshal writes the narinfo as Nix does. Fields that are not known are left out; the caller sees to it that Path, URL,
// NARHash and NARSize are set.
func (info *Info) Marshal() []byte {
	var b []byte
	field := func(name, value string) {
		b = append(append(append(append(b, name...), ": "...), value...), '\n')
	}
	optional := func(name, value string) {
		if value != "" {
			field(name, value)
		}
	}
	field("StorePath", string(info.Path))
	field("URL", info.URL)
	optional("Compression", info.Compression)
	optional("FileHash", info.FileHash.String())
	if info.FileSize != 0 {
		field("FileSize", strconv.FormatInt(info.FileSize, 10))
	}
	field("NarHash", info.NARHash.String())
	field("NarSize", strconv.FormatInt(info.NARSize, 10))
	refs := make([]string, len(info.Refs))
	for i, p := range info.Refs {
		refs[i] = p.Base()
	}
	slices.Sort(refs)
	field("References", strings.Join(slices.Compact(refs), " "))
	if info.Deriver != "" {
		field("Deriver", info.Deriver.Base())
	}
	sigs := slices.Sorted(slices.Values(info.Sigs))
	for _, s := range slices.Compact(sigs) {
		field("Sig", s)
	}
	optional("CA", info.CA.String())
	return b
}

// ContentAddressed reports whether Path follows from CA and Refs. Whoever holds an object with that content address and
// those references needs no signature for it.
func (info *Info) ContentAddressed() bool {
	if info.CA.IsZero() {
		return false
	}
	self := slices.Contains(info.Refs, info.Path)
	others := slices.DeleteFunc(slices.Clone(info.Refs), func(p nix.StorePath) bool { return p == info.Path })
	p, err := nix.FixedPath(info.Path.Name(), info.CA, others, self)
	return err == nil && p == info.Path
}
