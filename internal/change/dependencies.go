package change

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"go.yaml.in/yaml/v3"
	"golang.org/x/mod/modfile"

	"headwater/internal/lock"
	"headwater/internal/plan"
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
func locked(f map[place]fact, l *lock.File) {
	d, roots := dependencies{}, dependencies{}
	e := plan.Evidence{File: "headwater.lock"}
	for _, c := range l.Components {
		for _, a := range c.Artifacts {
			d.add(string(a.Ecosystem), a.Name, a.Version, e)
		}
	}
	for _, r := range l.Roots {
		for _, a := range r.Packages {
			roots.add(string(a.Ecosystem), a.Name, a.Version, e)
		}
	}
	d.into(f, Dependencies)
	roots.into(f, Roots)
}

// reader adds what one of the upstream's lock files names.
type reader func(d dependencies, file string, data []byte) error

// readers are known by the file's name, with the ecosystem whose components they are for.
func readers() map[string]struct {
	ecosystem string
	read      reader
} {
	type r = struct {
		ecosystem string
		read      reader
	}
	return map[string]r{
		"go.mod": {"go", readGo}, "package-lock.json": {"node", readNPM}, "npm-shrinkwrap.json": {"node", readNPM}, "pnpm-lock.yaml": {"node", readPnpm}, "yarn.lock": {"node", readYarn},
		"uv.lock": {"python", packages("pypi")}, "poetry.lock": {"python", packages("pypi")}, "requirements.txt": {"python", readRequirements}, "Cargo.lock": {"rust", packages("cargo")},
	}
}

// upstream adds what the upstream's own lock files name, for folders that components are built in.
func upstream(f map[place]fact, s Subject) error {
	d := dependencies{}
	var errs []error
	known := readers()
	for _, file := range s.Tree.Named(slices.Sorted(maps.Keys(known))...) {
		r := known[path.Base(file)]
		if !s.builds(r.ecosystem, path.Dir(file)) {
			continue
		}
		data, err := s.Tree.Read(file)
		if err == nil {
			err = r.read(d, file, data)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("read %s: %w", file, err))
		}
	}
	d.into(f, Dependencies)
	return errors.Join(errs...)
}

// builds tells whether a component of an ecosystem is built in a folder or below it.
func (s Subject) builds(ecosystem, dir string) bool {
	for _, c := range s.Recipe.Components {
		if c.Ecosystem == ecosystem && (dir == "." || c.Dir == dir || strings.HasPrefix(c.Dir, dir+"/")) {
			return true
		}
	}
	return false
}

func readGo(d dependencies, file string, data []byte) error {
	m, err := modfile.ParseLax(file, data, nil)
	if err != nil {
		return err
	}
	for _, r := range m.Require {
		d.add("go", r.Mod.Path, r.Mod.Version, plan.Evidence{File: file, Line: r.Syntax.Start.Line})
	}
	return nil
}

func readNPM(d dependencies, file string, data []byte) error {
	var l struct {
		Packages map[string]struct {
			Name, Version string
			Link          bool
		}
	}
	if err := json.Unmarshal(data, &l); err != nil {
		return err
	}
	at := lines(data, regexp.MustCompile(`^\s*"([^"]*node_modules/[^"]+)": \{`))
	for dir, p := range l.Packages {
		if i := strings.LastIndex("/"+dir, "/node_modules/"); i >= 0 && !p.Link {
			name := p.Name
			if name == "" {
				name = dir[i+len("node_modules/"):]
			}
			d.add("npm", name, p.Version, plan.Evidence{File: file, Line: at[dir]})
		}
	}
	return nil
}

func readPnpm(d dependencies, file string, data []byte) error {
	var l struct{ Packages yaml.Node }
	if err := yaml.Unmarshal(data, &l); err != nil {
		return err
	}
	for i := 0; l.Packages.Kind == yaml.MappingNode && i+1 < len(l.Packages.Content); i += 2 {
		key := l.Packages.Content[i]
		name := strings.TrimPrefix(key.Value, "/")
		if j := strings.IndexByte(name, '('); j >= 0 {
			name = name[:j]
		}
		if j := strings.LastIndexByte(name, '@'); j > 0 {
			d.add("npm", name[:j], name[j+1:], plan.Evidence{File: file, Line: key.Line})
		}
	}
	return nil
}

// readYarn reads what yarn 1 and yarn from 2 on have in common: a line of what was asked for, then the version, indented.
func readYarn(d dependencies, file string, data []byte) error {
	version := regexp.MustCompile(`^  version:? "?([^"\s]+)"?$`)
	name, at := "", 0
	scan := bufio.NewScanner(bytes.NewReader(data))
	scan.Buffer(nil, 1<<20)
	for n := 1; scan.Scan(); n++ {
		line := strings.TrimRight(scan.Text(), "\r")
		switch m := version.FindStringSubmatch(line); {
		case m != nil && name != "":
			if m[1] != "0.0.0-use.local" {
				d.add("npm", name, m[1], plan.Evidence{File: file, Line: at})
			}
			name = ""
		case line != "" && line[0] != ' ' && line[0] != '#':
			word := strings.TrimPrefix(line, `"`)
			name, at = "", n
			if i := strings.Index(word[min(1, len(word)):], "@"); i >= 0 {
				name = word[:i+1]
			}
		}
	}
	return scan.Err()
}

// packages reads TOML with a list of packages, as uv, Poetry and Cargo write.
func packages(ecosystem string) reader {
	return func(d dependencies, file string, data []byte) error {
		var l struct {
			Package []struct {
				Name, Version string
				Source        any
			}
		}
		if err := toml.Unmarshal(data, &l); err != nil {
			return err
		}
		var at []int
		for i, line := range strings.Split(string(data), "\n") {
			if strings.TrimSpace(line) == "[[package]]" {
				at = append(at, i+1)
			}
		}
		for i, p := range l.Package {
			e := plan.Evidence{File: file}
			if i < len(at) {
				e.Line = at[i]
			}
			d.add(ecosystem, p.Name, p.Version, e)
		}
		return nil
	}
}

func readRequirements(d dependencies, file string, data []byte) error {
	pinned := regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*==\s*([^\s;\\,#]+)`)
	for i, line := range strings.Split(string(data), "\n") {
		if m := pinned.FindStringSubmatch(line); m != nil {
			d.add("pypi", strings.ToLower(m[1]), m[2], plan.Evidence{File: file, Line: i + 1})
		}
	}
	return nil
}

// lines finds where each word that a pattern catches stands first.
func lines(data []byte, pattern *regexp.Regexp) map[string]int {
	at := map[string]int{}
	for i, line := range bytes.Split(data, []byte("\n")) {
		if m := pattern.FindSubmatch(line); m != nil && at[string(m[1])] == 0 {
			at[string(m[1])] = i + 1
		}
	}
	return at
}
