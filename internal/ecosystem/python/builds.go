package python

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"headwater/internal/artifact"
)

// sdist locks how an sdist is built, once.
func (l *locker) sdist(ctx context.Context, a artifact.Artifact) error {
	if _, done := l.data.SDists[a.File]; done {
		return nil
	}
	if kept, err := l.keep(ctx, a); err != nil || kept {
		return err
	}
	file, got, err := l.Network.Get(ctx, a)
	if err != nil {
		return err
	}
	a.Size = got.Size
	if err := l.take(a); err != nil {
		return err
	}
	folder := l.inside[a.File]
	project, err := readProject(file, folder)
	if err != nil {
		return err
	}
	crates, err := readCrates(file, folder)
	if err != nil {
		return err
	}
	fetch, err := l.Maker.Fetch(a)
	if err != nil {
		return err
	}
	b, err := l.build(ctx, a.Name, project.Build(), l.oldEnv(a.Name), func(b build) (hookNode, error) {
		b.Folder = folder
		return onSDist(a, fetch, b, "requires-wheel"), nil
	})
	if err != nil {
		return err
	}
	b.Folder = folder
	for _, c := range crates {
		if err := l.take(c); err != nil {
			return err
		}
		b.Crates = append(b.Crates, c.File)
	}
	l.data.SDists[a.File] = b
	return nil
}

// keep takes over how the previous lock builds the sdist, if it is the same file and nothing else that matters changed.
func (l *locker) keep(ctx context.Context, a artifact.Artifact) (bool, error) {
	old, ok := l.old.data.SDists[a.File]
	if !ok || !l.old.fits || l.old.files[a.File].Hash != a.Hash || old.Folder != l.inside[a.File] || !l.sameRequires(a.Name, old) {
		return false, nil
	}
	a.Size = l.old.files[a.File].Size
	if err := l.take(a); err != nil {
		return false, err
	}
	for _, c := range old.Crates {
		if err := l.take(l.old.files[c]); err != nil {
			return false, err
		}
	}
	l.data.SDists[a.File] = old
	return true, l.keepEnv(ctx, old.Env)
}

