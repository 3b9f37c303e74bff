package store

import (
	"context"
	"slices"

	"zombiezen.com/go/sqlite"

	"headwater/internal/nix"
)

// pathGraph is the valid paths and what keeps what.
type pathGraph struct {
	nodes    map[nix.StorePath]*pathNode
	byDigest map[string][]*pathNode
	order    []*pathNode // referrers before what they refer to
}

type pathNode struct {
	path  nix.StorePath
	size  int64 // of the NAR
	live  bool
	refs  []*pathNode
	keeps []*pathNode // lives too if this does, without being referred to
}

// keep marks a path and all that it keeps.
func (g *pathGraph) keep(p nix.StorePath) {
	if n := g.nodes[p]; n != nil {
		n.keep()
	}
}

func (g *pathGraph) keepDigest(digest string) {
	for _, n := range g.byDigest[digest] {
		n.keep()
	}
}

func (n *pathNode) keep() {
	todo := []*pathNode{n}
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if n.live {
			continue
		}
		n.live = true
		todo = append(append(todo, n.refs...), n.keeps...)
	}
}

// readGraph reads the whole database in one snapshot.
func (s *Store) readGraph(ctx context.Context, opts GCOptions) (*pathGraph, error) {
	g := &pathGraph{nodes: map[nix.StorePath]*pathNode{}, byDigest: map[string][]*pathNode{}}
	err := s.read(ctx, func(c *sqlite.Conn) error {
		ids := map[int64]*pathNode{}
		var list []*pathNode
		derivers := map[*pathNode]nix.StorePath{}
		err := rows(c, "select id, path, narSize, deriver from ValidPaths order by path", func(r *sqlite.Stmt) error {
			n := &pathNode{path: nix.StorePath(r.ColumnText(1)), size: r.ColumnInt64(2)}
			ids[r.ColumnInt64(0)], g.nodes[n.path] = n, n
			g.byDigest[n.path.Digest()] = append(g.byDigest[n.path.Digest()], n)
			if d := r.ColumnText(3); d != "" {
				derivers[n] = nix.StorePath(d)
			}
			list = append(list, n)
			return nil
		})
		if err != nil {
			return err
		}
		err = rows(c, "select referrer, reference from Refs where referrer != reference order by referrer, reference", func(r *sqlite.Stmt) error {
			from, to := ids[r.ColumnInt64(0)], ids[r.ColumnInt64(1)]
			from.refs = append(from.refs, to)
			return nil
		})
		if err != nil {
			return err
		}
		g.order = referrersFirst(list)
		return rows(c, "select drv, path from DerivationOutputs order by drv, path", func(r *sqlite.Stmt) error {
			drv, out := ids[r.ColumnInt64(0)], g.nodes[nix.StorePath(r.ColumnText(1))]
			if out == nil {
				return nil
			}
			if opts.KeepOutputs {
				drv.keeps = append(drv.keeps, out)
			}
			if !opts.DropDerivations && derivers[out] == drv.path {
				out.keeps = append(out.keeps, drv)
			}
			return nil
		})
	})
	return g, err
}

// referrersFirst sorts nodes so that none comes before one that refers to it. References have no cycles.
func referrersFirst(list []*pathNode) []*pathNode {
	order := make([]*pathNode, 0, len(list))
	seen := make(map[*pathNode]bool, len(list))
	type frame struct {
		n    *pathNode
		next int
	}
	for _, n := range list {
		stack := []frame{{n: n}}
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if top.next == 0 && seen[top.n] {
				stack = stack[:len(stack)-1]
				continue
			}
			seen[top.n] = true
			if top.next < len(top.n.refs) {
				top.next++
				stack = append(stack, frame{n: top.n.refs[top.next-1]})
				continue
			}
			order = append(order, top.n)
			stack = stack[:len(stack)-1]
		}
	}
	slices.Reverse(order)
	return order
}
