package registry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MirrorsFormat is the version of registries.yaml that this package reads.
const MirrorsFormat = 1

// Mirrors is registries.yaml, the operator's own settings. It is looked for at $HEADWATER_REGISTRIES, then
// ~/.config/headwater/registries.yaml ($XDG_CONFIG_HOME), then /etc/headwater/registries.yaml; the first that exists counts.
//
//	registries: 1
//	only: true                                   # ask nothing but what this file names; default false
//	content: [https://cache.example/by-hash]     # by hash alone: <address>/sha256/<hex>, as Nix's hashed-mirrors
//	go: [https://forge.example/api/packages/acme/go]
//	npm: ["https://reader:${FORGE_TOKEN}@forge.example/api/packages/acme/npm"]
//	npm-scopes:
//	  "@acme": [https://forge.example/api/packages/acme/npm]
//	pypi: [https://forge.example/api/packages/acme/pypi/simple]
//	maven: [https://cache.example/maven]
//	cargo: [https://cache.example/crates-index]
//	debian: [http://deb.example/debian]
//	debian-security: [http://deb.example/debian-security]
//	snapshot: [https://snapshot.example]         # serves <address>/archive/debian/<timestamp>/…
//	plain-redirects: [old.example]               # hosts whose redirects from https to http are followed
//	fulcio: https://fulcio.example               # who certifies keys, and who says what time it is, where images are
//	timestamp: https://time.example/api/v1/timestamp # signed without a key of one's own; see Registry.Authority
//
// Addresses are tried in the order they stand in. Each is https, http or file (or an absolute path: a folder), and stands for the
// base of a registry in its ecosystem's own layout. One with placeholders is the whole address instead:
// {name}, {version}, {file}, {path} (the ecosystem's own layout below its base), {algo} and {hash} (base 16), each escaped.
// ${NAME} is replaced by that environment variable, which must be set.
type Mirrors struct {
	Format         int                 `yaml:"registries"`
	Only           bool                `yaml:"only"`
	Content        []string            `yaml:"content"`
	Go             []string            `yaml:"go"`
	NPM            []string            `yaml:"npm"`
	NPMScopes      map[string][]string `yaml:"npm-scopes"`
	PyPI           []string            `yaml:"pypi"`
	Maven          []string            `yaml:"maven"`
	Cargo          []string            `yaml:"cargo"`
	Debian         []string            `yaml:"debian"`
	DebianSecurity []string            `yaml:"debian-security"`
	Snapshot       []string            `yaml:"snapshot"`
	PlainRedirects []string            `yaml:"plain-redirects"`
	Fulcio         string              `yaml:"fulcio"`
	Timestamp      string              `yaml:"timestamp"`
}

// SettingsError says that the operator's registries.yaml is not right.
type SettingsError struct {
	File string
	Err  error
}

func (e *SettingsError) Error() string { return "read " + e.File + ": " + e.Err.Error() }

// Unwrap gives the cause.
func (e *SettingsError) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *SettingsError) Hint() string { return "see docs/registries.md for what the file may hold" }

// ParseMirrors reads a registries.yaml. Unknown keys are errors.
func ParseMirrors(data []byte) (*Mirrors, error) {
	m := new(Mirrors)
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(m); err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	if err := dec.Decode(new(yaml.Node)); err != io.EOF {
		return nil, errors.New("parse: more than one YAML document in the file")
	}
	if m.Format != MirrorsFormat {
		return nil, fmt.Errorf("parse: format %d (key \"registries\"), this program reads %d", m.Format, MirrorsFormat)
	}
	for scope := range m.NPMScopes {
		if !strings.HasPrefix(scope, "@") || strings.Contains(scope, "/") {
			return nil, fmt.Errorf("parse: npm-scopes: %q is not a scope, like \"@acme\"", scope)
		}
	}
	return m, nil
}

// list is what the file says of a service.
func (m *Mirrors) list(s Service) []string {
	switch s {
	case Content:
		return m.Content
	case Go:
		return m.Go
	case NPM:
		return m.NPM
	case PyPI:
		return m.PyPI
	case Maven:
		return m.Maven
	case Cargo:
		return m.Cargo
	case Debian:
		return m.Debian
	case DebianSecurity:
		return m.DebianSecurity
	case Snapshot:
		return m.Snapshot
	}
	return nil
}

// mirrors is the file, with its variables filled in and its credentials taken out.
type mirrors struct {
	only        bool
	bases       map[Service][]Base
	scopes      map[string][]Base
	plain       []string
	authorities map[Authority]Base
	credentials credentials
}

