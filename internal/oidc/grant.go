package oidc

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// grant is what a sign-in brings.
type grant struct {
	nonce   string
	token   *oauth2.Token
	rawID   string // the ID token
	subject string // whom the ID token is about, whoever signed it
}

// attempt is an authorization request and its answer.
type attempt struct {
	state, nonce, verifier, code string
}

// authorize goes through the browser's part of the flow. change may alter the request.
func (k *checker) authorize(ctx context.Context, change func(*oauth2.Config)) (attempt, url.Values, error) {
	a := attempt{state: rand.Text(), nonce: rand.Text(), verifier: oauth2.GenerateVerifier()}
	k.hide(a.state, a.nonce, a.verifier)
	client := k.oauth()
	if change != nil {
		change(client)
	}
	address := client.AuthCodeURL(a.state, oauth2.SetAuthURLParam("nonce", a.nonce), oauth2.S256ChallengeOption(a.verifier))
	callback, err := k.Authorize(ctx, address)
	if err != nil {
		return a, nil, err
	}
	u, err := url.Parse(callback)
	if err != nil {
		return a, nil, errors.New("the service redirects to what is no address")
	}
	answer := u.Query()
	a.code = answer.Get("code")
	k.hide(a.code)
	u.RawQuery, u.Fragment = "", ""
	if want := client.RedirectURL; !strings.HasPrefix(callback, want) {
		return a, answer, fmt.Errorf("the service redirects to %s", u)
	}
	if e := answer.Get("error"); e != "" {
		return a, answer, fmt.Errorf("the service redirects with the error %s %s", e, answer.Get("error_description"))
	}
	if a.code == "" {
		return a, answer, errors.New("the service redirects without a code")
	}
	return a, answer, nil
}

// signIn gets tokens in the ordinary way.
func (k *checker) signIn(ctx context.Context) (*grant, bool) {
	var a attempt
	var answer url.Values
	if !k.try("authorization code", "a redirect to "+k.Redirect+" with a code", func() (string, bool) {
		var err error
		if a, answer, err = k.authorize(ctx, nil); err != nil {
			return err.Error(), false
		}
		return "as expected", true
	}) {
		return nil, false
	}
	k.try("authorization code: state", "the state of the request", func() (string, bool) {
		switch answer.Get("state") {
		case a.state:
			return "as expected", true
		case "":
			return "no state", false
		}
		return "another state", false
	})
	const name = "authorization code: iss"
	if !k.provider.NamesItself && !answer.Has("iss") {
		k.skip(name, k.Issuer, notOffered)
	} else {
		k.try(name, k.Issuer, func() (string, bool) { return answer.Get("iss"), answer.Get("iss") == k.Issuer })
	}
	g := &grant{nonce: a.nonce}
	return g, k.try("token response", "a bearer token and an ID token", func() (string, bool) {
		var err error
		if g.token, err = k.oauth().Exchange(ctx, a.code, oauth2.VerifierOption(a.verifier)); err != nil {
			return refusal(err), false
		}
		g.rawID, _ = g.token.Extra("id_token").(string)
		g.subject = part(g.rawID, 1, "sub")
		k.hideTokens(g.token)
		switch {
		case !strings.EqualFold(g.token.TokenType, "bearer"):
			return fmt.Sprintf("token_type %q", g.token.TokenType), false
		case g.rawID == "":
			return "no ID token", false
		}
		return "as expected", true
	})
}

func (k *checker) hideTokens(t *oauth2.Token) {
	id, _ := t.Extra("id_token").(string)
	k.hide(t.AccessToken, t.RefreshToken, id)
}

// refusal is a token endpoint's error: its status and its code (RFC 6749 section 5.2), never its text.
func refusal(err error) string {
	var e *oauth2.RetrieveError
	if !errors.As(err, &e) {
		return cause(err)
	}
	code := e.ErrorCode
	if code == "" {
		code = "without an error code"
	}
	return fmt.Sprintf("%d %s", e.Response.StatusCode, code)
}

