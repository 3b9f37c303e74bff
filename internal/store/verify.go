package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"zombiezen.com/go/sqlite"

	"headwater/internal/nix"
	"headwater/internal/nix/nar"
)

// VerifyOptions say how closely to look.
type VerifyOptions struct {
	Contents bool            // hash every valid path and every shared file, and look at modes and times
	Repair   bool            // make invalid what is gone or damaged, with all that refers to it; delete damaged links; restore modes and times
	Workers  int             // paths hashed at once; 0 means one per processor
	Only     []nix.StorePath // look at these of the valid paths alone, not at leftovers and shared files; nil means all

	Checked func(nix.StorePath) // told of each path that was looked at, one call at a time; may be nil
}

// Fault is a kind of problem.
type Fault string

// The faults that Verify finds.
const (
	FaultDatabase  Fault = "database"  // the database file is damaged
	FaultRecord    Fault = "record"    // what is registered cannot be
	FaultReference Fault = "reference" // a reference to a path that is not valid
	FaultMissing   Fault = "missing"   // a valid path is not on disk
	FaultContent   Fault = "content"   // a valid path is not what was registered, or cannot be read
	FaultMetadata  Fault = "metadata"  // a valid path's files have modes or times that a store object's have not
	FaultLink      Fault = "link"      // a file in .links is not what its name says
)

// hints tell what to do about a fault.
func (f Fault) hint() string {
	switch f {
	case FaultDatabase:
		return "delete the store and build again, or restore nix/var/nix/db from a backup"
	case FaultMetadata:
		return "repairing restores modes and times; find out what writes to the store"
	case FaultLink:
		return "repairing deletes the link; paths that share the file are listed on their own"
	}
	return "repairing makes it invalid, with all that refers to it; the next build makes it again"
}

// Problem is one thing that is wrong.
type Problem struct {
	Fault    Fault
	Path     nix.StorePath // "" if it is not one path's
	Detail   string
	Hint     string // what to do about it
	Repaired bool
}

func (p Problem) String() string {
	if p.Path == "" {
		return string(p.Fault) + ": " + p.Detail
	}
	return string(p.Path) + ": " + p.Detail
}

// VerifyResult tells what was found.
type VerifyResult struct {
	Paths     int       // valid paths looked at
	Bytes     int64     // of their NARs, if hashed
	Problems  []Problem // the database's first, then by path
	Leftovers []string  // names in nix/store that are not valid: no problem, a collection deletes them
}

// Verify looks at all that should hold of the store and reports everything that does not. Others may use the store
// meanwhile. The error is of looking, not of what was found.
func (s *Store) Verify(ctx context.Context, opts VerifyOptions) (VerifyResult, error) {
	v := &verifier{store: s, opts: opts}
	if err := v.run(ctx); err != nil {
		return v.result, fmt.Errorf("verify store: %w", err)
	}
	return v.result, nil
}

type verifier struct {
	store *Store
	opts  VerifyOptions

	mu       sync.Mutex // guards what follows while workers run
	result   VerifyResult
	badLinks []string // names
}

func (v *verifier) run(ctx context.Context) error {
	// What a killed process was at is put in order first.
	if err := v.store.sweepTemp(ctx); err != nil {
		return err
	}
	infos, err := v.database(ctx)
	if err != nil {
		return err
	}
	if v.opts.Only != nil {
		only := map[nix.StorePath]bool{}
		for _, p := range v.opts.Only {
			only[p] = true
		}
		infos = slices.DeleteFunc(infos, func(info PathInfo) bool { return !only[info.Path] })
	}
	if err := v.each(ctx, len(infos), func(i int) error { return v.path(ctx, infos[i]) }); err != nil {
		return err
	}
	if v.opts.Only == nil {
		if err := v.leftovers(ctx); err != nil {
			return err
		}
	}
	if v.opts.Contents && v.opts.Only == nil {
		if err := v.links(ctx); err != nil {
			return err
		}
	}
	slices.SortStableFunc(v.result.Problems, func(a, b Problem) int { return strings.Compare(string(a.Path), string(b.Path)) })
	if v.opts.Repair {
		return v.repair(ctx)
	}
	return nil
}

