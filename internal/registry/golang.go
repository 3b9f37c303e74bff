package registry

import (
	"bufio"
	"bytes"
	"fmt"
	"path"
	"strings"

	"golang.org/x/mod/module"
)

// readGo reads what the go command is set to: GOPROXY, GONOPROXY and GOPRIVATE, each from the environment or from the file
// that "go env -w" writes (go help environment). What GOROOT's go.env says is Go's default, see client.go.
//
// "direct" is left out, because fetching from a module's own repository gives no zip of a known hash; after "off" nothing is
// asked. Whether two proxies are parted by a comma or a bar makes no difference here: every artifact is checked by its hash.
func readGo(m Machine) (*client, error) {
	file := m.config("go", "env")
	if v := m.env("GOENV"); v != "" {
		file = v
	}
	var saved map[string]string
	if file != "off" {
		data, err := m.read(file)
		if err != nil {
			return nil, err
		}
		saved = parseGoEnv(data)
	}
	get := func(name string) (value, from string) {
		if v := m.env(name); v != "" {
			return v, name
		}
		return saved[name], name + " in " + m.tilde(file)
	}
	c := new(client)
	proxies, from := get("GOPROXY")
	c.set = proxies != ""
	if err := c.addProxies(proxies, from); err != nil {
		return nil, err
	}
	private, _ := get("GONOPROXY")
	if private == "" {
		private, _ = get("GOPRIVATE")
	}
	if private != "" && private != "none" {
		c.skip = func(name string) bool { return module.MatchPrefixPatterns(private, name) }
	}
	return c, nil
}

func (c *client) addProxies(list, from string) error {
	for _, p := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == '|' }) {
		p = strings.TrimSpace(p)
		switch p {
		case "", "direct":
			continue
		case "off":
			return nil
		}
		if !strings.Contains(p, "://") && !path.IsAbs(p) {
			p = "https://" + p // cmd/go/internal/modfetch takes a bare host so
		}
		if err := c.add(p, from); err != nil {
			return err
		}
	}
	return nil
}

// add reads one address of a client's setting.
func (c *client) add(raw, from string) error {
	b, err := newBase(raw, from, &c.credentials)
	if err != nil {
		return fmt.Errorf("read %s: %w", from, err)
	}
	// A client's address is no template; braces in it are what they are.
	b.URL = strings.NewReplacer("{", "%7B", "}", "%7D").Replace(b.URL)
	c.bases = append(c.bases, b)
	return nil
}

// parseGoEnv reads the KEY=value lines of a go/env file.
func parseGoEnv(data []byte) map[string]string {
	out := map[string]string{}
	scan := bufio.NewScanner(bytes.NewReader(data))
	for scan.Scan() {
		line := strings.TrimSpace(scan.Text())
		key, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		if _, twice := out[key]; !twice {
			out[key] = value
		}
	}
	return out
}
