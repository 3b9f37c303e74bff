package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"time"

	"headwater/internal/artifact"
	"headwater/internal/nix"
	"headwater/internal/registry"
)

// Options adjust a Client. The zero value of each field means the default.
type Options struct {
	Cache    string            // folder for registries' indexes, made when needed; "": they are not kept
	Parallel int               // downloads at a time; default 32
	PerHost  int               // downloads at a time from one host; default 16
	Rounds   int               // how often the addresses of an artifact are gone through; default 5
	Backoff  time.Duration     // before the second round, doubled for each further one, half of it by chance; default 500 ms
	MaxWait  time.Duration     // the longest Retry-After that is waited for; default 2 minutes
	Stall    time.Duration     // without a byte for so long, a connection is given up; default 30 s
	MaxSize  int64             // bytes of an artifact whose size the lock does not know; default 8 GiB
	Agent    string            // the User-Agent; default "headwater"
	HTTP     http.RoundTripper // default: a transport of its own, with HTTP/2 and the registry's proxy

	// Git writes the tree of a repository's commit as a tar file; nil: there is no git.
	Git func(ctx context.Context, repository, commit string, w io.Writer) error
}

func (o Options) withDefaults(r *registry.Registry) Options {
	def(&o.Parallel, 32)
	def(&o.PerHost, 16)
	def(&o.Rounds, 5)
	def(&o.Backoff, 500*time.Millisecond)
	def(&o.MaxWait, 2*time.Minute)
	def(&o.Stall, 30*time.Second)
	def(&o.MaxSize, 8<<30)
	def(&o.Agent, "headwater")
	if o.HTTP == nil {
		o.HTTP = newTransport(r, o.PerHost)
	}
	return o
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Client downloads. It is safe for concurrent use.
type Client struct {
	registry  *registry.Registry
	options   Options
	http      *http.Client
	gate      *gate
	documents *documents
}

// New makes a Client.
func New(r *registry.Registry, o Options) *Client {
	o = o.withDefaults(r)
	c := &Client{registry: r, options: o, gate: newGate(o.Parallel, o.PerHost), documents: newDocuments(o.Cache)}
	c.http = &http.Client{Transport: o.HTTP, CheckRedirect: c.checkRedirect}
	return c
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Result says what was downloaded.
type Result struct {
	Hash nix.Hash         // of the file: of the artifact's kind, or SHA-256 if the artifact has no hash
	Size int64            // bytes
	From registry.Address // where it came from; its URL is the file's own, before redirects
}

// Fetch downloads a to the file dst, which must not exist, in a folder that does. If a has no hash, what is served is taken:
// that is for locking. progress, if not nil, hears the bytes done and to do, 0 for unknown; it may hear fewer after more, when
// a download starts over. The error is a *GoneError, a *Error, the context's or about the local file.
func (c *Client) Fetch(ctx context.Context, a artifact.Artifact, dst string, progress func(done, total int64)) (Result, error) {
	p, err := newPartial(dst, a, c.options.MaxSize, progress)
	if err != nil {
		return Result{}, fmt.Errorf("fetch %s: %w", title(a), err)
	}
	defer p.remove()
	var from registry.Address
	err = c.walk(ctx, a, c.registry.Addresses(ctx, a), func(ctx context.Context, at registry.Address) error {
		at, err := c.locate(ctx, at)
		if err != nil {
			return err
		}
		from = at
		return c.download(ctx, at, p)
	})
	if err != nil {
		return Result{}, err
	}
	if err := p.finish(); err != nil {
		return Result{}, fmt.Errorf("fetch %s: %w", title(a), err)
	}
	return Result{Hash: p.sum(), Size: p.size, From: from}, nil
}

// place is an address that failed for now.
type place struct {
	registry.Address
	due time.Time // not to be asked again before
}

// walk asks the addresses in order until one serves, and those that failed for now again, in rounds.
func (c *Client) walk(ctx context.Context, a artifact.Artifact, seq iter.Seq2[registry.Address, error], ask func(context.Context, registry.Address) error) error {
	var failed []Try
	var waiting []place
	// visit reports whether the walk ends there, by success or by what no other address would change.
	visit := func(at registry.Address, round int) (end bool, err error) {
		err = ask(ctx, at)
		var later *laterError
		switch {
		case err == nil || ctx.Err() != nil || errors.As(err, new(*localError)):
			return true, c.wrap(ctx, a, err)
		case errors.As(err, &later) && round+1 < c.options.Rounds && later.after <= c.options.MaxWait:
			waiting = append(waiting, place{at, time.Now().Add(max(later.after, c.backoff(round)))})
		default:
			failed = append(failed, Try{at, err})
		}
		return false, nil
	}
	for at, err := range seq {
		if err != nil {
			failed = append(failed, Try{at, err})
		} else if end, err := visit(at, 0); end {
			return err
		}
	}
	for round := 1; len(waiting) > 0; round++ {
		places := waiting
		waiting = nil
		for _, p := range places {
			if err := sleepUntil(ctx, p.due); err != nil {
				return c.wrap(ctx, a, err)
			}
			if end, err := visit(p.Address, round); end {
				return err
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return c.wrap(ctx, a, err)
	}
	return failure(a, failed)
}

// wrap names the artifact in an error that ends its walk.
func (c *Client) wrap(ctx context.Context, a artifact.Artifact, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("fetch %s: %w", title(a), err)
}

// locate looks the artifact's own address up where only an index knows it.
func (c *Client) locate(ctx context.Context, at registry.Address) (registry.Address, error) {
	if at.Find == nil {
		return at, nil
	}
	find := at.Find
	// What an index said once of a file of a known name stays true, so an old copy will do, if it has the file.
	doc, err := c.document(ctx, at, maybeOld)
	if err != nil {
		return at, fmt.Errorf("look up in index: %w", err)
	}
	found, err := find(doc)
	if errors.As(err, new(*registry.AbsentError)) {
		if doc, err = c.document(ctx, at, current); err != nil {
			return at, fmt.Errorf("look up in index: %w", err)
		}
		found, err = find(doc)
	}
	if err != nil {
		return at, err
	}
	return registry.Address{URL: found, From: at.From}, nil
}
