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
	if bestSure > 0 {
		return best
	}
	// An example is better than nothing where it names the image: it says what the service cannot do without.
	for _, f := range files {
		if ours, sure := f.uses(t, x); sure > max(bestSure, 1) {
			best, bestSure = &composed{f, ours}, sure
		}
	}
	if bestSure > 0 {
		notes.Remark(fmt.Sprintf("what runs is taken from %s, since no other compose file starts the image; %s", best.file.name, Aside(best.file.name)), Evidence{File: best.file.name})
	}
	return best
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
		case kindOfService(s.Image) == "":
			others[repo] = append(others[repo], name)
		}
	}
	if sure == 0 && len(others) == 1 {
		for _, names := range others {
			ours, sure = names, 1
		}
	}
	slices.Sort(ours)
	return ours, sure
}

// repository is an image's name without registry, owner and tag, with its variables' defaults.
func repository(image string) string {
	name := path.Base(interpolate(image, known(nil)))
	name, _, _ = strings.Cut(name, "@")
	name, _, _ = strings.Cut(name, ":")
	return name
}

// kindOfService tells what a well-known image is: "postgresql", or another name that nothing here starts; "" if it is no such image.
func kindOfService(image string) string {
	switch name := repository(image); name {
	case "postgres", "postgresql", "postgis", "pgvector", "timescaledb", "pgautoupgrade", "postgres-ha":
		return "postgresql"
	case "redis", "valkey", "keydb", "dragonfly", "memcached", "mysql", "mariadb", "mongo", "mongodb", "rabbitmq", "nats", "kafka", "elasticsearch", "opensearch", "meilisearch", "typesense", "minio",
		"clickhouse", "clickhouse-server", "nginx", "traefik", "caddy", "haproxy", "mailhog", "mailpit", "adminer", "pgadmin4", "prometheus", "grafana", "loki", "watchtower", "postgres-backup-local", "pgbouncer",
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
	database := ""
	for _, name := range slices.Sorted(maps.Keys(c.file.Services)) {
		kind := kindOfService(c.file.Services[name].Image)
		e := c.file.evidence(name, "")
		switch {
		case slices.Contains(c.ours, name) || kind == "" && c.file.Services[name].Image == "":
		case kind == "postgresql" && database == "":
			database = name
			a.postgresql(name, c.file.Services[name].Image, e)
		case !c.needs(name):
		case kind == "postgresql":
			a.Notes.Ask(Question{About: "services", Ask: fmt.Sprintf("the compose file has a second PostgreSQL, %s; is it needed?", name), Looked: []Evidence{e}})
		default:
			a.Notes.Ask(Question{About: "services", Ask: fmt.Sprintf("the compose file has a service %s of the image %s, which Headwater does not start; where is one?", name, c.file.Services[name].Image), Looked: []Evidence{e}})
		}
	}
	main := a.mainService(c)
	for _, name := range c.ours {
		if name == main || c.once(name) {
			a.composeEnv(c, name, database)
		}
	}
	if main != "" {
		a.composeEnv(c, main, database) // where both say something, the main process's
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

func (a *assembly) mainService(c *composed) string {
	for _, name := range c.ours {
		if ComponentName(name) == a.main {
			return name
		}
	}
	return ""
}

// postgresql adds the service and its root. Debian trixie has version 17; data are new, so another version only has to be named.
func (a *assembly) postgresql(name, image string, e Evidence) {
	const have = "17"
	_, tag, _ := strings.Cut(path.Base(interpolate(image, known(nil))), ":")
	if m := versionPattern.FindStringSubmatch(tag); m != nil && !strings.HasPrefix(m[1], have) {
		a.Notes.Remark(fmt.Sprintf("the compose file has PostgreSQL %s; Debian's %s is planned", m[1], have), e)
	}
	a.recipe.Roots["postgresql"] = recipe.Root{Suites: suitesOf("trixie"), Packages: []string{"postgresql-" + have}}
	a.recipe.Services = map[string]recipe.Service{ComponentName(name): {Kind: "postgresql", Root: "postgresql", Env: map[string]string{}}}
	a.database = ComponentName(name)
	a.prove("roots.postgresql", e)
	a.prove("services."+ComponentName(name), e)
}

// secretName is a variable's name that says that its value is nobody's business.
var secretName = regexp.MustCompile(`(?:^|_)(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|SECRET_?KEY|TOKEN|ENCRYPTION_KEY)$`)

// secretValue tells whether a value may be a secret: not a switch, a number or a path.
func secretValue(v string) bool {
	_, err := strconv.ParseFloat(v, 64)
	return v != "" && err != nil && v[0] != '/' && !slices.Contains([]string{"true", "false", "yes", "no", "on", "off"}, strings.ToLower(v))
}

// composeEnv takes over what a service of the compose file sets: what leads to the database goes to that, what must be given becomes
// a secret, and so does what is named like one, since a value that everybody can read is none; what else has a value or a default is set.
func (a *assembly) composeEnv(c *composed, name, database string) {
	db := databaseOf(c.file, database)
	for _, entry := range c.file.Services[name].Environment {
		k, raw, given := strings.Cut(entry, "=")
		e := c.file.evidence(name, "environment "+k)
		if !variableName.MatchString(k) || !given {
			continue
		}
		if text, ok := db.template(k, raw); ok && database != "" {
			s := a.recipe.Services[a.database]
			s.Env[k] = text
			delete(a.recipe.Package.Env, k)
			a.prove("services."+a.database+".env."+k, e)
			continue
		}
		required, value := false, interpolate(raw, func(n, op, word string) string {
			if op == ":?" || op == "?" || op == "" {
				return "\x00"
			}
			return known(nil)(n, op, word)
		})
		required = strings.Contains(value, "\x00")
		switch {
		case value == "\x00" || secretName.MatchString(k) && secretValue(value):
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

// database is how the compose file sets its database up, as written there.
type database struct {
	host, user, password, name string
}

func databaseOf(f *composeFile, service string) database {
	d := database{host: service}
	for _, entry := range f.Services[service].Environment {
		k, v, _ := strings.Cut(entry, "=")
		switch {
		case strings.HasSuffix(k, "_USER") || strings.HasSuffix(k, "_USERNAME"):
			d.user = v
		case strings.HasSuffix(k, "_PASSWORD"):
			d.password = v
		case strings.HasSuffix(k, "_DB") || strings.HasSuffix(k, "_DATABASE"):
			d.name = v
		}
	}
	return d
}

// template is a value that leads to the database, with what the launcher puts in; ok is false for any other value.
func (d database) template(key, raw string) (text string, ok bool) {
	if d.host == "" {
		return "", false
	}
	host := regexp.QuoteMeta(d.host)
	url := regexp.MustCompile(`^([a-zA-Z0-9+]+://)(?:.*@)?` + host + `(?::[0-9]+)?(?:/([^?]*))?(\?.*)?$`)
	if m := url.FindStringSubmatch(interpolate(raw, known(nil))); m != nil {
		return m[1] + "${user}:${password}@${host}:${port}/${database}" + m[3], true
	}
	if strings.Contains(raw, "host="+d.host) {
		text := regexp.MustCompile(`\b(host|port|user|password|dbname)=\S*`).ReplaceAllStringFunc(raw, func(s string) string {
			k, _, _ := strings.Cut(s, "=")
			return k + "=${" + map[string]string{"dbname": "database"}[k] + strings.TrimPrefix(k, "dbname") + "}"
		})
		if !strings.Contains(text, "port=") {
			text += " port=${port}"
		}
		return text, true
	}
	value := interpolate(raw, known(nil))
	switch upper := strings.ToUpper(key); {
	case value == d.host:
		return "${host}", true
	case value == d.host+":5432":
		return "${host}:${port}", true
	case value == "5432" && strings.Contains(upper, "PORT"):
		return "${port}", true
	case same(raw, d.password) && strings.Contains(upper, "PASS"):
		return "${password}", true
	case same(raw, d.user) && strings.Contains(upper, "USER"):
		return "${user}", true
	case (same(raw, d.name) || d.name == "" && same(raw, d.user)) && (strings.Contains(upper, "DB") || strings.Contains(upper, "NAME") || strings.Contains(upper, "DATABASE")) && !strings.Contains(upper, "USER"):
		return "${database}", true
	}
	return "", false
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
