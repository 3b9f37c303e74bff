// Package oidc tries an OpenID Connect provider as an application that signs people in through it: what must work, and what must be refused.
//
// A check is a list of findings. Each has a name, what was expected and what was seen; none has a secret, a code or a token in it. What a
// provider does not offer is a finding that says so and is no failure. The specifications are RFC 6749 (OAuth 2.0), 6750 (bearer tokens), 7009
// (revocation), 7636 (PKCE), 8414 (metadata), 9207 (issuer in the answer) and OpenID Connect Core and Discovery 1.0.
//
//	findings := oidc.Check(ctx, oidc.Config{
//		Issuer: "http://127.0.0.1:9000", ClientID: id, ClientSecret: secret, Redirect: "http://app.invalid/callback",
//		Scopes: []string{"openid", "profile"}, Authorize: signInWithBrowser,
//	})
package oidc
