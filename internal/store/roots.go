package store

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"headwater/internal/flock"
	"headwater/internal/nix"
)

// AddTempRoot keeps paths, valid or not yet, from every collector until the store is closed or the process ends.
func (s *Store) AddTempRoot(ctx context.Context, paths ...nix.StorePath) error {
	s.rootsMu.Lock()
	defer s.rootsMu.Unlock()
	var fresh []nix.StorePath
	for _, p := range paths {
		if !s.rooted[p] {
			fresh = append(fresh, p)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	if err := s.addTempRoots(ctx, fresh); err != nil {
		return fmt.Errorf("add temporary roots: %w", err)
	}
	for _, p := range fresh {
		s.rooted[p] = true
	}
	return nil
}

func (s *Store) addTempRoots(ctx context.Context, paths []nix.StorePath) error {
	if s.tempRoots == nil {
		f, err := createTempRoots(s.state("temproots"))
		if err != nil {
			return err
		}
		s.tempRoots, s.rooted = f, map[nix.StorePath]bool{}
	}
	var b strings.Builder
	for _, p := range paths {
		b.WriteString(string(p))
		b.WriteByte(0)
	}
	// First the file, so that every collector to come knows; then the one that may have read it before.
	if _, err := s.tempRoots.WriteString(b.String()); err != nil {
		return err
	}
	gc, err := os.OpenFile(s.state("gc.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer gc.Close() // also unlocks; nothing was written
	for {
		err := unix.Flock(int(gc.Fd()), unix.LOCK_SH|unix.LOCK_NB)
		if err == nil {
			return nil // no collector runs
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return os.NewSyscallError("flock", err)
		}
		if err := s.tellCollector(ctx, paths); err == nil {
			return nil
		}
		select { // it has just ended or not opened its socket yet
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// createTempRoots makes a file of this store's own, locked. Collectors read every file there, Nix's too, whatever follows
// the process id in its name. The name must never come again: a collector that has found a file's owner dead deletes
// whatever has the name by then.
func createTempRoots(dir string) (*os.File, error) {
	for {
		f, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(os.Getpid())+"-"+rand.Text()), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, err
		}
		held, err := flock.Try(f)
		if err == nil && held {
			held, err = still(f)
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if held {
			return f, nil
		}
		f.Close() // a collector took it for stale before it was locked, and deletes it
	}
}

// collectorConn is a connection to a running collector.
type collectorConn struct {
	net.Conn
	answers *bufio.Reader
}

// tellCollector sends each path and waits until the collector says that it will not delete it, or has done so. The
// connection stays open until the collector ends or the store is closed: Nix's collector does not cope with short ones.
func (s *Store) tellCollector(ctx context.Context, paths []nix.StorePath) (err error) {
	if s.collector == nil {
		if s.collector, err = s.dialCollector(ctx); err != nil {
			return err
		}
	}
	c := s.collector
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer func() {
		if !stop() || err != nil {
			err = errors.Join(err, c.Close())
			s.collector = nil
		}
	}()
	for _, p := range paths {
		if _, err := c.Write([]byte(string(p) + "\n")); err != nil {
			return err
		}
		if ack, err := c.answers.ReadByte(); err != nil || ack != '1' {
			return errors.Join(fmt.Errorf("collector did not take root %s", p), err)
		}
	}
	return nil
}

func (s *Store) dialCollector(ctx context.Context) (*collectorConn, error) {
	dir, err := os.Open(s.state("gc-socket"))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socketPath(dir))
	if err != nil {
		return nil, err
	}
	return &collectorConn{c, bufio.NewReader(c)}, nil
}

// AddRoot makes link a symbolic link to path and tells the collector of it. An existing link is replaced if it leads into a
// store; anything else at link is an error.
func (s *Store) AddRoot(ctx context.Context, link string, path nix.StorePath) error {
	link, err := filepath.Abs(link)
	if err != nil {
		return fmt.Errorf("add root: %w", err)
	}
	if err := s.AddTempRoot(ctx, path); err != nil {
		return fmt.Errorf("add root %s: %w", link, err)
	}
	old, err := os.Readlink(link)
	if !errors.Is(err, os.ErrNotExist) && (err != nil || !strings.HasPrefix(old, nix.StoreDir+"/")) {
		return fmt.Errorf("add root %s: something else than a root is there", link)
	}
	if err := s.replaceLink(link, string(path)); err != nil {
		return fmt.Errorf("add root %s: %w", link, err)
	}
	auto := s.state("gcroots", "auto", autoName(link))
	if err := s.replaceLink(auto, link); err != nil {
		return fmt.Errorf("add root %s: %w", link, err)
	}
	return nil
}

func (s *Store) replaceLink(link, target string) error {
	dir := filepath.Dir(link)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	tmp := s.tempName(dir)
	if err := os.Symlink(target, tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, link); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return nil
}

// autoName names an indirect root as Nix does: by the SHA-1 of the link's path.
func autoName(link string) string { return nix.Sum(nix.SHA1, []byte(link)).Base32() }
