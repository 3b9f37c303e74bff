package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"

	"headwater/internal/nix"
)

// Valid tells which of the paths are valid, in the order given.
func (s *Store) Valid(ctx context.Context, paths ...nix.StorePath) ([]nix.StorePath, error) {
	var valid []nix.StorePath
	err := s.read(ctx, func(c *sqlite.Conn) error {
		for _, p := range paths {
			id, err := pathID(c, p)
			if err != nil {
				return fmt.Errorf("look up %s: %w", p, err)
			}
			if id != 0 {
				valid = append(valid, p)
			}
		}
		return nil
	})
	return valid, err
}

// pathID is the row of a valid path, 0 if it is not valid.
func pathID(c *sqlite.Conn, p nix.StorePath) (id int64, err error) {
	err = rows(c, "select id from ValidPaths where path = ?", func(r *sqlite.Stmt) error {
		id = r.ColumnInt64(0)
		return nil
	}, string(p))
	return id, err
}

// ByDigest finds the valid path that has a digest. The error is ErrInvalid if there is none.
func (s *Store) ByDigest(ctx context.Context, digest string) (nix.StorePath, error) {
	var found nix.StorePath
	prefix := nix.StoreDir + "/" + digest
	err := s.read(ctx, func(c *sqlite.Conn) error {
		// What follows the digest is a dash; a dot is the byte after that.
		return rows(c, "select path from ValidPaths where path > ? and path < ? limit 1", func(r *sqlite.Stmt) (err error) {
			found, err = nix.ParseStorePath(r.ColumnText(0))
			return err
		}, prefix+"-", prefix+".")
	})
	if err == nil && found == "" {
		err = ErrInvalid
	}
	if err != nil {
		return "", fmt.Errorf("look up %s: %w", prefix, err)
	}
	return found, nil
}

// Query tells what is known of a path. The error is ErrInvalid if the path is not valid.
func (s *Store) Query(ctx context.Context, path nix.StorePath) (PathInfo, error) {
	var info PathInfo
	err := s.read(ctx, func(c *sqlite.Conn) (err error) {
		info, err = queryInfo(c, path)
		return err
	})
	if err != nil {
		return PathInfo{}, fmt.Errorf("query %s: %w", path, err)
	}
	return info, nil
}

func queryInfo(c *sqlite.Conn, path nix.StorePath) (PathInfo, error) {
	var info PathInfo
	err := rows(c, "select "+infoColumns+" from ValidPaths where path = ?", func(r *sqlite.Stmt) (err error) {
		info, err = readInfo(r)
		return err
	}, string(path))
	if err != nil {
		return PathInfo{}, err
	}
	if info.Path == "" {
		return PathInfo{}, ErrInvalid
	}
	info.Refs, err = neighbours(c, path, false)
	return info, err
}

const infoColumns = "path, hash, registrationTime, deriver, narSize, ultimate, sigs, ca"

// readInfo reads infoColumns. Whatever Nix or a damaged disk put there is checked.
func readInfo(r *sqlite.Stmt) (info PathInfo, err error) {
	info = PathInfo{NARSize: r.ColumnInt64(4), RegistrationTime: time.Unix(r.ColumnInt64(2), 0), Ultimate: r.ColumnInt64(5) == 1,
		Sigs: strings.Fields(r.ColumnText(6))}
	if len(info.Sigs) == 0 {
		info.Sigs = nil
	}
	if info.Path, err = nix.ParseStorePath(r.ColumnText(0)); err != nil {
		return PathInfo{}, fmt.Errorf("database: %w", err)
	}
	if info.NARHash, err = nix.ParseHash("", r.ColumnText(1)); err != nil {
		return PathInfo{}, fmt.Errorf("database: NAR hash of %s: %w", info.Path, err)
	}
	if err = info.Deriver.UnmarshalText([]byte(r.ColumnText(3))); err != nil {
		return PathInfo{}, fmt.Errorf("database: deriver of %s: %w", info.Path, err)
	}
	if info.CA, err = nix.ParseContentAddress(r.ColumnText(7)); err != nil {
		return PathInfo{}, fmt.Errorf("database: content address of %s: %w", info.Path, err)
	}
	return info, nil
}

// neighbours are the references of path, or with reverse its referrers, sorted.
func neighbours(c *sqlite.Conn, path nix.StorePath, reverse bool) ([]nix.StorePath, error) {
	q := "select b.path from ValidPaths a join Refs on referrer = a.id join ValidPaths b on reference = b.id where a.path = ? order by b.path"
	if reverse {
		q = "select a.path from ValidPaths b join Refs on reference = b.id join ValidPaths a on referrer = a.id where b.path = ? order by a.path"
	}
	var out []nix.StorePath
	err := rows(c, q, func(r *sqlite.Stmt) error {
		p, err := nix.ParseStorePath(r.ColumnText(0))
		out = append(out, p)
		return err
	}, string(path))
	return out, err
}

// Closure is the paths and all that they refer to, or with reverse all that refers to them, sorted; invalid paths are an
// error.
func (s *Store) Closure(ctx context.Context, paths []nix.StorePath, reverse bool) ([]nix.StorePath, error) {
	const (
		starts   = "select id from ValidPaths where path in (select value from json_each(?))"
		forward  = "select reference from Refs join reached on referrer = id"
		backward = "select referrer from Refs join reached on reference = id"
	)
	step := forward
	if reverse {
		step = backward
	}
	list, err := json.Marshal(paths)
	if err != nil {
		return nil, fmt.Errorf("closure: %w", err)
	}
	var out []nix.StorePath
	err = s.read(ctx, func(c *sqlite.Conn) error {
		return rows(c, "with recursive reached(id) as ("+starts+" union "+step+") select path from ValidPaths join reached using (id) order by path",
			func(r *sqlite.Stmt) error {
				p, err := nix.ParseStorePath(r.ColumnText(0))
				out = append(out, p)
				return err
			}, string(list))
	})
	if err != nil {
		return nil, fmt.Errorf("closure: %w", err)
	}
	for _, p := range paths {
		if _, ok := slices.BinarySearch(out, p); !ok {
			return nil, fmt.Errorf("closure: %s: %w", p, ErrInvalid)
		}
	}
	return out, nil
}
