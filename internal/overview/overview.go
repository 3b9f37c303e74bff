// Package overview says what an image is, for a person: what is in it, where it comes from, what it is made of, and who vouches for that.
//
// It believes nothing by itself: of each thing that was attested it is told which of the given keys signed it, if any did.
//
//	o, err := overview.Read(ctx, source, "1.2.0", keys...)
package overview

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"headwater/internal/attest"
	"headwater/internal/proof"
)

// Image is what is known of an image.
type Image struct {
	Digest    *v1.Hash `json:"digest"` // of its manifest; nil for an archive, which has none
	ID        v1.Hash  `json:"id"`     // of its configuration
	MediaType string   `json:"mediaType"`
	Platform  string   `json:"platform"` // "linux/amd64"
	Created   string   `json:"created"`  // RFC 3339
	Size      int64    `json:"size"`     // bytes of all layers, compressed
	Layers    []Layer  `json:"layers"`
	Config    Config   `json:"config"`

	Title    string            `json:"title,omitempty"`
	Version  string            `json:"version,omitempty"`
	Source   string            `json:"source,omitempty"`
	Revision string            `json:"revision,omitempty"`
	Licences string            `json:"licences,omitempty"`
	Labels   map[string]string `json:"labels"` // all of them

	Package    string `json:"package,omitempty"`    // store path
	Derivation string `json:"derivation,omitempty"` // which makes it
	ToldBy     string `json:"toldBy,omitempty"`     // who says so: "provenance", or another's word

	Provenance *Provenance `json:"provenance"` // each is nil if there is none
	Materials  *Materials  `json:"materials"`
	Proof      *Proof      `json:"proof"`
	Attached   []Attached  `json:"attached"`
}

// Layer is a layer.
type Layer struct {
	Title     string  `json:"title"` // what it is, as its maker says
	Digest    v1.Hash `json:"digest"`
	DiffID    v1.Hash `json:"diffID"`
	Size      int64   `json:"size"` // bytes, compressed
	MediaType string  `json:"mediaType"`
}

// Config is how it is started.
type Config struct {
	Entrypoint []string `json:"entrypoint"`
	Cmd        []string `json:"cmd"`
	User       string   `json:"user"`
	Workdir    string   `json:"workdir"`
	Env        []string `json:"env"`
	Ports      []string `json:"ports"`
	Volumes    []string `json:"volumes"`
}

// Attached is what stands beside an image.
type Attached struct {
	Kind     attest.Kind `json:"kind"`
	Type     string      `json:"type,omitempty"`
	Way      attest.Way  `json:"way"`
	Manifest v1.Hash     `json:"manifest"`
	Signed   string      `json:"signed,omitempty"` // by which of the given keys, by the name that it was given with; "" if by none
	Hint     string      `json:"hint,omitempty"`   // by what key its signer says that it is signed
	Issued   string      `json:"issued,omitempty"` // for whom a certificate was made that is with it, unverified
	Issuer   string      `json:"issuer,omitempty"` // who vouched for that, as the certificate says, unverified
	Fault    string      `json:"fault,omitempty"`
}

// Provenance is what a provenance says (slsa.dev/provenance/v1).
type Provenance struct {
	Signed       string   `json:"signed,omitempty"` // as of Attached
	BuildType    string   `json:"buildType"`
	Builder      string   `json:"builder"`
	Service      string   `json:"service"`
	Release      string   `json:"release"`
	Dependencies int      `json:"dependencies"` // resolved, with their hashes
	Deviations   []string `json:"deviations"`   // from upstream's lock
}

// Proof is what a proof says (headwater verify).
type Proof struct {
	Signed  string    `json:"signed,omitempty"` // as of Attached
	Passed  bool      `json:"passed"`
	Checks  int       `json:"checks"`
	Started time.Time `json:"started"`
}

// Source is where an image is; *image.Repository and *image.Layout are.
type Source = attest.Source

