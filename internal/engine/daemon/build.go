package daemon

import (
	"context"
	"errors"
	"maps"
	"slices"

	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/nix"
	"headwater/internal/nix/worker"
)

// nodes are what the daemon is to build.
func (p *plan) nodes() []*dag.Node {
	nodes := slices.AppendSeq(slices.Clone(p.check), maps.Keys(p.build))
	sortNodes(nodes)
	return nodes
}

// build has the plan's derivations built, then those to check. Every one is asked for, not only the goals, so that the daemon
// says of each what became of it.
func (r *run) build(ctx context.Context, p *plan) error {
	var targets []target
	for n, outputs := range p.build {
		targets = append(targets, target{n, outputs})
	}
	err := r.buildAll(ctx, targets, worker.Normal)
	if err != nil && (!r.opts.KeepGoing || ctx.Err() != nil) {
		r.result.Skipped = append(r.result.Skipped, p.check...)
		return err
	}
	targets = nil
	for _, n := range p.check {
		targets = append(targets, target{n, outputNames(n)})
	}
	return errors.Join(err, r.buildAll(ctx, targets, worker.Check))
}

// target is a derivation and which of its outputs are wanted.
type target struct {
	node    *dag.Node
	outputs []string
}

func (r *run) buildAll(ctx context.Context, targets []target, mode worker.Mode) error {
	if len(targets) == 0 {
		return nil
	}
	slices.SortFunc(targets, func(a, b target) int { return compareNodes(a.node, b.node) })
	ask := make([]worker.Target, len(targets))
	for i, t := range targets {
		ask[i] = worker.Target{Drv: t.node.DrvPath, Outputs: t.outputs}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var valid validator
	if mode == worker.Normal { // else all is valid before
		valid = func(paths []nix.StorePath) ([]nix.StorePath, error) { return r.validMeanwhile(ctx, paths) }
	}
	w := newWatch(r, targets, valid, cancel)
	r.sink = w.message
	results, err := r.client.BuildPaths(ctx, ask, mode)
	r.sink = r.remark
	return r.judge(ctx, w, targets, results, r.fault(ctx, err))
}

// judge notes what became of each target. broken is why the whole operation ended, if it did.
func (r *run) judge(ctx context.Context, w *watch, targets []target, results []worker.Result, broken error) error {
	byDrv := make(map[nix.StorePath]worker.Result, len(results))
	for _, result := range results {
		byDrv[result.Drv] = result
	}
	var errs []error
	lacks := false
	for _, t := range targets {
		result, ok := byDrv[t.node.DrvPath]
		if !ok {
			result.Status = worker.MiscFailure // without a text: not tried
		}
		lacks = lacks || !result.Status.Success()
		errs = append(errs, w.ended(t.node, result, broken))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, said := range w.errors {
		r.remark(said)
	}
	if broken == nil && lacks {
		return r.fault(ctx, errors.New("not all was built, and the daemon did not say why"))
	}
	return broken
}

// failed notes a node's failure and returns its error.
func (r *run) failed(n *dag.Node, err error) error {
	r.result.Failed = append(r.result.Failed, engine.Failure{Node: n, Err: err})
	return err
}

// built are those of the nodes that did not fail and were not skipped.
func (r *run) built(nodes []*dag.Node) []*dag.Node {
	lacks := map[*dag.Node]bool{}
	for _, f := range r.result.Failed {
		lacks[f.Node] = true
	}
	for _, n := range r.result.Skipped {
		lacks[n] = true
	}
	return slices.DeleteFunc(slices.Clone(nodes), func(n *dag.Node) bool { return lacks[n] })
}
