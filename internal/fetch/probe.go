package fetch

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"

	"headwater/internal/artifact"
	"headwater/internal/registry"
)

// Probe finds an address that says it has a, without downloading it. Its word is all there is: the bytes are not checked.
func (c *Client) Probe(ctx context.Context, a artifact.Artifact) (registry.Address, error) {
	var found registry.Address
	err := c.walk(ctx, a, c.registry.Addresses(ctx, a), func(ctx context.Context, at registry.Address) error {
		at, err := c.locate(ctx, at)
		if err != nil {
			return err
		}
		found = at
		return c.probe(ctx, at)
	})
	if err != nil {
		return registry.Address{}, err
	}
	return found, nil
}

func (c *Client) probe(ctx context.Context, at registry.Address) error {
	u, err := url.Parse(at.URL)
	if err != nil {
		return errors.New("the address does not parse")
	}
	if u.Scheme == "file" {
		_, err := os.Stat(u.Path)
		return plainPath(err)
	}
	leave, err := c.gate.enter(ctx, u)
	if err != nil {
		return err
	}
	defer leave()
	ctx, watch := newWatch(ctx, c.options.Stall)
	defer watch.stop()
	for _, method := range []string{http.MethodHead, http.MethodGet} {
		req, err := c.request(ctx, u, at.Accept)
		if err != nil {
			return err
		}
		if req.Method = method; method == http.MethodGet {
			req.Header.Set("Range", "bytes=0-0")
		}
		resp, err := c.http.Do(req)
		if err != nil {
			return classify(ctx, err)
		}
		resp.Body.Close()
		switch {
		case resp.StatusCode == http.StatusOK, resp.StatusCode == http.StatusPartialContent:
			return nil
		case method == http.MethodHead && (resp.StatusCode == http.StatusMethodNotAllowed || resp.StatusCode == http.StatusNotImplemented):
			continue // some servers know GET alone
		}
		return c.status(resp, u)
	}
	return &StatusError{http.StatusMethodNotAllowed}
}
