package obtain

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/xi2/xz"
)

// BadArchiveError says what keeps an archive from being unpacked.
type BadArchiveError struct {
	File, Entry string // Entry is "" where all of it is meant
	Cause       error
}

func (e *BadArchiveError) Error() string {
	if e.Entry == "" {
		return fmt.Sprintf("unpack %s: %v", e.File, e.Cause)
	}
	return fmt.Sprintf("unpack %s: entry %q: %v", e.File, e.Entry, e.Cause)
}

// Unwrap gives the cause.
func (e *BadArchiveError) Unwrap() error { return e.Cause }

// maxName is the longest name of an entry, in bytes, and maxTarget that of a link's target.
const maxName, maxTarget = 4096, 4096

// format is how a file is read, by its ending; nil for none that is known.
func format(file string) func(*os.File, *unpacker) error {
	unzipped := func(open func(io.Reader) (io.Reader, error)) func(*os.File, *unpacker) error {
		return func(f *os.File, u *unpacker) error {
			r, err := open(f)
			if err != nil {
				return err
			}
			return u.tar(r)
		}
	}
	for _, end := range []struct {
		of   string
		read func(*os.File, *unpacker) error
	}{
		{".tar.gz", unzipped(func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) })},
		{".tgz", unzipped(func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) })},
		{".tar.xz", unzipped(func(r io.Reader) (io.Reader, error) { return xz.NewReader(r, 1<<27) })},
		{".txz", unzipped(func(r io.Reader) (io.Reader, error) { return xz.NewReader(r, 1<<27) })},
		{".tar", unzipped(func(r io.Reader) (io.Reader, error) { return r, nil })},
		{".zip", func(f *os.File, u *unpacker) error { return u.zip(f) }},
	} {
		if strings.HasSuffix(strings.ToLower(file), end.of) {
			return end.read
		}
	}
	return nil
}

// archive unpacks a file into the cache, by its content's hash.
func (o Options) archive(ctx context.Context, file string) (found Found, err error) {
	f, err := os.Open(file)
	if err != nil {
		return Found{}, fmt.Errorf("open source: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return Found{}, fmt.Errorf("open source %s: %w", file, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return Found{}, fmt.Errorf("open source %s: %w", file, err)
	}
	dir, err := o.into(fmt.Sprintf("archive-%x", h.Sum(nil)[:16]), func(dir string) error {
		return o.unpack(ctx, file, f, dir)
	})
	if err != nil {
		return Found{}, err
	}
	return Found{Dir: only(dir), Name: name(file)}, nil
}

func (o Options) unpack(ctx context.Context, file string, f *os.File, dir string) (err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	u := &unpacker{ctx: ctx, root: root, left: o.Limits, seen: map[string]bool{}}
	if err := format(file)(f, u); err != nil {
		return &BadArchiveError{file, u.entry, err}
	}
	// Links last, so that nothing is written through one.
	for _, l := range u.links {
		if err := errors.Join(u.parents(l.at), root.Symlink(l.target, l.at)); err != nil {
			return &BadArchiveError{file, l.at, err}
		}
	}
	return nil
}

// only is the one folder that all of an archive is in, as forges pack them, or dir itself.
func only(dir string) string {
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) == 1 && entries[0].IsDir() {
		return filepath.Join(dir, entries[0].Name())
	}
	return dir
}

type link struct{ at, target string }

// unpacker writes entries below a folder.
type unpacker struct {
	ctx   context.Context
	root  *os.Root
	left  Limits
	seen  map[string]bool
	links []link
	entry string // the one in work, for errors
}

func (u *unpacker) tar(r io.Reader) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeXGlobalHeader:
			continue // a forge's commit id
		case tar.TypeDir:
			err = u.dir(h.Name)
		case tar.TypeReg:
			err = u.file(h.Name, fs.FileMode(h.Mode), h.Size, t)
		case tar.TypeSymlink:
			err = u.link(h.Name, h.Linkname)
		case tar.TypeLink:
			err = u.same(h.Name, h.Linkname)
		default:
			u.entry = h.Name
			err = errors.New("is neither file, folder nor link")
		}
		if err != nil {
			return err
		}
	}
}

func (u *unpacker) zip(f *os.File) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	z, err := zip.NewReader(f, fi.Size())
	if err != nil {
		return err
	}
	for _, e := range z.File {
		if err := u.zipped(e); err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) zipped(e *zip.File) error {
	mode := e.Mode()
	if mode.IsDir() {
		return u.dir(e.Name)
	}
	u.entry = e.Name
	if !mode.IsRegular() && mode&fs.ModeSymlink == 0 {
		return errors.New("is neither file, folder nor link")
	}
	r, err := e.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	if mode.IsRegular() {
		if e.UncompressedSize64 > 1<<62 {
			return errors.New("has no size")
		}
		return u.file(e.Name, mode, int64(e.UncompressedSize64), r)
	}
	target, err := io.ReadAll(io.LimitReader(r, maxTarget+1))
	if err != nil {
		return err
	}
	return u.link(e.Name, string(target))
}

// place is where an entry belongs, and an error if that is not below the folder or there is something.
func (u *unpacker) place(name string) (string, error) {
	u.entry = name
	if err := u.ctx.Err(); err != nil {
		return "", err
	}
	if u.left.Entries--; u.left.Entries < 0 {
		return "", errors.New("there are too many entries")
	}
	at := strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
	if at == "" || at == "." {
		return ".", nil
	}
	if len(at) > maxName || !fs.ValidPath(at) || strings.ContainsAny(at, "\x00\\") {
		return "", errors.New("is no path below the archive's folder")
	}
	return at, nil
}

func (u *unpacker) take(name string) (string, error) {
	at, err := u.place(name)
	if err != nil {
		return "", err
	}
	if at == "." || u.seen[at] {
		return "", errors.New("is there twice")
	}
	u.seen[at] = true
	return at, u.parents(at)
}

func (u *unpacker) parents(at string) error { return u.root.MkdirAll(path.Dir(at), 0o755) }

func (u *unpacker) dir(name string) error {
	at, err := u.place(name)
	if err != nil {
		return err
	}
	return u.root.MkdirAll(at, 0o755)
}

func (u *unpacker) file(name string, mode fs.FileMode, size int64, r io.Reader) error {
	at, err := u.take(name)
	if err != nil {
		return err
	}
	if size < 0 || size > u.left.Bytes {
		return errors.New("there is too much in it")
	}
	perm := fs.FileMode(0o644)
	if mode&0o100 != 0 {
		perm = 0o755
	}
	f, err := u.root.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	// The size that an entry claims is no promise.
	n, err := io.Copy(f, io.LimitReader(r, size+1))
	u.left.Bytes -= n
	if err == nil && n != size {
		err = fmt.Errorf("has not the %d bytes that it says", size)
	}
	return errors.Join(err, f.Close())
}

func (u *unpacker) link(name, target string) error {
	at, err := u.take(name)
	if err != nil {
		return err
	}
	if target == "" || len(target) > maxTarget || strings.Contains(target, "\x00") {
		return errors.New("is a link to nothing that has a name")
	}
	u.links = append(u.links, link{at, target})
	return nil
}

// same makes a hard link a copy of the file that was unpacked before.
func (u *unpacker) same(name, target string) error {
	from := strings.TrimPrefix(target, "./")
	if !fs.ValidPath(from) || !u.seen[from] {
		u.entry = name
		return fmt.Errorf("is a hard link to %q, which was not before it", target)
	}
	f, err := u.root.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	return u.file(name, fi.Mode(), fi.Size(), f)
}
