package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"

	"golang.org/x/net/html"

	"headwater/internal/artifact"
	"headwater/internal/nix"
)

// acceptSimple asks for a project page, as JSON rather than HTML (PEP 691, "Version + Format Selection").
const acceptSimple = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"

// metadataSuffix is what is appended to a wheel's address for its METADATA alone (PEP 658).
const metadataSuffix = ".metadata"

// NormalizeName is a project's name as indexes spell it (PyPA, "Names and normalization").
func NormalizeName(name string) string {
	return strings.ToLower(regexp.MustCompile(`[-_.]+`).ReplaceAllString(name, "-"))
}

// Project is a project page of a Python package index (PyPA, "Simple repository API").
type Project struct {
	Name  string // as the page has it; "" in HTML
	Files []ProjectFile
}

// ProjectFile is one file of a Project.
type ProjectFile struct {
	Name           string   // "lxml-6.0.0-cp313-cp313-manylinux_2_26_x86_64.whl"
	URL            string   // absolute
	Hash           nix.Hash // SHA-256; zero if the page has none
	Size           int64    // bytes, 0 if unknown
	RequiresPython string   // a version specifier, "" for any
	Yanked         bool
	YankedReason   string
	Metadata       bool      // the file's METADATA can be had alone, at URL + ".metadata" (PEP 658, 714)
	MetadataHash   nix.Hash  // of the METADATA; zero if unknown
	UploadTime     time.Time // zero if unknown
}

// simplePage is the page's JSON (PEP 691, 700, 714).
type simplePage struct {
	Meta struct {
		Version string `json:"api-version"`
	} `json:"meta"`
	Name  string       `json:"name"`
	Files []simpleFile `json:"files"`
}

type simpleFile struct {
	Filename       string            `json:"filename"`
	URL            string            `json:"url"`
	Hashes         map[string]string `json:"hashes"`
	RequiresPython string            `json:"requires-python,omitempty"`
	Size           int64             `json:"size,omitempty"`
	UploadTime     string            `json:"upload-time,omitempty"`
	Yanked         json.RawMessage   `json:"yanked,omitempty"`        // true, false or the reason
	Core           json.RawMessage   `json:"core-metadata,omitempty"` // true, false or hashes
	Dist           json.RawMessage   `json:"dist-info-metadata,omitempty"`
	Data           json.RawMessage   `json:"data-dist-info-metadata,omitempty"`
}

// ParseProject reads a project page: JSON, or HTML (PEP 503), told apart by media type and, where that says nothing, by the
// first byte. Files whose address is not http, https (or file, in a page that is a file) are left out.
func ParseProject(d Document) (*Project, error) {
	media, _, err := mime.ParseMediaType(d.ContentType)
	first := bytes.TrimLeft(d.Body, " \t\r\n")
	if strings.HasSuffix(media, "json") || (err != nil || !strings.HasSuffix(media, "html")) && bytes.HasPrefix(first, []byte("{")) {
		return parseSimpleJSON(d)
	}
	return parseSimpleHTML(d)
}

func parseSimpleJSON(d Document) (*Project, error) {
	var page simplePage
	if err := json.Unmarshal(d.Body, &page); err != nil {
		return nil, fmt.Errorf("parse project page: %w", err)
	}
	if major, _, _ := strings.Cut(page.Meta.Version, "."); major != "1" {
		return nil, fmt.Errorf("parse project page: api-version %q, want 1.x", page.Meta.Version)
	}
	p := &Project{Name: page.Name}
	for _, f := range page.Files {
		address, err := resolve(d.URL, f.URL)
		if err != nil || f.Filename == "" {
			continue
		}
		file := ProjectFile{Name: f.Filename, URL: address, Size: max(f.Size, 0), RequiresPython: f.RequiresPython}
		if file.Hash, err = sha256Of(f.Hashes); err != nil {
			return nil, fmt.Errorf("parse project page: %s: %w", f.Filename, err)
		}
		if t, err := time.Parse(time.RFC3339Nano, f.UploadTime); err == nil {
			file.UploadTime = t.UTC()
		}
		file.Yanked, file.YankedReason = yanked(f.Yanked)
		file.Metadata, file.MetadataHash = coreMetadata(f.Core, f.Dist, f.Data)
		p.Files = append(p.Files, file)
	}
	return p, nil
}

// yanked reads true, false or a reason. An empty reason is one too.
func yanked(raw json.RawMessage) (bool, string) {
	var reason string
	if json.Unmarshal(raw, &reason) == nil && raw != nil {
		return true, reason
	}
	var flag bool
	return json.Unmarshal(raw, &flag) == nil && flag, ""
}

