package python

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
)

// pipfileLock is what is read of a Pipfile.lock (Pipenv, pipfile-spec 6): the packages that a service is run with, each pinned, most by hash.
type pipfileLock struct {
	Meta struct {
		Spec    int `json:"pipfile-spec"`
		Sources []struct{ Name, URL string }
	} `json:"_meta"`
	Default map[string]pipfilePackage `json:"default"`
}

type pipfilePackage struct {
	Version  string
	Markers  string
	Extras   []string
	Hashes   []string
	Path     string
	File     string
	Git      string
	Ref      string
	Editable bool
}

// pipfileName is the name of Pipenv's locks. One is read as a requirements file that pins all: that is what Pipenv makes of it for pip.
const pipfileName = "Pipfile.lock"

// pipfile reads a Pipfile.lock.
func (r *requirementsReader) pipfile(name string, data []byte, bounds bool) error {
	var lock pipfileLock
	if err := json.Unmarshal(data, &lock); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if lock.Meta.Spec != 6 {
		return fmt.Errorf("read %s: it is of pipfile-spec %d, this program reads 6", name, lock.Meta.Spec)
	}
	for _, s := range lock.Meta.Sources {
		if s.Name != "pypi" {
			r.out.Indexes = append(r.out.Indexes, s.URL)
		}
	}
	for _, key := range sortedKeys(lock.Default) {
		if r.lines++; r.lines > maxRequirements {
			return fmt.Errorf("read %s: more than %d packages", name, maxRequirements)
		}
		text, err := lock.Default[key].requirement(key)
		if err == nil {
			err = r.line(name, lineNumber(data, key), text, bounds)
		}
		if err != nil {
			return fmt.Errorf("read %s: package %.200q: %w", name, key, err)
		}
	}
	return nil
}

// requirement is a package as a requirements file has it.
func (p pipfilePackage) requirement(name string) (string, error) {
	for _, part := range slices.Concat([]string{name, p.Version, p.Markers, p.Path, p.File, p.Git, p.Ref}, p.Extras, p.Hashes) {
		if strings.ContainsAny(part, "\n\r\\#") {
			return "", fmt.Errorf("%.200q is no part of a requirement", part)
		}
	}
	text, extras := name, ""
	if len(p.Extras) > 0 {
		extras = "[" + strings.Join(p.Extras, ",") + "]"
	}
	switch {
	case path.IsAbs(p.Path):
		return "", fmt.Errorf("%.200q is not a folder, relative to the project", p.Path)
	case p.Path != "":
		text = "./" + path.Clean(p.Path) + extras
		if p.Editable {
			text = "-e " + text
		}
		return text, nil
	case p.Git != "":
		text += extras + " @ git+" + p.Git + "@" + p.Ref
	case p.File != "":
		text += extras + " @ " + p.File
	case !strings.HasPrefix(p.Version, "=="):
		return "", fmt.Errorf("its version is %.200q, which pins none", p.Version)
	default:
		text += extras + p.Version
	}
	if p.Markers != "" {
		text += " ; " + p.Markers
	}
	for _, h := range p.Hashes {
		text += " --hash=" + h
	}
	return text, nil
}

// lineNumber is the line of a key, 0 if it is written otherwise.
func lineNumber(data []byte, key string) int {
	before, _, ok := strings.Cut(string(data), `"`+key+`": {`)
	if !ok {
		return 0
	}
	return strings.Count(before, "\n") + 1
}
