package fetch_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/artifact"
	"headwater/internal/fetch"
	"headwater/internal/nix"
	"headwater/internal/registry"
)

const secret = "s3cr3t-t0ken"

// content is what the artifacts of these tests hold: not compressible, several buffers long.
func content() []byte {
	out := make([]byte, 300_000)
	chacha := rand.NewChaCha8([32]byte{1})
	chacha.Read(out)
	return out
}

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(data)
	z.Close()
	return b.Bytes()
}

// mirror serves one artifact, with faults. It counts requests and notes their headers.
type mirror struct {
	mu       sync.Mutex
	requests []http.Header
	handle   func(w http.ResponseWriter, r *http.Request, n int) // n counts from 0
}

func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	n := len(m.requests)
	m.requests = append(m.requests, r.Header.Clone())
	m.mu.Unlock()
	m.handle(w, r, n)
}

func (m *mirror) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.requests)
}

func (m *mirror) header(n int) http.Header {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.requests[n]
}

type handler = func(http.ResponseWriter, *http.Request, int)

// good serves the file as a good server does: with ranges and an entity tag.
func good(data []byte) handler {
	return func(w http.ResponseWriter, r *http.Request, _ int) {
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}
}

// cut serves the first n bytes of what it promises and closes the connection, as often as times says; then it is good.
func cut(data []byte, n, times int) handler {
	return func(w http.ResponseWriter, r *http.Request, i int) {
		if i >= times {
			good(data)(w, r, i)
			return
		}
		w.Header().Set("ETag", `"v1"`)
		start := 0
		if v, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
			start, _ = strconv.Atoi(strings.TrimSuffix(v, "-"))
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, len(data)-1, len(data)))
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(data)-start))
		if start > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		w.Write(data[start:min(start+n, len(data))])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

func status(code int) handler {
	return func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(code) }
}

// first answers the first n requests with one handler and the others with another.
func first(n int, a, b handler) handler {
	return func(w http.ResponseWriter, r *http.Request, i int) {
		if i < n {
			a(w, r, i)
			return
		}
		b(w, r, i)
	}
}

func reset(w http.ResponseWriter, _ *http.Request, _ int) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		conn.Close()
	}
}

