package cache_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"headwater/internal/cache"
	"headwater/internal/nix"
	"headwater/internal/nix/narinfo"
	"headwater/internal/store"
	"headwater/internal/store/storetest"
)

// Of a random graph only what the cache lacks is sent, a path's references appear before it, and who pulls has it all.
func TestPushAndPullGraphs(t *testing.T) {
	s := storetest.Open(t, storetest.Dir(t))
	key, public := newKey(t, "cache.example-1")
	serial := 0
	into := storetest.Open(t, storetest.Dir(t)) // of all graphs: no two have a path in common
	rapid.Check(t, func(rt *rapid.T) {
		serial++
		var paths []nix.StorePath
		for i := range rapid.IntRange(1, 8).Draw(rt, "paths") {
			content := fmt.Sprintf("%d in graph %d", i, serial)
			for j := range i {
				if rapid.Bool().Draw(rt, "refers") {
					content += " " + string(paths[j])
				}
			}
			if rapid.Bool().Draw(rt, "to itself") {
				content += " @self@"
			}
			paths = append(paths, install(t, s, fmt.Sprintf("n%d", i), content, paths...))
		}
		web := &disk{dir: t.TempDir()}
		c := openCache(t, serve(t, web).URL, cache.Options{})
		o := cache.PushOptions{Store: s, Cache: c, Key: &key, Compressing: rapid.IntRange(1, 4).Draw(rt, "compressing")}
		push(t, o, rapid.SampledFrom(paths).Draw(rt, "first"))
		push(t, o, paths...)
		there := map[string]bool{}
		for _, name := range web.requests("PUT") {
			digest, ok := strings.CutSuffix(name, ".narinfo")
			if there[name] {
				rt.Errorf("%s was sent twice", name)
			}
			there[name] = true
			if !ok {
				continue
			}
			info, err := narinfo.Parse(read(t, web.dir, name))
			if err != nil || !there[info.URL] {
				rt.Fatalf("narinfo came before its NAR: %v, %v", info, err)
			}
			for _, r := range info.Refs {
				if r.Digest() != digest && !there[r.Digest()+".narinfo"] {
					rt.Errorf("%s came before %s, to which it refers", info.Path, r)
				}
			}
		}
		if want := 1 + 2*len(paths); len(there) != want {
			rt.Errorf("sent %d files, want %d", len(there), want)
		}
		if _, err := pull(t, into, c, []narinfo.PublicKey{public}, paths...); err != nil {
			rt.Fatal(err)
		}
		for _, p := range paths {
			if d := cmp.Diff(closureOf(t, s, p), closureOf(t, into, p), equalHashes); d != "" {
				rt.Error(d)
			}
		}
	})
	if v, err := into.Verify(t.Context(), store.VerifyOptions{Contents: true}); err != nil || len(v.Problems) > 0 {
		t.Errorf("%v %v", err, v.Problems)
	}
}

// A NAR that is there is not sent again, be it from a push that was broken off or of an equal tree.
func TestPushSendsNARsOnce(t *testing.T) {
	s := storetest.Open(t, storetest.Dir(t))
	a, b := install(t, s, "a", "the same"), install(t, s, "b", "the same")
	web := &disk{dir: t.TempDir()}
	c := openCache(t, serve(t, web).URL, cache.Options{})
	done := push(t, cache.PushOptions{Store: s, Cache: c}, a, b)
	if done.Unsigned != 2 {
		t.Errorf("unsigned: %d", done.Unsigned)
	}
	nars := func() (n int) {
		for _, name := range web.requests("PUT") {
			if strings.HasPrefix(name, "nar/") {
				n++
			}
		}
		return n
	}
	if nars() != 1 {
		t.Errorf("two equal NARs were sent %d times", nars())
	}
	if err := os.Remove(filepath.Join(web.dir, a.Digest()+".narinfo")); err != nil {
		t.Fatal(err)
	}
	if done = push(t, cache.PushOptions{Store: s, Cache: c}, a, b); done.There != 1 || nars() != 1 {
		t.Errorf("pushed %+v, %d NARs", done, nars())
	}
}

