package change

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"headwater/internal/dependency"
	"headwater/internal/lock"
	"headwater/internal/plan"
	"headwater/internal/recipe"
)

// migrationPattern matches files that change a database's shape, as frameworks lay them out.
var migrationPattern = regexp.MustCompile(`(^|/)(migrations?|migrate|alembic/versions|db/migrate)/([^/]+/)*[^/]*[0-9][^/]*\.(py|sql|go|js|ts|rb)$`)

func migrations(f map[place]fact, t *plan.Tree) {
	for _, name := range t.Files() {
		if migrationPattern.MatchString(name) && !strings.Contains("/"+name, "/node_modules/") && !strings.HasSuffix(name, "_test.go") {
			f[place{Migrations, name}] = fact{"yes", []plan.Evidence{{File: name}}}
		}
	}
}

// dependencies gathers versions by ecosystem and name: a tree may have several of one.
type dependencies map[string]map[string]plan.Evidence

func (d dependencies) add(ecosystem, name, version string, e plan.Evidence) {
	if name == "" || version == "" {
		return
	}
	key := ecosystem + " " + name
	if d[key] == nil {
		d[key] = map[string]plan.Evidence{}
	}
	if _, known := d[key][version]; !known {
		d[key][version] = e
	}
}

func (d dependencies) into(f map[place]fact, a Area) {
	for key, versions := range d {
		one := fact{value: strings.Join(slices.Sorted(maps.Keys(versions)), ", ")}
		for _, v := range slices.Sorted(maps.Keys(versions)) {
			one.evidence = append(one.evidence, versions[v])
		}
		f[place{a, key}] = one
	}
}

// locked adds what Headwater's lock names.
func locked(f map[place]fact, l *lock.File, text []byte) {
	d, packages := dependencies{}, dependencies{}
	lines := lockLines(text)
	at := func(a lock.Artifact) plan.Evidence {
		return plan.Evidence{File: lockFile, Line: lines[lineKey{string(a.Ecosystem), a.Name, a.Version}]}
	}
	for _, c := range l.Components {
		for _, a := range c.Artifacts {
			d.add(string(a.Ecosystem), a.Name, version(a), at(a))
		}
		for _, a := range c.Downloads {
			d.add(string(a.Ecosystem), a.Name, cmp.Or(a.By.String(), a.Hint)+" "+a.Hash.SRI(), at(a))
		}
		for _, folder := range c.Folders {
			d.add(string(folder.Ecosystem), folder.Name, folder.By.String(), plan.Evidence{File: lockFile, Line: lines[lineKey{string(folder.Ecosystem), folder.Name, ""}]})
		}
	}
	for _, r := range l.Roots {
		for _, a := range r.Packages {
			packages.add(string(a.Ecosystem), a.Name, version(a), at(a))
		}
	}
	d.into(f, Dependencies)
	packages.into(f, Packages)
}

const lockFile = "headwater.lock"

// lineKey is what a line of a lock is told by.
type lineKey struct{ ecosystem, name, version string }

// lockLines finds artifacts in a lock's text, which has one on a line; the first line of each, from 1.
func lockLines(text []byte) map[lineKey]int {
	lines := map[lineKey]int{}
	n := 0
	for line := range bytes.Lines(text) {
		n++
		line = bytes.TrimSuffix(bytes.TrimSpace(line), []byte(","))
		var a struct{ Ecosystem, Name, Version string }
		if !bytes.HasPrefix(line, []byte("{")) || json.Unmarshal(line, &a) != nil || a.Name == "" {
			continue
		}
		key := lineKey{a.Ecosystem, a.Name, a.Version}
		if _, known := lines[key]; !known {
			lines[key] = n
		}
	}
	return lines
}

// version is an artifact's, with what the recipe has in its place.
func version(a lock.Artifact) string {
	if a.By == (recipe.Replacement{}) {
		return a.Version
	}
	return a.Version + " (replaced: " + a.By.String() + ")"
}

// upstream adds what the upstream's own lock files name, for folders that components are built in.
func upstream(f map[place]fact, s Subject) error {
	list, err := dependency.Locked(s.Tree, s.Recipe)
	d := dependencies{}
	for _, one := range list {
		d.add(string(one.Ecosystem), one.Name, one.Version, one.Evidence)
	}
	d.into(f, Dependencies)
	return err
}
