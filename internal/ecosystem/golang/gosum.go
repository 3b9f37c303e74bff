package golang

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/zip"
)

// Sum is one line of a go.sum (Go Modules Reference, "go.sum files").
type Sum struct {
	Module module.Version // without the "/go.mod" that marks GoMod lines
	GoMod  bool           // the hash is of the go.mod alone, not of the module's zip
	Hash   string         // "h1:…", a dirhash; not the hash of the file that is downloaded
}

// ReadSums reads a go.sum. Lines come back in the file's order, each once; two hashes for one thing are an error.
func ReadSums(data []byte) ([]Sum, error) {
	var sums []Sum
	seen := map[string]string{}
	scan := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; scan.Scan(); n++ {
		fields := strings.Fields(scan.Text())
		if len(fields) == 0 {
			continue
		}
		if len(fields) != 3 {
			return nil, fmt.Errorf("read go.sum: line %d: %d words, want module, version and hash", n, len(fields))
		}
		version, gomod := strings.CutSuffix(fields[1], "/go.mod")
		s := Sum{Module: module.Version{Path: fields[0], Version: version}, GoMod: gomod, Hash: fields[2]}
		if err := module.Check(s.Module.Path, s.Module.Version); err != nil {
			return nil, fmt.Errorf("read go.sum: line %d: %w", n, err)
		}
		if !strings.HasPrefix(s.Hash, "h1:") {
			// A later hash kind may stand beside h1; the go command skips what it does not know.
			continue
		}
		key := fields[0] + " " + fields[1]
		if old, ok := seen[key]; ok {
			if old != s.Hash {
				return nil, fmt.Errorf("read go.sum: line %d: %s has two hashes, %s and %s", n, key, old, s.Hash)
			}
			continue
		}
		seen[key] = s.Hash
		sums = append(sums, s)
	}
	if err := scan.Err(); err != nil {
		return nil, fmt.Errorf("read go.sum: %w", err)
	}
	return sums, nil
}

// MismatchError says that what a proxy served is not what go.sum promises.
type MismatchError struct {
	Module    module.Version
	Want, Got string
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("%s: go.sum has %s, what was downloaded has %s", e.Module, e.Want, e.Got)
}

// Check compares a downloaded file, a module's zip or its go.mod as s.GoMod says, with s. For a zip, file is a path; for a
// go.mod too.
func (s Sum) Check(file string, open func(string) (io.ReadCloser, error)) error {
	_, err := s.check(file, open)
	return err
}

// check is Check, and tells the file's own sum.
func (s Sum) check(file string, open func(string) (io.ReadCloser, error)) (got string, err error) {
	if s.GoMod {
		got, err = dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return open(file) })
	} else {
		if _, err := zip.CheckZip(s.Module, file); err != nil {
			return "", fmt.Errorf("check %s: %w", s.Module, err)
		}
		got, err = dirhash.HashZip(file, dirhash.Hash1)
	}
	if err != nil {
		return "", fmt.Errorf("check %s: %w", s.Module, err)
	}
	if got != s.Hash {
		return got, &MismatchError{Module: s.Module, Want: s.Hash, Got: got}
	}
	return got, nil
}

// line is how a go.sum names the sum's subject: module, version, and for a go.mod that.
func (s Sum) line() string {
	if s.GoMod {
		return s.Module.Path + " " + s.Module.Version + "/go.mod"
	}
	return s.Module.Path + " " + s.Module.Version
}

// key tells the sum's subject apart from all others.
func (s Sum) key() string {
	if s.GoMod {
		return s.Module.Path + "\x00" + s.Module.Version + "/go.mod\x00"
	}
	return s.Module.Path + "\x00" + s.Module.Version + "\x00"
}

// File is the name below the module's folder of a proxy: "@v/v1.2.3.zip" without the "@v/" (Go Modules Reference,
// "GOPROXY protocol"); capitals are escaped.
func (s Sum) File() (string, error) {
	version, err := module.EscapeVersion(s.Module.Version)
	if err != nil {
		return "", fmt.Errorf("escape %s: %w", s.Module, err)
	}
	if s.GoMod {
		return version + ".mod", nil
	}
	return version + ".zip", nil
}

// Modules lists the modules of which sums has the zip, sorted by path and version.
func Modules(sums []Sum) []module.Version {
	var list []module.Version
	for _, s := range sums {
		if !s.GoMod {
			list = append(list, s.Module)
		}
	}
	slices.SortFunc(list, func(a, b module.Version) int {
		return strings.Compare(a.Path+"\x00"+a.Version, b.Path+"\x00"+b.Version)
	})
	return list
}
