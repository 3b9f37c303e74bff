package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/event"
	"headwater/internal/graph"
	"headwater/internal/nix"
	"headwater/internal/store"
)

// buildOptions are the flags that all commands share which build something.
type buildOptions struct {
	engine  engine.Options
	where   engineChoice
	caches  cacheChoice
	drv     bool
	outLink string
}

func (o *buildOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.IntVarP(&o.engine.Jobs, "jobs", "j", 0, "builds at the same time (0: as many as there are processors)")
	f.IntVar(&o.engine.Cores, "cores", 0, "processors that one build may use (0: all)")
	f.BoolVarP(&o.engine.KeepGoing, "keep-going", "k", false, "after a failure, build all that does not need what failed")
	f.DurationVar(&o.engine.Timeout, "timeout", 0, "how long one build may take (0: no limit)")
	f.DurationVar(&o.engine.MaxSilent, "max-silent", 0, "how long one build may print nothing (0: no limit)")
	o.where.flags(cmd)
	o.caches.flags(cmd)
}

func (a *app) buildCommand() *cobra.Command {
	var o buildOptions
	cmd := &cobra.Command{
		Use:   "build [DIR]",
		Short: "Build the package and print its store path",
		Args:  maxArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.build(cmd.Context(), args, o)
		},
	}
	o.flags(cmd)
	cmd.Flags().BoolVar(&o.drv, "drv", false, "print the package's .drv path, and build nothing")
	cmd.Flags().StringVarP(&o.outLink, "out-link", "o", "", "make this link to the package; it keeps the package from being collected")
	return cmd
}

func (a *app) build(ctx context.Context, args []string, o buildOptions) error {
	if o.drv {
		_, g, err := openGraph(args)
		if err != nil {
			return err
		}
		return a.result("drv", string(g.Package.DrvPath))
	}
	p, err := readProject(args)
	if err != nil {
		return err
	}
	path, err := a.buildProject(ctx, p, o)
	if err != nil {
		return err
	}
	return a.result("path", string(path))
}

func (a *app) buildProject(ctx context.Context, p *project, o buildOptions) (nix.StorePath, error) {
	from, err := p.from(a)
	if err != nil {
		return "", err
	}
	if o.where.local() {
		if _, _, err := a.chosenCaches(o.caches); err != nil { // a mistake is told also where nothing is to be taken
			return "", err
		}
		s, err := a.openStore(ctx)
		if err != nil {
			return "", err
		}
		path, err := unchanged(ctx, s, p, from)
		if path != "" && err == nil {
			err = s.AddRoot(ctx, o.link(s, p), path)
		}
		if err := errors.Join(err, s.Close()); err != nil || path != "" {
			return path, err
		}
	}
	if err := p.parseLock(); err != nil {
		return "", err
	}
	g, err := p.graph()
	if err != nil {
		return "", err
	}
	b, err := a.openBuilderOn(ctx, p.lock.Date, o.where, o.caches)
	if err != nil {
		return "", err
	}
	b.locate(p)
	err = func() error {
		if err := b.readyPaths(ctx, p, g.Package); err != nil {
			return err
		}
		if err := b.realise(ctx, o.engine, g.Package); err != nil {
			return err
		}
		if err := b.store.AddRoot(ctx, o.link(b.store, p), g.Package.Path()); err != nil {
			return err
		}
		return remember(b.store, p, lastBuild{From: from, Path: g.Package.Path()})
	}()
	err = a.advise(ctx, b, p.recipe, p.lock.Date, err)
	return g.Package.Path(), errors.Join(err, b.Close())
}

// link is what keeps the package from being collected.
func (o *buildOptions) link(s *store.Store, p *project) string {
	if o.outLink != "" {
		return o.outLink
	}
	return rootLink(s, p)
}

// result prints a command's one result on standard output.
func (a *app) result(key, value string) error {
	if !a.json {
		_, err := fmt.Fprintln(a.stdout, value)
		return err
	}
	return json.NewEncoder(a.stdout).Encode(map[string]any{"v": 1, key: value})
}

// rootLink is the link by which a project's last build is kept from being collected: one for each folder.
func rootLink(s *store.Store, p *project) string {
	dir, err := filepath.Abs(p.dir)
	if err != nil {
		dir = p.dir
	}
	key := nix.Sum(nix.SHA256, []byte(dir)).Base32()[:16]
	return filepath.Join(s.Dir(), "nix/var/headwater/built", p.recipe.Name+"-"+key)
}

func maxArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return &usageError{fmt.Errorf("%s takes at most %d argument, got %d", cmd.Name(), n, len(args))}
		}
		return nil
	}
}

// paths lists where nodes' outputs really are.
func (b *builder) paths(nodes map[string]*dag.Node) map[string]string {
	out := make(map[string]string, len(nodes))
	for name, n := range nodes {
		out[name] = b.store.RealPath(n.Path())
	}
	return out
}

// withPackage builds a project's package and further goals, keeps the package from being collected, and hands on what built it; the
// store stays open as long as that is used, and what was taken from it stays there.
func (a *app) withPackage(ctx context.Context, p *project, g *graph.Graph, o buildOptions, goals []*dag.Node, use func(*builder) error) error {
	b, err := a.openBuilt(ctx, p, g, o, nil, append([]*dag.Node{g.Package}, goals...)...)
	if err != nil {
		return err
	}
	return errors.Join(use(b), b.Close())
}

// openBuilt builds goals of a project and returns what built them, with its store open. If the package is one of the goals, it is kept from
// being collected. What happens meanwhile also goes to also, which may be nil.
func (a *app) openBuilt(ctx context.Context, p *project, g *graph.Graph, o buildOptions, also func(event.Sink) event.Sink, goals ...*dag.Node) (*builder, error) {
	b, err := a.openBuilderOn(ctx, p.lock.Date, o.where, o.caches)
	if err != nil {
		return nil, err
	}
	b.locate(p)
	shown := b.events
	if also != nil {
		b.events = also(shown)
	}
	if err = b.readyPaths(ctx, p, g.Package); err == nil {
		err = a.advise(ctx, b, p.recipe, p.lock.Date, b.realise(ctx, o.engine, goals...))
	}
	b.events = shown
	if err == nil && slices.Contains(goals, g.Package) {
		err = b.store.AddRoot(ctx, rootLink(b.store, p), g.Package.Path())
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}
