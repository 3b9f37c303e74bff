// Package keyless signs for who has no key of one's own but somebody who vouches for him: an issuer of identity tokens (OpenID Connect).
//
// A Signer's key is made for one run and never leaves memory. A certificate authority (Fulcio) takes an identity token and gives a certificate
// for the key, which names the identity and lives for minutes. So each signature is timestamped by a timestamp authority (RFC 3161): who
// verifies it later knows by that that it was made while the certificate lived. No log of others is told of it.
//
// What both answer is checked as far as that goes without knowing their roots: the certificate is for this key, each certificate is signed by the
// next; a timestamp is of these data and answers this question, comes with a certificate for timestamps, and is of a time at which the
// certificate for the key lived. Whether the authorities are the right ones, whoever verifies decides.
//
// The token is a secret: it is sent to the certificate authority, and is in no error and no text that is printed.
//
//	token, err := keyless.ParseToken(data)
//	signer, err := keyless.New(ctx, token, keyless.Options{Fulcio: "https://fulcio.example", Timestamp: "https://time.example/api/v1/timestamp"})
//	attachments, err := attest.Attachments(ctx, signer, digest, "registry.example/team/service", statements...)
//
// Specification: Fulcio's API v2 (fulcio.proto, CreateSigningCertificate), RFC 3161 (2.4 and 3.4), RFC 5280.
package keyless

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"headwater/internal/attest"
)

// Options say who is asked, and how. The zero value of each field but the addresses means the default.
type Options struct {
	Fulcio    string // address of the certificate authority; its API's paths are below it
	Timestamp string // address that takes requests for timestamps

	Authorize func(*url.URL) (string, error)             // the Authorization header for the timestamp authority, "" for none; default: none
	Proxy     func(*http.Request) (*url.URL, error)      // default: none
	Agent     string                                     // User-Agent; default "headwater"
	Now       func() time.Time                           // default: time.Now
	Connect   time.Duration                              // how long a connection may take; default 10 s
	Deadline  time.Duration                              // for an answer as a whole; default 30 s
	Retries   int                                        // how often what may pass is tried again; default 2, less than 0 never
	Wait      func(context.Context, time.Duration) error // between tries; default: as long as it is told
	HTTP      http.RoundTripper                          // default: a transport of its own
}

// Signer signs with a key that it has a certificate for. It is an attest.Certified.
type Signer struct {
	private   *ecdsa.PrivateKey
	hint      string
	chain     []*x509.Certificate
	timestamp string
	client    *client
}

// New makes a key and has it certified. The error is a *TokenError, an *AddressError, an *Error, or the context's.
func New(ctx context.Context, token *Token, o Options) (*Signer, error) {
	fulcio, err := ParseAddress(o.Fulcio)
	if err != nil {
		return nil, err
	}
	authority, err := ParseAddress(o.Timestamp)
	if err != nil {
		return nil, err
	}
	client := newClient(o)
	if err := token.Valid(client.Now()); err != nil {
		return nil, err
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	sum := sha256.Sum256(der)
	s := &Signer{private: private, hint: base64.StdEncoding.EncodeToString(sum[:]), timestamp: authority.String(), client: client}
	s.chain, err = s.certify(ctx, fulcio.String(), token, der)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// String tells for whom the certificate is; the key stays hidden.
func (s *Signer) String() string {
	identity, issuer := attest.IdentityOf(s.chain[0])
	return fmt.Sprintf("a certificate for %s by the word of %s", identity, issuer)
}

// GoString hides the key.
func (s *Signer) GoString() string { return s.String() }

// Hint implements attest.Signer.
func (s *Signer) Hint() string { return s.hint }

// Chain implements attest.Certified.
func (s *Signer) Chain() []*x509.Certificate { return s.chain }

// Sign implements attest.Signer. Without a random source it does it by RFC 6979, as a lasting key does.
func (s *Signer) Sign(message []byte) ([]byte, error) {
	sum := sha256.Sum256(message)
	sig, err := s.private.Sign(nil, sum[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return sig, nil
}

// ParseAddress reads the address of an authority: http or https, without credentials, query and fragment. The error is an *AddressError.
func ParseAddress(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil: // which repeats the address, that may have a password
		return nil, &AddressError{"it does not parse"}
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return nil, &AddressError{"it is not of http or https"}
	case u.User != nil:
		return nil, &AddressError{"it has credentials"}
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, &AddressError{"it has a query or a fragment"}
	}
	return u, nil
}