func stall(w http.ResponseWriter, r *http.Request, _ int) {
	w.Header().Set("Content-Length", "300000")
	w.Write(content()[:10])
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

// world is a client whose npm mirrors are the given handlers, in that order.
type world struct {
	client  *fetch.Client
	mirrors []*mirror
	urls    []string
}

func newWorld(t *testing.T, o fetch.Options, handlers ...handler) *world {
	t.Helper()
	w := new(world)
	yaml := "registries: 1\nonly: true\nnpm:\n"
	for _, h := range handlers {
		m := &mirror{handle: h}
		srv := httptest.NewServer(m)
		t.Cleanup(srv.Close)
		w.mirrors, w.urls = append(w.mirrors, m), append(w.urls, srv.URL)
		yaml += "  - " + strings.Replace(srv.URL, "http://", "http://reader:"+secret+"@", 1) + "\n"
	}
	w.client = newClient(t, o, yaml)
	return w
}

func newClient(t *testing.T, o fetch.Options, yaml string) *fetch.Client {
	t.Helper()
	r, err := registry.Open(registry.Machine{Root: fstest.MapFS{"etc/headwater/registries.yaml": {Data: []byte(yaml)}}}, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if o.Backoff == 0 {
		o.Backoff = time.Millisecond
	}
	if o.Stall == 0 {
		o.Stall = 5 * time.Second
	}
	c := fetch.New(r, o)
	t.Cleanup(c.Close)
	return c
}

func pinned(data []byte) artifact.Artifact {
	return artifact.Artifact{
		Ecosystem: artifact.NPM, Name: "left", Version: "1.0.0", File: "left-1.0.0.bin", Hash: nix.Sum(nix.SHA512, data), Size: int64(len(data)),
	}
}

func TestFetch(t *testing.T) {
	data := content()
	wrong := bytes.Clone(data)
	wrong[1000] ^= 1
	tests := []struct {
		name     string
		handlers []handler
		options  fetch.Options
		change   func(*artifact.Artifact)
		requests []int // of each mirror
	}{
		{name: "good", handlers: []handler{good(data)}, requests: []int{1}},
		{name: "size unknown", handlers: []handler{good(data)}, requests: []int{1}, change: func(a *artifact.Artifact) { a.Size = 0 }},
		{name: "hash unknown", handlers: []handler{good(data)}, requests: []int{1}, change: func(a *artifact.Artifact) { a.Hash = nix.Hash{} }},
		{name: "first has it not", handlers: []handler{status(404), good(data)}, requests: []int{1, 1}},
		{name: "first has other bytes", handlers: []handler{good(wrong), good(data)}, requests: []int{1, 1}},
		{name: "first has more bytes", handlers: []handler{good(append(bytes.Clone(data), 0)), good(data)}, requests: []int{1, 1}},
		{name: "first is broken for good", handlers: []handler{status(500), good(data)}, requests: []int{1, 1}},
		{name: "broken for now", handlers: []handler{first(3, status(503), good(data))}, requests: []int{4}},
		{name: "reset before the head", handlers: []handler{first(2, reset, good(data))}, requests: []int{3}},
		{name: "cut short once", handlers: []handler{cut(data, 100_000, 1)}, requests: []int{2}},
		{name: "cut short often", handlers: []handler{cut(data, 30_000, 9)}, requests: []int{10}},
		{name: "cut short, then elsewhere", handlers: []handler{first(1, cut(data, 100_000, 1), status(404)), good(data)}, requests: []int{2, 1}},
		{name: "cut short, ranges ignored", requests: []int{2},
			handlers: []handler{first(1, cut(data, 100_000, 1), func(w http.ResponseWriter, _ *http.Request, _ int) { w.Write(data) })}},
		{name: "cut short, other range sent", requests: []int{3},
			handlers: []handler{first(1, cut(data, 100_000, 1), first(2, func(w http.ResponseWriter, _ *http.Request, _ int) {
				w.Header().Set("Content-Range", "bytes 5-299999/300000")
				w.WriteHeader(http.StatusPartialContent)
				w.Write(data[5:])
			}, good(data)))}},
		{name: "cut short, changed meanwhile", requests: []int{3},
			handlers: []handler{first(1, cut(wrong, 100_000, 1), first(2, func(w http.ResponseWriter, _ *http.Request, _ int) {
				w.Header().Set("Content-Range", "bytes 100000-299999/300000") // a server that does not know If-Range
				w.WriteHeader(http.StatusPartialContent)
				w.Write(data[100_000:])
			}, good(data)))}},
		{name: "stalls", options: fetch.Options{Stall: 50 * time.Millisecond}, handlers: []handler{first(1, stall, good(data))}, requests: []int{2}},
		{name: "slow is no stall", options: fetch.Options{Stall: 200 * time.Millisecond}, requests: []int{1},
			handlers: []handler{func(w http.ResponseWriter, _ *http.Request, _ int) {
				w.Header().Set("Content-Length", strconv.Itoa(len(data)))
				for part := range 10 {
					w.Write(data[part*30_000 : (part+1)*30_000])
					w.(http.Flusher).Flush()
					time.Sleep(50 * time.Millisecond)
				}
			}}},
		{name: "too many requests", requests: []int{2},
			handlers: []handler{first(1, func(w http.ResponseWriter, _ *http.Request, _ int) {
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(http.StatusTooManyRequests)
			}, good(data))}},
		{name: "a proxy compresses", requests: []int{1},
			handlers: []handler{func(w http.ResponseWriter, _ *http.Request, _ int) {
				w.Header().Set("Content-Encoding", "gzip")
				w.Write(gzipped(data))
			}}},
		{name: "a proxy compresses what has no known hash", requests: []int{1}, change: func(a *artifact.Artifact) { a.Hash, a.Size = nix.Hash{}, 0 },
			handlers: []handler{func(w http.ResponseWriter, _ *http.Request, _ int) {
				w.Header().Set("Content-Encoding", "gzip")
				w.Write(gzipped(data))
			}}},
		{name: "file's own compression declared as encoding", requests: []int{1},
			handlers: []handler{func(w http.ResponseWriter, _ *http.Request, _ int) {
				w.Header().Set("Content-Encoding", "x-gzip")
				w.Write(data)
			}}},
		{name: "redirect", requests: []int{2},
			handlers: []handler{first(1, func(w http.ResponseWriter, r *http.Request, _ int) {
				http.Redirect(w, r, "/elsewhere", http.StatusFound)
			}, good(data))}},
		{name: "length not told, cut short, once", requests: []int{2}, change: func(a *artifact.Artifact) { a.Size = 0 },
			handlers: []handler{first(1, unmarked(data[:1000]), good(data))}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tt.options, tt.handlers...)
			a := pinned(data)
			if tt.change != nil {
				tt.change(&a)
			}
			dir := t.TempDir()
			dst := filepath.Join(dir, "file")
			var last [2]int64
			got, err := w.client.Fetch(t.Context(), a, dst, func(done, total int64) { last = [2]int64{done, total} })
			if err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile(dst); err != nil || !bytes.Equal(b, data) {
				t.Errorf("content differs (%d bytes), %v", len(b), err)
			}
			wantHash := nix.Sum(nix.SHA512, data)
			if a.Hash.IsZero() {
				wantHash = nix.Sum(nix.SHA256, data)
			}
			if got.Hash != wantHash || got.Size != int64(len(data)) {
				t.Errorf("result %v %d, want %v %d", got.Hash, got.Size, wantHash, len(data))
			}
			if want := [2]int64{int64(len(data)), int64(len(data))}; last != want {
				t.Errorf("last progress %v, want %v", last, want)
			}
			var requests []int
			for _, m := range w.mirrors {
				requests = append(requests, m.count())
			}
			if diff := cmp.Diff(tt.requests, requests); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			only(t, dir, "file")
		})
	}
}