// asymmetric are the algorithms that the holder of a public key can check (RFC 7518 section 3.1, RFC 8037).
var asymmetric = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA}

// leeway is how far clocks may be apart.
const leeway = 10 * time.Second

// judge looks at the ID token (OpenID Connect Core 1.0 section 3.1.3.7).
func (k *checker) judge(ctx context.Context, g *grant) {
	var token *oidc.IDToken
	if !k.try("ID token: signature", "by a key of the provider's, with an algorithm for public keys", func() (string, bool) {
		algorithm := part(g.rawID, 0, "alg")
		if !slices.Contains(asymmetric, algorithm) {
			return fmt.Sprintf("the algorithm %q", algorithm), false
		}
		keys := oidc.NewRemoteKeySet(oidc.ClientContext(ctx, k.http), k.provider.Keys)
		// Each of the claims is looked at below, with a name of its own.
		verifier := oidc.NewVerifier(k.Issuer, keys, &oidc.Config{SkipClientIDCheck: true, SkipExpiryCheck: true, SkipIssuerCheck: true, SupportedSigningAlgs: asymmetric})
		var err error
		if token, err = verifier.Verify(ctx, g.rawID); err != nil {
			return "not by any of the published keys: " + cause(err), false
		}
		return algorithm, true
	}) {
		return
	}
	k.try("ID token: iss", k.Issuer, func() (string, bool) { return token.Issuer, token.Issuer == k.Issuer })
	k.try("ID token: aud", k.ClientID, func() (string, bool) {
		return strings.Join(token.Audience, ", "), slices.Contains(token.Audience, k.ClientID)
	})
	k.try("ID token: exp", "in the future", func() (string, bool) { return ago(token.Expiry), time.Now().Before(token.Expiry) })
	k.try("ID token: iat", "now", func() (string, bool) {
		since := time.Since(token.IssuedAt)
		return ago(token.IssuedAt), since > -leeway && since < 5*time.Minute
	})
	k.try("ID token: nonce", "the nonce of the request", func() (string, bool) {
		switch token.Nonce {
		case g.nonce:
			return "as expected", true
		case "":
			return "no nonce", false
		}
		return "another nonce", false
	})
	const hash = "the hash of the access token"
	if token.AccessTokenHash == "" { // optional in this flow (section 3.1.3.6)
		k.skip("ID token: at_hash", hash, notOffered)
		return
	}
	k.try("ID token: at_hash", hash, func() (string, bool) {
		if err := token.VerifyAccessToken(g.token.AccessToken); err != nil {
			return "another hash", false
		}
		return "as expected", true
	})
}

func ago(t time.Time) string {
	d := time.Since(t).Round(time.Second)
	switch {
	case t.IsZero() || t.Unix() == 0:
		return "none"
	case d < 0:
		return fmt.Sprint("in ", -d)
	}
	return fmt.Sprint(d, " ago")
}

// part is a text in the header (0) or the claims (1) of a token that nobody has looked at yet, "" if there is none.
func part(token string, index int, name string) string {
	parts := strings.Split(token, ".")
	if len(parts) <= index {
		return ""
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[index])
	var values map[string]any
	if err != nil || json.Unmarshal(b, &values) != nil {
		return ""
	}
	s, _ := values[name].(string)
	return s
}

// ask asks the userinfo endpoint.
func (k *checker) ask(ctx context.Context, accessToken string) (subject string, res *http.Response, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.provider.Userinfo, nil)
	if err != nil {
		return "", nil, err
	}
	req.Header.Set("Authorization", "Bearer "+accessToken)
	if res, err = k.http.Do(req); err != nil {
		return "", nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, mostBody))
	if err != nil || res.StatusCode != http.StatusOK {
		return "", res, err
	}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "application/jwt") { // Core 1.0 section 5.3.2
		return part(string(body), 1, "sub"), res, nil
	}
	var claims struct {
		Subject string `json:"sub"`
	}
	if err := json.Unmarshal(body, &claims); err != nil {
		return "", res, errors.New("no JSON")
	}
	return claims.Subject, res, nil
}

