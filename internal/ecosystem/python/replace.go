package python

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"headwater/internal/artifact"
)

// replace has what the recipe says stand in for packages of the upstream's lock. A package from a git repository needs that.
func (l *locker) replace(ctx context.Context, packages []Package) ([]Package, error) {
	var git []Package
	var errs []error
	out := slices.Clone(packages)
	for i, p := range packages {
		by, ok := l.options.Replace[p.Name]
		switch {
		case !ok && p.Git != "":
			git = append(git, p)
		case ok:
			r, err := l.standIn(ctx, p, by)
			if err != nil {
				errs = append(errs, fmt.Errorf("replacement of %s: %w", p.Name, err))
				continue
			}
			out[i] = r
			l.data.Replaced = append(l.data.Replaced, replaced{Name: p.Name, From: cmp.Or(p.Git, p.Version), To: by})
		}
	}
	if len(git) > 0 {
		errs = append(errs, &GitError{git})
	}
	slices.SortFunc(l.data.Replaced, func(a, b replaced) int { return cmp.Compare(a.Name, b.Name) })
	return out, errors.Join(errs...)
}

// standIn is what is installed in place of a package. Nothing that it requires is added: that is the upstream's lock's.
func (l *locker) standIn(ctx context.Context, p Package, by string) (Package, error) {
	line, err := replacement(p.Name, by)
	if err != nil {
		return p, err
	}
	for _, old := range l.old.data.Replaced {
		if a, ok := l.old.files[old.File]; ok && old.Name == p.Name && old.To == by {
			return Package{Name: p.Name, Version: a.Version, Files: []artifact.Artifact{a}}, nil
		}
	}
	o := &offers{locker: l, folders: map[string]string{}}
	switch {
	case line.Path != "":
		line.NoDeps = true
		r, _, err := o.folder(line)
		if err == nil && r.Name != p.Name {
			err = fmt.Errorf("%s is the project %s", line.Path, r.Name)
		}
		return r, err
	case line.URL != "":
		r, _, err := o.address(ctx, line)
		return r, err
	}
	releases, err := l.releases(ctx, p.Name)
	if err != nil {
		return p, err
	}
	for _, key := range sortedKeys(releases) {
		if rel := releases[key]; line.Specs.Contains(rel.version) {
			r := Package{Name: p.Name, Version: rel.version.String()}
			for _, file := range sortedKeys(rel.files) {
				r.Files = append(r.Files, rel.files[file])
			}
			return r, nil
		}
	}
	return p, fmt.Errorf("the registry has no version %s that fits Python %s", by, l.env.Full)
}
