package recipe

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Check is one thing that "headwater verify" does with the running service. Exactly one of Request, Browser and OAuth2 is set.
// In their texts, ${NAME} is replaced from the service's environment, its secrets, and what earlier checks captured.
type Check struct {
	Name    string   `yaml:"name"`              // what it shows, for people; no two checks have the same
	Repeat  bool     `yaml:"repeat,omitempty"`  // it may be done again on the same data: it is, after a restart and after an upgrade
	Process string   `yaml:"process,omitempty"` // whose address it is for; "" means Recipe.Front
	Request *Request `yaml:"request,omitempty"`
	Browser []Step   `yaml:"browser,omitempty"` // what a person does, in a page of their own
	OAuth2  *OAuth2  `yaml:"oauth2,omitempty"`
}

// Request is an HTTP request and what is expected of its answer. Cookies are kept from one check's to the next; redirects are not
// followed. At most one of JSON, Form and Body is set.
type Request struct {
	Method   string            `yaml:"method,omitempty"` // "" means POST where something is sent, else GET
	Path     string            `yaml:"path"`             // path and query, starts with /
	Headers  map[string]string `yaml:"headers,omitempty"`
	JSON     any               `yaml:"json,omitempty"`
	Form     map[string]string `yaml:"form,omitempty"`
	Body     string            `yaml:"body,omitempty"`
	Status   int               `yaml:"status,omitempty"`   // 0 means any of 200 to 299
	Contains []string          `yaml:"contains,omitempty"` // texts that the answer's body has
	Within   int               `yaml:"within,omitempty"`   // seconds in which it is asked again until the answer is right; 0 means once
	Capture  map[string]string `yaml:"capture,omitempty"`  // name → see ParseCapture
}

// Step is one thing that a person does in a page. Exactly one field is set.
type Step struct {
	Open  string            `yaml:"open,omitempty"`  // goes to a path of the service
	Fill  map[string]string `yaml:"fill,omitempty"`  // visible label → value
	Press string            `yaml:"press,omitempty"` // visible text of a button or link
	See   string            `yaml:"see,omitempty"`   // text that must come to be seen
}

// OAuth2 is a sign-in at an application that trusts the service, by OAuth2 and OpenID Connect.
type OAuth2 struct {
	Issuer       string   `yaml:"issuer,omitempty"` // path of the issuer, "" means the top
	ClientID     string   `yaml:"client-id"`
	ClientSecret string   `yaml:"client-secret,omitempty"` // "" for a public client
	Redirect     string   `yaml:"redirect"`                // where the service sends people back; nothing need listen there
	Scopes       []string `yaml:"scopes,omitempty"`        // beside openid
	Revocation   string   `yaml:"revocation,omitempty"`    // path at which tokens are revoked, where the discovery document does not say
	Steps        []Step   `yaml:"steps,omitempty"`         // what a person does from the authorization page on
}

// CaptureKind says where in an answer a captured value stands.
type CaptureKind string

// The kinds of captures.
const (
	CaptureJSON   CaptureKind = "json"   // a JSON pointer (RFC 6901) into the body
	CaptureHeader CaptureKind = "header" // a header's name
	CaptureCookie CaptureKind = "cookie" // the name of a cookie, also of one that an earlier answer set
	CaptureMatch  CaptureKind = "match"  // a regular expression; the value is its first group's
)

// ParseCapture reads what a request captures: a JSON pointer ("/client_id"), "header:NAME", "cookie:NAME" or "match:EXPRESSION".
func ParseCapture(s string) (CaptureKind, string, error) {
	if strings.HasPrefix(s, "/") {
		return CaptureJSON, s, nil
	}
	kind, what, ok := strings.Cut(s, ":")
	if k := CaptureKind(kind); ok && what != "" && (k == CaptureHeader || k == CaptureCookie || k == CaptureMatch) {
		if k != CaptureMatch {
			return k, what, nil
		}
		re, err := regexp.Compile(what)
		if err == nil && re.NumSubexp() != 1 {
			err = fmt.Errorf("%q has %d groups, want one", what, re.NumSubexp())
		}
		return k, what, err
	}
	return "", "", fmt.Errorf("%q is no JSON pointer, header:NAME, cookie:NAME or match:EXPRESSION", s)
}

// Front is the process whose address people and checks use unless they say otherwise: the first, by name, that has a health check,
// else the first that has a port; "" if none has.
func (r *Recipe) Front() string {
	front := ""
	for name, p := range sorted(r.Package.Processes) {
		if p.Health != "" {
			return name
		}
		if p.Port != 0 && front == "" {
			front = name
		}
	}
	return front
}

