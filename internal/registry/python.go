package registry

import (
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"strings"

	"github.com/BurntSushi/toml"
)

// readPython reads what pip and uv are set to, pip first. Indexes of both are asked, since a lock does not say which of the
// two wrote it.
func readPython(m Machine) (*client, error) {
	c := new(client)
	if err := c.readPip(m); err != nil {
		return nil, err
	}
	if err := c.readUV(m); err != nil {
		return nil, err
	}
	return c, nil
}

// pipValue is one of pip's settings and where it is set.
type pipValue struct{ value, from string }

// readPip reads pip's configuration (pip documentation, "Configuration"): environment, then files, most specific first.
func (c *client) readPip(m Machine) error {
	values := map[string]pipValue{}
	names, err := pipFiles(m)
	if err != nil {
		return err
	}
	for _, name := range names { // least specific first
		data, err := m.read(name)
		if err != nil {
			return err
		}
		for _, section := range []string{"global", "install"} {
			for _, e := range parsePipConf(data) {
				if e.section == section {
					key := strings.ReplaceAll(e.key, "_", "-")
					values[key] = pipValue{e.value, key + " in " + m.tilde(name)}
				}
			}
		}
	}
	for _, key := range []string{"index-url", "extra-index-url", "find-links", "no-index"} {
		name := "PIP_" + strings.ToUpper(strings.ReplaceAll(key, "-", "_"))
		if v := m.env(name); v != "" {
			values[key] = pipValue{v, name}
		}
	}
	return c.pipValues(values)
}

func (c *client) pipValues(values map[string]pipValue) error {
	links := values["find-links"]
	for _, raw := range strings.Fields(links.value) {
		if !strings.Contains(raw, "://") && !path.IsAbs(raw) {
			continue // relative to wherever pip is started
		}
		if err := c.add(raw, links.from); err != nil {
			return err
		}
		c.bases[len(c.bases)-1].Flat = true
	}
	if on := strings.ToLower(values["no-index"].value); on == "1" || on == "true" || on == "yes" || on == "on" || on == "y" || on == "t" {
		c.set = true
		return nil
	}
	for _, v := range []pipValue{values["index-url"], values["extra-index-url"]} {
		for _, raw := range strings.Fields(v.value) {
			if err := c.add(raw, v.from); err != nil {
				return err
			}
		}
	}
	c.set = values["index-url"].value != ""
	return nil
}

// pipFiles lists pip's configuration files, least specific first.
func pipFiles(m Machine) ([]string, error) {
	explicit := m.env("PIP_CONFIG_FILE")
	if explicit == "/dev/null" { // os.devnull: no file at all
		return nil, nil
	}
	names := []string{"/etc/xdg/pip/pip.conf", "/etc/pip.conf", m.home(".pip", "pip.conf"), m.config("pip", "pip.conf")}
	if venv := m.env("VIRTUAL_ENV"); venv != "" {
		names = append(names, path.Join(venv, "pip.conf"))
	}
	if explicit != "" {
		if data, err := m.read(explicit); data == nil {
			return nil, fmt.Errorf("read %s (PIP_CONFIG_FILE): %w", explicit, orMissing(err))
		}
		names = append(names, explicit)
	}
	return names, nil
}

// parsePipConf reads the dialect of Python's configparser that pip uses. Lines that fit nothing are skipped.
func parsePipConf(data []byte) []iniEntry {
	var out []iniEntry
	section := ""
	open := false // an indented line goes on with the value before it
	for line := range strings.Lines(string(data)) {
		text := strings.TrimSpace(line)
		switch {
		case text == "" || text[0] == '#' || text[0] == ';':
		case open && (line[0] == ' ' || line[0] == '\t'):
			out[len(out)-1].value += "\n" + text
		case text[0] == '[' && text[len(text)-1] == ']':
			section, open = text[1:len(text)-1], false
		default:
			i := strings.IndexAny(text, "=:")
			if open = i > 0; open {
				key := strings.ToLower(strings.TrimSpace(text[:i]))
				out = append(out, iniEntry{section, key, strings.TrimSpace(text[i+1:])})
			}
		}
	}
	return out
}

