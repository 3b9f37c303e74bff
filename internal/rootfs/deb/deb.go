// Package deb reads Debian binary packages without trusting them.
//
// A .deb is an ar archive of "debian-binary", a control.tar and a data.tar. What a Reader returns are entries whose paths lie
// below the package's top, whose links lead to somewhere below it, and which are files, folders and links; anything else is
// an error that names the entry. Source: deb(5), Debian Policy appendix B.
package deb

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/xi2/xz"
)

// Limits bound what a package may make of the machine. A zero field means its default.
type Limits struct {
	Control int64 // bytes of all files of control.tar, unpacked; default 64 MiB
	Data    int64 // bytes of data.tar, unpacked; default 8 GiB
	Entries int   // entries of data.tar; default 1,000,000
}

func (l Limits) withDefaults() Limits {
	if l.Control == 0 {
		l.Control = 64 << 20
	}
	if l.Data == 0 {
		l.Data = 8 << 30
	}
	if l.Entries == 0 {
		l.Entries = 1_000_000
	}
	return l
}

const (
	maxPath  = 4096     // bytes, as Linux has it
	maxName  = 255      // bytes of a path's element
	maxDict  = 64 << 20 // bytes of an xz dictionary: that of "xz -9"
	maxFrame = 128 << 20
)

// Kind is what an entry is.
type Kind int

// The kinds of entries.
const (
	File Kind = iota
	Folder
	Link     // a symbolic link
	HardLink // another name of a file that came before
)

// Entry is an entry of data.tar.
type Entry struct {
	Kind       Kind
	Path       string // below the package's top, without "." and "..": "usr/bin/sh"; "" is the top itself
	Target     string // of a Link: a clean path as the link has it; of a HardLink: the Path of the file
	Executable bool
	Size       int64 // bytes of a File
}

// Reader reads a package from its beginning to its end.
type Reader struct {
	Control map[string][]byte // files of control.tar by name: "control", "postinst"

	limits  Limits
	ar      *arReader
	data    *tar.Reader
	close   func()
	entries int
	left    *limited
}

// NewReader reads the package up to the end of control.tar. Close must be called.
func NewReader(r io.Reader, limits Limits) (*Reader, error) {
	d := &Reader{limits: limits.withDefaults(), close: func() {}}
	var err error
	if d.ar, err = newArReader(r); err != nil {
		return nil, err
	}
	if err := d.readFormat(); err != nil {
		return nil, err
	}
	if err := d.readControl(); err != nil {
		return nil, err
	}
	return d, d.openData()
}

func (d *Reader) readFormat() error {
	name, body, err := d.member()
	if err != nil {
		return err
	}
	if name != "debian-binary" {
		return fmt.Errorf("not a Debian package: the first member is %q", name)
	}
	version, err := io.ReadAll(io.LimitReader(body, 64))
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(version, []byte("2.")) {
		return fmt.Errorf("Debian package format %.10q: only 2.x can be read", version)
	}
	return nil
}

// member goes to the next member that is not for somebody else ("_…").
func (d *Reader) member() (string, io.Reader, error) {
	for {
		name, body, err := d.ar.next()
		if errors.Is(err, io.EOF) {
			return "", nil, errors.New("the package ends before data.tar")
		}
		if err != nil || !strings.HasPrefix(name, "_") {
			return name, body, err
		}
	}
}

func (d *Reader) readControl() error {
	name, body, err := d.member()
	if err != nil {
		return err
	}
	ext, ok := strings.CutPrefix(name, "control.tar")
	if !ok {
		return fmt.Errorf("the second member is %q, not control.tar", name)
	}
	in, done, err := decompress(ext, body)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer done()
	d.Control = map[string][]byte{}
	left := &limited{r: in, n: d.limits.Control}
	t := tar.NewReader(left)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		file := strings.TrimPrefix(h.Name, "./")
		if _, twice := d.Control[file]; twice {
			return fmt.Errorf("%s: %q is there twice", name, file)
		}
		if d.Control[file], err = io.ReadAll(t); err != nil {
			return fmt.Errorf("%s: %q: %w", name, file, err)
		}
	}
}

func (d *Reader) openData() error {
	name, body, err := d.member()
	if err != nil {
		return err
	}
	ext, ok := strings.CutPrefix(name, "data.tar")
	if !ok {
		return fmt.Errorf("the third member is %q, not data.tar", name)
	}
	in, done, err := decompress(ext, body)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	d.close = done
	d.left = &limited{r: in, n: d.limits.Data}
	d.data = tar.NewReader(d.left)
	return nil
}

// Close releases what reading needed.
func (d *Reader) Close() { d.close() }

// Next returns the next entry of data.tar, io.EOF after the last. After a File, Read reads its bytes.
func (d *Reader) Next() (Entry, error) {
	h, err := d.data.Next()
	if errors.Is(err, io.EOF) {
		// What follows the last entry is padding; reading it makes the decompressor check the stream.
		if _, err := io.Copy(io.Discard, d.left); err != nil {
			return Entry{}, err
		}
		if err := d.ar.finish(); err != nil {
			return Entry{}, err
		}
		return Entry{}, io.EOF
	}
	if err != nil {
		return Entry{}, err
	}
	if d.entries++; d.entries > d.limits.Entries {
		return Entry{}, fmt.Errorf("more than %d entries", d.limits.Entries)
	}
	e, err := entry(h)
	if err != nil {
		return Entry{}, fmt.Errorf("entry %q: %w", h.Name, err)
	}
	return e, nil
}

