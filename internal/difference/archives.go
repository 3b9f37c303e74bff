package difference

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"
)

// maxUnpacked is how much is unpacked of an archive, in bytes: it may be a bomb.
const maxUnpacked = 256 << 20

var (
	gzipMagic = []byte{0x1f, 0x8b}
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
	zipMagic  = []byte("PK\x03\x04")
)

// tarMagic is where a tar archive says what it is.
const tarMagic = 257

// archives compares two archives of a kind by what is in them. It is empty where they are none, cannot be read, or hold the same: then their
// own bytes are to be looked at.
func (j judge) archives(name string, a, b []byte, depth int) []File {
	both := func(magic []byte) bool { return bytes.HasPrefix(a, magic) && bytes.HasPrefix(b, magic) }
	switch {
	case both(zipMagic):
		return j.entries(name, unzip, a, b, depth)
	case both(gzipMagic):
		return j.gzip(name, a, b, depth)
	case both(zstdMagic):
		return j.packed(name, unzstd, a, b, depth)
	case isTar(a) && isTar(b):
		return j.entries(name, untar, a, b, depth)
	}
	return nil
}

func isTar(b []byte) bool { return len(b) >= 512 && bytes.HasPrefix(b[tarMagic:], []byte("ustar")) }

// gzip compares two gzip files; their headers have a time of their own (RFC 1952, section 2.3.1).
func (j judge) gzip(name string, a, b []byte, depth int) []File {
	var files []File
	if len(a) >= 10 && len(b) >= 10 && !bytes.Equal(a[4:8], b[4:8]) {
		t, u := binary.LittleEndian.Uint32(a[4:]), binary.LittleEndian.Uint32(b[4:])
		files = append(files, File{Path: name, What: Header, Cause: Time, Why: fmt.Sprintf("its header has the time when it was compressed: %s and %s (gzip -n leaves it out)", date(t), date(u)),
			Spots: []Spot{{Offset: 4, Here: dump(a, 4, 0), There: dump(b, 4, 0)}}})
	}
	return append(files, j.packed(name, ungzip, a, b, depth)...)
}

func date(seconds uint32) string { return time.Unix(int64(seconds), 0).UTC().Format(time.DateTime) }

// packed compares what two files are compressed of. Names of what is in a tar follow the file's own.
func (j judge) packed(name string, unpack func([]byte) ([]byte, error), a, b []byte, depth int) []File {
	x, errX := unpack(a)
	y, errY := unpack(b)
	if errX != nil || errY != nil || bytes.Equal(x, y) {
		return nil
	}
	if !isTar(x) || !isTar(y) {
		name = inside(name, "unpacked")
	}
	return j.contents(name, x, y, 0, depth-1)
}

func ungzip(b []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, maxUnpacked))
}

func unzstd(b []byte) ([]byte, error) {
	r, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxUnpacked))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, maxUnpacked))
}

// member is an entry of an archive.
type member struct {
	name   string
	time   time.Time
	owner  string // numbers and names
	mode   string
	link   string
	data   []byte
	header string // all else that its header says
}

func unzip(b []byte) ([]member, error) {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	var list []member
	left := int64(maxUnpacked)
	for _, e := range z.File {
		r, err := e.Open()
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(io.LimitReader(r, left))
		if err := errors.Join(err, r.Close()); err != nil {
			return nil, err
		}
		left -= int64(len(data))
		list = append(list, member{
			name: e.Name, time: e.Modified, mode: e.Mode().String(), data: data,
			header: fmt.Sprintf("method %d, flags %#x, made by %#x, comment %q", e.Method, e.Flags, e.CreatorVersion, e.Comment),
		})
	}
	return list, nil
}

func untar(b []byte) ([]member, error) {
	t := tar.NewReader(bytes.NewReader(b))
	var list []member
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(t) // in memory already
		if err != nil {
			return nil, err
		}
		list = append(list, member{
			name: h.Name, time: h.ModTime, mode: h.FileInfo().Mode().String(), link: h.Linkname, data: data,
			owner: fmt.Sprintf("%d:%d %q:%q", h.Uid, h.Gid, h.Uname, h.Gname), header: fmt.Sprintf("format %v, type %q", h.Format, h.Typeflag),
		})
	}
}

// entries compares two archives entry by entry, by name.
func (j judge) entries(name string, list func([]byte) ([]member, error), a, b []byte, depth int) []File {
	x, errX := list(a)
	y, errY := list(b)
	if errX != nil || errY != nil {
		return nil
	}
	nameOf := func(m member) string { return m.name }
	namesX, namesY := each(x, nameOf), each(y, nameOf)
	var files []File
	if cause, why := reordered(namesX, namesY, "entries"); cause != "" && !slices.Equal(namesX, namesY) {
		i := 0
		for namesX[i] == namesY[i] {
			i++
		}
		files = append(files, File{Path: name, What: Sequence, Cause: cause, Why: why, Spots: []Spot{{Here: namesX[i], There: namesY[i]}}})
	}
	byName := map[string]member{}
	for _, m := range y {
		byName[m.name] = m
	}
	for _, m := range x {
		other, ok := byName[m.name]
		delete(byName, m.name)
		if !ok {
			files = append(files, File{Path: inside(name, m.name), What: OnlyHere, Cause: Unknown, Why: "the second build did not put it in"})
			continue
		}
		files = append(files, j.member(inside(name, m.name), m, other, depth)...)
	}
	for _, m := range y {
		if _, only := byName[m.name]; only {
			files = append(files, File{Path: inside(name, m.name), What: OnlyThere, Cause: Unknown, Why: "the first build did not put it in"})
		}
	}
	return files
}

func each[T, U any](list []T, f func(T) U) []U {
	out := make([]U, len(list))
	for i, x := range list {
		out[i] = f(x)
	}
	return out
}

// member compares an entry of two archives.
func (j judge) member(name string, a, b member, depth int) []File {
	f := File{Path: name, What: Header, Cause: Unknown, Why: "its entry's header differs"}
	switch {
	case !a.time.Equal(b.time):
		f.Cause, f.Why = Time, "its entry has the time when the file was written"
		f.Spots = []Spot{{Here: a.time.UTC().Format(time.DateTime), There: b.time.UTC().Format(time.DateTime)}}
	case a.owner != b.owner:
		f.Cause, f.Why = User, "its entry has the owner of the file"
		f.Spots = []Spot{{Here: a.owner, There: b.owner}}
	case a.mode != b.mode:
		f.Why = "its entry has the file's mode: a umask, or another system's files"
		f.Spots = []Spot{{Here: a.mode, There: b.mode}}
	case a.link != b.link:
		f.Spots = []Spot{{Here: a.link, There: b.link}}
		f.Cause, f.Why = j.text(a.link, b.link)
		f.What, f.Why = Link, cmp.Or(f.Why, "it leads elsewhere")
	case a.header != b.header:
		f.Spots = []Spot{{Here: a.header, There: b.header}}
	default:
		f.Why = ""
	}
	var files []File
	if f.Why != "" {
		files = append(files, f)
	}
	if !bytes.Equal(a.data, b.data) {
		files = append(files, j.contents(name, a.data, b.data, 0, depth-1)...)
	}
	return files
}
