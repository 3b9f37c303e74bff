package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"headwater/internal/flock"
	"headwater/internal/nix"
)

// GCOptions of a collection. The zero value deletes all garbage and keeps what Nix keeps by default.
type GCOptions struct {
	DryRun          bool  // delete nothing but stale links of roots
	MaxFreed        int64 // stop once this many bytes are free; 0 means no limit
	KeepOutputs     bool  // outputs of live derivations live (Nix's keep-outputs)
	DropDerivations bool  // derivations of live outputs need not live (the opposite of Nix's keep-derivations)

	Deleting func(nix.StorePath) // told before each path is deleted; may be nil
}

// GCResult tells what a collection did, or, if it was a dry run, would do.
type GCResult struct {
	Dead      []nix.StorePath // valid paths deleted, referrers first
	Leftovers []string        // names in nix/store that were not valid paths: of crashed builds, stale locks and the like
	Freed     int64           // bytes on disk; in a dry run the sum of NAR sizes
	Live      int             // valid paths kept
}

// GC deletes what no root keeps, what is not valid, unused links and the temporary folders of dead processes. Other
// processes may build meanwhile, and it is safe at any moment to kill it. Programs that run out of the store keep nothing by
// that alone: whoever starts one has to have a root.
func (s *Store) GC(ctx context.Context, opts GCOptions) (GCResult, error) {
	c := &collector{store: s, opts: opts, tempRoots: map[string]bool{}, pending: map[string]bool{}}
	c.idle.L = &c.mu
	if err := c.run(ctx); err != nil {
		return c.result, fmt.Errorf("collect garbage: %w", err)
	}
	return c.result, nil
}

type collector struct {
	store  *Store
	opts   GCOptions
	result GCResult
	freed  freed

	mu        sync.Mutex
	idle      sync.Cond       // pending has become smaller
	tempRoots map[string]bool // digests; so that <path>.lock, .chroot and the like are kept with the path, as Nix does
	pending   map[string]bool // digests of what is being deleted
	graph     *pathGraph      // nil until read
}

