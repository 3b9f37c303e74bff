package cache_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"headwater/internal/cache"
	"headwater/internal/nix"
	"headwater/internal/nix/narinfo"
	"headwater/internal/store"
	"headwater/internal/store/storetest"
)

// thousand makes as many paths, mostly small, and tells the one that needs all.
func thousand(b *testing.B, s *store.Store) nix.StorePath {
	b.Helper()
	var all []nix.StorePath
	for i := range 999 {
		size := 20_000
		if i%5 == 4 {
			size = 200_000
		}
		refs := ""
		if i > 0 {
			refs = string(all[i/2]) + string(all[i*3/4])
		}
		all = append(all, install(b, s, fmt.Sprintf("n%d", i), refs+noise(uint64(i), size/2)+strings.Repeat("a line of text\n", size/30), all...))
	}
	return install(b, s, "top", fmt.Sprint(all), all...)
}

func BenchmarkPush(b *testing.B) {
	s := storetest.Open(b, storetest.Dir(b))
	top := thousand(b, s)
	key, _ := newKey(b, "cache.example-1")
	for b.Loop() {
		push(b, cache.PushOptions{Store: s, Cache: openCache(b, "file://"+b.TempDir(), cache.Options{}), Key: &key}, top)
	}
}

func BenchmarkPull(b *testing.B) {
	s := storetest.Open(b, storetest.Dir(b))
	top := thousand(b, s)
	key, public := newKey(b, "cache.example-1")
	c := openCache(b, "file://"+b.TempDir(), cache.Options{})
	push(b, cache.PushOptions{Store: s, Cache: c, Key: &key}, top)
	for b.Loop() {
		dir, err := os.MkdirTemp(storetest.Dir(b), "")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := pull(b, storetest.Open(b, dir), c, []narinfo.PublicKey{public}, top); err != nil {
			b.Fatal(err)
		}
	}
}