// about tells whether an access token is taken, and for the right subject.
func (k *checker) about(ctx context.Context, accessToken, want string) (string, bool) {
	subject, res, err := k.ask(ctx, accessToken)
	switch {
	case err != nil:
		return cause(err), false
	case res.StatusCode != http.StatusOK:
		return res.Status, false
	case subject == "":
		return "no sub", false
	case subject != want:
		return "another sub", false
	}
	return "as expected", true
}

func (k *checker) userinfo(ctx context.Context, g *grant) {
	const want = "the sub of the ID token"
	if k.provider.Userinfo == "" {
		k.skip("userinfo", want, notOffered)
		return
	}
	k.try("userinfo", want, func() (string, bool) { return k.about(ctx, g.token.AccessToken, g.subject) })
}

// refresh gets new tokens by the refresh token, and notes whether that is replaced.
func (k *checker) refresh(ctx context.Context, g *grant) {
	const want = "a new access token that works"
	if g.token.RefreshToken == "" {
		k.skip("refresh", want, notOffered)
		return
	}
	k.try("refresh", want, func() (string, bool) {
		fresh, err := k.oauth().TokenSource(ctx, &oauth2.Token{RefreshToken: g.token.RefreshToken}).Token()
		if err != nil {
			return refusal(err), false
		}
		k.hideTokens(fresh)
		seen := "as expected; the refresh token stays"
		if fresh.RefreshToken != g.token.RefreshToken {
			seen = "as expected; the refresh token is replaced"
		}
		old := g.token.AccessToken
		g.token = fresh
		if fresh.AccessToken == old {
			return "the old access token", false
		}
		if k.provider.Userinfo == "" {
			return seen, true
		}
		if why, ok := k.about(ctx, fresh.AccessToken, g.subject); !ok {
			return "a new access token, but with it userinfo answers: " + why, false
		}
		return seen, true
	})
}

// revocation revokes the refresh token (RFC 7009), which is not to be taken after that.
func (k *checker) revocation(ctx context.Context, g *grant) {
	const want = "200, and the refresh token is then refused with invalid_grant"
	if k.provider.Revocation == "" || g.token.RefreshToken == "" {
		k.skip("revocation", want, notOffered)
		return
	}
	k.try("revocation", want, func() (string, bool) {
		form := url.Values{"token": {g.token.RefreshToken}, "token_type_hint": {"refresh_token"}}
		client := k.oauth()
		if client.Endpoint.AuthStyle == oauth2.AuthStyleInParams {
			form.Set("client_id", k.ClientID)
			form.Set("client_secret", k.ClientSecret)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, k.provider.Revocation, strings.NewReader(form.Encode()))
		if err != nil {
			return err.Error(), false
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if client.Endpoint.AuthStyle == oauth2.AuthStyleInHeader {
			req.SetBasicAuth(url.QueryEscape(k.ClientID), url.QueryEscape(k.ClientSecret)) // encoded: RFC 6749 section 2.3.1
		}
		res, err := k.http.Do(req)
		if err != nil {
			return cause(err), false
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return "the revocation: " + res.Status, false
		}
		fresh, err := client.TokenSource(ctx, &oauth2.Token{RefreshToken: g.token.RefreshToken}).Token()
		if err == nil {
			k.hideTokens(fresh)
			return "200, but the refresh token still brings tokens", false
		}
		return "200, then " + refusal(err), refusedWith(err, "invalid_grant")
	})
}

// refusedWith tells whether a token endpoint refused, with one of the codes.
func refusedWith(err error, codes ...string) bool {
	var e *oauth2.RetrieveError
	return errors.As(err, &e) && (e.Response.StatusCode == http.StatusBadRequest || e.Response.StatusCode == http.StatusUnauthorized) &&
		slices.Contains(codes, e.ErrorCode)
}
