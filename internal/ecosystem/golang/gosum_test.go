package golang_test

import (
	"archive/zip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"

	"headwater/internal/ecosystem/golang"
)

const h1 = " h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"

func TestReadSums(t *testing.T) {
	sums, err := golang.ReadSums([]byte("a.example/m v1.0.0" + h1 + "a.example/m v1.0.0/go.mod" + h1 + "\na.example/M v1.0.0-Rc1" + h1 + "a.example/m v1.0.0" + h1 + "a.example/m v1.0.0 h2:later\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range sums {
		f, err := s.File()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, s.Module.Path+"/"+f)
	}
	want := "a.example/m/v1.0.0.zip a.example/m/v1.0.0.mod a.example/M/v1.0.0-!rc1.zip"
	if strings.Join(got, " ") != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if mods := golang.Modules(sums); len(mods) != 2 || mods[0].Path != "a.example/M" {
		t.Errorf("modules %v", mods)
	}
}

func TestReadSumsRefuses(t *testing.T) {
	for name, c := range map[string]struct{ sum, want string }{
		"two words":   {"a.example/m v1.0.0\n", "line 1"},
		"two hashes":  {"a.example/m v1.0.0" + h1 + "a.example/m v1.0.0 h1:other\n", "two hashes"},
		"bad version": {"a.example/m ../../x" + h1, "line 1"},
		"bad path":    {"../m v1.0.0" + h1, "line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := golang.ReadSums([]byte(c.sum)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want an error that says %q, got %v", c.want, err)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	file := filepath.Join(t.TempDir(), "m.zip")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	w, err := z.Create("a.example/m@v1.0.0/go.mod")
	if err == nil {
		_, err = io.WriteString(w, "module a.example/m\n")
	}
	if err := errors.Join(err, z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	hash, err := dirhash.HashZip(file, dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	open := func(p string) (io.ReadCloser, error) { return os.Open(p) }
	s := golang.Sum{Module: module.Version{Path: "a.example/m", Version: "v1.0.0"}, Hash: hash}
	if err := s.Check(file, open); err != nil {
		t.Error(err)
	}
	s.Hash = "h1:other"
	var mismatch *golang.MismatchError
	if err := s.Check(file, open); !errors.As(err, &mismatch) || mismatch.Got != hash {
		t.Errorf("a wrong hash: got %v", err)
	}
}

func FuzzReadSums(f *testing.F) {
	f.Add([]byte("a.example/m v1.0.0" + h1))
	f.Fuzz(func(t *testing.T, data []byte) {
		sums, _ := golang.ReadSums(data)
		for _, s := range sums {
			if _, err := s.File(); err != nil {
				t.Error(err)
			}
		}
	})
}
