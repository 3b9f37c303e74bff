package nar

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"headwater/internal/nix"
)

// Dump writes the archive of the file, link or folder at path.
func Dump(w io.Writer, path string) error { return newFan(1).dump(onDisk(path), w) }

// DumpTo writes the archive of the file, link or folder at path to every one of ws. The tree is read once; each writer has a
// goroutine of its own, so that hashing, scanning and reading overlap. Writers get pieces of at most 256 KiB, which they
// must not keep.
func DumpTo(ctx context.Context, path string, ws ...io.Writer) error {
	return dumpTo(ctx, onDisk(path), ws...)
}

// HashPath is the SHA-256 and the length of path's archive.
func HashPath(path string) (nix.Hash, int64, error) {
	return sum(nil, func(ws ...io.Writer) error { return newFan(len(ws)).dump(onDisk(path), ws...) })
}

// Hash is HashPath, but the archive goes also to the other writers, as in DumpTo.
func Hash(ctx context.Context, path string, also ...io.Writer) (nix.Hash, int64, error) {
	return sum(also, func(ws ...io.Writer) error { return dumpTo(ctx, onDisk(path), ws...) })
}

// sum hashes what dump writes to all of its writers.
func sum(also []io.Writer, dump func(...io.Writer) error) (nix.Hash, int64, error) {
	s := nix.NewSummer()
	// The hash comes last: the last writer has the caller's goroutine, which is running already.
	if err := dump(append(slices.Clip(also), s)...); err != nil {
		return nix.Hash{}, 0, err
	}
	h, n := s.Sum()
	return h, n, nil
}

func dumpTo(ctx context.Context, tree func(*dumper) error, ws ...io.Writer) error {
	if len(ws) == 0 {
		ws = []io.Writer{io.Discard} // the tree is read all the same: can it be?
	}
	f := newFan(len(ws))
	defer f.watch(ctx)()
	return f.dump(tree, ws...)
}

// dump runs the producer and the consumers of one archive and waits for all. f has a consumer for each writer.
func (f *fan) dump(tree func(*dumper) error, ws ...io.Writer) error {
	d := &dumper{fan: f, work: make(chan *chunk, chunkCount)}
	f.wg.Go(func() { d.run(tree) })
	last := len(ws) - 1
	for i := range last {
		f.wg.Go(func() { f.drain(i, ws[i]) })
	}
	f.drain(last, ws[last])
	f.wg.Wait()
	return f.result()
}

// dumper is the producer of an archive: it lays out the stream and leaves room for what small files hold, which readers
// fill in. What a big file holds it reads itself.
type dumper struct {
	*fan
	work    chan *chunk // chunks with reads to do; has room for all
	readers int         // goroutines that do them
	cur     *chunk
	dead    bool // the fan has failed: nothing is kept any more
}

// maxReaders is how many goroutines open and read small files; more than cores, since on a cold cache they wait for the disk.
const maxReaders = 4

// read is a piece of a chunk that a small file's content fills.
type read struct {
	off, size int
	src       content
}

func (d *dumper) run(tree func(*dumper) error) {
	defer d.end()
	defer close(d.work)
	d.str(magic)
	if err := tree(d); err != nil && d.room(0) {
		d.cur.err = err
	}
	d.flush()
}

// flush sends the chunk that is being filled.
func (d *dumper) flush() {
	c := d.cur
	if c == nil || d.dead {
		return
	}
	d.cur = nil
	if len(c.reads) == 0 {
		close(c.ready)
	} else {
		if d.readers < maxReaders {
			d.readers++
			d.wg.Go(func() { readAll(d.fan, d.work) })
		}
		d.work <- c
	}
	d.send(c)
}

// room sees to it that n bytes fit the current chunk; it is false if the fan has failed.
func (d *dumper) room(n int) bool {
	if d.cur != nil && len(d.cur.buf)+n > chunkSize {
		d.flush()
	}
	if d.cur == nil && !d.dead {
		d.cur = d.get()
		d.dead = d.cur == nil
	}
	return !d.dead
}

func (d *dumper) u64(n uint64) {
	if d.room(8) {
		d.cur.buf = binary.LittleEndian.AppendUint64(d.cur.buf, n)
	}
}

func (d *dumper) pad(n int64) {
	if d.room(8) {
		d.cur.buf = append(d.cur.buf, make([]byte, -n&7)...)
	}
}

func (d *dumper) str(ss ...string) {
	for _, s := range ss {
		d.u64(uint64(len(s)))
		if d.room(len(s) + 8) {
			d.cur.buf = append(d.cur.buf, s...)
			d.pad(int64(len(s)))
		}
	}
}

func (d *dumper) link(target string) { d.str("(", "type", "symlink", "target", target, ")") }

// file writes a regular file of known size.
func (d *dumper) file(executable bool, size int64, src content) error {
	d.str("(", "type", "regular")
	if executable {
		d.str("executable", "")
	}
	d.str("contents")
	d.u64(uint64(size))
	switch {
	case size > chunkSize/2:
		if err := d.big(size, src); err != nil {
			return err
		}
	case size > 0 && d.room(int(size)):
		c := d.cur
		c.reads = append(c.reads, read{len(c.buf), int(size), src})
		c.buf = slices.Grow(c.buf, int(size))[:len(c.buf)+int(size)]
	}
	d.pad(size)
	d.str(")")
	return nil
}

// big reads size bytes, chunk by chunk, ahead of the consumers.
func (d *dumper) big(size int64, src content) error {
	f, err := src.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	for left := size; left > 0 && d.room(4096); {
		b := slices.Grow(d.cur.buf, chunkSize-len(d.cur.buf))
		n := int(min(left, int64(chunkSize-len(b))))
		if _, err := io.ReadFull(f, b[len(b):len(b)+n]); err != nil {
			return src.unexpected(err)
		}
		d.cur.buf = b[:len(b)+n]
		left -= int64(n)
	}
	if d.dead {
		return nil
	}
	return src.expectEnd(f)
}

// readAll does the reads of chunks as they come, until none comes any more.
func readAll(f *fan, work <-chan *chunk) {
	for c := range work {
		for _, r := range c.reads {
			if f.result() != nil {
				break
			}
			if err := r.do(c.buf); err != nil {
				c.err = err // in the stream it comes before what the dumper may have met
				break
			}
		}
		close(c.ready)
	}
}

func (r read) do(buf []byte) error {
	f, err := r.src.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.ReadFull(f, buf[r.off:r.off+r.size]); err != nil {
		return r.src.unexpected(err)
	}
	return r.src.expectEnd(f)
}

// content is where a file's bytes come from.
type content struct {
	name string // of the file, in errors
	open func() (io.ReadCloser, error)
}

// Open opens the content.
func (c content) Open() (io.ReadCloser, error) {
	if c.open == nil {
		return openFile(c.name)
	}
	f, err := c.open()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	return f, nil
}

// unexpected explains an error of reading as much as the file is long.
func (c content) unexpected(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s: is shorter than it said", c.name)
	}
	return fmt.Errorf("%s: %w", c.name, err)
}

// expectEnd makes sure that a file is not longer than it said.
func (c content) expectEnd(r io.Reader) error {
	var b [1]byte
	switch n, err := r.Read(b[:]); {
	case n > 0:
		return fmt.Errorf("%s: is longer than it said", c.name)
	case err != nil && !errors.Is(err, io.EOF):
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}
