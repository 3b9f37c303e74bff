package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"path/filepath"
	"time"

	"headwater/internal/artifact"
	"headwater/internal/cache"
	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/engine/local"
	"headwater/internal/event"
	"headwater/internal/fetch"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/pin"
	"headwater/internal/recipe"
	"headwater/internal/registry"
	"headwater/internal/rootfs"
	"headwater/internal/source/obtain"
	"headwater/internal/store"
	"headwater/internal/ui"
)

// builder is an open store with an engine over it.
type builder struct {
	store    *store.Store
	client   *fetch.Client
	engine   engine.Engine
	renderer ui.Renderer
	events   event.Sink
	resolver *rootfs.Resolver
	caches   *cache.Substituter // nil: nothing is taken from caches

	openCache func(address string) (*cache.Cache, error)

	// place is where the operator's recipe says that an artifact is, nil until a project is looked at.
	place func(artifact.Artifact) (registry.Address, bool)
	hints map[string]string // addresses that upstream's lock names, by what they are of: reference and hash
}

// openBuilder opens the store; date is when a lock was made, for what is only to be had as of that day.
func (a *app) openBuilder(ctx context.Context, date time.Time) (*builder, error) {
	return a.openBuilderWith(ctx, date, cacheChoice{})
}

// openBuilderWith is openBuilder with caches of the user's choice, beside those of caches.yaml.
func (a *app) openBuilderWith(ctx context.Context, date time.Time, caches cacheChoice) (*builder, error) {
	s, err := a.openStore(ctx)
	if err != nil {
		return nil, err
	}
	b := &builder{store: s, renderer: a.renderer()}
	b.events = b.renderer.Emit
	reg, err := a.openRegistry(registry.Options{ClientFile: b.clientFile})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	config := local.Config{Store: s, Getenv: a.getenv, Fetch: b.fetch}
	substituter, err := a.openSubstituter(s, reg, caches, b.events)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	b.caches = substituter
	b.openCache = func(address string) (*cache.Cache, error) { return cache.Open(address, a.cacheOptions(reg)) }
	if substituter != nil { // else the interface would not be nil
		config.Caches = substituter
	}
	b.client = fetch.New(reg.At(date).Replacing(b.placed), fetch.Options{
		Cache: filepath.Join(a.xdg("XDG_CACHE_HOME", ".cache"), "indexes"), Agent: "headwater/" + version(),
		Git: func(ctx context.Context, repository, commit string, w io.Writer) error {
			return obtain.Tar(ctx, repository, commit, a.sources(), w)
		},
	})
	b.engine = local.New(config)
	// Now, whatever the lock's date: what is asked for is what a suite has today, and today's signatures are younger than the lock.
	b.resolver = rootfs.NewResolver(rootfs.Options{Archive: b.network(), At: a.now()})
	return b, nil
}

// Close ends the status line and closes the store.
func (b *builder) Close() error {
	b.client.Close()
	b.renderer.Close()
	return b.store.Close()
}

func (b *builder) fetch(ctx context.Context, a artifact.Artifact, dst string, progress func(done, total int64)) (int64, error) {
	a.Hint = cmp.Or(a.Hint, b.hints[a.Ref()+" "+a.Hash.String()]) // a derivation has none
	r, err := b.client.Fetch(ctx, a, dst, progress)
	return r.Size, err
}

func (b *builder) network() *pin.Network { return &pin.Network{Store: b.store, Fetcher: b.client} }

// clientFile reads a file out of a Debian package: what a client takes as its registry when nothing is set.
func (b *builder) clientFile(ctx context.Context, pkg, file string) ([]byte, error) {
	return b.resolver.File(ctx, clientSuite, pkg, file)
}

// clientSuite is the Debian release whose packages tell the clients' own defaults.
const clientSuite = "stable"

// realise builds the goals. Everything that went wrong was shown as it happened; the error says it once more.
func (b *builder) realise(ctx context.Context, o engine.Options, goals ...*dag.Node) error {
	o.Events = b.events
	_, err := b.engine.Realise(ctx, goals, o)
	return err
}

// realiseOne builds what locking asks for.
func (b *builder) realiseOne(ctx context.Context, n *dag.Node) (string, error) {
	if err := b.realise(ctx, engine.Options{}, n); err != nil {
		return "", err
	}
	return b.store.RealPath(n.Path()), nil
}

// roots pins roots with the builder's store.
func (b *builder) roots() pin.Roots { return rootPinner{b} }

type rootPinner struct{ *builder }

func (r rootPinner) Resolve(ctx context.Context, want recipe.Root) ([]lock.Artifact, error) {
	return r.resolver.Resolve(ctx, want)
}

func (r rootPinner) Hash(ctx context.Context, name string, packages []lock.Artifact) (nix.Hash, error) {
	return rootfs.Pin(ctx, rootfs.PinRequest{Name: name, Packages: packages, Archive: r.network(), Store: r.store})
}