func (c *collector) run(ctx context.Context) error {
	lock, err := c.store.lockGC(ctx, unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer lock.Close() // also unlocks
	server, err := c.store.serveRoots(ctx, c.addRoot)
	if err != nil {
		return err
	}
	defer server.close()
	if err := c.mark(ctx); err != nil {
		return err
	}
	if c.opts.DryRun {
		return c.dryRun(ctx)
	}
	// On a full disk even deleting needs room first: what the database does not know goes before what it has to forget.
	c.store.giveReserve()
	if err := c.store.sweepTemp(ctx); err != nil {
		return err
	}
	for _, sweep := range []func(context.Context) error{c.sweepLeftovers, c.sweepPaths, c.sweepLinks} {
		if err := sweep(ctx); err != nil {
			return err
		}
	}
	return c.store.keepReserve()
}

// lockGC, exclusive, keeps other collectors out, and new temporary roots from being written without telling us; shared, it
// keeps collectors out.
func (s *Store) lockGC(ctx context.Context, how int) (*os.File, error) {
	f, err := os.OpenFile(s.state("gc.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock.Lock(ctx, f, how); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// addRoot keeps a path, and all that has its digest, from now on. If it is being deleted it waits until that is over.
func (c *collector) addRoot(p nix.StorePath) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tempRoots[p.Digest()] = true
	if c.graph != nil {
		c.graph.keep(p)
	}
	for c.pending[p.Digest()] {
		c.idle.Wait()
	}
}

// mark finds what is alive.
func (c *collector) mark(ctx context.Context) error {
	roots, err := c.store.Roots(ctx)
	if err != nil {
		return err
	}
	g, err := c.store.readGraph(ctx, c.opts)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for digest := range c.tempRoots { // told since the server started
		g.keepDigest(digest)
	}
	for _, r := range roots {
		if strings.HasPrefix(r.From, "{temp:") {
			c.tempRoots[r.Path.Digest()] = true
		}
		g.keep(r.Path)
	}
	c.graph = g
	return nil
}

func (c *collector) full() bool { return c.opts.MaxFreed > 0 && c.freed.bytes >= c.opts.MaxFreed }

func (c *collector) dryRun(ctx context.Context) error {
	for _, n := range c.graph.order {
		if n.live {
			c.result.Live++
			continue
		}
		c.result.Dead = append(c.result.Dead, n.path)
		c.result.Freed += n.size
		if c.opts.MaxFreed > 0 && c.result.Freed >= c.opts.MaxFreed {
			return nil
		}
	}
	return c.eachLeftover(ctx, func(name string) error {
		c.result.Leftovers = append(c.result.Leftovers, name)
		return nil
	})
}

// sweepPaths deletes dead paths, referrers before what they refer to, so that whatever is valid at any moment has all its
// references.
func (c *collector) sweepPaths(ctx context.Context) error {
	order := c.graph.order
	for len(order) > 0 && !c.full() {
		var batch []*pathNode
		batch, order = c.take(order)
		gone, err := c.unregister(ctx, batch)
		for _, n := range batch {
			if err == nil {
				err = ctx.Err() // what is unregistered and not deleted the next collection finds
			}
			if err == nil && gone[n] {
				if c.opts.Deleting != nil {
					c.opts.Deleting(n.path)
				}
				c.result.Dead = append(c.result.Dead, n.path)
				err = removeTree(c.store.RealPath(n.path), &c.freed)
			}
			c.release(n.path.Digest())
		}
		c.result.Freed = c.freed.bytes
		if err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.graph.order {
		if n.live {
			c.result.Live++
		}
	}
	return nil
}

// batchSize bounds how many paths one transaction unregisters.
const batchSize = 256

// take makes the next dead paths pending, as many as should be deleted before the limit is looked at again.
func (c *collector) take(order []*pathNode) (batch, rest []*pathNode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var size int64
	for i, n := range order {
		if n.live {
			continue
		}
		if len(batch) == batchSize || c.opts.MaxFreed > 0 && size > 0 && c.freed.bytes+size >= c.opts.MaxFreed {
			return batch, order[i:]
		}
		size += n.size
		c.pending[n.path.Digest()] = true
		batch = append(batch, n)
	}
	return batch, nil
}

func (c *collector) release(digest string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, digest)
	c.idle.Broadcast()
}

// unregister makes the batch invalid, on disk for good before any file is deleted, and tells what is gone. A path that has
// got a new referrer since the graph was read, or has become a root, turns out to be alive.
func (c *collector) unregister(ctx context.Context, batch []*pathNode) (gone map[*pathNode]bool, err error) {
	if len(batch) == 0 {
		return nil, nil
	}
	gone = make(map[*pathNode]bool, len(batch))
	return gone, c.store.with(ctx, func(conn *sqlite.Conn) (err error) {
		if err := sqlitex.ExecuteTransient(conn, "pragma synchronous = full", nil); err != nil {
			return err
		}
		defer func() {
			err = errors.Join(err, sqlitex.ExecuteTransient(conn, "pragma synchronous = normal", nil))
		}()
		end, err := sqlitex.ImmediateTransaction(conn)
		if err != nil {
			return err
		}
		defer end(&err)
		for _, n := range batch {
			if c.isLive(n) {
				continue
			}
			err := rows(conn, "delete from ValidPaths where path = ?", nil, string(n.path))
			if sqlite.ErrCode(err).ToPrimary() == sqlite.ResultConstraint {
				c.mu.Lock()
				c.graph.keep(n.path)
				c.mu.Unlock()
				continue
			}
			if err != nil {
				return err
			}
			gone[n] = true
		}
		return nil
	})
}

func (c *collector) isLive(n *pathNode) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return n.live
}

// sweepLeftovers deletes what lies in the store without being valid.
func (c *collector) sweepLeftovers(ctx context.Context) error {
	return c.eachLeftover(ctx, func(name string) error {
		if c.full() {
			return nil
		}
		path := filepath.Join(c.store.dir, nix.StoreDir, name)
		if strings.HasSuffix(name, lockSuffix) || strings.HasPrefix(name, "tmp-") {
			free, unlock, err := tryLockAt(path)
			if err != nil || !free {
				return err
			}
			defer unlock()
		}
		c.result.Leftovers = append(c.result.Leftovers, name)
		err := removeTree(path, &c.freed)
		c.result.Freed = c.freed.bytes
		return err
	})
}

// tryLockAt locks the file or folder at path unless somebody else has it locked. Unlocking marks a file as deleted.
func tryLockAt(path string) (free bool, unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, unix.EISDIR) {
		f, err = os.Open(path)
	}
	if err != nil {
		return false, nil, notExist(err)
	}
	free, err = flock.Try(f)
	if err != nil || !free {
		f.Close()
		return false, nil, err
	}
	return true, func() {
		f.WriteString("d") // fails on a folder, of which nobody expects it
		f.Close()
	}, nil
}

// eachLeftover calls f for each name in nix/store that is neither valid nor kept by a temporary root. While f runs for a
// path, new roots for it wait.
func (c *collector) eachLeftover(ctx context.Context, f func(name string) error) error {
	entries, err := os.ReadDir(c.store.dir + nix.StoreDir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := e.Name()
		p, err := nix.ParseStoreBase(name)
		switch {
		case name == linksDir:
			continue
		case err != nil: // nothing that a root could name
			if err := f(name); err != nil {
				return err
			}
			continue
		}
		if err := c.leftover(ctx, p, f); err != nil {
			return err
		}
	}
	return nil
}

func (c *collector) leftover(ctx context.Context, p nix.StorePath, f func(name string) error) error {
	digest := p.Digest()
	c.mu.Lock()
	kept := c.tempRoots[digest]
	if !kept {
		c.pending[digest] = true
	}
	c.mu.Unlock()
	if kept {
		return nil
	}
	defer c.release(digest)
	// Asked after it became pending: whoever registers it now had made it a root before.
	if valid, err := c.store.Valid(ctx, p); err != nil || len(valid) > 0 {
		return err
	}
	return f(p.Base())
}

// sweepLinks deletes links that nothing shares any more.
func (c *collector) sweepLinks(ctx context.Context) error {
	dir, err := openDir(unix.AT_FDCWD, c.store.links())
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: c.store.links(), Err: err}
	}
	defer unix.Close(dir)
	err = eachEntry(dir, func(name string) error {
		var st unix.Stat_t
		if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return ignoreNotExist(err)
		}
		if st.Nlink > 1 {
			return ctx.Err()
		}
		c.freed.bytes += st.Blocks * 512
		return ignoreNotExist(unix.Unlinkat(dir, name, 0))
	})
	c.result.Freed = c.freed.bytes
	return err
}
