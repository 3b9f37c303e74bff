package plan

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"headwater/internal/recipe"
	"headwater/internal/service"
)

// composed is the compose file that starts the image that is planned, and which of its services are that image.
type composed struct {
	file *composeFile
	ours []string // sorted
}

// findCompose finds the compose file of an image: one that builds its Dockerfile, or uses an image that the tree builds it as, or
// whose services are all of one image, besides databases and the like. It has no services if there is none.
func findCompose(t *Tree, x *candidate, notes *Notes) *composed {
	best, bestSure := &composed{file: &composeFile{}}, 0
	files := composeFiles(t, &Notes{}) // what cannot be read was told
	slices.SortStableFunc(files, func(a, b *composeFile) int {
		return cmp.Compare(strings.Count(a.name, "/"), strings.Count(b.name, "/"))
	})
	for _, f := range files {
		if ours, sure := f.uses(t, x); sure > bestSure && Aside(f.name) == "" {
			best, bestSure = &composed{f, ours}, sure
		}
	}
	defer func() {
		for _, e := range best.file.examples {
			notes.Remark(fmt.Sprintf("%s reads variables that the operator writes; those of the example are taken", best.file.name), e)
		}
	}()
	if bestSure > 0 {
		return best
	}
	// An example is better than nothing where it names the image: it says what the service cannot do without. What tests start beside it does not.
	for _, f := range files {
		if ours, sure := f.uses(t, x); sure > max(bestSure, 1) && Aside(f.name) != forTests {
			best, bestSure = &composed{f, ours}, sure
		}
	}
	if bestSure > 0 {
		notes.Remark(fmt.Sprintf("what runs is taken from %s, since no other compose file starts the image; %s", best.file.name, Aside(best.file.name)), Evidence{File: best.file.name})
		return best
	}
	for _, f := range files {
		if list := f.besides(); len(list) > 0 && Aside(f.name) != forTests {
			notes.Ask(Question{
				About: "services", Looked: []Evidence{f.evidence(list[0], "")},
				Ask: fmt.Sprintf("%s starts %s, and nothing of the tree's: the service is worked on with that; does it need it, and which variables tell it where it is?", f.name, strings.Join(list, ", ")),
			})
			break
		}
	}
	return best
}

// besides are the services of a compose file that starts nothing else than what services need.
func (c *composeFile) besides() []string {
	known := false
	for _, s := range c.Services {
		if s.Image == "" || kindOfService(s.Image) == "" {
			return nil
		}
		_, _, ok := service.ImageOf(repository(s.Image))
		known = known || ok
	}
	if !known {
		return nil
	}
	return slices.Sorted(maps.Keys(c.Services))
}

// uses are the services that are the image, and how sure that is, 0 if there are none.
func (c *composeFile) uses(t *Tree, x *candidate) (ours []string, sure int) {
	images := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(c.Services)) {
		s := c.Services[name]
		if s.Build.Context != "" || s.Build.Dockerfile != "" {
			dir := path.Join(path.Dir(c.name), interpolate(s.Build.Context, known(nil)))
			file := path.Join(dir, "Dockerfile")
			if s.Build.Dockerfile != "" {
				file = path.Join(dir, interpolate(s.Build.Dockerfile, known(nil)))
			}
			if file == x.image.name {
				ours, sure = append(ours, name), 3
				if s.Image != "" {
					images[repository(s.Image)] = true
				}
			}
		}
	}
	for _, p := range x.places {
		for _, tag := range p.tags {
			images[repository(tag)] = true
		}
	}
	others := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(c.Services)) {
		s := c.Services[name]
		repo := repository(s.Image)
		switch {
		case slices.Contains(ours, name) || s.Image == "":
		case images[repo]:
			ours, sure = append(ours, name), max(sure, 2)
		case kindOfService(s.Image) == "" && strings.Contains(interpolate(s.Image, known(nil)), "/"): // what has no owner is not its maker's
			others[repo] = append(others[repo], name)
		}
	}
	if sure == 0 && len(others) == 1 && strings.Count(c.name, "/") < 2 { // deep in the tree it is something's beside the service
		for _, names := range others {
			if t.calls(c.Services[names[0]].Image) {
				ours, sure = names, 1
			}
		}
	}
	slices.Sort(ours)
	return ours, sure
}

