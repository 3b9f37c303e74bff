package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/spf13/cobra"

	"headwater/internal/cache"
	"headwater/internal/event"
	"headwater/internal/nix/narinfo"
	"headwater/internal/registry"
	"headwater/internal/store"
)

// cacheChoice are the flags that say which caches a build may take things from, beside those of caches.yaml.
type cacheChoice struct {
	substituters []string
	keys         []string
	none         bool
}

func (c *cacheChoice) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&c.substituters, "substituter", nil, "a binary cache to take from what others built, before those of caches.yaml; may be repeated")
	f.StringArrayVar(&c.keys, "trusted-key", nil, trustedKeyUsage)
	f.BoolVar(&c.none, "no-substitute", false, "build everything here")
}

const trustedKeyUsage = "NAME:BASE64, a public key whose signatures are trusted, beside those of caches.yaml; may be repeated"

// cachesFile is where a user's settings of caches are.
func (a *app) cachesFile() string {
	return filepath.Join(a.xdg("XDG_CONFIG_HOME", ".config"), "caches.yaml")
}

// cacheSettings reads caches.yaml. Where there is none, no cache is used.
func (a *app) cacheSettings() (cache.Settings, error) {
	data, err := os.ReadFile(a.cachesFile())
	if errors.Is(err, fs.ErrNotExist) {
		return cache.Settings{}, nil
	}
	if err != nil {
		return cache.Settings{}, err
	}
	s, err := cache.ParseSettings(data)
	if err != nil {
		return s, &inputError{fmt.Errorf("%s: %w", a.cachesFile(), err), "docs/caches.md describes the file"}
	}
	return s, nil
}

// openSubstituter makes a substituter of the flags' caches and the settings'; nil if there are none.
func (a *app) openSubstituter(s *store.Store, reg *registry.Registry, c cacheChoice, events event.Sink) (*cache.Substituter, error) {
	all, keys, err := a.chosenCaches(c)
	if err != nil {
		return nil, err
	}
	var sources []cache.Source
	seen := map[string]bool{}
	for _, set := range all {
		opened, err := cache.Open(set.URL, a.cacheOptions(reg))
		if err != nil {
			return nil, err
		}
		if !seen[opened.Address()] {
			seen[opened.Address()] = true
			sources = append(sources, cache.Source{Cache: opened, Keys: append(set.Keys, keys...)})
		}
	}
	if len(sources) == 0 {
		return nil, nil
	}
	return cache.NewSubstituter(s, sources, cache.PullOptions{Events: events}), nil
}

// chosenCaches are the flags' caches and the settings', with keys that all are trusted with.
func (a *app) chosenCaches(c cacheChoice) (all []cache.SubstituterSetting, keys []narinfo.PublicKey, err error) {
	if c.none {
		if len(c.substituters) > 0 {
			return nil, nil, &usageError{errors.New("--no-substitute and --substituter contradict each other")}
		}
		return nil, nil, nil
	}
	settings, err := a.cacheSettings()
	if err != nil {
		return nil, nil, err
	}
	if keys, err = parseKeys(c.keys); err != nil {
		return nil, nil, err
	}
	all = settings.Substituters
	for i := len(c.substituters) - 1; i >= 0; i-- {
		all = append([]cache.SubstituterSetting{{URL: c.substituters[i], Keys: keysOf(settings, c.substituters[i])}}, all...)
	}
	return all, keys, nil
}

// keysOf are the keys that the settings have for a cache.
func keysOf(s cache.Settings, address string) []narinfo.PublicKey {
	for _, set := range s.Substituters {
		if cache.Redact(set.URL) == cache.Redact(address) {
			return set.Keys
		}
	}
	return nil
}

func parseKeys(texts []string) ([]narinfo.PublicKey, error) {
	var keys []narinfo.PublicKey
	for _, text := range texts {
		k, err := narinfo.ParsePublicKey(text)
		if err != nil {
			return nil, &usageError{fmt.Errorf("--trusted-key: %w", err)}
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// cacheOptions reach caches as this machine's clients reach what they do: with its proxies and its netrc.
func (a *app) cacheOptions(reg *registry.Registry) cache.Options {
	return cache.Options{
		Agent: "headwater/" + version(), Proxy: reg.Proxy,
		Authorize: func(u *url.URL) (string, error) { return reg.Authorization(u) }, Credentials: s3Credentials,
	}
}

// s3Credentials are those that this machine's other clients of S3 have: of the environment, the shared credentials file, single
// sign-on, or what the machine itself is given. The library that knows these places reads the environment by itself.
func s3Credentials(ctx context.Context, profile string) (aws.CredentialsProvider, error) {
	var options []func(*config.LoadOptions) error
	if profile != "" {
		options = append(options, config.WithSharedConfigProfile(profile))
	}
	c, err := config.LoadDefaultConfig(ctx, options...)
	return c.Credentials, err
}

func (a *app) openRegistry(o registry.Options) (*registry.Registry, error) {
	return registry.Open(registry.Machine{Env: a.getenv, Home: a.getenv("HOME"), Root: os.DirFS("/")}, o)
}
