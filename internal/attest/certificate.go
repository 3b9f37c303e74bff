package attest

import (
	"context"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
)

// Certified is a Signer with a key that nobody has to know: a certificate for it goes with what it signs. Such a certificate lives for minutes,
// so a timestamp goes along, which shows that the signature was made while it did.
type Certified interface {
	Signer
	// Chain is the certificate for the key, and those above it as far as they are known.
	Chain() []*x509.Certificate
	// Timestamp is a timestamp authority's answer about data (RFC 3161, TimeStampResp).
	Timestamp(ctx context.Context, data []byte) ([]byte, error)
}

// What Fulcio's certificates have beside what all have (sigstore, "Fulcio OID information"): who vouched for the identity, as text in DER and,
// formerly, as bare text; and a user's name that is no address, among the alternative names (RFC 5280, 4.2.1.6, otherName).
func oidIssuer() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8} }
func oidIssuerOld() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}
}
func oidUser() asn1.ObjectIdentifier  { return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 7} }
func oidNames() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 5, 29, 17} }

// IdentityOf tells for whom a certificate was made, "" if it does not say in a way that is known, and who vouched for that, "" if it does not
// say. Whether the certificate is to be trusted is another question.
func IdentityOf(c *x509.Certificate) (identity, issuer string) {
	names := append(append([]string{}, c.EmailAddresses...), c.DNSNames...)
	for _, u := range c.URIs {
		names = append(names, u.String())
	}
	for _, e := range c.Extensions {
		var text string
		switch {
		case e.Id.Equal(oidIssuer()):
			if rest, err := asn1.Unmarshal(e.Value, &text); err == nil && len(rest) == 0 {
				issuer = text
			}
		case e.Id.Equal(oidIssuerOld()) && issuer == "":
			issuer = string(e.Value)
		case e.Id.Equal(oidNames()):
			names = append(names, users(e.Value)...)
		}
	}
	return strings.Join(names, ", "), issuer
}

// users are the names of users among alternative names, which crypto/x509 leaves out.
func users(der []byte) (names []string) {
	var all []asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &all); err != nil || len(rest) > 0 {
		return nil
	}
	for _, one := range all {
		var other struct {
			Type asn1.ObjectIdentifier
			Name string `asn1:"utf8,explicit,tag:0"`
		}
		if rest, err := asn1.UnmarshalWithParams(one.FullBytes, &other, "tag:0"); err == nil && len(rest) == 0 && other.Type.Equal(oidUser()) {
			names = append(names, other.Name)
		}
	}
	return names
}

// issued is IdentityOf for a certificate of others', for people.
func issued(der []byte) (identity, issuer string) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return "a certificate that cannot be read", ""
	}
	if identity, issuer = IdentityOf(c); identity == "" {
		identity = c.Subject.String()
	}
	return identity, issuer
}

// evidence is by what others verify a signature, in a bundle. stamped is what is to be timestamped: the signature itself.
func (w writer) evidence(ctx context.Context, stamped []byte) (material, error) {
	c, ok := w.by.(Certified)
	if !ok {
		return material{PublicKey: &hint{w.by.Hint()}}, nil
	}
	answer, err := c.Timestamp(ctx, stamped)
	if err != nil {
		return material{}, err
	}
	return material{Certificate: &cert{c.Chain()[0].Raw}, Timestamps: &timestamps{[]timestamp{{answer}}}}, nil
}

// notes adds by what others verify a signature to the annotations of a layer, in the older layout. What is timestamped there is the signature of
// an image, and of a statement the whole envelope: cosign verifies what the layer's own annotation has for a signature, and that of a statement
// is empty.
func (w writer) notes(ctx context.Context, notes map[string]string, stamped []byte) error {
	c, ok := w.by.(Certified)
	if !ok {
		return nil
	}
	answer, err := c.Timestamp(ctx, stamped)
	if err != nil {
		return err
	}
	text, err := json.Marshal(noted{base64.StdEncoding.EncodeToString(answer)})
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	var above strings.Builder
	for _, x := range c.Chain()[1:] {
		above.Write(pemCertificate(x))
	}
	notes[noteCert], notes[noteTimestamp] = string(pemCertificate(c.Chain()[0])), string(text)
	if above.Len() > 0 {
		notes[noteChain] = above.String()
	}
	return nil
}

// noted is a timestamp in the older layout.
type noted struct {
	Answer string `json:"SignedRFC3161Timestamp"` // base 64
}

func pemCertificate(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}
