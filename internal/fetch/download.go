package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"headwater/internal/registry"
)

const (
	maxRedirects = 10
	maxResumes   = 20 // in a row, each of which brought new bytes
)

// download gets one address's file into p, going on where the connection broke as long as that brings new bytes.
func (c *Client) download(ctx context.Context, at registry.Address, p *partial) error {
	if p.from != at.URL {
		if err := p.reset(); err != nil {
			return err
		}
		p.from = at.URL
	}
	restarted := false
	for n := 0; ; n++ {
		before := p.size
		err := c.attempt(ctx, at, p)
		if err == nil {
			err = p.check()
		}
		var wrong *WrongContentError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &wrong) && !restarted && (p.resumed || !p.whole && !wrong.GotHash.IsZero()):
			// Pieces may be of two versions of the file, and a connection that just closed may have cut it short.
			restarted = true
			if err := p.reset(); err != nil {
				return err
			}
		case errors.As(err, new(*laterError)) && p.size > before && n < maxResumes:
			if err := sleepUntil(ctx, time.Now().Add(c.backoff(min(n, 3)))); err != nil {
				return err
			}
		case errors.As(err, new(*laterError)):
			return err
		default:
			return errors.Join(err, p.reset())
		}
	}
}

// attempt makes one request and appends what comes to p.
func (c *Client) attempt(ctx context.Context, at registry.Address, p *partial) error {
	if repository, commit, ok := at.Repository(); ok {
		return c.clone(ctx, repository, commit, p)
	}
	u, err := url.Parse(at.URL)
	if err != nil {
		return errors.New("the address does not parse")
	}
	if u.Scheme == "file" {
		return copyFile(u.Path, p)
	}
	leave, err := c.gate.enter(ctx, u)
	if err != nil {
		return err
	}
	defer leave()
	if err := p.open(); err != nil {
		return err
	}
	ctx, watch := newWatch(ctx, c.options.Stall)
	defer watch.stop()
	req, err := c.request(ctx, u, at.Accept)
	if err != nil {
		return err
	}
	req.Header.Set("Accept-Encoding", "identity")
	if p.size > 0 && (p.validator != "" || !p.want.Hash.IsZero()) {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", p.size))
		if p.validator != "" {
			req.Header.Set("If-Range", p.validator)
		}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return classify(ctx, err)
	}
	defer resp.Body.Close()
	if err := c.begin(resp, u, p); err != nil {
		return err
	}
	if _, err := io.CopyBuffer(p, watch.reader(resp.Body), make([]byte, 128<<10)); err != nil {
		return classify(ctx, err)
	}
	return nil
}

// clone has git fetch a commit. What git got is the same each time, so nothing is resumed.
func (c *Client) clone(ctx context.Context, repository, commit string, p *partial) error {
	if c.options.Git == nil {
		return &refusedError{"is a git repository, and none can be fetched here"}
	}
	if err := errors.Join(p.reset(), p.open()); err != nil {
		return err
	}
	err := c.options.Git(ctx, repository, commit, p)
	p.whole = err == nil
	return err
}

// request makes a GET with what every request has.
func (c *Client) request(ctx context.Context, u *url.URL, accept string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, errors.New("the address does not parse")
	}
	req.Header.Set("User-Agent", c.options.Agent)
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	return req, c.authorize(req)
}

// authorize sets the header that is meant for this very address, or none.
func (c *Client) authorize(req *http.Request) error {
	header, err := c.registry.Authorization(req.URL)
	if err != nil {
		return err
	}
	req.Header.Del("Authorization")
	if header != "" {
		req.Header.Set("Authorization", header)
	}
	return nil
}

// checkRedirect follows at most ten redirects, none from https to http, and sends no credential along.
func (c *Client) checkRedirect(req *http.Request, via []*http.Request) error {
	last := via[len(via)-1].URL
	switch {
	case len(via) > maxRedirects:
		return &refusedError{fmt.Sprintf("more than %d redirects", maxRedirects)}
	case req.URL.Scheme != "https" && req.URL.Scheme != "http":
		return &refusedError{fmt.Sprintf("redirected to an address with scheme %q", req.URL.Scheme)}
	case last.Scheme == "https" && req.URL.Scheme == "http" && !c.registry.PlainRedirect(last.Hostname()):
		return &refusedError{fmt.Sprintf("redirected from https to http, to %s (registries.yaml may list the host under plain-redirects)", registry.Redact(req.URL.String()))}
	}
	req.Header.Del("Referer")
	return c.authorize(req)
}

