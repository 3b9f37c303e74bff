package attest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// Source is where an image is and what stands beside it; *image.Repository is one.
type Source interface {
	Manifest(ctx context.Context, tagOrDigest string) ([]byte, error) // nil if there is none
	Referrers(ctx context.Context, subject v1.Hash) ([]v1.Descriptor, error)
	Blob(ctx context.Context, digest v1.Hash) ([]byte, error)
}

// Kind is what something beside an image is.
type Kind string

// The kinds.
const (
	Signature   Kind = "signature"
	Attestation Kind = "attestation"
	Other       Kind = "document" // not signed: a bill of materials, or what else refers to the image
)

// Way is how something is beside an image.
type Way string

// The ways.
const (
	ByTag      Way = "tag"      // cosign's older layout
	ByReferrer Way = "referrer" // OCI 1.1, a bundle where it is signed
)

// Attached is something that stands beside an image. What is signed usually stands there both ways, and is listed twice.
type Attached struct {
	Kind      Kind
	Type      string     // type of an Attestation's predicate; media type of an Other; "" of a Signature
	Way       Way        // how it is there
	Manifest  v1.Hash    // which has it
	Content   []byte     // of an Attestation and, by a referrer, a Signature: the statement; of a Signature by tag: its payload; of an Other: all of it
	Statement *Statement // nil if there is none that could be read

	Key    *PublicKey // which of the given keys signed it; nil if none did
	Hint   string     // by what key its signer says that it is signed (PublicKey.ID), "" if nothing is said
	Issued string     // for whom a certificate that is with it was made, unverified; "" if there is none
	Issuer string     // who vouched for that, as the certificate says, unverified; "" if it does not say
	Fault  error      // what is wrong with it: it cannot be read, or is about another image; nil does not mean that it is signed
}

// Verified tells whether one of the given keys signed it, and it is about the image.
func (a *Attached) Verified() bool { return a.Key != nil && a.Fault == nil }

// List lists what stands beside an image, in both of cosign's layouts and whatever else refers to it: first signatures, then attestations and
// documents, in the order in which the tags and the registry have them. What the keys verify has a Key. What is damaged is listed with its
// Fault; the error is the source's.
func List(ctx context.Context, source Source, image v1.Hash, keys ...*PublicKey) ([]*Attached, error) {
	r := &reader{source: source, image: image, keys: keys}
	for _, step := range []func(context.Context) error{
		func(ctx context.Context) error { return r.tag(ctx, signatureSuffix, r.signature) },
		func(ctx context.Context) error { return r.tag(ctx, attestationSuffix, r.attestation) },
		r.referrers,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	var list []*Attached
	for _, signatures := range []bool{true, false} {
		for _, a := range r.list {
			if (a.Kind == Signature) == signatures {
				list = append(list, a)
			}
		}
	}
	return list, nil
}

type reader struct {
	source Source
	image  v1.Hash
	keys   []*PublicKey
	list   []*Attached
}

// tag reads what is under a tag of the older layout.
func (r *reader) tag(ctx context.Context, suffix string, read func(v1.Descriptor, *Attached)) error {
	raw, err := r.source.Manifest(ctx, tagOf(r.image, suffix))
	if err != nil || raw == nil {
		return err
	}
	digest, m, err := manifest(raw)
	if err != nil {
		r.list = append(r.list, &Attached{Kind: Other, Way: ByTag, Manifest: digest, Fault: err})
		return nil
	}
	for _, layer := range m.Layers {
		a := &Attached{Way: ByTag, Manifest: digest}
		if a.Content, err = r.source.Blob(ctx, layer.Digest); err != nil {
			return err
		}
		read(layer, a)
		if text := layer.Annotations[noteCert]; text != "" {
			if block, _ := pem.Decode([]byte(text)); block != nil {
				a.Issued, a.Issuer = issued(block.Bytes)
			}
		}
		r.list = append(r.list, a)
	}
	return nil
}

func manifest(raw []byte) (v1.Hash, *v1.Manifest, error) {
	digest, _, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return digest, nil, err
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return digest, nil, fmt.Errorf("manifest %s: %w", digest, err)
	}
	return digest, m, nil
}