// A big NAR goes through a file, which is not left, whatever happens.
func TestPushBigNARs(t *testing.T) {
	s := storetest.Open(t, storetest.Dir(t))
	key, public := newKey(t, "cache.example-1")
	big := install(t, s, "big", noise(4, 7_000_000))
	web := &disk{dir: t.TempDir()}
	for _, address := range []string{"file://" + t.TempDir(), serve(t, web).URL} {
		c := openCache(t, address, cache.Options{})
		if done := push(t, cache.PushOptions{Store: s, Cache: c, Key: &key}, big); done.Bytes < 7_000_000 {
			t.Errorf("pushed %+v", done)
		}
		if _, err := pull(t, storetest.Open(t, storetest.Dir(t)), c, []narinfo.PublicKey{public}, big); err != nil {
			t.Fatal(err)
		}
		if dir, ok := strings.CutPrefix(address, "file://"); ok && len(files(t, dir)) != 3 {
			t.Errorf("cache has %v", files(t, dir))
		}
	}
	web.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusInsufficientStorage)
		}
		return r.Method == http.MethodPut
	}
	other := install(t, s, "other", noise(5, 7_000_000))
	_, err := cache.Push(t.Context(), cache.PushOptions{Store: s, Cache: openCache(t, serve(t, web).URL, cache.Options{Retries: -1}), Key: &key}, []nix.StorePath{other})
	var status *cache.StatusError
	if !errors.As(err, &status) || status.Code != http.StatusInsufficientStorage || !strings.Contains(err.Error(), string(other)) {
		t.Errorf("got %v", err)
	}
	untouched(t, s, big, other)
}

// A damaged store is not spread.
func TestPushRefusesDamage(t *testing.T) {
	s := storetest.Open(t, storetest.Dir(t))
	p := install(t, s, "p", "as it should be")
	at := filepath.Join(s.RealPath(p), "bin/x")
	if err := os.Chmod(at, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, []byte("as it should not"), at)
	dir := t.TempDir()
	_, err := cache.Push(t.Context(), cache.PushOptions{Store: s, Cache: openCache(t, "file://"+dir, cache.Options{})}, []nix.StorePath{p})
	var damaged *cache.DamagedError
	if !errors.As(err, &damaged) || damaged.Path != p {
		t.Errorf("got %v", err)
	}
	if got := files(t, dir); !slices.Equal(got, []string{"nix-cache-info"}) {
		t.Errorf("left %v", got)
	}
}

func TestPushCancelled(t *testing.T) {
	s := storetest.Open(t, storetest.Dir(t))
	p := sample(t, s)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	web := &disk{dir: t.TempDir()}
	web.before = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && strings.HasPrefix(r.URL.Path, "/nar/") {
			cancel(why)
		}
		return false
	}
	_, err := cache.Push(ctx, cache.PushOptions{Store: s, Cache: openCache(t, serve(t, web).URL, cache.Options{})}, []nix.StorePath{p})
	if !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"/folder":                          "want file:///FOLDER",
		"file://host/folder":               "want file:///FOLDER",
		"file:folder":                      "want file:///FOLDER",
		"ftp://host.example/":              "want file:///FOLDER",
		"https:///path":                    "want file:///FOLDER",
		"https://user:secret@/":            "want file:///FOLDER",
		"https://host.example/?priority=1": "are not known",
		"http://host.example/#x":           "are not known",
		"://":                              "does not parse",
		"":                                 "want file:///FOLDER",
	} {
		_, err := cache.Open(address, cache.Options{})
		var bad *cache.AddressError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v, want %q", address, err, want)
		}
	}
	c := openCache(t, "https://user:secret@host.example/path", cache.Options{})
	if c.Address() != "https://host.example/path" {
		t.Errorf("address is %s", c.Address())
	}
}

// Credentials go to the cache that they are for, and are in no error.
func TestCredentials(t *testing.T) {
	l := newLiar(t, cache.Zstd)
	var others []string
	other := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		others = append(others, r.Header.Get("Authorization"))
		http.ServeFile(w, r, filepath.Join(l.disk.dir, r.URL.Path))
	}))
	l.disk.before = func(w http.ResponseWriter, r *http.Request) bool {
		if user, password, _ := r.BasicAuth(); user != "me" || password != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		if strings.HasPrefix(r.URL.Path, "/nar/") {
			http.Redirect(w, r, other.URL+r.URL.Path, http.StatusFound)
			return true
		}
		return false
	}
	address := serve(t, l.disk).URL
	keys := []narinfo.PublicKey{l.key.Public()}
	s := storetest.Open(t, storetest.Dir(t))
	with := strings.Replace(address, "http://", "http://me:wrong-secret@", 1)
	if _, err := pull(t, s, openCache(t, with, cache.Options{}), keys, l.path); err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "401") {
		t.Errorf("got %v", err)
	}
	with = strings.Replace(address, "http://", "http://me:secret@", 1)
	if _, err := pull(t, s, openCache(t, with, cache.Options{}), keys, l.path); err != nil {
		t.Fatal(err)
	}
	if len(others) != 2 || others[0] != "" || others[1] != "" {
		t.Errorf("another host got %q", others)
	}
}