// Read reads the File that Next returned last.
func (d *Reader) Read(p []byte) (int, error) { return d.data.Read(p) }

func entry(h *tar.Header) (Entry, error) {
	e := Entry{Executable: h.Mode&0o100 != 0}
	var err error
	if e.Path, err = below(h.Name); err != nil {
		return e, err
	}
	switch h.Typeflag {
	case tar.TypeReg:
		e.Kind, e.Size = File, h.Size
	case tar.TypeDir:
		e.Kind = Folder
	case tar.TypeSymlink:
		e.Kind, e.Target = Link, h.Linkname
		err = checkTarget(e.Target)
	case tar.TypeLink:
		e.Kind = HardLink
		if e.Target, err = below(h.Linkname); err == nil && e.Target == "" {
			err = errors.New("is a hard link to the top")
		}
	case tar.TypeChar, tar.TypeBlock:
		err = errors.New("is a device node")
	case tar.TypeFifo:
		err = errors.New("is a named pipe")
	default:
		err = fmt.Errorf("has type %q, which no package has", h.Typeflag)
	}
	if err == nil && e.Path == "" && e.Kind != Folder {
		err = errors.New("replaces the top")
	}
	return e, err
}

// below cleans the path of an entry, which is below the archive's top: "./usr/bin/", or "usr/bin".
func below(name string) (string, error) {
	if err := checkPath(name); err != nil {
		return "", err
	}
	if strings.HasPrefix(name, "/") {
		return "", errors.New("is an absolute path")
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", errors.New(`goes up by ".."`)
		}
		if len(part) > maxName {
			return "", fmt.Errorf("has a name of more than %d bytes", maxName)
		}
	}
	if name = path.Clean(name); name == "." {
		return "", nil
	}
	return name, nil
}

func checkTarget(target string) error {
	if err := checkPath(target); err != nil {
		return fmt.Errorf("as a link to %q: %w", target, err)
	}
	return nil
}

func checkPath(p string) error {
	switch {
	case p == "":
		return errors.New("is an empty path")
	case len(p) > maxPath:
		return fmt.Errorf("is a path of more than %d bytes", maxPath)
	case strings.IndexByte(p, 0) >= 0:
		return errors.New("has a zero byte in its path")
	}
	return nil
}

// decompress opens a member by the end of its name. done releases what that took.
func decompress(ext string, r io.Reader) (in io.Reader, done func(), err error) {
	r = bufio.NewReaderSize(r, 1<<16)
	done = func() {}
	switch ext {
	case "":
		return r, done, nil
	case ".xz":
		in, err = xz.NewReader(r, maxDict)
	case ".gz":
		in, err = gzip.NewReader(r)
	case ".zst":
		var z *zstd.Decoder
		z, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxFrame))
		if err == nil {
			in, done = z, z.Close
		}
	default:
		err = fmt.Errorf("compression %q is not known", ext)
	}
	return in, done, err
}

// limited reads up to n bytes; more is an error, not an end.
type limited struct {
	r io.Reader
	n int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.n < 0 {
		return 0, errors.New("is larger, unpacked, than a package may be")
	}
	if int64(len(p)) > l.n+1 {
		p = p[:l.n+1]
	}
	n, err := l.r.Read(p)
	if l.n -= int64(n); l.n < 0 {
		return 0, errors.New("is larger, unpacked, than a package may be")
	}
	return n, err
}

// arReader reads an ar archive in its common form, without long names. (deb(5).)
type arReader struct {
	r    *bufio.Reader
	body *io.LimitedReader
	odd  bool
}

func newArReader(r io.Reader) (*arReader, error) {
	a := &arReader{r: bufio.NewReaderSize(r, 1<<16)}
	var magic [8]byte
	if _, err := io.ReadFull(a.r, magic[:]); err != nil || string(magic[:]) != "!<arch>\n" {
		return nil, errors.New("not a Debian package: it is no ar archive")
	}
	return a, nil
}

// finish reads the member to its end.
func (a *arReader) finish() error {
	if a.body == nil {
		return nil
	}
	if _, err := io.Copy(io.Discard, a.body); err != nil {
		return err
	}
	if a.body.N > 0 {
		return fmt.Errorf("the package ends within a member: %w", io.ErrUnexpectedEOF)
	}
	return nil
}

// next goes to the next member; its body is to be read before the next call.
func (a *arReader) next() (string, io.Reader, error) {
	if err := a.finish(); err != nil {
		return "", nil, err
	}
	if a.odd {
		if _, err := a.r.Discard(1); err != nil && !errors.Is(err, io.EOF) {
			return "", nil, err
		}
	}
	var h [60]byte
	if _, err := io.ReadFull(a.r, h[:]); err != nil {
		return "", nil, err
	}
	size, err := strconv.ParseInt(strings.TrimRight(string(h[48:58]), " "), 10, 64)
	if err != nil || size < 0 || string(h[58:]) != "`\n" {
		return "", nil, errors.New("malformed header of an ar member")
	}
	a.body, a.odd = &io.LimitedReader{R: a.r, N: size}, size%2 == 1
	return strings.TrimRight(strings.TrimRight(string(h[:16]), " "), "/"), a.body, nil
}