// unmarked serves data as HTTP/1.0 does without a length: the connection's end is the file's end.
func unmarked(data []byte) handler {
	return func(w http.ResponseWriter, _ *http.Request, _ int) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n")
		conn.Write(data)
	}
}

// only checks that a folder has these files and nothing else.
func only(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestFetchFails(t *testing.T) {
	data := content()
	bomb := gzipped(make([]byte, 5<<20)) // 5 kB
	endless := func(w http.ResponseWriter, r *http.Request, _ int) {
		for r.Context().Err() == nil {
			if _, err := w.Write(data); err != nil {
				return
			}
		}
	}
	tests := []struct {
		name     string
		handlers []handler
		options  fetch.Options
		change   func(*artifact.Artifact)
		gone     bool
		want     []string // in the error
		hint     string
	}{
		{name: "gone", handlers: []handler{status(404), status(403), status(410)}, gone: true,
			want: []string{"HTTP status 404 (Not Found)", "HTTP status 403", "HTTP status 410", "npm left 1.0.0 (left-1.0.0.bin)"}, hint: "lock again"},
		{name: "one broken is not gone", handlers: []handler{status(404), status(500)}, want: []string{"404", "500"}, hint: "network"},
		{name: "wrong everywhere", handlers: []handler{good(data[:299_999]), good(append([]byte{1}, data[1:]...))},
			want: []string{"has 299999 bytes, want 300000", "hash mismatch: want sha512-"}, hint: "before you lock again"},
		{name: "credentials refused", handlers: []handler{status(401)}, want: []string{"401"}, hint: "credentials"},
		{name: "reset", handlers: []handler{reset}, want: []string{"EOF"}},
		{name: "stalled", handlers: []handler{stall}, options: fetch.Options{Stall: 20 * time.Millisecond, Rounds: 2}, want: []string{"stalled"}},
		{name: "always cut short at the same place", handlers: []handler{cut(data, 0, 1000)}, want: []string{"cut short"}},
		{name: "endless, size known", handlers: []handler{endless}, want: []string{"want 300000"}},
		{name: "endless, size unknown", handlers: []handler{endless}, options: fetch.Options{MaxSize: 400_000}, want: []string{"is larger than 400000 bytes"},
			change: func(a *artifact.Artifact) { a.Size = 0 }},
		{name: "too large by its own word", handlers: []handler{good(data)}, options: fetch.Options{MaxSize: 1000}, want: []string{"is larger than 1000 bytes"},
			change: func(a *artifact.Artifact) { a.Size = 0 }},
		{name: "compression bomb", options: fetch.Options{MaxSize: 400_000}, want: []string{"is larger than 400000 bytes"},
			change: func(a *artifact.Artifact) { a.Size = 0 },
			handlers: []handler{func(w http.ResponseWriter, _ *http.Request, _ int) {
				w.Header().Set("Content-Encoding", "gzip")
				w.Write(bomb)
			}}},
		{name: "unknown encoding", want: []string{`encodes the file as "br"`},
			handlers: []handler{func(w http.ResponseWriter, _ *http.Request, _ int) { w.Header().Set("Content-Encoding", "br") }}},
		{name: "redirect loop", want: []string{"more than 10 redirects"},
			handlers: []handler{func(w http.ResponseWriter, r *http.Request, n int) {
				http.Redirect(w, r, fmt.Sprintf("/%d?token="+secret, n), http.StatusFound)
			}}},
		{name: "redirect to another scheme", want: []string{`scheme "ftp"`},
			handlers: []handler{func(w http.ResponseWriter, r *http.Request, _ int) {
				http.Redirect(w, r, "ftp://files.example/"+secret, http.StatusFound)
			}}},
		{name: "to come back tomorrow", want: []string{"429", "to be asked again in 24h0m0s"},
			handlers: []handler{func(w http.ResponseWriter, _ *http.Request, _ int) {
				w.Header().Set("Retry-After", "86400")
				w.WriteHeader(429)
			}}},
		{name: "whole file not marked, nothing known", handlers: []handler{unmarked(data)}, want: []string{"does not mark the end"},
			change: func(a *artifact.Artifact) { a.Hash, a.Size = nix.Hash{}, 0 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tt.options, tt.handlers...)
			a := pinned(data)
			if tt.change != nil {
				tt.change(&a)
			}
			dir := t.TempDir()
			_, err := w.client.Fetch(t.Context(), a, filepath.Join(dir, "file"), nil)
			if err == nil {
				t.Fatal("no error")
			}
			if got := errors.As(err, new(*fetch.GoneError)); got != tt.gone {
				t.Errorf("gone %v, want %v: %v", got, tt.gone, err)
			}
			for _, want := range append(tt.want, "npm[0] in /etc/headwater/registries.yaml") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error lacks %q: %v", want, err)
				}
			}
			for _, u := range w.urls {
				if !strings.Contains(err.Error(), u+"/left/-/left-1.0.0.bin") {
					t.Errorf("error lacks address %s: %v", u, err)
				}
			}
			if text := fmt.Sprintf("%+v %v", err, hint(err)); strings.Contains(text, secret) {
				t.Errorf("error has the secret: %s", text)
			}
			if !strings.Contains(hint(err), tt.hint) {
				t.Errorf("hint %q lacks %q", hint(err), tt.hint)
			}
			only(t, dir)
		})
	}
}

