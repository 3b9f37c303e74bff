// Package nar writes Nix archives. Specification: Nix's manual, "Protocols: Nix archive (NAR) format".
package nar

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"headwater/internal/nix"
)

// Dump writes the NAR of the file, link or folder at path.
func Dump(w io.Writer, path string) error {
	d := &dumper{w: bufio.NewWriterSize(w, 1<<18)}
	d.str("nix-archive-1")
	if err := d.node(path); err != nil {
		return fmt.Errorf("dump %s: %w", path, err)
	}
	return d.w.Flush()
}

// HashPath is the SHA-256 and the length of path's NAR.
func HashPath(path string) (nix.Hash, int64, error) {
	pr, pw := io.Pipe()
	go func() { pw.CloseWithError(Dump(pw, path)) }()
	defer pr.Close()
	sum := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{sum}, pr, make([]byte, 1<<18))
	if err != nil {
		return nix.Hash{}, n, err
	}
	h, err := nix.NewHash(nix.SHA256, sum.Sum(nil))
	return h, n, err
}

type dumper struct{ w *bufio.Writer }

func (d *dumper) u64(n uint64) { d.w.Write(binary.LittleEndian.AppendUint64(nil, n)) }

func (d *dumper) pad(n int64) { d.w.Write(make([]byte, -n&7)) }

func (d *dumper) str(ss ...string) {
	for _, s := range ss {
		d.u64(uint64(len(s)))
		d.w.WriteString(s)
		d.pad(int64(len(s)))
	}
}

// node writes one object; bufio keeps the first write error for Flush.
func (d *dumper) node(path string) error {
	fi, err := os.Lstat(path)
	if err != nil {
		return err
	}
	d.str("(", "type")
	switch {
	case fi.Mode().IsRegular():
		err = d.file(path, fi)
	case fi.IsDir():
		err = d.dir(path)
	case fi.Mode()&os.ModeSymlink != 0:
		var target string
		target, err = os.Readlink(path)
		d.str("symlink", "target", target)
	default:
		err = fmt.Errorf("%s: neither file, folder nor link", path)
	}
	d.str(")")
	return err
}

func (d *dumper) dir(path string) error {
	d.str("directory")
	entries, err := os.ReadDir(path) // sorted by name
	if err != nil {
		return err
	}
	for _, e := range entries {
		d.str("entry", "(", "name", e.Name(), "node")
		if err := d.node(filepath.Join(path, e.Name())); err != nil {
			return err
		}
		d.str(")")
	}
	return nil
}

func (d *dumper) file(path string, fi os.FileInfo) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	d.str("regular")
	if fi.Mode()&0o100 != 0 {
		d.str("executable", "")
	}
	d.str("contents")
	d.u64(uint64(fi.Size()))
	if _, err := io.CopyN(d.w, f, fi.Size()); err != nil {
		return fmt.Errorf("%s: changed while read: %w", path, err)
	}
	d.pad(fi.Size())
	return nil
}
