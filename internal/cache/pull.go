package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"headwater/internal/nix"
	"headwater/internal/store"
)

// Pulled tells what Pull did.
type Pulled struct {
	Paths []nix.StorePath // made valid, references first
	Bytes int64           // received
}

// Take is Pull for who wants to know no more than how many bytes came.
func (s *Substituter) Take(ctx context.Context, paths []nix.StorePath, progress func(done, total int64)) (int64, error) {
	done, err := s.Pull(ctx, paths, progress)
	return done.Bytes, err
}

// Pull makes the paths valid, with all that they refer to. progress hears of bytes, done and in all; it may be called by several
// goroutines at a time. If Pull fails, what it had taken by then stays: each path is whole.
func (s *Substituter) Pull(ctx context.Context, paths []nix.StorePath, progress func(done, total int64)) (Pulled, error) {
	c, err := s.closure(ctx, paths)
	if err != nil {
		return Pulled{}, err
	}
	if err := c.complete(paths); err != nil {
		return Pulled{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := &pulling{
		Substituter: s, items: make([]*item, len(c.order)), got: make(chan *item),
		open: make(chan struct{}, maxOpen), progress: progress,
	}
	if p.progress == nil {
		p.progress = func(int64, int64) {}
	}
	p.arrange(c)
	next := make(chan *item)
	var wg sync.WaitGroup
	wg.Go(func() { p.feed(ctx, next) })
	for range cap(s.downloads) {
		wg.Go(func() {
			for it := range next {
				if err := p.take(ctx, it); err != nil {
					cancel(err)
					continue
				}
				select {
				case p.got <- it:
				case <-ctx.Done():
				}
			}
		})
	}
	err = p.collect(ctx)
	if cause := context.Cause(ctx); cause != nil { // what a worker met comes before what that led to
		err = cause
	}
	cancel(err)
	wg.Wait()
	return Pulled{p.done, p.received.Load()}, errors.Join(err, p.release())
}

// complete tells why a closure is not.
func (c *closure) complete(paths []nix.StorePath) error {
	if !slices.ContainsFunc(paths, func(p nix.StorePath) bool { return c.lacks[p] }) {
		return nil
	}
	lacking := make([]nix.StorePath, 0, len(c.faults))
	for p := range c.faults {
		lacking = append(lacking, p)
	}
	slices.Sort(lacking)
	const most = 5
	var errs []error
	for i, p := range lacking {
		if i == most {
			errs = append(errs, fmt.Errorf("and %d paths more", len(lacking)-most))
			break
		}
		errs = append(errs, c.faults[p])
	}
	return errors.Join(errs...)
}

// maxOpen bounds what is unpacked or being unpacked and not yet installed: each holds a lock.
const maxOpen = 200

// pulling is one call of Pull.
type pulling struct {
	*Substituter
	items    []*item // references first
	got      chan *item
	open     chan struct{} // a token for each item between its start and its end
	progress func(done, total int64)
	total    int64 // bytes to come, as far as known
	received atomic.Int64
	done     []nix.StorePath
}

// item is one path to take.
type item struct {
	path   nix.StorePath
	waits  int     // references that are to be taken too and are not there yet
	needed []*item // by these
	got    bool
	fresh  bool // it was not valid
	made   store.Install
	// What ends it, in reverse order: nil if there is nothing.
	release []func() error
}

func (p *pulling) arrange(c *closure) {
	byPath := make(map[nix.StorePath]*item, len(c.order))
	for i, path := range c.order {
		it := &item{path: path}
		p.items[i], byPath[path] = it, it
		info := c.offers[path].info
		p.total += info.FileSize
		for _, r := range info.Refs {
			if need := byPath[r]; need != nil && need != it {
				it.waits++
				need.needed = append(need.needed, it)
			}
		}
	}
}

// feed starts items in order. That matters: who waits for a path's lock, in whatever process, has only locks of paths that
// do not need it, or whose turn comes later, so the lowest can always go on.
func (p *pulling) feed(ctx context.Context, next chan<- *item) {
	defer close(next)
	for _, it := range p.items {
		select {
		case p.open <- struct{}{}:
		case <-ctx.Done():
			return
		}
		select {
		case next <- it:
		case <-ctx.Done():
			return
		}
	}
}

// take locks one path and unpacks it beside the store, from the first source whose bytes are right.
func (p *pulling) take(ctx context.Context, it *item) error {
	unlock, err := p.store.Lock(ctx, it.path)
	if err != nil {
		return err
	}
	it.release = append(it.release, unlock)
	if valid, err := p.store.Valid(ctx, it.path); err != nil || len(valid) > 0 {
		return err // another took it meanwhile
	}
	o, err := p.locate(ctx, it.path)
	for err == nil {
		var remove func() error
		it.made, remove, err = p.download(ctx, o)
		if err == nil {
			it.release, it.fresh = append(it.release, remove), true
			return nil
		}
		if ctx.Err() != nil || !byCache(err) {
			return err
		}
		p.reject(it.path, o, err)
		first := o
		if o, err = p.locate(ctx, it.path); err == nil && !slices.Equal(first.info.Refs, o.info.Refs) {
			return o.from.Cache.fail(it.path, errors.New("refers to other paths than another cache says, which failed"))
		}
	}
	return err
}

func (p *pulling) download(ctx context.Context, o *offer) (store.Install, func() error, error) {
	select {
	case p.downloads <- struct{}{}:
	case <-ctx.Done():
		return store.Install{}, nil, context.Cause(ctx)
	}
	defer func() { <-p.downloads }()
	return o.from.Cache.receive(ctx, p.store, o.info, func(n int64) {
		const step = 1 << 20 // often enough to be told
		if done := p.received.Add(n); done/step != (done-n)/step {
			p.progress(done, p.total)
		}
	})
}

// collect installs what has come, in batches, each path after or with its references.
func (p *pulling) collect(ctx context.Context) error {
	for left := len(p.items); left > 0; {
		var batch []*item
		select {
		case it := <-p.got:
			batch = p.ready(it, nil)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		for more := true; more; {
			select {
			case it := <-p.got:
				batch = p.ready(it, batch)
			default:
				more = false
			}
		}
		if err := p.install(ctx, batch); err != nil {
			return err
		}
		left -= len(batch)
	}
	return nil
}

// ready appends an item that has come, and those that waited for it alone, to a batch.
func (p *pulling) ready(it *item, batch []*item) []*item {
	it.got = true
	if it.waits > 0 {
		return batch
	}
	for queue := []*item{it}; len(queue) > 0; queue = queue[1:] {
		batch = append(batch, queue[0])
		for _, n := range queue[0].needed {
			if n.waits--; n.waits == 0 && n.got {
				queue = append(queue, n)
			}
		}
	}
	return batch
}

func (p *pulling) install(ctx context.Context, batch []*item) error {
	var fresh []store.Install
	for _, it := range batch {
		if it.fresh {
			fresh = append(fresh, it.made)
		}
	}
	if err := p.store.Install(ctx, fresh); err != nil {
		return err
	}
	for _, it := range batch {
		if it.fresh {
			p.done = append(p.done, it.path)
		}
		if err := it.end(); err != nil {
			return err
		}
		<-p.open
	}
	return nil
}

// end deletes what is temporary of an item, and unlocks it.
func (it *item) end() error {
	var errs []error
	for _, f := range slices.Backward(it.release) {
		errs = append(errs, f())
	}
	it.release = nil
	return errors.Join(errs...)
}

// release ends what is left after a failure.
func (p *pulling) release() error {
	var errs []error
	for _, it := range p.items {
		errs = append(errs, it.end())
	}
	return errors.Join(errs...)
}
