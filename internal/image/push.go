package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	remotetransport "github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/errgroup"

	"headwater/internal/event"
)

// pushing is how many blobs are sent at the same time.
const pushing = 4

// PushOptions say how registries are reached.
type PushOptions struct {
	Keychain authn.Keychain                        // credentials by registry; nil: none
	Proxy    func(*http.Request) (*url.URL, error) // nil: none
	Agent    string                                // User-Agent
	Insecure bool                                  // no TLS, or a certificate that nobody vouches for, is fine
	Events   event.Sink                            // nil drops them; each blob that is sent is a node of kind "push"
	Wait     time.Duration                         // before the first retry; it doubles. Default 1 s
	Retries  int                                   // after a first failure; default 5
}

// complete sets what is not said to its default.
func (o PushOptions) complete() PushOptions {
	if o.Events == nil {
		o.Events = event.Discard
	}
	if o.Keychain == nil {
		o.Keychain = authn.NewMultiKeychain()
	}
	if o.Wait == 0 {
		o.Wait = time.Second
	}
	if o.Retries == 0 {
		o.Retries = 5
	}
	return o
}

// Pushed tells what Push did for one reference.
type Pushed struct {
	Ref    string // "HOST/NAME:TAG"
	Digest v1.Hash
	Sent   int64 // bytes of layers
	Layers int   // sent; the others were there, or were mounted from another repository
	There  bool  // the tag was this image already
}

// Repository is the reference by digest, "HOST/NAME@sha256:…".
func (p Pushed) Repository() string {
	ref, err := name.NewTag(p.Ref)
	if err != nil {
		return p.Ref
	}
	return ref.Context().Name() + "@" + p.Digest.String()
}

// Ref is where an image is to be pushed.
type Ref struct{ tag name.Tag }

// String is "HOST/NAME:TAG".
func (r Ref) String() string { return r.tag.Name() }

// Repository is "HOST/NAME".
func (r Ref) Repository() string { return r.tag.Context().Name() }

// RefError says that a text is no reference of an image that can be pushed to or read.
type RefError struct{ Ref, Cause string }

func (e *RefError) Error() string { return fmt.Sprintf("image reference %q: %s", e.Ref, e.Cause) }

// Hint says what to do.
func (e *RefError) Hint() string {
	return "name registry, repository and tag, such as registry.example/team/service:1.2"
}

// ParseRef reads HOST[:PORT]/NAME[:TAG]. The registry has to be named: none is taken by itself. Without a tag it is the given one.
func ParseRef(text, tag string, insecure bool) (Ref, error) {
	if strings.Contains(text, "://") {
		return Ref{}, &RefError{text, "it is an address"}
	}
	host, rest, ok := strings.Cut(text, "/")
	if !ok || !strings.ContainsAny(host, ".:") && host != "localhost" {
		return Ref{}, &RefError{text, "it names no registry"}
	}
	if strings.Contains(rest, "@") {
		return Ref{}, &RefError{text, "a digest cannot be chosen, it follows from the image"}
	}
	options := []name.Option{name.WithDefaultTag(tag)}
	if insecure {
		options = append(options, name.Insecure)
	}
	parsed, err := name.NewTag(text, options...)
	if err != nil {
		return Ref{}, &RefError{text, err.Error()}
	}
	return Ref{parsed}, nil
}

// ParseImage reads HOST[:PORT]/NAME[:TAG][@DIGEST], where an image is to be read: its repository, and the tag or digest that names it there,
// of which the digest has precedence. Without both the tag is "latest". The error is a *RefError.
func ParseImage(text string, insecure bool) (ref Ref, tagOrDigest string, err error) {
	at, digest, pinned := strings.Cut(text, "@")
	if ref, err = ParseRef(at, name.DefaultTag, insecure); err != nil {
		return Ref{}, "", &RefError{text, err.(*RefError).Cause}
	}
	if !pinned {
		return ref, ref.tag.TagStr(), nil
	}
	if _, err := v1.NewHash(digest); err != nil {
		return Ref{}, "", &RefError{text, err.Error()}
	}
	return ref, digest, nil
}

// Push brings an image to registries: what is there is neither packed nor sent, and what another repository of the same registry was given
// before is asked for by name. Blobs go before the manifest, so a tag never names what is not whole. Afterwards each tag is read again and
// compared. What fails for a reason that may pass is tried again, a blob from its start. The error is an *Error or a *DamagedError; what was
// pushed before it is returned as well.
func Push(ctx context.Context, img *Image, refs []Ref, o PushOptions) ([]Pushed, error) {
	o = o.complete()
	way := transport(o)
	var done []Pushed
	for _, ref := range refs {
		p := &push{PushOptions: o, image: img, ref: ref, transport: way}
		one, err := p.run(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return done, context.Cause(ctx)
			}
			if damaged := (*DamagedError)(nil); errors.As(err, &damaged) {
				return done, err
			}
			return done, &Error{Ref: ref.String(), Err: err, hint: p.hint(err)}
		}
		done = append(done, one)
	}
	return done, nil
}

// push is the way of one image to one reference.
type push struct {
	PushOptions
	image     *Image
	ref       Ref
	transport http.RoundTripper

	moved  bool         // the tag names another image
	sent   atomic.Int64 // bytes of layers, those of broken off attempts among them
	layers atomic.Int64 // that were sent
}

func (p *push) options(ctx context.Context) []remote.Option {
	return []remote.Option{
		remote.WithContext(ctx), remote.WithTransport(p.transport), remote.WithAuthFromKeychain(p.Keychain), remote.WithUserAgent(p.Agent),
		remote.WithJobs(pushing), remote.WithRetryPredicate(passing),
		remote.WithRetryBackoff(remote.Backoff{Duration: p.Wait, Factor: 2, Jitter: 0.1, Steps: p.Retries + 1, Cap: time.Minute}),
	}
}

