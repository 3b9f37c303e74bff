package web_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"gatehouse.example/gatehouse/internal/web"
)

func TestServe(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "index.html"), "the page")
	write(t, filepath.Join(dir, "icon.svg"), "<svg/>")
	write(t, filepath.Join(dir, "assets/main-0a1b.js"), "run()")
	write(t, filepath.Join(filepath.Dir(dir), "secret"), "hush")
	ui, err := web.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	const page, anHour, forever = "no-cache", "public, max-age=3600", "public, max-age=31536000, immutable"
	tests := []struct {
		method, path string
		status       int
		body, cache  string
	}{
		{http.MethodGet, "/", 200, "the page", page},
		{http.MethodGet, "/index.html", 200, "the page", page},
		{http.MethodGet, "/login", 200, "the page", page},
		{http.MethodGet, "/icon.svg", 200, "<svg/>", anHour},
		{http.MethodGet, "/assets/main-0a1b.js", 200, "run()", forever},
		{http.MethodGet, "/assets/gone.js", 404, "404 page not found\n", ""},
		{http.MethodGet, "/assets", 200, "the page", page},
		{http.MethodGet, "/assets/", 200, "the page", page},
		{http.MethodGet, "/../secret", 200, "the page", page},
		{http.MethodGet, "/assets/../../secret", 200, "the page", page},
		{http.MethodPost, "/login", 405, "method not allowed\n", ""},
	}
	for _, test := range tests {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			request := httptest.NewRequest(test.method, "/", nil)
			request.URL.Path = test.path
			recorder := httptest.NewRecorder()
			ui.ServeHTTP(recorder, request)
			if recorder.Code != test.status || recorder.Body.String() != test.body {
				t.Errorf("got %d %q, want %d %q", recorder.Code, recorder.Body, test.status, test.body)
			}
			if got := recorder.Header().Get("Cache-Control"); got != test.cache {
				t.Errorf("got Cache-Control %q, want %q", got, test.cache)
			}
		})
	}
}

func TestNoBundle(t *testing.T) {
	if _, err := web.New(t.TempDir()); err == nil {
		t.Error("no error for an empty folder")
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
