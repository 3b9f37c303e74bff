package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// UnreadableError says that something is no image that can be read here.
type UnreadableError struct{ Path, Why string }

func (e *UnreadableError) Error() string { return fmt.Sprintf("read image %s: %s", e.Path, e.Why) }

// Hint says what to do.
func (e *UnreadableError) Hint() string {
	return "name an OCI layout's folder, an archive for docker load, or a reference such as registry.example/team/service:1.2"
}

// Layout is an OCI layout, to be read as a repository is (image-spec, image-layout.md).
type Layout struct {
	dir   string
	index *v1.IndexManifest
}

// OpenLayout reads a layout's index. The error is an *UnreadableError where there is none.
func OpenLayout(dir string) (*Layout, error) {
	data, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &UnreadableError{dir, "it is no OCI layout: it has no index.json"}
	}
	if err != nil {
		return nil, fmt.Errorf("read image: %w", err)
	}
	l := &Layout{dir: dir, index: new(v1.IndexManifest)}
	if err := json.Unmarshal(data, l.index); err != nil {
		return nil, &UnreadableError{dir, "its index.json is none: " + err.Error()}
	}
	return l, nil
}

// Images are the manifests that the index lists and that do not stand beside another one, in its order.
func (l *Layout) Images(ctx context.Context) ([]v1.Descriptor, error) {
	var list []v1.Descriptor
	for _, d := range l.index.Manifests {
		subject, _, err := l.subject(ctx, d)
		if err != nil {
			return nil, err
		}
		if subject == nil && !besideTag.MatchString(d.Annotations[refName]) {
			list = append(list, d)
		}
	}
	return list, nil
}

// besideTag is a tag of what stands beside the image whose digest it has.
var besideTag = regexp.MustCompile(`^sha256-[0-9a-f]{64}(\.[a-z]+)?$`)

// RefName is the name of an image of the index, "" if it has none.
func RefName(d v1.Descriptor) string { return d.Annotations[refName] }

// subject is what a manifest refers to, nil if to nothing, and what it is itself.
func (l *Layout) subject(ctx context.Context, d v1.Descriptor) (subject *v1.Descriptor, artifactType string, err error) {
	raw, err := l.Manifest(ctx, d.Digest.String())
	if err != nil {
		return nil, "", err
	}
	var m struct {
		ArtifactType string
		Subject      *v1.Descriptor
	}
	if raw == nil || json.Unmarshal(raw, &m) != nil {
		return nil, "", nil // whoever reads it, tells
	}
	return m.Subject, m.ArtifactType, nil
}

// Manifest reads the manifest that a tag or a digest names, nil if there is none.
func (l *Layout) Manifest(ctx context.Context, tagOrDigest string) ([]byte, error) {
	digest, err := v1.NewHash(tagOrDigest)
	if err != nil {
		i := slices.IndexFunc(l.index.Manifests, func(d v1.Descriptor) bool { return d.Annotations[refName] == tagOrDigest })
		if i < 0 {
			return nil, nil
		}
		digest = l.index.Manifests[i].Digest
	}
	data, err := l.Blob(ctx, digest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// Blob reads a blob of at most MaxAttached bytes, whose digest it checks.
func (l *Layout) Blob(_ context.Context, digest v1.Hash) ([]byte, error) {
	if _, err := v1.NewHash(digest.String()); err != nil { // else it may be any file's name
		return nil, &UnreadableError{l.dir, err.Error()}
	}
	file := filepath.Join(l.dir, "blobs", digest.Algorithm, digest.Hex)
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read image: %w", err)
	}
	defer f.Close() // only read
	data, err := io.ReadAll(io.LimitReader(f, MaxAttached+1))
	switch got, _, sumErr := v1.SHA256(bytes.NewReader(data)); {
	case err != nil:
		return nil, fmt.Errorf("read image: %w", err)
	case len(data) > MaxAttached:
		return nil, &UnreadableError{file, fmt.Sprintf("it has more than %d bytes", MaxAttached)}
	case sumErr != nil || got != digest:
		return nil, &UnreadableError{file, "it is not what its name says: its digest is " + got.String()}
	}
	return data, nil
}

// Referrers are the manifests that the index lists and that refer to the subject.
func (l *Layout) Referrers(ctx context.Context, subject v1.Hash) ([]v1.Descriptor, error) {
	var list []v1.Descriptor
	for _, d := range l.index.Manifests {
		to, kind, err := l.subject(ctx, d)
		if err != nil {
			return nil, err
		}
		if to == nil || to.Digest != subject {
			continue
		}
		d.ArtifactType = kind
		list = append(list, d)
	}
	return list, nil
}

// OpenArchive reads the one image of what "docker load" takes, and the names that it has. Such an archive has no manifest: the one that the
// image has here is made of what is there, and its digest is no registry's. The error is an *UnreadableError where it is none.
func OpenArchive(file string) (v1.Image, []string, error) {
	open := func() (io.ReadCloser, error) { return os.Open(file) }
	m, err := tarball.LoadManifest(open)
	if err != nil {
		return nil, nil, &UnreadableError{file, "it is no archive for docker load: " + err.Error()}
	}
	if len(m) != 1 {
		return nil, nil, &UnreadableError{file, fmt.Sprintf("it has %d images, want one", len(m))}
	}
	img, err := tarball.Image(open, nil)
	if err != nil {
		return nil, nil, &UnreadableError{file, err.Error()}
	}
	return img, m[0].RepoTags, nil
}
