package python

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"headwater/internal/artifact"
	"headwater/internal/nix"
)

// Candidate is one version of a package that an index offers for the target: its best wheel, or its sdist.
type Candidate struct {
	Name     string // normalised
	Version  Version
	Artifact artifact.Artifact
	SDist    bool
	Yanked   bool
}

// indexPage is a project's page of the simple API in its JSON form (PEP 691, PEP 700).
type indexPage struct {
	Meta struct {
		Version string `json:"api-version"`
	}
	Name  string
	Files []indexFile
}

type indexFile struct {
	Filename       string
	Hashes         map[string]string
	RequiresPython *string `json:"requires-python"`
	Size           int64
	Yanked         any // true or false, or a text that says why
}

// ParseIndex reads a project's page and returns what fits env: one candidate a version, newest first.
// Files whose names, versions or requirements cannot be read are passed over, as by every installer: indices hold old ones.
func ParseIndex(data []byte, name string, env Environment) ([]Candidate, error) {
	releases, err := parseReleases(data, name, env)
	if err != nil {
		return nil, err
	}
	var out []Candidate
	for _, r := range releases {
		file, sdist, err := env.Choose(sortedKeys(r.files), false)
		if err != nil {
			continue
		}
		out = append(out, Candidate{Name: name, Version: r.version, Artifact: r.files[file], SDist: sdist, Yanked: r.yanked})
	}
	slices.SortFunc(out, func(a, b Candidate) int { return b.Version.Compare(a.Version) })
	return out, nil
}

// parseReleases reads a project's page: its versions for env's interpreter, by versionKey.
func parseReleases(data []byte, name string, env Environment) (map[string]*release, error) {
	var page indexPage
	if err := json.Unmarshal(data, &page); err != nil {
		return nil, fmt.Errorf("read index of %s: %w", name, err)
	}
	if major, _, _ := strings.Cut(page.Meta.Version, "."); major != "1" {
		return nil, fmt.Errorf("read index of %s: %w", name, &FormatError{"the index's page", page.Meta.Version, "1"})
	}
	if page.Name != "" && NormalizeName(page.Name) != name {
		return nil, fmt.Errorf("read index of %s: the page is that of %q", name, page.Name)
	}
	python, err := ParseVersion(env.Full)
	if err != nil {
		return nil, err
	}
	releases := map[string]*release{}
	for _, f := range page.Files {
		v, a, ok := f.fits(name, python)
		if !ok {
			continue
		}
		r := releases[versionKey(v)]
		if r == nil {
			r = &release{version: v, files: map[string]artifact.Artifact{}}
			releases[versionKey(v)] = r
		}
		r.files[f.Filename] = a
		// A reason is a text, no matter which.
		if b, isBool := f.Yanked.(bool); f.Yanked != nil && (!isBool || b) {
			r.yanked = true
		}
	}
	return releases, nil
}

// release is what an index has of one version.
type release struct {
	version Version
	files   map[string]artifact.Artifact
	yanked  bool
}

// fits reads what a page says of a file; it tells whether that is a release of the package for the interpreter.
func (f indexFile) fits(name string, python Version) (Version, artifact.Artifact, bool) {
	none := artifact.Artifact{}
	text, ok := fileVersion(f.Filename, name)
	if !ok {
		return Version{}, none, false
	}
	v, err := ParseVersion(text)
	if err != nil {
		return v, none, false
	}
	if f.RequiresPython != nil {
		if specs, err := ParseSpecifiers(*f.RequiresPython); err != nil || !specs.Contains(python) {
			return v, none, false
		}
	}
	a, err := pypi(name, text, f.Filename, string(nix.SHA256)+":"+f.Hashes["sha256"])
	a.Size = max(f.Size, 0)
	return v, a, err == nil
}

// versionKey is the same for two spellings of one version.
func versionKey(v Version) string {
	return fmt.Sprint(v.epoch, v.release, v.pre, v.post, v.dev, v.local)
}

// fileVersion is the version in the name of a wheel or an sdist of the package.
func fileVersion(file, name string) (string, bool) {
	if strings.HasSuffix(file, ".whl") {
		w, err := ParseWheel(file)
		return w.Version, err == nil && NormalizeName(w.Name) == name
	}
	base, ok := strings.CutSuffix(file, ".tar.gz")
	for _, ending := range []string{".zip", gitEnding} {
		if !ok {
			base, ok = strings.CutSuffix(file, ending)
		}
	}
	if !ok {
		return "", false
	}
	// Old names have "-" in the name too, so the split is where the rest is the package's name.
	for i := range len(base) {
		if base[i] == '-' && NormalizeName(base[:i]) == name {
			return base[i+1:], true
		}
	}
	return "", false
}
