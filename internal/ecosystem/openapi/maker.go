package openapi

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"headwater/internal/artifact"
	"headwater/internal/plan"
)

// maker is a place of the tree that makes a client which has a name of its own, as a registry has it.
type maker struct {
	ecosystem artifact.Ecosystem
	name      string
	evidence  []plan.Evidence // what makes it, what names it
	schema    []string        // words of which one is the document
	dir       string          // that they are seen from
	// follows says that the package has the document's version, since nothing gives it another.
	follows bool
	// instead is where an upstream's build puts the client in the place of the published one; zero if nothing says so.
	instead plan.Evidence
}

// makes tells whether a dependency is the published form of what the maker makes.
func (m maker) makes(ecosystem artifact.Ecosystem, name string) bool {
	if m.ecosystem != ecosystem {
		return false
	}
	if ecosystem == artifact.PyPI {
		return normal(m.name) == normal(name)
	}
	rest, ok := strings.CutPrefix(name, m.name)
	return ok && (rest == "" || ecosystem == artifact.Go && majorPattern.MatchString(rest))
}

var (
	majorPattern     = regexp.MustCompile(`^/v[0-9]+$`)
	separatorPattern = regexp.MustCompile(`[-_.]+`)
	variablePattern  = regexp.MustCompile(`\$[({]?([A-Za-z_][A-Za-z0-9_]*)[)}]?`)
	settingPattern   = regexp.MustCompile(`^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*[:?]?=\s*([^\s"'$]+)\s*$`)
	replacePattern   = regexp.MustCompile(`go mod edit\b.*?-replace[= ]["']?([^=\s"'@]+)(?:@[^=\s]+)?=(\.{1,2}/[^\s"']+)`)
)

// normal is a Python package's name as the index compares it (PEP 503).
func normal(name string) string {
	return strings.ToLower(separatorPattern.ReplaceAllString(name, "-"))
}

// makers finds what makes clients in a tree's scripts: calls of the generator that give the client a package's name, and Go modules
// that are replaced by a folder which only a script makes.
func makers(t *plan.Tree) []maker {
	var out []maker
	for _, name := range t.Files() {
		if !isScript(name) || othersCode(name) {
			continue
		}
		data, err := t.Read(name)
		if err != nil || len(data) > maxScript {
			continue
		}
		text := string(data)
		if !strings.Contains(text, "generate") && !strings.Contains(text, "-replace") {
			continue
		}
		out = append(out, makersIn(t, name, text)...)
	}
	for i := range out {
		if out[i].ecosystem == artifact.NPM {
			out[i].instead = placed(t, "node_modules/"+out[i].name)
		}
	}
	return out
}

const maxScript = 1 << 20 // bytes

func isScript(name string) bool {
	switch base := path.Base(name); base {
	case "Makefile", "GNUmakefile", "makefile", "justfile", "Justfile", "package.json":
		return true
	}
	switch path.Ext(name) {
	case ".sh", ".mk", ".bash":
		return true
	case ".yml", ".yaml":
		return strings.Contains("/"+name, "/workflows/") || strings.HasPrefix(strings.ToLower(path.Base(name)), "taskfile")
	}
	return false
}

// makersIn reads a script line by line, with its variables where it sets them to plain words.
func makersIn(t *plan.Tree, name, text string) []maker {
	var out []maker
	vars := map[string]string{}
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		number, line := i+1, lines[i]
		for strings.HasSuffix(line, "\\") && i+1 < len(lines) {
			i++
			line = strings.TrimSuffix(line, "\\") + " " + lines[i]
		}
		if m := settingPattern.FindStringSubmatch(line); m != nil {
			vars[m[1]] = m[2]
		}
		line = variablePattern.ReplaceAllStringFunc(line, func(v string) string {
			if value, ok := vars[variablePattern.FindStringSubmatch(v)[1]]; ok {
				return value
			}
			return v
		})
		at := plan.Evidence{File: name, Line: number}
		if m := replacePattern.FindStringSubmatch(line); m != nil && onlyMade(t, path.Join(path.Dir(name), m[2])) {
			out = append(out, maker{ecosystem: artifact.Go, name: m[1], evidence: []plan.Evidence{at}, instead: at, dir: path.Dir(name), schema: around(lines, i)})
		}
		out = append(out, generates(t, line, at)...)
	}
	return out
}

// onlyMade tells whether a folder would be in the tree, but is not.
func onlyMade(t *plan.Tree, dir string) bool {
	return !t.Exists(dir) && dir != ".." && !strings.HasPrefix(dir, "../")
}

// around lists the words of a rule or of a paragraph of a script.
func around(lines []string, i int) []string {
	from, to := i, i+1
	for from > 0 && strings.TrimSpace(lines[from-1]) != "" {
		from--
	}
	for to < len(lines) && strings.TrimSpace(lines[to]) != "" {
		to++
	}
	return strings.Fields(strings.Join(lines[from:to], " "))
}

