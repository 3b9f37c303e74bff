package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	remotetransport "github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// MaxAttached is the largest manifest or document beside an image that is read, in bytes.
const MaxAttached = 128 << 20

// Attachment is something small that stands beside an image in its repository.
type Attachment struct {
	Tag         string // appended to the manifest that has this tag, as a layer; "" for a manifest of its own, which refers to the image
	MediaType   string // of Content; without a tag it is also the artifact's type
	Content     []byte
	Annotations map[string]string // of the layer; without a tag, of the manifest
}

// Repository is a repository of a registry, for what stands beside images.
type Repository struct {
	push push

	open   sync.Once
	puller *remote.Puller // which signs in once for all that is read
	fault  error
}

// OpenRepository gives access to the repository of a reference. It asks nothing yet.
func OpenRepository(ref Ref, o PushOptions) *Repository {
	o = o.complete()
	return &Repository{push: push{PushOptions: o, ref: ref, transport: transport(o)}}
}

// options are those of one thing that is read.
func (r *Repository) options(ctx context.Context) ([]remote.Option, error) {
	r.open.Do(func() { r.puller, r.fault = remote.NewPuller(r.push.options(context.WithoutCancel(ctx))...) })
	return append(r.push.options(ctx), remote.Reuse(r.puller)), r.fault
}

// Attach puts attachments beside an image that is there. What is there already is not sent; what others put under the same tags stays. The
// error is an *Error.
func Attach(ctx context.Context, img v1.Image, ref Ref, list []Attachment, o PushOptions) error {
	r := OpenRepository(ref, o)
	err := r.attach(ctx, img, list)
	return r.fail(ctx, err)
}

// fail is the error of something that was done with a repository.
func (r *Repository) fail(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return &Error{Ref: r.push.ref.String(), Err: err, hint: r.push.hint(err)}
}

func (r *Repository) attach(ctx context.Context, img v1.Image, list []Attachment) error {
	subject, err := partial.Descriptor(img)
	if err != nil {
		return err
	}
	pusher, err := remote.NewPusher(r.push.options(ctx)...)
	if err != nil {
		return err
	}
	referring, byTag := byTag(list)
	for _, a := range referring {
		if err := r.refer(ctx, pusher, subject, a); err != nil {
			return err
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(byTag)) {
		if err := r.appendTo(ctx, pusher, tag, byTag[tag]); err != nil {
			return fmt.Errorf("tag %s: %w", tag, err)
		}
	}
	return nil
}

// byTag sorts attachments into those that refer to the image by themselves, and those of each tag.
func byTag(list []Attachment) (referring []Attachment, tagged map[string][]Attachment) {
	tagged = map[string][]Attachment{}
	for _, a := range list {
		if a.Tag == "" {
			referring = append(referring, a)
		} else {
			tagged[a.Tag] = append(tagged[a.Tag], a)
		}
	}
	return referring, tagged
}

// attaching is how often a tag that others write to at the same time is read and written.
const attaching = 4

// appendTo appends to what has a tag. A registry has no way of doing so at once, so it is done again until it is there.
func (r *Repository) appendTo(ctx context.Context, pusher *remote.Pusher, tag string, list []Attachment) error {
	for range attaching {
		base, err := r.tagged(ctx, tag)
		if err != nil {
			return err
		}
		more, err := missing(base, list)
		if err != nil || len(more) == 0 {
			return err
		}
		img, err := mutate.Append(base, more...)
		if err != nil {
			return err
		}
		if err := pusher.Push(ctx, r.push.ref.tag.Context().Tag(tag), img); err != nil {
			return err
		}
	}
	return &falseError{"the registry took what was attached, and yet has something else under the tag"}
}

// tagged is what has a tag, an image of no layers if nothing has.
func (r *Repository) tagged(ctx context.Context, tag string) (v1.Image, error) {
	options, err := r.options(ctx)
	if err != nil {
		return nil, err
	}
	img, err := remote.Image(r.push.ref.tag.Context().Tag(tag), options...)
	if absent(err) {
		return noLayers(), nil
	}
	return img, err
}

// noLayers is what attachments with a tag are first appended to.
func noLayers() v1.Image {
	return mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
}

// missing are those attachments that an image does not have as layers.
func missing(base v1.Image, list []Attachment) ([]mutate.Addendum, error) {
	m, err := base.Manifest()
	if err != nil {
		return nil, err
	}
	var more []mutate.Addendum
	for _, a := range list {
		layer := static.NewLayer(a.Content, types.MediaType(a.MediaType))
		digest, err := layer.Digest()
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(m.Layers, func(d v1.Descriptor) bool { return d.Digest == digest && maps.Equal(d.Annotations, a.Annotations) }) {
			more = append(more, mutate.Addendum{Layer: layer, MediaType: types.MediaType(a.MediaType), Annotations: a.Annotations})
		}
	}
	return more, nil
}

// refer puts a manifest there that refers to the subject. The library sees to it that it is listed where a registry keeps no list itself; a
// manifest that is there and not listed, since that was broken off, is listed too.
func (r *Repository) refer(ctx context.Context, pusher *remote.Pusher, subject *v1.Descriptor, a Attachment) error {
	img, err := referrer(subject, a)
	if err != nil {
		return err
	}
	digest, err := img.Digest()
	if err != nil {
		return err
	}
	listed, err := r.referrers(ctx, subject.Digest)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(listed, func(d v1.Descriptor) bool { return d.Digest == digest }) {
		return nil
	}
	at := r.push.ref.tag.Context().Digest(digest.String())
	if err := pusher.Push(ctx, at, img); err != nil {
		return err
	}
	return remote.Put(at, img, r.push.options(ctx)...)
}

// referrer is a manifest of one document (image-spec, manifest.md, "Guidelines for Artifact Usage").
func referrer(subject *v1.Descriptor, a Attachment) (v1.Image, error) {
	layer := static.NewLayer(a.Content, types.MediaType(a.MediaType))
	described, err := partial.Descriptor(layer)
	if err != nil {
		return nil, err
	}
	config := []byte("{}")
	digest, size, err := v1.SHA256(bytes.NewReader(config))
	if err != nil {
		return nil, err
	}
	manifest, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: a.MediaType,
		Config:      v1.Descriptor{MediaType: mediaEmpty, Size: size, Digest: digest},
		Layers:      []v1.Descriptor{*described},
		Subject:     &v1.Descriptor{MediaType: subject.MediaType, Size: subject.Size, Digest: subject.Digest},
		Annotations: a.Annotations,
	})
	if err != nil {
		return nil, err
	}
	return partial.CompressedToImage(&artifactCore{config, manifest, layer})
}

