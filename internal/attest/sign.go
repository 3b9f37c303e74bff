package attest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"headwater/internal/image"
)

// What cosign calls the parts of its two layouts. The older one appends layers to manifests that stand under tags made of the image's digest;
// the newer one has a manifest for each bundle, which refers to the image.
const (
	signatureSuffix   = ".sig"
	attestationSuffix = ".att"

	mediaPayload  = "application/vnd.dev.cosign.simplesigning.v1+json"
	mediaEnvelope = "application/vnd.dsse.envelope.v1+json"
	mediaBundle   = "application/vnd.dev.sigstore.bundle.v0.3+json"
	anyBundle     = "application/vnd.dev.sigstore.bundle" // how the media types of all versions begin

	noteSignature  = "dev.cosignproject.cosign/signature"
	noteCert       = "dev.sigstore.cosign/certificate"
	noteChain      = "dev.sigstore.cosign/chain"
	noteTimestamp  = "dev.sigstore.cosign/rfc3161timestamp"
	notePredicate  = "predicateType"
	noteContent    = "dev.sigstore.bundle.content"
	noteBundleType = "dev.sigstore.bundle.predicateType"
)

// tagOf is the tag of the older layout.
func tagOf(digest v1.Hash, suffix string) string {
	return digest.Algorithm + "-" + digest.Hex + suffix
}

// payload is what a signature of an image is of, in the older layout (containers/image, "simple signing").
type payload struct {
	Critical struct {
		Identity struct {
			Reference string `json:"docker-reference"` // the repository
		} `json:"identity"`
		Image struct {
			Digest string `json:"docker-manifest-digest"`
		} `json:"image"`
		Type string `json:"type"`
	} `json:"critical"`
	Optional map[string]any `json:"optional"`
}

const payloadKind = "cosign container image signature"

// bundle is sigstore's: an envelope with what it is to be verified by.
type bundle struct {
	MediaType string         `json:"mediaType"`
	Material  material       `json:"verificationMaterial"`
	Envelope  *dsse.Envelope `json:"dsseEnvelope,omitempty"`
}

type material struct {
	PublicKey   *hint       `json:"publicKey,omitempty"`
	Certificate *cert       `json:"certificate,omitempty"`
	Chain       *chain      `json:"x509CertificateChain,omitempty"`
	Timestamps  *timestamps `json:"timestampVerificationData,omitempty"`
}

type hint struct {
	Hint string `json:"hint"`
}

type cert struct {
	Raw []byte `json:"rawBytes"`
}

type chain struct {
	Certificates []cert `json:"certificates"`
}

type timestamps struct {
	List []timestamp `json:"rfc3161Timestamps"`
}

type timestamp struct {
	Answer []byte `json:"signedTimestamp"` // TimeStampResp
}

// Signer signs. *Key is one; one that has no key that others know is Certified. Printing one says who signs, and no secret.
type Signer interface {
	fmt.Stringer
	// Sign signs the SHA-256 of a message by ECDSA with P-256, in ASN.1.
	Sign(message []byte) ([]byte, error)
	// Hint is by what others find the key to verify by, as PublicKey.ID.
	Hint() string
}

