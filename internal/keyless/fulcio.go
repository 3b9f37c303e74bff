package keyless

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// What answers may have at most.
const (
	maxCertificates = 1 << 20 // bytes
	maxChain        = 10      // certificates
	maxSaid         = 300     // bytes of what a server says of an error
)

// certificateRequest is CreateSigningCertificateRequest.
type certificateRequest struct {
	Key struct {
		Public struct {
			Algorithm string `json:"algorithm"`
			Content   string `json:"content"` // PEM
		} `json:"publicKey"`
		Proof []byte `json:"proofOfPossession"` // by the key, of the token's subject
	} `json:"publicKeyRequest"`
}

// certificates is SigningCertificate: one of them, the certificate for the key first, each in PEM.
type certificates struct {
	Embedded detached `json:"signedCertificateEmbeddedSct"`
	Detached detached `json:"signedCertificateDetachedSct"`
}

type detached struct {
	Chain struct {
		Certificates []string `json:"certificates"`
	} `json:"chain"`
}

// certify has a key certified, whose SubjectPublicKeyInfo is der. Of whose name the proof is to be follows from the kind of the token's issuer,
// which its operator set: of the address of mail or, even where there is one, of the subject. So the other is tried where one is refused.
func (s *Signer) certify(ctx context.Context, address string, token *Token, der []byte) (chain []*x509.Certificate, err error) {
	for _, subject := range token.subjects {
		chain, err = s.ask(ctx, address, token, subject, der)
		var status *statusError
		if !errors.As(err, &status) || status.code != http.StatusBadRequest {
			break
		}
	}
	return chain, s.certifyError(ctx, address, token, err)
}

func (s *Signer) ask(ctx context.Context, address string, token *Token, subject string, der []byte) ([]*x509.Certificate, error) {
	var request certificateRequest
	request.Key.Public.Algorithm, request.Key.Public.Content = "ECDSA", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	var err error
	if request.Key.Proof, err = s.Sign([]byte(subject)); err != nil {
		return nil, err
	}
	body, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("ask for certificate: %w", err)
	}
	header := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}, "Authorization": {"Bearer " + token.raw}}
	answer, err := s.client.post(ctx, strings.TrimRight(address, "/")+"/api/v2/signingCert", header, body, maxCertificates)
	if err != nil {
		return nil, err
	}
	return s.certified(answer)
}

// certifyError is the error of asking for a certificate.
func (s *Signer) certifyError(ctx context.Context, address string, token *Token, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var status *statusError
	if !errors.As(err, &status) {
		return s.fail("certificate", address, err)
	}
	status.said = said(status.said, token)
	switch status.code {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		return &TokenError{
			fmt.Sprintf("%s refuses that of %s by %s: %v", address, token.of(), token.issuer, status),
			"is it of an issuer, and for an audience, that the server knows, and has it not expired? Get a new one, and run this again: what is built is not built again",
		}
	}
	return s.fail("certificate", address, err)
}

// said is what a server says of an error, as far as it can be shown: on a line, and never with the token in it, or what may be a piece of one.
func said(answer string, token *Token) string {
	var status struct{ Message string } // google.rpc.Status
	text := answer
	if err := json.Unmarshal([]byte(answer), &status); err == nil && status.Message != "" {
		text = status.Message
	}
	if token != nil && (token.in(text) || token.in(answer)) {
		return ""
	}
	text = regexp.MustCompile(`[A-Za-z0-9_-]{32,}`).ReplaceAllString(strings.TrimSpace(text), "…")
	if strings.ContainsFunc(text, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }) {
		return ""
	}
	if len(text) > maxSaid {
		text = strings.ToValidUTF8(text[:maxSaid], "") + "…"
	}
	return text
}

// certified reads what a certificate authority answers, and checks that it is for this key, now.
func (s *Signer) certified(answer []byte) ([]*x509.Certificate, error) {
	var list certificates
	if err := json.Unmarshal(answer, &list); err != nil {
		return nil, falsely("its answer is not JSON")
	}
	texts := slices.Concat(list.Embedded.Chain.Certificates, list.Detached.Chain.Certificates)
	if len(texts) == 0 || len(texts) > maxChain {
		return nil, falsely("its answer has %d certificates", len(texts))
	}
	var chain []*x509.Certificate
	for i, text := range texts {
		block, rest := pem.Decode([]byte(text))
		if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
			return nil, falsely("certificate %d is not one in PEM", i+1)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, falsely("certificate %d does not parse", i+1)
		}
		chain = append(chain, c)
	}
	leaf, now := chain[0], s.client.Now()
	switch {
	case !s.private.PublicKey.Equal(leaf.PublicKey):
		return nil, falsely("its certificate is for another key")
	case leaf.IsCA || !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageCodeSigning):
		return nil, falsely("its certificate is not for signing code")
	case now.After(leaf.NotAfter):
		return nil, falsely("its certificate expired at %s, it is %s now by this machine's clock", when(leaf.NotAfter), when(now))
	}
	for i, c := range chain[:len(chain)-1] {
		if err := c.CheckSignatureFrom(chain[i+1]); err != nil {
			return nil, falsely("certificate %d is not signed by the next one", i+1)
		}
	}
	return chain, nil
}

func when(t time.Time) string { return t.UTC().Format(time.RFC3339) }
