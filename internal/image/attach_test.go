package image_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"headwater/internal/image"
)

func note(tag, media, content string) image.Attachment {
	return image.Attachment{Tag: tag, MediaType: "application/" + media, Content: []byte(content), Annotations: map[string]string{"of": content}}
}

// attach pushes an image and attaches to it, and returns where both are.
func attach(t *testing.T, s *server, img *image.Image, list ...image.Attachment) (*image.Repository, error) {
	t.Helper()
	ref, err := image.ParseRef(s.host+"/svc", "1.0", false)
	if err != nil {
		t.Fatal(err)
	}
	o := image.PushOptions{Wait: time.Millisecond}
	if _, err := image.Push(t.Context(), img, []image.Ref{ref}, o); err != nil {
		t.Fatal(err)
	}
	return image.OpenRepository(ref, o), image.Attach(t.Context(), img, ref, list, o)
}

// place is where images and what stands beside them are read.
type place interface {
	Manifest(ctx context.Context, tagOrDigest string) ([]byte, error)
	Blob(ctx context.Context, digest v1.Hash) ([]byte, error)
}

// layersOf lists what is under a tag or digest: media type, content and annotation of each layer.
func layersOf(t *testing.T, r place, name string) []string {
	t.Helper()
	raw, err := r.Manifest(t.Context(), name)
	if err != nil || raw == nil {
		t.Fatalf("%s: %v", name, err)
	}
	m, err := v1.ParseManifest(strings.NewReader(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, l := range m.Layers {
		data, err := r.Blob(t.Context(), l.Digest)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, string(l.MediaType)+" "+string(data)+" "+l.Annotations["of"])
	}
	return list
}

// What is attached is there, beside what others attached, and is not sent a second time; with and without the registry's own list of referrers.
func TestAttach(t *testing.T) {
	for name, deviate := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"referrers": nil,
		"fallback":  noReferrers,
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, deviate)
			img := service(t, "code")
			list := []image.Attachment{note("x.sig", "sig", "one"), note("", "doc", "a document"), note("x.sig", "sig", "two"), note("", "bundle", "a bundle")}
			r, err := attach(t, s, img, list[:2]...)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := attach(t, s, img, list...); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"application/sig one one", "application/sig two two"}, layersOf(t, r, "x.sig")); diff != "" {
				t.Error(diff)
			}
			refers, err := r.Referrers(t.Context(), img.Hash)
			if err != nil || len(refers) != 2 {
				t.Fatalf("%d referrers, %v", len(refers), err)
			}
			var got []string
			for _, d := range refers {
				got = append(got, layersOf(t, r, d.Digest.String())...)
			}
			slices.Sort(got)
			want := []string{"application/bundle a bundle ", "application/doc a document "}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			before := s.asked("PUT")
			if _, err := attach(t, s, img, list...); err != nil || s.asked("PUT") != before {
				t.Errorf("attached again it sends %d times, %v", s.asked("PUT")-before, err)
			}
			if raw, err := r.Manifest(t.Context(), "y.sig"); raw != nil || err != nil {
				t.Errorf("what is not there is %q, %v", raw, err)
			}
		})
	}
}

// The same in a layout, whose images stay what they were.
func TestAttachToLayout(t *testing.T) {
	img, dir := service(t, "code"), filepath.Join(t.TempDir(), "oci")
	list := []image.Attachment{note("x.sig", "sig", "one"), note("", "doc", "a document"), note("x.sig", "sig", "two"), note("", "bundle", "a bundle")}
	if err := image.AttachToLayout(dir, img, list); err == nil {
		t.Error("attached in no layout")
	}
	if err := img.WriteLayout(dir, "1.0"); err != nil {
		t.Fatal(err)
	}
	var before []byte
	for i, some := range [][]image.Attachment{list[:2], list, list} {
		if err := image.AttachToLayout(dir, img, some); err != nil {
			t.Fatal(err)
		}
		index, err := os.ReadFile(filepath.Join(dir, "index.json"))
		if err != nil || i == 2 && string(index) != string(before) {
			t.Errorf("attached again it lists %s, before %s, %v", index, before, err)
		}
		before = index
	}
	l, err := image.OpenLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"application/sig one one", "application/sig two two"}, layersOf(t, l, "x.sig")); diff != "" {
		t.Error(diff)
	}
	refers, err := l.Referrers(t.Context(), img.Hash)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range refers {
		for _, line := range layersOf(t, l, d.Digest.String()) {
			got = append(got, d.ArtifactType+": "+line)
		}
	}
	if diff := cmp.Diff([]string{"application/doc: application/doc a document ", "application/bundle: application/bundle a bundle "}, got); diff != "" {
		t.Error(diff)
	}
	// Its tools call what stands beside an image by the image's digest.
	of := note(strings.Replace(img.Hash.String(), ":", "-", 1)+".sig", "sig", "three")
	if err := image.AttachToLayout(dir, img, []image.Attachment{of}); err != nil {
		t.Fatal(err)
	}
	if l, err = image.OpenLayout(dir); err != nil {
		t.Fatal(err)
	}
	images, err := l.Images(t.Context())
	var names []string
	for _, d := range images {
		names = append(names, image.RefName(d))
	}
	if diff := cmp.Diff([]string{"1.0", "x.sig"}, names); diff != "" || err != nil {
		t.Errorf("images %v %s", err, diff)
	}
}

// noReferrers is a registry of before OCI 1.1.
func noReferrers(w http.ResponseWriter, r *http.Request) bool {
	if strings.Contains(r.URL.Path, "/referrers/") {
		http.NotFound(w, r)
		return true
	}
	return false
}

// A registry that loses what others wrote at the same time, or that refuses, is told of.
func TestAttachFails(t *testing.T) {
	img := service(t, "code")
	for _, c := range []struct {
		name    string
		deviate func(http.ResponseWriter, *http.Request) bool
		want    string
		hint    string
	}{
		{"refused", func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "x.sig") {
				return false
			}
			w.WriteHeader(http.StatusForbidden)
			return true
		}, "tag x.sig", "may not push"},
		{"forgotten", func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/manifests/x.sig") || r.Method == http.MethodPut {
				return false
			}
			http.NotFound(w, r)
			return true
		}, "something else under the tag", "pushed the same tag"},
	} {
		_, err := attach(t, newServer(t, c.deviate), img, note("x.sig", "sig", "one"))
		var fault *image.Error
		if !errors.As(err, &fault) || !strings.Contains(err.Error(), c.want) || !strings.Contains(fault.Hint(), c.hint) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestParseImage(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0", 64)
	for _, c := range []struct{ text, ref, name string }{
		{"registry.example/team/svc", "registry.example/team/svc:latest", "latest"},
		{"registry.example:5000/svc:1", "registry.example:5000/svc:1", "1"},
		{"registry.example/svc@" + digest, "registry.example/svc:latest", digest},
		{"registry.example/svc:1@" + digest, "registry.example/svc:1", digest},
		{"svc:1", "", ""},
		{"registry.example/svc@sha256:0", "", ""},
		{"https://registry.example/svc", "", ""},
	} {
		ref, name, err := image.ParseImage(c.text, false)
		if c.ref == "" {
			if !errors.As(err, new(*image.RefError)) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s: %v", c.text, err)
			}
			continue
		}
		if err != nil || ref.String() != c.ref || name != c.name {
			t.Errorf("%s: %s %s, %v", c.text, ref, name, err)
		}
	}
}