// passing tells what may be different the next time.
func passing(err error) bool {
	var answer *remotetransport.Error
	if errors.As(err, &answer) {
		return answer.Temporary() || answer.StatusCode >= 500 && answer.StatusCode != http.StatusNotImplemented
	}
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, fs.ErrClosed) // a token ended just then: the library asks for another and sends a body that is spent
}

// attempts is how often all of it is done where a blob that was there has gone by the time that the manifest names it.
const attempts = 2

func (p *push) run(ctx context.Context) (Pushed, error) {
	done := Pushed{Ref: p.ref.String(), Digest: p.image.Hash}
	there, err := p.tagged(ctx)
	if err != nil {
		return done, err
	}
	for n := 1; ; n++ {
		err := p.once(ctx, there)
		if err == nil {
			break
		}
		if n == attempts || !vanished(err) {
			return done, err
		}
		there = false
	}
	if !there {
		if same, err := p.tagged(ctx); err != nil {
			return done, fmt.Errorf("read the tag again: %w", err)
		} else if !same {
			return done, &falseError{"the registry took the image, and yet has something else under the tag"}
		}
	}
	for _, l := range p.image.layers {
		if err := l.note(p.ref.tag.Context().Name()); err != nil {
			return done, err
		}
	}
	done.Sent, done.Layers, done.There = p.sent.Load(), int(p.layers.Load()), there
	return done, nil
}

// tagged tells whether the tag names this image.
func (p *push) tagged(ctx context.Context) (bool, error) {
	have, err := remote.Get(p.ref.tag, p.options(ctx)...)
	var answer *remotetransport.Error
	switch {
	case errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound:
		return false, nil
	case err != nil:
		return false, err
	}
	want, err := p.image.RawManifest()
	if err != nil {
		return false, err
	}
	p.moved = !bytes.Equal(have.Manifest, want)
	return !p.moved, nil
}

// once sends what is not there, and tags it unless the tag is there. Blobs are looked for even then: a registry may have lost them.
func (p *push) once(ctx context.Context, tagged bool) error {
	pusher, err := remote.NewPusher(p.options(ctx)...)
	if err != nil {
		return err
	}
	config, err := partial.ConfigLayer(p.image)
	if err != nil {
		return err
	}
	repository := p.ref.tag.Context()
	group, uploading := errgroup.WithContext(ctx)
	group.SetLimit(pushing)
	for _, l := range p.image.layers {
		group.Go(func() error { return p.layer(uploading, pusher, l) })
	}
	group.Go(func() error { return pusher.Upload(uploading, repository, config) })
	if err := group.Wait(); err != nil || tagged && p.layers.Load() == 0 {
		return err
	}
	return pusher.Put(ctx, p.ref.tag, p.image)
}

// layer brings one layer there.
func (p *push) layer(ctx context.Context, pusher *remote.Pusher, l *layer) (err error) {
	s := &sending{layer: l, push: p}
	defer func() { s.finish(err) }()
	from, ok := p.elsewhere(l)
	if !ok {
		return pusher.Upload(ctx, p.ref.tag.Context(), s)
	}
	err = pusher.Upload(ctx, p.ref.tag.Context(), &remote.MountableLayer{Layer: s, Reference: from})
	var answer *remotetransport.Error
	if errors.As(err, &answer) && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden) {
		// The other repository may be one that these credentials must not read.
		return pusher.Upload(ctx, p.ref.tag.Context(), s)
	}
	return err
}

// elsewhere is another repository of the same registry that was given the layer.
func (p *push) elsewhere(l *layer) (name.Reference, bool) {
	here := p.ref.tag.Context()
	if slices.Contains(l.record.At, here.Name()) {
		return nil, false // it is there, or was deleted
	}
	for _, at := range l.record.At {
		repository, err := name.NewRepository(at)
		if err == nil && repository.RegistryStr() == here.RegistryStr() {
			repository.Registry = here.Registry // as insecure as this one
			return repository.Digest(l.record.Digest.String()), true
		}
	}
	return nil, false
}

// sending is a layer that tells how far it is; one that is there already is never read.
type sending struct {
	*layer
	push    *push
	began   time.Time
	started atomic.Bool
}

func (s *sending) node() event.Node {
	return event.Node{ID: "push " + s.push.ref.String() + " " + s.record.Digest.String(), Kind: "push", Name: s.title + " to " + s.push.ref.String()}
}

// Compressed implements v1.Layer.
func (s *sending) Compressed() (io.ReadCloser, error) {
	if !s.started.Swap(true) {
		s.began = time.Now()
		s.push.layers.Add(1)
		s.push.Events(event.Started{Node: s.node()})
	}
	r, err := s.layer.Compressed()
	if err != nil {
		return nil, err
	}
	return &told{ReadCloser: r, sending: s}, nil
}

func (s *sending) finish(err error) {
	if s.started.Load() {
		s.push.Events(event.Finished{Node: s.node(), Duration: time.Since(s.began), Bytes: s.record.Size, Err: err})
	}
}

// told counts what is sent.
type told struct {
	io.ReadCloser
	sending *sending
	n       int64
	last    int64
}

func (t *told) Read(b []byte) (int, error) {
	n, err := t.ReadCloser.Read(b)
	t.n += int64(n)
	t.sending.push.sent.Add(int64(n))
	if t.n-t.last >= tellEach {
		t.last = t.n
		t.sending.push.Events(event.Progress{Node: t.sending.node(), Done: t.n, Total: t.sending.record.Size})
	}
	return n, err
}
