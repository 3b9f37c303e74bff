package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"zombiezen.com/go/sqlite"

	"headwater/internal/nix"
)

// Register makes the paths valid in one transaction. They may refer to one another in any order; a reference to anything
// that is not valid is an error. A path that is valid already keeps its deriver and time.
func (s *Store) Register(ctx context.Context, infos []PathInfo) error {
	for i := range infos {
		if err := infos[i].check(); err != nil {
			return fmt.Errorf("register %s: %w", infos[i].Path, err)
		}
	}
	s.wrote.Store(true)
	err := s.write(ctx, func(c *sqlite.Conn) error { return s.register(c, infos) })
	if err != nil {
		return fmt.Errorf("register: %w", err)
	}
	return nil
}

// register makes the paths valid when the transaction that c is in takes effect.
func (s *Store) register(c *sqlite.Conn, infos []PathInfo) error {
	ids := make(map[nix.StorePath]int64, len(infos))
	for i := range infos {
		id, err := s.insert(c, &infos[i])
		if err != nil {
			return fmt.Errorf("%s: %w", infos[i].Path, err)
		}
		ids[infos[i].Path] = id
	}
	for i := range infos {
		if err := insertEdges(c, &infos[i], ids); err != nil {
			return fmt.Errorf("%s: %w", infos[i].Path, err)
		}
	}
	return nil
}

func (s *Store) insert(c *sqlite.Conn, in *PathInfo) (id int64, err error) {
	at := in.RegistrationTime
	if at.IsZero() {
		at = s.opts.Now()
	}
	var ultimate any
	if in.Ultimate {
		ultimate = 1
	}
	err = rows(c, `insert into ValidPaths (path, hash, registrationTime, deriver, narSize, ultimate, sigs, ca)
		values (?, ?, ?, ?, ?, ?, ?, ?) on conflict(path) do update set hash = excluded.hash, narSize = excluded.narSize,
		ultimate = excluded.ultimate, sigs = excluded.sigs, ca = excluded.ca returning id`,
		func(r *sqlite.Stmt) error { id = r.ColumnInt64(0); return nil },
		string(in.Path), "sha256:"+in.NARHash.Base16(), at.Unix(), orNull(string(in.Deriver)), in.NARSize, ultimate,
		orNull(strings.Join(in.Sigs, " ")), orNull(in.CA.String()))
	return id, err
}

// insertEdges writes references and outputs. ids remembers the rows of paths already looked up.
func insertEdges(c *sqlite.Conn, in *PathInfo, ids map[nix.StorePath]int64) error {
	from := ids[in.Path]
	for _, r := range in.Refs {
		to, ok := ids[r]
		if !ok {
			var err error
			if to, err = pathID(c, r); err != nil {
				return err
			}
			if to == 0 {
				return fmt.Errorf("reference to %s: %w", r, ErrInvalid)
			}
			ids[r] = to
		}
		if err := rows(c, "insert or replace into Refs values (?, ?)", nil, from, to); err != nil {
			return fmt.Errorf("reference to %s: %w", r, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(in.Outputs)) {
		err := rows(c, "insert or replace into DerivationOutputs values (?, ?, ?)", nil, from, name, string(in.Outputs[name]))
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
