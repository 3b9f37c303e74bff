package registry

import (
	"encoding/base64"
	"net/url"
	"path"
	"strings"
)

// credential is one Authorization header and where it may be sent.
type credential struct {
	scheme string // "https" or "http"
	host   string // with the port if one is set; compared without case
	path   string // the URL's path must be it or lie below it; "" for any
	header string
}

// credentials picks the header for a URL.
type credentials []credential

// add notes a header for all of u's host that is at or below a path.
func (c *credentials) add(u *url.URL, below, header string) {
	if header != "" && (u.Scheme == "https" || u.Scheme == "http") {
		*c = append(*c, credential{u.Scheme, hostport(u), strings.TrimSuffix(below, "/"), header})
	}
}

// find is the header of the most exact entry, "" if none fits.
func (c credentials) find(u *url.URL) string {
	best, header := -1, ""
	at := path.Clean("/" + u.Path) // "prefix/../elsewhere" is elsewhere
	for _, e := range c {
		if e.scheme != u.Scheme || e.host != hostport(u) || len(e.path) <= best {
			continue
		}
		if e.path == "" || at == e.path || strings.HasPrefix(at, e.path+"/") {
			best, header = len(e.path), e.header
		}
	}
	return header
}

// hostport is the host and port that a URL leads to, in lower case.
func hostport(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return strings.ToLower(u.Hostname()) + ":" + port
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// takeUser moves the user part of a setting's URL into the credentials, for the URL's whole host, as pip and Go do.
func (c *credentials) takeUser(u *url.URL) {
	if u.User == nil {
		return
	}
	password, _ := u.User.Password()
	c.add(u, "", basic(u.User.Username(), password))
	u.User = nil
}

// netrc is one machine of a netrc file.
type netrc struct{ host, login, password string }

// parseNetrc reads a netrc file (GNU inetutils, "The .netrc file"). Macros are skipped. What is no netrc gives what was
// understood: curl, git and Go do the same, and a credential too few is told by the registry's 401.
func parseNetrc(data []byte) []netrc {
	var out []netrc
	inMacro := false
	for line := range strings.Lines(string(data)) {
		if inMacro {
			inMacro = strings.TrimSpace(line) != ""
			continue
		}
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		words := strings.Fields(line)
		for i := 0; i < len(words); i++ {
			word, value := words[i], ""
			if i+1 < len(words) {
				value = words[i+1]
			}
			switch {
			case word == "default":
				// It would send a password to every host that a lock names; Go ignores it too.
				out = append(out, netrc{})
				continue
			case word == "macdef":
				inMacro, i = true, len(words)
			case word == "machine":
				out = append(out, netrc{host: strings.ToLower(value)})
			case len(out) == 0:
			case word == "login":
				out[len(out)-1].login = value
			case word == "password":
				out[len(out)-1].password = value
			}
			i++
		}
	}
	return out
}

// netrcHeader is the header for u of the first machine that fits, for https alone.
func netrcHeader(machines []netrc, u *url.URL) string {
	if u.Scheme != "https" {
		return ""
	}
	for _, m := range machines {
		if m.host != "" && m.host == strings.ToLower(u.Hostname()) && (m.login != "" || m.password != "") {
			return basic(m.login, m.password)
		}
	}
	return ""
}
