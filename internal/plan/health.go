package plan

import (
	"bytes"
	"cmp"
	"fmt"
	"iter"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// healthURL finds what a health check asks for.
var healthURL = regexp.MustCompile(`https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1?\])(?::([0-9]*))?(/[^\s"'|;)]*)?`)

// health is the path that answers once the main process is ready: what a health check of the image or of the compose file asks
// for, else a route of the tree that is named for it.
func (a *assembly) health(c *composed) {
	process := a.recipe.Package.Processes[a.main]
	if process.Port == 0 {
		return
	}
	set := func(route string, e Evidence) {
		process.Health = route
		a.recipe.Package.Processes[a.main] = process
		a.prove("package.processes."+a.main+".health", e)
	}
	checks := []struct {
		words []string
		e     Evidence
	}{{a.stage.Config.Health, a.stage.Config.Evidence["health"]}}
	if main := a.mainService(c); main != "" {
		checks = append(checks, struct {
			words []string
			e     Evidence
		}{c.file.Services[main].Health.Test, c.file.evidence(main, "healthcheck")})
	}
	var looked []Evidence
	for _, check := range checks {
		if len(check.words) == 0 {
			continue
		}
		looked = append(looked, check.e)
		text := interpolate(strings.Join(check.words, " "), known(a.recipe.Package.Env))
		m := healthURL.FindStringSubmatch(text)
		if m == nil {
			if route, e, ok := a.scriptHealth(strings.Fields(text)); ok {
				set(route, e)
				return
			}
			continue
		}
		if port, err := strconv.Atoi(m[1]); err == nil && port != process.Port {
			if !slices.Contains(a.stage.Config.Ports, port) && len(a.stage.Config.Ports) > 0 {
				continue // another process's
			}
			process.Port = port
		}
		if m[2] == "" {
			m[2] = "/"
		}
		set(m[2], check.e)
		return
	}
	compiled := a.compiled()
	route, e, others := a.Tree.healthRoute(func(route string, ofPages bool) bool { return c.beside(route) || compiled && ofPages })
	switch {
	case route != "":
		set(route, e)
		if len(others) > 0 {
			a.Notes.Remark(fmt.Sprintf("%s is taken for the health endpoint; there are also %s", route, strings.Join(others, ", ")), e)
		}
	default:
		a.Notes.Ask(Question{About: "package.processes." + a.main + ".health", Ask: "which path answers once the service is ready? No health check asks for one, and no route of the tree is named for it", Looked: looked})
	}
}

// scriptURL finds what a script asks for of its own machine: port and what stands before the path may be made of variables.
var scriptURL = regexp.MustCompile(`https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1?\])(?::(?:[0-9]+|\$?\{[^{}\s]*\}|\$\w+))?(?:\$?\{[^{}\s]*\})?(/[A-Za-z0-9_./-]*)`)

// scriptHealth is the path that a script of the source asks for, which a health check runs: the only one.
func (a *assembly) scriptHealth(words []string) (route string, e Evidence, ok bool) {
	for _, w := range words {
		data, name, err := a.stage.ReadFile(Abs(a.stage.Dir, strings.Trim(w, `"';`)))
		if err != nil || len(data) > maxText {
			continue
		}
		found := scriptURL.FindAllSubmatchIndex(data, -1)
		for _, m := range found {
			if here := string(data[m[2]:m[3]]); route == "" {
				route, e = here, Evidence{File: name, Line: lineAt(data, m[0]), Rule: "the health check asks for it"}
			} else if here != route {
				return "", Evidence{}, false
			}
		}
	}
	return route, e, route != ""
}

// routePattern finds routes that are named for health in source text, fullPattern those that are written as a whole.
var routePattern = regexp.MustCompile("[\"'`^](/?(?:[A-Za-z0-9_.-]+/)*(?:healthz?|healthcheck|health_check|health-check|readyz?|livez?|alive|ping|heartbeat)(?:/(?:ready|live|liveness|readiness|status))?/?)\\$?[\"'`]")

// sourceTypes are the file names' ends of sources that have routes, and that are no pages' scripts.
func sourceTypes() []string {
	return []string{".go", ".py", ".rs", ".rb", ".php", ".java", ".kt", ".cs", ".ex"}
}

// pageTypes are those of sources that may have routes or be scripts of pages.
func pageTypes() []string { return []string{".ts", ".js", ".mjs"} }

// maxSource is the largest source file that is looked into, in bytes.
const maxSource = 256 << 10

// healthRoutes are the routes of a tree that are named for health, best first, and where they stand.
type healthRoutes struct {
	routes []string
	where  map[string]Evidence
	pages  map[string]bool // those that only what may be scripts of pages has
}

// beside tells whether a route leads to a service beside the image, by that service's name in it.
func (c *composed) beside(route string) bool {
	return slices.ContainsFunc(strings.Split(route, "/"), func(part string) bool {
		_, is := c.file.Services[part]
		return is && !slices.Contains(c.ours, part)
	})
}

// compiled tells whether what is shipped is started as a program of Go or Rust: what scripts of pages have for routes is then theirs.
func (a *assembly) compiled() bool {
	found := false
	for _, from := range a.recipe.Package.Layout {
		name, _, _ := strings.Cut(from, ":")
		e := a.recipe.Components[name].Ecosystem
		found = found || e == "go" || e == "rust"
	}
	return found && !slices.Contains([]string{"node", "npm", "pnpm", "yarn", "bun", "deno"}, path.Base(slices.Concat(a.recipe.Package.Command, []string{""})[0]))
}

// healthRoute is the best route of a health endpoint, "" if there is none, and the others; those of others' are none.
func (t *Tree) healthRoute(others func(route string, ofPages bool) bool) (route string, e Evidence, more []string) {
	found := t.healthRoutes()
	routes := slices.DeleteFunc(slices.Clone(found.routes), func(r string) bool { return others(r, found.pages[r]) })
	if len(routes) == 0 {
		return "", Evidence{}, nil
	}
	return routes[0], found.where[routes[0]], routes[1:]
}

func (t *Tree) healthRoutes() healthRoutes {
	known, _ := t.Once("health routes", func() (any, error) { return t.findHealthRoutes(), nil })
	return known.(healthRoutes)
}

// sources gives the service's own source files whose names have one of the ends, with their bytes: none that are aside, tests, built or too
// large.
func (t *Tree) sources(ends []string) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for _, f := range t.files {
			if !slices.Contains(ends, path.Ext(f)) || Aside(f) != "" || strings.Contains(f, "test") || strings.Contains(f, "node_modules/") || strings.Contains(f, ".min.") {
				continue
			}
			if data, err := t.Read(f); err == nil && len(data) <= maxSource && !yield(f, data) {
				return
			}
		}
	}
}

