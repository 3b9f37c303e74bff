package plan

import (
	"encoding/json"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Writer is a script of a web project that writes into a folder outside of it, or that is told its folder by name.
type Writer struct {
	Project  string // folder of its package.json
	Script   string // name of the script
	Manager  string // "npm", "pnpm", "yarn": whose lock there is
	Evidence Evidence
}

// quotedPath is text in quotes that may be a path.
var quotedPath = regexp.MustCompile(`["'\x60]([^"'\x60\s]{1,200})["'\x60]`)

// Writers lists the scripts that are told to write to a folder of the tree, or to a folder that it is in: by a word of the script,
// or, for "build", by a path in the configuration of the project's bundler.
func (t *Tree) Writers(dir string) []Writer {
	out, _ := t.Once("writers of "+dir, func() (any, error) { return t.writers(dir), nil })
	return slices.Clone(out.([]Writer))
}

func (t *Tree) writers(dir string) []Writer {
	var out []Writer
	for _, name := range t.Named("package.json") {
		project := path.Dir(name)
		if slices.Contains(strings.Split(name, "/"), "node_modules") {
			continue
		}
		data, err := t.Read(name)
		if err != nil {
			continue
		}
		var manifest struct{ Scripts map[string]string }
		if json.Unmarshal(data, &manifest) != nil {
			continue
		}
		w := Writer{Project: project, Manager: t.manager(project)}
		for _, script := range slices.Sorted(maps.Keys(manifest.Scripts)) {
			for _, word := range written(script, manifest.Scripts[script]) {
				if writesTo(project, word, dir) {
					w.Script, w.Evidence = script, Evidence{name, lineOf(data, word), "writes to " + word}
					out = append(out, w)
					break
				}
			}
		}
		if _, ok := manifest.Scripts["build"]; ok && len(out) == 0 {
			if e, ok := t.configured(project, dir); ok {
				w.Script, w.Evidence = "build", e
				out = append(out, w)
			}
		}
	}
	return out
}

// written are the words of a script that may say where it writes: none of what takes files away, downloads or looks at them, and none of a
// script that is there to work on the pages.
func written(script, text string) []string {
	name, _, _ := strings.Cut(script, ":")
	if slices.Contains([]string{"clean", "dev", "format", "lint", "preview", "serve", "start", "test", "watch"}, name) {
		return nil
	}
	var out []string
	for _, command := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("&|;\n", r) }) {
		words := strings.FieldsFunc(command, func(r rune) bool { return strings.ContainsRune(" =\"'", r) })
		if !slices.ContainsFunc(words, func(w string) bool {
			return slices.Contains([]string{"rm", "rimraf", "del", "del-cli", "find", "curl", "wget", "eslint", "prettier"}, path.Base(w))
		}) {
			out = append(out, words...)
		}
	}
	return out
}

// pageScript finds the scripts that a page loads.
var pageScript = regexp.MustCompile(`<script\b[^>]*\bsrc=["']?([^"'\s>]+)`)

// BuiltPages is the page of a folder of the tree whose scripts are there too: the folder has pages that are built, not a stub for them. "" if
// there is none.
func (t *Tree) BuiltPages(dir string) string {
	for _, f := range t.Below(dir) {
		if path.Base(f) != "index.html" {
			continue
		}
		data, err := t.Read(f)
		if err != nil || len(data) > maxSource {
			continue
		}
		for _, m := range pageScript.FindAllStringSubmatch(string(data), 20) {
			src, _, _ := strings.Cut(m[1], "?")
			if !strings.Contains(src, "//") && strings.HasSuffix(src, ".js") && slices.ContainsFunc(t.Named(path.Base(src)), func(s string) bool { return strings.HasPrefix(s, dir+"/") }) {
				return f
			}
		}
	}
	return ""
}

// configured looks for a folder in the configuration of a project's bundler.
func (t *Tree) configured(project, dir string) (Evidence, bool) {
	for _, f := range t.Below(project) {
		base := path.Base(f)
		if path.Dir(f) != project || !strings.Contains(base, ".config.") && base != "angular.json" {
			continue
		}
		data, err := t.Read(f)
		if err != nil {
			continue
		}
		for _, m := range quotedPath.FindAllStringSubmatch(string(data), -1) {
			if writesTo(project, m[1], dir) {
				return Evidence{f, lineOf(data, m[1]), "writes to " + m[1]}, true
			}
		}
	}
	// What is in the project's own folder under a bundler's usual name needs no configuration.
	if rel, inside := strings.CutPrefix(dir, project+"/"); inside && slices.Contains([]string{"dist", "build", "out", "public/build"}, rel) {
		return Evidence{path.Join(project, "package.json"), 0, "bundlers write to " + rel}, true
	}
	return Evidence{}, false
}

// writesTo tells whether word, seen from a project, is dir or a folder around it, below the tree's top.
func writesTo(project, word, dir string) bool {
	if !strings.Contains(word, "/") || strings.HasPrefix(word, "/") || strings.ContainsAny(word, "*:$") {
		return false // what begins with a slash is an address, or outside of the tree
	}
	at := path.Join(project, word)
	return at != "." && at != project && !strings.HasPrefix(at, "..") && (at == dir || strings.HasPrefix(dir, at+"/"))
}

// manager is the package manager of a project, by its lock.
func (t *Tree) manager(project string) string {
	for dir := project; ; dir = path.Dir(dir) {
		for _, m := range []struct{ lock, name string }{{"pnpm-lock.yaml", "pnpm"}, {"yarn.lock", "yarn"}, {"package-lock.json", "npm"}} {
			if t.Has(path.Join(dir, m.lock)) {
				return m.name
			}
		}
		if dir == "." {
			return "npm"
		}
	}
}