// readMirrors finds, reads and checks the operator's file. All that is wrong with it is told at once.
func readMirrors(m Machine) (*mirrors, error) {
	out := &mirrors{bases: map[Service][]Base{}, scopes: map[string][]Base{}, authorities: map[Authority]Base{}}
	explicit := m.env("HEADWATER_REGISTRIES")
	for _, name := range []string{explicit, m.config("headwater", "registries.yaml"), "/etc/headwater/registries.yaml"} {
		data, err := m.read(name)
		if err != nil {
			return nil, err
		}
		if data == nil && name == explicit && name != "" {
			return nil, &SettingsError{name, errors.New("does not exist, though HEADWATER_REGISTRIES names it")}
		}
		if data == nil {
			continue
		}
		file, err := ParseMirrors(data)
		if err != nil {
			return nil, &SettingsError{name, err}
		}
		if err := out.fill(m, file, name); err != nil {
			return nil, &SettingsError{name, err}
		}
		return out, nil
	}
	return out, nil
}

func (o *mirrors) fill(m Machine, file *Mirrors, name string) error {
	var problems []error
	bases := func(key string, raw []string) (out []Base) {
		for i, r := range raw {
			from := fmt.Sprintf("%s[%d] in %s", key, i, m.tilde(name))
			base, err := o.base(m, r, from)
			if err != nil {
				problems = append(problems, fmt.Errorf("%s[%d] %w", key, i, err))
				continue
			}
			out = append(out, base)
		}
		return out
	}
	for _, s := range services() {
		o.bases[s] = bases(string(s), file.list(s))
	}
	for scope, raw := range file.NPMScopes {
		o.scopes[scope] = bases("npm-scopes."+scope, raw)
	}
	for _, a := range []struct {
		name Authority
		raw  string
	}{{Fulcio, file.Fulcio}, {Timestamp, file.Timestamp}} {
		if a.raw == "" {
			continue
		}
		known := len(o.credentials)
		base, err := o.base(m, a.raw, fmt.Sprintf("%s in %s", a.name, m.tilde(name)))
		switch {
		case err != nil:
		case base.template():
			err = errors.New("has a placeholder")
		case a.name == Fulcio && len(o.credentials) > known:
			err = errors.New("has credentials, and is asked with an identity token")
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("%s %w", a.name, err))
			continue
		}
		o.authorities[a.name] = base
	}
	o.only, o.plain = file.Only, slices.Clone(file.PlainRedirects)
	return errors.Join(problems...)
}

// base reads one address.
func (o *mirrors) base(m Machine, raw, from string) (Base, error) {
	var unset []string
	whole := strings.HasPrefix(raw, "${") // a variable that holds an address is taken as it is
	raw = regexp.MustCompile(`\$\{[A-Za-z_][A-Za-z0-9_]*\}`).ReplaceAllStringFunc(raw, func(ref string) string {
		value := m.env(ref[2 : len(ref)-1])
		if value == "" {
			unset = append(unset, ref)
		}
		if whole {
			whole = false
			return value
		}
		return url.PathEscape(value)
	})
	if unset != nil {
		return Base{}, fmt.Errorf("%s is not set", strings.Join(unset, ", "))
	}
	base, err := newBase(raw, from, &o.credentials)
	if err != nil {
		return Base{}, err
	}
	return base, base.checkTemplate()
}

// newBase reads an address of a setting and moves its user part to the credentials.
func newBase(raw, from string, c *credentials) (Base, error) {
	// Braces would be escaped by String.
	const open, shut = "HEADWATER-OPEN", "HEADWATER-SHUT"
	u, err := parseURL(strings.NewReplacer("{", open, "}", shut).Replace(strings.TrimSpace(raw)))
	if err != nil {
		return Base{}, err
	}
	if strings.Contains(u.Host, open) || strings.Contains(u.Host, shut) {
		return Base{}, errors.New("has braces in its host") // a lock must not choose whom to ask
	}
	c.takeUser(u)
	u.Fragment, u.RawFragment = "", ""
	b := Base{URL: strings.NewReplacer(open, "{", shut, "}").Replace(u.String()), From: from}
	if (u.RawQuery != "" || u.ForceQuery) && !b.template() {
		return Base{}, errors.New("has a query, so nothing can be appended to it")
	}
	b.URL = strings.TrimRight(b.URL, "/")
	return b, nil
}
