package image

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"

	"headwater/internal/atomicfile"
)

// AttachToLayout puts attachments beside an image in the OCI layout in dir: manifests of their own, which the index lists without a name, and what
// is appended to a tag. What is there already stays as it is.
func AttachToLayout(dir string, img v1.Image, attachments []Attachment) error {
	index, err := readIndex(dir, true)
	if err != nil {
		return err
	}
	l := layoutWriter{dir, index}
	if err := l.attach(img, attachments); err != nil {
		return fmt.Errorf("write image %s: %w", dir, err)
	}
	return nil
}

// layoutWriter changes a layout.
type layoutWriter struct {
	dir   string
	index *v1.IndexManifest
}

func (l layoutWriter) attach(img v1.Image, attachments []Attachment) error {
	subject, err := partial.Descriptor(img)
	if err != nil {
		return err
	}
	referring, byTag := byTag(attachments)
	for _, a := range referring {
		one, err := referrer(subject, a)
		if err != nil {
			return err
		}
		d, err := l.write(one)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(l.index.Manifests, func(o v1.Descriptor) bool { return o.Digest == d.Digest }) {
			d.ArtifactType = a.MediaType
			l.index.Manifests = append(l.index.Manifests, *d)
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(byTag)) {
		if err := l.appendTo(tag, byTag[tag]); err != nil {
			return fmt.Errorf("tag %s: %w", tag, err)
		}
	}
	return writeIndex(l.dir, l.index)
}

// appendTo appends to what has a tag.
func (l layoutWriter) appendTo(tag string, attachments []Attachment) error {
	base := noLayers()
	if i := slices.IndexFunc(l.index.Manifests, func(d v1.Descriptor) bool { return RefName(d) == tag }); i >= 0 {
		path, err := layout.FromPath(l.dir)
		if err != nil {
			return err
		}
		if base, err = path.Image(l.index.Manifests[i].Digest); err != nil {
			return err
		}
	}
	more, err := missing(base, attachments)
	if err != nil || len(more) == 0 {
		return err
	}
	whole, err := mutate.Append(base, more...)
	if err != nil {
		return err
	}
	d, err := l.write(whole)
	if err == nil {
		listUnder(l.index, *d, tag)
	}
	return err
}

// write writes a manifest and all that it names.
func (l layoutWriter) write(img v1.Image) (*v1.Descriptor, error) {
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	d, err := partial.Descriptor(img)
	if err != nil {
		return nil, err
	}
	blobs := filepath.Join(l.dir, "blobs", d.Digest.Algorithm)
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return nil, err
	}
	for _, layer := range layers {
		digest, err := layer.Digest()
		if err != nil {
			return nil, err
		}
		if err := writeBlob(filepath.Join(blobs, digest.Hex), layer.Compressed); err != nil {
			return nil, err
		}
	}
	raw, err := img.RawManifest()
	if err != nil {
		return nil, err
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return nil, err
	}
	for file, data := range map[string][]byte{m.Config.Digest.Hex: config, d.Digest.Hex: raw} {
		if err := atomicfile.Write(filepath.Join(blobs, file), data, 0o644); err != nil {
			return nil, err
		}
	}
	return &v1.Descriptor{MediaType: d.MediaType, Size: d.Size, Digest: d.Digest}, nil
}
