package node

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"golang.org/x/sync/errgroup"

	"headwater/internal/artifact"
	"headwater/internal/ecosystem"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/recipe"
)

// questions is how many questions registries are asked at once.
const questions = 16

// weak is the role of an artifact of which upstream's lock has no hash better than SHA-1, or none at all, and that is pinned as the
// registry had it when it was locked.
const weak = "unhashed by upstream"

// asked is the role of an artifact that is not installed: the registry is asked of it while packages are.
const asked = "asked for"

// askedFor pins the newest version that fits of each package that npm asks the registry of beyond its lock. What the registry does not
// have, npm will tell.
func askedFor(ctx context.Context, r ecosystem.LockRequest, missing []Wanted) ([]lock.Artifact, error) {
	var out []lock.Artifact
	for _, w := range missing {
		i := slices.IndexFunc(r.Previous.Artifacts, func(a lock.Artifact) bool { return a.Role == asked && a.Name == w.Name && fits(w.Range, a.Version) })
		if i >= 0 {
			out = append(out, r.Previous.Artifacts[i])
			continue
		}
		ix, err := readIndex(ctx, w.Name, r.Network)
		if _, gone := errors.AsType[artifact.Gone](err); gone {
			continue
		}
		if err != nil {
			return nil, err
		}
		version, err := newest("", w.Name, w.Range, ix)
		if err != nil || version == "" {
			continue // an alias, a tag or an address
		}
		a, err := pin(modulesName+"/"+w.Name, w.Name, npmPackage{Version: version, Integrity: ix.Versions[version].Dist.Integrity})
		if err != nil {
			return nil, err
		}
		a.Role = asked
		out = append(out, a)
	}
	return out, nil
}

// fits tells whether a version is of a range.
func fits(wanted, version string) bool {
	c, err := semver.NewConstraint(wanted)
	v, verr := semver.StrictNewVersion(version)
	return err == nil && verr == nil && c.Check(v)
}

// lockData is what the lock keeps besides artifacts.
type lockData struct {
	Elsewhere []string `json:"elsewhere,omitempty"` // keys of packages that are optional and for other platforms, sorted
}

// Lock implements ecosystem.Ecosystem. Where the lock of upstream has the tarballs' own hashes, nothing is downloaded.
func (Ecosystem) Lock(ctx context.Context, r ecosystem.LockRequest) (lock.Component, error) {
	o, err := parseOptions(r.Component.Options)
	if err != nil || o.Toolchain {
		return lock.Component{}, err
	}
	p, err := openProject(r.Source, r.Component.Dir, o.Manager)
	if err != nil {
		return lock.Component{}, err
	}
	if p.Manager == npm {
		list, err := standIns(ctx, r, p.Artifacts)
		if err != nil {
			return lock.Component{}, err
		}
		missing, err := askedFor(ctx, r, p.Missing)
		return lock.Component{Artifacts: append(list, missing...)}, err
	}
	l := locker{LockRequest: r, net: r.Network, known: map[string]lock.Artifact{}}
	for _, a := range r.Previous.Artifacts {
		l.known[keyOf(a)] = a
	}
	if len(r.Previous.Data) > 0 {
		if err := json.Unmarshal(r.Previous.Data, &l.data); err != nil {
			return lock.Component{}, fmt.Errorf("read the previous lock's data: %w", err)
		}
	}
	return l.lock(ctx, p.Packages)
}

type locker struct {
	ecosystem.LockRequest
	net   ecosystem.Network
	known map[string]lock.Artifact // of the previous lock, by key
	data  lockData                 // of the previous lock
}

// lock pins all packages; all that cannot be is told at once.
func (l *locker) lock(ctx context.Context, packages []Package) (lock.Component, error) {
	artifacts := make([]*lock.Artifact, len(packages))
	errs := make([]error, len(packages))
	var g errgroup.Group
	g.SetLimit(questions)
	for i, p := range packages {
		g.Go(func() error {
			if artifacts[i], errs[i] = l.pin(ctx, p); errs[i] != nil {
				errs[i] = fmt.Errorf("%s %s: %w", p.Name, p.Version, errs[i])
			}
			return nil
		})
	}
	_ = g.Wait() // each keeps its own error
	if err := errors.Join(errs...); err != nil {
		return lock.Component{}, err
	}
	out := lock.Component{}
	var data lockData
	for i, a := range artifacts {
		if a == nil {
			data.Elsewhere = append(data.Elsewhere, packages[i].key())
			continue
		}
		out.Artifacts = append(out.Artifacts, *a)
	}
	slices.SortFunc(out.Artifacts, func(a, b lock.Artifact) int {
		return cmp.Or(cmp.Compare(a.Ecosystem, b.Ecosystem), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version), cmp.Compare(a.File, b.File))
	})
	if len(data.Elsewhere) == 0 {
		return out, nil
	}
	slices.Sort(data.Elsewhere)
	var err error
	out.Data, err = json.Marshal(data)
	return out, err
}

