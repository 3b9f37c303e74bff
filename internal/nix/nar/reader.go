package nar

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Reader reads an archive entry by entry, as archive/tar does: Next moves on, Read reads the current file. A folder comes
// before what it holds, siblings in the order of their names' bytes, so no entry comes twice. Nothing is kept but the names
// of the folders on the way.
type Reader struct {
	r       *bufio.Reader
	at      int64    // bytes consumed
	folders []folder // open ones, outermost first
	cur     Entry
	left    int64 // bytes of the current file not yet read
	inFile  bool
	err     error // sticky
}

// folder is an open folder.
type folder struct {
	path string
	last string // the name of its latest entry
}

// NewReader reads one archive from r and, if r is a *bufio.Reader of 4 KiB or more, not a byte beyond it.
func NewReader(r io.Reader) *Reader { return &Reader{r: bufio.NewReaderSize(r, 4096)} }

// Next moves to the next entry, past what is left of the current one. It is io.EOF once the archive is complete.
func (r *Reader) Next() (Entry, error) {
	if r.err != nil {
		return Entry{}, r.err
	}
	e, err := r.next()
	switch {
	case err == errComplete:
		r.err = io.EOF
	case err != nil:
		r.err = r.explain(err)
	}
	r.cur = e
	return e, r.err
}

// Read reads the current file's content, to io.EOF at its end. Other entries have none.
func (r *Reader) Read(b []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.r.Read(b[:min(int64(len(b)), r.left)])
	r.at += int64(n)
	r.left -= int64(n)
	if err != nil && r.left > 0 {
		r.err = r.explain(err)
		return n, r.err
	}
	return n, nil
}

// Offset is how many bytes of the archive have been consumed.
func (r *Reader) Offset() int64 { return r.at }

// errComplete tells the archive's end from that of a stream that was cut off.
var errComplete = errors.New("the archive is complete")

func (r *Reader) next() (Entry, error) {
	if r.at == 0 {
		if err := r.expect(magic); err != nil {
			return Entry{}, err
		}
		return r.node("")
	}
	if r.inFile {
		if err := r.endFile(); err != nil {
			return Entry{}, err
		}
	}
	for len(r.folders) > 0 {
		tag, err := r.tag()
		if err != nil {
			return Entry{}, err
		}
		switch tag {
		case "entry":
			return r.entry()
		case ")":
			r.folders = r.folders[:len(r.folders)-1]
			if err := r.endNode(); err != nil {
				return Entry{}, err
			}
		default:
			return Entry{}, malformed("want entry or ), have %q", tag)
		}
	}
	return Entry{}, errComplete
}

// entry reads what follows "entry" up to the node's own fields.
func (r *Reader) entry() (Entry, error) {
	if err := r.expect("(", "name"); err != nil {
		return Entry{}, err
	}
	name, err := r.str(maxName)
	if err != nil {
		return Entry{}, err
	}
	if err := checkName(name); err != nil {
		return Entry{}, malformed("%v", err)
	}
	in := &r.folders[len(r.folders)-1]
	if name <= in.last {
		return Entry{}, malformed("entry %q comes after %q", name, in.last)
	}
	in.last = name
	path := name
	if in.path != "" {
		path = in.path + "/" + name
	}
	if len(path) > maxPath {
		return Entry{}, malformed("path is longer than %d bytes", maxPath)
	}
	if err := r.expect("node"); err != nil {
		return Entry{}, err
	}
	return r.node(path)
}

func (r *Reader) node(path string) (Entry, error) {
	e := Entry{Path: path}
	if err := r.expect("(", "type"); err != nil {
		return Entry{}, err
	}
	tag, err := r.tag()
	if err != nil {
		return Entry{}, err
	}
	switch tag {
	case "regular":
		return r.file(e)
	case "directory":
		e.Type = Folder
		r.folders = append(r.folders, folder{path: path})
		return e, nil
	case "symlink":
		e.Type = Link
		return r.link(e)
	}
	return Entry{}, malformed("type %q is unknown", tag)
}

func (r *Reader) file(e Entry) (Entry, error) {
	tag, err := r.tag()
	if err != nil {
		return Entry{}, err
	}
	if tag == "executable" {
		e.Executable = true
		if err := r.expect("", "contents"); err != nil {
			return Entry{}, err
		}
	} else if tag != "contents" {
		return Entry{}, malformed("want executable or contents, have %q", tag)
	}
	n, err := r.u64()
	if err != nil {
		return Entry{}, err
	}
	if int64(n) < 0 {
		return Entry{}, malformed("size %d is impossible", n)
	}
	e.Size, r.left, r.inFile = int64(n), int64(n), true
	return e, nil
}

// endFile skips what was not read of the current file and reads the file's end.
func (r *Reader) endFile() error {
	for r.left > 0 {
		n, err := r.r.Discard(int(min(r.left, 1<<30)))
		r.at += int64(n)
		r.left -= int64(n)
		if err != nil {
			return err
		}
	}
	r.inFile = false
	if err := r.padding(r.cur.Size); err != nil {
		return err
	}
	if err := r.expect(")"); err != nil {
		return err
	}
	return r.endNode()
}

func (r *Reader) link(e Entry) (Entry, error) {
	if err := r.expect("target"); err != nil {
		return Entry{}, err
	}
	var err error
	if e.Target, err = r.str(maxTarget); err != nil {
		return Entry{}, err
	}
	if err := checkTarget(e.Target); err != nil {
		return Entry{}, malformed("%v", err)
	}
	if err := r.expect(")"); err != nil {
		return Entry{}, err
	}
	return e, r.endNode()
}

// endNode reads what follows a node's own ")": the entry's ")", unless the node is the top.
func (r *Reader) endNode() error {
	if len(r.folders) == 0 {
		return nil
	}
	return r.expect(")")
}

func (r *Reader) take(n int) ([]byte, error) {
	b, err := r.r.Peek(n)
	if err != nil {
		return nil, err
	}
	r.at += int64(n)
	_, err = r.r.Discard(n)
	return b, err
}

func (r *Reader) u64() (uint64, error) {
	b, err := r.take(8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

// maxTag is more than any tag's length.
const maxTag = 16

func (r *Reader) tag() (string, error) { return r.str(maxTag) }

func (r *Reader) expect(tags ...string) error {
	for _, want := range tags {
		have, err := r.tag()
		if err != nil {
			return err
		}
		if have != want {
			return malformed("want %q, have %q", want, have)
		}
	}
	return nil
}

func (r *Reader) str(limit int) (string, error) {
	n, err := r.u64()
	if err != nil {
		return "", err
	}
	if n > uint64(limit) {
		return "", malformed("string of %d bytes where at most %d can be", n, limit)
	}
	b, err := r.take(int(n))
	if err != nil {
		return "", err
	}
	s := string(b)
	return s, r.padding(int64(n))
}

func (r *Reader) padding(n int64) error {
	b, err := r.take(int(-n & 7))
	if err != nil {
		return err
	}
	if strings.Trim(string(b), "\x00") != "" {
		return malformed("padding is not zero")
	}
	return nil
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrFormat}, args...)...)
}

// explain says where an error was met.
func (r *Reader) explain(err error) error {
	if errors.Is(err, io.EOF) {
		err = malformed("%w", io.ErrUnexpectedEOF)
	}
	where := fmt.Sprintf("read NAR at byte %d", r.at)
	if r.cur.Path != "" {
		where += fmt.Sprintf(", after %q", r.cur.Path)
	}
	return fmt.Errorf("%s: %w", where, err)
}
