package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"zombiezen.com/go/sqlite"

	"headwater/internal/nix"
)

const linksDir = ".links"

// links is the folder that holds each shared file once, named by the base-32 SHA-256 of its NAR, as Nix does. The NAR
// tells executable files from others, so equal names are equal in mode too.
func (s *Store) links() string { return filepath.Join(s.dir, nix.StoreDir, linksDir) }

// OptimiseResult tells what was saved.
type OptimiseResult struct {
	Files int   // replaced by a link to an equal one
	Freed int64 // bytes
}

// Optimise replaces equal files of all valid paths by hard links to one. Others may use the store meanwhile, but for
// collectors: they and Optimise wait for one another. It is safe at any moment to kill it.
func (s *Store) Optimise(ctx context.Context) (OptimiseResult, error) {
	lock, err := s.lockGC(ctx, unix.LOCK_SH)
	if err != nil {
		return OptimiseResult{}, fmt.Errorf("optimise store: %w", err)
	}
	defer lock.Close() // also unlocks
	l, remove, err := s.newLinker(ctx)
	if err != nil {
		return OptimiseResult{}, fmt.Errorf("optimise store: %w", err)
	}
	err = l.all(ctx)
	if err = errors.Join(err, remove()); err != nil {
		return l.result, fmt.Errorf("optimise store: %w", err)
	}
	return l.result, nil
}

// share replaces files of a tree that is not yet valid by links to equal ones of the store.
func (s *Store) share(ctx context.Context, root string) error {
	l, remove, err := s.newLinker(ctx)
	if err != nil {
		return err
	}
	return errors.Join(l.tree(ctx, root, ""), remove())
}

type linker struct {
	store  *Store
	temp   string          // folder for new links
	inodes map[uint64]bool // of the files in .links
	result OptimiseResult
}

func (s *Store) newLinker(ctx context.Context) (l *linker, remove func() error, err error) {
	if err := os.MkdirAll(s.links(), 0o755); err != nil {
		return nil, nil, err
	}
	temp, remove, err := s.TempDir(ctx)
	return &linker{store: s, temp: temp, inodes: map[uint64]bool{}}, remove, err
}

