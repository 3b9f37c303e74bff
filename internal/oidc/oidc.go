package oidc

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// Config says what to check, and as whom.
type Config struct {
	Issuer       string // as the provider is to name itself: http://127.0.0.1:9000/application/o/shop/
	ClientID     string
	ClientSecret string // "" for a public client
	Redirect     string // the client's registered redirect address; nothing needs to answer there
	Scopes       []string
	HTTP         *http.Client  // nil means one that waits for 15 seconds
	Revocation   string        // where tokens are revoked, for providers whose discovery document does not say; "" means only where it says
	Elsewhere    []string      // origins that endpoints may have besides the issuer's: https://api.shop.example
	Expiry       time.Duration // how long to wait for an access token to expire, where that is soon enough; 0 means 10 seconds

	// Authorize goes to an address as a user who signs in and agrees, and returns the address that the service then redirects to: the one
	// that begins with the redirect_uri in the address it was given (Target tells), which is not always Redirect. It is called several times,
	// and is to return an error where the service redirects to no such address.
	Authorize func(ctx context.Context, address string) (callback string, err error)
}

// Finding is what came of one check.
type Finding struct {
	Name     string // "refused: reused code"
	Expected string
	Seen     string
	OK       bool
	Took     time.Duration
}

// Target is where the answer to an authorization request goes: its redirect_uri.
func Target(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Query().Get("redirect_uri")
}

// refusalTime is how long it may take a user to be turned away.
const refusalTime = 15 * time.Second

// Check tries everything, in an order in which no try spoils another, and returns the findings in that order. Where people can't get in, it
// ends there.
func Check(ctx context.Context, c Config) []Finding {
	if c.HTTP == nil {
		c.HTTP = &http.Client{Timeout: 15 * time.Second}
	}
	if c.Expiry == 0 {
		c.Expiry = 10 * time.Second
	}
	// An endpoint that redirects would have secrets sent elsewhere.
	client := *c.HTTP
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	k := &checker{Config: c, http: &client}
	k.hide(c.ClientSecret)
	k.check(context.WithValue(ctx, oauth2.HTTPClient, k.http))
	for i := range k.findings {
		k.findings[i].Seen = k.hidden(k.findings[i].Seen)
	}
	return k.findings
}

type checker struct {
	Config
	http     *http.Client
	provider metadata
	findings []Finding
	secrets  []string
}

func (k *checker) check(ctx context.Context) {
	if !k.discover(ctx) {
		return
	}
	k.keys(ctx)
	g, ok := k.signIn(ctx)
	if ok {
		k.judge(ctx, g)
		k.userinfo(ctx, g)
		k.refusedAtUserinfo(ctx, g)
		k.refresh(ctx, g)
		k.revocation(ctx, g)
		k.refusedAtToken(ctx)
	}
	k.refusedAtAuthorization(ctx, ok)
}

// try does one check: it returns what was seen, and whether that is right.
func (k *checker) try(name, expected string, check func() (seen string, ok bool)) bool {
	began := time.Now()
	seen, ok := check()
	k.findings = append(k.findings, Finding{Name: name, Expected: expected, Seen: seen, OK: ok, Took: time.Since(began)})
	return ok
}

// notOffered is seen of what a provider need not have.
const notOffered = "not offered"

// skip notes what the provider does not offer, or what can't be tried with it, and why.
func (k *checker) skip(name, expected, seen string) {
	k.findings = append(k.findings, Finding{Name: name, Expected: expected, Seen: seen, OK: true})
}

// hide keeps a secret out of all findings.
func (k *checker) hide(secrets ...string) {
	for _, s := range secrets {
		if s == "" {
			continue
		}
		k.secrets = append(k.secrets, s)
		if e := url.QueryEscape(s); e != s {
			k.secrets = append(k.secrets, e)
		}
	}
}

// query is what an address has behind its path.
var query = regexp.MustCompile(`(https?://[^\s?#"'<>()]+)[?#][^\s"'<>()…][^\s"'<>()]*`)

func (k *checker) hidden(s string) string {
	slices.SortFunc(k.secrets, func(a, b string) int { return len(b) - len(a) }) // one may be a part of another
	for _, secret := range k.secrets {
		s = strings.ReplaceAll(s, secret, "•••")
	}
	return query.ReplaceAllString(s, "$1?…")
}

// oauth is the client as the library has it.
func (k *checker) oauth() *oauth2.Config {
	style := oauth2.AuthStyleInHeader
	methods := k.provider.AuthMethods
	if k.ClientSecret == "" || len(methods) > 0 && !slices.Contains(methods, "client_secret_basic") && slices.Contains(methods, "client_secret_post") {
		style = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{
		ClientID: k.ClientID, ClientSecret: k.ClientSecret, RedirectURL: k.Redirect, Scopes: k.Scopes,
		Endpoint: oauth2.Endpoint{AuthURL: k.provider.Authorization, TokenURL: k.provider.Token, AuthStyle: style},
	}
}

func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return fmt.Sprintf("%q", address)
	}
	return u.Scheme + "://" + u.Host
}
