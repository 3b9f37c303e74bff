package python

import (
	"archive/zip"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"headwater/internal/archive"
)

// Metadata is what is read of a distribution's core metadata.
type Metadata struct {
	Name           string // as written
	Version        string
	RequiresPython string
	RequiresDist   []Requirement
}

// maxMetadata is the largest METADATA or pyproject.toml that is read, in bytes.
const maxMetadata = 8 << 20

// ParseMetadata reads the headers of a METADATA file ("Core metadata specifications").
func ParseMetadata(data []byte) (Metadata, error) {
	var m Metadata
	for line := range strings.SplitSeq(string(data), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if line == "" {
			break // the description follows
		}
		if line[0] == ' ' || line[0] == '\t' {
			continue // goes on with a header; those that are read have one line
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			return m, fmt.Errorf("parse metadata: line %.100q is no header", line)
		}
		value = strings.TrimSpace(value)
		switch strings.ToLower(key) {
		case "name":
			m.Name = value
		case "version":
			m.Version = value
		case "requires-python":
			m.RequiresPython = value
		case "requires-dist":
			r, err := ParseRequirement(value)
			if err != nil {
				return m, fmt.Errorf("parse metadata: %w", err)
			}
			m.RequiresDist = append(m.RequiresDist, r)
		}
	}
	if m.Name == "" || m.Version == "" {
		return m, errors.New("parse metadata: no name or no version")
	}
	return m, nil
}

// ReadWheelMetadata reads the METADATA of the wheel at file.
func ReadWheelMetadata(file string) (Metadata, error) {
	z, err := zip.OpenReader(file)
	if err != nil {
		return Metadata{}, fmt.Errorf("read wheel: %w", err)
	}
	defer z.Close()
	for _, f := range z.File {
		dir, base := path.Split(f.Name)
		if base != "METADATA" || strings.Count(dir, "/") != 1 || !strings.HasSuffix(dir, ".dist-info/") {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return Metadata{}, fmt.Errorf("read wheel: %w", err)
		}
		data, err := readLimited(r)
		if err = errors.Join(err, r.Close()); err != nil {
			return Metadata{}, fmt.Errorf("read wheel: %s: %w", f.Name, err)
		}
		return ParseMetadata(data)
	}
	return Metadata{}, errors.New("read wheel: no METADATA is in it")
}

func readLimited(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxMetadata+1))
	if err == nil && len(data) > maxMetadata {
		err = fmt.Errorf("is larger than %d bytes", maxMetadata)
	}
	return data, err
}

// maxSDist bounds what is unpacked of an sdist in search of its pyproject.toml, in bytes: an archive may be a bomb.
const maxSDist = 4 << 30

// ReadSDistProject reads the pyproject.toml of the sdist at file, nil if it has none. Nothing is unpacked.
func ReadSDistProject(file string) (*Project, error) { return readProject(file, "") }

// readProject is ReadSDistProject for a package in a folder of an archive, which must have it.
func readProject(file, folder string) (*Project, error) {
	var data []byte
	found := folder == ""
	err := archive.Each(file, maxSDist, func(name string, open func() (io.ReadCloser, error)) error {
		name, ok := insideOf(name, folder)
		found = found || ok
		if !ok || !isProject(name) {
			return nil
		}
		r, err := open()
		if err != nil {
			return err
		}
		data, err = readLimited(r)
		return cmp.Or(errors.Join(err, r.Close()), fs.SkipAll)
	})
	if err != nil {
		return nil, fmt.Errorf("read sdist: %w", err)
	}
	if !found {
		return nil, fmt.Errorf("read sdist: it has no folder %s", folder)
	}
	if data == nil {
		return nil, nil
	}
	p, err := ParseProject(data)
	if err != nil {
		return nil, fmt.Errorf("read sdist: %w", err)
	}
	return p, nil
}

// insideOf is a path of an archive as if a folder below its only one were that, and whether it is in there.
func insideOf(name, folder string) (string, bool) {
	if folder == "" {
		return name, true
	}
	top, rest, _ := strings.Cut(strings.TrimPrefix(name, "./"), "/")
	rest, ok := strings.CutPrefix(rest, folder+"/")
	return top + "/" + rest, ok
}

// isProject tells whether a path in an sdist is that of its pyproject.toml: NAME-VERSION/pyproject.toml.
func isProject(name string) bool {
	dir, base := path.Split(strings.TrimPrefix(name, "./"))
	return base == "pyproject.toml" && strings.Count(dir, "/") == 1 && dir != "/"
}
