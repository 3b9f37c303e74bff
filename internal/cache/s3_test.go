package cache_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"

	"headwater/internal/cache"
	"headwater/internal/nix"
	"headwater/internal/nix/narinfo"
	"headwater/internal/nixtest"
	"headwater/internal/s3test"
	"headwater/internal/store/storetest"
)

// signed are options whose requests are signed as the test server wants it.
func signed() cache.Options {
	return cache.Options{Credentials: static(s3test.ID, s3test.Secret), Wait: func(context.Context, time.Duration) error { return nil }}
}

func static(id, secret string) func(context.Context, string) (aws.CredentialsProvider, error) {
	return func(context.Context, string) (aws.CredentialsProvider, error) {
		return credentials.NewStaticCredentialsProvider(id, secret, ""), nil
	}
}

// A bucket is a cache like others: what it lacks is sent, once, and taken.
func TestBucket(t *testing.T) {
	server := s3test.Start(t)
	server.Bucket(t, "cache")
	s := storetest.Open(t, storetest.Dir(t))
	top := sample(t, s)
	key, public := newKey(t, "cache.example-1")
	address := "s3://cache?" + server.Place()
	for i, want := range []int{5, 0} {
		done := push(t, cache.PushOptions{Store: s, Cache: openCache(t, address, signed()), Key: &key}, top)
		if len(done.Paths) != want {
			t.Errorf("push %d sent %d paths", i, len(done.Paths))
		}
	}
	folder := t.TempDir()
	push(t, cache.PushOptions{Store: s, Cache: openCache(t, "file://"+folder, cache.Options{}), Key: &key}, top)
	if d := cmp.Diff(files(t, folder), server.Keys(t, "cache")); d != "" {
		t.Errorf("files (-folder +bucket):\n%s", d)
	}
	into := storetest.Open(t, storetest.Dir(t))
	if _, err := pull(t, into, openCache(t, address, signed()), []narinfo.PublicKey{public}, top); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(closureOf(t, s, top), closureOf(t, into, top), equalHashes); d != "" {
		t.Error(d)
	}
}

// flaky is what stands before a server and spoils some of the requests.
func flaky(t *testing.T, server *s3test.Server, spoil func(http.ResponseWriter, *http.Request) bool) (place string) {
	t.Helper()
	proxy := &httputil.ReverseProxy{Director: func(r *http.Request) { r.URL.Scheme, r.URL.Host = "http", server.Host }} // the signed Host stays
	address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !spoil(w, r) {
			proxy.ServeHTTP(w, r)
		}
	})).URL
	return url.Values{"endpoint": {address}, "region": {s3test.Region}}.Encode()
}

// A large file is sent in parts, each of which is tried again by itself; an upload that fails leaves nothing.
func TestBucketParts(t *testing.T) {
	server := s3test.Start(t)
	server.Bucket(t, "cache")
	s := storetest.Open(t, storetest.Dir(t))
	big := install(t, s, "big", noise(7, 40<<20))
	key, public := newKey(t, "cache.example-1")
	var parts, broken atomic.Int64
	always := false
	address := "s3://cache?" + flaky(t, server, func(w http.ResponseWriter, r *http.Request) bool {
		number := r.URL.Query().Get("partNumber")
		if r.Method != http.MethodPut || number == "" {
			return false
		}
		parts.Add(1)
		if number == "2" && (always || broken.Add(1) == 1) {
			panic(http.ErrAbortHandler) // the connection ends
		}
		return false
	})
	always = true
	_, err := cache.Push(t.Context(), cache.PushOptions{Store: s, Cache: openCache(t, address, signed()), Key: &key}, []nix.StorePath{big})
	if err == nil || !strings.Contains(err.Error(), "part 2 of 3: ") {
		t.Fatalf("got %v", err)
	}
	if n := server.Unfinished(t, "cache"); n != 0 {
		t.Errorf("%d unfinished uploads are left", n)
	}
	if d := cmp.Diff([]string{"nix-cache-info"}, server.Keys(t, "cache")); d != "" {
		t.Errorf("left (-want +got):\n%s", d)
	}
	always = false
	parts.Store(0)
	push(t, cache.PushOptions{Store: s, Cache: openCache(t, address, signed()), Key: &key}, big)
	if n := parts.Load(); n != 4 {
		t.Errorf("%d requests for 3 parts, of which one failed once", n)
	}
	into := storetest.Open(t, storetest.Dir(t))
	if _, err := pull(t, into, openCache(t, address, signed()), []narinfo.PublicKey{public}, big); err != nil {
		t.Fatal(err)
	}
}

