// Package pin makes a lock: it walks the recipe's roots, toolchains and components and has each pinned by hash.
//
// What a previous lock holds and what still fits is kept, so that a second lock of the same things is byte-identical and
// asks no registry for what is known.
package pin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"headwater/internal/dag"
	"headwater/internal/ecosystem"
	"headwater/internal/event"
	"headwater/internal/graph"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/recipe"
)

// Roots pins root file systems.
type Roots interface {
	// Resolve picks the packages of a root, in the order they are unpacked in.
	Resolve(ctx context.Context, r recipe.Root) ([]lock.Artifact, error)
	// Hash unpacks the packages once and returns the NAR hash of the tree.
	Hash(ctx context.Context, name string, packages []lock.Artifact) (nix.Hash, error)
	// Paths makes the paths of a root valid and describes them. What old has is to be the same, unless it is nil.
	Paths(ctx context.Context, name string, r recipe.Root, old *lock.Root) (lock.Root, error)
}

// Config says what to lock and with what.
type Config struct {
	Recipe     *recipe.Recipe
	Dir        string     // where the recipe is, and the files that it has in place of others
	Source     fs.FS      // the upstream's tree
	Previous   *lock.File // nil if there is none
	Update     bool       // resolve roots anew instead of keeping what the previous lock has
	Ecosystems []ecosystem.Ecosystem
	Network    ecosystem.Network
	Roots      Roots
	Realise    func(context.Context, *dag.Node) (string, error)
	Now        time.Time
	Events     event.Sink
}

// Lock makes the lock. All that cannot be locked is told at once.
func Lock(ctx context.Context, c Config) (*lock.File, error) {
	if c.Previous == nil {
		c.Previous = &lock.File{}
	}
	pinned, err := c.Recipe.Pinned()
	if err != nil {
		return nil, err
	}
	p := &pinner{Config: c, out: &lock.File{
		Format: lock.Format, Date: c.Now.UTC().Truncate(time.Second), Recipe: pinned,
		Roots: map[string]lock.Root{}, Toolchains: map[string][]lock.Artifact{}, Components: map[string]lock.Component{},
	}}
	p.replaced = &replacements{recipe: c.Recipe, dir: c.Dir, used: map[string]bool{}}
	p.Previous = p.replaced.previous(c.Previous)
	if err := errors.Join(p.roots(ctx), p.toolchains(ctx), p.components(ctx)); err != nil {
		return nil, err
	}
	if err := p.replace(ctx); err != nil {
		return nil, err
	}
	return p.out, p.keepDate()
}

type pinner struct {
	Config
	out      *lock.File
	replaced *replacements
}

func (p *pinner) tell(format string, args ...any) {
	p.Events(event.Message{Text: fmt.Sprintf(format, args...)})
}

func (p *pinner) roots(ctx context.Context) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(p.Recipe.Roots)) {
		r, err := p.root(ctx, name)
		if err != nil {
			errs = append(errs, fmt.Errorf("lock root %s: %w", name, err))
			continue
		}
		p.out.Roots[name] = r
	}
	return errors.Join(errs...)
}

// root keeps the previous lock's packages where the recipe asks for the same; a root is resolved anew only when told to.
func (p *pinner) root(ctx context.Context, name string) (lock.Root, error) {
	want := p.Recipe.Roots[name]
	old, known := p.Previous.Roots[name]
	if len(want.Paths) > 0 {
		kept := &old
		if !known || p.Update || !slices.Equal(old.Wanted, want.Paths) {
			kept = nil
		}
		return p.Roots.Paths(ctx, name, want, kept)
	}
	if known && !p.Update && slices.Equal(old.Suites, want.Suites) && slices.Equal(old.Wanted, want.Packages) {
		return old, nil
	}
	p.tell("resolving root %s", name)
	packages, err := p.Roots.Resolve(ctx, want)
	if err != nil {
		return lock.Root{}, err
	}
	r := lock.Root{Suites: want.Suites, Wanted: want.Packages, Packages: packages}
	// Also where the packages are the same: another release of Headwater may unpack them otherwise.
	p.tell("unpacking root %s: %d packages", name, len(packages))
	r.NARHash, err = p.Roots.Hash(ctx, name, packages)
	return r, err
}

