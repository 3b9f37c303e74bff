package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"headwater/internal/event"
	"headwater/internal/nix"
	"headwater/internal/nix/narinfo"
	"headwater/internal/store"
)

// Source is a cache and the keys that are trusted for it. Without keys only what is content-addressed is taken.
type Source struct {
	Cache *Cache
	Keys  []narinfo.PublicKey
}

// Trust tells whether info is to be believed: a trusted key has signed it, or its path follows from the content.
func Trust(info *narinfo.Info, keys []narinfo.PublicKey) error {
	if info.ContentAddressed() || len(info.SignedBy(keys)) > 0 {
		return nil
	}
	var names []string
	for _, sig := range info.Sigs {
		name, _, _ := strings.Cut(sig, ":")
		names = append(names, fmt.Sprintf("%.60q", name))
	}
	for i := range names {
		if slices.ContainsFunc(keys, func(k narinfo.PublicKey) bool { return fmt.Sprintf("%.60q", k.Name()) == names[i] }) {
			return fmt.Errorf("%w: the signature by %s is false", ErrUntrusted, names[i])
		}
	}
	switch {
	case len(names) == 0:
		return fmt.Errorf("%w: there is no signature", ErrUntrusted)
	case len(names) > 5:
		names = append(names[:5], "…")
	}
	return fmt.Errorf("%w: it is signed by %s", ErrUntrusted, strings.Join(names, ", "))
}

// PullOptions of a Substituter. The zero value of each field means the default.
type PullOptions struct {
	Downloads int        // of NARs at a time; default 8
	Events    event.Sink // hears, once for each cache, why it is not used; nil drops it
}

// Substituter takes store paths from caches into a store. It remembers, as long as it lives, what the caches said. The first
// cache that has a path and is to be believed gives it. It may be used by several goroutines.
type Substituter struct {
	store     *store.Store
	sources   []*source
	events    event.Sink
	downloads chan struct{}

	mu    sync.Mutex // guards known
	known map[nix.StorePath]*entry
}

// source is a Source in use.
type source struct {
	Source
	mu     sync.Mutex
	down   error // why it is no longer asked
	warned bool
}

// entry is what the caches say of one path.
type entry struct {
	asking chan struct{} // holds a token while somebody asks
	next   int           // the first source that was not asked
	offer  *offer        // nil if none of those has it
	faults []error       // why not
}

// offer is a path that a source has and is believed to have.
type offer struct {
	from *source
	info *narinfo.Info
}

// NewSubstituter makes a Substituter of caches, the preferred first.
func NewSubstituter(s *store.Store, sources []Source, o PullOptions) *Substituter {
	def(&o.Downloads, 8)
	if o.Events == nil {
		o.Events = event.Discard
	}
	sub := &Substituter{store: s, events: o.Events, downloads: make(chan struct{}, o.Downloads), known: map[nix.StorePath]*entry{}}
	for _, src := range sources {
		sub.sources = append(sub.sources, &source{Source: src})
	}
	return sub
}

// locate finds out which source gives a path. The error tells why none does.
func (s *Substituter) locate(ctx context.Context, p nix.StorePath) (*offer, error) {
	e := s.entry(p)
	select {
	case e.asking <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-e.asking }()
	for e.offer == nil && e.next < len(s.sources) {
		src := s.sources[e.next]
		info, err := src.ask(ctx, p)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		e.next++
		if err != nil {
			e.faults = append(e.faults, err)
			s.warn(src, err)
			continue
		}
		e.offer = &offer{src, info}
	}
	if e.offer == nil {
		return nil, errors.Join(e.faults...)
	}
	return e.offer, nil
}

func (s *Substituter) entry(p nix.StorePath) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.known[p]
	if e == nil {
		e = &entry{asking: make(chan struct{}, 1)}
		s.known[p] = e
	}
	return e
}

// reject notes that an offer turned out to be false, or that its source is gone.
func (s *Substituter) reject(p nix.StorePath, o *offer, fault error) {
	s.warn(o.from, fault)
	e := s.entry(p)
	e.asking <- struct{}{}
	defer func() { <-e.asking }()
	if e.offer == o {
		e.offer, e.faults = nil, append(e.faults, fault)
	}
}

func (src *source) ask(ctx context.Context, p nix.StorePath) (*narinfo.Info, error) {
	if err := src.isDown(); err != nil {
		return nil, err
	}
	info, err := src.Cache.Lookup(ctx, p)
	if err != nil {
		return nil, err
	}
	if err := Trust(info, src.Keys); err != nil {
		return nil, src.Cache.fail(p, err)
	}
	return info, nil
}