// findHealthRoutes looks through the sources that are not aside and not a user interface's.
func (t *Tree) findHealthRoutes() healthRoutes {
	rank := map[string]int{}
	where := map[string]Evidence{}
	add := func(r string, e Evidence) {
		if _, ok := rank[r]; !ok {
			rank[r], where[r] = routeRank(r), e
		}
	}
	asked := map[string]Evidence{}
	relative := map[string]map[string]Evidence{} // by file: routes without a slash are seen from another one
	own := func(f string, data []byte) {
		for line, found := range routes(data) {
			e, r := Evidence{File: f, Line: line, Rule: "a route named for it"}, found.path
			if found.asked {
				if _, ok := asked[r]; !ok {
					asked[r] = e
				}
				continue
			}
			if strings.HasPrefix(r, "/") {
				add(r, e)
				if at := t.mounted(f); at != "" {
					add(at+r, e)
				}
				continue
			}
			if relative[f] == nil {
				relative[f] = map[string]Evidence{}
			}
			if _, ok := relative[f]["/"+r]; !ok {
				relative[f]["/"+r] = e
			}
		}
	}
	for f, data := range t.sources(sourceTypes()) {
		own(f, data)
	}
	first := maps.Clone(rank)
	for f, data := range t.sources(pageTypes()) {
		own(f, data)
	}
	pages := map[string]bool{}
	for r := range rank {
		_, known := first[r]
		pages[r] = !known
	}
	for _, f := range slices.Sorted(maps.Keys(relative)) {
		here := relative[f]
		top := func(r string) bool { _, ok := rank[r]; return ok }
		if !slices.ContainsFunc(slices.Collect(maps.Keys(here)), top) {
			continue
		}
		for _, r := range slices.Sorted(maps.Keys(here)) { // one of them is asked for elsewhere as a whole: these are seen from the top
			add(r, here[r])
		}
	}
	for _, r := range slices.Sorted(maps.Keys(asked)) { // who asks for one of the service's own, knows where it is mounted
		for inner := range rank {
			if strings.HasSuffix(strings.TrimRight(r, "/"), strings.TrimRight(inner, "/")) {
				add(r, asked[r])
				break
			}
		}
	}
	found := healthRoutes{routes: slices.Sorted(maps.Keys(rank)), where: where, pages: pages}
	for _, r := range found.routes { // what ends in another's whole path is that route from where it is mounted
		for _, inner := range found.routes {
			if r != inner && strings.HasSuffix(strings.TrimRight(r, "/"), strings.TrimRight(inner, "/")) && len(r) > len(inner)+1 {
				rank[r] = max(rank[r], rank[inner]+1)
			}
		}
	}
	slices.SortFunc(found.routes, func(x, y string) int { return cmp.Or(rank[y]-rank[x], strings.Compare(x, y)) })
	return found
}

