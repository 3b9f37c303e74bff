package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"zombiezen.com/go/sqlite"

	"headwater/internal/flock"
	"headwater/internal/nix"
)

// What is on disk when the power fails.
//
// A killed process loses nothing: what it wrote is the kernel's. When the machine stops, the kernel may have written any part
// of the database's journal and of the objects, in any order. Nix's default (fsync-metadata, but not fsync-store-paths)
// keeps the database consistent and leaves objects to luck: a path can be valid and empty. Syncing every file before
// registering it would cost milliseconds a file, and one syncfs a path would wait for all that other programs write.
//
// So nothing is synced while building. There is a note of how far the database is known to be good: up to which row, in
// which boot of the machine. Whoever first opens the store after another boot hashes the paths registered later and makes
// those invalid that are not whole; they will be built again. So that this stays a matter of a second, a store that is
// closed after much has been registered syncs once and moves the note on. The collector, which takes bytes away, syncs the
// database before it deletes what it unregistered.

// How much may be registered without being known to be on disk.
const (
	maxUnsyncedBytes = 256 << 20 // of NARs
	maxUnsyncedPaths = 10_000
)

// syncMark is the note: nix/var/headwater/synced.
type syncMark struct {
	boot string // the machine's boot id
	row  int64  // all rows of ValidPaths up to this one are on disk
}

const bootIDFile = "/proc/sys/kernel/random/boot_id"

func bootID() (string, error) {
	b, err := os.ReadFile(bootIDFile)
	return strings.TrimSpace(string(b)), err
}

// readMark gives false if there is none. A mark that cannot be read as one says that nothing is known to be on disk.
func (s *Store) readMark() (syncMark, bool, error) {
	b, err := os.ReadFile(s.own("synced"))
	if errors.Is(err, os.ErrNotExist) {
		return syncMark{}, false, nil
	}
	if err != nil {
		return syncMark{}, false, err
	}
	boot, row, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	n, err := strconv.ParseInt(row, 10, 64)
	if err != nil {
		return syncMark{}, true, nil
	}
	return syncMark{boot: boot, row: n}, true, nil
}

func (s *Store) writeMark(m syncMark) error {
	if err := os.MkdirAll(s.own(), 0o755); err != nil {
		return err
	}
	tmp := s.tempName(s.own())
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s %d\n", m.boot, m.row)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return os.Rename(tmp, s.own("synced"))
}

// openMarkLock opens what is locked to change the mark.
func (s *Store) openMarkLock() (*os.File, error) {
	if err := os.MkdirAll(s.own(), 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(s.own("synced.lock"), os.O_RDWR|os.O_CREATE, 0o600)
}

// afterBoot looks after what the machine's last stop may have left unfinished.
func (s *Store) afterBoot(ctx context.Context) error {
	boot, err := bootID()
	if err != nil {
		return fmt.Errorf("which boot this is: %w", err)
	}
	if m, _, err := s.readMark(); err != nil || m.boot == boot {
		return err
	}
	lock, err := s.openMarkLock()
	if err != nil {
		return err
	}
	defer lock.Close() // also unlocks
	if err := flock.Lock(ctx, lock, unix.LOCK_EX); err != nil {
		return err
	}
	m, marked, err := s.readMark()
	if err != nil || m.boot == boot {
		return err
	}
	var last int64
	err = s.read(ctx, func(c *sqlite.Conn) error {
		last, err = lastRow(c)
		return err
	})
	if err != nil {
		return err
	}
	if marked && last > m.row { // a store without a mark was another program's, whose word holds
		if err := s.recheck(ctx, m.row); err != nil {
			return fmt.Errorf("recheck what the last stop of the machine may have damaged: %w", err)
		}
	}
	return s.writeMark(syncMark{boot: boot, row: last})
}

// recheck makes invalid what was registered after a row and is not whole. Files in .links may be damaged as well, and are
// only there to be shared: they go.
func (s *Store) recheck(ctx context.Context, row int64) error {
	infos, err := s.registeredAfter(ctx, row)
	if err != nil {
		return err
	}
	var bad []nix.StorePath
	for _, info := range infos {
		fault, _, _ := s.examineValid(ctx, info, true)
		if err := ctx.Err(); err != nil {
			return err
		}
		if fault != "" && fault != FaultMetadata {
			bad = append(bad, info.Path)
		}
	}
	if err := s.invalidate(ctx, bad); err != nil {
		return err
	}
	links, err := os.ReadDir(s.links())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, e := range links {
		if err := notExist(os.Remove(s.links() + "/" + e.Name())); err != nil {
			return err
		}
	}
	return s.sync()
}

func (s *Store) registeredAfter(ctx context.Context, row int64) (infos []PathInfo, err error) {
	err = s.read(ctx, func(c *sqlite.Conn) error {
		err := rows(c, "select "+infoColumns+" from ValidPaths where id > ?", func(r *sqlite.Stmt) error {
			info, err := readInfo(r)
			infos = append(infos, info)
			return err
		}, row)
		if err != nil {
			return err
		}
		for i := range infos {
			if infos[i].Refs, err = neighbours(c, infos[i].Path, false); err != nil {
				return err
			}
		}
		return nil
	})
	return infos, err
}

func lastRow(c *sqlite.Conn) (row int64, err error) {
	err = rows(c, "select coalesce(max(id), 0) from ValidPaths", func(r *sqlite.Stmt) error {
		row = r.ColumnInt64(0)
		return nil
	})
	return row, err
}

// sync waits until all that was written to the store's file system is on disk.
func (s *Store) sync() error {
	dir, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return &fs.PathError{Op: "syncfs", Path: s.dir, Err: err}
	}
	return nil
}

// syncIfMore syncs if more than so much has been registered since the last sync, and notes that all of it is on disk.
func (s *Store) syncIfMore(c *sqlite.Conn, thanPaths, thanBytes int64) error {
	m, _, err := s.readMark()
	if err != nil {
		return err
	}
	var last, paths, bytes int64
	err = rows(c, "select coalesce(max(id), 0), count(*), coalesce(sum(narSize), 0) from ValidPaths where id > ?", func(r *sqlite.Stmt) error {
		last, paths, bytes = r.ColumnInt64(0), r.ColumnInt64(1), r.ColumnInt64(2)
		return nil
	}, m.row)
	if err != nil || paths <= thanPaths && bytes <= thanBytes {
		return err
	}
	if err := s.sync(); err != nil {
		return err
	}
	lock, err := s.openMarkLock()
	if err != nil {
		return err
	}
	defer lock.Close() // also unlocks
	// Nobody holds it for long: what takes its time after another boot is over when a store is open.
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		return os.NewSyscallError("flock", err)
	}
	if m, _, err = s.readMark(); err != nil {
		return err
	}
	m.row = max(m.row, last)
	return s.writeMark(m)
}
