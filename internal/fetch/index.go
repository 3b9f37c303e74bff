package fetch

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"headwater/internal/artifact"
	"headwater/internal/atomicfile"
	"headwater/internal/registry"
)

// maxDocument bounds an index, in bytes. The largest project pages have about 30 MB.
const maxDocument = 128 << 20

// Index returns a registry's description of all versions of name: npm's packument (abbreviated JSON), PyPI's project page in
// its JSON form (PEP 691) with absolute addresses even where the registry serves HTML, Go's list of versions, Maven's
// maven-metadata.xml, cargo's index entry. What Options.Cache has is used after the registry said that it still holds.
func (c *Client) Index(ctx context.Context, eco artifact.Ecosystem, name string) ([]byte, error) {
	var body []byte
	err := c.walk(ctx, artifact.Artifact{Ecosystem: eco, Name: name}, c.registry.Index(ctx, eco, name),
		func(ctx context.Context, at registry.Address) error {
			doc, err := c.document(ctx, at, current)
			if err != nil {
				return err
			}
			if body = doc.Body; eco != artifact.PyPI {
				return nil
			}
			project, err := registry.ParseProject(doc)
			if err != nil {
				return err
			}
			body, err = project.JSON()
			return err
		})
	return body, err
}

// Document reads a small artifact into memory, such as Debian's InRelease. If it has a hash it is checked. What Options.Cache
// has is used after the server said that it still holds.
func (c *Client) Document(ctx context.Context, a artifact.Artifact) ([]byte, error) {
	var body []byte
	err := c.walk(ctx, a, c.registry.Addresses(ctx, a), func(ctx context.Context, at registry.Address) error {
		at, err := c.locate(ctx, at)
		if err != nil {
			return err
		}
		doc, err := c.document(ctx, at, current)
		if err != nil {
			return err
		}
		body = doc.Body
		return check(body, a)
	})
	return body, err
}

func check(body []byte, a artifact.Artifact) error {
	p := &partial{want: a, size: int64(len(body)), whole: true}
	p.hash = p.algo().New()
	p.hash.Write(body)
	return p.check()
}

// age says which copy of a document will do.
type age int

const (
	current  age = iota // the registry must have been asked in this run
	maybeOld            // any
)

// documents keeps indexes: in memory for this run, in a folder for the next.
type documents struct {
	dir string

	mu      sync.Mutex
	entries map[string]*entry
}

type entry struct {
	sync.Mutex
	read    bool // the folder was looked into
	current bool
	meta    meta
	body    []byte
}

// meta is the first line of a kept document; the body follows.
type meta struct {
	URL         string `json:"url"` // after redirects
	ContentType string `json:"content-type,omitempty"`
	ETag        string `json:"etag,omitempty"`
	Modified    string `json:"last-modified,omitempty"`
	Sum         string `json:"sha256"` // of the body
	private     bool   // not to be kept (RFC 9111, "no-store")
}

func newDocuments(dir string) *documents {
	return &documents{dir: dir, entries: map[string]*entry{}}
}

func (d *documents) entry(key string) *entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.entries[key]
	if e == nil {
		e = new(entry)
		d.entries[key] = e
	}
	return e
}

// document gets what an address has, at most once in a run.
func (c *Client) document(ctx context.Context, at registry.Address, want age) (registry.Document, error) {
	key := at.URL + "\n" + at.Accept
	e := c.documents.entry(key)
	e.Lock()
	defer e.Unlock()
	if !e.read {
		e.read = true
		e.meta, e.body = c.documents.load(key)
	}
	if !e.current && (want == current || e.body == nil) {
		if err := c.refresh(ctx, at, e); err != nil {
			return registry.Document{}, err
		}
		e.current = true
		if err := c.documents.save(key, e.meta, e.body); err != nil {
			return registry.Document{}, &localError{fmt.Errorf("keep index: %w", err)}
		}
	}
	return registry.Document{URL: e.meta.URL, ContentType: e.meta.ContentType, Body: e.body}, nil
}

// refresh asks for the document, or whether what e has still holds.
func (c *Client) refresh(ctx context.Context, at registry.Address, e *entry) error {
	u, err := url.Parse(at.URL)
	if err != nil {
		return errors.New("the address does not parse")
	}
	if u.Scheme == "file" {
		body, err := os.ReadFile(u.Path)
		if err != nil {
			return plainPath(err)
		}
		e.meta, e.body = meta{URL: at.URL, private: true}, body
		return nil
	}
	leave, err := c.gate.enter(ctx, u)
	if err != nil {
		return err
	}
	defer leave()
	ctx, watch := newWatch(ctx, c.options.Stall)
	defer watch.stop()
	req, err := c.request(ctx, u, at.Accept)
	if err != nil {
		return err
	}
	req.Header.Set("Accept-Encoding", "gzip")
	if e.body != nil && e.meta.ETag != "" {
		req.Header.Set("If-None-Match", e.meta.ETag)
	} else if e.body != nil && e.meta.Modified != "" {
		req.Header.Set("If-Modified-Since", e.meta.Modified)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return classify(ctx, err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusNotModified:
		if e.body == nil {
			return errors.New("the server says that nothing changed, though it was not asked that")
		}
		return nil
	case http.StatusOK:
	default:
		return c.status(resp, u)
	}
	body, err := readDocument(resp, watch)
	if err != nil {
		return classify(ctx, err)
	}
	e.body = body
	e.meta = meta{
		URL: resp.Request.URL.Redacted(), ContentType: resp.Header.Get("Content-Type"),
		ETag: resp.Header.Get("ETag"), Modified: resp.Header.Get("Last-Modified"),
		private: strings.Contains(strings.ToLower(resp.Header.Get("Cache-Control")), "no-store"),
	}
	return nil
}

func readDocument(resp *http.Response, w *watch) ([]byte, error) {
	r := w.reader(resp.Body)
	switch encoding := strings.ToLower(resp.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		r = z
	default:
		return nil, &refusedError{fmt.Sprintf("the server encodes the document as %q, which was not asked for", encoding)}
	}
	body, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxDocument {
		return nil, &refusedError{fmt.Sprintf("is larger than %d bytes", maxDocument)}
	}
	return body, nil
}

func (d *documents) file(key string) string {
	sum := sha256.Sum256([]byte(key))
	return filepath.Join(d.dir, hex.EncodeToString(sum[:]))
}

// load reads a kept document. A copy that is damaged is none.
func (d *documents) load(key string) (meta, []byte) {
	if d.dir == "" {
		return meta{}, nil
	}
	data, err := os.ReadFile(d.file(key))
	if err != nil {
		return meta{}, nil
	}
	head, body, ok := bytes.Cut(data, []byte("\n"))
	var m meta
	if !ok || json.Unmarshal(head, &m) != nil {
		return meta{}, nil
	}
	if sum := sha256.Sum256(body); m.Sum != hex.EncodeToString(sum[:]) {
		return meta{}, nil
	}
	return m, body
}

// save keeps a document, for this user alone: a private registry's index is private.
func (d *documents) save(key string, m meta, body []byte) error {
	if d.dir == "" || m.private {
		return nil
	}
	sum := sha256.Sum256(body)
	m.Sum = hex.EncodeToString(sum[:])
	head, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return err
	}
	return atomicfile.Write(d.file(key), append(append(head, '\n'), body...), 0o600)
}