// mounted is the path that a folder of a source is named for, where another source has it as a text of its own: what is in api/v1 is mounted at
// "/api/v1". It is "" if there is none.
func (t *Tree) mounted(file string) string {
	parts := strings.Split(path.Dir(file), "/")
	if len(parts) < 2 {
		return ""
	}
	at := "/" + path.Join(parts[len(parts)-2:]...)
	known, _ := t.Once("mounted "+at+" "+path.Ext(file), func() (any, error) {
		for f, data := range t.sources([]string{path.Ext(file)}) {
			if path.Dir(f) != path.Dir(file) && (bytes.Contains(data, []byte(`"`+at+`"`)) || bytes.Contains(data, []byte("'"+at+"'"))) {
				return true, nil
			}
		}
		return false, nil
	})
	if known == true {
		return at
	}
	return ""
}

// route is a path in a source.
type route struct {
	path  string
	asked bool // of somebody, who may be another
}

// routes gives the routes of a source text that are named for health, with their lines; those that begin with a slash are whole. Searching plain words first is what makes
// it quick: few lines have one.
func routes(data []byte) iter.Seq2[int, route] {
	return func(yield func(int, route) bool) {
		line, counted, from := 1, 0, 0
		for from < len(data) {
			at := firstWord(data[from:])
			if at < 0 {
				return
			}
			at += from
			begin := bytes.LastIndexByte(data[from:at], '\n') + 1 + from
			end := bytes.IndexByte(data[at:], '\n')
			if end < 0 {
				end = len(data) - at
			}
			end += at
			line += bytes.Count(data[counted:begin], []byte("\n"))
			counted = begin
			for _, m := range routePattern.FindAllSubmatchIndex(data[begin:end], -1) {
				if !yield(line, route{string(data[begin+m[2] : begin+m[3]]), asks(data[begin : begin+m[0]])}) {
					return
				}
			}
			from = end
		}
	}
}

var (
	// calling finds the function, and what it is one of, whose first argument comes next.
	calling = regexp.MustCompile(`([A-Za-z_][A-Za-z0-9_.()]*)\(\s*[fr]?$`)
	// joined is a text to which another is added.
	joined = regexp.MustCompile(`\w\s*\+\s*[fr]?$`)
)

// asks tells from what stands before a path in its line whether it is asked for there, or made out of another: then it alone says nothing of
// the service's own routes.
func asks(before []byte) bool {
	if joined.Match(before) {
		return true
	}
	m := calling.FindSubmatch(before)
	if m == nil {
		return false
	}
	object, name := "", strings.ToLower(string(m[1]))
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		object, name = name[:i], name[i+1:]
	}
	return slices.ContainsFunc([]string{"request", "session", "client", "axios", "httpx", "urllib"}, func(w string) bool { return strings.Contains(object, w) }) ||
		slices.ContainsFunc([]string{"response", "request", "fetch", "urljoin", "urlopen", "join_url"}, func(w string) bool { return strings.Contains(name, w) })
}

// firstWord is where the first word stands that a route named for health has, -1 if there is none.
func firstWord(data []byte) int {
	first := -1
	for _, w := range []string{"health", "ready", "live", "/ping", "heartbeat"} {
		if at := bytes.Index(data, []byte(w)); at >= 0 {
			first, data = at, data[:min(len(data), at+len(w))]
		}
	}
	return first
}

// routeRank prefers what says that all is ready over what says that it lives.
func routeRank(r string) int {
	rank := 0
	for i, word := range []string{"ping", "heartbeat", "alive", "live", "health", "ready"} {
		if strings.Contains(r, word) {
			rank = i + 1
		}
	}
	return 10*rank - strings.Count(r, "/")
}
