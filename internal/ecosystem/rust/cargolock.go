package rust

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"headwater/internal/nix"
	"headwater/internal/toml"
)

// maxLock is the largest Cargo.lock and Cargo.toml that is read, in bytes.
const maxLock = 16 << 20

// Package is one package of a Cargo.lock. Exactly one of Checksum and Git is set, or neither: then it is the workspace's own.
type Package struct {
	Name, Version string
	Source        string   // as Cargo.lock has it: "registry+…", "git+…", "" for the workspace's own
	Checksum      nix.Hash // SHA-256 of the .crate file
	Git           *Git
}

// Git is a commit of a repository.
type Git struct {
	URL    string
	Ref    string // "branch", "tag" or "rev", "" for the repository's default branch
	Value  string // of Ref
	Commit string // 40 or 64 hexadecimal digits
}

// dir is the package's folder among the vendored.
func (p Package) dir() string { return p.Name + "-" + p.Version }

// file is the registry's name of the package's file.
func (p Package) file() string { return p.dir() + ".crate" }

// lockFile is Cargo.lock as cargo writes it since 1.53 (format 3) and 1.78 (format 4).
type lockFile struct {
	Version  int           `toml:"version"`
	Packages []lockPackage `toml:"package"`
	Patch    struct {
		Unused []lockPackage `toml:"unused"`
	} `toml:"patch"`
}

type lockPackage struct {
	Name         string   `toml:"name"`
	Version      string   `toml:"version"`
	Source       string   `toml:"source,omitempty"`
	Checksum     string   `toml:"checksum,omitempty"`
	Dependencies []string `toml:"dependencies,omitempty"`
}

var (
	namePattern    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]{0,127}$`)
	versionPattern = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.+-]+)?$`)
	commitPattern  = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
)

// ParseLock reads a Cargo.lock of format 3 or 4. What cargo would not write is an error.
func ParseLock(data []byte) ([]Package, error) {
	f, err := decodeLock(data)
	if err != nil {
		return nil, fmt.Errorf("parse Cargo.lock: %w", err)
	}
	out := make([]Package, 0, len(f.Packages))
	seen := map[string]bool{}
	registry := ""
	for i, p := range f.Packages {
		one, err := p.parse()
		if err != nil {
			return nil, fmt.Errorf("parse Cargo.lock: package %d, %q: %w", i+1, p.Name, err)
		}
		if !one.Checksum.IsZero() {
			if registry != "" && one.Source != registry {
				return nil, fmt.Errorf("parse Cargo.lock: package %d, %q: is of another registry than the ones before; one registry is supported", i+1, p.Name)
			}
			registry = one.Source
		}
		if one.Source != "" { // two folders may not be one
			if seen[one.dir()] {
				return nil, fmt.Errorf("parse Cargo.lock: package %d, %q: version %s is there twice", i+1, p.Name, p.Version)
			}
			seen[one.dir()] = true
		}
		out = append(out, one)
	}
	return out, nil
}

func decodeLock(data []byte) (*lockFile, error) {
	if len(data) > maxLock {
		return nil, fmt.Errorf("has more than %d bytes", maxLock)
	}
	f := new(lockFile)
	meta, err := toml.Decode(string(data), f)
	if err != nil {
		return nil, err
	}
	if f.Version != 3 && f.Version != 4 {
		return nil, fmt.Errorf("its version is %d, want 3 or 4: let a cargo of today write it", f.Version)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("unknown key %s", unknown[0])
	}
	return f, nil
}

func (p lockPackage) parse() (Package, error) {
	out := Package{Name: p.Name, Version: p.Version, Source: p.Source}
	if !namePattern.MatchString(p.Name) {
		return out, errors.New("is not a package's name")
	}
	if !versionPattern.MatchString(p.Version) {
		return out, fmt.Errorf("version %q is not one", p.Version)
	}
	kind, rest, _ := strings.Cut(p.Source, "+")
	switch {
	case p.Source == "":
		if p.Checksum != "" {
			return out, errors.New("has a checksum but no source")
		}
	case kind == "registry" || kind == "sparse":
		if p.Checksum == "" {
			return out, errors.New("has no checksum")
		}
		h, err := nix.ParseHash(nix.SHA256, p.Checksum)
		if err != nil || len(p.Checksum) != 64 {
			return out, fmt.Errorf("checksum %q is no SHA-256", p.Checksum)
		}
		out.Checksum = h
	case kind == "git":
		g, err := parseGit(rest)
		if err != nil {
			return out, err
		}
		out.Git = g
	default:
		return out, fmt.Errorf("source %q is neither a registry nor git", p.Source)
	}
	return out, nil
}

// parseGit reads "URL?rev=REV#COMMIT".
func parseGit(s string) (*Git, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, fmt.Errorf("source %q is no address", s)
	}
	g := &Git{Commit: u.Fragment}
	if !commitPattern.MatchString(g.Commit) {
		return nil, fmt.Errorf("source %q names no commit", s)
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil || len(q) > 1 {
		return nil, fmt.Errorf("source %q names no branch, tag or revision that is one", s)
	}
	for k, v := range q {
		if !slices.Contains([]string{"branch", "tag", "rev"}, k) || len(v) != 1 {
			return nil, fmt.Errorf("source %q asks for %q", s, k)
		}
		g.Ref, g.Value = k, v[0]
	}
	u.RawQuery, u.Fragment = "", ""
	g.URL = u.String()
	return g, nil
}
