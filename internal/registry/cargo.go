package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"

	"github.com/BurntSushi/toml"

	"headwater/internal/artifact"
)

// cargoConfig is the part of cargo's config.toml that is about where crates come from (The Cargo Book, "Source Replacement").
type cargoConfig struct {
	Source map[string]struct {
		ReplaceWith   string `toml:"replace-with"`
		Registry      string `toml:"registry"`
		LocalRegistry string `toml:"local-registry"`
	} `toml:"source"`
	Registries map[string]struct {
		Index string `toml:"index"`
	} `toml:"registries"`
}

// readCargo follows the replacement of crates-io to the sparse registry, or the folder of .crate files, that stands for it.
// Cargo's own default is built into its program, see client.go.
func readCargo(m Machine) (*client, error) {
	home := m.env("CARGO_HOME")
	if home == "" {
		home = m.home(".cargo")
	}
	c := new(client)
	for _, base := range []string{"config.toml", "config"} {
		if home == "" {
			continue
		}
		name := path.Join(home, base)
		data, err := m.read(name)
		if err != nil {
			return nil, err
		}
		var f cargoConfig
		if _, err := toml.Decode(string(data), &f); err != nil {
			return nil, fmt.Errorf("read %s: not TOML: %w", name, err)
		}
		if err := c.cargoSource(f, m.tilde(name)); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *client) cargoSource(f cargoConfig, name string) error {
	at := "crates-io"
	for range len(f.Source) + 1 { // so that a loop ends
		s := f.Source[at]
		index := s.Registry
		if index == "" {
			index = f.Registries[at].Index
		}
		from := fmt.Sprintf("source %q in %s", at, name)
		switch {
		case s.ReplaceWith != "":
			at = s.ReplaceWith
			continue
		case strings.HasPrefix(index, "sparse+"):
			c.set = true
			return c.add(strings.TrimPrefix(index, "sparse+"), from)
		case s.LocalRegistry != "":
			if !path.IsAbs(s.LocalRegistry) {
				return nil
			}
			c.set = true
			if err := c.add(s.LocalRegistry, from); err != nil {
				return err
			}
			c.bases[len(c.bases)-1].Flat = true
		}
		return nil
	}
	return nil
}

// findCrate reads a registry's config.json (The Cargo Book, "Index Format") and makes the address of a .crate.
func findCrate(d Document, a artifact.Artifact) (string, error) {
	var config struct {
		DL string `json:"dl"`
	}
	if err := json.Unmarshal(d.Body, &config); err != nil {
		return "", fmt.Errorf("parse config.json: %w", err)
	}
	if config.DL == "" {
		return "", errors.New("parse config.json: no dl")
	}
	dl := config.DL
	if !strings.Contains(dl, "{") {
		dl += "/{crate}/{version}/download"
	}
	sum := ""
	if a.Hash.Algo() == "sha256" {
		sum = a.Hash.Base16()
	}
	dl = strings.NewReplacer(
		"{crate}", url.PathEscape(a.Name), "{version}", url.PathEscape(a.Version), "{prefix}", strings.TrimSuffix(cratePrefix(a.Name), "/"),
		"{lowerprefix}", strings.TrimSuffix(cratePrefix(strings.ToLower(a.Name)), "/"), "{sha256-checksum}", sum,
	).Replace(dl)
	return resolve(d.URL, dl)
}

// cratePrefix is the folder of a crate in an index, with a slash at its end.
func cratePrefix(name string) string {
	name = url.PathEscape(name)
	switch len(name) {
	case 0, 1, 2:
		return fmt.Sprintf("%d/", len(name))
	case 3:
		return "3/" + name[:1] + "/"
	}
	return name[:2] + "/" + name[2:4] + "/"
}

// resolve makes an address in a document absolute. Only https, http and, in a local document, file addresses come out.
func resolve(base, ref string) (string, error) {
	b, err := url.Parse(base)
	if err != nil {
		return "", errors.New("the document's address does not parse")
	}
	u, err := b.Parse(ref)
	if err != nil {
		return "", errors.New("an address in the document does not parse")
	}
	if u.Scheme != "https" && u.Scheme != "http" && (u.Scheme != "file" || b.Scheme != "file") {
		return "", fmt.Errorf("the document names an address with scheme %q", u.Scheme)
	}
	if u.Scheme != "file" && u.Host == "" {
		return "", errors.New("the document names an address without a host")
	}
	if u.Scheme == "http" && b.Scheme == "https" {
		return "", errors.New("the document, got over https, names an address without TLS")
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	return u.String(), nil
}