// Attachments signs an image, of which the digest is the subject's, and what is stated about it, for both of cosign's layouts.
// repository is "HOST/NAME".
func Attachments(ctx context.Context, by Signer, digest v1.Hash, repository string, statements ...*Statement) ([]image.Attachment, error) {
	w := writer{by}
	signature, err := w.signature(ctx, digest, repository)
	if err != nil {
		return nil, err
	}
	list := []image.Attachment{signature}
	itself := newStatement(Subject("", digest), SignatureType, []byte("{}"))
	for _, s := range append([]*Statement{itself}, statements...) {
		if !s.About(digest) {
			return nil, fmt.Errorf("sign statement of type %s: it is not about %s", s.PredicateType, digest)
		}
		envelope, sig, err := w.envelope(s)
		if err != nil {
			return nil, err
		}
		if s != itself {
			one, err := w.tagged(ctx, envelope, digest, s.PredicateType)
			if err != nil {
				return nil, err
			}
			list = append(list, one)
		}
		one, err := w.referring(ctx, envelope, sig, s.PredicateType)
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, nil
}

// writer writes what a Signer signs.
type writer struct{ by Signer }

// signature signs an image, in the older layout.
func (w writer) signature(ctx context.Context, digest v1.Hash, repository string) (image.Attachment, error) {
	var p payload
	p.Critical.Identity.Reference, p.Critical.Image.Digest, p.Critical.Type = repository, digest.String(), payloadKind
	data, err := json.Marshal(p)
	if err != nil {
		return image.Attachment{}, fmt.Errorf("sign image: %w", err)
	}
	sig, err := w.by.Sign(data)
	if err != nil {
		return image.Attachment{}, err
	}
	notes := map[string]string{noteSignature: base64.StdEncoding.EncodeToString(sig)}
	return image.Attachment{Tag: tagOf(digest, signatureSuffix), MediaType: mediaPayload, Content: data, Annotations: notes}, w.notes(ctx, notes, sig)
}

// envelope signs a statement. As cosign's, the signature names no key: who verifies has it, or a certificate goes along.
func (w writer) envelope(s *Statement) (e *dsse.Envelope, sig []byte, err error) {
	body, err := s.Encode()
	if err != nil {
		return nil, nil, err
	}
	if sig, err = w.by.Sign(dsse.PAE(payloadType, body)); err != nil {
		return nil, nil, err
	}
	return &dsse.Envelope{
		PayloadType: payloadType, Payload: base64.StdEncoding.EncodeToString(body),
		Signatures: []dsse.Signature{{Sig: base64.StdEncoding.EncodeToString(sig)}},
	}, sig, nil
}

// tagged is a statement in the older layout.
func (w writer) tagged(ctx context.Context, e *dsse.Envelope, digest v1.Hash, kind string) (image.Attachment, error) {
	data, err := json.Marshal(e)
	if err != nil {
		return image.Attachment{}, fmt.Errorf("attest: %w", err)
	}
	notes := map[string]string{noteSignature: "", notePredicate: kind}
	return image.Attachment{Tag: tagOf(digest, attestationSuffix), MediaType: mediaEnvelope, Content: data, Annotations: notes}, w.notes(ctx, notes, data)
}

// referring is a statement in the newer layout.
func (w writer) referring(ctx context.Context, e *dsse.Envelope, sig []byte, kind string) (image.Attachment, error) {
	evidence, err := w.evidence(ctx, sig)
	if err != nil {
		return image.Attachment{}, err
	}
	data, err := json.Marshal(bundle{MediaType: mediaBundle, Material: evidence, Envelope: e})
	if err != nil {
		return image.Attachment{}, fmt.Errorf("attest: %w", err)
	}
	return image.Attachment{
		MediaType: mediaBundle, Content: data,
		Annotations: map[string]string{noteContent: "dsse-envelope", noteBundleType: kind},
	}, nil
}

// open reads an envelope's statement, and which of the keys signed it, nil if none did.
func open(e *dsse.Envelope, keys []*PublicKey) (*Statement, []byte, *PublicKey, error) {
	if e == nil {
		return nil, nil, nil, errors.New("no envelope")
	}
	if e.PayloadType != payloadType {
		return nil, nil, nil, fmt.Errorf("the envelope has %q, want %s", e.PayloadType, payloadType)
	}
	body, err := e.DecodeB64Payload()
	if err != nil {
		return nil, nil, nil, errors.New("the envelope's payload is not in base 64")
	}
	message := dsse.PAE(e.PayloadType, body)
	var by *PublicKey
	for _, s := range e.Signatures {
		if sig, err := decode64(s.Sig); err == nil && by == nil {
			by = signer(message, sig, keys)
		}
	}
	s, err := ParseStatement(body)
	return s, body, by, err
}

// signer is the key that signed a message, nil if none of these did.
func signer(message, signature []byte, keys []*PublicKey) *PublicKey {
	for _, k := range keys {
		if k.verify(message, signature) {
			return k
		}
	}
	return nil
}

// decode64 reads base 64, of both alphabets, as DSSE has it.
func decode64(text string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "/").Replace(text))
}

// Document is a bill of materials as it goes beside an image without being signed: a referrer of its own media type.
func Document(s *Statement) (image.Attachment, error) {
	media := map[string]string{CycloneDXType: MediaCycloneDX, SPDXType: MediaSPDX}[s.PredicateType]
	if media == "" {
		return image.Attachment{}, fmt.Errorf("attach %s: it is no bill of materials", s.PredicateType)
	}
	return image.Attachment{MediaType: media, Content: s.Predicate}, nil
}

// The media types of bills of materials.
const (
	MediaCycloneDX = "application/vnd.cyclonedx+json"
	MediaSPDX      = "application/spdx+json"
)