// generates finds calls of the generator in a line.
func generates(t *plan.Tree, line string, at plan.Evidence) []maker {
	var out []maker
	words := strings.Fields(line)
	for i, w := range words {
		words[i] = strings.Trim(w, `"',`)
	}
	for i, w := range words {
		if w != "generate" {
			continue
		}
		args := words[i+1:]
		if end := slices.IndexFunc(args, func(a string) bool { return a == "&&" || a == "||" || a == ";" || a == "|" || a == "generate" }); end >= 0 {
			args = args[:end]
		}
		g := parseGenerate(args)
		if g.name == "" || g.schema == "" {
			continue
		}
		m := maker{evidence: []plan.Evidence{at}, schema: []string{g.schema}, dir: path.Dir(at.File)}
		p := properties{}
		if file := find(t.Has, m.dir, g.config); file != "" {
			if data, err := t.Read(file); err == nil {
				p.read(file, data)
			}
		}
		p.arguments(g, at)
		if m.named(g.name, p) {
			out = append(out, m)
		}
	}
	return out
}

// named gives a maker the name that the generator's properties give the package, and reports whether they do.
func (m *maker) named(generator string, p properties) bool {
	key := ""
	switch language, _, _ := strings.Cut(generator, "-"); language {
	case "typescript", "javascript":
		m.ecosystem, key = artifact.NPM, p.first("npmName", "projectName")
		m.follows = key == "npmName" && p["npmVersion"].value == "" // openapi-generator's documentation of npmVersion
	case "python":
		m.ecosystem, key = artifact.PyPI, p.first("projectName", "packageName")
	case "rust":
		m.ecosystem, key = artifact.Cargo, "packageName"
	case "go":
		m.ecosystem, key = artifact.Go, "gitRepoId"
	}
	m.name = p[key].value
	if m.ecosystem == artifact.Go && m.name != "" {
		m.name = path.Join(cmp.Or(p["gitHost"].value, "github.com"), cmp.Or(p["gitUserId"].value, "$"), m.name)
	}
	if e := p[key].evidence; !slices.Contains(m.evidence, e) {
		m.evidence = append(m.evidence, e)
	}
	return m.name != "" && !strings.ContainsAny(m.name, "$ ")
}

// properties are the generator's that are plain words.
type properties map[string]property

type property struct {
	value    string
	evidence plan.Evidence
}

// first is the first of keys that has a value, "" if none has.
func (p properties) first(keys ...string) string {
	for _, k := range keys {
		if p[k].value != "" {
			return k
		}
	}
	return ""
}

// arguments adds those of a call.
func (p properties) arguments(g generate, at plan.Evidence) {
	for k, v := range g.properties {
		p[k] = property{fmt.Sprint(v), at}
	}
	for i, a := range g.rest {
		k, v, inline := strings.Cut(a, "=")
		if !inline && i+1 < len(g.rest) {
			v = g.rest[i+1]
		}
		switch k {
		case "--git-user-id":
			p["gitUserId"] = property{v, at}
		case "--git-repo-id":
			p["gitRepoId"] = property{v, at}
		case "--git-host":
			p["gitHost"] = property{v, at}
		}
	}
}

// read adds those of a configuration file, YAML or JSON: at the top or as additional ones.
func (p properties) read(name string, data []byte) {
	var doc yaml.Node
	if yaml.Unmarshal(data, &doc) != nil || doc.Kind != yaml.DocumentNode {
		return
	}
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			k, v := n.Content[i], n.Content[i+1]
			if v.Kind == yaml.ScalarNode {
				p[k.Value] = property{v.Value, plan.Evidence{File: name, Line: k.Line}}
			} else if k.Value == "additionalProperties" && n == doc.Content[0] {
				walk(v)
			}
		}
	}
	walk(doc.Content[0])
}

// find is the file that a word of a script names, as far as it is the end of a path: containers see the tree elsewhere. It is "" if
// there is none.
func find(has func(string) bool, dir, word string) string {
	word = strings.Trim(word, `"'`)
	if word == "" {
		return ""
	}
	if name := path.Join(dir, word); !path.IsAbs(word) && has(name) {
		return name
	}
	parts := slices.DeleteFunc(strings.Split(word, "/"), func(p string) bool { return p == "" || p == "." || p == ".." || strings.Contains(p, "$") })
	for i := range parts {
		if name := strings.Join(parts[i:], "/"); has(name) {
			return name
		}
	}
	return ""
}

// placed is the line of a Dockerfile that copies something to a path that ends so, zero if there is none.
func placed(t *plan.Tree, at string) plan.Evidence {
	for _, name := range t.Dockerfiles() {
		data, err := t.Read(name)
		if err != nil || plan.Aside(name) != "" {
			continue
		}
		for i, line := range strings.Split(string(data), "\n") {
			words := strings.Fields(line)
			if len(words) > 2 && strings.EqualFold(words[0], "COPY") && strings.HasSuffix(path.Clean("/"+words[len(words)-1]), "/"+at) {
				return plan.Evidence{File: name, Line: i + 1}
			}
		}
	}
	return plan.Evidence{}
}