// all links the files of all valid paths.
func (l *linker) all(ctx context.Context) error {
	// A file that was on disk long ago is to be replaced by a link to one that may not be yet.
	err := l.store.with(ctx, func(c *sqlite.Conn) error { return l.store.syncIfMore(c, 0, 0) })
	if err != nil {
		return err
	}
	if err := l.loadInodes(); err != nil {
		return err
	}
	paths, err := l.store.all(ctx)
	if err != nil {
		return err
	}
	for _, p := range paths {
		if valid, err := l.store.Valid(ctx, p); err != nil {
			return err
		} else if len(valid) == 0 {
			continue // somebody repaired the store
		}
		if err := l.object(ctx, p); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return nil
}

// object links the files of a valid path. Its folders are writable meanwhile, and their times change: the link that names it
// tells whoever sweeps our temporary folder, should we be killed.
func (l *linker) object(ctx context.Context, p nix.StorePath) error {
	name := filepath.Join(l.temp, openObject)
	if err := os.Symlink(string(p), name); err != nil {
		return err
	}
	if err := l.tree(ctx, l.store.RealPath(p), ""); err != nil {
		return err
	}
	return os.Remove(name)
}

// openObject is the name of a link in a temporary folder to a valid path whose metadata may have to be restored.
const openObject = "open-object"

// closeObjects restores the metadata of the objects that a dead process was at, whose temporary folders are in dir.
func (s *Store) closeObjects(ctx context.Context, dir string) error {
	links, err := filepath.Glob(filepath.Join(dir, "*", openObject))
	if err != nil {
		return err
	}
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil {
			return err
		}
		p, err := nix.ParseStorePath(target)
		if err != nil {
			return err
		}
		if valid, err := s.Valid(ctx, p); err != nil {
			return err
		} else if len(valid) == 0 {
			continue
		}
		if err := Canonicalise(ctx, s.RealPath(p)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (l *linker) loadInodes() error {
	entries, err := os.ReadDir(l.store.links())
	if err != nil {
		return err
	}
	for _, e := range entries {
		fi, err := e.Info()
		if err != nil {
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			return err
		}
		l.inodes[inode(fi)] = true
	}
	return nil
}

func inode(fi fs.FileInfo) uint64 { return fi.Sys().(*syscall.Stat_t).Ino }

// tree links the files at or below path; dir is its folder if that belongs to the same object, else "".
func (l *linker) tree(ctx context.Context, path, dir string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	fi, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if fi.IsDir() {
		entries, err := os.ReadDir(path)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := l.tree(ctx, path+"/"+e.Name(), path); err != nil {
				return err
			}
		}
		return nil
	}
	// An empty file takes no space. A writable one is none of the store's: somebody tampers with it.
	if !fi.Mode().IsRegular() || fi.Mode().Perm()&0o222 != 0 || fi.Size() == 0 || l.inodes[inode(fi)] {
		return nil
	}
	return l.file(path, dir, fi)
}

// file links one file, or makes it the one that others will be linked to.
func (l *linker) file(path, dir string, fi fs.FileInfo) error {
	hash, err := hashFile(path, fi)
	if err != nil {
		return err
	}
	link := filepath.Join(l.store.links(), hash.Base32())
	for {
		have, err := os.Lstat(link)
		if err == nil && damagedLink(have, fi.Size()) { // what else shares it, verifying will tell
			if err := notExist(os.Remove(link)); err != nil {
				return err
			}
			err = os.ErrNotExist
		}
		if errors.Is(err, os.ErrNotExist) {
			err := os.Link(path, link)
			switch {
			case err == nil:
				l.inodes[inode(fi)] = true
				return nil
			case errors.Is(err, os.ErrExist): // another process was quicker
				continue
			case noRoomForLink(err):
				return nil
			}
			return err
		}
		if err != nil {
			return err
		}
		if os.SameFile(fi, have) {
			return nil
		}
		err = l.replace(path, dir, link)
		if errors.Is(err, os.ErrNotExist) { // a collector found it unused
			continue
		}
		if err == nil {
			l.result.Files++
			l.result.Freed += fi.Size()
		}
		if noRoomForLink(err) {
			return nil
		}
		return err
	}
}

// damagedLink tells whether somebody has written to a file in .links, which should have the given size.
func damagedLink(link fs.FileInfo, size int64) bool {
	return link.Size() != size || link.Mode().Perm()&0o222 != 0 || link.ModTime().UnixNano() != time.Second.Nanoseconds()
}

// noRoomForLink tells of limits on how many links a file, or entries a folder, can have. Then files stay apart.
func noRoomForLink(err error) bool { return errors.Is(err, unix.EMLINK) || errors.Is(err, unix.ENOSPC) }

// replace puts a link to link in path's place.
func (l *linker) replace(path, dir, link string) (err error) {
	tmp := filepath.Join(l.temp, strconv.FormatInt(l.store.serial.Add(1), 10))
	if err := os.Link(link, tmp); err != nil {
		return err
	}
	if dir == "" {
		return os.Rename(tmp, path)
	}
	fi, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if fi.Mode().Perm()&0o200 == 0 {
		if err := os.Chmod(dir, 0o755); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.Chmod(dir, fi.Mode().Perm())) }()
	}
	err = os.Rename(tmp, path)
	// Whoever else is at the same object, to link its files or to restore it after a killed process, takes the
	// permission back when it is done: it is given again then, and who is last takes it back.
	for range maxReopened {
		if !errors.Is(err, fs.ErrPermission) {
			break
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			return err
		}
		err = os.Rename(tmp, path)
		if err := os.Chmod(dir, fi.Mode().Perm()&^0o222); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	return setMtime(unix.AT_FDCWD, dir, dir)
}

// maxReopened is how often in a row a folder is made writable again that others make read-only.
const maxReopened = 1000

// all lists the valid paths, sorted.
func (s *Store) all(ctx context.Context) ([]nix.StorePath, error) {
	var out []nix.StorePath
	err := s.read(ctx, func(c *sqlite.Conn) error {
		return rows(c, "select path from ValidPaths order by path", func(r *sqlite.Stmt) error {
			p, err := nix.ParseStorePath(r.ColumnText(0))
			out = append(out, p)
			return err
		})
	})
	return out, err
}

// hashFile is the SHA-256 of a file's NAR.
func hashFile(path string, fi fs.FileInfo) (nix.Hash, error) {
	f, err := os.Open(path)
	if err != nil {
		return nix.Hash{}, err
	}
	defer f.Close()
	sum := sha256.New()
	sum.Write(fileNARHead(fi.Mode()&0o100 != 0, fi.Size()))
	n, err := io.Copy(sum, f)
	if err != nil {
		return nix.Hash{}, err
	}
	if n != fi.Size() {
		return nix.Hash{}, fmt.Errorf("%s: has changed", path)
	}
	sum.Write(fileNARTail(fi.Size()))
	return nix.NewHash(nix.SHA256, sum.Sum(nil))
}
