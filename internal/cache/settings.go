package cache

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"headwater/internal/nix/narinfo"
)

// SettingsFormat is the version of caches.yaml that this program reads.
const SettingsFormat = 1

// MaxSettings is the largest caches.yaml that ParseSettings reads, in bytes.
const MaxSettings = 1 << 20

// Settings is caches.yaml: where builds may take what they need from, and whom they trust.
type Settings struct {
	Substituters []SubstituterSetting // asked in this order
}

// SubstituterSetting is one cache and its keys.
type SubstituterSetting struct {
	URL  string
	Keys []narinfo.PublicKey // without any, only what is content-addressed is taken
}

// SettingsError lists all that is wrong with a caches.yaml.
type SettingsError struct{ Problems []string }

func (e *SettingsError) Error() string {
	return "settings of caches are not valid:\n  " + strings.Join(e.Problems, "\n  ")
}

// ParseSettings reads a caches.yaml. The error is a *SettingsError.
func ParseSettings(data []byte) (Settings, error) {
	var file struct {
		Format       int `yaml:"caches"`
		Substituters []struct {
			URL  string   `yaml:"url"`
			Keys []string `yaml:"keys"`
		} `yaml:"substituters"`
	}
	if err := decode(data, &file); err != nil {
		return Settings{}, &SettingsError{[]string{err.Error()}}
	}
	var problems []string
	if file.Format != SettingsFormat {
		problems = append(problems, fmt.Sprintf("caches: is %d, this program reads format %d", file.Format, SettingsFormat))
	}
	var s Settings
	seen := map[string]bool{}
	for i, in := range file.Substituters {
		at := fmt.Sprintf("substituters[%d]", i)
		if c, err := Open(in.URL, Options{}); err != nil {
			problems = append(problems, fmt.Sprintf("%s.url: %v", at, err))
		} else if seen[c.Address()] {
			problems = append(problems, fmt.Sprintf("%s.url: %s stands there twice", at, c.Address()))
		} else {
			seen[c.Address()] = true
		}
		out := SubstituterSetting{URL: in.URL}
		for j, text := range in.Keys {
			k, err := narinfo.ParsePublicKey(text)
			if err != nil {
				problems = append(problems, fmt.Sprintf("%s.keys[%d]: %v", at, j, err))
			}
			out.Keys = append(out.Keys, k)
		}
		s.Substituters = append(s.Substituters, out)
	}
	if len(problems) > 0 {
		return Settings{}, &SettingsError{problems}
	}
	return s, nil
}

// decode reads one YAML document, strictly.
func decode(data []byte, into any) error {
	if len(data) > MaxSettings {
		return fmt.Errorf("%d bytes, more than %d", len(data), MaxSettings)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(into); err == io.EOF {
		return errors.New("the file is empty")
	} else if err != nil {
		return err
	}
	if err := dec.Decode(new(yaml.Node)); err != io.EOF {
		return errors.New("more than one YAML document in the file")
	}
	return nil
}
