package image_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"headwater/internal/image"
)

// server is a registry that behaves, but for what a test's deviate does.
type server struct {
	*httptest.Server
	host string

	mu       sync.Mutex
	deviate  func(w http.ResponseWriter, r *http.Request) bool // true: it answered
	requests []string                                          // "METHOD /path?query"
	received int64                                             // bytes of bodies
}

func newServer(t *testing.T, deviate func(http.ResponseWriter, *http.Request) bool) *server {
	t.Helper()
	s := &server{deviate: deviate}
	behaved := registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true))
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.Method+" "+r.URL.RequestURI())
		deviate := s.deviate
		s.mu.Unlock()
		if deviate != nil && deviate(w, r) {
			return
		}
		r.Body = &counted{r.Body, s}
		behaved.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	s.host = strings.TrimPrefix(s.URL, "http://")
	return s
}

type counted struct {
	io.ReadCloser
	server *server
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	c.server.received += int64(n)
	return n, err
}

// behave ends all deviations and forgets what was asked.
func (s *server) behave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deviate, s.requests, s.received = nil, nil, 0
}

// asked counts requests whose line has all of these.
func (s *server) asked(parts ...string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.requests {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(r, p) }) {
			n++
		}
	}
	return n
}

func service(t *testing.T, code string) *image.Image {
	t.Helper()
	s := openStore(t)
	return build(t, s, spec(root(t, s), app("/app", install(t, s, "comp", tree{"run*": code + strings.Repeat("go", 1<<16)}), "")), image.Options{})
}

func push(t *testing.T, img *image.Image, o image.PushOptions, refs ...string) ([]image.Pushed, error) {
	t.Helper()
	var parsed []image.Ref
	for _, text := range refs {
		ref, err := image.ParseRef(text, "1.0", o.Insecure)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, ref)
	}
	if o.Wait == 0 {
		o.Wait = time.Millisecond
	}
	if o.Retries == 0 {
		o.Retries = 2
	}
	return image.Push(t.Context(), img, parsed, o)
}

func TestPush(t *testing.T) {
	s := newServer(t, nil)
	img := service(t, "one")
	done, err := push(t, img, image.PushOptions{}, s.host+"/team/svc", s.host+"/team/svc:latest")
	if err != nil {
		t.Fatal(err)
	}
	if len(done) != 2 || done[0].Layers != 3 || done[0].Sent == 0 || done[1].Layers != 0 || done[1].Sent != 0 ||
		done[0].Ref != s.host+"/team/svc:1.0" || done[0].Repository() != s.host+"/team/svc@"+img.Hash.String() {
		t.Errorf("pushed %+v", done)
	}
	ref, err := name.ParseReference(s.host + "/team/svc:latest")
	if err != nil {
		t.Fatal(err)
	}
	back, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := back.Digest(); err != nil || got != img.Hash {
		t.Errorf("read back it is %v, was %v, %v", got, img.Hash, err)
	}
	s.behave()
	if done, err = push(t, img, image.PushOptions{}, s.host+"/team/svc"); err != nil || !done[0].There || done[0].Sent != 0 || s.asked("P") != 0 || s.received != 0 {
		t.Errorf("a second push sent %+v, %v; requests %q", done, err, s.requests)
	}
	s.behave()
	// Another repository of the same registry is asked for what it has. This registry would say of each blob that it is there.
	s.deviate = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusNotFound)
		}
		return r.Method == http.MethodHead
	}
	if done, err = push(t, img, image.PushOptions{}, s.host+"/other/svc"); err != nil || s.asked("POST", "from=team%2Fsvc", "mount=sha256") != 3 {
		t.Errorf("a push to another repository sent %+v, %v; requests %q", done, err, s.requests)
	}
}

