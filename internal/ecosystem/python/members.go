package python

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"headwater/internal/nix"
	"headwater/internal/recipe"
)

// maxNames bounds how many files of a member's folder are listed for its backend.
const maxNames = 50_000

// member locks how a folder of the source is built.
func (l *locker) member(ctx context.Context, p Package) error {
	dir := path.Join(l.dir, p.Dir)
	m := member{Name: p.Name, Version: p.Version, Dir: dir, Editable: p.Editable && l.options.editable()}
	at, err := l.options.place(l.Component, dir)
	if err != nil {
		return err
	}
	if m.Editable {
		if err := checkEditable(at, p.Name); err != nil {
			return err
		}
	}
	if !fs.ValidPath(dir) {
		return fmt.Errorf("its folder %s is not in the source", dir)
	}
	files, err := l.manifests(dir)
	if err != nil {
		return err
	}
	var project *Project
	switch text, ok := files["pyproject.toml"]; {
	case ok:
		if project, err = ParseProject([]byte(text)); err != nil {
			return err
		}
	case files["setup.py"] == "":
		return fmt.Errorf("its folder %s has neither pyproject.toml nor setup.py", dir)
	}
	system := project.Build()
	if kept, err := l.keepMember(ctx, &m, system, files); err != nil || kept {
		return err
	}
	prefer := map[string]Version{}
	for _, old := range l.old.data.Members {
		if old.Name == m.Name {
			l.addVersions(prefer, old.Env)
		}
	}
	ask := func(b build) (hookNode, error) { return l.askingMember(m, b, files) }
	if _, told := l.options.BuildRequires[p.Name]; told {
		ask = nil // what the recipe says is all: what the backend answers may depend on files that are not read
	}
	m.build, err = l.build(ctx, p.Name, system, prefer, ask)
	if err != nil {
		return err
	}
	l.data.Members = append(l.data.Members, m)
	return nil
}

// keepMember takes over how the previous lock builds the folder where its manifests are the same.
func (l *locker) keepMember(ctx context.Context, m *member, system BuildSystem, files map[string]string) (bool, error) {
	for _, old := range l.old.data.Members {
		if old.Name != m.Name || old.Dir != m.Dir || old.Editable != m.Editable || !l.old.fits || !l.sameRequires(m.Name, old.build) {
			continue
		}
		if old.Backend != system.Backend || !slices.Equal(old.Requires, slices.Sorted(slices.Values(system.Requires))) || !l.sameManifests(m.Dir, files) {
			continue
		}
		m.build = old.build
		l.data.Members = append(l.data.Members, *m)
		return true, l.keepEnv(ctx, old.Env)
	}
	return false, nil
}

// manifestNames are the files of a member that its requirements may depend on.
func manifestNames() []string { return []string{"pyproject.toml", "setup.cfg", "setup.py"} }

// manifests reads those that the folder has.
func (l *locker) manifests(dir string) (map[string]string, error) {
	files := map[string]string{}
	for _, name := range manifestNames() {
		b, err := l.optional(path.Join(dir, name))
		if err != nil {
			return nil, err
		}
		if b != nil {
			files[name] = string(b)
		}
	}
	return files, nil
}

// sameManifests tells whether the manifests are those of the previous lock.
func (l *locker) sameManifests(dir string, files map[string]string) bool {
	for _, name := range manifestNames() {
		var now nix.Hash
		if text, ok := files[name]; ok {
			now = nix.Sum(nix.SHA256, []byte(text))
		}
		if old, ok := l.Previous.Inputs[path.Join(dir, name)]; !ok || old != now {
			return false
		}
	}
	return true
}

// names lists the other files of a member's folder. Only folders are read, no file.
func (l *locker) names(dir string) ([]string, error) {
	var names []string
	err := fs.WalkDir(l.Source, dir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != dir && slices.Contains([]string{".git", "node_modules", "__pycache__", ".venv"}, d.Name()):
			return fs.SkipDir
		case d.Type().IsRegular():
			names = append(names, strings.TrimPrefix(name, dir+"/"))
		}
		if len(names) > maxNames {
			return fmt.Errorf("folder %s has more than %d files", dir, maxNames)
		}
		return nil
	})
	return names, err
}

// askingMember is the node that asks a member's backend for its requirements. The backend sees the manifests and the names
// of the other files: the lock must not depend on more, or it would be stale with every change of the source.
func (l *locker) askingMember(m member, b build, files map[string]string) (hookNode, error) {
	hook := "requires-wheel"
	if m.Editable {
		hook = "requires-editable"
	}
	at, err := l.options.place(l.Component, m.Dir)
	if err != nil {
		return hookNode{}, err
	}
	if at == "" {
		at = path.Join(recipe.SourceDir, m.Dir)
	}
	names, err := l.names(m.Dir)
	return hookNode{
		name: "python-requires-" + m.Name, title: "build requirements of " + m.Name, build: b,
		spec: hookSpec{Source: path.Join("/build/member", at), Skeleton: files, Names: names, Hook: hook, Name: m.Name},
	}, err
}
