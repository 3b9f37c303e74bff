package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"headwater/internal/dag"
	"headwater/internal/difference"
	"headwater/internal/engine"
	"headwater/internal/engine/local"
	"headwater/internal/event"
	"headwater/internal/graph"
	"headwater/internal/nix"
	"headwater/internal/store"
)

// checkOptions are the flags of check.
type checkOptions struct {
	buildOptions
	components []string
}

func (a *app) checkCommand() *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check [DIR]",
		Short: "Build everything once more, compare to the byte with what is there, and explain what differs",
		Long: `Build what is missing, then build every derivation of the package once more and compare to the byte with what the store has; make its last
image once more too. Each is built with its inputs as they are in the store, whose bytes are hashed before: so a difference is told of
the derivation that brings it about, and of no other. Downloads, roots and sources are what their hashes in the lock say.

Of what differs it is told which files, which bytes, and what is likely to have brought it about. It is built a third time then, which
tells what changes with every build from what changes with the number of processors or with the machine. The exit code is 1.

With --json one object is printed: {"v": 1, "package", "checked", "same", "different": [{drv, kind, name, component, output, path, was, is,
built, third, cause, why, do, files, differ, shown: [{path, what, spots: [{offset, line, here, there}], cause, why}], logs}], "failed": [{drv, name, error,
log}], "image": {digest, again, same, layers}}.`,
		Args: maxArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.check(cmd.Context(), args, o) },
	}
	o.flags(cmd)
	cmd.Flags().StringArrayVar(&o.components, "component", nil, "check what is built for this component alone, and no image; may be repeated")
	return cmd
}