// calls tells whether an image may be the tree's by its name or its owner's: one of them has a name of the tree in it, or is in one. A tree without a
// name may be called anything.
func (t *Tree) calls(image string) bool {
	image = strings.ToLower(interpolate(image, known(nil)))
	words := []string{repository(image), path.Base(path.Dir(image))}
	return len(t.names()) == 0 || slices.ContainsFunc(t.names(), func(name string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return len(w) > 2 && (strings.Contains(w, name) || strings.Contains(name, w)) })
	})
}

// repository is an image's name without registry, owner and tag, with its variables' defaults.
func repository(image string) string {
	name := path.Base(interpolate(image, known(nil)))
	name, _, _ = strings.Cut(name, "@")
	name, _, _ = strings.Cut(name, ":")
	return name
}

// kindOfService tells what a well-known image is: a kind of package service's, or another name that nothing here starts; "" if it is no
// such image.
func kindOfService(image string) string {
	name := repository(image)
	if kind, _, ok := service.ImageOf(name); ok {
		return kind.Facts().Name
	}
	switch name {
	case "redis-stack", "redis-stack-server", "memcached", "mongo", "mongodb", "rabbitmq", "nats", "kafka", "elasticsearch", "opensearch", "meilisearch", "typesense", "minio",
		"clickhouse", "clickhouse-server", "nginx", "traefik", "caddy", "haproxy", "mailhog", "mailpit", "adminer", "pgadmin4", "prometheus", "grafana", "loki", "tempo", "jaeger", "opentelemetry-collector", "opentelemetry-collector-contrib", "otel-lgtm", "watchtower", "postgres-backup-local", "pgbouncer",
		"openldap", "dex", "keycloak", "authelia", "docker-socket-proxy", "busybox", "alpine", "chrome", "browserless", "gotenberg", "tika", "apprise":
		return name
	}
	return ""
}

// once tells whether a service runs to its end before others start.
func (c *composed) once(name string) bool {
	for _, s := range c.file.Services {
		if s.Depends[name] == "service_completed_successfully" {
			return true
		}
	}
	s := c.file.Services[name]
	return len(s.Command) > 0 && (s.Restart == "" || s.Restart == "no" || s.Restart == "on-failure") && len(s.Ports) == 0 &&
		regexp.MustCompile(`(?i)migrat|upgrade|init-?db|db-?init|setup-?db`).MatchString(strings.Join(s.Command, " "))
}

// services are those that the image needs, and the environment by which it finds them.
func (a *assembly) services(c *composed) {
	var found []attached
	hasDatabase := false
	for _, name := range slices.Sorted(maps.Keys(c.file.Services)) {
		s := c.file.Services[name]
		kind, image, known := service.ImageOf(repository(s.Image))
		e := c.file.evidence(name, "")
		// A database need not be named: an application may look for it at its usual place.
		database := known && kind.Facts().Has(service.Database)
		first := database && !hasDatabase
		switch {
		case slices.Contains(c.ours, name) || s.Image == "":
		case !first && !c.needs(name), database && c.others(name):
		case database && !first:
			a.Notes.Ask(Question{About: "services", Ask: fmt.Sprintf("the compose file has a second database, %s, a %s; is it needed?", name, kind.Facts().Title), Looked: []Evidence{e}})
		case known:
			hasDatabase = hasDatabase || database
			found = append(found, attachedOf(c.file, name, kind))
			a.attach(name, s.Image, kind, image, e)
		default:
			a.Notes.Ask(Question{About: "services", Ask: fmt.Sprintf("the compose file has a service %s of the image %s, which Headwater does not start; where is one?", name, s.Image), Looked: []Evidence{e}})
		}
	}
	main := a.mainService(c)
	for _, name := range c.ours {
		if name == main || c.once(name) {
			a.composeEnv(c, name, found)
		}
	}
	if main != "" {
		a.composeEnv(c, main, found) // where both say something, the main process's
	}
	for _, name := range c.ours {
		if name != main && !c.once(name) {
			a.composeLinks(c, name, found)
		}
	}
	for _, d := range found {
		env := a.recipe.Services[ComponentName(d.host)].Env
		if d.settle(env); len(env) == 0 {
			a.Notes.Ask(Question{
				About: "services." + ComponentName(d.host) + ".env", Looked: []Evidence{c.file.evidence(d.host, "")},
				Ask: fmt.Sprintf("nothing that the compose file sets says where the service finds %s, a %s; by which variables is it told?", d.host, d.facts.Title),
			})
		}
	}
}

