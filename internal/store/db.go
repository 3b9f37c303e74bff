package store

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

const schemaVersion = "10"

// schemaSQL holds the tables of schema 10. It can be run again after a crash between it and the schema file.
const schemaSQL = `
create table if not exists ValidPaths (
  id integer primary key autoincrement not null, path text unique not null, hash text not null,
  registrationTime integer not null, deriver text, narSize integer, ultimate integer, sigs text, ca text);
create table if not exists Refs (
  referrer integer not null, reference integer not null, primary key (referrer, reference),
  foreign key (referrer) references ValidPaths(id) on delete cascade,
  foreign key (reference) references ValidPaths(id) on delete restrict);
create index if not exists IndexReferrer on Refs(referrer);
create index if not exists IndexReference on Refs(reference);
create trigger if not exists DeleteSelfRefs before delete on ValidPaths
  begin delete from Refs where referrer = old.id and reference = old.id; end;
create table if not exists DerivationOutputs (
  drv integer not null, id text not null, path text not null, primary key (drv, id),
  foreign key (drv) references ValidPaths(id) on delete cascade);
create index if not exists IndexDerivationOutputs on DerivationOutputs(path);
`

// PathInfo is what the database knows of a valid path.
type PathInfo struct {
	Path             string
	NarHash          string // sha256:<hex>
	NarSize          int64  // bytes
	Refs             []string
	Deriver          string // "" if none
	CA               string // "" unless content-addressed
	Sigs             []string
	Ultimate         bool              // built here
	RegistrationTime time.Time         // whole seconds; zero when registering: now
	Outputs          map[string]string // of a .drv only: output name to path; Query leaves it nil
}

func (s *Store) openDB(ctx context.Context, create bool) error {
	flags := sqlite.OpenReadWrite
	if create {
		flags |= sqlite.OpenCreate
	}
	conn, err := sqlite.OpenConn(s.state("db", "db.sqlite"), flags)
	if err != nil {
		return err
	}
	s.conn = conn
	conn.SetInterrupt(ctx.Done())
	defer conn.SetInterrupt(nil)
	conn.SetBlockOnBusy()
	for _, q := range []string{"pragma foreign_keys = 1", "pragma synchronous = normal", "pragma wal_autocheckpoint = 40000"} {
		if err := sqlitex.ExecuteTransient(conn, q, nil); err != nil {
			return err
		}
	}
	if !create {
		return nil
	}
	if err := sqlitex.ExecuteTransient(conn, "pragma journal_mode = wal", nil); err != nil {
		return err
	}
	if err := sqlitex.ExecuteScript(conn, schemaSQL, nil); err != nil {
		return err
	}
	tmp := s.state("db", "schema.tmp")
	if err := os.WriteFile(tmp, []byte(schemaVersion), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, s.state("db", "schema"))
}

// with runs f on the connection, alone; ctx interrupts it.
func (s *Store) with(ctx context.Context, f func(*sqlite.Conn) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		return os.ErrClosed
	}
	s.conn.SetInterrupt(ctx.Done())
	defer s.conn.SetInterrupt(nil)
	return f(s.conn)
}

// Valid tells which of the paths are valid, in the order given.
func (s *Store) Valid(ctx context.Context, paths ...string) ([]string, error) {
	var valid []string
	err := s.with(ctx, func(c *sqlite.Conn) error {
		for _, p := range paths {
			err := sqlitex.Execute(c, "select 1 from ValidPaths where path = ?", &sqlitex.ExecOptions{
				Args:       []any{p},
				ResultFunc: func(*sqlite.Stmt) error { valid = append(valid, p); return nil },
			})
			if err != nil {
				return fmt.Errorf("look up %s: %w", p, err)
			}
		}
		return nil
	})
	return valid, err
}

// Query tells what is known of a path. The error is ErrInvalid if the path is not valid.
func (s *Store) Query(ctx context.Context, path string) (PathInfo, error) {
	var info PathInfo
	err := s.with(ctx, func(c *sqlite.Conn) (err error) {
		defer sqlitex.Save(c)(&err) // one snapshot for both selects
		err = sqlitex.Execute(c, "select hash, registrationTime, deriver, narSize, ultimate, sigs, ca from ValidPaths where path = ?",
			&sqlitex.ExecOptions{Args: []any{path}, ResultFunc: func(r *sqlite.Stmt) error {
				info = PathInfo{Path: path, NarHash: r.ColumnText(0), RegistrationTime: time.Unix(r.ColumnInt64(1), 0),
					Deriver: r.ColumnText(2), NarSize: r.ColumnInt64(3), Ultimate: r.ColumnInt64(4) == 1,
					Sigs: strings.Fields(r.ColumnText(5)), CA: r.ColumnText(6)}
				return nil
			}})
		if err != nil {
			return err
		}
		if info.Path == "" {
			return ErrInvalid
		}
		info.Refs, err = neighbours(c, path, false)
		return err
	})
	if err != nil {
		return PathInfo{}, fmt.Errorf("query %s: %w", path, err)
	}
	return info, nil
}

