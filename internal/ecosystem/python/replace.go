package python

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"headwater/internal/artifact"
	"headwater/internal/ecosystem"
	"headwater/internal/lock"
	"headwater/internal/recipe"
)

// stand is what the lock notes of a file that stands in for one of the upstream's lock.
type stand struct {
	by      recipe.Replacement
	instead lock.Instead
}

// replace has what the recipe says stand in for packages of the upstream's lock; one from a git repository is its tree. All that is
// not to be had is told at once.
func (l *locker) replace(ctx context.Context, packages []Package) ([]Package, error) {
	var git []Package
	var errs []error
	out := slices.Clone(packages)
	for i, p := range packages {
		named := artifact.Artifact{Ecosystem: artifact.PyPI, Name: p.Name, Version: p.Version}
		if len(p.Files) > 0 {
			// Where none fits, another may stand in for it all the same.
			named.File, _, _ = l.env.Choose(fileNames(p), l.all || l.compile[p.Name])
		}
		by, ok := l.Replacing(named)
		if !ok {
			if p.Git == "" {
				continue
			}
			if p.Version == "" {
				git = append(git, p)
				continue
			}
			var err error
			if out[i].Files, err = l.fromGit(ctx, p); err != nil {
				errs = append(errs, fmt.Errorf("%s %s: %w", p.Name, p.Version, err))
			}
			continue
		}
		var err error
		if out[i], err = l.standIn(ctx, p, by); err != nil {
			errs = append(errs, fmt.Errorf("replacement of %s: %w", p.Name, err))
		}
	}
	if len(git) > 0 {
		errs = append(errs, &GitError{git})
	}
	return out, errors.Join(errs...)
}

func fileNames(p Package) []string {
	var names []string
	for _, a := range p.Files {
		names = append(names, a.File)
	}
	slices.Sort(names)
	return names
}

// standIn is what is installed in place of a package. Nothing that it requires is added: that is the upstream's lock's.
func (l *locker) standIn(ctx context.Context, p Package, by recipe.Replacement) (Package, error) {
	instead := lock.Instead{Version: p.Version, From: p.Git}
	for _, old := range l.Previous.Artifacts {
		if old.Ecosystem == artifact.PyPI && old.By == by && old.Name == p.Name && old.Upstream().Version == p.Version && old.Instead.From == p.Git {
			if i := slices.IndexFunc(p.Files, func(f artifact.Artifact) bool { return f.File == old.File }); i >= 0 && p.Files[i].Hash != old.Upstream().Hash {
				continue // the upstream's lock names another file by that name now
			}
			l.stands[old.File] = stand{by, old.Instead}
			return Package{Name: p.Name, Version: old.Version, Files: []artifact.Artifact{old.Artifact()}}, nil
		}
	}
	switch {
	case by.Source != "":
		o := &offers{locker: l, folders: map[string]string{}}
		r, _, err := o.folder(RequirementLine{Path: by.Source, NoDeps: true})
		if err == nil && r.Name != p.Name {
			err = fmt.Errorf("%s is the project %s", by.Source, r.Name)
		}
		l.folders = append(l.folders, lock.Folder{Ecosystem: artifact.PyPI, Name: p.Name, By: by, Instead: instead})
		return r, err
	case by.Elsewhere():
		return l.standInFile(ctx, p, by, instead)
	}
	releases, err := l.releases(ctx, p.Name)
	if err != nil {
		return p, err
	}
	want, err := ParseVersion(by.Version)
	if err != nil {
		return p, err
	}
	for _, key := range sortedKeys(releases) {
		if rel := releases[key]; rel.version.Compare(want) == 0 {
			r := Package{Name: p.Name, Version: rel.version.String()}
			for _, file := range sortedKeys(rel.files) {
				r.Files = append(r.Files, rel.files[file])
				l.stands[file] = stand{by, instead}
			}
			return r, nil
		}
	}
	return p, fmt.Errorf("the registry has no version %s that fits Python %s", by.Version, l.env.Full)
}

// standInFile is one file of another place, in place of all that the upstream's lock has of a package.
func (l *locker) standInFile(ctx context.Context, p Package, by recipe.Replacement, instead lock.Instead) (Package, error) {
	place, _, _ := strings.Cut(cmp.Or(by.File, by.URL), "?")
	file := path.Base(place)
	version, ok := fileVersion(file, p.Name)
	if !ok {
		return p, fmt.Errorf("%s is neither a wheel nor an sdist of it", file)
	}
	a := lock.Artifact{Ecosystem: artifact.PyPI, Name: p.Name, Version: p.Version, File: file}
	i := slices.IndexFunc(p.Files, func(f artifact.Artifact) bool { return f.File == file })
	if i >= 0 {
		a.Hash, a.Hint = p.Files[i].Hash, p.Files[i].Hint
	}
	a, err := ecosystem.StandIn(ctx, l.Network, nil, a, by)
	if err != nil {
		return p, err
	}
	if i >= 0 && a.Instead == (lock.Instead{}) {
		instead = lock.Instead{} // the same file
	}
	instead.Hash = a.Instead.Hash
	a.Version = version
	l.stands[file] = stand{by, instead}
	return Package{Name: p.Name, Version: version, Files: []artifact.Artifact{a.Artifact()}}, nil
}
