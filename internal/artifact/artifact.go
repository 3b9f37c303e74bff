// Package artifact names one downloadable thing apart from where it is to be had.
//
// A lock lists artifacts; a fetch derivation carries an artifact's Ref as its url; package registry turns a Ref into
// addresses at the moment of fetching. So no address enters a hash.
package artifact

import (
	"fmt"
	"net/url"
	"path"
	"strings"

	"headwater/internal/nix"
)

// Ecosystem says which registry knows the artifact.
type Ecosystem string

// The ecosystems.
const (
	Debian Ecosystem = "debian" // File is archive and path: "debian/pool/…"; see package rootfs
	Go     Ecosystem = "go"     // Name is the module path, File ends in .zip, .mod or .info
	NPM    Ecosystem = "npm"
	PyPI   Ecosystem = "pypi"
	Maven  Ecosystem = "maven" // Name is group:artifact
	Cargo  Ecosystem = "cargo" // Name is the crate, File ends in .crate
	Git    Ecosystem = "git"   // a commit's tree, see GitArchive; only Hint tells where it is
	URL    Ecosystem = "url"   // only Hint tells where it is
)

// Scheme is the URL scheme of a Ref.
const Scheme = "headwater:"

// Artifact is one file of a registry.
type Artifact struct {
	Ecosystem Ecosystem
	Name      string   // as the registry spells it: "@lit/reactive-element", "golang.org/x/mod"
	Version   string   // as the registry spells it
	File      string   // file name, or path below the registry's own folder for it
	Hash      nix.Hash // of the file's bytes
	Size      int64    // bytes; 0 where unknown
	Hint      string   // address that upstream's own lock names, "" if none; never enters a derivation
}

// Ref is the symbolic address: headwater:<ecosystem>/<name>/<version>/<file>, each part path-escaped.
func (a Artifact) Ref() string {
	return Scheme + string(a.Ecosystem) + "/" + url.PathEscape(a.Name) + "/" + url.PathEscape(a.Version) + "/" + url.PathEscape(a.File)
}

// Title names the artifact for people: "npm left-pad 1.3.0 (left-pad-1.3.0.tgz)".
func (a Artifact) Title() string {
	words := []string{string(a.Ecosystem)}
	for _, w := range []string{a.Name, a.Version} {
		if w != "" {
			words = append(words, w)
		}
	}
	if a.File != "" {
		words = append(words, "("+a.File+")")
	}
	return strings.Join(words, " ")
}

// StoreName is the name of the fetched file in the store: version and file name, told apart from others' by the
// artifact's name, with every byte that a store path cannot have replaced by "_".
func (a Artifact) StoreName() string {
	name := path.Base(a.File)
	if !strings.Contains(name, path.Base(a.Name)) {
		name = path.Base(a.Name) + "-" + name
	}
	name = strings.TrimLeft(strings.Map(func(r rune) rune {
		if r < 0x80 && nix.CheckName("a"+string(r)) == nil {
			return r
		}
		return '_'
	}, name), ".-")
	if name == "" {
		return "file"
	}
	return name[max(0, len(name)-200):]
}

// ParseRef reads a Ref back. Hash, Size and Hint are not part of it.
func ParseRef(ref string) (Artifact, error) {
	rest, ok := strings.CutPrefix(ref, Scheme)
	if !ok {
		return Artifact{}, fmt.Errorf("parse artifact reference %q: does not start with %q", ref, Scheme)
	}
	parts := strings.Split(rest, "/")
	if len(parts) != 4 {
		return Artifact{}, fmt.Errorf("parse artifact reference %q: want 4 parts, have %d", ref, len(parts))
	}
	for i, p := range parts {
		u, err := url.PathUnescape(p)
		if err != nil {
			return Artifact{}, fmt.Errorf("parse artifact reference %q: %w", ref, err)
		}
		parts[i] = u
	}
	return Artifact{Ecosystem: Ecosystem(parts[0]), Name: parts[1], Version: parts[2], File: parts[3]}, nil
}
