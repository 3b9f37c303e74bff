package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"headwater/internal/cache"
	"headwater/internal/event"
	"headwater/internal/nix"
	"headwater/internal/nix/narinfo"
	"headwater/internal/store"
	"headwater/internal/store/storetest"
)

// liar is a good cache in a folder, to be spoilt, and what is in it.
type liar struct {
	t    *testing.T
	disk *disk
	key  narinfo.SecretKey
	path nix.StorePath // refers to low and to itself
	low  nix.StorePath
}

func newLiar(t *testing.T, c cache.Compression) *liar {
	s := storetest.Open(t, storetest.Dir(t))
	key, _ := newKey(t, "cache.example-1")
	l := &liar{t: t, disk: &disk{dir: t.TempDir()}, key: key}
	l.low = install(t, s, "low", "low")
	l.path = install(t, s, "path", "I am @self@, on "+string(l.low)+noise(3, 200_000), l.low)
	push(t, cache.PushOptions{Store: s, Cache: openCache(t, "file://"+l.disk.dir, cache.Options{}), Key: &key, Compression: c}, l.path)
	return l
}

// another is a copy, as good as new.
func (l *liar) another(t *testing.T) *liar {
	t.Helper()
	c := &liar{t: t, disk: &disk{dir: t.TempDir()}, key: l.key, path: l.path, low: l.low}
	if err := os.CopyFS(c.disk.dir, os.DirFS(l.disk.dir)); err != nil {
		t.Fatal(err)
	}
	return c
}

func (l *liar) narinfo() string { return filepath.Join(l.disk.dir, l.path.Digest()+".narinfo") }

func (l *liar) info() *narinfo.Info {
	info, err := narinfo.Parse(read(l.t, l.narinfo()))
	if err != nil {
		l.t.Fatal(err)
	}
	return info
}

// say changes the narinfo; signed as if the key's owner said so.
func (l *liar) say(signed bool, change func(*narinfo.Info)) {
	info := l.info()
	change(info)
	if signed {
		info.Sign(l.key)
	}
	write(l.t, info.Marshal(), l.narinfo())
}

// edit changes the compressed NAR, and the narinfo's file hash and size with it, so that what is within gives the lie away.
func (l *liar) edit(change func([]byte) []byte) {
	at := filepath.Join(l.disk.dir, l.info().URL)
	data := change(read(l.t, at))
	write(l.t, data, at)
	l.say(true, func(i *narinfo.Info) {
		i.FileHash, i.FileSize = nix.Sum(nix.SHA256, data), int64(len(data))
	})
}

func pack(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	e, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	e.Write(data)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func unpack(t *testing.T, data []byte) []byte {
	t.Helper()
	d, err := zstd.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	out, err := io.ReadAll(d)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// answer has the server answer requests for names that hold part itself.
func (l *liar) answer(part string, f http.HandlerFunc) {
	l.disk.before = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, part) {
			f(w, r)
			return true
		}
		return false
	}
}