// The newest Nix takes what we push to a bucket, and we take what it copies there. Debian's does not sign its requests, so the
// bucket is a public one; older ones of Debian have no S3 at all.
func TestNixAndBuckets(t *testing.T) {
	server := s3test.Start(t)
	server.Bucket(t, "cache")
	server.Open(t, "cache")
	server.Bucket(t, "theirs")
	server.Open(t, "theirs")
	n := nixtest.New(t, nixtest.Newest)
	s := storetest.Open(t, storetest.Dir(t))
	top := sample(t, s)
	t.Run("Nix takes", func(t *testing.T) {
		key, public := newKey(t, "cache.example-1")
		_, other := newKey(t, "other.example-1")
		address := "s3://cache?" + server.Place()
		push(t, cache.PushOptions{Store: s, Cache: openCache(t, address, signed()), Key: &key}, top)
		to := storetest.Dir(t)
		realise := func(key narinfo.PublicKey) error {
			out, err := n.Command(t.Context(), "nix-store", "--store", to, "--option", "substituters", address,
				"--option", "trusted-public-keys", key.String(), "--realise", string(top)).CombinedOutput()
			if err != nil {
				return errors.New(string(out))
			}
			return nil
		}
		if realise(other) == nil {
			t.Error("Nix takes what is signed by a key that it does not trust")
		}
		if err := realise(public); err != nil {
			t.Fatal(err)
		}
		n.Verify(t, to)
		if d := cmp.Diff(closureOf(t, s, top), closureOf(t, storetest.Open(t, to), top), equalHashes); d != "" {
			t.Error(d)
		}
	})
	t.Run("Nix gives", func(t *testing.T) {
		keys := t.TempDir()
		n.Run(t, "nix-store", "--generate-binary-cache-key", "nix.example-1", filepath.Join(keys, "secret"), filepath.Join(keys, "public"))
		public, err := narinfo.ParsePublicKey(strings.TrimSpace(string(read(t, keys, "public"))))
		if err != nil {
			t.Fatal(err)
		}
		address := "s3://theirs?" + server.Place()
		n.Run(t, "nix", "copy", "--store", s.Dir(), "--to", address+"&secret-key="+filepath.Join(keys, "secret"), string(top))
		for name, o := range map[string]cache.Options{"signed": signed(), "not signed": {}} {
			into := storetest.Open(t, storetest.Dir(t))
			if _, err := pull(t, into, openCache(t, address, o), []narinfo.PublicKey{public}, top); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if d := cmp.Diff(closureOf(t, s, top), closureOf(t, into, top), equalHashes); d != "" {
				t.Error(name, d)
			}
		}
	})
}

// What is wrong with a bucket or with who asks is said, and nothing is sent.
func TestBucketRefuses(t *testing.T) {
	server := s3test.Start(t)
	server.Bucket(t, "cache")
	s := storetest.Open(t, storetest.Dir(t))
	top := sample(t, s)
	none := func(context.Context, string) (aws.CredentialsProvider, error) {
		return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{}, errors.New("looked everywhere")
		}), nil
	}
	for name, c := range map[string]struct {
		address     string
		credentials func(context.Context, string) (aws.CredentialsProvider, error)
		want, hint  string
	}{
		"wrong secret":   {"s3://cache?" + server.Place(), static(s3test.ID, "wrong"), `403 Forbidden: "SignatureDoesNotMatch"`, "AWS_ACCESS_KEY_ID"},
		"unknown user":   {"s3://cache?" + server.Place(), static("nobody", "wrong"), "No user exists with the provided access key", ""},
		"no credentials": {"s3://cache?" + server.Place(), none, "the request was not signed, since no credentials were found: looked everywhere", "AWS_ACCESS_KEY_ID"},
		"no bucket":      {"s3://none?" + server.Place(), static(s3test.ID, s3test.Secret), "there is no bucket none", ""},
		"wrong region": {"s3://cache?" + strings.Replace(server.Place(), s3test.Region, "eu-west-1", 1), static(s3test.ID, s3test.Secret),
			`400 Bad Request: "AuthorizationHeaderMalformed"`, ""},
		"nobody there": {"s3://cache?endpoint=127.0.0.1:1&scheme=http", static(s3test.ID, s3test.Secret), "connection refused", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := signed()
			o.Credentials = c.credentials
			_, err := cache.Push(t.Context(), cache.PushOptions{Store: s, Cache: openCache(t, c.address, o)}, []nix.StorePath{top})
			var e *cache.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) || !strings.Contains(e.Hint(), c.hint) || (c.hint == "") != (e.Hint() == "") {
				t.Fatalf("got %v", err)
			}
		})
	}
	if keys := server.Keys(t, "cache"); len(keys) > 0 {
		t.Errorf("the bucket has %v", keys)
	}
}

