package plan

import (
	"cmp"
	"encoding/json"
	"path"
	"regexp"
	"slices"
	"strings"

	"headwater/internal/nix"
	"headwater/internal/toml"
)

// identity names the service and its release: as the operator says, else as the tree does.
func (a *assembly) identity(o Options, x *candidate, c *composed) {
	name, e := o.Name, Evidence{Rule: "as the operator says"}
	if name == "" {
		name, e = a.serviceName(x, c)
	}
	a.recipe.Name = storeName(name, "service")
	a.prove("name", e)
	release, e := o.Release, Evidence{Rule: "as the operator says"}
	if release == "" {
		release, e = a.releaseOf(x, c)
	}
	if release == "" {
		a.Notes.Ask(Question{About: "release", Ask: "no manifest, no image and no compose file says which release this is"})
	}
	a.recipe.Release = storeName(strings.TrimPrefix(release, "v"), "0")
	a.prove("release", e)
	a.labels(o)
}

// The labels that every image of a service should have (image-spec, annotations.md).
const (
	imageLabels   = "org.opencontainers.image."
	labelSource   = imageLabels + "source"
	labelRevision = imageLabels + "revision"
	labelLicences = imageLabels + "licenses"
)

// labels are what the image says of itself, and where its source is from. What differs with each making of an image, and what the recipe says
// by itself, is left out.
func (a *assembly) labels(o Options) {
	labels := map[string]string{}
	put := func(name, value string, e Evidence) {
		if value = strings.TrimSpace(value); value == "" || labels[name] != "" || strings.ContainsAny(value, "$\x00\n") {
			return
		}
		if name != labelLicences || licencePattern.MatchString(value) && !strings.EqualFold(value, "UNLICENSED") {
			labels[name] = value
			a.prove("package.labels."+name, e)
		}
	}
	put(labelSource, o.URL, Evidence{Rule: "the repository that was named"})
	put(labelRevision, o.Revision, Evidence{Rule: "the commit that was named"})
	for name, value := range a.stage.Config.Labels {
		short, ok := strings.CutPrefix(name, imageLabels)
		if ok && !slices.Contains([]string{"title", "version", "revision", "created", "ref.name", "base.name", "base.digest"}, short) {
			put(name, value, a.stage.Config.Evidence["label "+name])
		}
	}
	for _, m := range manifests() {
		if data, err := a.Tree.Read(m.file); err == nil {
			put(labelLicences, m.read(data).licence, Evidence{File: m.file})
		}
	}
	if len(labels) > 0 {
		a.recipe.Package.Labels = labels
	}
}

// licencePattern is an SPDX expression, or at least no sentence.
var licencePattern = regexp.MustCompile(`^\(?[A-Za-z0-9.+-]+\)?( (AND|OR|WITH) \(?[A-Za-z0-9.+-]+\)?)*$`)

// storeName makes a name that store paths allow.
func storeName(s, otherwise string) string {
	s = strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("+-._?=", r) {
			return r
		}
		return '-'
	}, s), "-.")
	if nix.CheckName(s) != nil {
		return otherwise
	}
	return s
}

// generic are names that say nothing of whose they are.
func generic(name string) bool {
	return slices.Contains([]string{"", "server", "app", "web", "backend", "api", "main", "image", "service", "latest", "src", "v2", "v3", "v4", "v5", "core", "root", "monorepo", "docker-entrypoint", "entrypoint", "run", "start", "bootstrap", "init", "node", "python", "sh", "bash"}, strings.ToLower(name))
}

func (a *assembly) serviceName(x *candidate, c *composed) (string, Evidence) {
	const title = "org.opencontainers.image.title"
	if v := a.stage.Config.Labels[title]; v != "" && !strings.Contains(v, " ") {
		return strings.ToLower(v), a.stage.Config.Evidence["label "+title]
	}
	for _, n := range c.ours {
		image := interpolate(c.file.Services[n].Image, known(nil))
		for _, name := range []string{repository(image), path.Base(path.Dir(strings.SplitN(image, ":", 2)[0]))} {
			if !generic(name) && name != "." {
				return name, c.file.evidence(n, "image")
			}
		}
	}
	for _, p := range x.places {
		for _, t := range p.tags {
			owner := path.Base(path.Dir(strings.SplitN(t, ":", 2)[0]))
			for _, name := range []string{repository(t), owner} {
				if !generic(name) && variant(name) == "" && name != "." {
					return name, p.evidence
				}
			}
		}
	}
	for _, m := range manifests() {
		if data, err := a.Tree.Read(m.file); err == nil {
			if name := m.read(data).name; !generic(name) {
				return name, Evidence{File: m.file}
			}
		}
	}
	if cmd := a.recipe.Package.Command; len(cmd) > 0 && !generic(ComponentName(path.Base(cmd[0]))) {
		return ComponentName(path.Base(cmd[0])), Evidence{Rule: "the command"}
	}
	return "service", Evidence{Rule: "nothing names it"}
}