func endless(w http.ResponseWriter, chunk []byte) {
	for {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func refers(p ...nix.StorePath) func(*narinfo.Info) {
	return func(i *narinfo.Info) { i.Refs = append(i.Refs, p...) }
}

// Whatever a cache does wrong, the error says so and names both cache and path, nothing becomes valid and nothing is left.
func TestLies(t *testing.T) {
	absent := nix.StorePath("/nix/store/00000000000000000000000000000000-absent")
	good, into := newLiar(t, cache.Zstd), storetest.Open(t, storetest.Dir(t)) // of all cases: nothing becomes valid there, but for what is true
	for _, c := range []struct {
		name, want string
		is         error
		spoil      func(*liar)
	}{
		{"other NAR hash, not signed", "the signature by \"cache.example-1\" is false", cache.ErrUntrusted, func(l *liar) {
			l.say(false, func(i *narinfo.Info) { i.NARHash = nix.Sum(nix.SHA256, nil) })
		}},
		{"other NAR hash", "NAR hash is", cache.ErrFalse, func(l *liar) {
			l.say(true, func(i *narinfo.Info) { i.NARHash = nix.Sum(nix.SHA256, nil) })
		}},
		{"NAR size too small", "not a valid NAR", cache.ErrFalse, func(l *liar) { l.say(true, func(i *narinfo.Info) { i.NARSize -= 8 }) }},
		{"NAR size too big", "NAR has", cache.ErrFalse, func(l *liar) { l.say(true, func(i *narinfo.Info) { i.NARSize += 8 }) }},
		{"file size too small", "its narinfo says", cache.ErrFalse, func(l *liar) { l.say(true, func(i *narinfo.Info) { i.FileSize-- }) }},
		{"file size too big", "its narinfo says", cache.ErrFalse, func(l *liar) { l.say(true, func(i *narinfo.Info) { i.FileSize++ }) }},
		{"other file hash", "its narinfo says sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73", cache.ErrFalse, func(l *liar) {
			l.say(true, func(i *narinfo.Info) { i.FileHash = nix.Sum(nix.SHA256, nil) })
		}},
		{"reference added", "is false", cache.ErrUntrusted, func(l *liar) { l.say(false, refers(absent)) }},
		{"reference left out", "is false", cache.ErrUntrusted, func(l *liar) {
			l.say(false, func(i *narinfo.Info) { i.Refs = []nix.StorePath{l.path} })
		}},
		{"reference to itself left out", "is false", cache.ErrUntrusted, func(l *liar) {
			l.say(false, func(i *narinfo.Info) { i.Refs = []nix.StorePath{l.low} })
		}},
		{"reference that the cache lacks", string(absent), cache.ErrAbsent, func(l *liar) { l.say(true, refers(absent)) }},
		{"no signature", "there is no signature", cache.ErrUntrusted, func(l *liar) { l.say(false, func(i *narinfo.Info) { i.Sigs = nil }) }},
		{"unknown key", "it is signed by \"other.example-1\"", cache.ErrUntrusted, func(l *liar) {
			other, _ := newKey(l.t, "other.example-1")
			l.say(false, func(i *narinfo.Info) { i.Sigs = nil; i.Sign(other) })
		}},
		{"unknown key of a trusted name", "the signature by \"cache.example-1\" is false", cache.ErrUntrusted, func(l *liar) {
			other, err := narinfo.GenerateKey("cache.example-1", strings.NewReader(strings.Repeat("x", 32)))
			if err != nil {
				l.t.Fatal(err)
			}
			l.say(false, func(i *narinfo.Info) { i.Sigs = nil; i.Sign(other) })
		}},
		{"claims to be content-addressed", "is false", cache.ErrUntrusted, func(l *liar) {
			l.say(false, func(i *narinfo.Info) {
				i.CA = nix.ContentAddress{Method: nix.NAR, Hash: i.NARHash}
				i.Sigs[0] = strings.Replace(i.Sigs[0], ":", ":A", 1)[:len(i.Sigs[0])]
			})
		}},
		{"narinfo of another path", "its narinfo is of another path", cache.ErrFalse, func(l *liar) {
			write(l.t, read(l.t, l.disk.dir, l.low.Digest()+".narinfo"), l.narinfo())
		}},
		{"malformed narinfo", "parse narinfo: line 1", cache.ErrFalse, func(l *liar) { write(l.t, []byte("<html>"), l.narinfo()) }},
		{"unknown compression", `compression "lzip" is not known`, nil, func(l *liar) { l.say(true, func(i *narinfo.Info) { i.Compression = "lzip" }) }},
		{"other compression", "decompress nar/", cache.ErrFalse, func(l *liar) { l.say(true, func(i *narinfo.Info) { i.Compression = "xz" }) }},
		{"compressed, and said not to be", "not a valid NAR", cache.ErrFalse, func(l *liar) { l.say(true, func(i *narinfo.Info) { i.Compression = "none" }) }},
		{"truncated file", "its narinfo says", cache.ErrFalse, func(l *liar) {
			at := filepath.Join(l.disk.dir, l.info().URL)
			data := read(l.t, at)
			write(l.t, data[:len(data)/2], at)
		}},
		{"truncated stream", "ends too soon", cache.ErrFalse, func(l *liar) { l.edit(func(b []byte) []byte { return b[:len(b)/2] }) }},
		{"empty file", "not a valid NAR", cache.ErrFalse, func(l *liar) { l.edit(func([]byte) []byte { return nil }) }},
		{"truncated NAR", "not a valid NAR", cache.ErrFalse, func(l *liar) {
			l.edit(func(b []byte) []byte { n := unpack(l.t, b); return pack(l.t, n[:len(n)-16]) })
		}},
		{"bytes after the NAR", "bytes follow its end", cache.ErrFalse, func(l *liar) {
			l.edit(func(b []byte) []byte { return append(b, pack(l.t, make([]byte, 8))...) })
		}},
		{"garbage after the stream", "decompress nar/", cache.ErrFalse, func(l *liar) { l.edit(func(b []byte) []byte { return append(b, "garbage!"...) }) }},
		{"flipped bit", "nar/", cache.ErrFalse, func(l *liar) { l.edit(func(b []byte) []byte { b[len(b)/2] ^= 1; return b }) }},
		{"decompression bomb", "not a valid NAR", cache.ErrFalse, func(l *liar) {
			l.edit(func(b []byte) []byte { return append(b, bytes.Repeat(pack(l.t, make([]byte, 50_000_000)), 2000)...) }) // 100 GB
			l.say(true, func(i *narinfo.Info) { i.NARSize = 300_000 })
		}},
		{"decompression bomb in a file", "not a valid NAR", cache.ErrFalse, func(l *liar) {
			l.edit(func(b []byte) []byte {
				n := unpack(l.t, b)
				at := bytes.Index(n, []byte("contents")) + 8
				copy(n[at:], []byte{0, 0, 0, 0, 0x10, 0, 0, 0}) // the file's size: 64 GB
				return append(pack(l.t, n[:at+8]), bytes.Repeat(pack(l.t, make([]byte, 50_000_000)), 2000)...)
			})
		}},
		{"URL out of the cache", "leads out of the cache", cache.ErrFalse, func(l *liar) {
			l.say(true, func(i *narinfo.Info) { i.URL = "http://other.example/nar" })
		}},
		{"URL to another host", "leads out of the cache", cache.ErrFalse, func(l *liar) {
			l.say(true, func(i *narinfo.Info) { i.URL = "//other.example/nar" })
		}},
		{"URL above the cache", "is no name of a file in the cache", cache.ErrFalse, func(l *liar) {
			l.say(true, func(i *narinfo.Info) { i.URL = "../../../../etc/passwd" })
		}},
		{"URL above the cache, encoded", "is no name of a file in the cache", cache.ErrFalse, func(l *liar) {
			l.say(true, func(i *narinfo.Info) { i.URL = "nar/%2e%2e/%2e%2e/secret" })
		}},
		{"absolute URL", "is no name of a file in the cache", cache.ErrFalse, func(l *liar) { l.say(true, func(i *narinfo.Info) { i.URL = "/etc/passwd" }) }},
		{"URL with a fragment", "has a fragment", cache.ErrFalse, func(l *liar) { l.say(true, func(i *narinfo.Info) { i.URL = "x#/../../etc/passwd" }) }},
		{"URL of nothing", cache.ErrAbsent.Error(), cache.ErrAbsent, func(l *liar) { l.say(true, func(i *narinfo.Info) { i.URL = "nar/none" }) }},
		{"no narinfo", "narinfo is not there", cache.ErrAbsent, func(l *liar) { os.Remove(l.narinfo()) }},
		{"no cache", "there is no nix-cache-info", cache.ErrNoCache, func(l *liar) { os.Remove(filepath.Join(l.disk.dir, "nix-cache-info")) }},
		{"cache of another store", "it is one for the store /gnu/store", cache.ErrNoCache, func(l *liar) {
			write(l.t, []byte("StoreDir: /gnu/store\n"), l.disk.dir, "nix-cache-info")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := good.another(t)
			c.spoil(l)
			for _, address := range []string{"file://" + l.disk.dir, serve(t, l.disk).URL} {
				l.refused(into, address, c.want, c.is, cache.Options{})
			}
		})
	}
	const slow = 700 * time.Millisecond // long enough for an honest answer on a busy machine
	for _, c := range []struct {
		name, want string
		spoil      func(*liar)
	}{
		{"404", "is not there", func(l *liar) { l.answer("nar/", status(404)) }},
		{"403", "403 Forbidden", func(l *liar) { l.answer(".narinfo", status(403)) }},
		{"403 for all", "403 Forbidden", func(l *liar) { l.answer("", status(403)) }},
		{"401", "401 Unauthorized", func(l *liar) { l.answer(".narinfo", status(401)) }},
		{"500", "500 Internal Server Error", func(l *liar) { l.answer("nar/", status(500)) }},
		{"500 for all", "500 Internal Server Error", func(l *liar) { l.answer("", status(500)) }},
		{"redirect loop", "more than 5 redirects", func(l *liar) {
			l.answer("nar/", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) })
		}},
		{"redirect to a file", `scheme "file"`, func(l *liar) {
			l.answer("nar/", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", "file:///etc/passwd")
				w.WriteHeader(http.StatusFound)
			})
		}},
		{"endless narinfo", "is longer than", func(l *liar) {
			l.answer(l.path.Digest(), func(w http.ResponseWriter, _ *http.Request) { endless(w, []byte(strings.Repeat("Sig: x:x\n", 1000))) })
		}},
		{"endless cache info", "is longer than", func(l *liar) {
			l.answer("nix-cache-info", func(w http.ResponseWriter, _ *http.Request) { endless(w, make([]byte, 1000)) })
		}},
		{"endless NAR", "longer than it may be", func(l *liar) {
			frame := pack(l.t, nil)
			l.answer("nar/", func(w http.ResponseWriter, r *http.Request) { endless(w, bytes.Repeat(frame, 100)) })
		}},
		{"endless NAR of unknown length", "longer than it may be", func(l *liar) {
			l.say(true, func(i *narinfo.Info) { i.FileHash, i.FileSize = nix.Hash{}, 0 })
			skip := append([]byte{0x50, 0x2a, 0x4d, 0x18, 0, 4, 0, 0}, make([]byte, 1024)...) // a frame that decoders pass over
			l.answer("nar/", func(w http.ResponseWriter, r *http.Request) { endless(w, skip) })
		}},
		{"NAR cut off", "unexpected EOF", func(l *liar) {
			l.answer("nar/", func(w http.ResponseWriter, r *http.Request) {
				data := read(l.t, l.disk.dir, r.URL.Path)
				w.Header().Set("Content-Length", fmt.Sprint(len(data)))
				w.Write(data[:len(data)-1])
			})
		}},
		{"encoding that was not asked for", `encoded as "br"`, func(l *liar) {
			l.answer("nar/", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Encoding", "br") })
		}},
		{"stalled before the answer", "took too long", func(l *liar) {
			l.answer(l.path.Digest(), func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		}},
		{"stalled NAR", "stalled", func(l *liar) {
			l.answer("nar/", func(w http.ResponseWriter, r *http.Request) {
				w.Write(read(l.t, l.disk.dir, r.URL.Path)[:100])
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			})
		}},
		{"narinfo that drips", "stalled", func(l *liar) {
			l.answer(l.path.Digest(), func(w http.ResponseWriter, r *http.Request) { drip(w, r, bytes.Repeat([]byte("S"), 1000), slow/20) })
		}},
		{"NAR that drips", "stalled", func(l *liar) {
			l.answer("nar/", func(w http.ResponseWriter, r *http.Request) { drip(w, r, read(l.t, l.disk.dir, r.URL.Path), slow/20) })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := good.another(t)
			c.spoil(l)
			o := cache.Options{Stall: slow, Deadline: 3 * slow, Retries: -1}
			l.refused(into, serve(t, l.disk).URL, c.want, nil, o)
		})
	}
}

// drip sends a byte now and then.
func drip(w http.ResponseWriter, r *http.Request, data []byte, every time.Duration) {
	for i := range data {
		if r.Context().Err() != nil {
			return
		}
		w.Write(data[i : i+1])
		w.(http.Flusher).Flush()
		time.Sleep(every)
	}
}

func (l *liar) refused(into *store.Store, address, want string, is error, o cache.Options) {
	l.t.Helper()
	_, err := pull(l.t, into, openCache(l.t, address, o), []narinfo.PublicKey{l.key.Public()}, l.path)
	var fault *cache.Error
	if err == nil || !strings.Contains(err.Error(), want) || is != nil && !errors.Is(err, is) || !errors.As(err, &fault) {
		l.t.Fatalf("got %v, want %q (%v)", err, want, is)
	}
	if !strings.Contains(err.Error(), "cache "+address+": /nix/store/") {
		l.t.Errorf("error names not both cache and path: %v", err)
	}
	untouched(l.t, into, l.low) // which is what it is said to be
}

func TestReferencesInACircle(t *testing.T) {
	l := newLiar(t, cache.Zstd)
	at := filepath.Join(l.disk.dir, l.low.Digest()+".narinfo")
	info, err := narinfo.Parse(read(t, at))
	if err != nil {
		t.Fatal(err)
	}
	info.Refs = append(info.Refs, l.path)
	info.Sign(l.key)
	write(t, info.Marshal(), at)
	l.refused(storetest.Open(t, storetest.Dir(t)), "file://"+l.disk.dir, "its references lead back to it", cache.ErrFalse, cache.Options{})
}

// A path that a cache gives wrongly another may give rightly; a cache that is down is told of once and not asked again.
func TestOtherCacheGives(t *testing.T) {
	good, bad := newLiar(t, cache.Zstd), newLiar(t, cache.None)
	bad.say(true, func(i *narinfo.Info) { i.FileHash = nix.Sum(nix.SHA256, nil) })
	down := &disk{dir: t.TempDir(), before: func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(502); return true }}
	var warnings []string
	s := storetest.Open(t, storetest.Dir(t))
	keys := []narinfo.PublicKey{good.key.Public()}
	downURL := serve(t, down).URL
	sub := cache.NewSubstituter(s, []cache.Source{
		{Cache: openCache(t, downURL, cache.Options{Retries: -1}), Keys: keys},
		{Cache: openCache(t, "file://"+bad.disk.dir, cache.Options{}), Keys: keys},
		{Cache: openCache(t, "file://"+good.disk.dir, cache.Options{}), Keys: keys},
	}, cache.PullOptions{Downloads: 1, Events: func(e event.Event) {
		if m, ok := e.(event.Message); ok {
			warnings = append(warnings, m.Text)
		}
	}})
	absent := nix.StorePath("/nix/store/00000000000000000000000000000000-absent")
	got, err := sub.Available(t.Context(), []nix.StorePath{absent, good.path, good.low})
	if err != nil || len(got) != 2 {
		t.Fatalf("available: %v, %v", got, err)
	}
	if _, err := sub.Pull(t.Context(), []nix.StorePath{good.path}, nil); err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 2 || !strings.Contains(warnings[0], downURL) || !strings.Contains(warnings[0], "going on without") || !strings.Contains(warnings[1], bad.disk.dir) {
		t.Errorf("warnings %q", warnings)
	}
	if n := len(down.requests("GET")); n != 1 {
		t.Errorf("the cache that is down was asked %d times", n)
	}
	if _, err := sub.Pull(t.Context(), []nix.StorePath{absent}, nil); !errors.Is(err, cache.ErrAbsent) || !strings.Contains(err.Error(), string(absent)) {
		t.Errorf("absent: %v", err)
	}
}