// pin is nil for a package that is for other platforms.
func (l *locker) pin(ctx context.Context, p Package) (*lock.Artifact, error) {
	a := p.artifact()
	out := &lock.Artifact{Ecosystem: a.Ecosystem, Name: a.Name, Version: a.Version, File: a.File, Hash: a.Hash, Hint: a.Hint}
	_, skipped := slices.BinarySearch(l.data.Elsewhere, p.key())
	old, known := l.known[p.key()]
	switch {
	case p.Optional && skipped:
		return nil, nil
	case known && old.Hint == out.Hint && (p.Hash == old.Hash || p.Hash.IsZero()):
		return &old, nil
	case p.Elsewhere && p.Hash.IsZero():
		return l.download(ctx, p, out)
	case p.Elsewhere || !p.Optional && !p.Hash.IsZero():
		return out, nil
	}
	if by, ok := l.Replacing(a); ok && by.Elsewhere() && p.Hash.IsZero() {
		return l.elsewhere(ctx, p, out, by)
	}
	ix, err := readIndex(ctx, p.Name, l.net)
	if why, gone := errors.AsType[lineError](err); gone {
		return nil, &artifact.AbsentError{Artifact: a, Why: "its index is gone: " + why.Line()}
	}
	if err != nil {
		return nil, err
	}
	v, ok := ix.Versions[p.Version]
	if !ok && p.Optional && ix.elsewhere(p.Version) {
		return nil, nil
	}
	if !ok {
		return nil, &artifact.AbsentError{Artifact: a, Why: "the registry's index does not have it"}
	}
	if p.Optional && !linux.wants(npmPackage{OS: v.OS, CPU: v.CPU, Libc: v.Libc}) {
		return nil, nil
	}
	if !p.Hash.IsZero() {
		return out, nil
	}
	if p.SHA1 != "" && !strings.EqualFold(p.SHA1, v.Dist.Shasum) {
		return nil, fmt.Errorf("the registry's has SHA-1 %s, the lock has %s", v.Dist.Shasum, p.SHA1)
	}
	if out.Hash, err = v.hash(); err != nil {
		return nil, err
	}
	if out.Hash.Algo() == nix.SHA1 {
		out.Role = weak
	}
	return out, nil
}

// download pins what an address has now, for the lock does not say what it had.
func (l *locker) download(ctx context.Context, p Package, out *lock.Artifact) (*lock.Artifact, error) {
	a := p.artifact()
	if p.SHA1 != "" {
		var err error
		if a.Hash, err = sha1(p.SHA1); err != nil {
			return nil, err
		}
	}
	_, got, err := l.net.Get(ctx, a)
	out.Hash, out.Size, out.Role = got.Hash, got.Size, weak
	return out, err
}

// lineError is that of something that is gone, in short.
type lineError interface {
	artifact.Gone
	Line() string
}

// elsewhere pins what the recipe has for a package of which upstream's lock has no better hash than SHA-1.
func (l *locker) elsewhere(ctx context.Context, p Package, out *lock.Artifact, by recipe.Replacement) (*lock.Artifact, error) {
	if p.SHA1 != "" {
		var err error
		if out.Hash, err = sha1(p.SHA1); err != nil {
			return nil, err
		}
	}
	got, err := ecosystem.StandIn(ctx, l.net, l.Previous.Artifacts, *out, by)
	if err == nil && got.Instead != (lock.Instead{}) {
		err = fmt.Errorf("%s has SHA-256 %s, the lock has SHA-1 %s", by, got.Hash.Base16(), p.SHA1)
	}
	got.Role = weak
	return &got, err
}

// hash is the best that the registry has.
func (v indexVersion) hash() (nix.Hash, error) {
	if v.Dist.Integrity != "" {
		return strongest(v.Dist.Integrity)
	}
	return sha1(v.Dist.Shasum)
}

func sha1(digits string) (nix.Hash, error) {
	if raw, err := hex.DecodeString(digits); err != nil || len(raw) != 20 {
		return nix.Hash{}, fmt.Errorf("%q is no SHA-1", digits)
	}
	return nix.ParseHash(nix.SHA1, digits)
}