// begin reads an answer's head and makes p ready for its body.
func (c *Client) begin(resp *http.Response, u *url.URL, p *partial) error {
	switch resp.StatusCode {
	case http.StatusOK:
		if err := p.reset(); err != nil {
			return err
		}
	case http.StatusPartialContent:
		if !continues(resp.Header.Get("Content-Range"), p.size) {
			return errors.Join(&laterError{err: errors.New("the server sent another range than was asked for")}, p.reset())
		}
		p.resumed = true
	case http.StatusRequestedRangeNotSatisfiable:
		return errors.Join(&laterError{err: &StatusError{resp.StatusCode}}, p.reset())
	default:
		return c.status(resp, u)
	}
	encoding := strings.ToLower(strings.TrimSpace(resp.Header.Get("Content-Encoding")))
	switch encoding {
	case "", "identity":
		p.encoding = ""
	case "gzip", "x-gzip":
		p.encoding = "gzip"
	default:
		return fmt.Errorf("the server encodes the file as %q, which was not asked for", encoding)
	}
	p.whole = resp.ContentLength >= 0 || resp.ProtoMajor >= 2 || len(resp.TransferEncoding) > 0
	if resp.ContentLength >= 0 {
		p.total = p.size + resp.ContentLength
		if p.want.Size != 0 && p.encoding == "" && p.total != p.want.Size {
			return &WrongContentError{WantHash: p.want.Hash, WantSize: p.want.Size, GotSize: p.total}
		}
		if p.total > p.limit() {
			return fmt.Errorf("is larger than %d bytes", p.limit())
		}
	}
	if tag := resp.Header.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		p.validator = tag
	} else if date := resp.Header.Get("Last-Modified"); date != "" {
		p.validator = date
	}
	return nil
}

// continues tells whether a Content-Range starts where it has to (RFC 9110, section 14.4).
func continues(contentRange string, at int64) bool {
	rest, ok := strings.CutPrefix(contentRange, "bytes ")
	first, _, dash := strings.Cut(rest, "-")
	n, err := strconv.ParseInt(first, 10, 64)
	return ok && dash && err == nil && n == at
}

// status turns an answer without the file into an error, and keeps its host alone for as long as it asks.
func (c *Client) status(resp *http.Response, u *url.URL) error {
	err := &StatusError{resp.StatusCode}
	switch resp.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		after := retryAfter(resp.Header.Get("Retry-After"), time.Now())
		if after > c.options.MaxWait {
			return &laterError{fmt.Errorf("%w, to be asked again in %s", err, after.Round(time.Second)), after}
		}
		if after > 0 {
			c.gate.hush(u, after)
		}
		return &laterError{err, after}
	}
	return err
}

// retryAfter reads seconds or a date (RFC 9110, section 10.2.3); 0 if there is nothing to read.
func retryAfter(value string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(value); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}

// classify tells failures that may pass from those that will not.
func classify(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errStalled) {
		return &laterError{err: errStalled}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	err = plain(err)
	var dns *net.DNSError
	switch {
	case errors.As(err, new(*localError)), errors.As(err, new(*WrongContentError)), errors.As(err, new(*refusedError)):
		return err
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Errorf("no host is named %s", dns.Name)
	case errors.As(err, new(*tls.CertificateVerificationError)), errors.As(err, new(x509.UnknownAuthorityError)), errors.As(err, new(x509.HostnameError)):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &laterError{err: errors.New("cut short")}
	}
	return &laterError{err: err} // refused, reset, timed out: the network's ways to fail
}

// watch ends a context when nothing was heard for a while.
type watch struct {
	timer  *time.Timer
	stall  time.Duration
	cancel context.CancelCauseFunc
}

func newWatch(ctx context.Context, stall time.Duration) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, &watch{time.AfterFunc(stall, func() { cancel(errStalled) }), stall, cancel}
}

func (w *watch) stop() {
	w.timer.Stop()
	w.cancel(nil)
}

func (w *watch) reader(r io.Reader) io.Reader { return &watched{r, w} }

type watched struct {
	r io.Reader
	w *watch
}

func (r *watched) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	if n > 0 {
		r.w.timer.Reset(r.w.stall)
	}
	return n, err
}

// copyFile reads a file of this machine, as a mirror in a folder has it.
func copyFile(name string, p *partial) error {
	if err := errors.Join(p.open(), p.reset()); err != nil {
		return err
	}
	f, err := os.Open(name)
	if err != nil {
		return plainPath(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return plainPath(err)
	}
	if !info.Mode().IsRegular() {
		return errors.New("is not a regular file")
	}
	p.whole, p.total = true, info.Size()
	_, err = io.Copy(p, f)
	return err
}

func newTransport(r *registry.Registry, perHost int) http.RoundTripper {
	dialer := &net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy: r.Proxy, DialContext: dialer.DialContext, ForceAttemptHTTP2: true, DisableCompression: true,
		MaxIdleConnsPerHost: perHost, IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 15 * time.Second,
		MaxResponseHeaderBytes: 1 << 20, ReadBufferSize: 64 << 10,
	}
}
