package image

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// core is the least that go-containerregistry makes an image of.
type core struct {
	config, manifest []byte
	layers           map[v1.Hash]*layer
}

func newCore(spec Spec, plans []layerPlan, layers []*layer) (*core, error) {
	c := &core{layers: map[v1.Hash]*layer{}}
	var err error
	if c.config, err = json.Marshal(configOf(spec, plans, layers)); err != nil {
		return nil, err
	}
	digest, size, err := v1.SHA256(bytes.NewReader(c.config))
	if err != nil {
		return nil, err
	}
	m := v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Annotations: spec.Labels,
		Config: v1.Descriptor{MediaType: types.OCIConfigJSON, Size: size, Digest: digest},
	}
	for _, l := range layers {
		c.layers[l.record.Digest] = l
		m.Layers = append(m.Layers, v1.Descriptor{MediaType: l.compression.mediaType(), Size: l.record.Size, Digest: l.record.Digest})
	}
	c.manifest, err = json.Marshal(m)
	return c, err
}

// configOf is the image's configuration (image-spec, config.md).
func configOf(spec Spec, plans []layerPlan, layers []*layer) *v1.ConfigFile {
	created := v1.Time{Time: spec.Created.UTC()}
	if spec.Created.IsZero() {
		created.Time = epoch
	}
	config := v1.Config{
		User: spec.User, WorkingDir: spec.Workdir, Entrypoint: spec.Entrypoint, Cmd: spec.Cmd, Labels: spec.Labels,
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Env)) {
		config.Env = append(config.Env, name+"="+spec.Env[name])
	}
	for _, port := range spec.Ports {
		set(&config.ExposedPorts, fmt.Sprintf("%d/tcp", port))
	}
	for _, v := range spec.Volumes {
		set(&config.Volumes, v)
	}
	file := &v1.ConfigFile{Created: created, Architecture: "amd64", OS: "linux", Config: config, RootFS: v1.RootFS{Type: "layers"}}
	for i, l := range layers {
		file.RootFS.DiffIDs = append(file.RootFS.DiffIDs, l.record.DiffID)
		file.History = append(file.History, v1.History{Created: created, CreatedBy: "headwater image", Comment: plans[i].title})
	}
	return file
}

func set(m *map[string]struct{}, key string) {
	if *m == nil {
		*m = map[string]struct{}{}
	}
	(*m)[key] = struct{}{}
}

// RawConfigFile implements partial.CompressedImageCore.
func (c *core) RawConfigFile() ([]byte, error) { return c.config, nil }

// RawManifest implements partial.CompressedImageCore.
func (c *core) RawManifest() ([]byte, error) { return c.manifest, nil }

// MediaType implements partial.CompressedImageCore.
func (c *core) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

// LayerByDigest implements partial.CompressedImageCore.
func (c *core) LayerByDigest(digest v1.Hash) (partial.CompressedLayer, error) {
	if l, ok := c.layers[digest]; ok {
		return l, nil
	}
	return nil, fmt.Errorf("the image has no layer %s", digest)
}
