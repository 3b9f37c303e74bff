package image

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	connectTimeout = 30 * time.Second
	answerTimeout  = 5 * time.Minute  // a registry hashes or moves a large blob before it answers
	stallTimeout   = 2 * time.Minute  // without a byte that goes either way
	maxRetryAfter  = 90 * time.Second // longer than a registry may ask to be left alone
)

// transport is the way to registries: by TLS, but to this very machine or where the user said otherwise; as slow as a registry asks for.
func transport(o PushOptions) http.RoundTripper {
	dialer := &net.Dialer{Timeout: connectTimeout}
	base := &http.Transport{
		Proxy: o.Proxy, TLSHandshakeTimeout: connectTimeout, ResponseHeaderTimeout: answerTimeout, IdleConnTimeout: time.Minute,
		ForceAttemptHTTP2: true, MaxIdleConnsPerHost: pushing, DisableCompression: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &stalling{c}, nil
		},
	}
	if o.Insecure {
		base.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	}
	return &polite{&guarded{base, o.Insecure}}
}

// PlainError says that a registry would have been spoken to without encryption.
type PlainError struct{ Host string }

func (e *PlainError) Error() string {
	return fmt.Sprintf("%s is not on this machine and speaks no TLS, so password and image would go in the clear", e.Host)
}

// guarded refuses what is not encrypted.
type guarded struct {
	next     http.RoundTripper
	insecure bool
}

func (g *guarded) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" && !g.insecure && !loopback(req.URL) {
		return nil, &PlainError{req.URL.Host}
	}
	return g.next.RoundTrip(req)
}

func loopback(u *url.URL) bool {
	host := u.Hostname()
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// polite waits as long as a registry asks before its answer is seen, and with that retried.
type polite struct{ next http.RoundTripper }

func (p *polite) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := p.next.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return resp, err
	}
	seconds, err := strconv.Atoi(strings.TrimSpace(resp.Header.Get("Retry-After")))
	if err != nil || seconds <= 0 {
		return resp, nil
	}
	select {
	case <-time.After(min(time.Duration(seconds)*time.Second, maxRetryAfter)):
		return resp, nil
	case <-req.Context().Done():
		resp.Body.Close()
		return nil, req.Context().Err()
	}
}

// stalling breaks off a connection by which nothing goes for too long.
type stalling struct{ net.Conn }

func (s *stalling) Write(b []byte) (int, error) {
	if err := s.SetWriteDeadline(time.Now().Add(stallTimeout)); err != nil {
		return 0, err
	}
	return s.Conn.Write(b)
}
