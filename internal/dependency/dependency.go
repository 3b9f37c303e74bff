// Package dependency reads what an upstream's own lock files and go.mod name, of the folders that a recipe's components are built in:
// what is not shipped does not count.
//
//	list, err := dependency.Locked(tree, recipe)
package dependency

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"headwater/internal/artifact"
	"headwater/internal/plan"
	"headwater/internal/recipe"
)

// Dependency is one version of a package, in one lock file.
type Dependency struct {
	Ecosystem  artifact.Ecosystem
	Name       string // as the lock file spells it
	Version    string // as the lock file spells it; at times that of a folder's manifest
	Local      bool   // it is a folder or a file of the tree, not a registry's
	Components []string
	Evidence   plan.Evidence
}

// reader lists what one of the upstream's files names. Components are filled in later.
type reader func(file string, data []byte) ([]Dependency, error)

// format is a kind of lock file.
type format struct {
	ecosystem string // whose components it is for
	read      reader
}

// formats are known by the file's name.
func formats() map[string]format {
	return map[string]format{
		"go.mod": {"go", readGo}, "package-lock.json": {"node", readNPM}, "npm-shrinkwrap.json": {"node", readNPM}, "pnpm-lock.yaml": {"node", readPnpm}, "yarn.lock": {"node", readYarn},
		"uv.lock": {"python", packages(artifact.PyPI)}, "poetry.lock": {"python", packages(artifact.PyPI)}, "requirements.txt": {"python", readRequirements}, "Cargo.lock": {"rust", packages(artifact.Cargo)},
	}
}

// Locked lists what the upstream's lock files name, file by file, shallow ones first. What could be read is there also with an error.
func Locked(t *plan.Tree, r *recipe.Recipe) ([]Dependency, error) {
	var out []Dependency
	var errs []error
	known := formats()
	for _, file := range t.Named(slices.Sorted(maps.Keys(known))...) {
		f := known[path.Base(file)]
		components := builtIn(r, f.ecosystem, path.Dir(file))
		if len(components) == 0 {
			continue
		}
		data, err := t.Read(file)
		if err != nil {
			errs = append(errs, fmt.Errorf("read %s: %w", file, err))
			continue
		}
		list, err := f.read(file, data)
		if err != nil {
			errs = append(errs, fmt.Errorf("read %s: %w", file, err))
			continue
		}
		for _, d := range list {
			if d.Name != "" && d.Version != "" {
				d.Components = components
				out = append(out, d)
			}
		}
	}
	return out, errors.Join(errs...)
}

// builtIn lists the components of an ecosystem that are built in a folder or below it, sorted.
func builtIn(r *recipe.Recipe, ecosystem, dir string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(r.Components)) {
		if c := r.Components[name]; c.Ecosystem == ecosystem && (dir == "." || c.Dir == dir || strings.HasPrefix(c.Dir, dir+"/")) {
			out = append(out, name)
		}
	}
	return out
}
