package worker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"headwater/internal/nix"
)

// The operations' numbers.
const (
	opAddTempRoot           = 11
	opSetOptions            = 19
	opQueryPathInfo         = 26
	opQueryValidPaths       = 31
	opNarFromPath           = 38
	opAddMultipleToStore    = 44
	opBuildPathsWithResults = 46
)

// Settings are the daemon's, for this connection. All but Extra need no trust.
type Settings struct {
	KeepGoing  bool
	MaxJobs    int           // builds at once on the daemon's own machine; 0 leaves all to its remote builders
	Cores      int           // NIX_BUILD_CORES
	MaxSilent  time.Duration // 0: no limit
	Timeout    time.Duration // of one build; 0: no limit
	Substitute bool          // whether the daemon may take paths from its own binary caches
	// Extra settings by name. A daemon that does not trust its client says for each that it ignores it.
	Extra map[string]string
}

// The verbosities that a client asks for: what is wrong, and builders' lines as messages that say whose they are.
const (
	verbosityWarn  = 1
	verbosityVomit = 7
)

// SetOptions changes the connection's settings.
func (c *Client) SetOptions(ctx context.Context, s Settings) error {
	overrides := maps.Clone(s.Extra)
	if s.Timeout > 0 {
		if overrides == nil {
			overrides = map[string]string{}
		}
		overrides["timeout"] = fmt.Sprint(seconds(s.Timeout))
	}
	return c.call(ctx, "set options", opSetOptions, func() {
		c.w.bool(false) // keep failed
		c.w.bool(s.KeepGoing)
		c.w.bool(false) // fall back to building where substitution fails
		c.w.u64(verbosityWarn)
		c.w.u64(uint64(s.MaxJobs))
		c.w.u64(seconds(s.MaxSilent))
		c.w.u64(1)              // use the build hook, obsolete
		c.w.u64(verbosityVomit) // anything but 0: builders' lines as Tell, not as Log
		c.w.u64(0)              // kind of log, obsolete
		c.w.u64(0)              // print a trace, obsolete
		c.w.u64(uint64(s.Cores))
		c.w.bool(s.Substitute)
		c.w.u64(uint64(len(overrides)))
		for _, name := range slices.Sorted(maps.Keys(overrides)) {
			c.w.str(name)
			c.w.str(overrides[name])
		}
	}, func() {})
}

// seconds rounds up: a limit of less than a second is no missing limit.
func seconds(d time.Duration) uint64 { return uint64((d + time.Second - 1) / time.Second) }

// AddTempRoots keeps paths, valid or not yet, from the daemon's collector until the connection ends.
func (c *Client) AddTempRoots(ctx context.Context, paths []nix.StorePath) error {
	return c.each(ctx, "add temporary roots", opAddTempRoot, len(paths),
		func(i int) { c.w.str(string(paths[i])) },
		func(int) { c.r.u64() })
}

// QueryValidPaths tells which of the paths are valid. With substitute the daemon first takes those from its own binary caches
// that it can have there.
func (c *Client) QueryValidPaths(ctx context.Context, paths []nix.StorePath, substitute bool) (valid []nix.StorePath, err error) {
	err = c.call(ctx, "query valid paths", opQueryValidPaths, func() {
		c.w.paths(paths)
		c.w.bool(substitute)
	}, func() { valid = c.r.paths() })
	return valid, err
}

// QueryPathInfos tells what is known of paths; nil stands for one that is not valid.
func (c *Client) QueryPathInfos(ctx context.Context, paths []nix.StorePath) ([]*PathInfo, error) {
	infos := make([]*PathInfo, len(paths))
	err := c.each(ctx, "query path infos", opQueryPathInfo, len(paths),
		func(i int) { c.w.str(string(paths[i])) },
		func(i int) {
			if c.r.bool() {
				infos[i] = c.pathInfo(paths[i])
			}
		})
	return infos, err
}