// needs tells whether a service of ours depends on another, or names it.
func (c *composed) needs(name string) bool {
	return slices.ContainsFunc(c.ours, func(o string) bool {
		s := c.file.Services[o]
		_, depends := s.Depends[name]
		return depends || slices.ContainsFunc(s.Environment, func(v string) bool {
			_, value, _ := strings.Cut(v, "=")
			return regexp.MustCompile(`(^|[^A-Za-z0-9_-])` + regexp.QuoteMeta(name) + `($|[^A-Za-z0-9_-])`).MatchString(value)
		})
	})
}

// others tells whether a database is that of another service of the file, which names it as ours do not.
func (c *composed) others(name string) bool {
	other := &composed{file: c.file}
	for _, o := range slices.Sorted(maps.Keys(c.file.Services)) {
		if o != name && !slices.Contains(c.ours, o) {
			other.ours = append(other.ours, o)
		}
	}
	return !c.needs(name) && other.needs(name)
}

func (a *assembly) mainService(c *composed) string {
	for _, name := range c.ours {
		if ComponentName(name) == a.main {
			return name
		}
	}
	return ""
}

// attach adds a service and its root. Data are new, so that another version than the compose file's only has to be named.
func (a *assembly) attach(name, of string, kind service.Kind, image service.Image, e Evidence) {
	facts := kind.Facts()
	_, tag, _ := strings.Cut(path.Base(interpolate(of, known(nil))), ":")
	switch m := versionPattern.FindStringSubmatch(tag); {
	case image.Product != "":
		a.Notes.Remark(fmt.Sprintf("the compose file has %s; Debian's %s is planned in its place", image.Name, image.Product), e)
	case m != nil && image.Version != "" && !strings.HasPrefix(m[1], image.Version):
		a.Notes.Remark(fmt.Sprintf("the compose file has %s %s; Debian's %s is planned", facts.Title, m[1], image.Version), e)
	}
	root := facts.Name
	packages := slices.Sorted(slices.Values(image.Packages))
	if old, ok := a.recipe.Roots[root]; ok && !slices.Equal(old.Packages, packages) {
		root = facts.Name + "-" + ComponentName(name)
	}
	a.recipe.Roots[root] = recipe.Root{Suites: suitesOf("trixie"), Packages: packages}
	if a.recipe.Services == nil {
		a.recipe.Services = map[string]recipe.Service{}
	}
	a.recipe.Services[ComponentName(name)] = recipe.Service{Kind: facts.Name, Root: root, Env: map[string]string{}}
	a.prove("roots."+root, e)
	a.prove("services."+ComponentName(name), e)
}

// secretName is a variable's name that says that its value is nobody's business.
var secretName = regexp.MustCompile(`(?:^|_)(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|SECRET_?KEY|TOKEN|ENCRYPTION_KEY)$`)

// secretWord tells whether a variable's name may be a secret's at all.
var secretWord = regexp.MustCompile(`(?i)SECRET|PASS|TOKEN|KEY|SALT|CREDENTIAL`)

// signingKey is the name of what a web framework signs with, without which it does not start: one that is empty is the operator's to give.
var signingKey = regexp.MustCompile(`^(?:APP_|DJANGO_|FLASK_)?SECRET_KEY(?:_BASE)?$`)