// uvFile is the part of a uv.toml that is about indexes (uv documentation, "Settings"). Other keys are uv's business.
type uvFile struct {
	IndexURL      string    `toml:"index-url"`
	ExtraIndexURL []string  `toml:"extra-index-url"`
	FindLinks     []string  `toml:"find-links"`
	NoIndex       bool      `toml:"no-index"`
	Index         []uvIndex `toml:"index"`
	Pip           *uvFile   `toml:"pip"`
}

type uvIndex struct {
	Name    string `toml:"name"`
	URL     string `toml:"url"`
	Format  string `toml:"format"`
	Default bool   `toml:"default"`
}

// readUV adds what uv is set to: environment, then the user's uv.toml, then the system's.
func (c *client) readUV(m Machine) error {
	if err := c.uvEnv(m); err != nil {
		return err
	}
	explicit := m.env("UV_CONFIG_FILE")
	names := []string{m.config("uv", "uv.toml"), "/etc/uv/uv.toml"}
	if explicit != "" {
		names = []string{explicit}
	} else if v := m.env("UV_NO_CONFIG"); v != "" && v != "0" && v != "false" {
		return nil
	}
	for _, name := range names {
		data, err := m.read(name)
		if err != nil || data == nil && name == explicit {
			return fmt.Errorf("read %s: %w", name, orMissing(err))
		}
		var f uvFile
		if _, err := toml.Decode(string(data), &f); err != nil {
			return fmt.Errorf("read %s: not TOML: %w", name, err)
		}
		if err := c.uvSettings(m, f, m.tilde(name)); err != nil {
			return err
		}
	}
	return nil
}

func (c *client) uvEnv(m Machine) error {
	f := uvFile{ExtraIndexURL: strings.Fields(m.env("UV_EXTRA_INDEX_URL"))}
	for _, word := range strings.Fields(m.env("UV_INDEX")) {
		name, address, ok := strings.Cut(word, "=")
		if !ok || strings.Contains(name, ":") { // "=" in a query, say
			name, address = "", word
		}
		f.Index = append(f.Index, uvIndex{Name: name, URL: address})
	}
	if name, v := m.firstEnv("UV_DEFAULT_INDEX", "UV_INDEX_URL"); v != "" {
		index, address, ok := strings.Cut(v, "=")
		if !ok || strings.Contains(index, ":") {
			index, address = "", v
		}
		if err := c.uvSettings(m, uvFile{Index: []uvIndex{{Name: index, URL: address, Default: true}}}, name); err != nil {
			return err
		}
	}
	for _, link := range strings.Split(m.env("UV_FIND_LINKS"), ",") {
		if link != "" {
			f.FindLinks = append(f.FindLinks, link)
		}
	}
	return c.uvSettings(m, f, "uv's environment")
}

func (c *client) uvSettings(m Machine, f uvFile, from string) error {
	for _, link := range f.FindLinks {
		if !strings.Contains(link, "://") && !path.IsAbs(link) {
			continue
		}
		if err := c.add(link, "find-links in "+from); err != nil {
			return err
		}
		c.bases[len(c.bases)-1].Flat = true
	}
	if f.NoIndex {
		c.set = true
		return nil
	}
	for _, index := range f.Index {
		if err := c.uvIndex(m, index, from); err != nil {
			return err
		}
	}
	indexes := f.ExtraIndexURL
	if f.IndexURL != "" {
		c.set = true
		indexes = append([]string{f.IndexURL}, indexes...)
	}
	for _, raw := range indexes {
		if err := c.add(raw, "index in "+from); err != nil {
			return err
		}
	}
	if f.Pip != nil {
		return c.uvSettings(m, *f.Pip, from)
	}
	return nil
}

// uvIndex adds one named index, with the credentials that the environment has for it.
func (c *client) uvIndex(m Machine, index uvIndex, from string) error {
	if err := c.add(index.URL, "index in "+from); err != nil {
		return err
	}
	b := &c.bases[len(c.bases)-1]
	b.Flat = index.Format == "flat"
	c.set = c.set || index.Default
	name := "UV_INDEX_" + strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(index.Name))
	user, password := m.env(name+"_USERNAME"), m.env(name+"_PASSWORD")
	if u, err := url.Parse(b.URL); err == nil && index.Name != "" && (user != "" || password != "") {
		c.credentials.add(u, "", basic(user, password))
	}
	return nil
}

// orMissing is err, or that the file does not exist.
func orMissing(err error) error {
	if err != nil {
		return err
	}
	return fs.ErrNotExist
}
