package registry

import (
	"cmp"
	"net/url"
	"path"
	"slices"
	"strings"
)

// aptSource is one archive that apt is told of.
type aptSource struct {
	uri        string
	suites     []string
	components []string
	signedBy   string
	from       string
}

// aptSettings are apt's sources that are Debian's own archives.
type aptSettings struct {
	machine Machine
	sources []aptSource
	proxies map[string]string // by scheme
	hosts   map[string]bool   // that the sources are at, with their ports
}

// readApt reads apt's sources (sources.list(5)): both the one-line and the deb822 style. On a machine of another distribution
// they name other archives, so there they are not used.
func readApt(m Machine) (*aptSettings, error) {
	out := &aptSettings{machine: m, hosts: map[string]bool{}}
	release, err := m.read("/etc/os-release")
	if err != nil {
		return nil, err
	}
	if release == nil {
		if release, err = m.read("/usr/lib/os-release"); err != nil {
			return nil, err
		}
	}
	vars := parseShellVars(release)
	if vars["ID"] != "debian" {
		return out, nil
	}
	files := append([]string{"/etc/apt/sources.list"}, m.glob("/etc/apt/sources.list.d/*.list")...)
	files = append(files, m.glob("/etc/apt/sources.list.d/*.sources")...)
	for _, name := range files {
		data, err := m.read(name)
		if err != nil {
			return nil, err
		}
		parse := parseAptList
		if strings.HasSuffix(name, ".sources") {
			parse = parseAptSources
		}
		for _, s := range parse(data) {
			if s.isDebian(vars["VERSION_CODENAME"]) {
				s.from = m.tilde(name)
				out.sources = append(out.sources, s)
			}
		}
	}
	// Sources that name Debian's own key are certain; the others only look alike.
	slices.SortStableFunc(out.sources, func(a, b aptSource) int { return cmp.Compare(b.certain(), a.certain()) })
	for _, s := range out.sources {
		if u, err := url.Parse(s.uri); err == nil {
			out.hosts[hostport(u)] = true
		}
	}
	out.proxies, err = readAptProxies(m)
	return out, err
}

// isDebian tells Debian's archives from others that a Debian machine uses: they have the component main, and the suite is
// Debian's, by its general name or by the machine's code name.
func (s aptSource) isDebian(codename string) bool {
	if !slices.Contains(s.components, "main") {
		return false
	}
	return slices.ContainsFunc(s.suites, func(suite string) bool {
		name, _, _ := strings.Cut(suite, "/")
		name, pocket, _ := strings.Cut(name, "-")
		own := []string{"stable", "oldstable", "oldoldstable", "testing", "unstable", "sid", "experimental", codename}
		return name != "" && slices.Contains(own, name) && slices.Contains([]string{"", "updates", "security", "backports", "proposed"}, pocket)
	})
}

func (s aptSource) certain() int {
	if strings.Contains(s.signedBy, "debian-archive-") {
		return 1
	}
	return 0
}

func readArchive(read func() (*aptSettings, error), s Service) (*client, error) {
	a, err := read()
	if err != nil {
		return nil, err
	}
	return a.client(s)
}

// client is what apt says of one archive.
func (a *aptSettings) client(service Service) (*client, error) {
	c := new(client)
	for _, s := range a.sources {
		security := slices.ContainsFunc(s.suites, func(suite string) bool {
			return strings.HasSuffix(suite, "-security") || strings.HasSuffix(suite, "/updates")
		})
		if security != (service == DebianSecurity) {
			continue
		}
		uris := []string{s.uri}
		if list, ok := strings.CutPrefix(s.uri, "mirror+file:"); ok {
			data, err := a.machine.read("/" + strings.TrimLeft(list, "/"))
			if err != nil {
				return nil, err
			}
			uris = parseMirrorList(data)
		}
		for _, uri := range uris {
			if !strings.HasPrefix(uri, "https:") && !strings.HasPrefix(uri, "http:") && !strings.HasPrefix(uri, "file:") {
				continue // cdrom:, tor+http: and the like, which only apt can read
			}
			if err := c.add(uri, s.from); err != nil {
				return nil, err
			}
		}
	}
	c.set = len(c.bases) > 0
	return c, nil
}

// parseMirrorList reads apt-transport-mirror(1)'s list: an address a line, attributes after a tab.
func parseMirrorList(data []byte) []string {
	var out []string
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		if words := strings.Fields(line); len(words) > 0 {
			out = append(out, words[0])
		}
	}
	return out
}

// parseAptList reads one-line-style sources. What is no "deb" line gives nothing.
func parseAptList(data []byte) []aptSource {
	var out []aptSource
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != "deb" {
			continue
		}
		words = words[1:]
		s := aptSource{}
		if len(words) > 0 && strings.HasPrefix(words[0], "[") {
			end := slices.IndexFunc(words, func(w string) bool { return strings.HasSuffix(w, "]") })
			if end < 0 {
				continue
			}
			for _, w := range words[:end+1] {
				if v, ok := strings.CutPrefix(strings.Trim(w, "[]"), "signed-by="); ok {
					s.signedBy = v
				}
			}
			words = words[end+1:]
		}
		if len(words) < 3 {
			continue
		}
		s.uri, s.suites, s.components = strings.TrimRight(words[0], "/"), []string{words[1]}, words[2:]
		out = append(out, s)
	}
	return out
}

// parseAptSources reads deb822-style sources. Stanzas that are disabled or have no "deb" type give nothing.
func parseAptSources(data []byte) []aptSource {
	var out []aptSource
	for _, stanza := range stanzas(string(data)) {
		if no := strings.ToLower(stanza["enabled"]); no == "no" || no == "false" || no == "0" || no == "off" || no == "without" {
			continue
		}
		if !slices.Contains(strings.Fields(stanza["types"]), "deb") {
			continue
		}
		for _, uri := range strings.Fields(stanza["uris"]) {
			out = append(out, aptSource{
				uri: strings.TrimRight(uri, "/"), suites: strings.Fields(stanza["suites"]),
				components: strings.Fields(stanza["components"]), signedBy: stanza["signed-by"],
			})
		}
	}
	return out
}

// stanzas reads the fields of a deb822 file (deb822(5)), keys in lower case.
func stanzas(text string) []map[string]string {
	var out []map[string]string
	fields, last := map[string]string{}, ""
	flush := func() {
		if len(fields) > 0 {
			out = append(out, fields)
		}
		fields, last = map[string]string{}, ""
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n\t ")
		switch {
		case strings.HasPrefix(line, "#"):
		case line == "":
			flush()
		case line[0] == ' ' || line[0] == '\t':
			if last != "" {
				fields[last] += "\n" + strings.TrimSpace(line)
			}
		default:
			if key, value, ok := strings.Cut(line, ":"); ok {
				last = strings.ToLower(strings.TrimSpace(key))
				fields[last] = strings.TrimSpace(value)
			}
		}
	}
	flush()
	return out
}

// parseShellVars reads os-release(5).
func parseShellVars(data []byte) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(string(data)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(key, "#") {
			out[key] = strings.Trim(value, `"'`)
		}
	}
	return out
}

// sibling is the security archive beside a mirror's main one, where the layout of Debian's own mirrors is kept.
func sibling(bases []Base) []Base {
	var out []Base
	for _, b := range bases {
		if path.Base(b.URL) == "debian" {
			out = append(out, Base{URL: b.URL + "-security", From: b.From + " (beside debian)"})
		}
	}
	return out
}
