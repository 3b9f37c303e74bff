package recipe

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"

	"headwater/internal/artifact"
)

// Replacement says what is taken in place of an artifact that a registry has no more, or that is not wanted. One field is set.
type Replacement struct {
	URL     string `yaml:"url,omitempty" json:"url,omitempty"`         // http or https; "{file}" stands for the artifact's file name
	File    string `yaml:"file,omitempty" json:"file,omitempty"`       // relative to the recipe's folder; "{file}" as in URL
	Source  string `yaml:"source,omitempty" json:"source,omitempty"`   // a Python project in the upstream's source
	Version string `yaml:"version,omitempty" json:"version,omitempty"` // another version of the same package
}

// filePlaceholder stands for an artifact's file name in a Replacement's URL and File.
const filePlaceholder = "{file}"

// String is how people are told: "version 1.2.1".
func (r Replacement) String() string {
	switch {
	case r.URL != "":
		return "url " + r.URL
	case r.File != "":
		return "file " + r.File
	case r.Source != "":
		return "source " + r.Source
	}
	return "version " + r.Version
}

// Elsewhere tells whether it is the artifact's bytes that come from another place.
func (r Replacement) Elsewhere() bool { return r.URL != "" || r.File != "" }

// of is r for one artifact.
func (r Replacement) of(a artifact.Artifact) Replacement {
	name := path.Base(a.File)
	r.File = strings.ReplaceAll(r.File, filePlaceholder, name)
	r.URL = strings.ReplaceAll(r.URL, filePlaceholder, url.PathEscape(name))
	return r
}

// Replaced is a key of a recipe's "replace": which artifacts are meant. It is written ECOSYSTEM:NAME@VERSION/FILE; without the file all of that
// version are meant, without the version all of that name.
type Replaced struct {
	Ecosystem artifact.Ecosystem
	Name      string
	Version   string
	File      string
}

// ReplacedOf is the key that names an artifact's version.
func ReplacedOf(a artifact.Artifact) Replaced {
	return Replaced{Ecosystem: a.Ecosystem, Name: normal(a.Ecosystem, a.Name), Version: a.Version}
}

// ParseReplaced reads a key.
func ParseReplaced(key string) (Replaced, error) {
	eco, rest, ok := strings.Cut(key, ":")
	r := Replaced{Ecosystem: artifact.Ecosystem(eco)}
	switch {
	case !ok || rest == "":
		return r, errors.New("is not ECOSYSTEM:NAME@VERSION")
	case !known(r.Ecosystem):
		return r, fmt.Errorf("no ecosystem is named %q (there are: cargo, debian, go, maven, npm, pypi, url)", eco)
	}
	// A scope begins with @ as well.
	at := strings.IndexByte(rest[1:], '@') + 1
	if at == 0 {
		r.Name = normal(r.Ecosystem, rest)
		return r, nil
	}
	r.Name = normal(r.Ecosystem, rest[:at])
	r.Version, r.File, ok = strings.Cut(rest[at+1:], "/")
	if r.Version == "" || ok && r.File == "" {
		return r, errors.New("is not ECOSYSTEM:NAME@VERSION/FILE")
	}
	return r, nil
}

func known(eco artifact.Ecosystem) bool {
	switch eco {
	case artifact.Debian, artifact.Go, artifact.NPM, artifact.PyPI, artifact.Maven, artifact.Cargo, artifact.URL:
		return true
	}
	return false
}

var nameSeparators = regexp.MustCompile(`[-_.]+`)

// normal is a name as locks spell it: Python's have several spellings (Python Packaging User Guide, "Names and normalization").
func normal(eco artifact.Ecosystem, name string) string {
	if eco != artifact.PyPI {
		return name
	}
	return strings.ToLower(nameSeparators.ReplaceAllString(name, "-"))
}

// String is the key.
func (r Replaced) String() string {
	s := string(r.Ecosystem) + ":" + r.Name
	if r.Version != "" {
		s += "@" + r.Version
	}
	if r.File != "" {
		s += "/" + r.File
	}
	return s
}

// has tells whether an artifact is meant.
func (r Replaced) has(a artifact.Artifact) bool {
	return r.Ecosystem == a.Ecosystem && r.Name == normal(a.Ecosystem, a.Name) && (r.Version == "" || r.Version == a.Version) && (r.File == "" || r.File == a.File)
}

// Replacing finds what the recipe has in place of an artifact, and under which key: the one that says most. A place that is written for one
// file is not for those of another kind: of a Go module, a .zip is not its .mod.
func (r *Recipe) Replacing(a artifact.Artifact) (key string, by Replacement, ok bool) {
	best := -1
	for k, candidate := range sorted(r.Replace) {
		named, err := ParseReplaced(k)
		if err != nil || !named.has(a) {
			continue
		}
		if several(a.Ecosystem) && named.File == "" && !candidate.fits(a) {
			continue
		}
		said := len(named.Version) + 1024*len(named.File)
		if said > best {
			key, by, ok, best = k, candidate.of(a), true, said
		}
	}
	return key, by, ok
}

// several tells whether one version is several files that all are needed.
func several(eco artifact.Ecosystem) bool { return eco == artifact.Go || eco == artifact.Maven }

func (r Replacement) fits(a artifact.Artifact) bool {
	place := cmp.Or(r.URL, r.File)
	return place == "" || strings.Contains(place, filePlaceholder) || path.Ext(strings.SplitN(place, "?", 2)[0]) == path.Ext(a.File)
}

// replacement checks one entry of "replace".
func (c *checker) replacement(key string, r Replacement) {
	at := "replace." + key
	named, err := ParseReplaced(key)
	if err != nil {
		c.addf(at, "%v", err)
		return
	}
	set := 0
	for _, field := range []string{r.URL, r.File, r.Source, r.Version} {
		if field != "" {
			set++
		}
	}
	if set != 1 {
		c.addf(at, "wants one of url, file, version and source, has %d", set)
		return
	}
	eco := named.Ecosystem
	switch {
	case r.Version != "" && eco != artifact.NPM && eco != artifact.PyPI && eco != artifact.Go:
		c.addf(at+".version", "another version can stand in for npm and Python packages and Go modules alone: name a url or a file with the same bytes, or change the upstream's lock")
	case r.Version != "" && named.File != "" && eco == artifact.Go:
		c.addf(at+".version", "is of all of a module: leave /%s away", named.File)
	case r.Version != "" && r.Version == named.Version && eco != artifact.PyPI: // of a Python package from a git repository, the registry may have the same version
		c.addf(at+".version", "is the same version")
	case r.Source != "" && eco != artifact.PyPI:
		c.addf(at+".source", "is for Python projects")
	case r.Source != "":
		c.inside(at+".source", r.Source)
	case r.File != "":
		c.inside(at+".file", r.File)
	case r.URL != "":
		c.address(at+".url", strings.ReplaceAll(r.URL, filePlaceholder, "file"))
	}
}

// address checks where a file is downloaded from.
func (c *checker) address(where, s string) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.Fragment != "" {
		c.addf(where, "is not an http or https address without credentials and fragment")
	}
}
