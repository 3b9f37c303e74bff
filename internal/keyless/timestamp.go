package keyless

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"slices"

	"github.com/digitorus/timestamp"
)

// maxTimestamp is the largest answer, in bytes. One with a chain of certificates has some thousand.
const maxTimestamp = 64 << 10

// Timestamp implements attest.Certified. The error is an *Error, or the context's.
func (s *Signer) Timestamp(ctx context.Context, data []byte) ([]byte, error) {
	answer, err := s.stamp(ctx, data)
	switch {
	case err == nil:
		return answer, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	var status *statusError
	if errors.As(err, &status) {
		status.said = said(status.said, nil)
	}
	return nil, s.fail("timestamp", s.timestamp, err)
}

func (s *Signer) stamp(ctx context.Context, data []byte) ([]byte, error) {
	nonce, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	request, err := (&timestamp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: sum[:], Certificates: true, Nonce: nonce}).Marshal()
	if err != nil {
		return nil, err
	}
	header := http.Header{"Content-Type": {"application/timestamp-query"}, "Accept": {"application/timestamp-reply"}}
	if s.client.Authorize != nil {
		u, err := url.Parse(s.timestamp)
		if err != nil {
			return nil, err
		}
		credentials, err := s.client.Authorize(u)
		if err != nil {
			return nil, err
		}
		if credentials != "" {
			header.Set("Authorization", credentials)
		}
	}
	answer, err := s.client.post(ctx, s.timestamp, header, request, maxTimestamp)
	if err != nil {
		return nil, err
	}
	return answer, s.stamped(answer, sum[:], nonce)
}

// stamped checks a timestamp authority's answer.
func (s *Signer) stamped(answer, sum []byte, nonce *big.Int) error {
	t, err := timestamp.ParseResponse(answer) // which verifies the signature by the certificate that is in it
	if err != nil {
		return falsely("its answer is no timestamp: %q", said(err.Error(), nil))
	}
	leaf := s.chain[0]
	switch {
	case t.HashAlgorithm != crypto.SHA256 || !bytes.Equal(t.HashedMessage, sum):
		return falsely("its timestamp is of something else")
	case t.Nonce == nil || t.Nonce.Cmp(nonce) != 0:
		return falsely("its timestamp answers another question")
	case !slices.ContainsFunc(t.Certificates, forTimestamps):
		return falsely("its timestamp has no certificate for timestamps with it")
	case t.Time.Before(leaf.NotBefore) || t.Time.After(leaf.NotAfter):
		return &clockError{fmt.Sprintf("its timestamp is of %s, the certificate for the key lives from %s to %s", when(t.Time), when(leaf.NotBefore), when(leaf.NotAfter))}
	}
	return nil
}

// forTimestamps tells whether a certificate is one of a timestamp authority (RFC 3161, 2.3).
func forTimestamps(c *x509.Certificate) bool {
	return slices.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping})
}

// clockError says that two authorities do not agree on the time.
type clockError struct{ what string }

func (e *clockError) Error() string { return e.what }
