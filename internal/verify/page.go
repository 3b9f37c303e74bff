package verify

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/html"
)

const (
	maxRedirects = 10
	maxAssets    = 200 // of one page
)

// page looks at the page that the service has at its top, and at what it loads.
func (c *checker) page(ctx context.Context, base string) outcome {
	const expected = "GET / answers 2xx, or leads to a page of the service that does"
	at, body, o := c.follow(ctx, base+"/", expected)
	if o.failure != nil {
		return o
	}
	for _, ref := range assets(at, body) {
		res, text, err := c.get(ctx, ref)
		what := fmt.Sprintf("%s, which the page at %s loads, answers 2xx", ref.RequestURI(), at.RequestURI())
		if err != nil {
			return failed(what, plainError(err))
		}
		if res.StatusCode/100 != 2 {
			return failed(what, answered(res, text))
		}
		// A server that answers every path with its start page would hide that the file is not there.
		if kind := res.Header.Get("Content-Type"); strings.HasPrefix(kind, "text/html") && !strings.HasSuffix(ref.Path, ".html") {
			return failed(what+" with what it is", "an HTML page in its place")
		}
	}
	return outcome{}
}

// follow goes where a page leads to, within the service.
func (c *checker) follow(ctx context.Context, start, expected string) (*url.URL, []byte, outcome) {
	at, err := url.Parse(start)
	if err != nil {
		return nil, nil, failed(expected, err.Error())
	}
	for range maxRedirects {
		res, body, err := c.get(ctx, at)
		if err != nil {
			return nil, nil, failed(expected, plainError(err))
		}
		if res.StatusCode/100 == 2 {
			return at, body, outcome{}
		}
		to, err := res.Location()
		if err != nil || res.StatusCode/100 != 3 {
			return nil, nil, failed(expected, at.RequestURI()+" answers "+answered(res, body))
		}
		if to.Host != at.Host {
			return nil, nil, failed(expected, at.RequestURI()+" leads away, to "+to.String())
		}
		at = to
	}
	return nil, nil, failed(expected, fmt.Sprintf("more than %d redirects, the last to %s", maxRedirects, at))
}

func (c *checker) get(ctx context.Context, at *url.URL) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Accept", "text/html,*/*;q=0.8")
	res, err := c.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	return res, body, err
}

// assets lists what an HTML page loads from its own origin: scripts, styles, images, icons.
func assets(at *url.URL, body []byte) []*url.URL {
	var list []*url.URL
	seen := map[string]bool{}
	z := html.NewTokenizer(strings.NewReader(string(body)))
	base := at
	for len(list) < maxAssets {
		kind := z.Next()
		if kind == html.ErrorToken {
			break
		}
		if kind != html.StartTagToken && kind != html.SelfClosingTagToken {
			continue
		}
		t := z.Token()
		attr := map[string]string{}
		for _, a := range t.Attr {
			attr[a.Key] = a.Val
		}
		if t.Data == "base" && attr["href"] != "" {
			if u, err := base.Parse(attr["href"]); err == nil {
				base = u
			}
			continue
		}
		ref := loaded(t.Data, attr)
		if ref == "" {
			continue
		}
		u, err := base.Parse(ref)
		if err != nil || u.Host != at.Host || u.Scheme != at.Scheme {
			continue
		}
		u.Fragment = ""
		if !seen[u.String()] {
			seen[u.String()] = true
			list = append(list, u)
		}
	}
	return list
}

// loaded is what an element loads, "" if it loads nothing.
func loaded(element string, attr map[string]string) string {
	switch element {
	case "script", "img":
		return attr["src"]
	case "link":
		for _, rel := range strings.Fields(strings.ToLower(attr["rel"])) {
			switch rel {
			case "stylesheet", "icon", "modulepreload", "preload": // a manifest is for who installs the page, and services may have none
				return attr["href"]
			}
		}
	}
	return ""
}
