package oidc_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/oidc"
)

// revocation is where a provider is told to revoke tokens that does not say where.
func revocation(p *provider) string {
	if p.fault == "revoke: is not told of" {
		return p.base + "/revoke"
	}
	return ""
}

// check lets a provider with a fault be checked, and sees to it that no finding has a secret in it.
func check(t *testing.T, p *provider) []oidc.Finding {
	t.Helper()
	findings := oidc.Check(t.Context(), oidc.Config{
		Issuer: p.base, ClientID: clientID, ClientSecret: secret, Redirect: redirect, Scopes: []string{"openid", "offline_access"}, Authorize: visit,
		Expiry: 5 * time.Second, Revocation: revocation(p),
	})
	all := fmt.Sprintf("%+v", findings)
	p.mu.Lock()
	defer p.mu.Unlock()
	for code := range p.codes {
		if strings.Contains(all, code) {
			t.Errorf("a code is in %s", all)
		}
	}
	for token := range p.refresh {
		if strings.Contains(all, token) {
			t.Errorf("a token is in %s", all)
		}
	}
	for _, s := range []string{secret, "c1ient+secret", "eyJ", "state=", "nonce="} {
		if strings.Contains(all, s) {
			t.Errorf("%s is in %s", s, all)
		}
	}
	return findings
}

func failed(findings []oidc.Finding) []string {
	var names []string
	for _, f := range findings {
		if !f.OK {
			names = append(names, f.Name)
		}
	}
	return names
}

// A provider that does all things right is found to, every time.
func TestHealthy(t *testing.T) {
	for i := range 20 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			life := time.Hour
			if i == 0 {
				life = 3 * time.Second
			}
			findings := check(t, newProvider(t, "", life))
			if names := failed(findings); names != nil || len(findings) < 27 {
				t.Errorf("%d findings, failed: %q\n%+v", len(findings), names, findings)
			}
			for _, f := range findings {
				if strings.HasPrefix(f.Seen, "not ") && life < time.Hour {
					t.Errorf("%s: %s", f.Name, f.Seen)
				}
			}
		})
	}
}

// A provider that has revocation but does not say so can be told where it is.
func TestRevocationElsewhere(t *testing.T) {
	for _, f := range check(t, newProvider(t, "revoke: is not told of", time.Hour)) {
		if f.Name == "revocation" && f.Seen != "200, then 400 invalid_grant" {
			t.Errorf("%+v", f)
		}
	}
}

// What a provider does not offer is no failure, and said.
func TestLittleIsOffered(t *testing.T) {
	findings := check(t, newProvider(t, "little is offered", time.Hour))
	if names := failed(findings); names != nil {
		t.Errorf("failed: %q", names)
	}
	var not []string
	for _, f := range findings {
		if strings.HasPrefix(f.Seen, "not ") {
			not = append(not, f.Name+": "+f.Seen)
		}
	}
	want := []string{"authorization code: iss: not offered", "ID token: at_hash: not offered", "userinfo: not offered",
		"refused: garbled access token: not tried: there is no userinfo endpoint",
		"refused: access token without signature: not tried: there is no userinfo endpoint",
		"refused: expired access token: not tried: there is no userinfo endpoint",
		"refresh: not offered", "revocation: not offered"}
	if diff := cmp.Diff(want, not); diff != "" {
		t.Error(diff)
	}
}

// Every fault is found, and by the check that is named for it.
func TestFaults(t *testing.T) {
	for fault, want := range map[string][]string{
		"discovery: another issuer":               {"discovery: issuer"},
		"discovery: another host":                 {"discovery: endpoints"},
		"discovery: no PKCE":                      {"discovery: PKCE"},
		"discovery: no token endpoint":            {"discovery: document"},
		"keys: the private one":                   {"keys", "ID token: signature"},
		"authorize: denies":                       {"authorization code"},
		"authorize: no state":                     {"authorization code: state"},
		"authorize: another state":                {"authorization code: state"},
		"authorize: of another issuer":            {"authorization code: iss"},
		"authorize: any redirect":                 {"refused: redirect to another host", "refused: redirect below the registered address"},
		"authorize: redirect by prefix":           {"refused: redirect below the registered address"},
		"authorize: any client":                   {"refused: unknown client"},
		"authorize: refuses late":                 nil,
		"authorize: locks people out":             {"authorization code: again"},
		"token: any client":                       {"refused: wrong client id"},
		"token: any secret":                       {"refused: wrong client secret"},
		"token: another error for a wrong secret": {"refused: wrong client secret"},
		"token: any verifier":                     {"refused: wrong verifier"},
		"token: no verifier":                      {"refused: missing verifier"},
		"token: codes for ever":                   {"refused: reused code"},
		"token: any redirect":                     {"refused: code for another redirect address"},
		"token: no ID token":                      {"token response"},
		"token: of another type":                  {"token response"},
		"refresh: refused":                        {"refresh"},
		"refresh: for another":                    {"refresh"},
		"refresh: stays":                          nil,
		"revoke: fails":                           {"revocation"},
		"revoke: nothing":                         {"revocation"},
		"ID token: another issuer":                {"ID token: iss"},
		"ID token: for another":                   {"ID token: aud"},
		"ID token: expired":                       {"ID token: exp"},
		"ID token: old":                           {"ID token: iat"},
		"ID token: no nonce":                      {"ID token: nonce"},
		"ID token: another nonce":                 {"ID token: nonce"},
		"ID token: another hash":                  {"ID token: at_hash"},
		"ID token: another key":                   {"ID token: signature"},
		"ID token: shared key":                    {"ID token: signature"},
		"ID token: no signature":                  {"ID token: signature"},
		"userinfo: fails":                         {"userinfo", "refresh"},
		"userinfo: of another":                    {"userinfo", "refresh"},
		"userinfo: forbidden":                     {"refused: garbled access token", "refused: access token without signature", "refused: expired access token"},
		"userinfo: no challenge":                  {"refused: garbled access token", "refused: access token without signature", "refused: expired access token"},
		"userinfo: takes any token":               {"refused: garbled access token", "refused: access token without signature", "refused: expired access token"},
		"userinfo: takes unsigned tokens":         {"refused: access token without signature"},
		"userinfo: takes expired tokens":          {"refused: expired access token"},
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			life := time.Hour
			if slices.Contains(want, "refused: expired access token") {
				life = 3 * time.Second
			}
			findings := check(t, newProvider(t, fault, life))
			if diff := cmp.Diff(want, failed(findings)); diff != "" {
				t.Errorf("%s\n%+v", diff, findings)
			}
		})
	}
}