// What deviates for a while is got over, and nothing is told of it.
func TestPushGetsOver(t *testing.T) {
	times := func(n int, when func(*http.Request) bool, do func(http.ResponseWriter, *http.Request)) func(http.ResponseWriter, *http.Request) bool {
		var mu sync.Mutex
		return func(w http.ResponseWriter, r *http.Request) bool {
			mu.Lock()
			defer mu.Unlock()
			if n == 0 || !when(r) {
				return false
			}
			n--
			do(w, r)
			return true
		}
	}
	any := func(*http.Request) bool { return true }
	upload := func(r *http.Request) bool { return r.Method == http.MethodPatch }
	status := func(code int, header ...string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
		}
	}
	reset := func(w http.ResponseWriter, r *http.Request) {
		io.CopyN(io.Discard, r.Body, 100) // whatever comes
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		if err := c.(*net.TCPConn).SetLinger(0); err != nil {
			t.Error(err)
		}
		c.Close()
	}
	gone := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown"}]}`)
	}
	for _, c := range []struct {
		name    string
		deviate func(http.ResponseWriter, *http.Request) bool
	}{
		{"a server that fails", times(2, upload, status(502))},
		{"one that asks for time", times(2, any, status(429, "Retry-After", "1"))},
		{"one that is overloaded", times(2, any, status(503))},
		{"connections that break", times(2, upload, reset)},
		{"a blob that goes before it is named", times(1, func(r *http.Request) bool {
			return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/")
		}, gone)},
		{"one that has no mounts", func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("mount") == "" {
				return false
			}
			w.WriteHeader(http.StatusForbidden)
			return true
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, nil)
			img := service(t, c.name)
			if _, err := push(t, img, image.PushOptions{}, s.host+"/first/svc"); err != nil {
				t.Fatal(err)
			}
			s.mu.Lock()
			s.deviate = c.deviate
			s.mu.Unlock()
			if _, err := push(t, img, image.PushOptions{}, s.host+"/team/svc"); err != nil {
				t.Fatal(err)
			}
			if c.name != "one that has no mounts" {
				s2 := newServer(t, c.deviate)
				if _, err := push(t, img, image.PushOptions{}, s2.host+"/team/svc"); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// What stays wrong is told: what, where, and what to do.
func TestPushFails(t *testing.T) {
	answer := func(code int, errorCode, message string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, errorCode, message)
		}
	}
	on := func(method, path string, do func(http.ResponseWriter, *http.Request)) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == method && strings.Contains(r.URL.Path, path) {
				do(w, r)
				return true
			}
			return false
		}
	}
	for _, c := range []struct {
		name       string
		deviate    func(http.ResponseWriter, *http.Request) bool
		moved      bool // the tag is another image before
		want, hint string
	}{
		{"throttling", on("PATCH", "/", answer(429, "TOOMANYREQUESTS", "slow down")), false, "TOOMANYREQUESTS", "not sent again"},
		{"an outage", on("PATCH", "/", answer(500, "UNKNOWN", "disk full")), false, "disk full", "the fault is at"},
		{"an immutable tag", on("PUT", "/manifests/", answer(400, "TAG_INVALID", "tag is immutable")), true, "TAG_INVALID", "push under another tag"},
		{"an immutable tag in a conflict", on("PUT", "/manifests/", answer(409, "UNKNOWN_THING", "exists")), true, "exists", "push under another tag"},
		{"no right", on("POST", "/uploads/", answer(403, "DENIED", "not yours")), false, "DENIED", "may not push to"},
		{"no repository", on("POST", "/uploads/", answer(404, "NAME_UNKNOWN", "unknown")), false, "NAME_UNKNOWN", "does"},
		{"a blob that vanishes", on("PUT", "/manifests/", answer(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown")), false, "MANIFEST_BLOB_UNKNOWN", "clean-up"},
		{"bytes that change on the way", on("PUT", "/uploads/", answer(400, "DIGEST_INVALID", "digest mismatch")), false, "DIGEST_INVALID", "what arrived is not what was sent"},
		{"another image under the tag", on("GET", "/manifests/", func(w http.ResponseWriter, _ *http.Request) {
			other := `{"schemaVersion":2}`
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			w.Header().Set("Docker-Content-Digest", fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(other))))
			fmt.Fprint(w, other)
		}), false, "something else under the tag", "what stands between"},
		{"a digest that is none of what it is told with", on("GET", "/manifests/", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))
			fmt.Fprint(w, `{}`)
		}), false, "something else under the tag", "what stands between"},
		{"connections that always break", on("PATCH", "/", func(w http.ResponseWriter, _ *http.Request) {
			if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
				c.Close()
			}
		}), false, "", "What was sent already is not sent again"},
		{"a page that wants people to sign in", on("GET", "/manifests/", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<html>Please accept the terms of use</html>")
		}), false, "something else under the tag", "what stands between"},
		{"layers that it only says it has", func(w http.ResponseWriter, r *http.Request) bool {
			switch {
			case r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/blobs/"):
				w.Header().Set("Content-Length", "1")
			case r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/"):
				answer(404, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry")(w, r)
			default:
				return false
			}
			return true
		}, false, "MANIFEST_BLOB_UNKNOWN", "clean-up"},
		{"a way elsewhere", on("POST", "/uploads/", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://192.0.2.1/upload")
			w.WriteHeader(http.StatusAccepted)
		}), false, "192.0.2.1 is not on this machine and speaks no TLS", "--insecure"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, nil)
			if c.moved {
				if _, err := push(t, service(t, "another"), image.PushOptions{}, s.host+"/team/svc"); err != nil {
					t.Fatal(err)
				}
			}
			s.mu.Lock()
			s.deviate = c.deviate
			s.mu.Unlock()
			_, err := push(t, service(t, c.name), image.PushOptions{}, s.host+"/team/svc")
			var failed *image.Error
			if !errors.As(err, &failed) {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), s.host+"/team/svc:1.0") || !strings.Contains(failed.Hint(), c.hint) {
				t.Errorf("got %v\nhint %q\nwant %q and %q", err, failed.Hint(), c.want, c.hint)
			}
		})
	}
}