// mediaEmpty is the type of a configuration that says nothing.
const mediaEmpty = "application/vnd.oci.empty.v1+json"

// artifactCore is the least that go-containerregistry makes an image of.
type artifactCore struct {
	config, manifest []byte
	layer            v1.Layer
}

// RawConfigFile implements partial.CompressedImageCore.
func (c *artifactCore) RawConfigFile() ([]byte, error) { return c.config, nil }

// RawManifest implements partial.CompressedImageCore.
func (c *artifactCore) RawManifest() ([]byte, error) { return c.manifest, nil }

// MediaType implements partial.CompressedImageCore.
func (c *artifactCore) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

// LayerByDigest implements partial.CompressedImageCore.
func (c *artifactCore) LayerByDigest(v1.Hash) (partial.CompressedLayer, error) { return c.layer, nil }

// absent tells that a registry said that something is not there.
func absent(err error) bool {
	var answer *remotetransport.Error
	return errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound
}

// Manifest reads the manifest that a tag or a digest names, nil if there is none. The error is an *Error.
func (r *Repository) Manifest(ctx context.Context, tagOrDigest string) ([]byte, error) {
	repository := r.push.ref.tag.Context()
	var ref name.Reference = repository.Tag(tagOrDigest)
	if _, err := v1.NewHash(tagOrDigest); err == nil {
		ref = repository.Digest(tagOrDigest)
	}
	options, err := r.options(ctx)
	if err != nil {
		return nil, r.fail(ctx, err)
	}
	d, err := remote.Get(ref, options...)
	switch {
	case absent(err):
		return nil, nil
	case err != nil:
		return nil, r.fail(ctx, err)
	}
	return d.Manifest, nil
}

// Blob reads a blob of at most MaxAttached bytes, whose digest it checks. The error is an *Error.
func (r *Repository) Blob(ctx context.Context, digest v1.Hash) ([]byte, error) {
	data, err := r.blob(ctx, digest)
	return data, r.fail(ctx, err)
}

func (r *Repository) blob(ctx context.Context, digest v1.Hash) ([]byte, error) {
	options, err := r.options(ctx)
	if err != nil {
		return nil, err
	}
	layer, err := remote.Layer(r.push.ref.tag.Context().Digest(digest.String()), options...)
	if err != nil {
		return nil, err
	}
	body, err := layer.Compressed() // which checks the digest
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, MaxAttached+1))
	if err == nil && len(data) > MaxAttached {
		err = &falseError{fmt.Sprintf("%s has more than %d bytes", digest, MaxAttached)}
	}
	return data, err
}

// Referrers lists the manifests that refer to a digest, sorted by their digests. The error is an *Error.
func (r *Repository) Referrers(ctx context.Context, subject v1.Hash) ([]v1.Descriptor, error) {
	list, err := r.referrers(ctx, subject)
	return list, r.fail(ctx, err)
}

func (r *Repository) referrers(ctx context.Context, subject v1.Hash) ([]v1.Descriptor, error) {
	options, err := r.options(ctx)
	if err != nil {
		return nil, err
	}
	index, err := remote.Referrers(r.push.ref.tag.Context().Digest(subject.String()), options...)
	if err != nil {
		return nil, err
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	slices.SortFunc(m.Manifests, func(a, b v1.Descriptor) int {
		return bytes.Compare([]byte(a.Digest.String()), []byte(b.Digest.String()))
	})
	return m.Manifests, nil
}
