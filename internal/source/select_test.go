package source_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/nix/nar"
	"headwater/internal/source"
)

// tree writes files; a value "-> x" makes a link.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			err = os.Symlink(target, p)
		} else {
			err = os.WriteFile(p, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func sel(dir string, patterns []string) ([]source.Entry, error) {
	tree, err := source.Open(dir)
	if err != nil {
		return nil, err
	}
	s, err := tree.Select(patterns)
	if err != nil {
		return nil, err
	}
	return s.Entries(), nil
}

func TestSelect(t *testing.T) {
	dir := tree(t, map[string]string{
		"go.mod": "", "cmd/main.go": "", "cmd/main_test.go": "", "web/a/b.ts": "", "web/dist/x.js": "", ".git/config": "", "docs/l": "-> ../go.mod",
	})
	for name, c := range map[string]struct{ patterns, want string }{
		"globs":            {"go.mod **/*.go", "cmd/main.go cmd/main_test.go go.mod"},
		"exclusion":        {"**/*.go !**/*_test.go", "cmd/main.go"},
		"a whole folder":   {"web !web/dist", "web/a/b.ts"},
		"put back":         {"web !web/dist web/dist/x.js", "web/a/b.ts web/dist/x.js"},
		"all, never .git":  {"**", "cmd/main.go cmd/main_test.go docs/l go.mod web/a/b.ts web/dist/x.js"},
		"names no file":    {"nothing", ""},
		"star in a folder": {"*", "cmd/main.go cmd/main_test.go docs/l go.mod web/a/b.ts web/dist/x.js"},
	} {
		t.Run(name, func(t *testing.T) {
			entries, err := sel(dir, strings.Fields(c.patterns))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range entries {
				got = append(got, e.Path)
			}
			if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSelectTellsAllProblems(t *testing.T) {
	dir := tree(t, map[string]string{"ok": "", "abs": "-> /etc/passwd", "out": "-> ../x", "loop": "-> loop", "bad\xff": ""})
	l, err := net.Listen("unix", filepath.Join(dir, "sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = sel(dir, []string{"**"})
	var bad *source.BadTreeError
	if !errors.As(err, &bad) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{`"abs": is a link out of the tree`, `"out": is a link`, `"sock": is a socket`, "not UTF-8"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("does not say %s:\n%v", want, err)
		}
	}
	if len(bad.Problems) != 4 {
		t.Errorf("a link to itself stays inside the tree and is no problem: %q", bad.Problems)
	}
	if _, err := sel(dir, []string{"ok"}); err != nil {
		t.Errorf("what is not selected was judged: %v", err)
	}
}

func TestSelectRefusesBadPattern(t *testing.T) {
	for _, p := range []string{"[", "", "!"} {
		if _, err := sel(t.TempDir(), []string{p}); err == nil {
			t.Errorf("%q accepted", p)
		}
	}
}

func TestSelectUnreadableFolder(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read everything")
	}
	dir := tree(t, map[string]string{"a/x/f.go": ""})
	if err := os.Chmod(filepath.Join(dir, "a/x"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(filepath.Join(dir, "a/x"), 0o755) })
	if _, err := sel(dir, []string{"a/**/*.go"}); err == nil {
		t.Error("what cannot be read was passed over")
	}
	if _, err := sel(dir, []string{"**", "!a/x"}); err != nil {
		t.Errorf("excluded, and yet: %v", err)
	}
}

// A selection reads as a file system of its own, and a copy of it is the same tree.
func TestSelectionFS(t *testing.T) {
	dir := tree(t, map[string]string{"a/b": "b", "a/c": "-> b", "a/d/e": "e", "a.txt": "t", "z": "z", "loop": "-> loop"})
	tree, err := source.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := tree.Select([]string{"a", "a.txt"})
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "copy")
	if err := s.Copy(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	for name, fsys := range map[string]fs.FS{"selection": s, "copy": os.DirFS(to)} {
		if err := fstest.TestFS(fsys, "a/b", "a/d/e", "a.txt"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if b, err := fs.ReadFile(fsys, "a/c"); err != nil || string(b) != "b" {
			t.Errorf("%s: through the link: %q, %v", name, b, err)
		}
		if _, err := fs.Stat(fsys, "z"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: what is not selected is there: %v", name, err)
		}
	}
	want, _, err := nar.HashPath(to)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.NARHash(t.Context()); err != nil || got != want {
		t.Errorf("NAR hash %v, %v; a copy has %v", got, err, want)
	}
	loop, err := tree.Select([]string{"loop"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := loop.Open("loop"); err == nil {
		t.Error("a link to itself was opened")
	}
}
