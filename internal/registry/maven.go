package registry

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
)

// mavenSettings is the part of settings.xml that is about repositories (Maven, "Settings Reference").
type mavenSettings struct {
	Mirrors []struct {
		ID       string `xml:"id"`
		MirrorOf string `xml:"mirrorOf"`
		URL      string `xml:"url"`
		Blocked  bool   `xml:"blocked"`
	} `xml:"mirrors>mirror"`
	Servers []struct {
		ID       string `xml:"id"`
		Username string `xml:"username"`
		Password string `xml:"password"`
	} `xml:"servers>server"`
	Profiles []struct {
		ID         string `xml:"id"`
		Activation struct {
			Default bool `xml:"activeByDefault"`
		} `xml:"activation"`
		Repositories []struct {
			ID  string `xml:"id"`
			URL string `xml:"url"`
		} `xml:"repositories>repository"`
	} `xml:"profiles>profile"`
	Active []string `xml:"activeProfiles>activeProfile"`
}

// readMaven reads the user's settings.xml, then the installation's: mirrors of central, and repositories of active profiles.
func readMaven(m Machine) (*client, error) {
	c := new(client)
	names := []string{m.home(".m2", "settings.xml")}
	for _, v := range []string{"MAVEN_HOME", "M2_HOME"} {
		if dir := m.env(v); dir != "" {
			names = append(names, path.Join(dir, "conf/settings.xml"))
		}
	}
	names = append(names, "/etc/maven/settings.xml", "/usr/share/maven/conf/settings.xml")
	for _, name := range names {
		data, err := m.read(name)
		if err != nil {
			return nil, err
		}
		if data == nil {
			continue
		}
		s, err := parseMavenSettings(data)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		if err := c.mavenSettings(m, s, m.tilde(name)); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func parseMavenSettings(data []byte) (*mavenSettings, error) {
	s := new(mavenSettings)
	dec := xml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(s); err != nil {
		return nil, fmt.Errorf("not a settings.xml: %w", err)
	}
	return s, nil
}

func (c *client) mavenSettings(m Machine, s *mavenSettings, name string) error {
	add := func(id, raw, kind string) error {
		if err := c.add(expandMaven(raw, m), fmt.Sprintf("%s %q in %s", kind, id, name)); err != nil {
			return err
		}
		u, err := url.Parse(c.bases[len(c.bases)-1].URL)
		if err != nil {
			return nil
		}
		for _, server := range s.Servers {
			// "{…}" is encrypted with a key that only Maven reads.
			if server.ID == id && server.Username != "" && !strings.HasPrefix(server.Password, "{") {
				c.credentials.add(u, u.Path, basic(expandMaven(server.Username, m), expandMaven(server.Password, m)))
			}
		}
		return nil
	}
	for _, mirror := range s.Mirrors {
		if mirror.Blocked || !mirrorsCentral(mirror.MirrorOf) {
			continue
		}
		c.set = true
		if err := add(mirror.ID, mirror.URL, "mirror"); err != nil {
			return err
		}
	}
	for _, p := range s.Profiles {
		if !p.Activation.Default && !slices.Contains(s.Active, p.ID) {
			continue
		}
		for _, r := range p.Repositories {
			c.set = c.set || r.ID == "central"
			if err := add(r.ID, r.URL, "repository"); err != nil {
				return err
			}
		}
	}
	return nil
}

// mirrorsCentral tells whether a mirrorOf pattern takes in the repository "central" (Maven, "Using Mirrors for Repositories").
func mirrorsCentral(pattern string) bool {
	found := false
	for word := range strings.SplitSeq(pattern, ",") {
		switch strings.TrimSpace(word) {
		case "!central":
			return false
		case "central", "*", "external:*":
			found = true
		}
	}
	return found
}

// expandMaven fills in ${env.NAME} and ${user.home}.
func expandMaven(s string, m Machine) string {
	var out strings.Builder
	for {
		before, after, ok := strings.Cut(s, "${")
		name, rest, closed := strings.Cut(after, "}")
		if !ok || !closed {
			return out.String() + s
		}
		out.WriteString(before)
		if v, isEnv := strings.CutPrefix(name, "env."); isEnv {
			out.WriteString(m.env(v))
		} else if name == "user.home" {
			out.WriteString(m.Home)
		}
		s = rest
	}
}
