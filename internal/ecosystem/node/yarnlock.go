package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// yarnEntry is one entry of a yarn.lock of yarn 1.
type yarnEntry struct {
	patterns []string          // "a@^1.0.0"
	fields   map[string]string // version, resolved, integrity
	deps     map[string]string // name → range
	optional map[string]string
}

// ReadYarn reads a yarn.lock of yarn 1. It does not say which platforms packages are for: those that are used optionally alone are
// marked so. declared are the patterns ("a@^1.0.0") that the project's manifests have among their optionalDependencies.
func ReadYarn(data []byte, declared []string) (*Locked, error) {
	entries, err := parseYarn(string(data))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", yarnLockName, err)
	}
	optional := optionalPatterns(entries, declared)
	out := &Locked{Manager: yarn, Folders: []string{modulesName}}
	var bad []error
	for _, e := range entries {
		p, local, err := e.pin()
		switch {
		case err != nil:
			bad = append(bad, fmt.Errorf("%s: %w", e.patterns[0], err))
		case local != "":
			out.Local = append(out.Local, local)
		default:
			p.Optional = !slices.ContainsFunc(e.patterns, func(s string) bool { return !optional[s] })
			out.Packages = append(out.Packages, p)
		}
	}
	return out, out.finish(yarnLockName, bad)
}

// parseYarn reads the format: entries without indentation, their fields indented by two, fields of those by four.
func parseYarn(text string) ([]yarnEntry, error) {
	var entries []yarnEntry
	var into map[string]string
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, "\r\n")
		body := strings.TrimLeft(line, " ")
		indent := len(line) - len(body)
		if body == "" || body[0] == '#' {
			continue
		}
		list, err := yarnWords(body)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		block := len(list) > 0 && list[len(list)-1] == ":"
		switch {
		case indent == 0 && block && len(list) > 1:
			entries = append(entries, yarnEntry{list[:len(list)-1], map[string]string{}, map[string]string{}, map[string]string{}})
			into = nil
		case len(entries) == 0:
			return nil, fmt.Errorf("line %d: is no entry of yarn 1", number)
		case indent == 2 && block && len(list) == 2:
			e := entries[len(entries)-1]
			into = map[string]map[string]string{"dependencies": e.deps, "optionalDependencies": e.optional}[list[0]]
			if into == nil {
				into = map[string]string{} // of no concern here
			}
		case indent == 2 && len(list) == 2:
			entries[len(entries)-1].fields[list[0]] = list[1]
			into = nil
		case indent == 4 && len(list) == 2 && into != nil:
			into[list[0]] = list[1]
		default:
			return nil, fmt.Errorf("line %d: %q is not understood", number, body)
		}
	}
	return entries, nil
}

