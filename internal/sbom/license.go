package sbom

import (
	"bufio"
	"encoding/json"
	"io"
	"net/textproto"
	"os"
	"path"
	"strings"

	"github.com/github/go-spdx/v2/spdxexp"

	"headwater/internal/image"
)

// maxMetadata is how much of a file that names a licence is read, in bytes.
const maxMetadata = 4 << 20

// readLicenses reads what parts say of themselves in the image: Debian's copyright files in machine-readable form, Python's METADATA,
// package.json. What is written for people is not read.
func (b *builder) readLicenses() error {
	debian := map[string]*Part{}
	for _, p := range b.parts {
		if strings.HasPrefix(p.Ref, "pkg:deb/") && p.Count > 0 {
			debian[p.Name] = p
		}
	}
	for _, f := range b.Files {
		dir, name := path.Split(f.At)
		var p *Part
		var read func(string) License
		switch {
		case name == "copyright" && strings.HasPrefix(dir, "/usr/share/doc/"):
			p, read = debian[path.Base(dir)], debianLicense
		case name == "METADATA" && strings.HasSuffix(path.Clean(dir), ".dist-info"):
			p, read = b.python[path.Clean(dir)], pythonLicense
		case name == "package.json":
			if at := strings.LastIndex(dir, "/node_modules/"); at >= 0 {
				if n := b.nodes[f.Path]; n != nil {
					p, read = b.modulePart(f, b.componentOf(f)), npmLicense
				}
				if p != nil && !strings.HasSuffix(path.Clean(dir), "/node_modules/"+p.Name) {
					p = nil // of something inside the package
				}
			}
		}
		if p == nil || p.License.Expression != "" || len(p.License.Names) > 0 {
			continue
		}
		text, err := readSome(b.real(f))
		if err != nil {
			return err
		}
		p.License = read(text)
	}
	return nil
}

func (b *builder) componentOf(f image.File) string {
	n := b.nodes[f.Path]
	if n == nil {
		return ""
	}
	if name, ok := b.named[n.ID()]; ok {
		return name
	}
	return n.Component
}

func readSome(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxMetadata))
	return string(data), err
}

// licenseOf is an SPDX expression where text is one, else its first line as a name.
func licenseOf(text string) License {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	text = strings.TrimSpace(text)
	if text == "" || strings.EqualFold(text, "UNKNOWN") {
		return License{}
	}
	if ok, _ := spdxexp.ValidateLicenses([]string{text}); ok {
		return License{Expression: text}
	}
	return License{Names: []string{text}}
}

// debianLicense reads a machine-readable copyright file (Debian's copyright-format 1.0): the short names of all its stanzas, of which
// Debian has its own that are not SPDX's. The zero value is of a file that is not in that form.
func debianLicense(text string) License {
	if !strings.HasPrefix(text, "Format:") && !strings.HasPrefix(text, "Format-Specification:") {
		return License{}
	}
	var l License
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(line, "License:"); ok {
			if name = strings.TrimSpace(name); name != "" {
				l.Names = append(l.Names, name)
			}
		}
	}
	l.Names = set(l.Names)
	return l
}

// pythonLicense reads a distribution's core metadata: License-Expression (2.4), else License where that is one line.
func pythonLicense(text string) License {
	head, err := textproto.NewReader(bufio.NewReader(strings.NewReader(text))).ReadMIMEHeader()
	if err != nil && len(head) == 0 {
		return License{}
	}
	if x := head.Get("License-Expression"); x != "" {
		return licenseOf(x)
	}
	if x := head.Get("License"); len(x) <= maxName {
		return licenseOf(x)
	}
	return License{} // the text of one
}

// maxName is the longest that is taken for a licence's name, not its text.
const maxName = 120

// manifest is what a package.json says.
type manifest struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	License any    `json:"license"`
}

// manifest reads the package.json in a folder of the image; the zero value is of one that is not there or cannot be read.
func (b *builder) manifest(dir string) manifest {
	var m manifest
	if f, ok := b.files[dir+"/package.json"]; ok && !f.Link {
		if text, err := readSome(b.real(f)); err == nil {
			_ = json.Unmarshal([]byte(text), &m) // what is none says nothing
		}
	}
	return m
}

func npmLicense(text string) License {
	var m manifest
	if json.Unmarshal([]byte(text), &m) != nil {
		return License{}
	}
	if s, ok := m.License.(string); ok {
		return licenseOf(s)
	}
	return License{}
}
