package lock

import (
	"errors"
	"fmt"

	"headwater/internal/nix"
)

// Root pins the packages of a root and the tree they make; or, of a root that is made of store paths, these.
type Root struct {
	Suites   []string   `json:"suites"` // what the recipe asked for when the packages were resolved
	Wanted   []string   `json:"wanted"` // packages, or store paths
	NARHash  nix.Hash   `json:"narHash"`
	Packages []Artifact `json:"packages"` // in the order they are unpacked in

	Paths []Path        `json:"paths,omitempty"` // the wanted store paths and all that they refer to, sorted; nil for Debian packages
	Shell nix.StorePath `json:"shell,omitempty"` // the wanted store path of which bin/bash starts builds
}

// Path pins a store path that exists already.
type Path struct {
	Path       nix.StorePath   `json:"path"`
	NARHash    nix.Hash        `json:"narHash"`
	References []nix.StorePath `json:"references"` // sorted
}

// check tells whether r is a tree of packages or a whole closure of store paths.
func (r *Root) check() error {
	if len(r.Paths) == 0 {
		if r.NARHash.IsZero() {
			return errors.New("no narHash")
		}
		return nil
	}
	if !r.NARHash.IsZero() || len(r.Packages) > 0 {
		return errors.New("has both packages and paths")
	}
	have := map[nix.StorePath]bool{}
	for _, p := range r.Paths {
		if p.Path == "" || p.NARHash.Algo() != nix.SHA256 || have[p.Path] {
			return fmt.Errorf("path %q: wants a sha256 narHash, and stands once", p.Path)
		}
		have[p.Path] = true
	}
	for _, p := range r.Paths {
		for _, ref := range p.References {
			if !have[ref] {
				return fmt.Errorf("path %s: refers to %s, which is not among the paths", p.Path, ref)
			}
		}
	}
	shell := false
	for _, w := range r.Wanted {
		if !have[nix.StorePath(w)] {
			return fmt.Errorf("wanted path %s is not among the paths", w)
		}
		shell = shell || nix.StorePath(w) == r.Shell
	}
	if !shell {
		return fmt.Errorf("shell %q is not among the wanted paths", r.Shell)
	}
	return nil
}