func (v *verifier) report(f Fault, p nix.StorePath, format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.result.Problems = append(v.result.Problems, Problem{Fault: f, Path: p, Detail: fmt.Sprintf(format, args...), Hint: f.hint()})
}

// dangling selects the references that lead from or to what is not valid.
const dangling = "(referrer not in (select id from ValidPaths) or reference not in (select id from ValidPaths))"

// database checks the database itself and reads the paths that can be looked at.
func (v *verifier) database(ctx context.Context) ([]PathInfo, error) {
	var infos []PathInfo
	check := "pragma quick_check"
	if v.opts.Contents {
		check = "pragma integrity_check"
	}
	err := v.store.read(ctx, func(c *sqlite.Conn) error {
		err := rows(c, check, func(r *sqlite.Stmt) error {
			if msg := r.ColumnText(0); msg != "ok" {
				v.report(FaultDatabase, "", "%s", msg)
			}
			return nil
		})
		if err != nil {
			return err
		}
		err = rows(c, "select coalesce(p.path, ''), referrer, reference from Refs left join ValidPaths p on p.id = referrer where "+dangling, func(r *sqlite.Stmt) error {
			if p := r.ColumnText(0); p != "" {
				v.report(FaultReference, nix.StorePath(p), "refers to row %d, which is no valid path", r.ColumnInt64(2))
			} else {
				v.report(FaultReference, "", "row %d, which is no valid path, refers to row %d", r.ColumnInt64(1), r.ColumnInt64(2))
			}
			return nil
		})
		if err != nil {
			return err
		}
		byPath := map[nix.StorePath]int{}
		err = rows(c, "select "+infoColumns+" from ValidPaths order by path", func(r *sqlite.Stmt) error {
			info, err := readInfo(r)
			if err != nil {
				v.report(FaultRecord, nix.StorePath(r.ColumnText(0)), "%v", err)
				return nil
			}
			byPath[info.Path] = len(infos)
			infos = append(infos, info)
			return nil
		})
		if err != nil {
			return err
		}
		return rows(c, "select a.path, b.path from Refs join ValidPaths a on referrer = a.id join ValidPaths b on reference = b.id order by 1, 2",
			func(r *sqlite.Stmt) error {
				if i, ok := byPath[nix.StorePath(r.ColumnText(0))]; ok {
					infos[i].Refs = append(infos[i].Refs, nix.StorePath(r.ColumnText(1)))
				}
				return nil
			})
	})
	return infos, err
}

