// Package cache speaks to binary caches in the layout that Nix has: a file nix-cache-info, a narinfo for each store path, and
// compressed NARs. It reads and writes caches in folders, over HTTP and in S3 buckets, and serves a store as one.
//
// What holds:
//
//   - Trust is explicit. A path enters the store only if a key that the caller trusts for that very cache has signed it, or if
//     it is content-addressed, so that nobody needs to be trusted. There is no way around that.
//   - What a cache says is checked against what it sends before anything becomes valid: path, NAR hash and size, file hash
//     and size, content address. How much is read, and how long is waited, is bounded by what was promised. What fails leaves
//     nothing behind.
//   - A cache never shows a path whose references it lacks: NARs are written before their narinfo, references before
//     referrers, each file at once.
//
// Taking what a store path needs, and giving it:
//
//	c, err := cache.Open("https://cache.example/team", cache.Options{})
//	s := cache.NewSubstituter(store, []cache.Source{{Cache: c, Keys: keys}}, cache.PullOptions{})
//	pulled, err := s.Pull(ctx, paths, nil)
//	pushed, err := cache.Push(ctx, cache.PushOptions{Store: store, Cache: c, Key: &key}, paths)
package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"headwater/internal/nix"
	"headwater/internal/nix/narinfo"
)

// Options of a cache that is reached by HTTP or S3; folders need none. The zero value of each field means the default.
type Options struct {
	Agent    string        // the User-Agent; default "headwater"
	Connect  time.Duration // how long a connection may take; default 10 s
	Stall    time.Duration // a transfer that brings less than 16 KiB in so long is given up; default 30 s
	Deadline time.Duration // for a small document as a whole, and for an answer to begin; default 30 s
	Retries  int           // how often what may pass is tried again; default 2, less than 0 never
	Requests int           // at a time; default 32

	Authorize func(*url.URL) (string, error)        // the Authorization header for an address, "" for none; nil: never one
	Proxy     func(*http.Request) (*url.URL, error) // nil: no proxy
	// Credentials sign requests to S3: those of a profile, "" for the one that is in force. nil: none. Where the provider finds
	// none, requests are not signed. It keeps what it found.
	Credentials func(ctx context.Context, profile string) (aws.CredentialsProvider, error)
	Wait        func(context.Context, time.Duration) error // between tries; default: as long as it is told
}

func (o Options) withDefaults() Options {
	def(&o.Agent, "headwater")
	def(&o.Connect, 10*time.Second)
	def(&o.Stall, 30*time.Second)
	def(&o.Deadline, 30*time.Second)
	def(&o.Retries, 2)
	def(&o.Requests, 32)
	if o.Wait == nil {
		o.Wait = sleep
	}
	return o
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// backend is where a cache's files are. Names are slash-separated, relative, and valid as fs.ValidPath says; those to read may
// have a query.
type backend interface {
	// open reads a file. The error is ErrAbsent if there is none. size is -1 if it is not known.
	open(ctx context.Context, name string) (body io.ReadCloser, size int64, err error)
	has(ctx context.Context, name string) (bool, error)
	// put makes a file appear at once, with all of its content.
	put(ctx context.Context, name string, content *spool) error
	// spoolDir is where a spool of what will be put is best; "" if anywhere.
	spoolDir() (string, error)
}

// Cache is one binary cache. It may be used by several goroutines.
type Cache struct {
	address string // without credentials
	backend backend
	slots   chan struct{}
	options Options

	decompressor decompressor

	mu      sync.Mutex // guards what follows; held while the first asks
	checked bool       // nix-cache-info was asked for
	fault   error      // what came of that
}

// Names in a cache.
const (
	infoName    = "nix-cache-info"
	narinfoExt  = ".narinfo"
	maxInfo     = 64 << 10
	maxNarinfo  = 4 << 20 // 50,000 references
	infoText    = "StoreDir: " + nix.StoreDir + "\nWantMassQuery: 1\nPriority: 40\n"
	narinfoType = "text/x-nix-narinfo"
)

// Open understands a cache's address: file:///folder, http(s)://host/path or s3://bucket?parameters. Nothing is asked yet.
func Open(address string, o Options) (*Cache, error) {
	fail := func(err error) (*Cache, error) {
		return nil, &AddressError{Redact(address), err}
	}
	u, err := url.Parse(address)
	if err != nil {
		return fail(errors.New("does not parse"))
	}
	o = o.withDefaults()
	c := &Cache{address: Redact(address), options: o, slots: make(chan struct{}, o.Requests)}
	switch {
	case u.Fragment != "" || u.RawQuery != "" && u.Scheme != "s3":
		return fail(errors.New("settings after ? or # are not known"))
	case u.Scheme == "s3":
		if c.backend, err = newBucket(u, o); err != nil {
			return fail(err)
		}
	case u.Scheme == "file" && (u.Host == "" || u.Host == "localhost") && filepath.IsAbs(u.Path):
		c.backend = folder(filepath.Clean(u.Path))
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
		c.backend = newWeb(u, o)
	default:
		return fail(errors.New("want file:///FOLDER, http://HOST/PATH, https://HOST/PATH or s3://BUCKET"))
	}
	return c, nil
}

// Address is the cache's, without credentials.
func (c *Cache) Address() string { return c.address }

// Close ends idle connections.
func (c *Cache) Close() {
	if b, ok := c.backend.(interface{ closeIdle() }); ok {
		b.closeIdle()
	}
}

// Redact takes the credentials out of an address.
func Redact(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "(an address that does not parse)"
	}
	u.User = nil
	if q := u.Query(); strings.Contains(q.Get("endpoint"), "@") { // where they may not stand
		q.Set("endpoint", "(not shown)")
		u.RawQuery = q.Encode()
	}
	return u.String()
}

