package verify

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"headwater/internal/browser"
	"headwater/internal/oidc"
	"headwater/internal/proof"
	"headwater/internal/recipe"
)

// oauth2 signs in at an application that trusts the service, and tries what must be refused. Each time a person goes there, it is in a page
// without cookies, so that all of the recipe's steps apply.
func (c *checker) oauth2(ctx context.Context, base string, check recipe.Check) outcome {
	o := check.OAuth2
	config := oidc.Config{Issuer: base + o.Issuer, HTTP: &http.Client{Transport: c.http.Transport, Timeout: c.limit / stepsInTime}, Scopes: scopes(o.Scopes)}
	for _, p := range []struct {
		to   *string
		from string
	}{{&config.ClientID, o.ClientID}, {&config.ClientSecret, o.ClientSecret}, {&config.Redirect, o.Redirect}} {
		var err error
		if *p.to, err = c.expand(p.from); err != nil {
			return failed("an application that the service knows", err.Error())
		}
	}
	c.secrets.add(config.ClientSecret)
	if o.Revocation != "" {
		config.Revocation = base + o.Revocation
	}
	visit := visit{checker: c, base: base, check: check}
	config.Authorize = visit.authorize
	var out outcome
	var bad []string
	var causes []proof.Cause
	for _, f := range oidc.Check(ctx, config) {
		out.findings = append(out.findings, proof.Finding{Name: f.Name, OK: f.OK, Expected: f.Expected, Seen: f.Seen, Took: proof.Millis(f.Took)})
		if !f.OK {
			bad = append(bad, fmt.Sprintf("%s: expected %s; seen %s", f.Name, f.Expected, f.Seen))
			causes = append(causes, c.addressCause(f)...)
		}
	}
	if causes == nil {
		causes = tokenCauses(out.findings)
	}
	out.shots = visit.shots
	if len(bad) > 0 {
		out.failure = &proof.Failure{Expected: "the service does what OAuth2 and OpenID Connect ask for", Seen: strings.Join(bad, "\n"), Causes: causes}
	}
	return out
}

// addressCause tells of a service that takes itself for another address than the one that it was asked at.
func (c *checker) addressCause(f oidc.Finding) []proof.Cause {
	seen, err := url.Parse(f.Seen)
	if f.Name != issuerFinding || err != nil || seen.Host == "" {
		return nil
	}
	change := "package.env"
	for _, name := range slices.Sorted(maps.Keys(c.recipe.Package.Env)) {
		if v := c.recipe.Package.Env[name]; v != "" && (strings.Contains(v, seen.Host) || v == seen.Hostname()) {
			change += "." + name
			break
		}
	}
	return []proof.Cause{{
		Class: "address", Change: change,
		Text: fmt.Sprintf("it takes %s for its address, by a setting or by default, and applications that ask at another will not trust it", f.Seen),
	}}
}

// tokenCauses tells of a provider that works for who means well, and of one whose tokens nobody can trust.
func tokenCauses(findings []proof.Finding) []proof.Cause {
	var unrefused []string
	for _, f := range findings {
		name, refusal := strings.CutPrefix(f.Name, "refused: ")
		switch {
		case f.OK:
		case unanswered.MatchString(f.Seen):
			return []proof.Cause{{Class: "no answer", Text: "it did not answer in time: where the machine is busy, --max-check gives requests more time", Change: "package.processes"}}
		case f.Name == signatureFinding:
			return []proof.Cause{{Class: "keys", Change: "package.volumes", Text: "tokens are signed by a key that it does not publish: " +
				"another than the one in its settings, one that each of its processes makes for itself, or one that is not kept in a volume"}}
		case !refusal: // something else is wrong, and what is refused may be so for that
			return nil
		default:
			unrefused = append(unrefused, name)
		}
	}
	if unrefused == nil {
		return nil
	}
	return []proof.Cause{{Class: "not refused", Change: "package.env", Text: "it lets pass what it must refuse (" + strings.Join(unrefused, ", ") + "): " +
		"where no setting asks for that, it is the service's own code, and this release is not one to run"}}
}

// unanswered is what package oidc has seen where there was no answer to judge.
var unanswered = regexp.MustCompile(`deadline exceeded|Client\.Timeout|has not loaded within`)

// signatureFinding is what package oidc calls whether a token's signature is by a key that the provider publishes.
const signatureFinding = "ID token: signature"

// issuerFinding is what package oidc calls what a provider says of its own address.
const issuerFinding = "discovery: issuer"

// scopes are those of the recipe with openid, without which there is no OpenID Connect.
func scopes(list []string) []string {
	out := []string{"openid"}
	for _, s := range list {
		if s != "openid" {
			out = append(out, s)
		}
	}
	return out
}

// visit is a person who signs in for an application.
type visit struct {
	*checker
	base  string
	check recipe.Check
	shots []proof.Shot // of the first sign-in, and of the first one that did not come to its end
	bad   bool
}

// authorize goes to an address as a person does, and returns the address that the service then leads to.
func (v *visit) authorize(ctx context.Context, address string) (string, error) {
	page, err := v.newPage(ctx)
	if err != nil {
		return "", err
	}
	defer page.Close()
	first, title := len(v.shots) == 0, v.check.Name
	err = page.Do(ctx, browser.Step{Open: address})
	for i, s := range v.check.OAuth2.Steps {
		if err != nil {
			break
		}
		step, text, stepErr := v.step(v.base, s)
		if err = stepErr; err == nil {
			// The last step often leaves the service, so what is to be seen is looked at before it.
			if first && i == len(v.check.OAuth2.Steps)-1 {
				v.keep(ctx, page, title)
			}
			err = page.Do(ctx, step)
		}
		if err != nil {
			err = fmt.Errorf("step %d, %s: %w", i+1, text, err)
		}
	}
	if err == nil {
		var callback string
		if callback, err = page.WaitURL(ctx, oidc.Target(address)); err == nil {
			return callback, nil
		}
	}
	if !v.bad { // several are to be refused, and look alike
		v.bad = true
		v.keep(ctx, page, title+": turned away")
	}
	return "", err
}

// keep takes a screenshot; a page that has none is no failure of the service's.
func (v *visit) keep(ctx context.Context, page *browser.Page, title string) {
	if shot, err := v.shoot(ctx, page, title); err == nil {
		v.shots = append(v.shots, shot)
	}
}