func hint(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

func TestFetchResumes(t *testing.T) {
	data := content()
	w := newWorld(t, fetch.Options{}, cut(data, 100_000, 1))
	if _, err := w.client.Fetch(t.Context(), pinned(data), filepath.Join(t.TempDir(), "file"), nil); err != nil {
		t.Fatal(err)
	}
	h := w.mirrors[0].header(1)
	got := []string{h.Get("Range"), h.Get("If-Range"), h.Get("Accept-Encoding"), h.Get("User-Agent")}
	if diff := cmp.Diff([]string{"bytes=100000-", `"v1"`, "identity", "headwater"}, got); diff != "" {
		t.Errorf("headers of the second request (-want +got):\n%s", diff)
	}
}

func TestFetchCancelled(t *testing.T) {
	w := newWorld(t, fetch.Options{}, stall)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("the user pressed Ctrl-C")
	time.AfterFunc(50*time.Millisecond, func() { cancel(stop) })
	dir := t.TempDir()
	_, err := w.client.Fetch(ctx, pinned(content()), filepath.Join(dir, "file"), nil)
	if !errors.Is(err, stop) {
		t.Errorf("error %v, want the context's cause", err)
	}
	if w.mirrors[0].count() != 1 {
		t.Errorf("%d requests, want 1", w.mirrors[0].count())
	}
	only(t, dir)
}

func TestFetchNoFolder(t *testing.T) {
	data := content()
	w := newWorld(t, fetch.Options{}, good(data))
	_, err := w.client.Fetch(t.Context(), pinned(data), filepath.Join(t.TempDir(), "no", "file"), nil)
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want that the folder does not exist", err)
	}
	if n := w.mirrors[0].count(); n != 0 {
		t.Errorf("%d requests, want none", n)
	}
}

