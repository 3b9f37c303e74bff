// Package web serves the web UI: a page, and assets whose names carry the hash of their content.
package web

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
)

// contentPolicy lets the page run its own scripts and talk to its own origin, and nothing else.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// UI is the handler. Its page answers every path that is no file, because the page's own router knows them.
type UI struct {
	files fs.FS
	index []byte
}

// New reads the bundle in dir. It is an error if there is none.
func New(dir string) (*UI, error) {
	files := os.DirFS(dir)
	index, err := fs.ReadFile(files, "index.html")
	if err != nil {
		return nil, fmt.Errorf("read web UI in %s: %w", dir, err)
	}
	return &UI{files: files, index: index}, nil
}

func (ui *UI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
	switch {
	case strings.HasPrefix(name, "assets/"):
		if !ui.isFile(name) {
			http.NotFound(w, r)
			return
		}
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
		http.ServeFileFS(w, r, ui.files, name)
	case name != "index.html" && ui.isFile(name):
		header.Set("Cache-Control", "public, max-age=3600")
		http.ServeFileFS(w, r, ui.files, name)
	default:
		header.Set("Cache-Control", "no-cache")
		header.Set("Content-Security-Policy", contentPolicy)
		header.Set("Content-Type", "text/html; charset=utf-8")
		header.Set("Referrer-Policy", "same-origin")
		w.Write(ui.index)
	}
}

func (ui *UI) isFile(name string) bool {
	info, err := fs.Stat(ui.files, name)
	return err == nil && info.Mode().IsRegular()
}
