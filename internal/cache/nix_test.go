package cache_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/cache"
	"headwater/internal/nix"
	"headwater/internal/nix/narinfo"
	"headwater/internal/nixtest"
	"headwater/internal/store/storetest"
)

var equalHashes = cmp.Comparer(func(x, y nix.Hash) bool { return x == y })

// bothReleases runs a test with an old and a new Nix.
func bothReleases(t *testing.T, f func(*testing.T, *nixtest.Nix)) {
	for _, r := range []nixtest.Release{nixtest.Old, nixtest.Current} {
		t.Run(string(r), func(t *testing.T) { f(t, nixtest.New(t, r)) })
	}
}

// Real Nix takes what we push to a folder or over HTTP, and what we serve, if it trusts the key, and not otherwise.
func TestNixSubstitutes(t *testing.T) {
	s := storetest.Open(t, storetest.Dir(t))
	top := sample(t, s)
	key, public := newKey(t, "cache.example-1")
	_, other := newKey(t, "other.example-1")
	addresses := map[string]string{}
	for _, c := range []cache.Compression{cache.Zstd, cache.XZ, cache.None} {
		dir := filepath.Join(t.TempDir(), "cache")
		push(t, cache.PushOptions{Store: s, Cache: openCache(t, "file://"+dir, cache.Options{}), Key: &key, Compression: c}, top)
		addresses["file, "+string(c)] = "file://" + dir
	}
	web := &disk{dir: t.TempDir()}
	addresses["http"] = serve(t, web).URL
	push(t, cache.PushOptions{Store: s, Cache: openCache(t, addresses["http"], cache.Options{}), Key: &key}, top)
	for _, c := range []cache.Compression{cache.Zstd, cache.None} {
		addresses["served, "+string(c)] = serve(t, cache.Handler(cache.ServeOptions{Store: s, Key: &key, Compression: c})).URL
	}
	bothReleases(t, func(t *testing.T, n *nixtest.Nix) {
		for name, address := range addresses {
			t.Run(name, func(t *testing.T) {
				to := storetest.Dir(t)
				realise := func(key narinfo.PublicKey) error {
					return n.Command(t.Context(), "nix-store", "--store", to, "--option", "substituters", address,
						"--option", "trusted-public-keys", key.String(), "--realise", string(top)).Run()
				}
				if realise(other) == nil {
					t.Error("Nix takes what is signed by a key that it does not trust")
				}
				if err := realise(public); err != nil {
					t.Fatal(err)
				}
				n.Verify(t, to)
				n.Run(t, "nix", "store", "verify", "--store", to, "--recursive", "--sigs-needed", "1", "--trusted-public-keys", public.String(), string(top))
				if d := cmp.Diff(closureOf(t, s, top), closureOf(t, storetest.Open(t, to), top), equalHashes); d != "" {
					t.Error(d)
				}
			})
		}
	})
}

// We take what real Nix copies to a cache, by whatever compression, if we trust its key, and not otherwise.
func TestPullsWhatNixPushes(t *testing.T) {
	s := storetest.Open(t, storetest.Dir(t))
	top := sample(t, s)
	bothReleases(t, func(t *testing.T, n *nixtest.Nix) {
		keys := t.TempDir()
		n.Run(t, "nix-store", "--generate-binary-cache-key", "nix.example-1", filepath.Join(keys, "secret"), filepath.Join(keys, "public"))
		public, err := narinfo.ParsePublicKey(strings.TrimSpace(string(read(t, keys, "public"))))
		if err != nil {
			t.Fatal(err)
		}
		_, other := newKey(t, "nix.example-1")
		for _, how := range []string{"xz", "zstd", "none", "bzip2", "gzip", "br"} {
			t.Run(how, func(t *testing.T) {
				web := &disk{dir: t.TempDir()}
				for _, c := range []struct{ to, from string }{
					{"file://" + web.dir, "file://" + web.dir},
					{serve(t, web).URL, serve(t, web).URL},
				} {
					if strings.HasPrefix(c.to, "http") && how != "zstd" {
						continue
					}
					settings := "?compression=" + how + "&secret-key=" + filepath.Join(keys, "secret")
					n.Run(t, "nix", "copy", "--store", s.Dir(), "--to", c.to+settings, string(top))
					from := openCache(t, c.from, cache.Options{})
					into := storetest.Open(t, storetest.Dir(t))
					if _, err := pull(t, into, from, []narinfo.PublicKey{other}, top); err == nil {
						t.Fatal("taken, signed by a key that is not trusted")
					}
					got, err := pull(t, into, from, []narinfo.PublicKey{public}, top)
					if how == "br" {
						if err == nil || !strings.Contains(err.Error(), `compression "br" is not known`) {
							t.Fatalf("got %v", err)
						}
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					if len(got.Paths) != 5 || got.Paths[4] != top || got.Bytes == 0 {
						t.Errorf("took %+v", got)
					}
					n.Verify(t, into.Dir())
					n.Run(t, "nix", "store", "verify", "--store", into.Dir(), "--recursive", "--sigs-needed", "1", "--trusted-public-keys", public.String(), string(top))
					if d := cmp.Diff(closureOf(t, s, top), closureOf(t, into, top), equalHashes); d != "" {
						t.Error(d)
					}
				}
			})
		}
	})
}

// A key that we make is one for Nix, and signs as Nix does; the names of files and what is in them are Nix's too.
func TestWritesWhatNixWrites(t *testing.T) {
	s := storetest.Open(t, storetest.Dir(t))
	top := sample(t, s)
	key, _ := newKey(t, "cache.example-1")
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(key.Text()), 0o600); err != nil {
		t.Fatal(err)
	}
	ours, theirs := t.TempDir(), t.TempDir()
	push(t, cache.PushOptions{Store: s, Cache: openCache(t, "file://"+ours, cache.Options{}), Key: &key, Compression: cache.None}, top)
	n := nixtest.New(t, nixtest.Current)
	n.Run(t, "nix", "copy", "--store", s.Dir(), "--to", "file://"+theirs+"?compression=none&secret-key="+secret, string(top))
	if d := cmp.Diff(files(t, theirs), files(t, ours)); d != "" {
		t.Errorf("files (-Nix +ours):\n%s", d)
	}
	for _, name := range files(t, theirs) {
		if name == "nix-cache-info" {
			continue
		}
		if d := cmp.Diff(string(read(t, theirs, name)), string(read(t, ours, name))); d != "" {
			t.Errorf("%s (-Nix +ours):\n%.2000s", name, d)
		}
	}
	// What one has pushed the other need not push again.
	before := files(t, theirs)
	done := push(t, cache.PushOptions{Store: s, Cache: openCache(t, "file://"+theirs, cache.Options{}), Key: &key}, top)
	if len(done.Paths) > 0 || done.There != 5 {
		t.Errorf("pushed %+v", done)
	}
	if d := cmp.Diff(before, files(t, theirs)); d != "" {
		t.Error(d)
	}
}