// A broken off push leaves no tag, and the next sends only what is missing.
func TestPushGoesOn(t *testing.T) {
	var mu sync.Mutex
	uploads := 0
	s := newServer(t, nil)
	s.deviate = func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if r.Method == http.MethodPatch {
			uploads++
		}
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	}
	img := service(t, "x")
	if _, err := push(t, img, image.PushOptions{}, s.host+"/team/svc"); err == nil {
		t.Fatal("it was pushed")
	}
	if s.asked("PUT", "/manifests/") == 0 || uploads != 4 {
		t.Errorf("%d uploads, want three layers and a configuration; requests %q", uploads, s.requests)
	}
	s.behave()
	if done, err := push(t, img, image.PushOptions{}, s.host+"/team/svc"); err != nil || done[0].Sent != 0 {
		t.Errorf("the second time it sent %+v, %v", done, err)
	}
}

// A registry that lost a layer of an image that it still has a tag of gets it again.
func TestPushMends(t *testing.T) {
	s := newServer(t, nil)
	img := service(t, "x")
	if _, err := push(t, img, image.PushOptions{}, s.host+"/team/svc"); err != nil {
		t.Fatal(err)
	}
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	s.behave()
	s.deviate = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead && strings.HasSuffix(r.URL.Path, m.Layers[1].Digest.String()) {
			w.WriteHeader(http.StatusNotFound)
			return true
		}
		return false
	}
	if done, err := push(t, img, image.PushOptions{}, s.host+"/team/svc"); err != nil || done[0].Layers != 1 {
		t.Errorf("sent %+v, %v, want the one layer that is gone", done, err)
	}
}

func TestPushStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPatch {
			cancel()
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	ref, err := image.ParseRef(s.host+"/team/svc", "1", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := image.Push(ctx, service(t, "x"), []image.Ref{ref}, image.PushOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled, it says %v", err)
	}
}

// Credentials come from docker's configuration, and from the helpers that it names.
func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("DOCKER_CONFIG", dir)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	helper := "#!/bin/sh\nread -r server\necho '{\"ServerURL\":\"'$server'\",\"Username\":\"ann\",\"Secret\":\"pass\"}'\n"
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-test"), []byte(helper), 0o755); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) bool {
		if user, password, ok := r.BasicAuth(); ok && user == "ann" && password == "pass" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
		return true
	})
	img := service(t, "x")
	for _, c := range []struct{ name, config, want string }{
		{"none", `{}`, "UNAUTHORIZED"},
		{"wrong", `{"auths":{"HOST":{"username":"ann","password":"wrong"}}}`, "UNAUTHORIZED"},
		{"right", `{"auths":{"HOST":{"username":"ann","password":"pass"}}}`, ""},
		{"a helper's", `{"credHelpers":{"HOST":"test"}}`, ""},
		{"a helper that is not there", `{"credHelpers":{"HOST":"nosuch"}}`, "docker-credential-nosuch"},
		{"a configuration that is none", `{`, "config.json"},
	} {
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(strings.ReplaceAll(c.config, "HOST", s.host)), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := push(t, img, image.PushOptions{Keychain: authn.DefaultKeychain}, s.host+"/team/svc")
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "wrong") {
			t.Errorf("%s: a password is told: %v", c.name, err)
		}
		var failed *image.Error
		if c.want == "UNAUTHORIZED" && (!errors.As(err, &failed) || !strings.Contains(failed.Hint(), "docker login "+s.host)) {
			t.Errorf("%s: no hint in %v", c.name, err)
		}
	}
}

