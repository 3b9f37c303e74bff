package cache_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"headwater/internal/cache"
	"headwater/internal/nix"
	"headwater/internal/nix/narinfo"
	"headwater/internal/store"
)

// install makes a valid, input-addressed path: a folder with a file of the content, which is scanned for references.
func install(t testing.TB, s *store.Store, name, content string, candidates ...nix.StorePath) nix.StorePath {
	t.Helper()
	ctx := context.Background()
	p, err := nix.OutputPath(nix.Sum(nix.SHA256, []byte(name+content)), "out", name)
	if err != nil {
		t.Fatal(err)
	}
	content = strings.ReplaceAll(content, "@self@", string(p))
	dir, remove, err := s.TempDir(ctx)
	if err != nil {
		t.Fatal(err)
	}
	from := filepath.Join(dir, "x")
	if err := os.MkdirAll(filepath.Join(from, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(from, "bin", "x"), []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
	e, err := store.Examine(ctx, from, append(candidates, p))
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, store.Install{From: from, Info: store.PathInfo{Path: p, NARHash: e.NARHash, NARSize: e.NARSize, Refs: e.Refs, Ultimate: true}})
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	return p
}

func put(t testing.TB, s *store.Store, item store.Install) {
	t.Helper()
	unlock, err := s.Lock(context.Background(), item.Info.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Install(context.Background(), []store.Install{item}); err != nil {
		t.Fatal(err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
}

// noise does not compress.
func noise(seed uint64, n int) string {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	r.Read(b) // never fails
	return string(b)
}

// sample fills a store with a few paths that refer to one another, and to themselves, and tells the one that needs all.
func sample(t testing.TB, s *store.Store) nix.StorePath {
	t.Helper()
	texts, err := s.AddTexts(context.Background(), []store.Text{{Name: "text", Content: "content-addressed\n"}})
	if err != nil {
		t.Fatal(err)
	}
	low := install(t, s, "low", "at the bottom "+noise(1, 100_000))
	self := install(t, s, "self", "I am @self@, on "+string(low), low)
	big := install(t, s, "big", noise(2, 300_000)+strings.Repeat("and more ", 100_000)+string(texts[0]), texts...)
	return install(t, s, "top", "needs "+string(self)+" and "+string(big)+" and "+string(texts[0]), self, big, texts[0])
}

func newKey(t testing.TB, name string) (narinfo.SecretKey, narinfo.PublicKey) {
	t.Helper()
	k, err := narinfo.GenerateKey(name, rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32.32s", name)))))
	if err != nil {
		t.Fatal(err)
	}
	return k, k.Public()
}

func openCache(t testing.TB, address string, o cache.Options) *cache.Cache {
	t.Helper()
	c, err := cache.Open(address, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func push(t testing.TB, o cache.PushOptions, paths ...nix.StorePath) cache.Pushed {
	t.Helper()
	done, err := cache.Push(t.Context(), o, paths)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func pull(t testing.TB, s *store.Store, c *cache.Cache, keys []narinfo.PublicKey, paths ...nix.StorePath) (cache.Pulled, error) {
	t.Helper()
	return cache.NewSubstituter(s, []cache.Source{{Cache: c, Keys: keys}}, cache.PullOptions{}).Pull(t.Context(), paths, nil)
}

// closureOf lists what is registered of a closure, times and builders apart.
func closureOf(t testing.TB, s *store.Store, p nix.StorePath) []store.PathInfo {
	t.Helper()
	paths, err := s.Closure(t.Context(), []nix.StorePath{p}, false)
	if err != nil {
		t.Fatal(err)
	}
	var infos []store.PathInfo
	for _, p := range paths {
		info, err := s.Query(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		info.RegistrationTime, info.Ultimate, info.Sigs = time.Time{}, false, nil
		infos = append(infos, info)
	}
	return infos
}

// disk is a cache in a folder behind HTTP that takes what is PUT, as caches to which one writes by HTTP do.
type disk struct {
	dir string
	mu  sync.Mutex
	log []string // requests, such as "PUT nar/x.nar"
	// before answers a request itself if it wants to.
	before func(http.ResponseWriter, *http.Request) bool
}

func (d *disk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	d.mu.Lock()
	d.log = append(d.log, r.Method+" "+name)
	d.mu.Unlock()
	if d.before != nil && d.before(w, r) {
		return
	}
	at := filepath.Join(d.dir, name)
	if r.Method != http.MethodPut {
		http.ServeFile(w, r, at)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(at), 0o755)
	}
	if err == nil {
		err = os.WriteFile(at, body, 0o644)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (d *disk) requests(method string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []string
	for _, l := range d.log {
		if name, ok := strings.CutPrefix(l, method+" "); ok {
			list = append(list, name)
		}
	}
	return list
}

func serve(t testing.TB, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// files lists a folder, recursively.
func files(t testing.TB, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			list = append(list, strings.TrimPrefix(p, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// untouched checks that nothing but what may be valid is, and that nothing lies about.
func untouched(t testing.TB, s *store.Store, mayBe ...nix.StorePath) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.Dir(), "nix/store"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if p := nix.StorePath(nix.StoreDir + "/" + e.Name()); e.Name() != ".links" && !slices.Contains(mayBe, p) {
			t.Errorf("left in the store: %s", e.Name())
		}
	}
	tmp := filepath.Join(s.Dir(), "nix/var/headwater/tmp")
	err = filepath.WalkDir(tmp, func(p string, e fs.DirEntry, err error) error {
		if err == nil && strings.Count(strings.TrimPrefix(p, tmp), "/") > 1 { // below a process's own folder
			t.Errorf("left: %s", p)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
}

func read(t testing.TB, elem ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, data []byte, elem ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(elem...), data, 0o644); err != nil {
		t.Fatal(err)
	}
}
