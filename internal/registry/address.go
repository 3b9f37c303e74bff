package registry

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"headwater/internal/artifact"
)

// Address is one place where an artifact may be. It holds no credential.
type Address struct {
	URL    string // https, http or file (a path on this machine); or a repository's, see Repository
	From   string // the setting that it comes from, for people: "GOPROXY", "registry in ~/.npmrc"
	Accept string // media types to ask for, "" for any
	// Find is nil where URL is the artifact's. Otherwise URL is that of a document which tells the artifact's address: Find
	// returns it, or an *AbsentError if the document does not name the artifact.
	Find func(Document) (string, error)
}

// String is the address for people: without query, which may hold a signature.
func (a Address) String() string { return Redact(a.URL) }

// Document is something that a registry says about its artifacts.
type Document struct {
	URL         string // where it was got in the end, after redirects: what relative addresses in it are relative to
	ContentType string // "" if unknown
	Body        []byte
}

// AbsentError says that a registry's index does not have a file.
type AbsentError struct{ File string }

func (e *AbsentError) Error() string { return "the index has no file " + e.File }

// UnknownError says that there is no address to ask for a service's artifacts.
type UnknownError struct {
	Service Service
	Cause   error // why the client's own default could not be found, nil if there is nothing to say
}

func (e *UnknownError) Error() string {
	msg := fmt.Sprintf("find a registry for %q: no setting names one, and no client was found that knows one", e.Service)
	if e.Cause != nil {
		msg += ": " + e.Cause.Error()
	}
	return msg
}

// Unwrap gives the cause.
func (e *UnknownError) Unwrap() error { return e.Cause }

// Hint says what to do.
func (e *UnknownError) Hint() string {
	return fmt.Sprintf("name one in ~/.config/headwater/registries.yaml, under %q", e.Service)
}

// Redact makes a URL fit for people and logs: no user part, no query, no fragment.
func Redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(address that does not parse)"
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	if u.RawQuery != "" || u.ForceQuery {
		u.RawQuery, u.ForceQuery = "", false
		return u.String() + "?…"
	}
	return u.String()
}

// Base is a registry, or a part of one, below which artifacts are.
type Base struct {
	URL  string // without a slash at its end and without credentials; may be a template, see Mirrors
	From string // as Address.From
	Flat bool   // a folder or a page of links to files (pip's --find-links), whatever the service's layout is
}

// join appends escaped path elements.
func (b Base) join(rel string) string { return b.URL + "/" + rel }

// expand fills in a template. It is "" if a has no value for a placeholder.
func (b Base) expand(a artifact.Artifact, rel string) string {
	values := map[string]string{
		"path": rel, "name": escape(a.Name), "version": escape(a.Version), "file": escape(a.File),
		"algo": string(a.Hash.Algo()), "hash": a.Hash.Base16(),
	}
	missing := false
	out := placeholders().ReplaceAllStringFunc(b.URL, func(p string) string {
		value := values[p[1:len(p)-1]]
		missing = missing || value == ""
		return value
	})
	if missing {
		return ""
	}
	return out
}

func (b Base) checkTemplate() error {
	if rest := placeholders().ReplaceAllString(b.URL, ""); strings.ContainsAny(rest, "{}") {
		return errors.New("has an unknown placeholder; there are {path}, {name}, {version}, {file}, {algo}, {hash}")
	}
	return nil
}

func placeholders() *regexp.Regexp {
	return regexp.MustCompile(`\{(path|name|version|file|algo|hash)\}`)
}

func (b Base) template() bool { return strings.Contains(b.URL, "{") }

// escape escapes a slash-separated path for use in a URL, keeping its slashes.
func escape(p string) string {
	parts := strings.Split(p, "/")
	for i, s := range parts {
		parts[i] = url.PathEscape(s)
	}
	return strings.Join(parts, "/")
}

// checkPath refuses names that would lead out of the folder they are appended to.
func checkPath(p string) error {
	if p == "" {
		return errors.New("is empty")
	}
	for part := range strings.SplitSeq(p, "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("%q is not a plain relative path", p)
		}
	}
	if strings.ContainsFunc(p, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '\\' }) {
		return fmt.Errorf("%q has control characters or backslashes", p)
	}
	return nil
}

// parseURL reads an address of a setting. Only https, http and file are known; a bare absolute path is a file.
func parseURL(raw string) (*url.URL, error) {
	if strings.HasPrefix(raw, "/") {
		return &url.URL{Scheme: "file", Path: raw}, nil
	}
	u, err := url.Parse(raw)
	if err != nil {
		// url.Error quotes the address, which may hold a password.
		return nil, errors.New("is not a URL")
	}
	switch {
	case u.Scheme == "https" || u.Scheme == "http":
		if u.Host == "" {
			return nil, errors.New("names no host")
		}
	case u.Scheme == "file":
		if u.Host != "" && u.Host != "localhost" || !strings.HasPrefix(u.Path, "/") {
			return nil, errors.New("is not a file: address of this machine, file:///…")
		}
		u.Host = ""
	default:
		return nil, fmt.Errorf("has scheme %q, want https, http or file", u.Scheme)
	}
	return u, nil
}
