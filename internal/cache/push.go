package cache

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"headwater/internal/event"
	"headwater/internal/nix"
	"headwater/internal/nix/nar"
	"headwater/internal/nix/narinfo"
	"headwater/internal/store"
)

// PushOptions say what is pushed where. Store and Cache are required.
type PushOptions struct {
	Store       *store.Store
	Cache       *Cache
	Key         *narinfo.SecretKey // nil: nothing is signed that is not signed already
	Compression Compression        // default Zstd
	Compressing int                // NARs at a time; default one per processor
	Events      event.Sink         // nil drops them; each path sent is a node of kind "push"
}

// Pushed tells what Push did.
type Pushed struct {
	Paths    []nix.StorePath // sent, sorted
	There    int             // paths that the cache had
	Bytes    int64           // sent, of compressed NARs
	Unsigned int             // of Paths: neither signed nor content-addressed, so that nobody will take them
}

// Push sends to a cache what it lacks of the paths and all that they refer to. A path appears in the cache once its references
// are there, so what a broken off push leaves is a good cache. What is sent is compared with what the store says it is.
func Push(ctx context.Context, o PushOptions, paths []nix.StorePath) (Pushed, error) {
	def(&o.Compression, Zstd)
	def(&o.Compressing, runtime.NumCPU())
	if o.Events == nil {
		o.Events = event.Discard
	}
	if err := o.Cache.prepare(ctx); err != nil {
		return Pushed{}, o.Cache.fail("", err)
	}
	parcels, total, err := missing(ctx, o, paths)
	if err != nil {
		return Pushed{}, err
	}
	o.Events(event.Planned{Total: total, Todo: len(parcels)})
	dir, err := o.Cache.backend.spoolDir()
	remove := func() error { return nil }
	if err == nil && dir == "" {
		dir, remove, err = o.Store.TempDir(ctx)
	}
	if err != nil {
		return Pushed{}, o.Cache.fail("", err)
	}
	p := &pushing{
		PushOptions: o, dir: dir, compressor: compressor{compression: o.Compression},
		compressing: make(chan struct{}, o.Compressing), started: make(chan struct{}, o.Compressing+o.Cache.options.Requests), sent: map[nix.Hash]*packed{},
	}
	done, err := p.run(ctx, parcels)
	done.There = total - len(parcels)
	return done, errors.Join(err, remove())
}

// parcel is one path to send.
type parcel struct {
	info  store.PathInfo
	needs []*parcel     // references that are to be sent too
	done  chan struct{} // closed when the path is in the cache
	err   error         // read after done is closed
}

// missing are those of the paths and all that they refer to that the cache lacks, references first. total counts all.
func missing(ctx context.Context, o PushOptions, paths []nix.StorePath) (parcels []*parcel, total int, err error) {
	if err := o.Store.AddTempRoot(ctx, paths...); err != nil {
		return nil, 0, err
	}
	closure, err := o.Store.Closure(ctx, paths, false)
	if err != nil {
		return nil, 0, err
	}
	there, faults := make([]bool, len(closure)), make([]error, len(closure))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	each(o.Cache.options.Requests, len(closure), func(i int) {
		if there[i], faults[i] = o.Cache.has(ctx, closure[i].Digest()+narinfoExt); faults[i] != nil {
			cancel(o.Cache.fail(closure[i], faults[i])) // the others would only add to it
		}
	})
	if err := context.Cause(ctx); err != nil {
		return nil, 0, err
	}
	byPath := map[nix.StorePath]*parcel{}
	for i, p := range closure {
		if there[i] {
			continue
		}
		info, err := o.Store.Query(ctx, p)
		if err != nil {
			return nil, 0, err
		}
		byPath[p] = &parcel{info: info, done: make(chan struct{})}
	}
	return arrange(closure, byPath), len(closure), nil
}

// arrange links parcels and puts them in order.
func arrange(paths []nix.StorePath, byPath map[nix.StorePath]*parcel) []*parcel {
	var ordered []*parcel
	seen := map[*parcel]bool{}
	var visit func(*parcel)
	visit = func(p *parcel) {
		if p == nil || seen[p] {
			return
		}
		seen[p] = true
		for _, r := range p.info.Refs {
			if need := byPath[r]; need != nil && need != p {
				visit(need)
				p.needs = append(p.needs, need)
			}
		}
		ordered = append(ordered, p)
	}
	for _, path := range paths {
		visit(byPath[path])
	}
	return ordered
}

// pushing is one call of Push.
type pushing struct {
	PushOptions
	dir         string // for spools
	compressor  compressor
	compressing chan struct{} // a token for each NAR that is compressed
	started     chan struct{} // a token for each NAR that is compressed or uploaded

	mu   sync.Mutex // guards sent
	sent map[nix.Hash]*packed
}

// packed is a compressed NAR in the cache. Paths of equal content share it.
type packed struct {
	ready chan struct{} // closed when the rest is known
	name  string
	hash  nix.Hash
	size  int64
	err   error
}