// Key is a key and how it is called.
type Key struct {
	*attest.PublicKey
	Name string
}

// NotFoundError says that there is no such image.
type NotFoundError struct{ Name string }

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("inspect image: there is none that is called %s", e.Name)
}

// The labels of an image (image-spec, annotations.md).
const labels = "org.opencontainers.image."

// Read tells of the image that a tag or a digest names. Of an image of several platforms it is that for linux/amd64.
func Read(ctx context.Context, source Source, tagOrDigest string, keys ...Key) (*Image, error) {
	raw, err := source.Manifest(ctx, tagOrDigest)
	if err == nil && raw == nil {
		err = &NotFoundError{tagOrDigest}
	}
	if err != nil {
		return nil, err
	}
	digest, _, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	if inner, ok := platform(raw); ok {
		return Read(ctx, source, inner.String(), keys...)
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("inspect image: manifest %s: %w", digest, err)
	}
	config, err := source.Blob(ctx, m.Config.Digest)
	if err != nil {
		return nil, err
	}
	o, err := Describe(m, config)
	if err != nil {
		return nil, err
	}
	o.Digest = &digest
	return o, o.attached(ctx, source, keys)
}

// platform is the manifest for linux/amd64 of an index.
func platform(raw []byte) (v1.Hash, bool) {
	index, err := v1.ParseIndexManifest(bytes.NewReader(raw))
	if err != nil || len(index.Manifests) == 0 || index.MediaType != types.OCIImageIndex && index.MediaType != types.DockerManifestList && index.MediaType != "" {
		return v1.Hash{}, false
	}
	for _, d := range index.Manifests {
		if d.Platform != nil && d.Platform.OS == "linux" && d.Platform.Architecture == "amd64" {
			return d.Digest, true
		}
	}
	return v1.Hash{}, false
}

// Describe tells what manifest and configuration say.
func Describe(m *v1.Manifest, config []byte) (*Image, error) {
	file, err := v1.ParseConfigFile(bytes.NewReader(config))
	if err != nil {
		return nil, fmt.Errorf("inspect image: configuration %s: %w", m.Config.Digest, err)
	}
	o := &Image{
		ID: m.Config.Digest, MediaType: string(m.MediaType), Platform: file.OS + "/" + file.Architecture, Created: file.Created.UTC().Format(time.RFC3339),
		Labels: map[string]string{}, Layers: []Layer{}, Attached: []Attached{},
		Config: Config{
			Entrypoint: list(file.Config.Entrypoint), Cmd: list(file.Config.Cmd), User: file.Config.User, Workdir: file.Config.WorkingDir, Env: list(file.Config.Env),
			Ports: list(slices.Sorted(maps.Keys(file.Config.ExposedPorts))), Volumes: list(slices.Sorted(maps.Keys(file.Config.Volumes))),
		},
	}
	maps.Copy(o.Labels, m.Annotations)
	maps.Copy(o.Labels, file.Config.Labels)
	o.Title, o.Version, o.Source = o.Labels[labels+"title"], o.Labels[labels+"version"], o.Labels[labels+"source"]
	o.Revision, o.Licences = o.Labels[labels+"revision"], o.Labels[labels+"licenses"]
	titles := titlesOf(file, len(m.Layers))
	for i, d := range m.Layers {
		l := Layer{Title: titles[i], Digest: d.Digest, Size: d.Size, MediaType: string(d.MediaType)}
		if i < len(file.RootFS.DiffIDs) {
			l.DiffID = file.RootFS.DiffIDs[i]
		}
		o.Size += d.Size
		o.Layers = append(o.Layers, l)
	}
	return o, nil
}

// titlesOf is what the history says of each of n layers.
func titlesOf(file *v1.ConfigFile, n int) []string {
	titles := make([]string, n)
	i := 0
	for _, h := range file.History {
		if !h.EmptyLayer && i < n {
			titles[i] = cmp.Or(h.Comment, h.CreatedBy)
			i++
		}
	}
	return titles
}

