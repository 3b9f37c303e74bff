package rootfs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"headwater/internal/artifact"
	"headwater/internal/lock"
	"headwater/internal/recipe"
	"headwater/internal/rootfs/control"
	"headwater/internal/rootfs/index"
	"headwater/internal/rootfs/solve"
)

// arch is Debian's name of the one architecture that roots are made for.
const arch = "amd64"

// Archive makes files of Debian's archives available. An ecosystem.Network is one.
type Archive interface {
	// Get makes a available as a local file. Where a.Hash is zero, what is served is taken. got is a with the SHA-256 and the
	// size of what was served.
	Get(ctx context.Context, a artifact.Artifact) (file string, got artifact.Artifact, err error)
}

// Options of a Resolver.
type Options struct {
	Archive Archive
	At      time.Time // now: signatures and dates are checked against it
	AsOf    time.Time // when the signed indices have to have been valid, for mirrors that keep an earlier state; zero means At
	Keys    string    // ASCII-armored public keys; "" means Debian's
}

// Resolver chooses packages. It reads the indices of a suite once, so one Resolver is for one lock. It may be used by several
// goroutines.
type Resolver struct {
	options Options

	mu     sync.Mutex
	suites map[string]*suite
}

// suite is a suite's packages, read when they are first asked for.
type suite struct {
	name string

	mu       sync.Mutex // held while it is read
	packages []index.Package
}

// NewResolver makes a Resolver.
func NewResolver(o Options) *Resolver {
	if o.Keys == "" {
		o.Keys = index.DebianKeys()
	}
	return &Resolver{options: o, suites: map[string]*suite{}}
}

// Resolve chooses what a root consists of: the packages asked for, bash and bubblewrap, the suites' essential packages, and
// all that these depend on, without what is only recommended.
//
// Suites are in order of preference. A release's own suites (trixie, trixie-updates, trixie-security, trixie-proposed-updates)
// stand together where the first of them stands, and of what they have the latest version is taken, so that security updates
// are not missed; a later suite serves for what the ones before do not have, or not in a version that is needed.
//
// What only installs packages or manages a running system is left out where nothing but a maintainer script would use it;
// see notNeeded.
func (r *Resolver) Resolve(ctx context.Context, want recipe.Root) ([]lock.Artifact, error) {
	if len(want.Suites) == 0 {
		return nil, fmt.Errorf("resolve packages: no suites")
	}
	list, err := r.load(ctx, want.Suites)
	if err != nil {
		return nil, fmt.Errorf("resolve packages: %w", err)
	}
	p := newPool(list)
	wants, err := p.wants(want)
	if err != nil {
		return nil, fmt.Errorf("resolve packages: %w", err)
	}
	chosen, err := solve.Solve(ctx, p, wants)
	if p.err != nil {
		err = p.err
	}
	if err != nil {
		return nil, fmt.Errorf("resolve packages: %w", err)
	}
	artifacts := make([]lock.Artifact, len(chosen))
	for i, c := range chosen {
		if artifacts[i], err = p.artifact(c); err != nil {
			return nil, fmt.Errorf("resolve packages: %w", err)
		}
	}
	return artifacts, nil
}

// load reads what is not read yet of the suites, at the same time.
func (r *Resolver) load(ctx context.Context, names []string) ([]*suite, error) {
	list := make([]*suite, len(names))
	r.mu.Lock()
	for i, name := range names {
		s := r.suites[name]
		if s == nil {
			s = &suite{name: name}
			r.suites[name] = s
		}
		list[i] = s
	}
	r.mu.Unlock()
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range list {
		group.Go(func() error { return r.read(ctx, s) })
	}
	return list, group.Wait()
}

// always are the packages of every root: what it is entered by.
func always() []string { return []string{"bash", "bubblewrap"} }

// notNeeded lists what is not needed in a root, in which packages are never installed, configured or removed and no init
// runs: what maintainer scripts use, and what is there to start services. They are no reason to fail, and they come only
// where they are asked for by name. dpkg itself is not among them where a package depends on it (its programs may call it),
// but it is not there for being essential, nor for a Pre-Depends, which is about installing.
func notNeeded() []string {
	return []string{"adduser", "debconf", "debconf-2.0", "cdebconf", "init-system-helpers", "sysvinit-utils", "lsb-base", "ucf", "update-inetd"}
}

// wants lists what has to be in the root.
func (p *pool) wants(want recipe.Root) ([]solve.Want, error) {
	var wants []solve.Want
	asked := map[string]bool{}
	for _, spec := range want.Packages {
		name, suite, _ := strings.Cut(spec, "/")
		if err := control.CheckName(name); err != nil {
			return nil, fmt.Errorf("package %q: %w", spec, err)
		}
		if suite != "" && !slices.Contains(want.Suites, suite) {
			return nil, fmt.Errorf("package %q: suite %s is not among the root's suites (%s)", spec, suite, strings.Join(want.Suites, ", "))
		}
		asked[name] = true
		wants = append(wants, solve.Want{Relation: control.Relation{Name: name}, Label: suite, Why: "is asked for"})
	}
	for _, name := range always() {
		if !asked[name] {
			asked[name] = true
			wants = append(wants, solve.Want{Relation: control.Relation{Name: name}, Why: "is needed to enter a root"})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.essential)) {
		if !asked[name] && name != "dpkg" && !slices.Contains(notNeeded(), name) {
			wants = append(wants, solve.Want{Relation: control.Relation{Name: name}, Why: "is essential"})
		}
	}
	return wants, nil
}

// archiveOf names the archive that has a suite, the first element of its artifacts' File.
func archiveOf(suite string) string {
	if strings.HasSuffix(suite, "-security") {
		return "debian-security"
	}
	return "debian"
}

// artifact is a chosen package as the lock names it.
func (p *pool) artifact(chosen *solve.Package) (lock.Artifact, error) {
	pkg := p.entries[chosen]
	file, err := pkg.File()
	if err != nil {
		return lock.Artifact{}, err
	}
	return lock.Artifact{
		Ecosystem: artifact.Debian, Name: pkg.Name, Version: pkg.Version, File: archiveOf(chosen.Label) + "/" + pkg.Filename,
		Hash: file.Hash, Size: file.Size, Role: chosen.Label,
	}, nil
}