// NeedsBrowser reports whether some check takes a browser.
func (r *Recipe) NeedsBrowser() bool {
	return slices.ContainsFunc(r.Checks, func(c Check) bool { return len(c.Browser) > 0 || c.OAuth2 != nil })
}

func (c *checker) checks() {
	r := c.recipe
	if r.Browser != "" {
		c.runtime("browser", r.Browser)
	} else if r.NeedsBrowser() {
		c.addf("browser", "is missing: some checks take a browser; name the root that has Chromium")
	}
	names := map[string]bool{}
	for i, check := range r.Checks {
		at := fmt.Sprintf("checks[%d]", i)
		switch {
		case check.Name == "" || strings.ContainsAny(check.Name, "\n\x00"):
			c.addf(at+".name", "%q is no name", check.Name)
		case names[check.Name]:
			c.addf(at+".name", "there are two checks named %q", check.Name)
		}
		names[check.Name] = true
		c.check(at, check)
	}
	for i, s := range r.AllowLogs {
		if _, err := regexp.Compile(s); err != nil {
			c.addf(fmt.Sprintf("allow-logs[%d]", i), "%v", err)
		}
	}
}

func (c *checker) check(at string, check Check) {
	if p := check.Process; p != "" && c.recipe.Package.Processes[p].Port == 0 {
		c.addf(at+".process", "no process that has a port is named %q", p)
	}
	kinds := 0
	if check.Request != nil {
		kinds++
		c.request(at+".request", *check.Request)
	}
	if check.Browser != nil {
		kinds++
		c.steps(at+".browser", check.Browser)
	}
	if o := check.OAuth2; o != nil {
		kinds++
		if u, err := url.Parse(o.Redirect); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			c.addf(at+".oauth2.redirect", "%q is no http or https address", o.Redirect)
		}
		if o.ClientID == "" {
			c.addf(at+".oauth2.client-id", "is missing")
		}
		c.path(at+".oauth2.issuer", o.Issuer, true)
		c.path(at+".oauth2.revocation", o.Revocation, true)
		c.steps(at+".oauth2.steps", o.Steps)
	}
	if kinds != 1 {
		c.addf(at, "has %d of request, browser and oauth2, want one", kinds)
	}
}

// maxWithin is the longest that a request is asked again, in seconds.
const maxWithin = 600

func (c *checker) request(at string, r Request) {
	c.path(at+".path", r.Path, false)
	if strings.Trim(r.Method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		c.addf(at+".method", "%q is no HTTP method", r.Method)
	}
	if r.Status != 0 && (r.Status < 100 || r.Status > 599) {
		c.addf(at+".status", "%d is no HTTP status", r.Status)
	}
	if r.Within < 0 || r.Within > maxWithin {
		c.addf(at+".within", "%d is not between 0 and %d seconds", r.Within, maxWithin)
	}
	sent := 0
	for _, is := range []bool{r.JSON != nil, r.Form != nil, r.Body != ""} {
		if is {
			sent++
		}
	}
	if sent > 1 {
		c.addf(at, "has %d of json, form and body, want at most one", sent)
	}
	if _, err := json.Marshal(r.JSON); err != nil {
		c.addf(at+".json", "%v", err)
	}
	for name, from := range sorted(r.Capture) {
		if !variablePattern.MatchString(name) {
			c.addf(at+".capture", "%q is not the name of a variable", name)
		}
		if _, _, err := ParseCapture(from); err != nil {
			c.addf(at+".capture."+name, "%v", err)
		}
	}
}

func (c *checker) steps(at string, list []Step) {
	for i, s := range list {
		at := fmt.Sprintf("%s[%d]", at, i)
		set := 0
		for _, is := range []bool{s.Open != "", len(s.Fill) > 0, s.Press != "", s.See != ""} {
			if is {
				set++
			}
		}
		if set != 1 {
			c.addf(at, "has %d of open, fill, press and see, want one", set)
		}
		c.path(at+".open", s.Open, true)
	}
}

// path checks a path of the service's, to which its address is put in front.
func (c *checker) path(at, p string, optional bool) {
	if optional && p == "" {
		return
	}
	if !strings.HasPrefix(p, "/") || strings.ContainsAny(p, " \n\x00") {
		c.addf(at, "%q is no path that starts with /", p)
	}
}
