package pin

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"

	"headwater/internal/artifact"
	"headwater/internal/lock"
	"headwater/internal/recipe"
)

// downloads pins the files that the recipe downloads for a component. What an earlier lock has of the same address is kept: an
// address that serves something else by now has to be written otherwise, or the lock removed.
func (p *pinner) downloads(ctx context.Context, component string, c recipe.Component) ([]lock.Artifact, error) {
	names := slices.Sorted(maps.Keys(c.Download))
	out := make([]lock.Artifact, len(names))
	err := artifact.Each(ctx, len(names), parallelDownloads, func(ctx context.Context, i int) error {
		a := artifact.Artifact{Ecosystem: artifact.URL, Name: component + "/" + names[i], File: path.Base(names[i]), Hint: c.Download[names[i]]}
		by, _ := p.replaced.find(a)
		for _, old := range p.Previous.Components[component].Downloads {
			if old.Name == a.Name && old.Hint == a.Hint && old.By == by {
				out[i] = old
				return nil
			}
		}
		p.tell("downloading %s for component %s", names[i], component)
		_, got, err := p.Network.Get(ctx, a)
		if err != nil {
			return err
		}
		out[i] = lock.Artifact{Ecosystem: a.Ecosystem, Name: a.Name, File: a.File, Hash: got.Hash, Size: got.Size, Hint: a.Hint, By: by}
		if by != (recipe.Replacement{}) {
			out[i].Instead.From = a.Hint
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("lock component %s: %w", component, err)
	}
	return out, nil
}

// parallelDownloads is how many of a component's files are downloaded at a time.
const parallelDownloads = 4
