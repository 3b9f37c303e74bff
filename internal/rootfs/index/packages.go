package index

import (
	"fmt"
	"path"
	"strings"

	"headwater/internal/rootfs/control"
)

// Package is a stanza of Packages. Its strings are parts of the index's text, which they keep in memory; relations are not
// parsed yet, since most packages are never looked at.
type Package struct {
	Name, Version, Arch  string
	Priority, Essential  string
	PreDepends, Depends  string
	Conflicts, Breaks    string
	Provides             string
	Filename, Size, Hash string // path below the archive's base, bytes, SHA-256 in base 16
}

// ParsePackages reads a Packages index.
func ParsePackages(text string) ([]Package, error) {
	list := make([]Package, 0, len(text)/800+1) // Debian's stanzas are longer on average
	s := control.NewScanner(text)
	var cur Package
	for s.Next() {
		if s.End() {
			if cur.Name == "" || cur.Version == "" || cur.Arch == "" {
				return nil, fmt.Errorf("parse Packages: the stanza that ends after line %d lacks Package, Version or Architecture", s.Line())
			}
			list = append(list, cur)
			cur = Package{}
			continue
		}
		dst := cur.field(s.Name)
		if dst == nil {
			continue
		}
		if *dst != "" {
			return nil, fmt.Errorf("parse Packages: line %d: package %s has field %s twice", s.Line(), cur.Name, s.Name)
		}
		*dst = s.Value
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("parse Packages: %w", err)
	}
	return list, nil
}

// field is where the value of the named field goes, nil for fields of no interest.
func (p *Package) field(name string) *string {
	switch name {
	case "Package":
		return &p.Name
	case "Version":
		return &p.Version
	case "Architecture":
		return &p.Arch
	case "Priority":
		return &p.Priority
	case "Essential":
		return &p.Essential
	case "Pre-Depends":
		return &p.PreDepends
	case "Depends":
		return &p.Depends
	case "Conflicts":
		return &p.Conflicts
	case "Breaks":
		return &p.Breaks
	case "Provides":
		return &p.Provides
	case "Filename":
		return &p.Filename
	case "Size":
		return &p.Size
	case "SHA256":
		return &p.Hash
	}
	return nil
}

// File is the hash and size of the package's .deb.
func (p *Package) File() (File, error) {
	f, err := parseSum(p.Hash, p.Size)
	if err != nil {
		return File{}, fmt.Errorf("package %s %s: %w", p.Name, p.Version, err)
	}
	if !strings.HasPrefix(p.Filename, "pool/") || path.Clean(p.Filename) != p.Filename || !strings.HasSuffix(p.Filename, ".deb") {
		return File{}, fmt.Errorf("package %s %s: Filename %q is no .deb below pool/", p.Name, p.Version, p.Filename)
	}
	return f, nil
}