// Lookup reads what the cache says of a path. It is ErrAbsent if that is nothing. What is returned is of this path and well
// formed; whether it is to be believed is another matter: see Trust.
func (c *Cache) Lookup(ctx context.Context, p nix.StorePath) (*narinfo.Info, error) {
	info, err := c.lookup(ctx, p)
	if err != nil {
		return nil, c.fail(p, err)
	}
	return info, nil
}

func (c *Cache) lookup(ctx context.Context, p nix.StorePath) (*narinfo.Info, error) {
	if err := c.check(ctx); err != nil {
		return nil, err
	}
	data, err := c.document(ctx, p.Digest()+narinfoExt, maxNarinfo)
	if err != nil {
		return nil, err
	}
	info, err := narinfo.Parse(data)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrFalse, err)
	case info.Path != p:
		return nil, fmt.Errorf("%w: its narinfo is of another path, %s", ErrFalse, info.Path)
	}
	if err := checkRef(info.URL); err != nil {
		return nil, fmt.Errorf("%w: URL %q: %w", ErrFalse, info.URL, err)
	}
	if _, err := compressionOf(info.Compression); err != nil {
		return nil, err
	}
	return info, nil
}

// checkRef tells whether a narinfo's URL is one of a file below the cache.
func checkRef(ref string) error {
	u, err := url.Parse(ref)
	switch {
	case err != nil:
		return errors.New("does not parse")
	case strings.Contains(ref, "#"):
		return errors.New("has a fragment")
	case u.IsAbs() || u.Host != "" || u.User != nil || u.Opaque != "":
		return errors.New("leads out of the cache")
	case !fs.ValidPath(u.Path) || u.Path == "." || strings.Contains(u.Path, `\`): // decoded: %2e%2e does not get through
		return errors.New("is no name of a file in the cache")
	}
	return nil
}

// check makes sure, once, that there is a cache for this store. A failure stands too: who cannot reach the cache need not try
// for every path.
func (c *Cache) check(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.checked {
		return c.fault
	}
	data, err := c.document(ctx, infoName, maxInfo)
	switch {
	case errors.Is(err, ErrAbsent):
		err = fmt.Errorf("%w: there is no %s", ErrNoCache, infoName)
	case err == nil:
		err = checkInfo(data)
	}
	if ctx.Err() == nil {
		c.checked, c.fault = true, err
	}
	return err
}

// prepare is check for who writes: where nothing is, a cache is begun.
func (c *Cache) prepare(ctx context.Context) error {
	data, err := c.document(ctx, infoName, maxInfo)
	if errors.Is(err, ErrAbsent) {
		return c.put(ctx, infoName, textSpool([]byte(infoText), "text/x-nix-cache-info"))
	}
	if err != nil {
		return err
	}
	return checkInfo(data)
}

func checkInfo(data []byte) error {
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if value = strings.TrimSpace(value); name == "StoreDir" && value != nix.StoreDir {
			return fmt.Errorf("%w: it is one for the store %s, not %s", ErrNoCache, value, nix.StoreDir)
		}
	}
	return nil
}

// document reads a small file, of which no more than limit is read.
func (c *Cache) document(ctx context.Context, name string, limit int64) (data []byte, err error) {
	err = c.retry(ctx, func() error {
		ctx, cancel := context.WithTimeoutCause(ctx, c.options.Deadline, errSlow)
		defer cancel()
		body, _, err := c.backend.open(ctx, name)
		if err != nil {
			return orCause(ctx, err)
		}
		defer body.Close()
		var buf bytes.Buffer
		n, err := io.Copy(&buf, io.LimitReader(body, limit+1))
		if err != nil {
			return orCause(ctx, err)
		}
		if n > limit {
			return fmt.Errorf("%w: %s is longer than %d bytes", ErrFalse, name, limit)
		}
		data = buf.Bytes()
		return nil
	})
	return data, err
}

// orCause prefers the reason for which ctx ended to what that did to a transfer.
func orCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// has asks whether a file is there.
func (c *Cache) has(ctx context.Context, name string) (there bool, err error) {
	err = c.retry(ctx, func() (err error) {
		there, err = c.backend.has(ctx, name)
		return err
	})
	return there, err
}

func (c *Cache) put(ctx context.Context, name string, s *spool) error {
	return c.retry(ctx, func() error { return c.backend.put(ctx, name, s) })
}

// retry takes a slot for a request and makes it, again if what went wrong may pass.
func (c *Cache) retry(ctx context.Context, request func() error) error {
	return c.options.again(ctx, func() error { return c.inSlot(ctx, request) })
}

// again makes a request, and once more if what went wrong may pass.
func (o Options) again(ctx context.Context, request func() error) error {
	for try := 0; ; try++ {
		err := request()
		if err == nil || !temporary(err) || ctx.Err() != nil || try >= o.Retries {
			return err
		}
		if err := o.Wait(ctx, 250*time.Millisecond<<(2*try)); err != nil {
			return err
		}
	}
}

func (c *Cache) inSlot(ctx context.Context, request func() error) error {
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-c.slots }()
	return request()
}