func (c *Client) pathInfo(p nix.StorePath) *PathInfo {
	info := &PathInfo{Path: p, Deriver: c.r.path(true)}
	hash, err := nix.ParseHash(nix.SHA256, c.r.word())
	if err != nil {
		c.r.fail(fmt.Errorf("NAR hash of %s: %w", p, err))
	}
	info.NARHash, info.Refs, info.RegistrationTime = hash, c.r.paths(), int64(c.r.u64())
	info.NARSize = int64(c.r.number("NAR size", 1<<62))
	info.Ultimate, info.Sigs = c.r.bool(), c.r.words()
	if info.CA, err = nix.ParseContentAddress(c.r.word()); err != nil {
		c.r.fail(fmt.Errorf("content address of %s: %w", p, err))
	}
	return info
}

func (w writer) pathInfo(info PathInfo) {
	w.str(string(info.Path))
	w.str(string(info.Deriver))
	w.str(info.NARHash.Base16())
	w.paths(info.Refs)
	w.u64(uint64(info.RegistrationTime))
	w.u64(uint64(info.NARSize))
	w.bool(info.Ultimate)
	w.strs(info.Sigs)
	w.str(info.CA.String())
}

// NARFromPath gives a valid path's NAR, of which the size is known, to f. What f leaves unread is read over.
func (c *Client) NARFromPath(ctx context.Context, p nix.StorePath, size int64, f func(io.Reader) error) error {
	return c.do(ctx, "send NAR", func() error {
		c.w.u64(opNarFromPath)
		c.w.str(string(p))
		if err := c.flush("send NAR"); err != nil {
			return err
		}
		if err := c.messages("send NAR"); err != nil {
			return err
		}
		nar := &stretch{r: c.r.r, left: size}
		err := f(nar)
		if err == nil {
			_, err = io.Copy(io.Discard, nar)
		}
		if nar.err != nil { // says more than what f makes of it
			err = nar.err
		}
		return err
	})
}

// stretch is the next bytes of a connection.
type stretch struct {
	r    io.Reader
	left int64
	err  error // of the connection
}

// Read is io.Reader's.
func (s *stretch) Read(b []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	n, err := s.r.Read(b[:min(int64(len(b)), s.left)])
	s.left -= int64(n)
	if err != nil {
		s.err = hangup(err)
		return n, s.err
	}
	return n, nil
}

// Object is something to add to the daemon's store.
type Object struct {
	Info  PathInfo
	Write func(io.Writer) error // writes the NAR, Info.NARSize bytes
}

// AddMultiple adds objects, in one stream. What an object refers to is valid already or comes before it. A daemon that does
// not trust its client takes only what is content-addressed or signed by a key that it trusts; one that does takes anything,
// with unsigned.
func (c *Client) AddMultiple(ctx context.Context, objects []Object, unsigned bool) error {
	const operation = "add to the store"
	return c.do(ctx, operation, func() error {
		c.w.u64(opAddMultipleToStore)
		c.w.bool(false) // repair
		c.w.bool(unsigned)
		if err := c.flush(operation); err != nil {
			return err
		}
		// The daemon may have something to say, an error say, while it is being written to. Whoever fails first ends the other.
		var once sync.Once
		var first error
		fail := func(err error) {
			once.Do(func() {
				first = err
				c.conn.Close()
			})
		}
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			if err := c.messages(operation); err != nil {
				fail(err)
			}
		}()
		err := c.writeObjects(objects)
		if err != nil && hangup(err) == err {
			fail(err) // else the daemon has hung up, and may have said why
		}
		<-answered
		if err != nil {
			fail(err)
		}
		var remote *RemoteError
		if errors.As(first, &remote) {
			return &fatal{first}
		}
		return hangup(first)
	})
}

func (c *Client) writeObjects(objects []Object) error {
	f := frames{c.w}
	stream := writer{bufio.NewWriterSize(f, 32<<10)}
	stream.u64(uint64(len(objects)))
	for _, o := range objects {
		stream.pathInfo(o.Info)
		n := &counter{w: stream.w}
		if err := o.Write(n); err != nil {
			return fmt.Errorf("send %s: %w", o.Info.Path, err)
		}
		if n.n != o.Info.NARSize {
			return fmt.Errorf("send %s: its NAR has %d bytes, want %d", o.Info.Path, n.n, o.Info.NARSize)
		}
	}
	if err := stream.w.Flush(); err != nil {
		return err
	}
	return f.end()
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
