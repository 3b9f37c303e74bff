package atomicfile_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"headwater/internal/atomicfile"
)

func TestWrite(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(string, []byte, fs.FileMode) error{"plain": atomicfile.Write, "synced": atomicfile.WriteSynced} {
		dir := t.TempDir()
		file := filepath.Join(dir, "file")
		for _, text := range []string{"old", "new"} {
			if err := write(file, []byte(text), 0o640); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got, err := os.ReadFile(file)
			if err != nil || string(got) != text {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
		if info, err := os.Stat(file); err != nil || info.Mode() != 0o640 {
			t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
		}
		// A file that cannot be replaced stays, and nothing lies beside it.
		if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := write(filepath.Join(dir, "folder"), []byte("x"), 0o644); err == nil {
			t.Errorf("%s: a folder was replaced", name)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
			t.Errorf("%s: %v, %v", name, left, err)
		}
	}
}
