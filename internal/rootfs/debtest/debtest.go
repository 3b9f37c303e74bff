// Package debtest makes Debian packages for tests, well-formed and hostile ones.
package debtest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// Package is a package to be made.
type Package struct {
	Control     string            // "Package: a\nVersion: 1\n"; "" makes one of Name and Version
	Name        string            // "" means "some"
	Version     string            // "" means "1"
	Fields      string            // further lines of Control
	Scripts     map[string]string // "postinst": "#!/bin/sh\n…"
	Entries     []tar.Header      // of data.tar; Size is set from Content
	Content     map[string]string // of the entries' files, by their name
	Compression string            // of both archives: "", "gz", "xz", "zst"
}

// File is a regular file's header.
func File(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644} }

// Program is an executable file's header.
func Program(name string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o4755}
}

// Folder is a folder's header.
func Folder(name string) tar.Header {
	return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}
}

// Link is a symbolic link's header.
func Link(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}
}

// HardLink is a hard link's header.
func HardLink(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644}
}

// Bytes makes the package.
func (p Package) Bytes(t testing.TB) []byte {
	t.Helper()
	end := ""
	if p.Compression != "" {
		end = "." + p.Compression
	}
	return Ar(
		Member{"debian-binary", []byte("2.0\n")},
		Member{"control.tar" + end, Compress(t, p.Compression, p.control(t))},
		Member{"data.tar" + end, Compress(t, p.Compression, p.data(t))},
	)
}

func (p Package) control(t testing.TB) []byte {
	text := p.Control
	if text == "" {
		name, version := p.Name, p.Version
		if name == "" {
			name = "some"
		}
		if version == "" {
			version = "1"
		}
		text = fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: amd64\n%s", name, version, p.Fields)
	}
	files := map[string]string{"./control": text}
	headers := []tar.Header{File("./control")}
	for _, name := range []string{"preinst", "postinst"} {
		if s, ok := p.Scripts[name]; ok {
			files["./"+name] = s
			headers = append(headers, Program("./"+name))
		}
	}
	return Tar(t, headers, files)
}

func (p Package) data(t testing.TB) []byte { return Tar(t, p.Entries, p.Content) }

// Tar makes an archive; a file that content lacks holds its own name.
func Tar(t testing.TB, headers []tar.Header, content map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		text, ok := content[h.Name]
		if !ok {
			text = h.Name
		}
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(text))
		}
		h.ModTime = time.Unix(1, 0)
		must(t, w.WriteHeader(&h))
		if h.Typeflag == tar.TypeReg {
			_, err := io.WriteString(w, text)
			must(t, err)
		}
	}
	must(t, w.Close())
	return b.Bytes()
}

// Compress compresses data: "", "gz", "xz" or "zst".
func Compress(t testing.TB, how string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch how {
	case "":
		return data
	case "gz":
		w = gzip.NewWriter(&b)
	case "xz":
		w, err = xz.NewWriter(&b)
	case "zst":
		w, err = zstd.NewWriter(&b)
	default:
		t.Fatalf("compression %q", how)
	}
	must(t, err)
	_, err = w.Write(data)
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}

// Member is a member of an ar archive.
type Member struct {
	Name string
	Data []byte
}

// Ar makes an archive.
func Ar(members ...Member) []byte {
	b := []byte("!<arch>\n")
	for _, m := range members {
		b = fmt.Appendf(b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.Name, 0, 0, 0, "100644", len(m.Data))
		b = append(b, m.Data...)
		if len(m.Data)%2 == 1 {
			b = append(b, '\n')
		}
	}
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