func (a *app) check(ctx context.Context, args []string, o checkOptions) error {
	p, g, err := openGraph(args)
	if err != nil {
		return err
	}
	nodes, err := checkable(g, o.components)
	if err != nil {
		return err
	}
	var r checkReport
	err = a.withPackage(ctx, p, g, o.buildOptions, nodes, func(b *builder) error {
		if err := b.sound(ctx, nodes); err != nil {
			return err
		}
		c := &checker{app: a, builder: b, options: o.engine, cores: o.engine.Cores}
		if r, err = c.run(ctx, nodes); err != nil {
			return err
		}
		r.Package = g.Package.Path()
		if len(o.components) == 0 {
			r.Image, err = a.checkImage(ctx, b, p, g)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := a.showCheck(&r); err != nil {
		return err
	}
	return r.err()
}

// checkable are the derivations that are built for the package, or for some components of it, inputs first.
func checkable(g *graph.Graph, components []string) ([]*dag.Node, error) {
	for _, c := range components {
		if g.Components[c] == nil {
			return nil, &usageError{fmt.Errorf("--component %q: the recipe has %s", c, strings.Join(slices.Sorted(maps.Keys(g.Components)), ", "))}
		}
	}
	return slices.DeleteFunc(dag.Closure(g.Package), func(n *dag.Node) bool {
		return n.Drv == nil || n.Kind == dag.Fetch || len(components) > 0 && !slices.Contains(components, n.Component)
	}), nil
}

// sound makes sure that what is compared, and what it is built from, are the bytes that are registered.
func (b *builder) sound(ctx context.Context, nodes []*dag.Node) error {
	var paths []nix.StorePath
	for _, n := range nodes {
		for _, out := range n.Outputs {
			paths = append(paths, out)
		}
		for _, in := range n.Inputs {
			for _, out := range in.Outputs {
				paths = append(paths, out)
			}
		}
	}
	slices.Sort(paths)
	valid, err := b.store.Valid(ctx, slices.Compact(paths)...)
	if err != nil {
		return err
	}
	closure, err := b.store.Closure(ctx, valid, false)
	if err != nil {
		return err
	}
	r, err := b.store.Verify(ctx, store.VerifyOptions{Contents: true, Only: closure})
	if err != nil {
		return err
	}
	for _, p := range r.Problems {
		b.events(event.Message{Level: event.Warning, Text: p.String()})
	}
	if n := len(r.Problems); n > 0 {
		return &failedCheck{&inputError{fmt.Errorf("check: %d of the %d store paths that it is about are damaged, such as %v", n, r.Paths, r.Problems[0]),
			"headwater store verify --repair makes them invalid, so that the next build makes them again"}}
	}
	return nil
}

// checker builds again and compares.
type checker struct {
	*app
	*builder
	options engine.Options
	cores   int // that the user wants builders to be told, 0 if nothing is said

	mu    sync.Mutex
	found map[string]*differing // by .drv and output
}

// run builds all nodes a second time, and those that differ a third time.
func (c *checker) run(ctx context.Context, nodes []*dag.Node) (checkReport, error) {
	c.found = map[string]*differing{}
	// What is made of all inputs at once differs where the count of processors is in it; nothing else is lost by telling another.
	told := c.cores
	if told == 0 {
		told = runtime.NumCPU() + 1
	}
	r := checkReport{Checked: len(nodes), Failed: []failedAgain{}}
	result, err := c.again(ctx, nodes, told, c.explain(told))
	if err != nil {
		return r, err
	}
	var differ []*dag.Node
	for _, f := range result.Failed {
		var built *engine.BuildFailed
		switch {
		case !errors.As(f.Err, &built):
			return r, f.Err
		case built.Reason != engine.Differs:
			r.Failed = append(r.Failed, failedAgain{f.Node.DrvPath, f.Node.Name, built.Err.Error(), built.LogPath})
			continue
		}
		differ = append(differ, f.Node)
		if !c.has(f.Node) { // a daemon's, of which only that is known
			c.found[string(f.Node.DrvPath)] = &differing{node: f.Node, Output: "out", Path: f.Node.Path(), Cause: difference.Unknown, Why: built.Err.Error() +
				"; a Nix daemon does not hand out what it built: check without --engine nix, which compares with the same paths"}
		}
	}
	r.Same = r.Checked - len(differ) - len(r.Failed)
	if err := c.third(ctx, differ, told); err != nil {
		return r, err
	}
	for _, key := range slices.Sorted(maps.Keys(c.found)) {
		r.Different = append(r.Different, c.found[key])
	}
	slices.SortStableFunc(r.Different, func(x, y *differing) int { return slices.Index(nodes, x.node) - slices.Index(nodes, y.node) })
	for _, d := range r.Different {
		d.finish()
	}
	return r, nil
}

func (c *checker) has(n *dag.Node) bool {
	for _, d := range c.found {
		if d.node == n {
			return true
		}
	}
	return false
}

// again builds nodes once more. Only what ends the whole run is an error.
func (c *checker) again(ctx context.Context, nodes []*dag.Node, cores int, differs func(context.Context, engine.Difference) error) (engine.Result, error) {
	o := c.options
	o.Check, o.KeepGoing, o.Cores, o.Differs, o.Events = true, true, cores, differs, c.quiet
	result, err := c.engine.Realise(ctx, nodes, o)
	if err != nil && (len(result.Failed) == 0 || ctx.Err() != nil) {
		return result, err
	}
	return result, nil
}

// quiet tells of what differs in a line: it is explained at the end.
func (c *checker) quiet(e event.Event) {
	f, ok := e.(event.Finished)
	var built *engine.BuildFailed
	if !ok || !errors.As(f.Err, &built) || built.Reason != engine.Differs {
		c.events(e)
		return
	}
	f.Err = nil
	c.events(f)
	c.events(event.Message{Level: event.Warning, Text: f.Node.Kind + " " + f.Node.Name + " is not the same when it is built again"})
}

// explain compares an output with the first build's while both are there.
func (c *checker) explain(told int) func(context.Context, engine.Difference) error {
	return func(ctx context.Context, e engine.Difference) error {
		info, err := c.store.Query(ctx, e.Node.Outputs[e.Output])
		if err != nil {
			return err
		}
		d := &differing{node: e.Node, Output: e.Output, Path: info.Path, Was: e.Was.SRI(), Is: e.Is.SRI(), is: e.Is, Built: info.Ultimate, Logs: []string{}}
		conditions := sandboxConditions(told)
		conditions.Again = c.now()
		if info.Ultimate { // else it is known when it came here, not when it was built
			conditions.Made = info.RegistrationTime
		}
		if log := local.LogPath(c.store.Dir(), e.Node.DrvPath); fileExists(log) {
			d.Logs = append(d.Logs, log)
		}
		d.Logs = append(d.Logs, e.LogPath)
		r, err := difference.Trees(ctx, e.WasAt, e.IsAt, conditions)
		if err != nil {
			return err
		}
		d.result(r)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.found[string(e.Node.DrvPath)+" "+e.Output] = d
		return nil
	}
}

func fileExists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// sandboxConditions are what builders see of where they are, which is the same on every machine, but for kernel and processors.
func sandboxConditions(told int) difference.Conditions {
	c := difference.Conditions{Host: []string{"localhost"}, User: []string{"build", "nixbld", "1000"}, Cores: []int{told, runtime.NumCPU()}}
	var name unix.Utsname
	if err := unix.Uname(&name); err == nil { // it is a hint
		c.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	return c
}

// third builds what differs once more, now told as many processors as a build is by itself.
func (c *checker) third(ctx context.Context, differ []*dag.Node, told int) error {
	if len(differ) == 0 {
		return nil
	}
	usual := c.cores
	if usual == 0 {
		usual = runtime.NumCPU()
	}
	hashes := map[string]nix.Hash{}
	result, err := c.again(ctx, differ, usual, func(_ context.Context, e engine.Difference) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		hashes[string(e.Node.DrvPath)+" "+e.Output] = e.Is
		return nil
	})
	if err != nil {
		return err
	}
	for key, d := range c.found {
		h, differs := hashes[key]
		failed := slices.ContainsFunc(result.Failed, func(f engine.Failure) bool {
			var built *engine.BuildFailed
			return f.Node == d.node && (!errors.As(f.Err, &built) || built.Reason != engine.Differs)
		})
		switch {
		case failed || d.is.IsZero():
		case !differs && told != usual:
			d.Third = thirdFirst
			d.processors(usual, told)
		case !differs:
			d.Third = thirdFirst
		case h == d.is:
			d.Third = thirdSecond
		default:
			d.Third = thirdOther
		}
	}
	return nil
}
