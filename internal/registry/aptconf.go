package registry

import (
	"net/url"
	"strings"
)

// readAptProxies reads Acquire::http::Proxy and Acquire::https::Proxy (apt.conf(5), apt-transport-http(1)): a caching proxy for
// packages is often set there and nowhere else. The keys are schemes.
func readAptProxies(m Machine) (map[string]string, error) {
	out := map[string]string{}
	files := append(m.glob("/etc/apt/apt.conf.d/*"), "/etc/apt/apt.conf") // apt reads them in this order, later ones count
	for _, name := range files {
		data, err := m.read(name)
		if err != nil {
			return nil, err
		}
		for _, e := range parseAptConf(string(data)) {
			switch strings.ToLower(e.key) {
			case "acquire::http::proxy":
				out["http"] = e.value
			case "acquire::https::proxy":
				out["https"] = e.value
			}
		}
	}
	return out, nil
}

// parseAptConf lists the values of an apt.conf, keys joined by "::", in both ways of writing them:
// Acquire::http::Proxy "x"; and Acquire { http { Proxy "x"; }; };
func parseAptConf(text string) []iniEntry {
	var out []iniEntry
	var scope, words []string // words of the statement so far
	for _, token := range aptTokens(text) {
		switch token {
		case "{":
			scope, words = append(scope, strings.Join(words, "")), nil
		case "}":
			scope, words = scope[:max(0, len(scope)-1)], nil
		case ";":
			if len(words) >= 2 {
				key := strings.Join(append(append([]string{}, scope...), words[0]), "::")
				out = append(out, iniEntry{key: key, value: words[1]})
			}
			words = nil
		default:
			words = append(words, strings.TrimPrefix(token, `"`))
		}
	}
	return out
}

// aptTokens splits an apt.conf into braces, semicolons, words and quoted strings; these keep their opening quote, so that
// none of them is taken for a brace.
func aptTokens(text string) []string {
	var out []string
	for text != "" {
		switch {
		case strings.ContainsRune(" \t\r\n", rune(text[0])):
			text = text[1:]
		case strings.HasPrefix(text, "/*"):
			_, text, _ = strings.Cut(text[2:], "*/")
		case strings.HasPrefix(text, "//"), text[0] == '#':
			_, text, _ = strings.Cut(text, "\n")
		case strings.ContainsRune("{};", rune(text[0])):
			out, text = append(out, text[:1]), text[1:]
		case text[0] == '"':
			var quoted string
			quoted, text, _ = strings.Cut(text[1:], `"`)
			out = append(out, `"`+quoted)
		default:
			end := strings.IndexAny(text, " \t\r\n{};\"")
			if end < 0 {
				end = len(text)
			}
			out, text = append(out, text[:end]), text[end:]
		}
	}
	return out
}

// aptProxy is the proxy that apt would use for u, and whether it is set at all: "DIRECT" is a nil proxy that is set.
func aptProxy(proxies map[string]string, u *url.URL) (proxy *url.URL, set bool) {
	value := proxies[u.Scheme]
	if value == "" && u.Scheme == "https" {
		value = proxies["http"]
	}
	if value == "" {
		return nil, false
	}
	if strings.EqualFold(value, "DIRECT") || strings.EqualFold(value, "false") {
		return nil, true
	}
	p, err := url.Parse(value)
	if err != nil || p.Host == "" {
		return nil, false
	}
	return p, true
}