func (a *assembly) releaseOf(x *candidate, c *composed) (string, Evidence) {
	for _, m := range manifests() {
		if data, err := a.Tree.Read(m.file); err == nil {
			if version := m.read(data).version; releasePattern.MatchString(version) && version != "0.0.0" {
				return version, Evidence{File: m.file}
			}
		}
	}
	for _, n := range c.ours {
		if _, tag, ok := strings.Cut(path.Base(interpolate(c.file.Services[n].Image, known(nil))), ":"); ok && releasePattern.MatchString(tag) {
			return tag, c.file.evidence(n, "image")
		}
	}
	for _, f := range []string{"VERSION", "version.txt", ".version"} {
		if data, err := a.Tree.Read(f); err == nil && releasePattern.MatchString(strings.TrimSpace(string(data))) {
			return strings.TrimSpace(string(data)), Evidence{File: f, Line: 1}
		}
	}
	for _, k := range []string{"VERSION", "APP_VERSION"} {
		for _, s := range x.image.stages {
			if v := s.args[k]; releasePattern.MatchString(v) {
				return v, Evidence{File: x.image.name, Line: s.Evidence.Line, Rule: "argument " + k}
			}
		}
	}
	return "", Evidence{}
}

var releasePattern = regexp.MustCompile(`^v?[0-9]+\.[0-9]+(\.[0-9]+)?([-+.][0-9A-Za-z.+-]+)?$`)

// manifest is a file that names what a tree is.
type manifest struct {
	file string
	read func(data []byte) named
}

// named is what a manifest says of the tree, "" where it says nothing.
type named struct{ name, version, licence string }

// manifests are those at the top of a tree, most telling first.
func manifests() []manifest {
	text := func(v any) string {
		if m, ok := v.(map[string]any); ok {
			v = m["text"] // a licence of PEP 621, before PEP 639
		}
		s, _ := v.(string)
		return s
	}
	return []manifest{
		{"pyproject.toml", func(data []byte) named {
			type project struct {
				Name, Version string
				License       any
			}
			var m struct {
				Project project
				Tool    struct{ Poetry project }
			}
			if toml.Unmarshal(data, &m) != nil {
				return named{}
			}
			of := m.Project
			if of.Name == "" {
				of = m.Tool.Poetry
			}
			return named{of.Name, of.Version, cmp.Or(text(m.Project.License), text(m.Tool.Poetry.License))}
		}},
		{"Cargo.toml", func(data []byte) named {
			type pkg struct{ Name, Version, License any }
			var m struct {
				Package   pkg
				Workspace struct {
					Package struct {
						Version string
						License any
					}
				}
			}
			if toml.Unmarshal(data, &m) != nil {
				return named{}
			}
			whole := m.Workspace.Package
			return named{text(m.Package.Name), cmp.Or(text(m.Package.Version), whole.Version), cmp.Or(text(m.Package.License), text(whole.License))}
		}},
		{"package.json", func(data []byte) named {
			var m struct {
				Name, Version string
				License       any
			}
			if json.Unmarshal(data, &m) != nil {
				return named{}
			}
			return named{path.Base(m.Name), m.Version, text(m.License)}
		}},
		{"go.mod", func(data []byte) named {
			name := moduleName(data)
			if name == "" {
				return named{}
			}
			if generic(path.Base(name)) && strings.Contains(name, "/") {
				name = path.Dir(name)
			}
			return named{name: path.Base(name)}
		}},
	}
}

// names are those that the manifests at the top have for what the tree is, in lower case.
func (t *Tree) names() []string {
	known, _ := t.Once("names", func() (any, error) {
		var out []string
		for _, m := range manifests() {
			if data, err := t.Read(m.file); err == nil {
				if name := strings.ToLower(m.read(data).name); !generic(name) && !slices.Contains(out, name) {
					out = append(out, name)
				}
			}
		}
		return out, nil
	})
	return known.([]string)
}

var (
	modulePattern = regexp.MustCompile(`(?m)^module\s+"?([^\s"]+)`)
	majorPattern  = regexp.MustCompile(`^v[0-9]+$`)
)

// moduleName is a Go module's path without its major version, "" if its go.mod has none.
func moduleName(data []byte) string {
	m := modulePattern.FindSubmatch(data)
	if m == nil {
		return ""
	}
	name := string(m[1])
	if majorPattern.MatchString(path.Base(name)) {
		name = path.Dir(name)
	}
	return name
}
