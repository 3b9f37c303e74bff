package daemon

import (
	"context"
	"fmt"
	"io"

	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/nix"
	"headwater/internal/nix/worker"
	"headwater/internal/store"
)

// download brings the goals' outputs back, with all that they refer to, as far as it is not here. With Options.Check those
// that are here are compared with the daemon's.
func (r *run) download(ctx context.Context, goals []*dag.Node) error {
	var outputs []nix.StorePath
	for _, g := range goals {
		for _, o := range outputNames(g) {
			outputs = append(outputs, g.Outputs[o])
		}
	}
	if r.opts.Check {
		if err := r.compare(ctx, goals); err != nil {
			return err
		}
	}
	infos, err := r.lacking(ctx, outputs)
	if err != nil || len(infos) == 0 {
		return err
	}
	c := r.copying("download", fmt.Sprintf("%d paths from the Nix daemon", len(infos)))
	for _, info := range infos {
		c.total += info.NARSize
	}
	for _, info := range infos {
		if err := r.fetch(ctx, info, c); err != nil {
			return c.end(err)
		}
	}
	return c.end(nil)
}

// lacking are the paths of a closure that are not here, what they refer to first.
func (r *run) lacking(ctx context.Context, level []nix.StorePath) ([]*worker.PathInfo, error) {
	known := map[nix.StorePath]*worker.PathInfo{}
	seen := map[nix.StorePath]bool{}
	start := level
	for len(level) > 0 {
		var ask []nix.StorePath
		for _, p := range level {
			if !seen[p] {
				seen[p] = true
				ask = append(ask, p)
			}
		}
		ask, err := r.notHere(ctx, ask)
		if err != nil {
			return nil, err
		}
		infos, err := r.client.QueryPathInfos(ctx, ask)
		if err != nil {
			return nil, r.fault(ctx, err)
		}
		level = nil
		for i, info := range infos {
			if info == nil {
				return nil, r.fault(ctx, fmt.Errorf("%s is not valid there although it was said to be", ask[i]))
			}
			known[info.Path] = info
			level = append(level, info.Refs...)
		}
	}
	return referencesFirst(start, known), nil
}

// notHere are those of the paths that the local store lacks.
func (r *run) notHere(ctx context.Context, paths []nix.StorePath) (lack []nix.StorePath, err error) {
	if err := r.Store.AddTempRoot(ctx, paths...); err != nil {
		return nil, err
	}
	valid, err := r.Store.Valid(ctx, paths...)
	if err != nil {
		return nil, err
	}
	here := make(map[nix.StorePath]bool, len(valid))
	for _, p := range valid {
		here[p] = true
	}
	for _, p := range paths {
		if !here[p] {
			lack = append(lack, p)
		}
	}
	return lack, nil
}

func referencesFirst(start []nix.StorePath, known map[nix.StorePath]*worker.PathInfo) (list []*worker.PathInfo) {
	done := map[nix.StorePath]bool{}
	var visit func(nix.StorePath)
	visit = func(p nix.StorePath) {
		info := known[p]
		if info == nil || done[p] {
			return
		}
		done[p] = true
		for _, ref := range info.Refs {
			visit(ref)
		}
		list = append(list, info)
	}
	for _, p := range start {
		visit(p)
	}
	return list
}

// fetch brings one path back.
func (r *run) fetch(ctx context.Context, info *worker.PathInfo, count io.Writer) error {
	err := r.client.NARFromPath(ctx, info.Path, info.NARSize, func(from io.Reader) error {
		return r.Store.ImportNAR(ctx, io.TeeReader(from, count), store.PathInfo{
			Path: info.Path, NARHash: info.NARHash, NARSize: info.NARSize, Refs: info.Refs, Deriver: info.Deriver, CA: info.CA, Sigs: info.Sigs,
		})
	})
	return r.fault(ctx, err)
}

// compare finds goals whose outputs here are not those that the daemon has.
func (r *run) compare(ctx context.Context, goals []*dag.Node) error {
	for _, g := range goals {
		for _, name := range outputNames(g) {
			p := g.Outputs[name]
			lack, err := r.notHere(ctx, []nix.StorePath{p})
			if err != nil {
				return err
			}
			if len(lack) > 0 {
				continue
			}
			here, err := r.Store.Query(ctx, p)
			if err != nil {
				return err
			}
			there, err := r.client.QueryPathInfos(ctx, []nix.StorePath{p})
			if err != nil {
				return r.fault(ctx, err)
			}
			if there[0] != nil && there[0].NARHash != here.NARHash {
				return r.failed(g, &engine.BuildFailed{Node: g, Reason: engine.Differs, Err: fmt.Errorf(
					"output %s is not the same on the daemon: was %s, is %s", name, here.NARHash.SRI(), there[0].NARHash.SRI())})
			}
		}
	}
	return nil
}
