package cache

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// web is a cache that is reached by HTTP: GET and HEAD read, PUT writes.
type web struct {
	base    *url.URL // ends in a slash; without credentials
	header  string   // Authorization, from the address
	client  *http.Client
	options Options
}

const maxRedirects = 5

func newWeb(u *url.URL, o Options) *web {
	w := &web{options: o}
	base := *u
	if base.User != nil {
		password, _ := base.User.Password()
		w.header = "Basic " + base64.StdEncoding.EncodeToString([]byte(base.User.Username()+":"+password))
		base.User = nil
	}
	w.base = base.JoinPath("/")
	w.client = &http.Client{Transport: transport(o), CheckRedirect: w.checkRedirect}
	return w
}

// transport makes connections, of which none waits for ever.
func transport(o Options) *http.Transport {
	return &http.Transport{
		Proxy: o.Proxy, DialContext: (&net.Dialer{Timeout: o.Connect}).DialContext, TLSHandshakeTimeout: o.Connect,
		ResponseHeaderTimeout: o.Deadline, MaxIdleConnsPerHost: o.Requests, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
		MaxResponseHeaderBytes: 256 << 10, DisableCompression: true, // what is compressed is named so
	}
}

// refusedError is a redirect that is not followed.
type refusedError struct{ what string }

func (e *refusedError) Error() string { return e.what }

// checkRedirect follows few redirects, and none that gives encryption up. Credentials are looked up for the new address.
func (w *web) checkRedirect(req *http.Request, via []*http.Request) error {
	switch {
	case len(via) > maxRedirects:
		return &refusedError{fmt.Sprintf("more than %d redirects", maxRedirects)}
	case req.URL.Scheme != "http" && req.URL.Scheme != "https":
		return &refusedError{fmt.Sprintf("redirected to an address with scheme %q", req.URL.Scheme)}
	case via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme == "http":
		return &refusedError{"redirected from https to http"}
	}
	req.Header.Del("Referer")
	return w.authorize(req)
}

func (w *web) authorize(req *http.Request) error {
	header := ""
	if req.URL.Scheme == w.base.Scheme && req.URL.Host == w.base.Host {
		header = w.header
	}
	if header == "" && w.options.Authorize != nil {
		var err error
		if header, err = w.options.Authorize(req.URL); err != nil {
			return err
		}
	}
	req.Header.Del("Authorization")
	if header != "" {
		req.Header.Set("Authorization", header)
	}
	return nil
}

// do makes a request. If there is no error, the caller closes the body.
func (w *web) do(ctx context.Context, method, name string, body func() io.Reader, size int64, contentType string) (*http.Response, error) {
	ref, err := url.Parse(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %q does not parse", ErrFalse, name)
	}
	req, err := http.NewRequestWithContext(ctx, method, w.base.ResolveReference(ref).String(), nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %q does not parse", ErrFalse, name)
	}
	if body != nil {
		req.Body, req.ContentLength = io.NopCloser(body()), size
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(body()), nil }
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("User-Agent", w.options.Agent)
	if err := w.authorize(req); err != nil {
		return nil, err
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, explain(ctx, err)
	}
	return resp, nil
}

// explain tells failures that may pass from those that will not, and leaves out the address, which may have a secret.
func explain(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if errors.As(err, new(*refusedError)) || errors.As(err, new(*tls.CertificateVerificationError)) {
		return err
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() && !errors.As(err, new(*net.OpError)) { // the head did not come
		err = errSlow
	}
	return &transferError{err}
}

func (w *web) open(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	resp, err := w.do(ctx, http.MethodGet, name, nil, 0, "")
	if err != nil {
		cancel(nil)
		return nil, 0, err
	}
	body := newStream(ctx, cancel, resp.Body, w.options.Stall)
	if resp.StatusCode != http.StatusOK {
		return nil, 0, errors.Join(statusOf(resp, name), body.Close())
	}
	if encoding := resp.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return nil, 0, errors.Join(fmt.Errorf("%w: the answer is encoded as %q, which was not asked for", ErrFalse, encoding), body.Close())
	}
	return body, resp.ContentLength, nil
}

// statusOf is the error of an answer. Object stores answer 403 to who may not list what there is.
func statusOf(resp *http.Response, name string) error {
	switch resp.StatusCode {
	case http.StatusNotFound, http.StatusGone:
		return fmt.Errorf("%s %w", name, ErrAbsent)
	case http.StatusForbidden:
		if name != infoName {
			return fmt.Errorf("%s %w (%w)", name, ErrAbsent, &StatusError{resp.StatusCode})
		}
	}
	return &StatusError{resp.StatusCode}
}

func (w *web) has(ctx context.Context, name string) (bool, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, w.options.Deadline, errSlow)
	defer cancel()
	resp, err := w.do(ctx, http.MethodHead, name, nil, 0, "")
	if err != nil {
		return false, err
	}
	resp.Body.Close() // has nothing
	if resp.StatusCode == http.StatusOK {
		return true, nil
	}
	if err := statusOf(resp, name); !errors.Is(err, ErrAbsent) {
		return false, err
	}
	return false, nil
}

func (w *web) spoolDir() (string, error) { return "", nil }

func (w *web) closeIdle() { w.client.CloseIdleConnections() }

func (w *web) put(ctx context.Context, name string, s *spool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	up := newUpload(cancel, w.options.Stall)
	defer up.timer.Stop()
	body := func() io.Reader { return up.count(s.reader()) }
	resp, err := w.do(ctx, http.MethodPut, name, body, s.size, s.contentType)
	if err != nil {
		return err
	}
	// A short answer is read, so that the connection can be used again.
	_, err = io.CopyN(io.Discard, resp.Body, 64<<10)
	resp.Body.Close()
	if err != nil && err != io.EOF {
		return explain(ctx, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return &StatusError{resp.StatusCode}
	}
	return nil
}
