package oidc

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// refusedAtToken tries what the token endpoint must refuse, each with a code of its own, since a provider may well take a code that was
// misused for spent.
func (k *checker) refusedAtToken(ctx context.Context) {
	type try struct {
		name   string
		change func(*oauth2.Config)
		sent   func(attempt) []oauth2.AuthCodeOption
		first  bool // the code is used in the ordinary way before
		codes  []string
	}
	verifier := func(a attempt) []oauth2.AuthCodeOption {
		return []oauth2.AuthCodeOption{oauth2.VerifierOption(a.verifier)}
	}
	same := func(*oauth2.Config) {}
	tries := []try{
		// Some libraries call a missing or wrong parameter invalid_request, as RFC 6749 section 5.2 can be read.
		{"missing verifier", same, func(attempt) []oauth2.AuthCodeOption { return nil }, false, []string{"invalid_grant", "invalid_request"}},
		{"wrong verifier", same, func(attempt) []oauth2.AuthCodeOption {
			return []oauth2.AuthCodeOption{oauth2.VerifierOption(oauth2.GenerateVerifier())}
		}, false, []string{"invalid_grant"}},
		{"reused code", same, verifier, true, []string{"invalid_grant"}},
		{"code for another redirect address", func(c *oauth2.Config) { c.RedirectURL = longer(k.Redirect) }, verifier, false, []string{"invalid_grant", "invalid_request", "invalid_client"}}, // the last is what some say of an address that is not the client's
		{"wrong client secret", func(c *oauth2.Config) { c.ClientSecret = "not-" + rand.Text() }, verifier, false, []string{"invalid_client"}},
		{"wrong client id", func(c *oauth2.Config) { c.ClientID = "not-" + rand.Text() }, verifier, false, []string{"invalid_client"}},
	}
	for _, t := range tries {
		name, expected := "refused: "+t.name, "a refusal with "+strings.Join(t.codes, " or ")
		if t.name == "wrong client secret" && k.ClientSecret == "" {
			k.skip(name, expected, "not tried: the client has no secret")
			continue
		}
		k.try(name, expected, func() (string, bool) {
			a, _, err := k.authorize(ctx, nil)
			if err != nil {
				return "no code to try it with: " + err.Error(), false
			}
			if t.first {
				token, err := k.oauth().Exchange(ctx, a.code, verifier(a)...)
				if err != nil {
					return "the first use is refused too: " + refusal(err), false
				}
				k.hideTokens(token)
			}
			client := k.oauth()
			t.change(client)
			token, err := client.Exchange(ctx, a.code, t.sent(a)...)
			if err == nil {
				k.hideTokens(token)
				return "tokens", false
			}
			return refusal(err), refusedWith(err, t.codes...)
		})
	}
}

