package registry

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"path"
	"strings"
)

// readNPM reads npm's configuration (npm documentation, "npmrc"): environment, then the user's file, then the global one.
// The project's own .npmrc is upstream's and is not read: what it names is upstream's to say in its lock.
func readNPM(m Machine) (*client, error) {
	c := &client{scopes: map[string][]Base{}}
	auth := map[string]map[string]string{} // "//host/path/" → key → value
	files, err := npmFiles(m)
	if err != nil {
		return nil, err
	}
	if name, v := m.firstEnv("npm_config_registry", "NPM_CONFIG_REGISTRY"); v != "" {
		if err := c.add(v, name); err != nil {
			return nil, err
		}
	}
	for _, f := range files {
		for _, e := range f.entries {
			if err := c.npmEntry(e, f.name, auth); err != nil {
				return nil, err
			}
		}
	}
	c.set = len(c.bases) > 0
	c.bases = c.bases[:min(1, len(c.bases))] // npm has one registry: the most specific setting
	for scope, bases := range c.scopes {
		c.scopes[scope] = bases[:1]
	}
	c.npmAuth(auth)
	return c, nil
}

type npmFile struct {
	name    string // for people
	entries []iniEntry
}

// npmFiles lists the configuration files that exist, most specific first. Where the global one is depends on where npm is.
func npmFiles(m Machine) ([]npmFile, error) {
	_, user := m.firstEnv("npm_config_userconfig", "NPM_CONFIG_USERCONFIG")
	if user == "" {
		user = m.home(".npmrc")
	}
	_, global := m.firstEnv("npm_config_globalconfig", "NPM_CONFIG_GLOBALCONFIG")
	names := []string{user, global}
	if global == "" {
		if _, prefix := m.firstEnv("npm_config_prefix", "NPM_CONFIG_PREFIX", "PREFIX"); prefix != "" {
			names = append(names, path.Join(prefix, "etc/npmrc"))
		}
		for _, dir := range m.path() {
			if len(m.glob(path.Join(dir, "npm"))) > 0 {
				names = append(names, path.Join(dir, "../etc/npmrc"))
				break
			}
		}
		names = append(names, "/etc/npmrc") // Debian's npm
	}
	var out []npmFile
	for _, name := range names {
		data, err := m.read(name)
		if err != nil {
			return nil, err
		}
		if data != nil {
			out = append(out, npmFile{m.tilde(name), parseNpmrc(data, m.env)})
		}
	}
	return out, nil
}

func (c *client) npmEntry(e iniEntry, file string, auth map[string]map[string]string) error {
	switch {
	case e.key == "registry":
		return c.add(e.value, "registry in "+file)
	case strings.HasPrefix(e.key, "@") && strings.HasSuffix(e.key, ":registry"):
		b, err := newBase(e.value, e.key+" in "+file, &c.credentials)
		if err != nil {
			return fmt.Errorf("read %s in %s: %w", e.key, file, err)
		}
		scope := strings.TrimSuffix(e.key, ":registry")
		c.scopes[scope] = append(c.scopes[scope], b)
	case strings.HasPrefix(e.key, "//"):
		i := strings.LastIndex(e.key, ":")
		where, key := e.key[:max(i, 0)], e.key[i+1:]
		if auth[where] == nil {
			auth[where] = map[string]string{}
		}
		if _, twice := auth[where][key]; !twice {
			auth[where][key] = e.value
		}
	}
	return nil
}

// npmAuth turns "//host/path/:_authToken" and the like into credentials. They are for https, and for http where npm is set to
// a registry of that very host over http.
func (c *client) npmAuth(auth map[string]map[string]string) {
	plain := map[string]bool{}
	for _, bases := range c.scopes {
		plain[plainHost(bases[0].URL)] = true
	}
	for _, b := range c.bases {
		plain[plainHost(b.URL)] = true
	}
	for where, keys := range auth {
		header := ""
		switch {
		case keys["_authToken"] != "":
			header = "Bearer " + keys["_authToken"]
		case keys["_auth"] != "":
			header = "Basic " + keys["_auth"]
		case keys["username"] != "":
			password, err := base64.StdEncoding.DecodeString(keys["_password"])
			if err != nil {
				continue
			}
			header = basic(keys["username"], string(password))
		}
		for _, scheme := range []string{"https:", "http:"} {
			u, err := url.Parse(scheme + where)
			if err == nil && (scheme == "https:" || plain[hostport(u)]) {
				c.credentials.add(u, u.Path, header)
			}
		}
	}
}

// plainHost is the host and port of an http address, "" for others.
func plainHost(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" {
		return ""
	}
	return hostport(u)
}

// iniEntry is one "key = value".
type iniEntry struct{ section, key, value string }

// parseNpmrc reads an .npmrc: npm's ini dialect, with ${VARIABLE} in values. Later lines come first in the result, because
// the last of a key counts.
func parseNpmrc(data []byte, env func(string) string) []iniEntry {
	var out []iniEntry
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == ';' || line[0] == '#' || line[0] == '[' {
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if len(value) >= 2 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
			value = value[1 : len(value)-1]
		}
		if value = expandNPM(value, env); value != "" {
			out = append([]iniEntry{{"", key, value}}, out...)
		}
	}
	return out
}

// expandNPM fills in ${NAME} and ${NAME?}; the first stays as it is where the variable is not set, the second vanishes.
func expandNPM(value string, env func(string) string) string {
	var out strings.Builder
	for {
		before, after, ok := strings.Cut(value, "${")
		out.WriteString(before)
		if !ok {
			return out.String()
		}
		name, rest, ok := strings.Cut(after, "}")
		if !ok {
			return out.String() + "${" + after
		}
		plain, optional := strings.CutSuffix(name, "?")
		switch v := env(plain); {
		case v != "":
			out.WriteString(v)
		case !optional:
			out.WriteString("${" + name + "}")
		}
		value = rest
	}
}
