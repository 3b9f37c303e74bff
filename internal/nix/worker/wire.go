package worker

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"syscall"

	"headwater/internal/nix"
)

// Limits of what is read. None is reached by what Nix sends.
const (
	maxWord  = 64 << 10 // a path, a hash, a signature, a name
	maxText  = 1 << 20  // a message's text; what is longer is cut
	maxSkip  = 1 << 30  // of a text that is cut: bytes that are read over
	maxCount = 1 << 20  // of a list
	maxValue = 16 << 20 // a value that is read over: a realisation, a trace
	step     = 64 << 10 // by which memory grows while a string is read
)

// reader reads the protocol's values. The first error stays: what is read after it is zero, so that it can be asked for once.
type reader struct {
	r   *bufio.Reader
	err error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// full reads exactly len(b) bytes.
func (r *reader) full(b []byte) {
	if r.err != nil {
		return
	}
	if _, err := io.ReadFull(r.r, b); err != nil {
		r.fail(hangup(err))
	}
}

// errHungUp explains the end of the connection.
var errHungUp = errors.New("the daemon hung up")

// hangup makes the end of the connection an error that says what it means.
func hangup(err error) error {
	if errors.Is(err, errHungUp) {
		return err
	}
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.EPIPE, syscall.ECONNRESET} {
		if !errors.Is(err, end) {
			continue
		}
		return fmt.Errorf("%w: %w", errHungUp, err)
	}
	return err
}

func (r *reader) u64() uint64 {
	var b [8]byte
	r.full(b[:])
	if r.err != nil {
		return 0
	}
	return binary.LittleEndian.Uint64(b[:])
}

// number reads a number of at most limit; what names it in errors.
func (r *reader) number(what string, limit uint64) uint64 {
	n := r.u64()
	if n > limit {
		r.fail(fmt.Errorf("%s is %d, more than %d", what, n, limit))
		return 0
	}
	return n
}

func (r *reader) bool() bool { return r.u64() != 0 }

// word reads a short string.
func (r *reader) word() string {
	n := r.number("length of a string", maxWord)
	b := make([]byte, n)
	r.full(b)
	r.pad(n)
	if r.err != nil {
		return ""
	}
	return string(b)
}

// text reads a string for people. One that is longer than limit is cut.
func (r *reader) text(limit int) string {
	n := r.number("length of a text", maxSkip)
	keep := min(n, uint64(limit))
	var out []byte
	for uint64(len(out)) < keep && r.err == nil {
		at := len(out)
		out = append(out, make([]byte, min(keep-uint64(at), step))...)
		r.full(out[at:])
	}
	if r.err == nil && n > keep {
		if _, err := io.CopyN(io.Discard, r.r, int64(n-keep)); err != nil {
			r.fail(hangup(err))
		}
	}
	r.pad(n)
	if r.err != nil {
		return ""
	}
	return string(out)
}

// pad reads the zeros after n bytes.
func (r *reader) pad(n uint64) {
	var b [8]byte
	r.full(b[:-n&7])
	if r.err == nil && b != [8]byte{} {
		r.fail(errors.New("padding of a string is not zero"))
	}
}

// list reads a list's length and then each element by f.
func (r *reader) list(f func()) {
	for n := r.number("length of a list", maxCount); n > 0 && r.err == nil; n-- {
		f()
	}
}

func (r *reader) words() (words []string) {
	r.list(func() { words = append(words, r.word()) })
	return words
}

// path reads a store path, or "" if that may be.
func (r *reader) path(orNone bool) nix.StorePath {
	s := r.word()
	if r.err != nil || s == "" && orNone {
		return ""
	}
	p, err := nix.ParseStorePath(s)
	if err != nil {
		r.fail(err)
	}
	return p
}

func (r *reader) paths() (paths []nix.StorePath) {
	r.list(func() { paths = append(paths, r.path(false)) })
	return paths
}

// writer writes the protocol's values into a buffer. The first error stays; flush tells it.
type writer struct{ w *bufio.Writer }

func (w writer) u64(n uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	w.w.Write(b[:]) // bufio keeps the error
}

func (w writer) bool(b bool) {
	if b {
		w.u64(1)
	} else {
		w.u64(0)
	}
}

func (w writer) str(s string) {
	w.u64(uint64(len(s)))
	w.w.WriteString(s)
	var zeros [8]byte
	w.w.Write(zeros[:-len(s)&7])
}

func (w writer) strs(ss []string) {
	w.u64(uint64(len(ss)))
	for _, s := range ss {
		w.str(s)
	}
}

func (w writer) paths(paths []nix.StorePath) {
	w.u64(uint64(len(paths)))
	for _, p := range paths {
		w.str(string(p))
	}
}

// frames cuts a stream into frames: a length and that many bytes; an empty one is the end.
type frames struct{ w writer }

func (f frames) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	f.w.u64(uint64(len(b)))
	return f.w.w.Write(b)
}

func (f frames) end() error {
	f.w.u64(0)
	return f.w.w.Flush()
}