// What may pass is tried again, after a while; what will not is not.
func TestRetries(t *testing.T) {
	l := newLiar(t, cache.Zstd)
	failures := 0
	code, times := http.StatusServiceUnavailable, 2
	l.disk.before = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/nar/") && failures < times {
			failures++
			w.WriteHeader(code)
			return true
		}
		return false
	}
	var waits []time.Duration
	o := cache.Options{Requests: 1, Wait: func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }}
	url, keys := serve(t, l.disk).URL, []narinfo.PublicKey{l.key.Public()}
	if _, err := pull(t, storetest.Open(t, storetest.Dir(t)), openCache(t, url, o), keys, l.low); err != nil {
		t.Fatal(err)
	}
	if want := []time.Duration{250 * time.Millisecond, time.Second}; !slices.Equal(waits, want) {
		t.Errorf("waited %v, want %v", waits, want)
	}
	waits, failures, code, times = nil, 0, http.StatusForbidden, 1
	if _, err := pull(t, storetest.Open(t, storetest.Dir(t)), openCache(t, url, o), keys, l.low); err == nil || len(waits) > 0 {
		t.Errorf("got %v, waited %v", err, waits)
	}
}

// What a cache says once is not asked again.
func TestAsksOnce(t *testing.T) {
	l := newLiar(t, cache.Zstd)
	s := storetest.Open(t, storetest.Dir(t))
	sub := cache.NewSubstituter(s, []cache.Source{{Cache: openCache(t, serve(t, l.disk).URL, cache.Options{}), Keys: []narinfo.PublicKey{l.key.Public()}}}, cache.PullOptions{})
	absent := nix.StorePath("/nix/store/00000000000000000000000000000000-absent")
	for range 3 {
		if got, err := sub.Available(t.Context(), []nix.StorePath{l.path, absent}); err != nil || len(got) != 1 {
			t.Fatal(got, err)
		}
	}
	if got := l.disk.requests("GET"); len(got) != 4 { // the cache itself, the two, and what one refers to
		t.Errorf("asked for %v", got)
	}
}

