package verify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"headwater/internal/proof"
	"headwater/internal/recipe"
)

// checker does a recipe's checks against a running service. It is for one goroutine.
type checker struct {
	recipe  *recipe.Recipe
	allow   []*regexp.Regexp            // what the recipe says of lines that are no faults
	base    func(process string) string // the address of a process: "http://127.0.0.1:9000"
	vars    map[string]string           // what ${NAME} stands for
	secrets *secrets
	limit   time.Duration     // how long a check may take
	work    string            // folder for screenshots and the browser's profile
	roots   map[string]string // where the browser's root is
	http    *http.Client
	chrome  chrome
	lost    map[string]string // why a cookie does not come back, by its name
}

func newChecker(r *recipe.Recipe, s *secrets, work string, roots map[string]string) *checker {
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err) // without options it has nothing to fail on
	}
	c := &checker{secrets: s, work: work, vars: map[string]string{}, lost: map[string]string{}}
	c.of(r, roots)
	c.http = &http.Client{
		Jar: jar, Transport: &tokenWatch{next: &http.Transport{}, secrets: s},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// of makes the checks those of a release.
func (c *checker) of(r *recipe.Recipe, roots map[string]string) {
	c.recipe, c.roots, c.allow = r, roots, nil
	for _, s := range r.AllowLogs {
		c.allow = append(c.allow, regexp.MustCompile(s)) // the recipe was checked
	}
}

// kindOf is what a check is called in a proof.
func kindOf(c recipe.Check) string {
	switch {
	case c.Request != nil:
		return "request"
	case c.OAuth2 != nil:
		return "oauth2"
	}
	return "browser"
}

func (c *checker) do(ctx context.Context, check recipe.Check) outcome {
	process := check.Process
	if process == "" {
		process = c.recipe.Front()
	}
	base := c.base(process)
	if base == "" {
		return failed("a process that listens", "no process of the recipe has a port")
	}
	switch kindOf(check) {
	case "request":
		return c.request(ctx, base, *check.Request)
	case "browser":
		return c.browse(ctx, base, check)
	}
	return c.oauth2(ctx, base, check)
}

// allowed reports whether the recipe allows what looks like a fault.
func (c *checker) allowed(line string) bool {
	return slices.ContainsFunc(c.allow, func(re *regexp.Regexp) bool { return re.MatchString(line) })
}

// unallowed is a line without what the recipe allows: what stands beside that is still looked at.
func (c *checker) unallowed(line string) string {
	for _, re := range c.allow {
		line = re.ReplaceAllLiteralString(line, "")
	}
	return line
}

// close lets go of what the checks needed.
func (c *checker) close() error {
	c.http.CloseIdleConnections()
	return c.chrome.close()
}

var variable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// unsetError says that a check needs what nothing gave.
type unsetError struct{ name string }

func (e *unsetError) Error() string {
	return fmt.Sprintf("${%s} has no value: it is no variable of the package's, and no check before this one captured it", e.name)
}

// expand replaces ${NAME}.
func (c *checker) expand(s string) (string, error) {
	var err error
	out := variable.ReplaceAllStringFunc(s, func(m string) string {
		v, ok := c.vars[m[2:len(m)-1]]
		if !ok && err == nil {
			err = &unsetError{m[2 : len(m)-1]}
		}
		return v
	})
	return out, err
}

// expandAll replaces ${NAME} in all strings of a JSON value.
func (c *checker) expandAll(v any) (any, error) {
	switch v := v.(type) {
	case string:
		return c.expand(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			var err error
			if out[i], err = c.expandAll(v[i]); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			var err error
			if out[k], err = c.expandAll(v[k]); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return v, nil
}

// maxBody is how much of an answer is read, in bytes.
const maxBody = 8 << 20

// request sends a request and judges the answer; again and again where it need not be right at once.
func (c *checker) request(ctx context.Context, base string, r recipe.Request) outcome {
	end := clock().Add(time.Duration(r.Within) * time.Second)
	for {
		o := c.once(ctx, base, r)
		if o.failure == nil || clock().After(end) {
			return o
		}
		select {
		case <-ctx.Done():
			return o
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// once sends a request and judges the answer.
func (c *checker) once(ctx context.Context, base string, r recipe.Request) outcome {
	req, err := c.build(ctx, base, r)
	if err != nil {
		return failed("a request that can be sent", err.Error())
	}
	what := req.Method + " " + r.Path
	expected := fmt.Sprintf("%s answers %s", what, statusWanted(r.Status))
	res, err := c.http.Do(req)
	if err != nil {
		return failed(expected, plainError(err))
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if err != nil {
		return failed(expected, fmt.Sprintf("%s, and then %v", res.Status, plainError(err)))
	}
	c.noteLost(req.URL, res)
	if res.StatusCode != r.Status && (r.Status != 0 || res.StatusCode/100 != 2) {
		seen := answered(res, body)
		for _, name := range slices.Sorted(maps.Keys(c.lost)) {
			seen += fmt.Sprintf("\ncookie: %s is not accepted: %s", name, c.lost[name])
		}
		return failed(expected, seen)
	}
	for _, text := range r.Contains {
		text, err := c.expand(text)
		if err != nil {
			return failed("a text to look for", err.Error())
		}
		if !strings.Contains(string(body), text) {
			return failed(fmt.Sprintf("%s answers with %q", what, text), answered(res, body))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Capture)) {
		v, err := c.capture(r.Capture[name], req.URL, res, body)
		if err != nil {
			return failed(fmt.Sprintf("the answer to %s has %s, for ${%s}", what, r.Capture[name], name), fmt.Sprintf("%v; %s", err, answered(res, body)))
		}
		c.vars[name] = v
		if secretName(name) {
			c.secrets.add(v)
		}
	}
	return outcome{}
}

// noteLost notes cookies that do not come back to where they are from, though that is not said by their path or age.
func (c *checker) noteLost(at *url.URL, res *http.Response) {
	for _, k := range res.Cookies() {
		domain, host := strings.TrimPrefix(k.Domain, "."), at.Hostname()
		switch {
		case k.Secure && at.Scheme == "http" && host != "localhost" && !net.ParseIP(host).IsLoopback(): // there browsers take HTTP for secure
			c.lost[k.Name] = "it is for HTTPS only, and this is HTTP"
		case domain != "" && host != domain && !strings.HasSuffix(host, "."+domain):
			c.lost[k.Name] = "it is for the domain " + domain
		default:
			delete(c.lost, k.Name)
		}
	}
}

func (c *checker) build(ctx context.Context, base string, r recipe.Request) (*http.Request, error) {
	body, contentType, err := c.body(r)
	if err != nil {
		return nil, err
	}
	method := r.Method
	switch {
	case method != "":
	case contentType != "" || r.Body != "":
		method = http.MethodPost
	default:
		method = http.MethodGet
	}
	path, err := c.expand(r.Path)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for _, k := range slices.Sorted(maps.Keys(r.Headers)) {
		v, err := c.expand(r.Headers[k])
		if err != nil {
			return nil, err
		}
		req.Header.Set(k, v)
		if strings.EqualFold(k, "Host") {
			req.Host = v
		}
	}
	return req, nil
}

// body is what a request sends, and its type, "" if the recipe is to say it.
func (c *checker) body(r recipe.Request) (body, contentType string, err error) {
	switch {
	case r.JSON != nil:
		v, err := c.expandAll(r.JSON)
		if err != nil {
			return "", "", err
		}
		b, err := json.Marshal(v)
		return string(b), "application/json", err
	case r.Form != nil:
		form := url.Values{}
		for _, k := range slices.Sorted(maps.Keys(r.Form)) {
			v, err := c.expand(r.Form[k])
			if err != nil {
				return "", "", err
			}
			form.Set(k, v)
		}
		return form.Encode(), "application/x-www-form-urlencoded", nil
	}
	body, err = c.expand(r.Body)
	return body, "", err
}

// capture takes a value out of an answer.
func (c *checker) capture(from string, at *url.URL, res *http.Response, body []byte) (string, error) {
	kind, what, err := recipe.ParseCapture(from)
	if err != nil {
		return "", err
	}
	switch kind {
	case recipe.CaptureHeader:
		if v := res.Header.Get(what); v != "" {
			return v, nil
		}
		return "", fmt.Errorf("there is no such header")
	case recipe.CaptureCookie:
		for _, k := range c.http.Jar.Cookies(at) {
			if k.Name == what {
				return k.Value, nil
			}
		}
		return "", fmt.Errorf("there is no such cookie")
	case recipe.CaptureMatch:
		re, err := regexp.Compile(what)
		if err != nil {
			return "", err
		}
		if m := re.FindSubmatch(body); len(m) == 2 {
			return string(m[1]), nil
		}
		return "", fmt.Errorf("nothing matches")
	}
	return pointer(body, what)
}

// pointer follows a JSON pointer (RFC 6901) to a string, a number or a boolean.
func pointer(body []byte, p string) (string, error) {
	var v any
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return "", fmt.Errorf("it is no JSON: %w", err)
	}
	for _, part := range strings.Split(p, "/")[1:] {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		switch at := v.(type) {
		case map[string]any:
			var ok bool
			if v, ok = at[part]; !ok {
				return "", fmt.Errorf("there is no %q", part)
			}
		case []any:
			var i int
			if n, err := fmt.Sscanf(part, "%d", &i); n != 1 || err != nil || i < 0 || i >= len(at) {
				return "", fmt.Errorf("a list of %d has no %q", len(at), part)
			}
			v = at[i]
		default:
			return "", fmt.Errorf("there is no %q", part)
		}
	}
	switch v := v.(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		return fmt.Sprint(v), nil
	}
	return "", fmt.Errorf("it is no string, number or boolean")
}

func statusWanted(status int) string {
	if status == 0 {
		return "2xx"
	}
	return fmt.Sprintf("%d %s", status, http.StatusText(status))
}

// maxTold is how much of an answer a failure tells, in bytes.
const maxTold = 400

// answered tells an answer: its status, where it leads, and the beginning of its body.
func answered(res *http.Response, body []byte) string {
	s := res.Status
	if to := res.Header.Get("Location"); to != "" {
		s += " to " + to
	}
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(body[:min(len(body), 4*maxTold)]), "�")), " ")
	if len(text) > maxTold {
		text = strings.ToValidUTF8(text[:maxTold], "") + "…"
	}
	if text != "" {
		s += ": " + text
	}
	return s
}

// plainError is an HTTP client's error without what it was asked for, which stands beside it.
func plainError(err error) string {
	if u, ok := err.(*url.Error); ok {
		err = u.Err
	}
	return err.Error()
}

// keepShot writes a screenshot into the folder for them.
func (c *checker) keepShot(title string, png []byte) (proof.Shot, error) {
	sum := sha256.Sum256(png)
	shot := proof.Shot{Title: title, SHA256: hex.EncodeToString(sum[:])}
	return shot, os.WriteFile(filepath.Join(c.work, ShotDir, shot.SHA256+".png"), png, 0o600)
}

// tokenWatch notes, as secrets, the tokens and session cookies that a service hands out, so that its logs can be searched for them.
type tokenWatch struct {
	next    http.RoundTripper
	secrets *secrets
}

// RoundTrip passes on a request.
func (w *tokenWatch) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := w.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	for _, k := range res.Cookies() {
		if k.HttpOnly {
			w.secrets.add(k.Value)
		}
	}
	if !strings.Contains(res.Header.Get("Content-Type"), "json") {
		return res, nil
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	closeErr := res.Body.Close()
	if err != nil || closeErr != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	res.Body = io.NopCloser(strings.NewReader(string(body)))
	var fields map[string]any
	if json.Unmarshal(body, &fields) == nil {
		for _, name := range []string{"access_token", "refresh_token", "id_token", "client_secret"} {
			if v, ok := fields[name].(string); ok {
				w.secrets.add(v)
			}
		}
	}
	return res, nil
}