func neighbours(c *sqlite.Conn, path string, reverse bool) ([]string, error) {
	q := "select b.path from ValidPaths a join Refs on referrer = a.id join ValidPaths b on reference = b.id where a.path = ? order by b.path"
	if reverse {
		q = "select a.path from ValidPaths b join Refs on reference = b.id join ValidPaths a on referrer = a.id where b.path = ? order by a.path"
	}
	var out []string
	err := sqlitex.Execute(c, q, &sqlitex.ExecOptions{Args: []any{path},
		ResultFunc: func(r *sqlite.Stmt) error { out = append(out, r.ColumnText(0)); return nil }})
	return out, err
}

// Closure is the paths and all that they refer to, or with reverse all that refers to them; invalid ones are an error.
func (s *Store) Closure(ctx context.Context, paths []string, reverse bool) ([]string, error) {
	valid, err := s.Valid(ctx, paths...)
	if err != nil {
		return nil, err
	}
	if len(valid) != len(paths) {
		return nil, fmt.Errorf("closure: %w", ErrInvalid)
	}
	seen := map[string]bool{}
	var out []string
	add := func(ps []string) {
		for _, p := range ps {
			if !seen[p] {
				seen[p] = true
				out = append(out, p)
			}
		}
	}
	add(paths)
	err = s.with(ctx, func(c *sqlite.Conn) (err error) {
		defer sqlitex.Save(c)(&err)
		for i := 0; i < len(out); i++ {
			next, err := neighbours(c, out[i], reverse)
			if err != nil {
				return err
			}
			add(next)
		}
		return nil
	})
	return out, err
}

// Register makes the paths valid in one transaction. They may refer to one another in any order; a reference to anything
// that is not valid is an error. A path that is valid already keeps its deriver and time.
func (s *Store) Register(ctx context.Context, infos []PathInfo) error {
	return s.with(ctx, func(c *sqlite.Conn) (err error) {
		end, err := sqlitex.ImmediateTransaction(c)
		if err != nil {
			return fmt.Errorf("register paths: %w", err)
		}
		defer end(&err)
		for _, in := range infos {
			if err := s.insert(c, in); err != nil {
				return fmt.Errorf("register %s: %w", in.Path, err)
			}
		}
		for _, in := range infos {
			if err := insertEdges(c, in); err != nil {
				return fmt.Errorf("register %s: %w", in.Path, err)
			}
		}
		return nil
	})
}

func (s *Store) insert(c *sqlite.Conn, in PathInfo) error {
	at := in.RegistrationTime
	if at.IsZero() {
		at = s.now()
	}
	var ultimate any
	if in.Ultimate {
		ultimate = 1
	}
	return sqlitex.Execute(c, `insert into ValidPaths (path, hash, registrationTime, deriver, narSize, ultimate, sigs, ca)
		values (?, ?, ?, ?, ?, ?, ?, ?) on conflict(path) do update set hash = excluded.hash, narSize = excluded.narSize,
		ultimate = excluded.ultimate, sigs = excluded.sigs, ca = excluded.ca`,
		&sqlitex.ExecOptions{Args: []any{in.Path, in.NarHash, at.Unix(), orNull(in.Deriver), in.NarSize, ultimate,
			orNull(strings.Join(in.Sigs, " ")), orNull(in.CA)}})
}

func insertEdges(c *sqlite.Conn, in PathInfo) error {
	const id = "(select id from ValidPaths where path = ?)"
	for _, r := range in.Refs {
		err := sqlitex.Execute(c, "insert or replace into Refs values ("+id+", "+id+")", &sqlitex.ExecOptions{Args: []any{in.Path, r}})
		if err != nil {
			return fmt.Errorf("reference to %s: %w", r, err)
		}
	}
	for name, p := range in.Outputs {
		err := sqlitex.Execute(c, "insert or replace into DerivationOutputs values ("+id+", ?, ?)", &sqlitex.ExecOptions{Args: []any{in.Path, name, p}})
		if err != nil {
			return fmt.Errorf("output %s: %w", name, err)
		}
	}
	return nil
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
