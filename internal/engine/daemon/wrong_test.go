package daemon_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/engine/daemon"
	"headwater/internal/nix/worker"
	"headwater/internal/nixtest"
	"headwater/internal/store"
)

// serve listens at a socket and has each connection served, until the test ends.
func serve(t *testing.T, handle func(*net.UnixConn)) (address string) {
	t.Helper()
	socket := filepath.Join(storeDir(t), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				handle(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return "unix://" + socket
}

// session has real Nix build a goal and keeps what its daemon says.
func session(t *testing.T, l *lab, goal *dag.Node) []byte {
	t.Helper()
	real := strings.TrimPrefix(l.listen(storeDir(t)), "unix://")
	var said bytes.Buffer
	var first atomic.Bool
	all := make(chan struct{}) // closed when said is whole
	proxy := serve(t, func(c *net.UnixConn) {
		d, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: real, Net: "unix"})
		if err != nil {
			t.Error(err)
			return
		}
		go func() {
			io.Copy(d, c)
			d.CloseWrite()
		}()
		var to io.Writer = c
		if first.CompareAndSwap(false, true) { // the second one only asks how far the first one is
			defer close(all)
			to = io.MultiWriter(c, &said)
		}
		io.Copy(to, d)
	})
	l.build(proxy, goal)
	<-all
	return said.Bytes()
}

// replays says the same again, whatever it is asked, and then no more.
func replays(t *testing.T, said []byte) (address string) {
	var first atomic.Bool
	return serve(t, func(c *net.UnixConn) {
		if !first.CompareAndSwap(false, true) {
			return
		}
		go func() {
			c.Write(said)
			c.CloseWrite()
		}()
		io.Copy(io.Discard, c)
	})
}

// small is a graph whose session is short.
func small(t *testing.T) *dag.Node {
	g := newGraph(t)
	a := g.drv("a", []string{"sleep", "20ms", "tick"})
	return g.drv("b", []string{"shell", "write $out needle"}, a)
}

// Wherever a daemon hangs up, the error says so, and nothing of the goal becomes valid.
func TestDaemonHangsUpAnywhere(t *testing.T) {
	for _, r := range []nixtest.Release{nixtest.Old, nixtest.Current} {
		t.Run(string(r), func(t *testing.T) {
			goal := small(t)
			recorder := newLab(t, nil)
			recorder.use(nixtest.New(t, r))
			said := session(t, recorder, goal)
			l := newLab(t, nil)
			const places = 60 // package worker has its operations tested at every byte
			for i := range places {
				n := len(said) * i / places &^ 7 // every value begins at a multiple of eight
				_, err := l.realise(replays(t, said[:n]), engine.Options{}, goal)
				var failed *daemon.Error
				if !errors.As(err, &failed) || !strings.Contains(err.Error(), "hung up") {
					t.Errorf("after %d of %d bytes: %v", n, len(said), err)
				}
				if v, err := l.store.Valid(t.Context(), goal.Path()); err != nil || len(v) > 0 {
					t.Fatalf("after %d of %d bytes: %v is valid, %v", n, len(said), v, err)
				}
			}
			balanced(t, l.events.take())
			l.clean()
			l.build(replays(t, said), goal)
			l.clean()
		})
	}
}

// A daemon that lies of what it sends is found out.
func TestDaemonLies(t *testing.T) {
	goal := small(t)
	recorder := newLab(t, nil)
	recorder.use(nixtest.New(t, nixtest.Current))
	said := session(t, recorder, goal)
	info, err := recorder.store.Query(t.Context(), goal.Path())
	if err != nil {
		t.Fatal(err)
	}
	hash := []byte(hex.EncodeToString(info.NARHash.Digest()))
	for _, c := range []struct {
		name     string
		from, to []byte
		want     error
	}{
		{"other content", []byte("needle"), []byte("noodle"), store.ErrMismatch},
		{"no archive", []byte("nix-archive-1"), []byte("nix-archive-2"), store.ErrMismatch},
		{"other hash", hash, append([]byte("00"), hash[2:]...), store.ErrMismatch},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !bytes.Contains(said, c.from) {
				t.Fatalf("the daemon did not say %q", c.from)
			}
			l := newLab(t, nil)
			_, err := l.realise(replays(t, bytes.ReplaceAll(said, c.from, c.to)), engine.Options{}, goal)
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			balanced(t, l.events.take())
			if v, err := l.store.Valid(t.Context(), goal.Path()); err != nil || len(v) > 0 {
				t.Errorf("valid: %v, %v", v, err)
			}
			l.clean()
		})
	}
}

// A daemon that is too old is told from one that is broken.
func TestOldDaemon(t *testing.T) {
	g := newGraph(t)
	goal := g.drv("a", []string{"write", "x"})
	l := newLab(t, nil)
	_, err := l.realise(replays(t, []byte("oixd\x00\x00\x00\x00\x21\x01\x00\x00\x00\x00\x00\x00")), engine.Options{}, goal)
	var e *daemon.Error
	var version *worker.VersionError
	if !errors.As(err, &version) || version.Have != (worker.Version{Major: 1, Minor: 33}) || !errors.As(err, &e) || !strings.Contains(e.Hint(), "2.8") {
		t.Errorf("error %v", err)
	}
	l.clean(goal)
}
