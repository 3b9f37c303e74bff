package python

import (
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"headwater/internal/archive"
	"headwater/internal/artifact"
	"headwater/internal/nix"
	"headwater/internal/toml"
)

// An sdist with a part in Rust has a Cargo.lock, which pins the crates it is built of. They are locked as artifacts, unpacked
// beside the sdist and named to cargo as its only source, which works offline.

// ParseCrates reads the crates that a Cargo.lock takes from the registry. One from a git repository is an error, and so is one
// without a hash.
func ParseCrates(data []byte) ([]artifact.Artifact, error) {
	var l struct {
		Package []struct{ Name, Version, Source, Checksum string }
	}
	if err := toml.Unmarshal(data, &l); err != nil {
		return nil, fmt.Errorf("read Cargo.lock: %w", tomlError(err))
	}
	var out []artifact.Artifact
	var errs []error
	for _, p := range l.Package {
		switch {
		case p.Source == "":
			continue // a member of the workspace
		case strings.HasPrefix(p.Source, "git+"):
			errs = append(errs, &UnsupportedError{What: fmt.Sprintf("crate %s %s comes from a git repository (%s)", p.Name, p.Version, p.Source)})
			continue
		case !namePattern.MatchString(p.Name) || p.Version == "" || strings.ContainsAny(p.Version, "/\\\x00 \n") || strings.Contains(p.Version, ".."):
			errs = append(errs, fmt.Errorf("%.100q %.100q is not the name and version of a crate", p.Name, p.Version))
			continue
		}
		hash, err := nix.ParseHash(nix.SHA256, p.Checksum)
		if err != nil {
			errs = append(errs, fmt.Errorf("crate %s %s: %w", p.Name, p.Version, err))
			continue
		}
		out = append(out, artifact.Artifact{Ecosystem: artifact.Cargo, Name: p.Name, Version: p.Version, File: p.Name + "-" + p.Version + ".crate", Hash: hash})
	}
	slices.SortFunc(out, func(a, b artifact.Artifact) int { return strings.Compare(a.File, b.File) })
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("read Cargo.lock: %w", err)
	}
	return out, nil
}

// crateFiles are what an sdist has of cargo's.
type crateFiles struct {
	folder   string // of the package, "" for the top
	manifest bool
	locks    map[string][]byte // by path
	above    []byte            // the repository's Cargo.lock, where the package is in a folder
}

// readCrates finds the Cargo.lock of the sdist at file. It is the shallowest where there are several; nil if it has no part in Rust.
// A package in a folder may have its crates locked for all of the repository.
func readCrates(file, folder string) ([]artifact.Artifact, error) {
	found := crateFiles{folder: folder, locks: map[string][]byte{}}
	if err := archive.Each(file, maxSDist, found.add); err != nil {
		return nil, fmt.Errorf("read sdist: %w", err)
	}
	var best string
	for _, name := range sortedKeys(found.locks) {
		if best == "" || strings.Count(name, "/") < strings.Count(best, "/") {
			best = name
		}
	}
	switch {
	case best != "":
		return ParseCrates(found.locks[best])
	case found.manifest && found.above != nil:
		return ParseCrates(found.above)
	case found.manifest:
		return nil, &UnsupportedError{What: "it has a part in Rust and no Cargo.lock that pins the crates of that"}
	}
	return nil, nil
}

func (c *crateFiles) add(name string, open func() (io.ReadCloser, error)) error {
	own, ok := insideOf(name, c.folder)
	above := !ok && strings.Count(name, "/") == 1
	switch {
	case path.Base(name) == "Cargo.toml":
		c.manifest = c.manifest || ok && strings.Count(own, "/") <= 3 && !strings.Contains(own, "/test")
	case path.Base(name) == "Cargo.lock" && (ok || above):
		r, err := open()
		if err != nil {
			return err
		}
		data, err := readLimited(r)
		if err = errors.Join(err, r.Close()); err != nil {
			return err
		}
		if above {
			c.above = data
			return nil
		}
		c.locks[own] = data
	}
	return nil
}
