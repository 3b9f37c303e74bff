package backend_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gatehouse.example/gatehouse/internal/backend"
)

func TestReady(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		want   string // the error, "" for ready
	}{
		{"ready", 200, `{"version":"1","database":true,"migrated":true}`, ""},
		{"other version", 200, `{"version":"2","database":true,"migrated":true}`, ""},
		{"no database", 503, `{"version":"1","database":false,"migrated":false}`, "the database does not answer"},
		{"not migrated", 503, `{"version":"1","database":true,"migrated":false}`, "the database is not migrated: run gatehouse migrate"},
		{"broken", 500, `<h1>Server Error</h1>`, "the backend answers 500 Internal Server Error"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			socket := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/api/v1/status/" {
					t.Errorf("asked for %s", r.URL.Path)
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(test.status)
				io.WriteString(w, test.body)
			})
			err := backend.NewClient(socket, "1", quiet()).Ready(t.Context())
			if got := message(err); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestNotThereYet(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "none.sock")
	want := "the backend does not answer yet"
	if got := message(backend.NewClient(socket, "1", quiet()).Ready(t.Context())); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	recorder := httptest.NewRecorder()
	backend.NewProxy(socket, nil, quiet()).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/api/v1/", nil))
	if recorder.Code != http.StatusServiceUnavailable || recorder.Header().Get("Retry-After") == "" {
		t.Errorf("got %d with %v", recorder.Code, recorder.Header())
	}
}

func TestForwardedHeaders(t *testing.T) {
	socket := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Ssl"} {
			w.Header().Set("Got-"+name, r.Header.Get(name))
		}
	})
	tests := []struct {
		name      string
		trusted   []netip.Prefix
		for_      string
		host      string
		proto     string
		forwarded bool
	}{
		{"from a client", nil, "192.0.2.1", "here.example", "http", true},
		{"from a trusted proxy", []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, "198.51.100.7", "outside.example", "https", true},
		{"from a trusted proxy that says nothing", []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, "192.0.2.1", "here.example", "http", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			request := httptest.NewRequest(http.MethodGet, "http://here.example/api/", nil) // from 192.0.2.1
			if test.forwarded {
				request.Header.Set("X-Forwarded-For", "198.51.100.7")
				request.Header.Set("X-Forwarded-Host", "outside.example")
				request.Header.Set("X-Forwarded-Proto", "https")
				request.Header.Set("X-Forwarded-Ssl", "on")
			}
			recorder := httptest.NewRecorder()
			backend.NewProxy(socket, test.trusted, quiet()).ServeHTTP(recorder, request)
			for name, want := range map[string]string{
				"X-Forwarded-For": test.for_, "X-Forwarded-Host": test.host, "X-Forwarded-Proto": test.proto, "X-Forwarded-Ssl": "",
			} {
				if got := recorder.Header().Get("Got-" + name); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestProcessStopsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "fake-gunicorn")
	content := "#!/bin/sh\ntrap 'echo stopped > stopped; exit 0' TERM\necho \"$@\" > started\nwhile :; do sleep 0.05; done\n"
	if err := os.WriteFile(script, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
	starts := 0
	process, err := backend.Prepare(backend.Options{
		Command: []string{script, "app"}, Dir: dir, StopWait: 5 * time.Second, Log: quiet(), Started: func() { starts++ },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- process.Run(ctx) }()
	waitFor(t, filepath.Join(dir, "started"), "app --bind unix:"+process.Socket()+"\n")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	waitFor(t, filepath.Join(dir, "stopped"), "stopped\n")
	if starts != 1 {
		t.Errorf("started %d times", starts)
	}
	if err := process.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Dir(process.Socket())); !os.IsNotExist(err) {
		t.Errorf("the socket's folder is still there: %v", err)
	}
}

func TestMissingCommandIsNotRetried(t *testing.T) {
	process, err := backend.Prepare(backend.Options{
		Command: []string{"no-such-gunicorn"}, Dir: t.TempDir(), Log: quiet(), Started: func() {},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer process.Close()
	if err := process.Run(t.Context()); err == nil {
		t.Error("no error")
	}
}

// serve answers on a Unix socket with handler until the test ends.
func serve(t *testing.T, handler http.HandlerFunc) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "b.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return socket
}

func waitFor(t *testing.T, name, want string) {
	t.Helper()
	var got []byte
	for range 200 {
		if got, _ = os.ReadFile(name); string(got) == want {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatalf("%s has %q, want %q", name, got, want)
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