// coreMetadata reads the first of the keys that is there: true, false or hashes.
func coreMetadata(keys ...json.RawMessage) (bool, nix.Hash) {
	for _, raw := range keys {
		if raw == nil || string(raw) == "null" {
			continue
		}
		var hashes map[string]string
		if json.Unmarshal(raw, &hashes) == nil {
			h, err := sha256Of(hashes)
			return err == nil, h
		}
		var flag bool
		return json.Unmarshal(raw, &flag) == nil && flag, nix.Hash{}
	}
	return false, nix.Hash{}
}

func sha256Of(hashes map[string]string) (nix.Hash, error) {
	if hashes["sha256"] == "" {
		return nix.Hash{}, nil
	}
	return nix.ParseHash(nix.SHA256, hashes["sha256"])
}

// parseSimpleHTML reads the anchors of a page. The page's <base> moves them.
func parseSimpleHTML(d Document) (*Project, error) {
	p := new(Project)
	base := d.URL
	tokens := html.NewTokenizer(bytes.NewReader(d.Body))
	var file *ProjectFile // the anchor that is open
	for {
		switch tokens.Next() {
		case html.ErrorToken:
			if file != nil {
				return nil, errors.New("parse project page: ends within a link")
			}
			return p, nil
		case html.StartTagToken, html.SelfClosingTagToken:
			token := tokens.Token()
			attrs := attributes(token)
			if href, ok := attrs["href"]; ok && token.Data == "base" {
				if b, err := resolve(d.URL, href); err == nil {
					base = b
				}
			}
			if token.Data == "a" {
				file = anchor(base, attrs)
			}
		case html.TextToken:
			if file != nil {
				file.Name += strings.TrimSpace(tokens.Token().Data)
			}
		case html.EndTagToken:
			if token := tokens.Token(); token.Data == "a" && file != nil {
				if file.Name = path.Base(file.Name); file.Name != "." && file.URL != "" {
					p.Files = append(p.Files, *file)
				}
				file = nil
			}
		}
	}
}

func attributes(t html.Token) map[string]string {
	out := map[string]string{}
	for _, a := range t.Attr {
		out[a.Key] = a.Val
	}
	return out
}

// anchor makes a file of a link; its URL stays "" if it is none that can be fetched.
func anchor(base string, attrs map[string]string) *ProjectFile {
	f := &ProjectFile{RequiresPython: attrs["data-requires-python"]}
	href, fragment, _ := strings.Cut(attrs["href"], "#")
	if address, err := resolve(base, href); err == nil && href != "" {
		f.URL = address
	}
	if digest, ok := strings.CutPrefix(fragment, "sha256="); ok {
		h, err := nix.ParseHash(nix.SHA256, digest)
		if err != nil {
			f.URL = ""
		}
		f.Hash = h
	}
	f.YankedReason, f.Yanked = attrs["data-yanked"]
	for _, key := range []string{"data-core-metadata", "data-dist-info-metadata"} {
		if v, ok := attrs[key]; ok && v != "false" {
			f.Metadata = true
			if digest, ok := strings.CutPrefix(v, "sha256="); ok {
				f.MetadataHash, _ = nix.ParseHash(nix.SHA256, digest)
			}
			break
		}
	}
	return f
}

// JSON writes the page as PEP 691 has it, whatever it was read from.
func (p *Project) JSON() ([]byte, error) {
	page := simplePage{Name: p.Name, Files: []simpleFile{}}
	page.Meta.Version = "1.1"
	for _, f := range p.Files {
		out := simpleFile{Filename: f.Name, URL: f.URL, Hashes: map[string]string{}, RequiresPython: f.RequiresPython, Size: f.Size}
		if !f.Hash.IsZero() {
			out.Hashes["sha256"] = f.Hash.Base16()
		}
		if !f.UploadTime.IsZero() {
			out.UploadTime = f.UploadTime.Format(time.RFC3339Nano)
		}
		if f.Yanked {
			reason, err := json.Marshal(f.YankedReason)
			if err != nil {
				return nil, fmt.Errorf("write project page: %w", err)
			}
			out.Yanked = reason
		}
		if f.Metadata {
			out.Core = json.RawMessage("true")
			if !f.MetadataHash.IsZero() {
				out.Core = json.RawMessage(`{"sha256":"` + f.MetadataHash.Base16() + `"}`)
			}
		}
		page.Files = append(page.Files, out)
	}
	return json.Marshal(page)
}

// findSimple is the address that a project page has for an artifact.
func findSimple(d Document, a artifact.Artifact) (string, error) {
	p, err := ParseProject(d)
	if err != nil {
		return "", err
	}
	wheel, metadata := strings.CutSuffix(a.File, metadataSuffix)
	for _, f := range p.Files {
		if f.Name == a.File {
			return f.URL, nil
		}
		if metadata && f.Name == wheel && f.Metadata {
			u, err := url.Parse(f.URL)
			if err != nil {
				return "", err
			}
			return u.JoinPath().String() + metadataSuffix, nil
		}
	}
	return "", &AbsentError{File: a.File}
}