func list(l []string) []string { return append([]string{}, l...) }

// attached reads what stands beside the image, and what that says. Where a thing is there more than once, one that a key vouches for counts.
func (o *Image) attached(ctx context.Context, source Source, keys []Key) error {
	public := make([]*attest.PublicKey, len(keys))
	for i, k := range keys {
		public[i] = k.PublicKey
	}
	all, err := attest.List(ctx, source, *o.Digest, public...)
	if err != nil {
		return err
	}
	for _, a := range all {
		one := Attached{Kind: a.Kind, Type: a.Type, Way: a.Way, Manifest: a.Manifest, Hint: a.Hint, Issued: a.Issued, Issuer: a.Issuer}
		if a.Verified() {
			i := slices.IndexFunc(keys, func(k Key) bool { return k.Equal(a.Key) })
			one.Signed = keys[i].Name
		}
		if a.Fault == nil {
			a.Fault = o.read(a, one.Signed)
		}
		if a.Fault != nil {
			one.Fault = a.Fault.Error()
		}
		o.Attached = append(o.Attached, one)
	}
	return nil
}

// read takes in what something attached says.
func (o *Image) read(a *attest.Attached, signed string) error {
	content, kind := a.Content, a.Type
	if a.Statement != nil {
		content = a.Statement.Predicate
	}
	switch {
	case kind == attest.ProvenanceType:
		if o.Provenance == nil || o.Provenance.Signed == "" && signed != "" {
			return o.provenance(content, signed)
		}
	case kind == attest.ProofType:
		if o.Proof == nil || o.Proof.Signed == "" && signed != "" {
			r, err := proof.Decode(content)
			if err != nil {
				return err
			}
			o.Proof = &Proof{signed, r.Passed, len(r.Checks), r.Started}
		}
	case kind == attest.CycloneDXType, kind == attest.SPDXType, strings.HasPrefix(kind, "application/vnd.cyclonedx"), strings.HasPrefix(kind, "application/spdx"):
		if o.Materials == nil || o.Materials.Signed == "" && signed != "" {
			m, err := ReadMaterials(content)
			if err != nil {
				return err
			}
			m.Signed, o.Materials = signed, m
		}
	}
	return nil
}

func (o *Image) provenance(content []byte, signed string) error {
	var p struct {
		Definition struct {
			Type     string `json:"buildType"`
			External struct {
				Service, Release string
			} `json:"externalParameters"`
			Internal struct {
				Derivation, Output string
				Deviations         []string
			} `json:"internalParameters"`
			Resolved []attest.Resource `json:"resolvedDependencies"`
		} `json:"buildDefinition"`
		Run struct {
			Builder struct {
				ID string `json:"id"`
			} `json:"builder"`
		} `json:"runDetails"`
	}
	if err := json.Unmarshal(content, &p); err != nil {
		return fmt.Errorf("read provenance: %w", err)
	}
	d := p.Definition
	v := &Provenance{
		Signed: signed, BuildType: d.Type, Builder: p.Run.Builder.ID, Service: d.External.Service, Release: d.External.Release, Dependencies: len(d.Resolved),
		Deviations: list(d.Internal.Deviations),
	}
	for _, r := range d.Resolved {
		notes, _ := r.Annotations["deviations"].([]any)
		for _, n := range notes {
			v.Deviations = append(v.Deviations, fmt.Sprintf("%s: %v", cmp.Or(r.Name, r.URI), n))
		}
	}
	o.Provenance = v
	if d.Type == attest.BuildType {
		o.Package, o.Derivation, o.ToldBy = d.Internal.Output, d.Internal.Derivation, "provenance"
	}
	return nil
}

// errFormat says that a document is no bill of materials that is known.
var errFormat = errors.New("read bill of materials: it is neither CycloneDX nor SPDX, in JSON")
