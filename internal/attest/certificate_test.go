package attest_test

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"headwater/internal/attest"
)

// certified is a signer without a key that others know. Its timestamps are what was to be timestamped.
type certified struct {
	*attest.Key
	chain []*x509.Certificate
}

func (c certified) Chain() []*x509.Certificate { return c.chain }

func (c certified) Timestamp(_ context.Context, data []byte) ([]byte, error) {
	return append([]byte("time of "), data...), nil
}

// certificate makes one for ann, by itself.
func certificate(t testing.TB, extensions ...pkix.Extension) *x509.Certificate {
	t.Helper()
	key := ecKey(t, elliptic.P256())
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ann"}, ExtraExtensions: extensions}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return c
}

// extension is one whose value is in DER.
func extension(t testing.TB, value any, params string, id ...int) pkix.Extension {
	t.Helper()
	der, err := asn1.MarshalWithParams(value, params)
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: id, Value: der}
}

// A certificate and a timestamp go with what nobody has the key for: in the older layout of an image's signature and of a statement's
// envelope, in the newer one of the signature that the envelope has.
func TestCertified(t *testing.T) {
	digest := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("ab", 32)}
	c := certified{newKey(t), []*x509.Certificate{certificate(t), certificate(t), certificate(t)}}
	list, err := attest.Attachments(t.Context(), c, digest, "registry.example/svc", statementsOf(t, digest)...)
	if err != nil {
		t.Fatal(err)
	}
	inPEM := func(list ...*x509.Certificate) (text string) {
		for _, x := range list {
			text += string(pemOf("CERTIFICATE", x.Raw))
		}
		return text
	}
	ways := map[bool]int{}
	for _, a := range list {
		ways[a.Tag != ""]++
		var stamped, answer []byte
		if a.Tag != "" {
			var stamp struct{ SignedRFC3161Timestamp []byte }
			if err := json.Unmarshal([]byte(a.Annotations["dev.sigstore.cosign/rfc3161timestamp"]), &stamp); err != nil {
				t.Fatal(err)
			}
			answer, stamped = stamp.SignedRFC3161Timestamp, a.Content
			if text := a.Annotations["dev.cosignproject.cosign/signature"]; text != "" {
				if stamped, err = base64.StdEncoding.DecodeString(text); err != nil {
					t.Fatal(err)
				}
			}
			if a.Annotations["dev.sigstore.cosign/certificate"] != inPEM(c.chain[0]) || a.Annotations["dev.sigstore.cosign/chain"] != inPEM(c.chain[1:]...) {
				t.Errorf("certificates are %v", a.Annotations)
			}
		} else {
			var b struct {
				VerificationMaterial struct {
					PublicKey                 *struct{}
					Certificate               struct{ RawBytes []byte }
					TimestampVerificationData struct {
						RFC3161Timestamps []struct{ SignedTimestamp []byte }
					}
				}
				DSSEEnvelope struct{ Signatures []struct{ Sig []byte } }
			}
			if err := json.Unmarshal(a.Content, &b); err != nil {
				t.Fatal(err)
			}
			m := b.VerificationMaterial
			if len(m.TimestampVerificationData.RFC3161Timestamps) != 1 || m.PublicKey != nil || !bytes.Equal(m.Certificate.RawBytes, c.chain[0].Raw) {
				t.Fatalf("the bundle is %s", a.Content)
			}
			answer, stamped = m.TimestampVerificationData.RFC3161Timestamps[0].SignedTimestamp, b.DSSEEnvelope.Signatures[0].Sig
		}
		if want := append([]byte("time of "), stamped...); !bytes.Equal(answer, want) {
			t.Errorf("the timestamp is %q, want %q", answer, want)
		}
	}
	if ways[true] != 3 || ways[false] != 3 {
		t.Errorf("it is attached %v", ways)
	}
	c.chain = c.chain[:1]
	if list, err = attest.Attachments(t.Context(), c, digest, "registry.example/svc"); err != nil {
		t.Fatal(err)
	}
	if chain, ok := list[0].Annotations["dev.sigstore.cosign/chain"]; ok {
		t.Errorf("a chain of nothing is %q", chain)
	}
}

type otherName struct {
	Type asn1.ObjectIdentifier
	Name asn1.RawValue
}

func TestIdentityOf(t *testing.T) {
	issuer := extension(t, "https://issuer.example", "utf8", 1, 3, 6, 1, 4, 1, 57264, 1, 8)
	old := pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}, Value: []byte("https://old.example")}
	name := func(tag int, text string) asn1.RawValue {
		return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, Bytes: []byte(text)}
	}
	user := func(id ...int) asn1.RawValue {
		text, err := asn1.MarshalWithParams("ann!corp.example", "utf8")
		if err != nil {
			t.Fatal(err)
		}
		der, err := asn1.MarshalWithParams(otherName{id, asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: text}}, "tag:0")
		if err != nil {
			t.Fatal(err)
		}
		return asn1.RawValue{FullBytes: der}
	}
	names := func(list ...asn1.RawValue) pkix.Extension { return extension(t, list, "", 2, 5, 29, 17) }
	for _, c := range []struct {
		extensions       []pkix.Extension
		identity, issuer string
	}{
		{nil, "", ""},
		{[]pkix.Extension{issuer, old, names(name(1, "ann@mail.example"))}, "ann@mail.example", "https://issuer.example"},
		{[]pkix.Extension{old, issuer}, "", "https://issuer.example"},
		{[]pkix.Extension{old, names(name(6, "https://forge.example/a/b"), name(2, "host.example"))}, "host.example, https://forge.example/a/b", "https://old.example"},
		{[]pkix.Extension{names(user(1, 3, 6, 1, 4, 1, 57264, 1, 7))}, "ann!corp.example", ""},
		{[]pkix.Extension{names(user(1, 2, 3), name(1, "ann@mail.example"))}, "ann@mail.example", ""},
		{[]pkix.Extension{{Id: issuer.Id, Value: []byte("bare")}}, "", ""},
	} {
		identity, issuer := attest.IdentityOf(certificate(t, c.extensions...))
		if identity != c.identity || issuer != c.issuer {
			t.Errorf("%q by %q, want %q by %q", identity, issuer, c.identity, c.issuer)
		}
	}
}

// Whatever is in a certificate, reading for whom it is ends.
func FuzzIdentityOf(f *testing.F) {
	f.Add(certificate(f, extension(f, "x", "utf8", 1, 3, 6, 1, 4, 1, 57264, 1, 8)).Raw)
	f.Fuzz(func(t *testing.T, der []byte) {
		if c, err := x509.ParseCertificate(der); err == nil {
			attest.IdentityOf(c)
		}
	})
}
