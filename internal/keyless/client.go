package keyless

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// client asks authorities.
type client struct {
	Options
	http *http.Client
}

func newClient(o Options) *client {
	def(&o.Agent, "headwater")
	def(&o.Connect, 10*time.Second)
	def(&o.Deadline, 30*time.Second)
	def(&o.Retries, 2)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Wait == nil {
		o.Wait = sleep
	}
	if o.HTTP == nil {
		o.HTTP = &http.Transport{
			Proxy: o.Proxy, DialContext: (&net.Dialer{Timeout: o.Connect}).DialContext, TLSHandshakeTimeout: o.Connect,
			ResponseHeaderTimeout: o.Deadline, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 256 << 10,
		}
	}
	// A redirect would have the token sent elsewhere.
	return &client{o, &http.Client{Transport: o.HTTP, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// passingError is a failure that may pass.
type passingError struct{ error }

func (e *passingError) Unwrap() error { return e.error }

// post sends a request and reads the answer, of at most limit bytes. What may pass is tried again.
func (c *client) post(ctx context.Context, address string, header http.Header, body []byte, limit int64) ([]byte, error) {
	for try := 0; ; try++ {
		answer, err := c.once(ctx, address, header, body, limit)
		if err == nil || !errors.As(err, new(*passingError)) || ctx.Err() != nil || try >= c.Retries {
			return answer, err
		}
		if err := c.Wait(ctx, 250*time.Millisecond<<(2*try)); err != nil {
			return nil, err
		}
	}
}

func (c *client) once(ctx context.Context, address string, header http.Header, body []byte, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.Deadline, fmt.Errorf("no whole answer within %s", c.Deadline))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = header.Clone()
	req.Header.Set("User-Agent", c.Agent)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, passing(ctx, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return nil, passing(ctx, err)
	case int64(len(answer)) > limit:
		return nil, falsely("its answer has more than %d bytes", limit)
	case resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusCreated:
		return answer, nil
	}
	status := &statusError{resp.StatusCode, string(answer)}
	switch {
	case status.code >= http.StatusInternalServerError, status.code == http.StatusTooManyRequests, status.code == http.StatusRequestTimeout:
		return nil, &passingError{status}
	}
	return nil, status
}

// passing is the error of a connection: without the address, which whoever reports it tells, and that of the deadline if that is what ended it.
// A server that is not whom it says it is stays so.
func passing(ctx context.Context, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.As(err, new(*tls.CertificateVerificationError)) {
		return err
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return &passingError{err}
}

// fail is the error of an authority, with what to do.
func (s *Signer) fail(what, address string, err error) error {
	hint := "is the address right, and the server reachable? What is built is not built again"
	var status *statusError
	switch {
	case errors.As(err, new(*clockError)):
		hint = "the clock of one of the two servers is wrong, or signing took longer than the certificate lives: run this again"
	case errors.As(err, new(*falseError)):
		hint = "look at what answers there: it is not what such a server answers"
	case errors.As(err, new(*tls.CertificateVerificationError)):
		hint = "make its authority known (SSL_CERT_FILE)"
	case !errors.As(err, &status):
	case status.code >= http.StatusInternalServerError || status.code == http.StatusTooManyRequests:
		hint = "the fault is at the server; try again later: what is built is not built again"
	case status.code >= 300 && status.code < 400:
		hint = "redirects are not followed: give the address that it leads to"
	case status.code == http.StatusUnauthorized || status.code == http.StatusForbidden:
		hint = "give the credentials where the address is set, or in ~/.netrc"
	default:
		hint = "is the address right? Fulcio's is without a path, a timestamp authority's is what takes the requests"
	}
	return &Error{what, address, err, hint}
}
