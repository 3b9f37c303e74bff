package fetch

import (
	"context"
	"math/rand/v2"
	"net/url"
	"sync"
	"time"
)

// gate limits how much is downloaded at a time, overall and per host, and keeps a host that asked for quiet alone.
type gate struct {
	all     chan struct{}
	perHost int

	mu    sync.Mutex
	hosts map[string]*host
}

type host struct {
	slots chan struct{}
	quiet time.Time // nothing is sent before; guarded by gate.mu
}

func newGate(all, perHost int) *gate {
	return &gate{all: make(chan struct{}, all), perHost: perHost, hosts: map[string]*host{}}
}

func (g *gate) host(u *url.URL) *host {
	g.mu.Lock()
	defer g.mu.Unlock()
	h := g.hosts[u.Host]
	if h == nil {
		h = &host{slots: make(chan struct{}, g.perHost)}
		g.hosts[u.Host] = h
	}
	return h
}

// enter waits for a slot. The caller must call leave.
func (g *gate) enter(ctx context.Context, u *url.URL) (leave func(), err error) {
	h := g.host(u)
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	g.mu.Lock()
	quiet := h.quiet
	g.mu.Unlock()
	if err := sleepUntil(ctx, quiet); err != nil {
		<-h.slots
		return nil, err
	}
	select {
	case g.all <- struct{}{}:
	case <-ctx.Done():
		<-h.slots
		return nil, ctx.Err()
	}
	return func() { <-g.all; <-h.slots }, nil
}

// hush keeps new requests to a host back for a while.
func (g *gate) hush(u *url.URL, d time.Duration) {
	h := g.host(u)
	g.mu.Lock()
	defer g.mu.Unlock()
	if until := time.Now().Add(d); until.After(h.quiet) {
		h.quiet = until
	}
}

// backoff is how long to wait after a round: doubled each time, half of it by chance, so that many do not come back at once.
func (c *Client) backoff(round int) time.Duration {
	d := c.options.Backoff << min(round, 10)
	return d/2 + rand.N(d/2+1)
}

func sleepUntil(ctx context.Context, t time.Time) error {
	d := time.Until(t)
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
