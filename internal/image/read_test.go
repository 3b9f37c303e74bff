package image_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"headwater/internal/image"
)

// What WriteLayout and WriteArchive wrote is read back.
func TestReadBack(t *testing.T) {
	img := service(t, "x")
	dir := filepath.Join(t.TempDir(), "oci")
	if err := img.WriteLayout(dir, "1.0"); err != nil {
		t.Fatal(err)
	}
	l, err := image.OpenLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	want, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"1.0", img.Hash.String()} {
		if got, err := l.Manifest(t.Context(), ref); err != nil || string(got) != string(want) {
			t.Errorf("%s: %s, %v", ref, got, err)
		}
	}
	for _, ref := range []string{"2.0", "sha256:" + strings.Repeat("0", 64)} {
		if got, err := l.Manifest(t.Context(), ref); err != nil || got != nil {
			t.Errorf("%s: %s, %v", ref, got, err)
		}
	}
	if images, err := l.Images(t.Context()); err != nil || len(images) != 1 || image.RefName(images[0]) != "1.0" || images[0].Digest != img.Hash {
		t.Errorf("images %v, %v", images, err)
	}
	if list, err := l.Referrers(t.Context(), img.Hash); err != nil || len(list) > 0 {
		t.Errorf("%v, %v", list, err)
	}
	archive := filepath.Join(t.TempDir(), "a.tar")
	if err := img.WriteArchive(archive); err != nil {
		t.Fatal(err)
	}
	back, names, err := image.OpenArchive(archive)
	if err != nil {
		t.Fatal(err)
	}
	a, errA := img.ConfigName()
	b, errB := back.ConfigName()
	if err := errors.Join(errA, errB); err != nil || a != b || !slices.Equal(names, []string{"svc:1.0"}) {
		t.Errorf("configuration %s, was %s, names %v, %v", b, a, names, err)
	}
}

// A layout's referrers are what its index lists and what says whose it is.
func TestLayoutReferrers(t *testing.T) {
	img := service(t, "x")
	dir := filepath.Join(t.TempDir(), "oci")
	if err := img.WriteLayout(dir, "1.0"); err != nil {
		t.Fatal(err)
	}
	manifest := `{"schemaVersion":2,"artifactType":"text/x-note","subject":{"digest":"` + img.Hash.String() + `"}}`
	digest, _, err := v1.SHA256(strings.NewReader(manifest))
	if err != nil {
		t.Fatal(err)
	}
	index := filepath.Join(dir, "index.json")
	data, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	data = []byte(strings.Replace(string(data), `"manifests":[`, `"manifests":[{"digest":"`+digest.String()+`"},`, 1))
	if err := errors.Join(os.WriteFile(index, data, 0o644), os.WriteFile(filepath.Join(dir, "blobs/sha256", digest.Hex), []byte(manifest), 0o644)); err != nil {
		t.Fatal(err)
	}
	l, err := image.OpenLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	list, err := l.Referrers(t.Context(), img.Hash)
	if err != nil || len(list) != 1 || list[0].Digest != digest || list[0].ArtifactType != "text/x-note" {
		t.Errorf("%+v, %v", list, err)
	}
}

// What is no image, and bytes that are not those of their name, are told; no name leads out of the layout.
func TestUnreadable(t *testing.T) {
	img := service(t, "x")
	dir := filepath.Join(t.TempDir(), "oci")
	if err := img.WriteLayout(dir, "1.0"); err != nil {
		t.Fatal(err)
	}
	l, err := image.OpenLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	unreadable := func(what string, err error, want string) {
		t.Helper()
		var u *image.UnreadableError
		if !errors.As(err, &u) || !strings.Contains(err.Error(), want) || u.Hint() == "" {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	_, err = l.Blob(t.Context(), v1.Hash{Algorithm: "sha256", Hex: "../../index.json"})
	unreadable("a digest that is a path", err, "")
	if err := os.WriteFile(filepath.Join(dir, "blobs/sha256", img.Hash.Hex), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = l.Manifest(t.Context(), "1.0")
	unreadable("another manifest", err, "it is not what its name says")
	if err := os.WriteFile(filepath.Join(dir, "index.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = image.OpenLayout(dir)
	unreadable("an index", err, "its index.json is none")
	_, err = image.OpenLayout(t.TempDir())
	unreadable("a folder", err, "no index.json")
	_, _, err = image.OpenArchive(filepath.Join(dir, "index.json"))
	unreadable("a file", err, "no archive for docker load")
}
