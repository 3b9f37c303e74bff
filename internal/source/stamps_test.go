package source_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"headwater/internal/nix"
	"headwater/internal/source"
)

// Whatever is done to a tree shows in its stamps, also what hides itself from the modification time.
func TestStamps(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"a/f": "text", "g": "g", "link": "-> g"})
	stamps := func() nix.Hash {
		t.Helper()
		opened, err := source.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := opened.Stamps(time.Now()); !errors.Is(err, source.ErrUnsettled) {
			t.Errorf("a tree that was written just now is settled: %v", err)
		}
		h, err := opened.Stamps(time.Now().Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	seen := map[nix.Hash]string{stamps(): "nothing"}
	if _, ok := seen[stamps()]; !ok {
		t.Error("an untouched tree has other stamps")
	}
	file := filepath.Join(dir, "a/f")
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func() error
	}{
		{"other bytes of the same size and time", func() error {
			return errors.Join(os.WriteFile(file, []byte("tesT"), 0o644), os.Chtimes(file, info.ModTime(), info.ModTime()))
		}},
		{"a permission", func() error { return os.Chmod(file, 0o755) }},
		{"another link", func() error {
			return errors.Join(os.Remove(filepath.Join(dir, "link")), os.Symlink("a", filepath.Join(dir, "link")))
		}},
		{"a new file", func() error { return os.WriteFile(filepath.Join(dir, "new"), nil, 0o644) }},
		{"a new name", func() error { return os.Rename(filepath.Join(dir, "g"), filepath.Join(dir, "h")) }},
		{"a file less", func() error { return os.Remove(filepath.Join(dir, "new")) }},
	} {
		time.Sleep(20 * time.Millisecond) // the file system's clock has steps
		if err := c.change(); err != nil {
			t.Fatal(err)
		}
		h := stamps()
		if before, ok := seen[h]; ok {
			t.Errorf("%s: same stamps as after %s", c.name, before)
		}
		seen[h] = c.name
	}
}
