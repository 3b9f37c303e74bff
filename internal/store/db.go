package store

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
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

func (s *Store) openDB(ctx context.Context, create bool) error {
	flags := sqlite.OpenReadWrite
	if create {
		flags |= sqlite.OpenCreate
	}
	conn, err := sqlite.OpenConn(s.state("db", "db.sqlite"), flags)
	if err != nil {
		return explain(ctx, err)
	}
	conn.SetInterrupt(ctx.Done())
	conn.SetBlockOnBusy()
	err = prepare(conn, create)
	conn.SetInterrupt(nil)
	if err != nil {
		return errors.Join(explain(ctx, err), conn.Close())
	}
	s.conn = conn
	if !create {
		return nil
	}
	tmp := s.state("db", "schema.tmp")
	if err := os.WriteFile(tmp, []byte(schemaVersion), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, s.state("db", "schema"))
}

func prepare(conn *sqlite.Conn, create bool) error {
	// The wait for others' transactions is SetBlockOnBusy's. A read finds out whether the database is one.
	for _, q := range []string{"pragma foreign_keys = 1", "pragma synchronous = normal", "pragma wal_autocheckpoint = 40000", "select 1 from sqlite_schema"} {
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
	return sqlitex.ExecuteScript(conn, schemaSQL, nil)
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
	return explain(ctx, f(s.conn))
}

// explain tells what SQLite says in words of its own: that ctx has ended, that the disk is full.
func explain(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%w (%w)", ctx.Err(), err)
	case sqlite.ErrCode(err).ToPrimary() == sqlite.ResultFull:
		return fmt.Errorf("%w (%w)", unix.ENOSPC, err)
	}
	return err
}

// read runs f in one snapshot of the database.
func (s *Store) read(ctx context.Context, f func(*sqlite.Conn) error) error {
	return s.with(ctx, func(c *sqlite.Conn) (err error) {
		end := sqlitex.Transaction(c)
		defer end(&err)
		return f(c)
	})
}

// write runs f in one transaction, which takes effect if f returns nil.
func (s *Store) write(ctx context.Context, f func(*sqlite.Conn) error) error {
	return s.with(ctx, func(c *sqlite.Conn) (err error) {
		end, err := sqlitex.ImmediateTransaction(c)
		if err != nil {
			return err
		}
		defer end(&err)
		return f(c)
	})
}

// rows runs a query with arguments and calls f for each row.
func rows(c *sqlite.Conn, query string, f func(*sqlite.Stmt) error, args ...any) error {
	return sqlitex.Execute(c, query, &sqlitex.ExecOptions{Args: args, ResultFunc: f})
}
