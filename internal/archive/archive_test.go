package archive_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/archive"
)

func zipped(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range []string{"d/", "d/a", "d/b", "d/c"} {
		w, err := z.Create(name)
		if err == nil && name != "d/" {
			_, err = io.WriteString(w, "in "+name)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tarred(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	g := gzip.NewWriter(&b)
	w := tar.NewWriter(g)
	for _, h := range []tar.Header{{Name: "d/", Typeflag: tar.TypeDir}, {Name: "d/a", Size: 6}, {Name: "d/l", Typeflag: tar.TypeSymlink, Linkname: "a"}, {Name: "d/b", Size: 6}, {Name: "d/c", Size: 6}} {
		if h.Mode = 0o644; h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := io.WriteString(w, "in "+h.Name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Files are told in order, whatever the kind of archive, until no more are wanted.
func unzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if data, err = io.ReadAll(r); err != nil {
		t.Fatal(err)
	}
	return data
}

func TestEach(t *testing.T) {
	t.Parallel()
	for name, data := range map[string][]byte{"zip": zipped(t), "tar.gz": tarred(t), "tar": unzipped(t, tarred(t))} {
		file := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		var got []string
		err := archive.Each(file, 1<<20, func(name string, open func() (io.ReadCloser, error)) error {
			r, err := open()
			if err != nil {
				return err
			}
			content, err := io.ReadAll(r)
			got = append(got, fmt.Sprintf("%s: %s", name, content))
			if name == "d/b" {
				return fs.SkipAll
			}
			return err
		})
		if diff := cmp.Diff([]string{"d/a: in d/a", "d/b: in d/b"}, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", name, err, diff)
		}
		bad := errors.New("bad")
		if err := archive.Each(file, 1<<20, func(string, func() (io.ReadCloser, error)) error { return bad }); !errors.Is(err, bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEachRefuses(t *testing.T) {
	t.Parallel()
	whole := tarred(t)
	for name, data := range map[string][]byte{"empty": nil, "text": []byte("some text"), "cut": whole[:len(whole)/2]} {
		file := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := archive.Each(file, 1<<20, func(string, func() (io.ReadCloser, error)) error { return nil }); err == nil {
			t.Errorf("%s: is taken", name)
		}
	}
	file := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := archive.Each(file, 1000, func(string, func() (io.ReadCloser, error)) error { return nil }); err == nil {
		t.Error("more than the limit is unpacked")
	}
}