// yarnWords splits a line into its words, quoted ones as JSON has them; a colon at the end is a word of its own.
func yarnWords(s string) ([]string, error) {
	var out []string
	for s = strings.TrimLeft(s, " ,"); s != ""; s = strings.TrimLeft(s, " ,") {
		if s == ":" {
			return append(out, ":"), nil
		}
		if s[0] != '"' {
			end := strings.IndexAny(s, " ,")
			if end < 0 {
				end = len(s)
			}
			word := s[:end]
			if rest := s[end:]; rest == "" && strings.HasSuffix(word, ":") {
				return append(out, strings.TrimSuffix(word, ":"), ":"), nil
			}
			out, s = append(out, word), s[end:]
			continue
		}
		end := 1
		for end < len(s) && s[end] != '"' {
			if s[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(s) {
			return nil, errors.New("a quotation mark is not closed")
		}
		var word string
		if err := json.Unmarshal([]byte(s[:end+1]), &word); err != nil {
			return nil, err
		}
		out, s = append(out, word), s[end+1:]
	}
	return out, nil
}

// optionalPatterns are the patterns that only optionalDependencies of other packages name. (An optional dependency is listed among
// "dependencies" too by some versions; the list of optional ones then decides.)
func optionalPatterns(entries []yarnEntry, declared []string) map[string]bool {
	out, needed := map[string]bool{}, map[string]bool{}
	for _, pattern := range declared {
		out[pattern] = true
	}
	for _, e := range entries {
		for name, version := range e.optional {
			out[name+"@"+version] = true
		}
		for name, version := range e.deps {
			if _, also := e.optional[name]; !also {
				needed[name+"@"+version] = true
			}
		}
	}
	maps.DeleteFunc(out, func(pattern string, _ bool) bool { return needed[pattern] })
	return out
}

// pin tells which package an entry is of, or which folder of the tree it is copied from.
func (e yarnEntry) pin() (p Package, local string, err error) {
	name, spec, ok := splitPattern(e.patterns[0])
	if !ok {
		return p, "", errors.New("is no package's name and version")
	}
	if alias, ok := strings.CutPrefix(spec, "npm:"); ok {
		if real, _, ok := splitPattern(alias); ok {
			name = real
		} else if alias != "" {
			name = alias
		}
	}
	p = Package{Name: name, Version: e.fields["version"]}
	resolved, fragment, _ := strings.Cut(e.fields["resolved"], "#")
	if dir, ok := strings.CutPrefix(spec, "file:"); ok && resolved == "" {
		dir = strings.TrimPrefix(dir, "./")
		if !below(dir) {
			return p, "", fmt.Errorf("its folder %q is not below the lock", dir)
		}
		return p, dir, nil
	}
	switch {
	case p.Version == "":
		return p, "", errors.New("no version")
	case strings.HasPrefix(resolved, "git") || strings.HasSuffix(resolved, ".git"):
		return p, "", fmt.Errorf("comes from git (%s), which has no hash in the lock and is no archive", e.fields["resolved"])
	case !isHTTP(resolved):
		return p, "", fmt.Errorf("resolved %q has no address of http or https", resolved)
	}
	p.URL = resolved
	if integrity := e.fields["integrity"]; integrity != "" {
		p.Hash, err = strongest(integrity)
	} else if len(fragment) == 40 {
		p.SHA1 = fragment
	}
	return p, "", err
}

// splitPattern splits "a@^1.0.0".
func splitPattern(pattern string) (name, spec string, ok bool) {
	i := strings.Index(pattern[min(1, len(pattern)):], "@")
	if i < 0 {
		return pattern, "", false
	}
	return pattern[:i+1], pattern[i+2:], true
}

// berryEntry is one entry of a yarn.lock of yarn 2 or later.
type berryEntry struct {
	Version    string `yaml:"version"`
	Resolution string `yaml:"resolution"`
	Conditions string `yaml:"conditions"`
}

// ReadBerry reads a yarn.lock of yarn 2 or later. Its checksums are of archives that yarn makes, so the tarballs' hashes are not in
// it; yarn compares its own when it installs.
func ReadBerry(data []byte, platform Platform) (*Locked, error) {
	var entries map[string]yaml.Node
	if err := yaml.Unmarshal(data, &entries); err != nil {
		return nil, fmt.Errorf("read %s: %w", yarnLockName, err)
	}
	if _, ok := entries["__metadata"]; !ok {
		return nil, fmt.Errorf("read %s: has no __metadata", yarnLockName)
	}
	delete(entries, "__metadata")
	out := &Locked{Manager: berry, Folders: []string{modulesName}}
	var bad []error
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		var e berryEntry
		n := entries[key]
		err := n.Decode(&e)
		if err == nil {
			err = e.add(out, platform)
		}
		if err != nil {
			bad = append(bad, fmt.Errorf("%s: %w", key, err))
		}
	}
	return out, out.finish(yarnLockName, bad)
}

// add adds what an entry needs.
func (e berryEntry) add(out *Locked, platform Platform) error {
	name, ref, ok := splitPattern(e.Resolution)
	protocol, rest, hasProtocol := strings.Cut(ref, ":")
	if !ok || !hasProtocol {
		return fmt.Errorf("resolution %q is not understood", e.Resolution)
	}
	rest, params, _ := strings.Cut(rest, "::")
	switch protocol {
	case "workspace":
		if !below(rest) {
			return fmt.Errorf("its folder %q is not below the lock", rest)
		}
		if rest != "." {
			out.Workspaces = append(out.Workspaces, rest)
			out.Folders = append(out.Folders, rest+"/"+modulesName)
		}
		return nil
	case "patch", "link", "portal", "exec":
		return nil // of files of the tree, or of a package that has its own entry
	case "file":
		dir, _, _ := strings.Cut(strings.TrimPrefix(rest, "./"), "#")
		if !below(dir) {
			return fmt.Errorf("its folder %q is not below the lock", rest)
		}
		out.Local = append(out.Local, dir)
		return nil
	case "npm":
	default:
		return fmt.Errorf("comes from %s, which has no hash in the lock and no registry", ref)
	}
	wanted, err := platform.meets(e.Conditions)
	if err != nil || !wanted {
		return err
	}
	p := Package{Name: name, Version: rest}
	values, err := url.ParseQuery(params)
	if err != nil {
		return err
	}
	if p.URL = values.Get("__archiveUrl"); p.URL != "" && !isHTTP(p.URL) {
		return fmt.Errorf("its archive %q has no address of http or https", p.URL)
	}
	out.Packages = append(out.Packages, p)
	return nil
}

// meets tells whether conditions hold: "os=linux & (cpu=x64 | cpu=arm64) & libc=glibc".
func (pl Platform) meets(conditions string) (bool, error) {
	have := map[string]string{"os": pl.OS, "cpu": pl.CPU, "libc": pl.Libc}
	if conditions == "" {
		return true, nil
	}
	for all := range strings.SplitSeq(conditions, "&") {
		met := false
		for one := range strings.SplitSeq(strings.Trim(all, " ()"), "|") {
			key, value, ok := strings.Cut(strings.TrimSpace(one), "=")
			is, known := have[key]
			if !ok || !known {
				return false, fmt.Errorf("condition %q is not understood", conditions)
			}
			met = met || is == value
		}
		if !met {
			return false, nil
		}
	}
	return true, nil
}