// refusedAtUserinfo tries access tokens that are none.
func (k *checker) refusedAtUserinfo(ctx context.Context, g *grant) {
	const expected = "401 with WWW-Authenticate that says invalid_token or nothing"
	access := g.token.AccessToken
	garbled, unsigned, expired := "refused: garbled access token", "refused: access token without signature", "refused: expired access token"
	if k.provider.Userinfo == "" {
		for _, name := range []string{garbled, unsigned, expired} {
			k.skip(name, expected, "not tried: there is no userinfo endpoint")
		}
		return
	}
	refused := func(token string) func() (string, bool) {
		return func() (string, bool) {
			k.hide(token)
			_, res, err := k.ask(ctx, token)
			if err != nil {
				return cause(err), false
			}
			return unauthorized(res)
		}
	}
	k.try(garbled, expected, refused(garble(access)))
	if parts := strings.Split(access, "."); len(parts) == 3 && part(access, 0, "alg") != "" {
		none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`))
		k.try(unsigned, expected, refused(none+"."+parts[1]+"."))
	} else {
		k.skip(unsigned, expected, "not tried: access tokens have no signature of their own")
	}
	life := time.Until(g.token.Expiry)
	switch {
	case g.token.Expiry.IsZero():
		k.skip(expired, expected, "not tried: the token response does not say when the token expires")
	case life > k.Expiry:
		k.skip(expired, expected, fmt.Sprintf("not tried: the token lives for %v, and %v is as long as to wait", life.Round(time.Second), k.Expiry))
	default:
		k.try(expired, expected, func() (string, bool) {
			select {
			case <-ctx.Done():
				return ctx.Err().Error(), false
			case <-time.After(life + time.Second):
			}
			return refused(access)()
		})
	}
}

// garble changes a character in the middle of a token.
func garble(token string) string {
	b := []byte(token)
	// Of a signed token the middle is in what is signed; the last character may have bits that do not count.
	if i := len(b) / 2; b[i] == 'A' {
		b[i] = 'B'
	} else {
		b[i] = 'A'
	}
	return string(b)
}

// unauthorized judges a refusal of an access token (RFC 6750 section 3).
func unauthorized(res *http.Response) (string, bool) {
	challenge := res.Header.Get("WWW-Authenticate")
	seen := res.Status
	switch {
	case res.StatusCode != http.StatusUnauthorized:
		return seen, false
	case challenge == "":
		return seen + " without WWW-Authenticate", false
	case strings.Contains(challenge, "error=") && !strings.Contains(challenge, "invalid_token"):
		return seen + " with another error than invalid_token", false
	}
	return seen, true
}

// longer is an address below another: registered addresses are compared whole (RFC 9700 section 2.1).
func longer(redirect string) string {
	return strings.TrimSuffix(redirect, "/") + "/elsewhere"
}

// refusedAtAuthorization tries requests whose answer must not go where they say, since that may be anybody's (RFC 6749 section 4.1.2.1).
func (k *checker) refusedAtAuthorization(ctx context.Context, signedIn bool) {
	const attacker = "http://attacker.invalid/callback"
	turned := false // whether a user was turned away
	for _, t := range []struct {
		name, redirect string
		change         func(*oauth2.Config)
	}{
		{"redirect to another host", attacker, func(c *oauth2.Config) { c.RedirectURL = attacker }},
		{"redirect below the registered address", longer(k.Redirect), func(c *oauth2.Config) { c.RedirectURL = longer(k.Redirect) }},
		{"unknown client", k.Redirect, func(c *oauth2.Config) { c.ClientID = "not-" + rand.Text() }},
	} {
		k.try("refused: "+t.name, "no redirect to "+t.redirect, func() (string, bool) {
			client := k.oauth()
			t.change(client)
			seen, ok, sure := k.turnedAway(ctx, client)
			if sure || !signedIn {
				return seen, ok
			}
			// Some look at the request only once people have signed in.
			limited, cancel := context.WithTimeout(ctx, refusalTime)
			defer cancel()
			_, answer, err := k.authorize(limited, t.change)
			if answer == nil && err != nil && ctx.Err() == nil {
				turned = true
				return "no redirect for somebody who has signed in", true
			}
			return "a redirect there", false
		})
	}
	// Nobody who can't sign in at all was refused for what was asked.
	if turned {
		k.try("authorization code: again", "a redirect to "+k.Redirect+" with a code, after the refusals", func() (string, bool) {
			if _, _, err := k.authorize(ctx, nil); err != nil {
				return err.Error(), false
			}
			return "as expected", true
		})
	}
}

// turnedAway asks as somebody who has not signed in. It is sure if the answer is an error or the redirect that must not be.
func (k *checker) turnedAway(ctx context.Context, client *oauth2.Config) (seen string, ok, sure bool) {
	address := client.AuthCodeURL(rand.Text(), oauth2.SetAuthURLParam("nonce", rand.Text()), oauth2.S256ChallengeOption(oauth2.GenerateVerifier()))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return cause(err), false, true
	}
	res, err := k.http.Do(req)
	if err != nil {
		return cause(err), false, true
	}
	defer res.Body.Close()
	location := res.Header.Get("Location")
	switch {
	case location != "" && strings.HasPrefix(location, client.RedirectURL):
		return "a redirect there", false, true
	case res.StatusCode >= 500:
		return res.Status, false, true
	case res.StatusCode >= 400:
		return res.Status, true, true
	}
	if u, err := url.Parse(location); err == nil && u.Host != "" {
		return "a redirect to " + origin(location), true, false
	}
	return res.Status, true, false
}
