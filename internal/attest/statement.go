// Package attest says where images come from and what they went through, and who says so.
//
// A Statement is about an image, which it knows by its digest: its provenance (NewProvenance), its bill of materials (Materials), the proof
// that its package works (Proof). A Signer, such as a Key, signs an image and statements about it; what comes of that goes beside the image in
// a registry (Attachments, image.Attach), where cosign finds it. List reads all of that back, of any signer's, and verifies it by public keys.
//
// Everything is a function of what it is made of: statements have no date, and the same key signs the same bytes the same way, so what was
// attached once is not attached again.
//
//	key, err := attest.ParseKey(pem, password)
//	provenance, err := attest.NewProvenance(subject, attest.Build{…})
//	attachments, err := attest.Attachments(ctx, key, digest, "registry.example/team/service", provenance)
//	err = image.Attach(ctx, img, ref, attachments, image.PushOptions{…})
//
//	attached, err := attest.List(ctx, image.OpenRepository(ref, image.PushOptions{…}), img.Hash, public)
//
// Specification: in-toto attestation framework 1 (Statement, ResourceDescriptor), SLSA provenance 1, DSSE 1, OCI distribution 1.1 (referrers),
// sigstore's bundle 0.3; for the signature's payload and the tags, cosign's signature specification.
package attest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"headwater/internal/proof"
)

// StatementType is the type of every statement.
const StatementType = "https://in-toto.io/Statement/v1"

// statementType01 is what statements of older tools have.
const statementType01 = "https://in-toto.io/Statement/v0.1"

// The types of predicates that are written here. Those of bills of materials are cosign's "cyclonedx" and "spdxjson".
const (
	ProvenanceType = "https://slsa.dev/provenance/v1"
	CycloneDXType  = "https://cyclonedx.org/bom"
	SPDXType       = "https://spdx.dev/Document"
	ProofType      = "urn:headwater:proof:1"               // the predicate is a proof.Record
	SignatureType  = "https://sigstore.dev/cosign/sign/v1" // the predicate is empty: the image itself is signed
)

// payloadType is the type of statements in envelopes (in-toto, envelope.md).
const payloadType = "application/vnd.in-toto+json"

// Statement says something about subjects.
type Statement struct {
	Type          string          `json:"_type"`
	Subject       []Resource      `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

// Resource is a thing that is known by its digest (in-toto, ResourceDescriptor).
type Resource struct {
	Name        string            `json:"name,omitempty"`
	URI         string            `json:"uri,omitempty"`
	Digest      map[string]string `json:"digest,omitempty"`           // hexadecimal, by the algorithm's name
	Location    string            `json:"downloadLocation,omitempty"` // where else than at URI
	Annotations map[string]any    `json:"annotations,omitempty"`
}

// Subject names an image: name is for people, such as "gatehouse:1.2.0".
func Subject(name string, digest v1.Hash) Resource {
	return Resource{Name: name, Digest: map[string]string{digest.Algorithm: digest.Hex}}
}

func newStatement(subject Resource, kind string, predicate []byte) *Statement {
	return &Statement{Type: StatementType, Subject: []Resource{subject}, PredicateType: kind, Predicate: predicate}
}

// Materials states what an image is made of; document is a bill of materials in JSON, as package sbom writes it.
func Materials(subject Resource, document []byte) (*Statement, error) {
	var says struct{ BOMFormat, SPDXVersion string }
	if err := json.Unmarshal(document, &says); err != nil {
		return nil, fmt.Errorf("attest bill of materials: %w", err)
	}
	switch {
	case says.BOMFormat == "CycloneDX":
		return newStatement(subject, CycloneDXType, document), nil
	case says.SPDXVersion != "":
		return newStatement(subject, SPDXType, document), nil
	}
	return nil, errors.New("attest bill of materials: it is neither CycloneDX nor SPDX, in JSON")
}

// Proof states that an image's package was verified.
func Proof(subject Resource, r *proof.Record) (*Statement, error) {
	data, err := r.Encode()
	if err != nil {
		return nil, fmt.Errorf("attest proof: %w", err)
	}
	return newStatement(subject, ProofType, data), nil
}

// Encode gives a statement's bytes: JSON without white space, by the order of the type's fields.
func (s *Statement) Encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil { // which takes the white space out of the predicate
		return nil, fmt.Errorf("encode statement: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// ParseStatement reads anybody's statement. Unknown keys are fine (the specification wants that), what every statement has is not to be missing.
func ParseStatement(data []byte) (*Statement, error) {
	s := new(Statement)
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(s); err != nil {
		return nil, fmt.Errorf("read statement: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("read statement: something follows it")
	}
	if s.Type != StatementType && s.Type != statementType01 {
		return nil, fmt.Errorf("read statement: type %q, want %s", s.Type, StatementType)
	}
	if len(s.Subject) == 0 || s.PredicateType == "" {
		return nil, errors.New("read statement: no subject, or no type of predicate")
	}
	return s, nil
}

// About tells whether a digest is among a statement's subjects.
func (s *Statement) About(digest v1.Hash) bool {
	for _, r := range s.Subject {
		if r.Digest[digest.Algorithm] == digest.Hex {
			return true
		}
	}
	return false
}
