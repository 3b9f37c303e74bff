// Package store is a Nix-compatible chroot store on disk.
//
// A store in DIR keeps its objects in DIR/nix/store and what is valid in DIR/nix/var/nix/db/db.sqlite (schema 10), so that
// real Nix can share, use, collect and judge it. What Nix does not know is in DIR/nix/var/headwater.
//
// What always holds:
//   - A path is valid only once it is registered, and it is registered only when it is complete and in place, with all that
//     it refers to. Whatever else lies in nix/store is garbage.
//   - A valid path's files never change, but for being linked to equal ones.
//   - Killing any process at any moment loses no valid path and leaves none that is not whole. After a power failure, what
//     had not reached the disk is no longer valid: see sync.go.
//   - Several processes and goroutines, Nix's among them, may use one store. Who makes a path holds its Lock; what is in use
//     is a temporary root, so that a collector that runs beside leaves it alone.
//
// Locks are taken in this order: a path's lock (several: sorted), gc.lock, the database's.
//
//	s, err := store.Open(ctx, dir, store.Options{Now: time.Now})
//	defer s.Close()
//	unlock, err := s.Lock(ctx, path)
//	tmp, remove, err := s.TempDir(ctx)
//	… make the tree at tmp/x …
//	e, err := store.Examine(ctx, tmp+"/x", inputs)
//	err = s.Install(ctx, []store.Install{{From: tmp+"/x", Info: store.PathInfo{Path: path, NARHash: e.NARHash, NARSize: e.NARSize, Refs: e.Refs}}})
package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"zombiezen.com/go/sqlite"

	"headwater/internal/flock"
	"headwater/internal/nix"
)

// ErrInvalid says that a path is not valid in the store.
var ErrInvalid = errors.New("path is not valid")

// Options of a store.
type Options struct {
	Now      func() time.Time // clock of registration times; required
	Optimise bool             // share equal files of what Install and ImportNAR add, through .links
}

// Store is an open store. Its methods may be called by several goroutines.
type Store struct {
	dir     string
	opts    Options
	bigLock *os.File // held shared while the store is open: no schema upgrade meanwhile

	wrote  atomic.Bool  // something was registered: Close may have to sync
	serial atomic.Int64 // makes names unique

	mu   sync.Mutex // guards conn
	conn *sqlite.Conn

	order sync.Mutex // see passOn

	rootsMu   sync.Mutex // guards what follows
	tempRoots *os.File   // nil until the first temporary root
	rooted    map[nix.StorePath]bool
	collector *collectorConn // nil unless one ran when roots were added

	tempMu   sync.Mutex // guards tempLock and tempDir
	tempLock *os.File   // held while the folder is in use; nil until the first TempDir
	tempDir  string
}

// Open opens the store in dir and creates it where there is none.
func Open(ctx context.Context, dir string, opts Options) (*Store, error) {
	if opts.Now == nil {
		return nil, errors.New("open store: no clock")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	s := &Store{dir: abs, opts: opts}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", dir, err), s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	schema, err := s.schema()
	if err == nil && schema == "" {
		err = s.makeDirs()
	}
	if err != nil {
		return err
	}
	s.bigLock, err = os.OpenFile(s.state("db", "big-lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	create, err := s.lockSchema(ctx)
	if err != nil {
		return err
	}
	if err = s.openDB(ctx, create); err != nil && s.giveReserve() { // a full disk?
		err = s.openDB(ctx, create)
	}
	if err == nil {
		err = s.keepReserve()
	}
	if err != nil {
		return err
	}
	if err := flock.Lock(ctx, s.bigLock, unix.LOCK_SH); err != nil {
		return err
	}
	return s.afterBoot(ctx)
}

// lockSchema locks the database against changes of its schema, or alone if it has to be created. Who waits to create it
// must not wait for those who use what another has created meanwhile.
func (s *Store) lockSchema(ctx context.Context) (create bool, err error) {
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		schema, err := s.schema()
		switch {
		case err != nil:
			return false, err
		case schema == schemaVersion:
			return false, flock.Lock(ctx, s.bigLock, unix.LOCK_SH)
		case schema != "":
			return false, fmt.Errorf("database has schema %q, want %s", schema, schemaVersion)
		}
		alone, err := flock.Try(s.bigLock)
		if err != nil {
			return false, err
		}
		if alone {
			schema, err := s.schema()
			return schema == "", err
		}
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("wait for the store to be created: %w", ctx.Err())
		case <-time.After(wait):
		}
	}
}

// Close releases the store, its temporary folders and this process's temporary roots. After much was registered it
// waits until that is on disk.
func (s *Store) Close() error {
	errs := []error{s.closeTemp()}
	s.rootsMu.Lock()
	defer s.rootsMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tempRoots != nil {
		errs = append(errs, notExist(os.Remove(s.tempRoots.Name())), s.tempRoots.Close())
		s.tempRoots = nil
	}
	if s.collector != nil {
		s.collector.Close() // nothing is under way
		s.collector = nil
	}
	if s.conn != nil {
		if s.wrote.Load() {
			errs = append(errs, s.syncIfMore(s.conn, maxUnsyncedPaths, maxUnsyncedBytes))
		}
		errs = append(errs, s.conn.Close())
		s.conn = nil
	}
	if s.bigLock != nil {
		errs = append(errs, s.bigLock.Close())
		s.bigLock = nil
	}
	return errors.Join(errs...)
}

// Dir is the folder that holds the store, absolute.
func (s *Store) Dir() string { return s.dir }

// RealPath tells where a store path is on this machine.
func (s *Store) RealPath(path nix.StorePath) string { return s.dir + string(path) }

// own is a path in the folder of what Nix does not know.
func (s *Store) own(elem ...string) string {
	return filepath.Join(append([]string{s.dir, "nix/var/headwater"}, elem...)...)
}

func (s *Store) state(elem ...string) string {
	return filepath.Join(append([]string{s.dir, "nix/var/nix"}, elem...)...)
}

func (s *Store) schema() (string, error) {
	b, err := os.ReadFile(s.state("db", "schema"))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(b)), err
}

func (s *Store) makeDirs() error {
	for _, d := range []string{
		"nix/store/.links", "nix/var/nix/db", "nix/var/nix/temproots", "nix/var/nix/gcroots/auto",
		"nix/var/nix/gcroots/per-user", "nix/var/nix/profiles/per-user",
	} {
		if err := os.MkdirAll(filepath.Join(s.dir, d), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// tempName names a new file next to others of a folder.
func (s *Store) tempName(dir string) string {
	return filepath.Join(dir, ".headwater-"+strconv.Itoa(os.Getpid())+"-"+rand.Text())
}
