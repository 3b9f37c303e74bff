package cache_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/cache"
	"headwater/internal/nix/narinfo"
)

const goodSettings = `caches: 1
substituters:
  - url: https://cache.example/team
    keys: ["cache.example-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]
  - url: file:///srv/cache
`

func TestSettings(t *testing.T) {
	s, err := cache.ParseSettings([]byte(goodSettings))
	if err != nil {
		t.Fatal(err)
	}
	key, err := narinfo.ParsePublicKey("cache.example-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	if err != nil {
		t.Fatal(err)
	}
	want := cache.Settings{Substituters: []cache.SubstituterSetting{
		{URL: "https://cache.example/team", Keys: []narinfo.PublicKey{key}}, {URL: "file:///srv/cache"},
	}}
	if d := cmp.Diff(want, s, cmp.Comparer(func(a, b narinfo.PublicKey) bool { return a.String() == b.String() })); d != "" {
		t.Error(d)
	}
}

func TestSettingsRejects(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"no format":     {"caches: 1\n", "", "caches: is 0"},
		"later format":  {"caches: 1", "caches: 2", "caches: is 2"},
		"unknown key":   {"keys:", "key:", "field key not found"},
		"wrong address": {"https://cache.example/team", "cache.example", "substituters[0].url: cache cache.example: want"},
		"twice":         {"file:///srv/cache", "https://me@cache.example/team", "substituters[1].url: https://cache.example/team stands there twice"},
		"wrong key":     {"AAAA=\"", "AAA=\"", "substituters[0].keys[0]: parse public key"},
		"not YAML":      {"caches: 1", "\t", "found character"},
		"two documents": {"caches: 1", "caches: 1\n---\ncaches: 1", "more than one"},
		"empty":         {goodSettings, "", "the file is empty"},
		"huge":          {"caches: 1", "caches: 1 #" + strings.Repeat("x", cache.MaxSettings), "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := cache.ParseSettings([]byte(strings.Replace(goodSettings, c.old, c.new, 1)))
			var bad *cache.SettingsError
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func FuzzParseSettings(f *testing.F) {
	f.Add([]byte(goodSettings))
	f.Add([]byte("caches: 1\nsubstituters: [{url: \"http://[::1]:8080\", keys: [a:b]}, {}]\n"))
	f.Add([]byte("caches: &a 1\nsubstituters: *a\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := cache.ParseSettings(data)
		if err != nil {
			if !errors.As(err, new(*cache.SettingsError)) || len(s.Substituters) > 0 {
				t.Errorf("got %v, %+v", err, s)
			}
			return
		}
		for _, sub := range s.Substituters {
			if _, err := cache.Open(sub.URL, cache.Options{}); err != nil {
				t.Error(err)
			}
		}
	})
}
