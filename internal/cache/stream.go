package cache

import (
	"context"
	"io"
	"sync/atomic"
	"time"
)

// leastInWindow is what a transfer has to bring in each window of time, or it is given up: bytes, unless it ends before.
const leastInWindow = 16 << 10

// stream is a download that is watched: one that stalls, or drips, ends with errStalled. Only time that is spent waiting for
// bytes counts: who reads may be slow.
type stream struct {
	body   io.ReadCloser
	ctx    context.Context // the request's; a stream is no longer than one
	cancel context.CancelCauseFunc
	window time.Duration
	timer  *time.Timer // runs while a Read waits
	waited time.Duration
	moved  int
}

func newStream(ctx context.Context, cancel context.CancelCauseFunc, body io.ReadCloser, window time.Duration) *stream {
	s := &stream{body: body, ctx: ctx, cancel: cancel, window: window}
	s.timer = time.AfterFunc(window, func() { cancel(errStalled) })
	s.timer.Stop()
	return s
}

func (s *stream) Read(b []byte) (int, error) {
	began := time.Now()
	s.timer.Reset(s.window - s.waited)
	n, err := s.body.Read(b)
	s.timer.Stop()
	s.waited += time.Since(began)
	if s.moved += n; s.moved >= leastInWindow {
		s.moved, s.waited = 0, 0
	}
	if err != nil && err != io.EOF {
		err = explain(s.ctx, err)
	}
	return n, err
}

// Close ends the transfer.
func (s *stream) Close() error {
	s.timer.Stop()
	s.cancel(nil)
	return s.body.Close()
}

// upload watches what a request sends.
type upload struct {
	window time.Duration
	cancel context.CancelCauseFunc
	timer  *time.Timer
	moved  atomic.Int64 // since the last tick
}

// newUpload ends a request by cancel if it stalls. Stop it when the answer is there.
func newUpload(cancel context.CancelCauseFunc, window time.Duration) *upload {
	u := &upload{window: window, cancel: cancel}
	u.moved.Store(leastInWindow) // the first window is for connecting
	u.timer = time.AfterFunc(window, u.tick)
	return u
}

func (u *upload) tick() {
	if u.moved.Swap(0) < leastInWindow {
		u.cancel(errStalled)
		return
	}
	u.timer.Reset(u.window)
}

// count has what is read from r count as sent.
func (u *upload) count(r io.Reader) io.Reader { return io.TeeReader(r, u) }

// Write is told what is sent.
func (u *upload) Write(b []byte) (int, error) {
	u.moved.Add(int64(len(b)))
	return len(b), nil
}