// Tokens that end while an image is pushed are got anew; who has none is told to sign in.
func TestTokens(t *testing.T) {
	for _, c := range []struct {
		name, password string
		good           int // requests that a token is good for
		want           string
	}{
		{"a token that ends", "pass", 6, ""},
		{"a wrong password", "wrong", 6, "UNAUTHORIZED"},
		{"tokens that are never taken", "pass", 0, "UNAUTHORIZED"},
	} {
		var mu sync.Mutex
		issued, used := 0, map[string]int{}
		s := newServer(t, nil)
		refuse := func(w http.ResponseWriter) bool {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+s.URL+`/token",service="test",scope="repository:team/svc:push,pull"`)
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
			return true
		}
		s.deviate = func(w http.ResponseWriter, r *http.Request) bool {
			mu.Lock()
			defer mu.Unlock()
			if r.URL.Path == "/token" {
				if user, password, ok := r.BasicAuth(); !ok || user != "ann" || password != "pass" {
					return refuse(w)
				}
				issued++
				fmt.Fprintf(w, `{"token":"token-%d"}`, issued)
				return true
			}
			token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			if used[token]++; !ok || used[token] > c.good {
				return refuse(w)
			}
			return false
		}
		keys := authn.NewKeychainFromHelper(helper{"ann", c.password})
		_, err := push(t, service(t, c.name), image.PushOptions{Keychain: keys}, s.host+"/team/svc")
		var failed *image.Error
		switch {
		case c.want == "" && (err != nil || issued < 2):
			t.Errorf("%s: %v with %d tokens", c.name, err, issued)
		case c.want != "" && (!errors.As(err, &failed) || !strings.Contains(err.Error(), c.want) || !strings.Contains(failed.Hint(), "docker login") || strings.Contains(err.Error(), c.password)):
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

// helper is a credential helper that has one user and password.
type helper struct{ user, password string }

func (h helper) Get(string) (string, string, error) { return h.user, h.password, nil }

// Without TLS only this machine is spoken to, unless the user says otherwise.
func TestPlainOnlyIfSaid(t *testing.T) {
	tls := httptest.NewTLSServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true)))
	defer tls.Close()
	img := service(t, "x")
	ref := strings.TrimPrefix(tls.URL, "https://") + "/team/svc"
	if _, err := push(t, img, image.PushOptions{}, ref); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
	if _, err := push(t, img, image.PushOptions{Insecure: true}, ref); err != nil {
		t.Errorf("with --insecure: %v", err)
	}
}

func TestParseRef(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"registry.example/team/svc", "registry.example/team/svc:1.0"},
		{"registry.example:5000/svc:2", "registry.example:5000/svc:2"},
		{"localhost/svc", "localhost/svc:1.0"},
		{"[::1]:5000/svc", "[::1]:5000/svc:1.0"},
		{"svc", ""}, {"team/svc", ""}, {"registry.example", ""}, {"registry.example/Team/svc", ""}, {"registry.example/svc:a b", ""}, {"", ""}, {"https://registry.example/svc", ""},
		{"registry.example/svc@sha256:" + strings.Repeat("0", 64), ""},
	} {
		ref, err := image.ParseRef(c.text, "1.0", false)
		got := ""
		if err == nil {
			got = ref.String()
		} else if !errors.As(err, new(*image.RefError)) {
			t.Errorf("%q: %T", c.text, err)
		}
		if got != c.want {
			t.Errorf("%q: %q, %v, want %q", c.text, got, err, c.want)
		}
	}
}

func FuzzParseRef(f *testing.F) {
	f.Add("registry.example/team/svc:1")
	f.Add("[::1]:5000/svc@sha256:00")
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := image.ParseRef(text, "1.0", false)
		if err != nil {
			return
		}
		again, err := image.ParseRef(ref.String(), "other", false)
		if err != nil || again.String() != ref.String() {
			t.Errorf("%q is %q, and that %q, %v", text, ref, again, err)
		}
	})
}
