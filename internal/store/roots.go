package store

import (
	"bufio"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// AddTempRoot keeps paths, valid or not yet, from every collector until the store is closed or the process ends.
// One process has one file of temporary roots per store: open a store once per process.
func (s *Store) AddTempRoot(ctx context.Context, paths ...string) error {
	s.rootsMu.Lock()
	defer s.rootsMu.Unlock()
	if err := s.addTempRoots(ctx, paths); err != nil {
		return fmt.Errorf("add temporary roots: %w", err)
	}
	return nil
}

func (s *Store) addTempRoots(ctx context.Context, paths []string) error {
	if s.tempRoots == nil {
		f, err := createTempRoots(ctx, s.state("temproots", strconv.Itoa(os.Getpid())))
		if err != nil {
			return err
		}
		s.tempRoots = f
	}
	gc, err := os.OpenFile(s.state("gc.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer gc.Close() // also unlocks; read-only use
	// While a collector runs, it has read our file already, so it must be told; else the shared lock keeps it from starting
	// before the file is written.
	for {
		err := unix.Flock(int(gc.Fd()), unix.LOCK_SH|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		if err := tellCollector(ctx, s.state("gc-socket", "socket"), paths); err == nil {
			break
		}
		select { // it has just ended or not opened its socket yet
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	_, err = s.tempRoots.WriteString(strings.Join(paths, "\x00") + "\x00")
	return err
}

func createTempRoots(ctx context.Context, name string) (*os.File, error) {
	for {
		// A file of our own process id is a dead process's.
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if err := flock(ctx, f, unix.LOCK_EX); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		fi, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if fi.Size() == 0 {
			return f, nil
		}
		f.Close() // a collector took it for stale before we had locked it
	}
}

// tellCollector sends each path and waits until the collector says that it will not delete it.
func tellCollector(ctx context.Context, socket string, paths []string) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	r := bufio.NewReader(c)
	for _, p := range paths {
		if _, err := c.Write([]byte(p + "\n")); err != nil {
			return err
		}
		if ack, err := r.ReadByte(); err != nil || ack != '1' {
			return errors.Join(fmt.Errorf("collector did not take root %s", p), err)
		}
	}
	return nil
}

// AddRoot makes link a symbolic link to path and tells the collector of it. An existing link is replaced if it leads into a
// store; anything else at link is an error.
func (s *Store) AddRoot(ctx context.Context, link, path string) error {
	link, err := filepath.Abs(link)
	if err != nil {
		return fmt.Errorf("add root: %w", err)
	}
	if err := s.AddTempRoot(ctx, path); err != nil {
		return fmt.Errorf("add root %s: %w", link, err)
	}
	old, err := os.Readlink(link)
	if !errors.Is(err, os.ErrNotExist) && (err != nil || !strings.HasPrefix(old, LogicalDir+"/")) {
		return fmt.Errorf("add root %s: something else than a root is there", link)
	}
	if err := replaceLink(link, path); err != nil {
		return fmt.Errorf("add root %s: %w", link, err)
	}
	auto := s.state("gcroots", "auto", autoName(link))
	if err := replaceLink(auto, link); err != nil {
		return fmt.Errorf("add root %s: %w", link, err)
	}
	return nil
}

func replaceLink(link, target string) error {
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		return err
	}
	tmp := link + ".tmp-" + strconv.Itoa(os.Getpid())
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, tmp); err != nil {
		return err
	}
	return os.Rename(tmp, link)
}

// autoName names an indirect root as Nix does: the SHA-1 of the link's path. Any unique name would do for a collector.
func autoName(link string) string {
	const digits = "0123456789abcdfghijklmnpqrsvwxyz"
	sum := sha1.Sum([]byte(link))
	var out [32]byte
	for n := range out { // 5 bits each, last first, counted from the lowest bit of the first byte
		bit := (31 - n) * 5
		v := uint(sum[bit/8]) >> (bit % 8)
		if bit/8+1 < len(sum) {
			v |= uint(sum[bit/8+1]) << (8 - bit%8)
		}
		out[n] = digits[v&31]
	}
	return string(out[:])
}