// keepEnv takes over a build environment.
func (l *locker) keepEnv(ctx context.Context, env []string) error {
	for _, file := range env {
		a := l.old.files[file]
		if err := l.take(a); err != nil {
			return err
		}
		if !isWheel(file) {
			if err := l.sdist(ctx, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// sameRequires tells whether the recipe adds the same requirements to a package's as it did.
func (l *locker) sameRequires(name string, old build) bool {
	return slices.Equal(old.Added, slices.Sorted(slices.Values(l.options.BuildRequires[name])))
}

// build resolves a package's build requirements: those that it states, then with those that its backend asks for. ask gives
// the node to ask the backend with; it is nil where the backend is not to be asked.
func (l *locker) build(ctx context.Context, name string, system BuildSystem, prefer map[string]Version, ask func(build) (hookNode, error)) (build, error) {
	b := build{
		Backend: system.Backend, BackendPath: system.BackendPath,
		Requires: slices.Sorted(slices.Values(system.Requires)), Added: slices.Sorted(slices.Values(l.options.BuildRequires[name])),
	}
	if err := l.resolve(ctx, &b, prefer); err != nil {
		return b, err
	}
	if ask == nil {
		return b, nil
	}
	h, err := ask(b)
	if err != nil {
		return b, err
	}
	n, err := l.make.hook(h)
	if err != nil {
		return b, err
	}
	dir, err := l.Realise(ctx, n)
	if err != nil {
		return b, fmt.Errorf("ask the build backend %s for its requirements: %w", b.Backend, err)
	}
	if b.Dynamic, err = readRequires(dir); err != nil || len(b.Dynamic) == 0 {
		return b, err
	}
	return b, l.resolve(ctx, &b, prefer)
}

// readRequires reads what build.py wrote.
func readRequires(dir string) ([]string, error) {
	f, err := os.Open(filepath.Join(dir, "requires.json"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := readLimited(f)
	if err != nil {
		return nil, err
	}
	var list []string
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("read the build backend's requirements: %w", err)
	}
	return list, nil
}

// resolve chooses b's environment.
func (l *locker) resolve(ctx context.Context, b *build, prefer map[string]Version) error {
	requirements, err := ParseRequirements(slices.Concat(b.Requires, b.Added, b.Dynamic))
	if err != nil {
		return err
	}
	r := Resolver{Provider: l, Environment: l.env, Prefer: prefer, Constraints: l.constraints}
	chosen, err := r.Resolve(ctx, requirements)
	if err != nil {
		return err
	}
	b.Env = []string{}
	for _, c := range chosen {
		if err := l.take(c.Artifact); err != nil {
			return err
		}
		if c.SDist {
			if err := l.sdist(ctx, c.Artifact); err != nil {
				return fmt.Errorf("build requirement %s %s: %w", c.Name, c.Version, err)
			}
		}
		b.Env = append(b.Env, c.Artifact.File)
	}
	slices.Sort(b.Env)
	return nil
}

// Candidates implements Provider.
func (l *locker) Candidates(ctx context.Context, name string) ([]Candidate, error) {
	if list, ok := l.pages[name]; ok {
		return list, nil
	}
	page, err := l.Network.Index(ctx, artifact.PyPI, name)
	if err != nil {
		return nil, err
	}
	list, err := ParseIndex(page, name, l.env)
	if err != nil {
		return nil, err
	}
	l.pages[name] = list
	return list, nil
}

// Requires implements Provider. A candidate without wheel is built to learn what it needs.
func (l *locker) Requires(ctx context.Context, c Candidate) ([]Requirement, error) {
	if list, ok := l.requires[c.Artifact.File]; ok {
		return list, nil
	}
	file, err := l.wheelOf(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("build requirement %s %s: %w", c.Name, c.Version, err)
	}
	m, err := ReadWheelMetadata(file)
	if err == nil && NormalizeName(m.Name) != c.Name {
		err = fmt.Errorf("%s is a wheel of %q", c.Artifact.File, m.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("build requirement %s %s: %w", c.Name, c.Version, err)
	}
	l.requires[c.Artifact.File] = m.RequiresDist
	return m.RequiresDist, nil
}

// wheelOf is a wheel of the candidate.
func (l *locker) wheelOf(ctx context.Context, c Candidate) (string, error) {
	if !c.SDist {
		file, _, err := l.Network.Get(ctx, c.Artifact)
		return file, err
	}
	if slices.Contains(l.make.building, c.Artifact.File) {
		return "", errors.New("is needed to build itself, and has no wheel")
	}
	l.make.building = append(l.make.building, c.Artifact.File)
	err := errors.Join(l.take(c.Artifact), l.sdist(ctx, c.Artifact))
	l.make.building = l.make.building[:len(l.make.building)-1]
	if err != nil {
		return "", err
	}
	n, err := l.make.wheel(c.Artifact.File)
	if err != nil {
		return "", err
	}
	dir, err := l.Realise(ctx, n)
	if err != nil {
		return "", err
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("its build made %d wheels", len(found))
	}
	if err != nil {
		return "", err
	}
	return found[0], nil
}

// oldEnv are the versions that the previous lock built the package with, of whatever version it was.
func (l *locker) oldEnv(name string) map[string]Version {
	out := map[string]Version{}
	for _, sdist := range sortedKeys(l.old.data.SDists) {
		if l.old.files[sdist].Name == name {
			l.addVersions(out, l.old.data.SDists[sdist].Env)
		}
	}
	return out
}

func (l *locker) addVersions(out map[string]Version, files []string) {
	for _, f := range files {
		a := l.old.files[f]
		if v, err := ParseVersion(a.Version); err == nil {
			out[a.Name] = v
		}
	}
}
