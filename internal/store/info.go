package store

import (
	"fmt"
	"strings"
	"time"

	"headwater/internal/nix"
)

// PathInfo is what the database knows of a valid path.
type PathInfo struct {
	Path             nix.StorePath
	NARHash          nix.Hash // SHA-256 of the object's NAR
	NARSize          int64    // bytes
	Refs             []nix.StorePath
	Deriver          nix.StorePath      // "" if none
	CA               nix.ContentAddress // zero unless content-addressed
	Sigs             []string
	Ultimate         bool                     // built here
	RegistrationTime time.Time                // whole seconds; zero when registering: now
	Outputs          map[string]nix.StorePath // of a .drv only: output name to path; Query leaves it nil
}

// check tells whether the database may hold in.
func (in *PathInfo) check() error {
	switch {
	case in.NARHash.Algo() != nix.SHA256:
		return fmt.Errorf("NAR hash is %q, not a sha256", in.NARHash)
	case in.NARSize <= 0:
		return fmt.Errorf("NAR size is %d", in.NARSize)
	case in.Outputs != nil && !in.Path.IsDerivation():
		return fmt.Errorf("has outputs but is no derivation")
	}
	if _, err := nix.ParseStorePath(string(in.Path)); err != nil {
		return err
	}
	for _, s := range in.Sigs {
		if s == "" || strings.ContainsAny(s, " \t\n") {
			return fmt.Errorf("malformed signature %q", s)
		}
	}
	return nil
}

// checkCA tells whether the path follows from the content address. A NAR's hash must be the NAR hash as well; what a
// text or flat hash says of the file, the caller has to check.
func (in *PathInfo) checkCA() error {
	if in.CA.IsZero() {
		return nil
	}
	if in.CA.Method == nix.NAR && in.CA.Hash.Algo() == nix.SHA256 && in.CA.Hash != in.NARHash {
		return fmt.Errorf("content address says NAR hash %s, it is %s", in.CA.Hash, in.NARHash)
	}
	var refs []nix.StorePath
	self := false
	for _, r := range in.Refs {
		if r == in.Path {
			self = true
		} else {
			refs = append(refs, r)
		}
	}
	want, err := nix.FixedPath(in.Path.Name(), in.CA, refs, self)
	if err != nil {
		return err
	}
	if want != in.Path {
		return fmt.Errorf("content address %s gives the path %s", in.CA, want)
	}
	return nil
}