func (p *pushing) run(ctx context.Context, parcels []*parcel) (Pushed, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, x := range parcels {
		p.started <- struct{}{} // in order: what others wait for comes first
		var released sync.Once
		release := func() { released.Do(func() { <-p.started }) }
		wg.Go(func() {
			defer close(x.done)
			defer release()
			if x.err = p.send(ctx, x, release); x.err != nil {
				cancel(x.err)
			}
		})
	}
	wg.Wait()
	done := Pushed{}
	for _, x := range parcels {
		if x.err != nil {
			continue
		}
		done.Paths = append(done.Paths, x.info.Path)
		if x.info.CA.IsZero() && len(x.info.Sigs) == 0 && p.Key == nil {
			done.Unsigned++
		}
	}
	slices.Sort(done.Paths)
	for _, n := range p.sent {
		if n.err == nil {
			done.Bytes += n.size
		}
	}
	return done, context.Cause(ctx)
}

// send brings one path into the cache: its NAR, and then, once its references are there, its narinfo.
func (p *pushing) send(ctx context.Context, x *parcel, narSent func()) (err error) {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	node := event.Node{ID: string(x.info.Path), Kind: "push", Name: x.info.Path.Name()}
	p.Events(event.Started{Node: node})
	began := time.Now()
	size := int64(0)
	defer func() {
		p.Events(event.Finished{Node: node, Duration: time.Since(began), Bytes: size, Err: err})
	}()
	packed, err := p.sendNAR(ctx, x.info)
	narSent()
	if err != nil {
		return err
	}
	size = packed.size
	for _, need := range x.needs {
		select {
		case <-need.done:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	info := &narinfo.Info{
		Path: x.info.Path, URL: packed.name, Compression: string(p.Compression), FileHash: packed.hash, FileSize: packed.size,
		NARHash: x.info.NARHash, NARSize: x.info.NARSize, Refs: x.info.Refs, Deriver: x.info.Deriver, Sigs: slices.Clone(x.info.Sigs), CA: x.info.CA,
	}
	if p.Key != nil {
		info.Sign(*p.Key)
	}
	err = p.Cache.put(ctx, info.Path.Digest()+narinfoExt, textSpool(info.Marshal(), narinfoType))
	return p.Cache.fail(info.Path, err)
}

// sendNAR compresses a path's NAR and uploads it, unless that was done for an equal one or the cache has it.
func (p *pushing) sendNAR(ctx context.Context, info store.PathInfo) (*packed, error) {
	p.mu.Lock()
	n, other := p.sent[info.NARHash]
	if !other {
		n = &packed{ready: make(chan struct{})}
		p.sent[info.NARHash] = n
	}
	p.mu.Unlock()
	if !other {
		n.err = p.pack(ctx, info, n)
		close(n.ready)
	}
	select {
	case <-n.ready:
		return n, n.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (p *pushing) pack(ctx context.Context, info store.PathInfo, n *packed) (err error) {
	s := &spool{dir: p.dir, contentType: "application/x-nix-nar"}
	defer func() { err = errors.Join(err, s.Close()) }()
	if n.hash, err = p.compress(ctx, info, s); err != nil {
		return err
	}
	n.size, n.name = s.size, narName(n.hash.Base32(), p.Compression)
	there, err := p.Cache.has(ctx, n.name)
	if err == nil && !there {
		err = p.Cache.put(ctx, n.name, s)
	}
	return p.Cache.fail(info.Path, err)
}

// compress fills a spool and tells the hash of what is in it. The tree must be what the store says it is.
func (p *pushing) compress(ctx context.Context, info store.PathInfo, s *spool) (nix.Hash, error) {
	select {
	case p.compressing <- struct{}{}:
	case <-ctx.Done():
		return nix.Hash{}, context.Cause(ctx)
	}
	defer func() { <-p.compressing }()
	sum := nix.NewSummer()
	w, err := p.compressor.to(&tee{s, sum}, info.NARSize)
	if err != nil {
		return nix.Hash{}, err
	}
	hash, size, err := nar.Hash(ctx, p.Store.RealPath(info.Path), w)
	if err != nil {
		return nix.Hash{}, err
	}
	if err := w.Close(); err != nil {
		return nix.Hash{}, err
	}
	if hash != info.NARHash || size != info.NARSize {
		return nix.Hash{}, &DamagedError{info.Path}
	}
	file, _ := sum.Sum()
	return file, nil
}

// tee writes to a spool and hashes.
type tee struct {
	s   *spool
	sum *nix.Summer
}

func (t *tee) Write(b []byte) (int, error) {
	t.sum.Write(b) // never fails
	return t.s.Write(b)
}

// DamagedError says that a path of the store is not what the store says it is.
type DamagedError struct{ Path nix.StorePath }

func (e *DamagedError) Error() string {
	return fmt.Sprintf("push %s: its files are not what the store has registered", e.Path)
}

// Hint says what to do.
func (e *DamagedError) Hint() string { return "run headwater store verify --repair" }
