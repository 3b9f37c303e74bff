package obtain_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ulikunitz/xz"

	"headwater/internal/source/obtain"
)

// entry is one of an archive; a name that ends in "/" is a folder, a content "-> x" a link, "=> x" a hard link, "!" a device.
type entry struct{ name, content string }

func tarOf(t testing.TB, entries []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: 0o644, Typeflag: tar.TypeReg, Size: int64(len(e.content))}
		target, isLink := strings.CutPrefix(e.content, "-> ")
		hard, isHard := strings.CutPrefix(e.content, "=> ")
		switch {
		case strings.HasSuffix(e.name, "/"):
			h.Typeflag, h.Size = tar.TypeDir, 0
		case isLink:
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, target, 0
		case isHard:
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, hard, 0
		case e.content == "!":
			h.Typeflag, h.Size = tar.TypeChar, 0
		case strings.HasPrefix(e.content, "#!"):
			h.Mode = 0o755
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := io.WriteString(w, e.content); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipOf(t testing.TB, entries []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name}
		content := e.content
		switch target, isLink := strings.CutPrefix(content, "-> "); {
		case strings.HasSuffix(e.name, "/"):
			h.SetMode(fs.ModeDir | 0o755)
		case isLink:
			h.SetMode(fs.ModeSymlink | 0o777)
			content = target
		case content == "!":
			h.SetMode(fs.ModeCharDevice | fs.ModeDevice)
		case strings.HasPrefix(content, "#!"):
			h.SetMode(0o755)
		default:
			h.SetMode(0o644)
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func packed(t testing.TB, ending string, entries []entry) []byte {
	t.Helper()
	if ending == ".zip" {
		return zipOf(t, entries)
	}
	var b bytes.Buffer
	var w io.WriteCloser
	switch ending {
	case ".tar.gz":
		w = gzip.NewWriter(&b)
	case ".tar.xz":
		x, err := xz.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		w = x
	case ".tar":
		return tarOf(t, entries)
	}
	if _, err := w.Write(tarOf(t, entries)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// find writes an archive and looks for the tree in it; what the cache holds then is told too.
func find(t *testing.T, name string, data []byte, limits obtain.Limits) (obtain.Found, []string, error) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	found, err := obtain.Find(t.Context(), file, obtain.Options{Cache: filepath.Join(dir, "cache"), Limits: limits})
	return found, list(t, filepath.Join(dir, "cache")), err
}

// list has every file below a folder, executable ones marked, links with where they lead.
func list(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		if target, err := os.Readlink(p); err == nil {
			rel += " -> " + target
		} else if fi, err := d.Info(); err == nil && fi.Mode()&0o100 != 0 {
			rel += " x"
		}
		out = append(out, rel)
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

func TestArchives(t *testing.T) {
	t.Parallel()
	for _, ending := range []string{".tar.gz", ".tar.xz", ".tar", ".zip"} {
		t.Run(ending, func(t *testing.T) {
			t.Parallel()
			found, _, err := find(t, "service-1.0"+ending, packed(t, ending, []entry{
				{"service-1.0/", ""}, {"service-1.0/a/run.sh", "#!/bin/sh\n"}, {"service-1.0/a/b", "b"}, {"service-1.0/l", "-> a/b"},
			}), obtain.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if found.Name != "service-1.0" {
				t.Errorf("is called %q", found.Name)
			}
			if diff := cmp.Diff([]string{"a/b", "a/run.sh x", "l -> a/b"}, list(t, found.Dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Nothing of an archive that is not sound is left, and nothing is written elsewhere.
func TestHostileArchives(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		entries []entry
		want    string
		limits  obtain.Limits
	}{
		"leads up":                  {entries: []entry{{"a/../../x", "x"}}, want: "no path below"},
		"is absolute":               {entries: []entry{{"/x", "x"}}, want: "no path below"},
		"is there twice":            {entries: []entry{{"x", "1"}, {"x", "2"}}, want: "there twice"},
		"is a file below a link":    {entries: []entry{{"l", "-> .."}, {"l/x", "x"}}, want: "exist"},
		"is a file below a file":    {entries: []entry{{"l", "x"}, {"l/x", "x"}}, want: "file exists"},
		"is a device":               {entries: []entry{{"null", "!"}}, want: "neither file"},
		"has too many entries":      {entries: []entry{{"a", ""}, {"b", ""}}, limits: obtain.Limits{Entries: 1}, want: "too many"},
		"has too much in it":        {entries: []entry{{"a", "12345"}}, limits: obtain.Limits{Bytes: 4}, want: "too much"},
		"is called as on Windows":   {entries: []entry{{`a\..\x`, "x"}}, want: "no path below"},
		"has a name without an end": {entries: []entry{{strings.Repeat("a/", 4000) + "x", "x"}}, want: "no path below"},
	} {
		for _, ending := range []string{".tar.gz", ".zip"} {
			t.Run(name+" "+ending, func(t *testing.T) {
				t.Parallel()
				_, left, err := find(t, "x"+ending, packed(t, ending, c.entries), c.limits)
				var bad *obtain.BadArchiveError
				if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) || bad.Entry == "" {
					t.Errorf("%v", err)
				}
				if len(left) > 0 {
					t.Errorf("left: %v", left)
				}
			})
		}
	}
	for name, entries := range map[string][]entry{"never came": {{"x", "=> y"}}, "is elsewhere": {{"x", "=> ../y"}}} {
		t.Run("hard link to what "+name, func(t *testing.T) {
			t.Parallel()
			if _, left, err := find(t, "x.tar", tarOf(t, entries), obtain.Limits{}); err == nil || !strings.Contains(err.Error(), "hard link") || len(left) > 0 {
				t.Errorf("%v %v", left, err)
			}
		})
	}
}

func TestWhatIsNoSource(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"notes.txt", "cut.tar.gz", "text.zip"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("no archive"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"notes.txt": "is no folder, no archive", "nothing": "is no folder, no archive", "cut.tar.gz": "gzip", "text.zip": "not a valid zip", "nothing@v1": "is no folder",
	} {
		if _, err := obtain.Find(t.Context(), filepath.Join(dir, name), obtain.Options{Cache: filepath.Join(dir, "cache")}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzArchive(f *testing.F) {
	f.Add(tarOf(f, []entry{{"a/", ""}, {"a/b", "x"}, {"l", "-> a"}}), false)
	f.Add(zipOf(f, []entry{{"a/b", "x"}, {"l", "-> ../.."}}), true)
	f.Fuzz(func(t *testing.T, data []byte, zipped bool) {
		file := "x.tar"
		if zipped {
			file = "x.zip"
		}
		found, left, err := find(t, file, data, obtain.Limits{Entries: 1000, Bytes: 1 << 20})
		if err != nil {
			if len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			return
		}
		if !strings.Contains(found.Dir, "cache") {
			t.Errorf("is at %s", found.Dir)
		}
	})
}