func (src *source) isDown() error {
	src.mu.Lock()
	defer src.mu.Unlock()
	return src.down
}

// warn says once for each source what is wrong with it, and sees to it that one that cannot be reached is not asked again.
func (s *Substituter) warn(src *source, err error) {
	if errors.Is(err, ErrAbsent) {
		return
	}
	src.mu.Lock()
	then, told := "not taken", src.warned
	if ofCache(err) {
		then, told = "going on without this cache", src.down != nil
		src.down = err
	}
	src.warned = true
	src.mu.Unlock()
	if !told {
		s.events(event.Message{Level: event.Warning, Text: err.Error() + "; " + then})
	}
}

// Available tells which of the paths can be had, with all that they refer to and that is not valid. A cache that cannot be
// reached has nothing; the error is ctx's or the store's.
func (s *Substituter) Available(ctx context.Context, paths []nix.StorePath) ([]nix.StorePath, error) {
	if len(s.sources) == 0 || len(paths) == 0 {
		return nil, nil
	}
	c, err := s.closure(ctx, paths)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(paths), func(p nix.StorePath) bool { return c.lacks[p] }), nil
}

// closure is what paths need.
type closure struct {
	offers map[nix.StorePath]*offer // of what is not valid and can be had
	order  []nix.StorePath          // the keys of offers, references first
	faults map[nix.StorePath]error  // why what is neither is not
	lacks  map[nix.StorePath]bool   // what cannot be had with all that it needs
}

// lookups bounds how many paths are looked up at a time, over all sources.
const lookups = 64

// closure looks up what is not valid of paths and all that they refer to, all paths at the same distance together.
func (s *Substituter) closure(ctx context.Context, paths []nix.StorePath) (*closure, error) {
	c := &closure{offers: map[nix.StorePath]*offer{}, faults: map[nix.StorePath]error{}, lacks: map[nix.StorePath]bool{}}
	seen := map[nix.StorePath]bool{}
	for level := paths; len(level) > 0; {
		var ask []nix.StorePath
		for _, p := range level {
			if !seen[p] {
				seen[p] = true
				ask = append(ask, p)
			}
		}
		ask, err := s.invalid(ctx, ask)
		if err != nil {
			return nil, err
		}
		offers, faults := make([]*offer, len(ask)), make([]error, len(ask))
		each(lookups, len(ask), func(i int) { offers[i], faults[i] = s.locate(ctx, ask[i]) })
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		level = nil
		for i, p := range ask {
			if faults[i] != nil {
				c.faults[p] = faults[i]
				continue
			}
			c.offers[p] = offers[i]
			level = append(level, offers[i].info.Refs...)
		}
	}
	c.arrange(paths)
	return c, nil
}

// invalid are those of the paths that are not valid; those that are stay so.
func (s *Substituter) invalid(ctx context.Context, paths []nix.StorePath) ([]nix.StorePath, error) {
	if err := s.store.AddTempRoot(ctx, paths...); err != nil {
		return nil, err
	}
	valid, err := s.store.Valid(ctx, paths...)
	if err != nil {
		return nil, err
	}
	there := make(map[nix.StorePath]bool, len(valid))
	for _, p := range valid {
		there[p] = true
	}
	return slices.DeleteFunc(paths, func(p nix.StorePath) bool { return there[p] }), nil
}

// arrange puts what is to be had in order, and finds what is lacking, or refers to what is.
func (c *closure) arrange(paths []nix.StorePath) {
	const (
		entered = 1 + iota
		left
	)
	state := map[nix.StorePath]int{}
	var visit func(p nix.StorePath)
	visit = func(p nix.StorePath) {
		if state[p] == left {
			return
		}
		o := c.offers[p]
		switch {
		case o == nil:
			c.lacks[p] = c.faults[p] != nil
		case state[p] == entered:
			c.faults[p] = o.from.Cache.fail(p, fmt.Errorf("%w: its references lead back to it", ErrFalse))
			c.lacks[p] = true
		default:
			state[p] = entered
			for _, r := range o.info.Refs {
				if r != p {
					visit(r)
					c.lacks[p] = c.lacks[p] || c.lacks[r]
				}
			}
			c.order = append(c.order, p)
		}
		state[p] = left
	}
	for _, p := range paths {
		visit(p)
	}
}

// each calls f for 0 to n-1, at most limit at a time, and waits for all.
func each(limit, n int, f func(i int)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, limit)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			f(i)
		})
	}
	wg.Wait()
}
