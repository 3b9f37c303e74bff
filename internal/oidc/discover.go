package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// metadata is what is read of a provider's discovery document (RFC 8414 section 2, OpenID Connect Discovery 1.0 section 3).
type metadata struct {
	Issuer           string   `json:"issuer"`
	Authorization    string   `json:"authorization_endpoint"`
	Token            string   `json:"token_endpoint"`
	Userinfo         string   `json:"userinfo_endpoint"`
	Keys             string   `json:"jwks_uri"`
	Revocation       string   `json:"revocation_endpoint"`
	AuthMethods      []string `json:"token_endpoint_auth_methods_supported"`
	ChallengeMethods []string `json:"code_challenge_methods_supported"`
	NamesItself      bool     `json:"authorization_response_iss_parameter_supported"` // RFC 9207
}

// mostBody bounds what is read of an answer, in bytes.
const mostBody = 1 << 20

// get reads JSON.
func (k *checker) get(ctx context.Context, address string, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	res, err := k.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, mostBody))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: answers %s", address, res.Status)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("GET %s: is no JSON of that kind: %w", address, err)
	}
	return nil
}

// discover reads the discovery document. It tells whether there is enough in it to go on.
func (k *checker) discover(ctx context.Context) bool {
	p := &k.provider
	ok := k.try("discovery: document", "JSON with the authorization, token and key endpoints", func() (string, bool) {
		if err := k.get(ctx, strings.TrimSuffix(k.Issuer, "/")+"/.well-known/openid-configuration", p); err != nil {
			return err.Error(), false
		}
		for _, e := range []struct{ name, address string }{
			{"authorization_endpoint", p.Authorization}, {"token_endpoint", p.Token}, {"jwks_uri", p.Keys},
		} {
			if e.address == "" {
				return "no " + e.name, false
			}
		}
		return "as expected", true
	})
	if !ok {
		return false
	}
	if p.Revocation == "" {
		p.Revocation = k.Revocation
	}
	k.try("discovery: issuer", k.Issuer, func() (string, bool) { return p.Issuer, p.Issuer == k.Issuer })
	allowed := append([]string{origin(k.Issuer)}, k.Elsewhere...)
	k.try("discovery: endpoints", "all at "+strings.Join(allowed, " or "), func() (string, bool) {
		var others []string
		for _, e := range []struct{ name, address string }{
			{"authorization_endpoint", p.Authorization}, {"token_endpoint", p.Token}, {"userinfo_endpoint", p.Userinfo},
			{"jwks_uri", p.Keys}, {"revocation_endpoint", p.Revocation},
		} {
			if e.address != "" && !slices.Contains(allowed, origin(e.address)) {
				others = append(others, e.name+" at "+origin(e.address))
			}
		}
		if len(others) > 0 {
			return strings.Join(others, ", ") + ": the service does not know the address it is reached at", false
		}
		return "as expected", true
	})
	k.try("discovery: PKCE", "code_challenge_methods_supported has S256", func() (string, bool) {
		return fmt.Sprintf("%q", p.ChallengeMethods), slices.Contains(p.ChallengeMethods, "S256")
	})
	return true
}

// keys looks at the published keys: they are public ones, and nothing of a private or shared key is among them.
func (k *checker) keys(ctx context.Context) {
	k.try("keys", "at least one public signing key, and no private or shared one", func() (string, bool) {
		var set jose.JSONWebKeySet
		if err := k.get(ctx, k.provider.Keys, &set); err != nil {
			return err.Error(), false
		}
		signing := 0
		for _, key := range set.Keys {
			if !key.Valid() {
				return "a key is not valid", false
			}
			if !key.IsPublic() {
				return fmt.Sprintf("key %q is a private or a shared one", key.KeyID), false
			}
			if key.Use == "" || key.Use == "sig" {
				signing++
			}
		}
		return fmt.Sprintf("%d public signing keys", signing), signing > 0
	})
}

// cause is an error as a finding has it: the innermost, since the outer ones repeat the whole address.
func cause(err error) string {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err.Error()
}