// secretValue tells whether a value may be a secret: not a switch, a number or a path.
func secretValue(v string) bool {
	_, err := strconv.ParseFloat(v, 64)
	return v != "" && err != nil && v[0] != '/' && !slices.Contains([]string{"true", "false", "yes", "no", "on", "off"}, strings.ToLower(v))
}

// composeEnv takes over what a service of the compose file sets: what leads to a service goes to that, what must be given becomes
// a secret, and so does what is named like one, since a value that everybody can read is none; what else has a value or a default is set.
func (a *assembly) composeEnv(c *composed, name string, found []attached) {
	var optional []string
	defer func() {
		if len(optional) > 0 {
			list := slices.Compact(slices.Sorted(slices.Values(optional)))
			a.Notes.Remark("the compose file hands on, where the operator sets them: "+strings.Join(list, ", "), c.file.evidence(name, "environment"))
		}
	}()
	for _, entry := range c.file.Services[name].Environment {
		k, raw, given := strings.Cut(entry, "=")
		e := c.file.evidence(name, "environment "+k)
		if given && !variableName.MatchString(k) {
			a.Notes.Ask(Question{About: "package.env", Ask: fmt.Sprintf("the compose file sets %q, which no shell can name and a recipe does not take; by which other way is the service told?", k), Looked: []Evidence{e}})
		}
		if !variableName.MatchString(k) || !given {
			continue
		}
		if a.link(found, k, raw, e) {
			continue
		}
		open := ""
		required, value := false, interpolate(raw, func(n, op, word string) string {
			switch given := c.file.env[n]; {
			case given == "" && (op == ":?" || op == "?"):
				return "\x00"
			case given == "" && op == "": // empty, unless the operator gives it
				open = n
				return "\x00"
			}
			return known(c.file.env)(n, op, word)
		})
		required = strings.Contains(value, "\x00")
		switch {
		case value == "\x00" && open != "" && !secretWord.MatchString(k):
			optional = append(optional, open)
		case value == "\x00" || raw == "" && signingKey.MatchString(k) || secretName.MatchString(k) && secretValue(value):
			if !slices.Contains(a.recipe.Package.Secrets, k) {
				a.recipe.Package.Secrets = append(a.recipe.Package.Secrets, k)
				slices.Sort(a.recipe.Package.Secrets)
			}
			a.prove("package.secrets."+k, e)
		case required:
			a.Notes.Ask(Question{About: "package.env." + k, Ask: fmt.Sprintf("what is %s? The compose file makes it of a variable that must be given: %s", k, raw), Looked: []Evidence{e}})
		case value != "":
			if _, image := a.recipe.Package.Env[k]; !image || name != "" {
				a.setEnv(k, value, e)
			}
		}
	}
}

// composeLinks takes over what a further process alone is told of services: all processes have one environment.
func (a *assembly) composeLinks(c *composed, name string, found []attached) {
	for _, entry := range c.file.Services[name].Environment {
		k, raw, given := strings.Cut(entry, "=")
		_, set := a.recipe.Package.Env[k]
		if variableName.MatchString(k) && given && !set && !slices.Contains(a.recipe.Package.Secrets, k) {
			a.link(found, k, raw, c.file.evidence(name, "environment "+k))
		}
	}
}

// link adds a variable to the service that its value leads to; it reports whether there is one.
func (a *assembly) link(found []attached, k, raw string, e Evidence) bool {
	to, text, ok := leads(found, k, raw)
	if ok {
		a.recipe.Services[to].Env[k] = text
		delete(a.recipe.Package.Env, k)
		a.prove("services."+to+".env."+k, e)
	}
	return ok
}

// same tells whether two values of a compose file are the same variable or the same text.
func same(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	name := func(s string) string {
		out := s
		interpolate(s, func(n, _, _ string) string { out = "$" + n; return "" })
		return out
	}
	return name(a) == name(b)
}
