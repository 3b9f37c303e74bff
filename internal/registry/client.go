package registry

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"path"
	"regexp"
	"strings"
)

// source is one way of finding what a client takes when nothing is set: a file of that client and the place in it.
type source struct {
	globs  []string // where the file is on a machine that has the client; "PATH" stands for each folder of PATH
	pkg    string   // Debian's package of the client, "" if it is not worth fetching
	file   string   // the file in pkg
	member string   // if the file is a zip archive: the file in it
	find   string   // a regular expression whose first group is the address
	suffix string   // appended to the address
}

// sources lists where a service's default stands in its client.
func sources(s Service) []source {
	switch s {
	case Go: // GOROOT/go.env, since Go 1.21
		return []source{{
			globs: []string{"PATH/../go.env", "/usr/local/go/go.env", "/usr/lib/go/go.env", "/usr/lib/go-*/go.env", "/usr/share/go-*/go.env",
				"HOME/sdk/go*/go.env", "HOME/go/pkg/mod/golang.org/toolchain@*/go.env"},
			find: `(?m)^GOPROXY=(https?://[^,|\s]+)`,
		}}
	case NPM:
		const rel = "node_modules/npm-registry-fetch/lib/default-opts.js"
		return []source{{
			globs: []string{"PATH/../lib/node_modules/npm/" + rel, "PATH/../share/nodejs/npm/" + rel},
			pkg:   "npm", file: "usr/share/nodejs/npm/" + rel,
			find: `registry: '(https?://[^']+)'`,
		}}
	case PyPI:
		const index, find = "pip/_internal/models/index.py", `(?m)^PyPI = PackageIndex\(\s*"(https?://[^"]+)"`
		return []source{
			{globs: []string{"PATH/../lib/python3*/site-packages/" + index, "/usr/lib/python3/dist-packages/" + index},
				find: find, suffix: "/simple"},
			// The wheel that Python itself brings along.
			{globs: []string{"PATH/../lib/python3*/ensurepip/_bundled/pip-*.whl", "/usr/share/python-wheels/pip-*.whl"},
				member: index, find: find, suffix: "/simple"},
			{pkg: "python3-pip", file: "usr/lib/python3/dist-packages/" + index, find: find, suffix: "/simple"},
		}
	case Maven: // the super POM
		return []source{{
			globs: []string{"PATH/../share/maven/lib/maven-model-builder-*.jar", "PATH/../lib/maven-model-builder-*.jar", "/usr/share/java/maven*-model-builder*.jar"},
			pkg:   "libmaven3-core-java", file: "usr/share/java/maven3-model-builder.jar",
			member: "org/apache/maven/model/pom-4.0.0.xml",
			find:   `<id>central</id>\s*<name>[^<]*</name>\s*<url>(https?://[^<]+)</url>`,
		}}
	case Cargo: // built into the program, which is larger than the settings that are read on this machine
		return []source{{pkg: "cargo", file: "usr/bin/cargo", find: `sparse\+(https://index\.[a-z.]+/)`}}
	case Debian:
		return []source{
			{globs: []string{"PATH/debootstrap"}, find: `(?m)^DEF_MIRROR="(https?://[^"$]+)"`},
			{globs: []string{"PATH/mmdebstrap"}, find: `\$mirror\s*=\s*'(https?://[^']+)'`},
		}
	case DebianSecurity:
		return []source{{globs: []string{"PATH/mmdebstrap"}, find: `\$secmirror\s*=\s*'(https?://[^']+)'`}}
	case Snapshot:
		return []source{{
			globs: []string{"/usr/share/devscripts/conf.default"}, pkg: "devscripts", file: "usr/share/devscripts/conf.default",
			find: `(?m)^#?\s*DEBSNAP_BASE_URL=(https?://\S+)`,
		}}
	}
	return nil
}

// finding marks the context of what is read to find a default.
type finding struct{}

// defaultOf is what the service's client takes when nothing is set. Where that is read out of a package, fetching the package may want
// another service's default, which would be read out of a package as well: that one stays unknown, or each would wait for the other.
func (r *Registry) defaultOf(ctx context.Context, s Service) ([]Base, error) {
	o := r.defaults[s]
	if o == nil {
		return nil, &UnknownError{Service: s}
	}
	within := ctx.Value(finding{}) != nil
	if !within {
		o.Lock()
	} else if !o.TryLock() {
		return nil, &UnknownError{Service: s}
	}
	defer o.Unlock()
	if !o.done {
		bases, err := r.findDefault(ctx, s, !within)
		if within && err != nil {
			return nil, err // a package may tell another time
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		o.bases, o.err, o.done = bases, err, true
	}
	return o.bases, o.err
}

// findDefault looks on the machine and, if it may, in packages.
func (r *Registry) findDefault(ctx context.Context, s Service, packages bool) ([]Base, error) {
	for _, src := range sources(s) {
		for _, name := range r.machine.expand(src.globs) {
			data, err := r.machine.read(name)
			if err != nil || data == nil {
				continue // not this user's to read: as good as not installed
			}
			if b, err := src.base(data, "default in "+r.machine.tilde(name)); err == nil {
				return []Base{b}, nil
			}
		}
	}
	if s == DebianSecurity {
		if beside, err := r.besideDebian(ctx); err == nil && len(beside) > 0 {
			return beside, nil
		}
	}
	unknown := &UnknownError{Service: s}
	for _, src := range sources(s) {
		if src.pkg == "" || r.options.ClientFile == nil || r.mirrors.only || !packages {
			continue
		}
		data, err := r.options.ClientFile(context.WithValue(ctx, finding{}, s), src.pkg, src.file)
		if err != nil {
			unknown.Cause = err
			continue
		}
		b, err := src.base(data, fmt.Sprintf("default in Debian's %s", src.pkg))
		if err == nil {
			return []Base{b}, nil
		}
		unknown.Cause = err
	}
	return nil, unknown
}

// besideDebian guesses the security archive from where the main one is.
func (r *Registry) besideDebian(ctx context.Context) ([]Base, error) {
	bases, err := r.Bases(ctx, Debian)
	return sibling(bases), err
}

// base reads the address out of the client's file.
func (s source) base(data []byte, from string) (Base, error) {
	if s.member != "" {
		var err error
		if data, err = zipMember(data, s.member); err != nil {
			return Base{}, fmt.Errorf("read %s: %w", from, err)
		}
	}
	found := regexp.MustCompile(s.find).FindSubmatch(data)
	if found == nil {
		return Base{}, fmt.Errorf("read %s: names no registry", from)
	}
	u, err := url.Parse(string(found[1]))
	if err != nil || u.Host == "" || u.User != nil {
		return Base{}, fmt.Errorf("read %s: names no registry", from)
	}
	return Base{URL: strings.TrimRight(u.String(), "/") + s.suffix, From: from}, nil
}

func zipMember(data []byte, name string) ([]byte, error) {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	f, err := z.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 1<<20))
}

// expand lists the files that globs match. PATH stands for each folder of PATH, HOME for the home folder.
func (m Machine) expand(globs []string) []string {
	var out []string
	for _, g := range globs {
		switch {
		case strings.HasPrefix(g, "PATH/"):
			for _, dir := range m.path() {
				out = append(out, m.glob(path.Join(dir, strings.TrimPrefix(g, "PATH/")))...)
			}
		case strings.HasPrefix(g, "HOME/"):
			if p := m.home(strings.TrimPrefix(g, "HOME/")); p != "" {
				out = append(out, m.glob(p)...)
			}
		default:
			out = append(out, m.glob(g)...)
		}
	}
	return out
}
