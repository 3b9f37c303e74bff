package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// project is the folder of the lock that a component's dependencies are in: its own, or one above that it is a workspace of.
type project struct {
	*Locked
	dir string // in the source
}

// openProject finds and reads the lock for a component's folder. manager is "" where the tree decides.
func openProject(fsys fs.FS, dir, manager string) (project, error) {
	dir = path.Clean(dir)
	var looked []string
	for at := dir; ; at = path.Dir(at) {
		found, err := locksIn(fsys, at)
		if err != nil {
			return project{}, err
		}
		if len(found) > 0 {
			l, err := readLock(fsys, at, found, manager)
			return project{l, at}, err
		}
		looked = append(looked, path.Join(at, npmLockName))
		if at == "." || at == "/" {
			break
		}
	}
	return project{}, fmt.Errorf("no %s, and no %s or %s: of projects those with a lock are built; is it among the component's src, and dir right?", looked[0], pnpmLockName, yarnLockName)
}

// locksIn lists the locks in a folder.
func locksIn(fsys fs.FS, dir string) ([]string, error) {
	var found []string
	for _, name := range []string{npmLockName, pnpmLockName, yarnLockName} {
		_, err := fs.Stat(fsys, path.Join(dir, name))
		if err == nil {
			found = append(found, name)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return found, nil
}

// readLock reads the lock in a folder that found says.
func readLock(fsys fs.FS, dir string, found []string, manager string) (*Locked, error) {
	wanted := map[string]string{"npm": npmLockName, "pnpm": pnpmLockName, "yarn": yarnLockName}[manager]
	if wanted == "" && len(found) > 1 {
		return nil, fmt.Errorf("%s has %s: say which with the option manager (npm, pnpm, yarn)", dir, strings.Join(found, " and "))
	}
	if wanted == "" {
		wanted = found[0]
	}
	if !slices.Contains(found, wanted) {
		return nil, fmt.Errorf("no %s, which the option manager asks for", path.Join(dir, wanted))
	}
	name := path.Join(dir, wanted)
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, err
	}
	l, err := parseLock(fsys, dir, wanted, data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return l, nil
}

func parseLock(fsys fs.FS, dir, name string, data []byte) (*Locked, error) {
	switch name {
	case pnpmLockName:
		return ReadPnpm(data, linux)
	case npmLockName:
		l, err := ReadLock(data, linux)
		if err == nil {
			l.Manager = npm
		}
		return l, err
	}
	if isBerry(data) {
		return ReadBerry(data, linux)
	}
	members, err := workspaces(fsys, dir)
	if err != nil {
		return nil, err
	}
	var optional []string
	for _, w := range append([]string{"."}, members...) {
		m, err := readManifest(fsys, path.Join(dir, w, manifestName))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for name, version := range m.Optional {
			optional = append(optional, name+"@"+version)
		}
	}
	l, err := ReadYarn(data, optional)
	if err != nil {
		return nil, err
	}
	l.Workspaces = members
	for _, w := range l.Workspaces {
		l.Folders = append(l.Folders, path.Join(w, modulesName))
	}
	return l, nil
}

// isBerry tells the locks of yarn 2 and later, which begin with what they are.
func isBerry(data []byte) bool { return strings.Contains("\n"+string(data), "\n__metadata:") }

// manifest is what this package reads of a package.json.
type manifest struct {
	Name           string            `json:"name"`
	PackageManager string            `json:"packageManager"`
	Scripts        map[string]string `json:"scripts"`
	Engines        map[string]string `json:"engines"`
	Volta          map[string]string `json:"volta"`
	DevEngines     struct {
		PackageManager devTools `json:"packageManager"`
	} `json:"devEngines"`
	Workspaces   workspaceGlobs    `json:"workspaces"`
	Dependencies map[string]string `json:"dependencies"`
	Development  map[string]string `json:"devDependencies"`
	Optional     map[string]string `json:"optionalDependencies"`
	Pnpm         struct {
		OnlyBuilt []string `json:"onlyBuiltDependencies"`
	} `json:"pnpm"`
}

// devTools is what devEngines has of one kind (npm, "package.json", devEngines).
type devTools []struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// UnmarshalJSON implements json.Unmarshaler: it is an object or a list of objects.
func (t *devTools) UnmarshalJSON(data []byte) error {
	type list devTools
	if strings.HasPrefix(strings.TrimSpace(string(data)), "{") {
		data = []byte("[" + string(data) + "]")
	}
	return json.Unmarshal(data, (*list)(t))
}

// workspaceGlobs is a list, or an object that has it as "packages".
type workspaceGlobs []string

// UnmarshalJSON implements json.Unmarshaler.
func (w *workspaceGlobs) UnmarshalJSON(data []byte) error {
	var object struct {
		Packages []string `json:"packages"`
	}
	if json.Unmarshal(data, &object) == nil {
		*w = object.Packages
		return nil
	}
	return json.Unmarshal(data, (*[]string)(w))
}

func readManifest(fsys fs.FS, name string) (manifest, error) {
	var m manifest
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("read %s: %w", name, err)
	}
	return m, nil
}

// workspaces lists the folders that a package.json's workspaces select and that are packages, relative to its own, sorted.
func workspaces(fsys fs.FS, dir string) ([]string, error) {
	m, err := readManifest(fsys, path.Join(dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	var except []string
	for _, glob := range m.Workspaces {
		if no, negated := strings.CutPrefix(glob, "!"); negated {
			except = append(except, path.Clean(no))
			continue
		}
		glob = path.Clean(glob)
		if strings.HasPrefix(glob, "..") || path.IsAbs(glob) {
			return nil, fmt.Errorf("read %s: workspace %q is not below it", path.Join(dir, manifestName), glob)
		}
		found, err := doublestar.Glob(fsys, path.Join(dir, glob, manifestName), doublestar.WithFailOnIOErrors())
		if err != nil {
			return nil, fmt.Errorf("read %s: workspace %q: %w", path.Join(dir, manifestName), glob, err)
		}
		for _, f := range found {
			w := strings.TrimPrefix(path.Dir(f), strings.TrimPrefix(dir+"/", "./"))
			if w != "." && w != dir && !strings.Contains("/"+w+"/", "/"+modulesName+"/") {
				out = append(out, w)
			}
		}
	}
	out = slices.DeleteFunc(out, func(w string) bool {
		return slices.ContainsFunc(except, func(no string) bool { return doublestar.MatchUnvalidated(no, w) })
	})
	slices.Sort(out)
	return slices.Compact(out), nil
}

// manifestPatterns select what installing needs: the lock, package.json of the project and its workspaces, the manager's own
// settings and plugins, patches, and folders that are copied as packages.
func (p project) manifestPatterns(fsys fs.FS) []string {
	names := map[Manager][]string{
		npm:   {npmLockName, ".npmrc"},
		pnpm:  {pnpmLockName, ".npmrc", "pnpm-workspace.yaml", ".pnpmfile.cjs", ".pnpmfile.mjs", "pnpmfile.js"},
		yarn:  {yarnLockName, ".npmrc", ".yarnrc"},
		berry: {yarnLockName, ".yarnrc.yml"},
	}[p.Manager]
	var patterns []string
	for _, name := range append(names, manifestName) {
		patterns = append(patterns, path.Join(p.dir, name))
	}
	for _, w := range p.Workspaces {
		name := path.Join(p.dir, w, manifestName)
		if _, err := fs.Stat(fsys, name); err == nil {
			patterns = append(patterns, name)
		}
	}
	if p.Manager != npm && p.Manager != yarn {
		patterns = append(patterns, path.Join(p.dir, "**", "*.patch"))
	}
	if p.Manager == berry {
		patterns = append(patterns, path.Join(p.dir, ".yarn/plugins/**"), path.Join(p.dir, ".yarn/patches/**"))
	}
	for _, dir := range p.Local {
		patterns = append(patterns, path.Join(p.dir, dir, "**"))
	}
	return patterns
}
