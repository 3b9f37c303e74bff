package source_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headwater/internal/source"
)

// What stands outside of a tree cannot be read by a name in it.
func TestLinksOutOfTheTree(t *testing.T) {
	dir := tree(t, map[string]string{"top/in": "in", "top/a/within": "-> ../in", "top/out": "-> ../secret", "top/up": "-> ..", "secret": "s"})
	if err := os.Symlink(filepath.Join(dir, "secret"), filepath.Join(dir, "top/absolute")); err != nil {
		t.Fatal(err)
	}
	opened, err := source.Open(dir + "/top/./")
	if err != nil {
		t.Fatal(err)
	}
	if paths := opened.Paths(); len(paths) != 5 || paths[0] != "a/within" {
		t.Errorf("lists %q", paths)
	}
	if data, err := fs.ReadFile(opened.FS(), "a/within"); err != nil || string(data) != "in" {
		t.Errorf("a link within: %q %v", data, err)
	}
	for _, name := range []string{"out", "absolute", "up/secret"} {
		if data, err := fs.ReadFile(opened.FS(), name); err == nil {
			t.Errorf("%s was read: %q", name, data)
		}
	}
}

// The working directory is a tree as any other, its hidden files included.
func TestOpenHere(t *testing.T) {
	t.Chdir(tree(t, map[string]string{".hidden/a": "", ".b": "", "c": "", "..d": ""}))
	opened, err := source.Open(".")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(opened.Paths(), " "); got != "..d .b .hidden/a c" {
		t.Errorf("lists %q", got)
	}
	if _, err := fs.ReadFile(opened.FS(), ".hidden/a"); err != nil {
		t.Error(err)
	}
}