// each calls f for 0 to n-1 from several goroutines and stops at the first error.
func (v *verifier) each(ctx context.Context, n int, f func(int) error) error {
	workers := v.opts.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	jobs := make(chan int)
	var wg sync.WaitGroup
	for range min(workers, n) {
		wg.Go(func() {
			for i := range jobs {
				if err := f(i); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	for i := range n {
		select {
		case jobs <- i:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(jobs)
	wg.Wait()
	return context.Cause(ctx)
}

// path looks at one valid path.
func (v *verifier) path(ctx context.Context, info PathInfo) error {
	fault, detail, size := v.store.examineValid(ctx, info, v.opts.Contents)
	if err := ctx.Err(); err != nil {
		return err
	}
	if fault != "" {
		// A collector may have been quicker.
		if valid, err := v.store.Valid(ctx, info.Path); err != nil || len(valid) == 0 {
			return err
		}
		v.report(fault, info.Path, "%s", detail)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.result.Paths++
	v.result.Bytes += size
	if v.opts.Checked != nil {
		v.opts.Checked(info.Path)
	}
	return nil
}

// examineValid tells what is wrong with a valid path, if anything is.
func (s *Store) examineValid(ctx context.Context, info PathInfo, contents bool) (f Fault, detail string, size int64) {
	if err := errors.Join(info.check(), info.checkCA()); err != nil {
		return FaultRecord, err.Error(), 0
	}
	path := s.RealPath(info.Path)
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return FaultMissing, "is not on disk", 0
	} else if err != nil {
		return FaultContent, err.Error(), 0
	}
	if !contents {
		return "", "", 0
	}
	hash, size, err := nar.Hash(ctx, path)
	switch {
	case err != nil:
		return FaultContent, err.Error(), size
	case hash != info.NARHash:
		return FaultContent, fmt.Sprintf("NAR hash is %s, registered is %s", hash, info.NARHash), size
	case size != info.NARSize:
		return FaultRecord, fmt.Sprintf("NAR has %d bytes, registered are %d", size, info.NARSize), size
	}
	if err := checkFileHash(path, info.CA); err != nil {
		return FaultContent, err.Error(), size
	}
	if err := checkMetadata(path); err != nil {
		return FaultMetadata, err.Error(), size
	}
	return "", "", size
}

// leftovers lists what lies in the store without being valid.
func (v *verifier) leftovers(ctx context.Context) error {
	entries, err := os.ReadDir(v.store.dir + nix.StoreDir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == linksDir {
			continue
		}
		if p, err := nix.ParseStoreBase(e.Name()); err == nil {
			if valid, err := v.store.Valid(ctx, p); err != nil {
				return err
			} else if len(valid) > 0 {
				continue
			}
		}
		v.result.Leftovers = append(v.result.Leftovers, e.Name())
	}
	return nil
}

// links hashes the shared files.
func (v *verifier) links(ctx context.Context) error {
	entries, err := os.ReadDir(v.store.links())
	if err != nil {
		return notExist(err)
	}
	return v.each(ctx, len(entries), func(i int) error {
		name := entries[i].Name()
		hash, _, err := nar.Hash(ctx, filepath.Join(v.store.links(), name))
		if ctx.Err() != nil || errors.Is(err, os.ErrNotExist) { // collected meanwhile
			return ctx.Err()
		}
		if err == nil && hash.Base32() == name {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("has the hash %s", hash.Base32())
		}
		v.report(FaultLink, "", "%s/%s: %v", linksDir, name, err)
		v.mu.Lock()
		defer v.mu.Unlock()
		v.badLinks = append(v.badLinks, name)
		return nil
	})
}

// repair makes the paths with problems invalid. Their bytes stay until a collection.
func (v *verifier) repair(ctx context.Context) error {
	for _, name := range v.badLinks {
		if err := notExist(os.Remove(filepath.Join(v.store.links(), name))); err != nil {
			return err
		}
	}
	var bad []nix.StorePath
	for i := range v.result.Problems {
		p := &v.result.Problems[i]
		switch {
		case p.Fault == FaultMetadata:
			if err := Canonicalise(ctx, v.store.RealPath(p.Path)); err != nil {
				return err
			}
		case p.Path != "":
			bad = append(bad, p.Path)
		}
		p.Repaired = p.Fault != FaultDatabase
	}
	if err := v.store.invalidate(ctx, bad); err != nil {
		return err
	}
	return v.store.write(ctx, func(c *sqlite.Conn) error { return rows(c, "delete from Refs where "+dangling, nil) })
}

// invalidate makes paths and all that refers to them invalid. Their files stay where they are.
func (s *Store) invalidate(ctx context.Context, paths []nix.StorePath) error {
	if len(paths) == 0 {
		return nil
	}
	return s.write(ctx, func(c *sqlite.Conn) error {
		bad := map[int64]bool{}
		for _, p := range paths {
			err := rows(c, `with recursive bad(id) as (select id from ValidPaths where path = ?
				union select referrer from Refs join bad on reference = bad.id) select id from bad`,
				func(r *sqlite.Stmt) error { bad[r.ColumnInt64(0)] = true; return nil }, string(p))
			if err != nil {
				return err
			}
		}
		ids := slices.Sorted(maps.Keys(bad))
		for _, id := range ids { // all before any path: they refer to one another
			if err := rows(c, "delete from Refs where referrer = ?", nil, id); err != nil {
				return err
			}
		}
		for _, id := range ids {
			if err := rows(c, "delete from ValidPaths where id = ?", nil, id); err != nil {
				return err
			}
		}
		return nil
	})
}
