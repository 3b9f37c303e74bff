package nar

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
)

const (
	chunkSize  = 256 << 10 // fits a core's cache, and makes handing over rare
	chunkCount = 16        // bounds the memory of one fan
)

// chunk is one piece of a stream. Once it is ready its content is final.
type chunk struct {
	buf   []byte
	reads []read        // what still has to be read into buf
	ready chan struct{} // closed when all reads are done
	err   error         // why the stream ends before this chunk
	users atomic.Int32  // consumers that have not finished with it
}

// fan passes a stream, chunk by chunk, from one producer to several consumers that work at the same time. Chunks go
// round: the producer waits for one that all consumers have finished with, which bounds memory to chunkCount chunks.
type fan struct {
	free chan *chunk
	outs []chan *chunk // one per consumer; each has room for all chunks, so sending never blocks
	stop chan struct{} // closed by the first fail
	once sync.Once
	err  error // the first failure; read after stop is closed
	wg   sync.WaitGroup
}

func newFan(consumers int) *fan {
	f := &fan{free: make(chan *chunk, chunkCount), stop: make(chan struct{})}
	for range chunkCount {
		f.free <- nil // allocated when first needed: most trees are small
	}
	for range consumers {
		f.outs = append(f.outs, make(chan *chunk, chunkCount))
	}
	return f
}

// fail ends the stream for all; only the first cause is kept.
func (f *fan) fail(err error) {
	f.once.Do(func() {
		f.err = err
		close(f.stop)
	})
}

// watch fails f when ctx is done, until the returned function is called.
func (f *fan) watch(ctx context.Context) (unwatch func() bool) {
	return context.AfterFunc(ctx, func() { f.fail(context.Cause(ctx)) })
}

// get is an empty chunk, or nil if f has failed.
func (f *fan) get() *chunk {
	select {
	case <-f.stop:
		return nil
	case c := <-f.free:
		if c == nil {
			c = &chunk{} // its buffer grows as needed
		}
		c.buf, c.reads, c.err = c.buf[:0], c.reads[:0], nil
		c.ready = make(chan struct{})
		c.users.Store(int32(len(f.outs)))
		return c
	}
}

// send hands c to all consumers.
func (f *fan) send(c *chunk) {
	for _, out := range f.outs {
		out <- c
	}
}

// end tells the consumers that no chunk follows.
func (f *fan) end() {
	for _, out := range f.outs {
		close(out)
	}
}

// next is consumer i's next ready chunk, nil at the stream's end or if f has failed.
func (f *fan) next(i int) *chunk {
	var c *chunk
	select {
	case c = <-f.outs[i]:
	case <-f.stop:
		return nil
	}
	if c == nil {
		return nil
	}
	select {
	case <-c.ready:
	case <-f.stop:
		return nil
	}
	if c.err != nil {
		f.fail(c.err)
		return nil
	}
	return c
}

// release gives c back for one consumer.
func (f *fan) release(c *chunk) {
	if c.users.Add(-1) == 0 {
		f.free <- c
	}
}

// drain writes consumer i's chunks to w.
func (f *fan) drain(i int, w io.Writer) {
	for c := f.next(i); c != nil; c = f.next(i) {
		if _, err := w.Write(c.buf); err != nil {
			f.fail(err)
			return
		}
		f.release(c)
	}
}

// fill is a producer: it reads r to its end.
func (f *fan) fill(r io.Reader) {
	defer f.end()
	for {
		c := f.get()
		if c == nil {
			return
		}
		var err error
		for len(c.buf) < chunkSize && err == nil {
			if len(c.buf) == cap(c.buf) {
				c.buf = slices.Grow(c.buf, max(16<<10, len(c.buf)))
			}
			var n int
			n, err = r.Read(c.buf[len(c.buf):min(cap(c.buf), chunkSize)])
			c.buf = c.buf[:len(c.buf)+n]
		}
		if err != nil && err != io.EOF {
			c.err = fmt.Errorf("read: %w", err)
		}
		close(c.ready)
		f.send(c)
		if err != nil {
			return
		}
	}
}

// fanReader is consumer 0 as a reader.
type fanReader struct {
	*fan
	cur  *chunk
	done int // bytes of cur already read
}

func (r *fanReader) Read(b []byte) (int, error) {
	for r.cur == nil || r.done == len(r.cur.buf) {
		if r.cur != nil {
			r.release(r.cur)
		}
		r.cur, r.done = r.next(0), 0
		if r.cur == nil {
			if err := r.result(); err != nil {
				return 0, err
			}
			return 0, io.EOF
		}
	}
	n := copy(b, r.cur.buf[r.done:])
	r.done += n
	return n, nil
}

// result is what went wrong, once every producer and consumer has ended.
func (f *fan) result() error {
	select {
	case <-f.stop:
		return f.err
	default:
		return nil
	}
}
