package dependency

import (
	"bufio"
	"bytes"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"golang.org/x/mod/modfile"

	"headwater/internal/artifact"
	"headwater/internal/plan"
	"headwater/internal/toml"
)

// readGo reads a go.mod. A module that is replaced by a folder is local (Go Modules Reference, "replace directive").
func readGo(file string, data []byte) ([]Dependency, error) {
	m, err := modfile.ParseLax(file, data, nil)
	if err != nil {
		return nil, err
	}
	var out []Dependency
	replaced := replacements(file, data)
	for _, r := range m.Require {
		d := Dependency{Ecosystem: artifact.Go, Name: r.Mod.Path, Version: r.Mod.Version, Evidence: plan.Evidence{File: file, Line: r.Syntax.Start.Line}}
		d.Local = slices.ContainsFunc(replaced, func(x *modfile.Replace) bool {
			return x.Old.Path == r.Mod.Path && (x.Old.Version == "" || x.Old.Version == r.Mod.Version) && x.New.Version == ""
		})
		out = append(out, d)
	}
	return out, nil
}

// replacements are a go.mod's, which lax parsing leaves out; none where it has what this Go does not know.
func replacements(file string, data []byte) []*modfile.Replace {
	m, err := modfile.Parse(file, data, nil)
	if err != nil {
		return nil
	}
	return m.Replace
}

func readNPM(file string, data []byte) ([]Dependency, error) {
	var l struct {
		Packages map[string]struct {
			Name, Version, Resolved string
			Link                    bool
		}
	}
	if err := json.Unmarshal(data, &l); err != nil {
		return nil, err
	}
	at := lines(data, regexp.MustCompile(`^\s*"([^"]*node_modules/[^"]+)": \{`))
	var out []Dependency
	for _, dir := range slices.Sorted(maps.Keys(l.Packages)) {
		p := l.Packages[dir]
		if i := strings.LastIndex("/"+dir, "/node_modules/"); i >= 0 && !p.Link {
			name := p.Name
			if name == "" {
				name = dir[i+len("node_modules/"):]
			}
			out = append(out, Dependency{
				Ecosystem: artifact.NPM, Name: name, Version: p.Version, Local: strings.HasPrefix(p.Resolved, "file:"), Evidence: plan.Evidence{File: file, Line: at[dir]},
			})
		}
	}
	return out, nil
}

func readPnpm(file string, data []byte) ([]Dependency, error) {
	var l struct{ Packages yaml.Node }
	if err := yaml.Unmarshal(data, &l); err != nil {
		return nil, err
	}
	var out []Dependency
	for i := 0; l.Packages.Kind == yaml.MappingNode && i+1 < len(l.Packages.Content); i += 2 {
		key := l.Packages.Content[i]
		name := strings.TrimPrefix(key.Value, "/")
		if j := strings.IndexByte(name, '('); j >= 0 {
			name = name[:j]
		}
		if j := strings.LastIndexByte(name, '@'); j > 0 {
			out = append(out, Dependency{
				Ecosystem: artifact.NPM, Name: name[:j], Version: name[j+1:], Local: strings.HasPrefix(name[j+1:], "file:"), Evidence: plan.Evidence{File: file, Line: key.Line},
			})
		}
	}
	return out, nil
}

// readYarn reads what yarn 1 and yarn from 2 on have in common: a line of what was asked for, then the version, indented.
func readYarn(file string, data []byte) ([]Dependency, error) {
	version := regexp.MustCompile(`^  version:? "?([^"\s]+)"?$`)
	var out []Dependency
	name, local, at := "", false, 0
	scan := bufio.NewScanner(bytes.NewReader(data))
	scan.Buffer(nil, 1<<20)
	for n := 1; scan.Scan(); n++ {
		line := strings.TrimRight(scan.Text(), "\r")
		switch m := version.FindStringSubmatch(line); {
		case m != nil && name != "":
			if m[1] != "0.0.0-use.local" {
				out = append(out, Dependency{Ecosystem: artifact.NPM, Name: name, Version: m[1], Local: local, Evidence: plan.Evidence{File: file, Line: at}})
			}
			name = ""
		case line != "" && line[0] != ' ' && line[0] != '#':
			word := strings.TrimPrefix(line, `"`)
			name, local, at = "", false, n
			if i := strings.Index(word[min(1, len(word)):], "@"); i >= 0 {
				name, local = word[:i+1], strings.HasPrefix(word[i+2:], "file:")
			}
		}
	}
	return out, scan.Err()
}

// packages reads TOML with a list of packages, as uv, Poetry and Cargo write.
func packages(ecosystem artifact.Ecosystem) reader {
	return func(file string, data []byte) ([]Dependency, error) {
		var l struct {
			Package []struct {
				Name, Version string
				Source        any
			}
		}
		if err := toml.Unmarshal(data, &l); err != nil {
			return nil, err
		}
		var at []int
		for i, line := range strings.Split(string(data), "\n") {
			if strings.TrimSpace(line) == "[[package]]" {
				at = append(at, i+1)
			}
		}
		var out []Dependency
		for i, p := range l.Package {
			d := Dependency{Ecosystem: ecosystem, Name: p.Name, Version: p.Version, Local: local(ecosystem, p.Source), Evidence: plan.Evidence{File: file}}
			if i < len(at) {
				d.Evidence.Line = at[i]
			}
			out = append(out, d)
		}
		return out, nil
	}
}

// local tells of a package's source whether it is in the tree: Cargo names none then, uv says where it is, Poetry of which kind.
func local(ecosystem artifact.Ecosystem, source any) bool {
	m, is := source.(map[string]any)
	if !is {
		return ecosystem == artifact.Cargo && source == nil
	}
	for _, k := range []string{"editable", "directory", "virtual", "path"} {
		if _, ok := m[k]; ok {
			return true
		}
	}
	return m["type"] == "directory" || m["type"] == "file"
}

func readRequirements(file string, data []byte) ([]Dependency, error) {
	pinned := regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*==\s*([^\s;\\,#]+)`)
	var out []Dependency
	for i, line := range strings.Split(string(data), "\n") {
		if m := pinned.FindStringSubmatch(line); m != nil {
			out = append(out, Dependency{Ecosystem: artifact.PyPI, Name: strings.ToLower(m[1]), Version: m[2], Evidence: plan.Evidence{File: file, Line: i + 1}})
		}
	}
	return out, nil
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