func (p *pinner) toolchains(ctx context.Context) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(p.Recipe.Toolchains)) {
		version := p.Recipe.Toolchains[name]
		if old := p.Previous.Toolchains[name]; len(old) > 0 && !slices.ContainsFunc(old, func(a lock.Artifact) bool { return a.Role != version }) {
			p.out.Toolchains[name] = old
			continue
		}
		list, err := p.toolchain(ctx, name, version)
		if err != nil {
			errs = append(errs, fmt.Errorf("lock toolchain %s %s: %w", name, version, err))
			continue
		}
		// An artifact's own version may be spelled otherwise (a module's pseudo-version), so the recipe's is noted.
		for i := range list {
			list[i].Role = version
		}
		p.out.Toolchains[name] = list
	}
	return errors.Join(errs...)
}

func (p *pinner) toolchain(ctx context.Context, name, version string) ([]lock.Artifact, error) {
	var names []string
	for _, e := range p.Ecosystems {
		t, ok := e.(ecosystem.Toolchainer)
		if !ok {
			continue
		}
		if slices.Contains(t.Toolchains(), name) {
			p.tell("locking toolchain %s %s", name, version)
			return t.LockToolchain(ctx, name, version, p.Network)
		}
		names = append(names, t.Toolchains()...)
	}
	slices.Sort(names)
	return nil, fmt.Errorf("no ecosystem brings it (there are: %q)", names)
}

// components locks all components at once, but for those whose root is not to be had: each waits for registries most of the time.
func (p *pinner) components(ctx context.Context) error {
	maker := new(dag.Maker)
	roots := map[string]*dag.Node{}
	for _, name := range slices.Sorted(maps.Keys(p.out.Roots)) {
		n, err := graph.Root(maker, name, p.out.Roots[name])
		if err != nil {
			return fmt.Errorf("lock root %s: %w", name, err)
		}
		roots[name] = n
	}
	names := slices.Sorted(maps.Keys(p.Recipe.Components))
	locked := make([]lock.Component, len(names))
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		if _, ok := p.out.Roots[p.Recipe.Components[name].Root]; !ok {
			continue
		}
		wg.Go(func() {
			c := p.Recipe.Components[name]
			eco, err := graph.Find(p.Ecosystems, c.Ecosystem)
			if err != nil {
				errs[i] = fmt.Errorf("lock component %s: %w", name, err)
				return
			}
			seen := &recorder{fsys: p.Source, inputs: map[string]nix.Hash{}}
			// Makers are not safe for concurrent use, and equal nodes of several are the same paths anyway.
			own := new(dag.Maker)
			locked[i], err = eco.Lock(ctx, ecosystem.LockRequest{
				Toolchains: p.out.Toolchains,
				Name:       name, Component: c, Recipe: p.Recipe, Source: seen, Previous: p.Previous.Components[name],
				Root: p.out.Roots[c.Root], Network: p.Network, Realise: p.Realise, Maker: own, RootNode: roots[c.Root],
				Replace: p.replaced.find,
			})
			if err != nil {
				errs[i] = fmt.Errorf("lock component %s: %w", name, err)
				return
			}
			locked[i].Inputs = seen.inputs
			locked[i].Downloads, errs[i] = p.downloads(ctx, name, c)
		})
	}
	wg.Wait()
	for i, name := range names {
		p.out.Components[name] = locked[i]
	}
	return errors.Join(errs...)
}

// keepDate gives the lock the previous one's date where nothing else differs.
func (p *pinner) keepDate() error {
	same := *p.out
	same.Date = p.Previous.Date
	a, err := same.Marshal()
	if err != nil {
		return err
	}
	b, err := p.Previous.Marshal()
	if err != nil {
		return err
	}
	if slices.Equal(a, b) {
		p.out.Date = p.Previous.Date
	}
	return nil
}