// A service that misbehaves ends a request soon, and gets nothing into the store.
func TestBucketLies(t *testing.T) {
	server := s3test.Start(t)
	server.Bucket(t, "cache")
	s := storetest.Open(t, storetest.Dir(t))
	top := sample(t, s)
	key, public := newKey(t, "cache.example-1")
	push(t, cache.PushOptions{Store: s, Cache: openCache(t, "s3://cache?"+server.Place(), signed()), Key: &key}, top)
	endless := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, strings.Repeat("<x>", 10_000)); err != nil {
				return
			}
		}
	}
	for name, c := range map[string]struct {
		spoil func(http.ResponseWriter, *http.Request)
		only  string // what a spoilt key has; "" spoils all
		want  string
	}{
		"no answer":     {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "", "the answer took too long"},
		"endless file":  {endless, "nar/", "is not what was promised"},
		"endless text":  {endless, "nix-cache-info", "is longer than 65536 bytes"},
		"endless error": {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500); endless(w, r) }, "nar/", "500 Internal Server Error"},
		"senseless":     {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<oops", 418) }, "nar/", "the server answered 418"},
		"ends":          {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "nar/", "EOF"},
		"redirects":     {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.String(), 307) }, "nar/", "the server answered 307"},
		"another region": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amz-Bucket-Region", "eu-west-1")
			w.WriteHeader(301)
		}, "", "?region=eu-west-1"},
		"another file": {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "StoreDir: /elsewhere\n") }, "nix-cache-info", "it is one for the store /elsewhere"},
		"encoded":      {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Encoding", "br") }, ".narinfo", `is encoded as "br"`},
	} {
		t.Run(name, func(t *testing.T) {
			address := "s3://cache?" + flaky(t, server, func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, c.only) {
					return false
				}
				c.spoil(w, r)
				return true
			})
			o := signed()
			o.Deadline, o.Retries = 3*time.Second, -1
			into := storetest.Open(t, storetest.Dir(t))
			_, err := pull(t, into, openCache(t, address, o), []narinfo.PublicKey{public}, top)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v", err)
			}
			if valid, err := into.Valid(t.Context(), top); err != nil || len(valid) > 0 {
				t.Errorf("%v is valid, %v", valid, err)
			}
		})
	}
}

// What passes is tried again.
func TestBucketTriesAgain(t *testing.T) {
	server := s3test.Start(t)
	server.Bucket(t, "cache")
	s := storetest.Open(t, storetest.Dir(t))
	top := sample(t, s)
	key, public := newKey(t, "cache.example-1")
	var seen sync.Map
	address := "s3://cache?" + flaky(t, server, func(w http.ResponseWriter, r *http.Request) bool {
		_, again := seen.LoadOrStore(r.Method+r.URL.Path, true)
		if !again {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return !again
	})
	push(t, cache.PushOptions{Store: s, Cache: openCache(t, address, signed()), Key: &key}, top)
	into := storetest.Open(t, storetest.Dir(t))
	if _, err := pull(t, into, openCache(t, address, signed()), []narinfo.PublicKey{public}, top); err != nil {
		t.Fatal(err)
	}
}

// An address says where a bucket is, in Nix's words and no others.
func TestBucketAddress(t *testing.T) {
	for address, want := range map[string]string{
		"s3://cache": "",
		"s3://my.cache?region=eu-west-1&profile=ci&addressing-style=auto&scheme=https": "",
		"s3://cache?endpoint=https://store.example:9000/s3&region=here":                "",
		"s3://cache/below":                      "a cache is a whole bucket",
		"s3://":                                 "want s3://BUCKET",
		"s3://cache:80":                         "want s3://BUCKET",
		"s3://id:secret@cache":                  "credentials do not stand in the address",
		"s3://cache?compression=zstd":           `parameter "compression" is not known`,
		"s3://cache?region=a&region=b":          `parameter "region" stands there twice`,
		"s3://cache?region=a/b":                 `region "a/b" is none`,
		"s3://cache?scheme=ftp":                 `scheme "ftp": want http or https`,
		"s3://cache?endpoint=a@b":               "endpoint: want HOST",
		"s3://cache?endpoint=http://a:secret@b": "endpoint: want HOST",
		"s3://cache?endpoint=ftp://b":           "endpoint: want HOST",
		"s3://cache?addressing-style=diagonal":  `addressing-style "diagonal"`,
		"s3://cache#x":                          "settings after ? or # are not known",
	} {
		_, err := cache.Open(address, cache.Options{})
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", address, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret")):
			t.Errorf("%s: got %v, want %s", address, err, want)
		}
	}
}

// Whatever stands in an address, what is said of it has no password.
func FuzzOpen(f *testing.F) {
	for _, address := range []string{
		"s3://cache?region=eu-west-1&profile=ci", "s3://my.cache?endpoint=https://store.example:9000/s3&addressing-style=virtual", "s3://id:hunter2@cache",
		"https://id:hunter2@cache.example/team", "file:///srv/cache", "s3://cache?endpoint=http://id:hunter2@store.example", "s3://cache/%zz?a=%zz",
	} {
		f.Add(address)
	}
	f.Fuzz(func(t *testing.T, address string) {
		c, err := cache.Open(address, cache.Options{})
		if err == nil {
			defer c.Close()
		}
		u, parseErr := url.Parse(address)
		if parseErr != nil || u.User == nil {
			return
		}
		password, _ := u.User.Password()
		if rest := strings.Replace(address, u.User.String()+"@", "", 1); len(password) > 5 && !strings.Contains(rest, password) {
			if err != nil && strings.Contains(err.Error(), password) || err == nil && strings.Contains(c.Address(), password) {
				t.Errorf("%s: the password is told: %v", address, err)
			}
		}
	})
}