// Many more downloads may wait than files can be open.
func TestFetchMany(t *testing.T) {
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	few := old
	few.Cur = 128
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old)
	data := content()[:100]
	w := newWorld(t, fetch.Options{}, good(data))
	dir := t.TempDir()
	var wg sync.WaitGroup
	for i := range 500 {
		wg.Go(func() {
			if _, err := w.client.Fetch(t.Context(), pinned(data), filepath.Join(dir, strconv.Itoa(i)), nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// A full disk is told at once, as what it is: no other address would help.
func TestFetchDiskFull(t *testing.T) {
	data := content()
	w := newWorld(t, fetch.Options{}, good(data), good(data))
	dir := t.TempDir()
	dst := filepath.Join(dir, "file")
	if err := os.Symlink("/dev/full", dst+".part"); err != nil {
		t.Fatal(err)
	}
	_, err := w.client.Fetch(t.Context(), pinned(data), dst, nil)
	if !errors.Is(err, syscall.ENOSPC) || errors.As(err, new(*fetch.Error)) {
		t.Errorf("error %v, want that there is no space", err)
	}
	if n := w.mirrors[1].count(); n != 0 {
		t.Errorf("the second address was asked")
	}
	only(t, dir)
}

func TestFetchFromFolder(t *testing.T) {
	data := content()
	dir := t.TempDir()
	a := pinned(data)
	c := newClient(t, fetch.Options{}, "registries: 1\nonly: true\ncontent: ["+dir+"/content]\nnpm: [file://"+dir+"/npm]\n")
	_, err := c.Fetch(t.Context(), a, filepath.Join(dir, "file"), nil)
	if !errors.As(err, new(*fetch.GoneError)) {
		t.Fatalf("error %v, want a GoneError", err)
	}
	for _, name := range []string{"npm/left/-/left-1.0.0.bin", "content/sha512/" + a.Hash.Base16()} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := c.Fetch(t.Context(), a, filepath.Join(dir, "file"), nil)
		if err != nil || got.From.URL != "file://"+name {
			t.Errorf("got from %q, %v; want from %s", got.From.URL, err, name)
		}
	}
}

// Credentials go to the host that they are set for, and a redirect to another host takes none along.
func TestCredentials(t *testing.T) {
	data := content()
	var elsewhere string
	w := newWorld(t, fetch.Options{}, func(w http.ResponseWriter, r *http.Request, _ int) {
		http.Redirect(w, r, elsewhere, http.StatusFound)
	})
	other := &mirror{handle: good(data)}
	srv := httptest.NewServer(other)
	defer srv.Close()
	elsewhere = srv.URL + "/cdn"
	if _, err := w.client.Fetch(t.Context(), pinned(data), filepath.Join(t.TempDir(), "file"), nil); err != nil {
		t.Fatal(err)
	}
	if user, password, _ := (&http.Request{Header: w.mirrors[0].header(0)}).BasicAuth(); user != "reader" || password != secret {
		t.Errorf("the mirror was sent %q %q", user, password)
	}
	if h := other.header(0); h.Get("Authorization") != "" || h.Get("Referer") != "" {
		t.Errorf("the other host was sent %v", h)
	}
}

// A redirect from https to http is followed only for hosts that the operator lists.
func TestPlainRedirect(t *testing.T) {
	data := content()
	plain := &mirror{handle: good(data)}
	to := httptest.NewServer(plain)
	defer to.Close()
	from := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, to.URL+"/x?signature="+secret, http.StatusFound)
	}))
	defer from.Close()
	for _, listed := range []bool{false, true} {
		yaml := "registries: 1\nonly: true\nnpm: [" + from.URL + "]\n"
		if listed {
			yaml += "plain-redirects: [127.0.0.1]\n"
		}
		c := newClient(t, fetch.Options{HTTP: from.Client().Transport}, yaml)
		_, err := c.Fetch(t.Context(), pinned(data), filepath.Join(t.TempDir(), "file"), nil)
		if listed != (err == nil) {
			t.Errorf("listed %v: error %v", listed, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "from https to http") || strings.Contains(err.Error(), secret)) {
			t.Errorf("error %v", err)
		}
	}
	if plain.count() != 1 {
		t.Errorf("%d requests without TLS, want 1", plain.count())
	}
}

