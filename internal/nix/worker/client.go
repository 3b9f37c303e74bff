package worker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// The greetings.
const (
	clientMagic = 0x6e697863
	daemonMagic = 0x6478696f
)

// Client is a connection to a daemon. It does one operation at a time: it is not safe for concurrent use.
type Client struct {
	conn   io.ReadWriteCloser
	r      reader
	w      writer
	sink   func(Message)
	daemon Daemon
	broken error // why the connection is closed
}

// New greets the daemon on the other side of conn, which it owns from then on. sink gets the daemon's messages, in the
// goroutine of the operation that they come with; it must not use the client.
func New(ctx context.Context, conn io.ReadWriteCloser, sink func(Message)) (*Client, error) {
	c := &Client{conn: conn, r: reader{r: bufio.NewReaderSize(conn, 64<<10)}, w: writer{bufio.NewWriterSize(conn, 64<<10)}, sink: sink}
	if err := c.do(ctx, "greet", c.greet); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Daemon tells who is on the other side.
func (c *Client) Daemon() Daemon { return c.daemon }

// Close ends the connection. What the daemon works on for it is broken off.
func (c *Client) Close() error {
	if c.broken != nil {
		return nil // closed when it broke
	}
	c.broken = errors.New("connection is closed")
	return c.conn.Close()
}

// do runs an operation: if ctx ends, or if anything but a *RemoteError goes wrong, the connection is closed, since nobody
// knows any more what comes next on it.
func (c *Client) do(ctx context.Context, operation string, f func() error) error {
	if c.broken != nil {
		return &ProtocolError{Operation: operation, Err: c.broken}
	}
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	err := f()
	if err == nil {
		err = c.r.err
	}
	cancelled := !stop()
	var remote *RemoteError
	var end *fatal
	if !cancelled && (err == nil || errors.As(err, &remote) && !errors.As(err, &end)) {
		return err
	}
	c.conn.Close() // an error of it would say less than the one at hand
	c.broken = err
	if cancelled {
		c.broken = context.Cause(ctx)
		return c.broken
	}
	if errors.As(err, &remote) {
		return remote
	}
	var version *VersionError
	if errors.As(err, &version) {
		return err
	}
	return &ProtocolError{Operation: operation, Err: err}
}

func (c *Client) greet() error {
	c.w.u64(clientMagic)
	c.w.u64(newest().wire())
	if err := c.flush("greet"); err != nil {
		return err
	}
	if err := c.expectMagic(); err != nil {
		return err
	}
	n := c.r.number("protocol version", 1<<16-1)
	have := Version{int(n >> 8), int(n & 0xff)}
	switch {
	case c.r.err != nil:
		return c.r.err
	case have.Major != newest().Major || have.less(oldest()):
		return &VersionError{Have: have}
	}
	c.daemon.Protocol = have
	if newest().less(have) {
		c.daemon.Protocol = newest()
	}
	if !c.daemon.Protocol.less(Version{1, 38}) {
		c.w.strs(nil) // features
		if err := c.flush("greet"); err != nil {
			return err
		}
		c.r.words()
	}
	c.w.u64(0) // processor affinity, obsolete
	c.w.u64(0) // reserved space, obsolete
	if err := c.flush("greet"); err != nil {
		return err
	}
	c.daemon.Nix = c.r.word()
	if !c.daemon.Protocol.less(Version{1, 35}) {
		c.daemon.Trust = Trust(c.r.number("trust", uint64(NotTrusted)))
	}
	if c.r.err != nil {
		return c.r.err
	}
	return c.messages("greet")
}

// expectMagic explains what came if it is not a daemon's greeting: over ssh that may be anything.
func (c *Client) expectMagic() error {
	peeked, err := c.r.r.Peek(8)
	start := string(peeked)
	if err != nil && start == "" {
		return hangup(err)
	}
	if err == nil && c.r.u64() == daemonMagic {
		return nil
	}
	if err == nil {
		more, _ := c.r.r.Peek(min(c.r.r.Buffered(), 80)) // what is there already
		start += string(more)
	}
	return fmt.Errorf("what answers is not a Nix daemon: it says %s", strconv.Quote(start))
}

// call sends a request, reads messages until the daemon is done, and then the answer.
func (c *Client) call(ctx context.Context, operation string, op uint64, request, answer func()) error {
	return c.do(ctx, operation, func() error {
		c.w.u64(op)
		request()
		if err := c.flush(operation); err != nil {
			return err
		}
		if err := c.messages(operation); err != nil {
			return err
		}
		answer()
		return c.r.err
	})
}

// flush sends what was written. A daemon that reads no more may have said why.
func (c *Client) flush(operation string) error {
	err := c.w.w.Flush()
	if err == nil {
		return nil
	}
	var remote *RemoteError
	if read := c.messages(operation); errors.As(read, &remote) {
		return &fatal{remote}
	}
	return hangup(err)
}

// batch is how many requests are sent before their answers are read: so few that all fit into a pipe, or the daemon could
// wait for us to read while we wait for it to read.
const batch = 64

// each does an operation for each of n things, without waiting for one answer before the next request.
func (c *Client) each(ctx context.Context, operation string, op uint64, n int, request, answer func(i int)) error {
	return c.do(ctx, operation, func() error {
		for from := 0; from < n; from += batch {
			to := min(from+batch, n)
			for i := from; i < to; i++ {
				c.w.u64(op)
				request(i)
			}
			if err := c.flush(operation); err != nil {
				return err
			}
			for i := from; i < to; i++ {
				if err := c.messages(operation); err != nil {
					var remote *RemoteError
					if errors.As(err, &remote) && i+1 < to {
						return &fatal{err} // answers are still to come
					}
					return err
				}
				if answer(i); c.r.err != nil {
					return c.r.err
				}
			}
		}
		return nil
	})
}

// fatal is a *RemoteError after which the connection cannot go on.
type fatal struct{ error }

func (f *fatal) Unwrap() error { return f.error }
