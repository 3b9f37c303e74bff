package pin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"headwater/internal/artifact"
	"headwater/internal/ecosystem"
	"headwater/internal/event"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/recipe"
)

// replacements looks up what the recipe has in place of artifacts, and notes what of it was of use.
type replacements struct {
	recipe *recipe.Recipe
	dir    string // the recipe's
	mu     sync.Mutex
	used   map[string]bool
}

func (r *replacements) find(a artifact.Artifact) (recipe.Replacement, bool) {
	key, by, ok := r.recipe.Replacing(a)
	if ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.used[key] = true
	}
	return by, ok
}

// current leaves out of a lock's artifacts those for which the recipe has something else than it had, and those whose file is another
// now or cannot be read. Where it was the same bytes from elsewhere, the artifact stays.
func (r *replacements) current(list []lock.Artifact) []lock.Artifact {
	if !slices.ContainsFunc(list, func(a lock.Artifact) bool { return a.By != (recipe.Replacement{}) }) {
		return list
	}
	var out []lock.Artifact
	for _, a := range list {
		_, by, _ := r.recipe.Replacing(a.Upstream())
		switch {
		case a.By == by && (by.File == "" || r.holds(by.File, a.Hash)):
		case a.Instead == lock.Instead{}:
			a.By = recipe.Replacement{}
		default:
			continue
		}
		out = append(out, a)
	}
	return out
}

// holds tells whether one of the recipe's files is the one that was locked.
func (r *replacements) holds(file string, locked nix.Hash) bool {
	sum, err := ecosystem.SumOf(filepath.Join(r.dir, filepath.FromSlash(file)), locked.Algo())
	return err == nil && sum == locked // what cannot be read now, is told of when it is needed
}

// previous is an earlier lock with what is current of it.
func (r *replacements) previous(f *lock.File) *lock.File {
	out := *f
	out.Roots, out.Toolchains, out.Components = maps.Clone(f.Roots), maps.Clone(f.Toolchains), maps.Clone(f.Components)
	for name, root := range out.Roots {
		root.Packages = r.current(root.Packages)
		out.Roots[name] = root
	}
	for name, list := range out.Toolchains {
		out.Toolchains[name] = r.current(list)
	}
	for name, c := range out.Components {
		c.Artifacts, c.Downloads = r.current(c.Artifacts), r.current(c.Downloads)
		out.Components[name] = c
	}
	return &out
}

// OtherBytesError says that what the recipe has in place of an artifact are other bytes, which its ecosystem cannot take.
type OtherBytesError struct {
	Artifact lock.Artifact // with what is there in its place
}

func (e *OtherBytesError) Error() string {
	a := e.Artifact
	return fmt.Sprintf("replace %s: %s has other bytes (%s) than upstream's lock names (%s)", recipe.ReplacedOf(a.Upstream()), a.By, a.Hash.SRI(), a.Instead.Hash.SRI())
}

// Hint says what to do.
func (e *OtherBytesError) Hint() string {
	return "name a place that has the very same file; other bytes can stand in for Python packages, Go modules and what npm installs alone"
}

// UnusedError says which replacements of the recipe are of nothing that is locked.
type UnusedError struct {
	Keys []string            // sorted
	Near map[string][]string // by key: what the locks have of that name, as keys
}

func (e *UnusedError) Error() string {
	lines := make([]string, len(e.Keys))
	for i, k := range e.Keys {
		lines[i] = "replace." + k + ": matches nothing in the locks; remove it"
		if near := e.Near[k]; len(near) > 0 {
			lines[i] += " (they have " + strings.Join(near, ", ") + ")"
		}
	}
	return strings.Join(lines, "\n")
}

// replace sees to it that all artifacts have what the recipe has in their place, tells of each, and that nothing of the recipe's is
// left over. Ecosystems did it that can take other bytes or versions.
func (p *pinner) replace(ctx context.Context) error {
	if len(p.Recipe.Replace) == 0 {
		return nil
	}
	var errs []error
	each := func(where string, previous, list []lock.Artifact) []lock.Artifact {
		list = slices.Clone(list)
		for i, a := range list {
			by, ok := p.replaced.find(a.Upstream())
			if !ok || a.By == by {
				continue
			}
			var err error
			if list[i], err = p.standIn(ctx, previous, a, by); err != nil {
				errs = append(errs, fmt.Errorf("lock %s: %w", where, err))
			}
		}
		return list
	}
	for _, name := range slices.Sorted(maps.Keys(p.out.Roots)) {
		r := p.out.Roots[name]
		r.Packages = each("root "+name, p.Previous.Roots[name].Packages, r.Packages)
		p.out.Roots[name] = r
	}
	for _, name := range slices.Sorted(maps.Keys(p.out.Toolchains)) {
		p.out.Toolchains[name] = each("toolchain "+name, p.Previous.Toolchains[name], p.out.Toolchains[name])
	}
	for _, name := range slices.Sorted(maps.Keys(p.out.Components)) {
		c := p.out.Components[name]
		c.Artifacts = each("component "+name, p.Previous.Components[name].Artifacts, c.Artifacts)
		c.Downloads = each("component "+name, p.Previous.Components[name].Downloads, c.Downloads)
		p.out.Components[name] = c
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, line := range p.out.Replaced() {
		p.Events(event.Message{Level: event.Warning, Text: "replaced: " + line})
	}
	return p.unused()
}

// standIn is for artifacts whose ecosystem does nothing about replacements: the same bytes from another place.
func (p *pinner) standIn(ctx context.Context, previous []lock.Artifact, a lock.Artifact, by recipe.Replacement) (lock.Artifact, error) {
	if !by.Elsewhere() {
		return a, fmt.Errorf("replace %s: %s cannot stand in here: no ecosystem takes it that needs the artifact", recipe.ReplacedOf(a.Artifact()), by)
	}
	a, err := ecosystem.StandIn(ctx, p.Network, previous, a, by)
	if err == nil && a.Instead != (lock.Instead{}) {
		err = &OtherBytesError{Artifact: a}
	}
	return a, err
}

// unused is an *UnusedError where the recipe has a replacement of nothing.
func (p *pinner) unused() error {
	e := &UnusedError{Near: map[string][]string{}}
	for _, key := range slices.Sorted(maps.Keys(p.Recipe.Replace)) {
		if p.replaced.used[key] {
			continue
		}
		e.Keys = append(e.Keys, key)
		wanted, err := recipe.ParseReplaced(key)
		if err != nil {
			return err
		}
		for _, a := range p.out.Artifacts() {
			if have := recipe.ReplacedOf(a.Upstream()); have.Ecosystem == wanted.Ecosystem && have.Name == wanted.Name {
				if have.Version == wanted.Version {
					have.File = a.File
				}
				e.Near[key] = append(e.Near[key], have.String())
			}
		}
		slices.Sort(e.Near[key])
		e.Near[key] = slices.Compact(e.Near[key])
	}
	if len(e.Keys) == 0 {
		return nil
	}
	return e
}
