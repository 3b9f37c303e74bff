package python

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"headwater/internal/artifact"
)

// offers is what a choice of versions is made from: the registry, but for what is named by folder or by address.
type offers struct {
	*locker
	fixed   map[string]offer  // by package
	folders map[string]string // package by folder
}

// offer is the only version that there is of a package.
type offer struct {
	candidate Candidate
	requires  []Requirement
}

// Candidates implements Provider.
func (o *offers) Candidates(ctx context.Context, name string) ([]Candidate, error) {
	if f, ok := o.fixed[name]; ok {
		return []Candidate{f.candidate}, nil
	}
	return o.locker.Candidates(ctx, name)
}

// Requires implements Provider.
func (o *offers) Requires(ctx context.Context, c Candidate) ([]Requirement, error) {
	if f, ok := o.fixed[c.Name]; ok {
		return f.requires, nil
	}
	return o.locker.Requires(ctx, c)
}

// fix takes folders and addresses among lines for what they are.
func (o *offers) fix(ctx context.Context, lines []RequirementLine) ([]Package, error) {
	o.folders = map[string]string{}
	var out []Package
	var git []Package
	var errs []error
	for _, r := range lines {
		var p Package
		var f offer
		var err error
		switch {
		case strings.HasPrefix(r.URL, "git+"):
			git = append(git, Package{Name: r.Name, Git: r.URL})
			continue
		case r.Path != "":
			p, f, err = o.folder(r)
			o.folders[r.Path] = p.Name
		case r.URL != "":
			p, f, err = o.address(ctx, r)
		default:
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if r.NoDeps {
			f.requires = nil
		}
		o.fixed[p.Name] = f
		out = append(out, p)
	}
	if len(git) > 0 {
		errs = append(errs, &GitError{git})
	}
	return out, errors.Join(errs...)
}

// folder is a package of the source, with what it requires.
func (o *offers) folder(r RequirementLine) (Package, offer, error) {
	project, err := o.project(r.Path)
	if err == nil && project == nil {
		err = fmt.Errorf("%s has no pyproject.toml that says what it requires", r.Path)
	}
	if err != nil {
		return Package{}, offer{}, err
	}
	requires, err := project.Requires()
	if err != nil && !r.NoDeps {
		return Package{}, offer{}, fmt.Errorf("%s: %w", path.Join(r.Path, "pyproject.toml"), err)
	}
	p := Package{Name: project.Name(), Version: project.Version(), Dir: relativePath(o.dir, r.Path), Editable: r.Editable}
	if p.Name == "" {
		return p, offer{}, fmt.Errorf("%s names no project", path.Join(r.Path, "pyproject.toml"))
	}
	version := p.Version
	if version == "" {
		version = "0" // its build tells it; nothing is chosen by it
	}
	v, err := ParseVersion(version)
	return p, offer{Candidate{Name: p.Name, Version: v}, requires}, err
}

// address is a package that is named by the address of its file.
func (o *offers) address(ctx context.Context, r RequirementLine) (Package, offer, error) {
	at, fragment, _ := strings.Cut(r.URL, "#")
	file := path.Base(at)
	version, ok := fileVersion(file, r.Name)
	if !ok {
		return Package{}, offer{}, fmt.Errorf("%s: %s is neither a wheel nor an sdist of it", r.Name, file)
	}
	v, err := ParseVersion(version)
	if err != nil {
		return Package{}, offer{}, err
	}
	a := artifact.Artifact{Ecosystem: artifact.URL, Name: r.Name, Version: version, File: file, Hint: at}
	if len(r.Hashes) == 1 {
		a.Hash = r.Hashes[0]
	}
	if sum, ok := strings.CutPrefix(fragment, "sha256="); ok {
		pinned, err := pypi(r.Name, version, file, "sha256:"+sum)
		if err != nil {
			return Package{}, offer{}, err
		}
		a.Hash = pinned.Hash
	}
	if old, ok := o.old.files[file]; ok && a.Hash.IsZero() && old.Hint == at {
		a = old
	} else if _, got, err := o.Network.Get(ctx, a); err != nil {
		return Package{}, offer{}, err
	} else {
		a = got
	}
	if len(r.Hashes) > 0 && !slices.Contains(r.Hashes, a.Hash) {
		return Package{}, offer{}, fmt.Errorf("%s: %s has the hash %s, which is none of those that the requirement names", r.Name, at, a.Hash)
	}
	c := Candidate{Name: r.Name, Version: v, Artifact: a, SDist: !isWheel(file)}
	requires, err := o.locker.Requires(ctx, c)
	return Package{Name: r.Name, Version: version, Files: []artifact.Artifact{a}}, offer{c, requires}, err
}