// Not more than Options.PerHost requests run at a time, and HTTP/2 is spoken where it can be.
func TestParallel(t *testing.T) {
	data := content()[:1000]
	var mu sync.Mutex
	running, most, protocol := 0, 0, 0
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		running++
		most, protocol = max(most, running), r.ProtoMajor
		mu.Unlock()
		time.Sleep(5 * time.Millisecond)
		mu.Lock()
		running--
		mu.Unlock()
		w.Write(data)
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	c := newClient(t, fetch.Options{HTTP: srv.Client().Transport, Parallel: 8, PerHost: 3}, "registries: 1\nnpm: ["+srv.URL+"]\nonly: true\n")
	dir := t.TempDir()
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			if _, err := c.Fetch(t.Context(), pinned(data), filepath.Join(dir, strconv.Itoa(i)), nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if most != 3 || protocol != 2 {
		t.Errorf("at most %d at a time over HTTP/%d, want 3 over HTTP/2", most, protocol)
	}
}

func TestDocuments(t *testing.T) {
	data := []byte(`{"versions":{}}`)
	answers := []string{}
	var mu sync.Mutex
	handle := func(w http.ResponseWriter, r *http.Request, n int) {
		mu.Lock()
		defer mu.Unlock()
		answers = append(answers, r.Header.Get("If-None-Match"))
		if n == 0 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.Header().Set("ETag", `"one"`)
		if r.Header.Get("If-None-Match") == `"one"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(gzipped(data))
	}
	cache := filepath.Join(t.TempDir(), "cache")
	w := newWorld(t, fetch.Options{Cache: cache}, handle)
	get := func(c *fetch.Client) {
		t.Helper()
		got, err := c.Index(t.Context(), artifact.NPM, "@acme/left")
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("index %q, %v", got, err)
		}
	}
	get(w.client)
	get(w.client) // known in this run
	again := newClient(t, fetch.Options{Cache: cache}, "registries: 1\nonly: true\nnpm: ["+w.urls[0]+"]\n")
	get(again)
	if diff := cmp.Diff([]string{"", "", `"one"`}, answers); diff != "" {
		t.Errorf("If-None-Match (-want +got):\n%s", diff)
	}
	for _, name := range mustGlob(t, filepath.Join(cache, "*")) { // a damaged copy is none
		if err := os.WriteFile(name, []byte(`{"etag":"\"one\""}`+"\nhalf"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	get(newClient(t, fetch.Options{Cache: cache}, "registries: 1\nonly: true\nnpm: ["+w.urls[0]+"]\n"))
	if got := answers[len(answers)-1]; got != "" {
		t.Errorf("asked whether a damaged copy still holds: %s", got)
	}
}

func mustGlob(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("glob %s: %v, %v", pattern, names, err)
	}
	return names
}

// A wheel is found by its name alone; its metadata too; an index that is asked anew only when the old one lacks the file.
func TestPyPI(t *testing.T) {
	data := content()
	pages := 0
	mux := http.NewServeMux()
	files := `{"filename":"left-1.0-py3-none-any.whl","url":"../../files/left.whl","hashes":{},"core-metadata":true}`
	mux.HandleFunc("/simple/left-hand/", func(w http.ResponseWriter, r *http.Request) {
		pages++
		w.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
		w.Header().Set("ETag", fmt.Sprintf(`"%d"`, pages))
		fmt.Fprintf(w, `{"meta":{"api-version":"1.1"},"name":"left-hand","files":[%s]}`, files)
	})
	mux.HandleFunc("/files/left.whl", func(w http.ResponseWriter, r *http.Request) { w.Write(data) })
	mux.HandleFunc("/files/left.whl.metadata", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "Name: left-hand\n") })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	cache := t.TempDir()
	yaml := "registries: 1\nonly: true\npypi: [" + srv.URL + "/simple]\n"
	a := artifact.Artifact{Ecosystem: artifact.PyPI, Name: "Left_Hand", Version: "1.0", File: "left-1.0-py3-none-any.whl", Hash: nix.Sum(nix.SHA256, data)}
	for range 2 { // the second client finds the page in the cache
		got, err := newClient(t, fetch.Options{Cache: cache}, yaml).Fetch(t.Context(), a, filepath.Join(t.TempDir(), "file"), nil)
		if err != nil || got.From.URL != srv.URL+"/files/left.whl" {
			t.Fatalf("from %s, %v", got.From, err)
		}
	}
	if pages != 1 {
		t.Errorf("the page was asked for %d times, want once", pages)
	}
	c := newClient(t, fetch.Options{Cache: cache}, yaml)
	body, err := c.Document(t.Context(), artifact.Artifact{Ecosystem: artifact.PyPI, Name: "left-hand", Version: "1.0", File: a.File + ".metadata"})
	if err != nil || string(body) != "Name: left-hand\n" {
		t.Errorf("metadata %q, %v", body, err)
	}
	a.File = "left-2.0-py3-none-any.whl"
	if _, err := c.Fetch(t.Context(), a, filepath.Join(t.TempDir(), "file"), nil); !errors.As(err, new(*fetch.GoneError)) {
		t.Errorf("error %v, want a GoneError", err)
	}
	if pages != 2 {
		t.Errorf("the page was asked for %d times, want twice: what it lacks may be new", pages)
	}
	index, err := c.Index(t.Context(), artifact.PyPI, "left.hand")
	want := `{"meta":{"api-version":"1.1"},"name":"left-hand","files":[{"filename":"left-1.0-py3-none-any.whl","url":"` + srv.URL +
		`/files/left.whl","hashes":{},"core-metadata":true}]}`
	if diff := cmp.Diff(want, string(index)); diff != "" || err != nil {
		t.Errorf("index (-want +got):\n%s%v", diff, err)
	}
}

// What left Debian's mirrors is taken from the snapshot service, at the date of the lock.
func TestSnapshot(t *testing.T) {
	data := content()
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		switch {
		case strings.HasPrefix(r.URL.Path, "/snap/archive/debian-security/20250601T120000Z/"): // redirects to when it last changed
			http.Redirect(w, r, strings.Replace(r.URL.Path, "20250601T120000Z", "20250531T060000Z", 1), http.StatusMovedPermanently)
		case strings.HasPrefix(r.URL.Path, "/snap/archive/debian-security/20250531T060000Z/pool/"):
			w.Write(data)
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	r, err := registry.Open(registry.Machine{Root: fstest.MapFS{
		"etc/os-release":                        {Data: []byte("ID=debian\nVERSION_CODENAME=trixie\n")},
		"etc/apt/sources.list.d/debian.sources": {Data: []byte("Types: deb\nURIs: " + srv.URL + "/debian-security\nSuites: trixie-security\nComponents: main\n")},
		"usr/share/devscripts/conf.default":     {Data: []byte("# DEBSNAP_BASE_URL=" + srv.URL + "/snap\n")},
	}}, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := fetch.New(r.At(time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC)), fetch.Options{Backoff: time.Millisecond})
	defer c.Close()
	a := artifact.Artifact{
		Ecosystem: artifact.Debian, Name: "left", Version: "1~b", File: "debian-security/pool/updates/main/l/left/left_1~b_amd64.deb",
		Hash: nix.Sum(nix.SHA256, data),
	}
	if _, err := c.Fetch(t.Context(), a, filepath.Join(t.TempDir(), "file"), nil); err != nil {
		t.Fatal(err)
	}
	const tail = "/pool/updates/main/l/left/left_1~b_amd64.deb"
	want := []string{"/debian-security" + tail, "/snap/archive/debian-security/20250601T120000Z" + tail, "/snap/archive/debian-security/20250531T060000Z" + tail}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestProbe(t *testing.T) {
	data := content()
	w := newWorld(t, fetch.Options{}, status(404), func(w http.ResponseWriter, r *http.Request, n int) {
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		good(data)(w, r, n)
	})
	got, err := w.client.Probe(t.Context(), pinned(data))
	if err != nil || got.URL != w.urls[1]+"/left/-/left-1.0.0.bin" {
		t.Errorf("found at %s, %v", got, err)
	}
	gone := newWorld(t, fetch.Options{}, status(404))
	if _, err := gone.client.Probe(t.Context(), pinned(data)); !errors.As(err, new(*fetch.GoneError)) {
		t.Errorf("error %v, want a GoneError", err)
	}
}

// A hint with credentials or a local path in it is not followed as it stands.
func TestHints(t *testing.T) {
	data := content()
	m := &mirror{handle: good(data)}
	srv := httptest.NewServer(m)
	defer srv.Close()
	c := newClient(t, fetch.Options{}, "registries: 1\n")
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("me", secret)
	a := artifact.Artifact{Ecosystem: artifact.URL, Name: "left", File: "left", Hint: u.String() + "/left?token=" + secret, Hash: nix.Sum(nix.SHA256, data)}
	if _, err := c.Fetch(t.Context(), a, filepath.Join(t.TempDir(), "file"), nil); err != nil {
		t.Fatal(err)
	}
	if m.header(0).Get("Authorization") != "" {
		t.Error("credentials of a hint were sent")
	}
	a.Hint = "file:///etc/hostname"
	if _, err := c.Fetch(t.Context(), a, filepath.Join(t.TempDir(), "file"), nil); err == nil {
		t.Error("a hint led to a local file")
	}
	srv.Close()
	a.Hint = u.String() + "/left?token=" + secret
	_, err = newClient(t, fetch.Options{Rounds: 1}, "registries: 1\n").Fetch(t.Context(), a, filepath.Join(t.TempDir(), "file"), nil)
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("error %v", err)
	}
}
