package python

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"

	"headwater/internal/artifact"
	"headwater/internal/nix"
)

// Wanted says which part of a lock file an environment is made of.
type Wanted struct {
	Environment
	Groups   []string // normalised; "main" is the project's own dependencies
	Extras   []string // normalised extras of the project
	Packages []string // normalised workspace members to start from, nil for the project itself (uv)
	Project  bool     // the project itself is part of it, where its tool would install it
}

// MainGroup is the group of a project's own dependencies.
const MainGroup = "main"

// Package is one locked package of an environment: either files to choose from or a folder of the source.
type Package struct {
	Name    string // normalised
	Version string // "" where a folder's is not locked
	Files   []artifact.Artifact

	Dir      string // folder in the source, relative to the project's; "" for a package with Files
	Editable bool   // installed so that the folder itself is imported

	Git    string // address and commit of a repository that it comes from, "" for a package with Files
	Folder string // its folder in that repository
}

// member tells whether p is a folder of the source.
func (p Package) member() bool { return p.Dir != "" }

// FormatError says that a lock file is of a version that this package does not read.
type FormatError struct{ File, Got, Want string }

func (e *FormatError) Error() string {
	return fmt.Sprintf("%s has version %s, this program reads %s", e.File, e.Got, e.Want)
}

// StaleError says that a lock file does not fit its project.
type StaleError struct{ File, Why string }

func (e *StaleError) Error() string {
	return fmt.Sprintf("%s does not fit its project: %s; lock the project again with its own tool", e.File, e.Why)
}

// pypi makes an artifact of a file that a lock file lists. A file name that leads elsewhere is an error, and so is a file
// without hash: nothing could check it.
func pypi(name, version, file, hash string) (artifact.Artifact, error) {
	a := artifact.Artifact{Ecosystem: artifact.PyPI, Name: name, Version: version, File: file}
	if file == "" || file != path.Base(file) || strings.ContainsAny(file, "\\\x00") || file == ".." || file == "." {
		return a, fmt.Errorf("%q is not a file name", file)
	}
	if hash == "" {
		return a, fmt.Errorf("file %s has no hash", file)
	}
	algo, digits, ok := strings.Cut(hash, ":")
	digest, err := hex.DecodeString(digits)
	if !ok || err != nil {
		return a, fmt.Errorf("file %s: hash %q is not of the form sha256:…", file, hash)
	}
	al, err := nix.ParseAlgo(algo)
	if err != nil {
		return a, fmt.Errorf("file %s: %w", file, err)
	}
	if a.Hash, err = nix.NewHash(al, digest); err != nil {
		return a, fmt.Errorf("file %s: %w", file, err)
	}
	return a, nil
}

// projectDir checks a folder that a lock file names. It may be beside the project, where a workspace has it; whether it is
// in the source is seen when it is opened.
func projectDir(name, dir string) (string, error) {
	if dir == "" || path.IsAbs(dir) || strings.ContainsAny(dir, "\\\x00\n") {
		return "", fmt.Errorf("package %s: folder %q is not relative to the project", name, dir)
	}
	return path.Clean(dir), nil
}

// distinct sorts packages by name and checks that an environment has each once.
func distinct(packages []Package) ([]Package, error) {
	slices.SortFunc(packages, func(a, b Package) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Version, b.Version))
	})
	for i := 1; i < len(packages); i++ {
		if a, b := packages[i-1], packages[i]; a.Name == b.Name {
			return nil, fmt.Errorf("package %s is selected twice, as %s and as %s", a.Name, cmp.Or(a.Version, a.Dir), cmp.Or(b.Version, b.Dir))
		}
	}
	return packages, nil
}
