package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"headwater/internal/nix"
)

// rootServer takes new roots while a collector runs, as Nix's does: a client sends a path and a newline and is answered "1"
// once the collector will not delete the path, or has deleted it.
type rootServer struct {
	listener *net.UnixListener
	add      func(nix.StorePath) // returns when the answer may be given

	wg    sync.WaitGroup
	mu    sync.Mutex
	conns map[net.Conn]bool
	done  bool
}

// socketPath names a socket in an open folder, since a socket's own path may be no longer than 107 bytes. The folder must
// stay open while the name is used.
func socketPath(dir *os.File) string {
	return "/proc/self/fd/" + strconv.Itoa(int(dir.Fd())) + "/socket"
}

// serveRoots starts a server. The caller holds gc.lock, so an old socket there is a dead collector's.
func (s *Store) serveRoots(ctx context.Context, add func(nix.StorePath)) (*rootServer, error) {
	if err := os.MkdirAll(s.state("gc-socket"), 0o755); err != nil {
		return nil, err
	}
	dir, err := os.Open(s.state("gc-socket"))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	if err := notExist(os.Remove(s.state("gc-socket", "socket"))); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", socketPath(dir))
	if err != nil {
		return nil, fmt.Errorf("listen for roots: %w", err)
	}
	srv := &rootServer{listener: l.(*net.UnixListener), add: add, conns: map[net.Conn]bool{}}
	srv.listener.SetUnlinkOnClose(false) // its name is of a closed descriptor; the next collector removes the socket
	if err := os.Chmod(s.state("gc-socket", "socket"), 0o666); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	srv.wg.Go(srv.accept)
	return srv, nil
}

func (r *rootServer) accept() {
	for {
		c, err := r.listener.Accept()
		if err != nil {
			if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ECONNABORTED) {
				continue
			}
			return // closed
		}
		r.mu.Lock()
		if r.done {
			c.Close()
		} else {
			r.conns[c] = true
			r.wg.Go(func() { r.serve(c) })
		}
		r.mu.Unlock()
	}
}

func (r *rootServer) serve(c net.Conn) {
	defer func() {
		c.Close()
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.conns, c)
	}()
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		if p, err := nix.ParseStorePath(lines.Text()); err == nil {
			r.add(p)
		}
		if _, err := c.Write([]byte("1")); err != nil {
			return
		}
	}
}

// close stops listening, cuts connections off and waits for all that serves them. Whoever waits for an answer tries again.
func (r *rootServer) close() {
	r.listener.Close()
	r.mu.Lock()
	r.done = true
	for c := range r.conns {
		c.Close()
	}
	r.mu.Unlock()
	r.wg.Wait()
}