// Cancelling ends a pull at once and leaves nothing.
func TestPullCancelled(t *testing.T) {
	l := newLiar(t, cache.Zstd)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	l.answer("nar/", func(_ http.ResponseWriter, r *http.Request) { cancel(why); <-r.Context().Done() })
	s := storetest.Open(t, storetest.Dir(t))
	sub := cache.NewSubstituter(s, []cache.Source{{Cache: openCache(t, serve(t, l.disk).URL, cache.Options{}), Keys: []narinfo.PublicKey{l.key.Public()}}}, cache.PullOptions{})
	if _, err := sub.Pull(ctx, []nix.StorePath{l.path}, nil); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	untouched(t, s)
}

// A full disk is no fault of the cache: the next one is not tried.
func TestPullNeedsWritableStore(t *testing.T) {
	l := newLiar(t, cache.Zstd)
	s := storetest.Open(t, storetest.Dir(t))
	tmp := filepath.Join(s.Dir(), "nix/var/headwater")
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, nil, tmp, "tmp") // a file where the folder of temporary ones should be
	_, err := pull(t, s, openCache(t, "file://"+l.disk.dir, cache.Options{}), []narinfo.PublicKey{l.key.Public()}, l.path)
	if err == nil || errors.As(err, new(*cache.Error)) {
		t.Errorf("got %v", err)
	}
	if valid, err := s.Valid(t.Context(), l.path, l.low); err != nil || len(valid) > 0 {
		t.Errorf("valid: %v, %v", valid, err)
	}
}