// signature reads a signature of the image itself.
func (r *reader) signature(layer v1.Descriptor, a *Attached) {
	a.Kind = Signature
	var p payload
	if err := json.Unmarshal(a.Content, &p); err != nil {
		a.Fault = fmt.Errorf("what is signed is not JSON: %w", err)
		return
	}
	sig, err := decode64(layer.Annotations[noteSignature])
	if err != nil {
		a.Fault = errors.New("the signature is not in base 64")
		return
	}
	a.Key = signer(a.Content, sig, r.keys)
	if p.Critical.Image.Digest != r.image.String() || p.Critical.Type != payloadKind {
		a.Fault = fmt.Errorf("what is signed is %q, %s", p.Critical.Type, p.Critical.Image.Digest)
	}
}

// attestation reads a statement in an envelope.
func (r *reader) attestation(_ v1.Descriptor, a *Attached) {
	a.Kind = Attestation
	envelope := new(dsse.Envelope)
	if err := json.Unmarshal(a.Content, envelope); err != nil {
		a.Fault = fmt.Errorf("no envelope: %w", err)
		return
	}
	r.open(envelope, a)
}

func (r *reader) open(e *dsse.Envelope, a *Attached) {
	var body []byte
	a.Statement, body, a.Key, a.Fault = open(e, r.keys)
	if a.Fault != nil {
		return
	}
	a.Content, a.Type = body, a.Statement.PredicateType
	if a.Type == SignatureType {
		a.Kind, a.Type = Signature, ""
	}
	if !a.Statement.About(r.image) {
		a.Fault = errors.New("the statement is about something else")
	}
}

// referrers reads what refers to the image.
func (r *reader) referrers(ctx context.Context) error {
	list, err := r.source.Referrers(ctx, r.image)
	if err != nil {
		return err
	}
	for _, d := range list {
		raw, err := r.source.Manifest(ctx, d.Digest.String())
		if err != nil {
			return err
		}
		a := &Attached{Kind: Other, Type: d.ArtifactType, Way: ByReferrer, Manifest: d.Digest}
		r.list = append(r.list, a)
		if raw == nil {
			a.Fault = errors.New("it is listed, and not there")
			continue
		}
		_, m, err := manifest(raw)
		if err == nil { // some registries' lists do not have it
			a.Type = cmp.Or(m.ArtifactType, a.Type, string(m.Config.MediaType))
		}
		switch {
		case err != nil:
			a.Fault = err
			continue
		case m.Subject == nil || m.Subject.Digest != r.image:
			a.Fault = errors.New("it refers to something else")
			continue
		case len(m.Layers) != 1:
			continue // some other thing's artifact; its type is told
		}
		if a.Content, err = r.source.Blob(ctx, m.Layers[0].Digest); err != nil {
			return err
		}
		if media := string(m.Layers[0].MediaType); strings.HasPrefix(media, anyBundle) {
			r.bundle(a)
		}
	}
	return nil
}

// bundle reads sigstore's bundle.
func (r *reader) bundle(a *Attached) {
	a.Kind, a.Type = Attestation, ""
	var b bundle
	if err := json.Unmarshal(a.Content, &b); err != nil {
		a.Fault = fmt.Errorf("no bundle: %w", err)
		return
	}
	if k := b.Material.PublicKey; k != nil {
		a.Hint = k.Hint
	}
	if c := b.Material.Chain; c != nil && len(c.Certificates) > 0 {
		a.Issued, a.Issuer = issued(c.Certificates[0].Raw)
	}
	if c := b.Material.Certificate; c != nil {
		a.Issued, a.Issuer = issued(c.Raw)
	}
	r.open(b.Envelope, a)
}
