package image_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"headwater/internal/event"
	"headwater/internal/image"
	"headwater/internal/store"
)

// packedBy counts the layers that are packed.
func packedBy(n *int) event.Sink {
	var mu sync.Mutex
	return func(e event.Event) {
		mu.Lock()
		defer mu.Unlock()
		if f, ok := e.(event.Finished); ok && f.Node.Kind == "layer" {
			*n++
		}
	}
}

func blobs(t *testing.T, s *store.Store) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.Dir(), "nix/var/headwater/layers"))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		if e.Name() != "lock" && !strings.HasSuffix(e.Name(), ".json") {
			list = append(list, filepath.Join(s.Dir(), "nix/var/headwater/layers", e.Name()))
		}
	}
	return list
}

func TestSecondImagePacksNothing(t *testing.T) {
	s := openStore(t)
	sp := spec(root(t, s), app("/app", install(t, s, "comp", tree{"run*": "go"}), ""))
	var first, second, zstd int
	a := build(t, s, sp, image.Options{Events: packedBy(&first)})
	b := build(t, s, sp, image.Options{Events: packedBy(&second)})
	c := build(t, s, sp, image.Options{Events: packedBy(&zstd), Compression: image.Zstd})
	if a.Hash != b.Hash || a.Hash == c.Hash || first != 3 || second != 0 || zstd != 3 {
		t.Errorf("digests %s, %s and %s; packed %d, %d and %d layers", a.Hash, b.Hash, c.Hash, first, second, zstd)
	}
}

// What the disk does not give back as it was written is told, and made again by the next run.
func TestDamagedLayers(t *testing.T) {
	s := openStore(t)
	sp := spec(root(t, s), app("/app", install(t, s, "comp", tree{"run*": "go"}), ""))
	img := build(t, s, sp, image.Options{})
	for _, file := range blobs(t, s) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 1
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(t.TempDir(), "out")
	if err := img.WriteLayout(out, "1"); !errors.As(err, new(*image.DamagedError)) {
		t.Errorf("damaged layers were written: %v", err)
	}
	if err := img.WriteArchive(out); !errors.As(err, new(*image.DamagedError)) {
		t.Errorf("damaged layers were written: %v", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(out)); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	for _, file := range blobs(t, s) { // those that were not read
		if err := os.Truncate(file, 1); err != nil {
			t.Fatal(err)
		}
	}
	if again := build(t, s, sp, image.Options{}); again.Hash != img.Hash {
		t.Errorf("made again it is %s, was %s", again.Hash, img.Hash)
	}
}

// Layers go with what they are made of, unless somebody uses them.
func TestLayersAreCollected(t *testing.T) {
	s := openStore(t)
	r, comp := root(t, s), install(t, s, "comp", tree{"run*": "go"})
	if err := s.AddRoot(t.Context(), filepath.Join(t.TempDir(), "root"), r); err != nil {
		t.Fatal(err)
	}
	layers, err := image.OpenLayers(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	build(t, s, spec(r, app("/app", comp, "")), image.Options{Layers: layers})
	dir := filepath.Dir(blobs(t, s)[0])
	if err := os.WriteFile(filepath.Join(dir, ".layer-123"), []byte("broken off"), 0o600); err != nil {
		t.Fatal(err)
	}
	other, err := store.Open(t.Context(), s.Dir(), store.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if freed, err := image.Collect(t.Context(), other); freed != 0 || err != nil {
		t.Errorf("%d bytes were freed of layers in use, %v", freed, err)
	}
	if err := layers.Close(); err != nil {
		t.Fatal(err)
	}
	if freed, err := image.Collect(t.Context(), other); freed != int64(len("broken off")) || err != nil {
		t.Errorf("%d bytes were freed, %v, want what was broken off", freed, err)
	}
	if err := s.Close(); err != nil { // with its temporary roots
		t.Fatal(err)
	}
	if _, err := other.GC(t.Context(), store.GCOptions{}); err != nil {
		t.Fatal(err)
	}
	if freed, err := image.Collect(t.Context(), other); freed == 0 || err != nil || len(blobs(t, other)) != 2 {
		t.Errorf("%d bytes were freed, %v; left are %v, want those of the root and of the links", freed, err, blobs(t, other))
	}
}

// Makers beside one another make the same, and none sees what another has half done.
func TestManyMakers(t *testing.T) {
	s := openStore(t)
	sp := spec(root(t, s), app("/app", install(t, s, "comp", tree{"run*": strings.Repeat("go", 1<<18)}), ""))
	var wg sync.WaitGroup
	digests := make([]v1.Hash, 8)
	for i := range digests {
		wg.Go(func() { digests[i] = build(t, s, sp, image.Options{}).Hash })
	}
	wg.Wait()
	for _, d := range digests {
		if d != digests[0] || d.Hex == "" {
			t.Errorf("digests %v", digests)
			break
		}
	}
}

func TestLayout(t *testing.T) {
	s := openStore(t)
	r := root(t, s)
	one := build(t, s, spec(r), image.Options{})
	two := build(t, s, spec(r, app("/app", install(t, s, "comp", tree{"run*": "go"}), "")), image.Options{})
	dir := filepath.Join(t.TempDir(), "layout") + "/"
	for _, w := range []struct {
		img *image.Image
		tag string
	}{{one, "1"}, {one, "2"}, {two, "2"}, {two, "2"}} {
		if err := w.img.WriteLayout(dir, w.tag); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil || strings.Count(string(data), `"digest"`) != 2 || !strings.Contains(string(data), one.Hash.String()) || !strings.Contains(string(data), two.Hash.String()) {
		t.Errorf("index.json is %s, %v", data, err)
	}
	for _, occupied := range []string{filepath.Join(dir, "index.json"), filepath.Join(dir, "blobs")} {
		if err := one.WriteLayout(occupied, "1"); !errors.As(err, new(*image.OccupiedError)) {
			t.Errorf("%s was taken for a layout: %v", occupied, err)
		}
	}
	if err := one.WriteLayout(t.TempDir(), "1"); err != nil {
		t.Errorf("an empty folder was not taken: %v", err)
	}
}

func TestArchive(t *testing.T) {
	s := openStore(t)
	img := build(t, s, spec(root(t, s)), image.Options{})
	file := filepath.Join(t.TempDir(), "image.tar")
	if err := img.WriteArchive(file); err != nil {
		t.Fatal(err)
	}
	back, err := tarball.ImageFromPath(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := back.ConfigName()
	want, wantErr := img.ConfigName()
	if err := errors.Join(err, wantErr); err != nil || got != want {
		t.Errorf("read back it is %s, was %s, %v", got, want, err)
	}
	manifest, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(file) })
	if err != nil || len(manifest) != 1 || len(manifest[0].RepoTags) != 1 || manifest[0].RepoTags[0] != "svc:1.0" {
		t.Errorf("the archive's manifest is %+v, %v", manifest, err)
	}
}
