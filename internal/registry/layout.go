package registry

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/module"

	"headwater/internal/artifact"
)

// layout says where an ecosystem's registry keeps one thing.
type layout struct {
	path   string // escaped, below the base
	flat   string // escaped file name, for bases that are flat; "" if the thing is in no flat folder
	find   func(Document) (string, error)
	accept string // of the document that find reads, or of the thing itself
}

// below is where the thing is at a base. It reports false if the base cannot have it.
func (l layout) below(b Base, a artifact.Artifact) (Address, bool) {
	address := Address{From: b.From, Accept: l.accept}
	local := strings.HasPrefix(b.URL, "file:")
	switch {
	case b.template():
		address.URL, address.Accept = b.expand(a, l.path), ""
		return address, address.URL != ""
	case b.Flat && local, local && l.find != nil:
		// A folder of files needs no index.
		address.URL, address.Accept = b.join(l.flat), ""
		return address, l.flat != ""
	case b.Flat:
		address.URL, address.Find = b.URL, l.find
		return address, l.find != nil
	}
	address.URL, address.Find = b.join(l.path), l.find
	return address, true
}

// layoutOf is where an artifact is.
func layoutOf(a artifact.Artifact) (layout, error) {
	l, err := findLayout(a)
	if err != nil {
		return layout{}, fmt.Errorf("find address of %s: %w", a.Ref(), err)
	}
	return l, nil
}

func findLayout(a artifact.Artifact) (layout, error) {
	if a.Ecosystem == artifact.URL {
		if _, ok := hintOf(a); !ok && a.Hash.IsZero() {
			return layout{}, errors.New("it is named by address alone, and has no address of http or https")
		}
		return layout{}, nil
	}
	if err := checkPath(a.File); err != nil {
		return layout{}, fmt.Errorf("file %w", err)
	}
	if err := checkPath(a.Name); err != nil {
		return layout{}, fmt.Errorf("name %w", err)
	}
	switch a.Ecosystem {
	case artifact.Go:
		return goLayout(a)
	case artifact.NPM:
		return layout{path: escape(a.Name) + "/-/" + escape(a.File), flat: escape(a.File)}, nil
	case artifact.PyPI:
		return layout{
			path: NormalizeName(a.Name) + "/", flat: escape(a.File), accept: acceptSimple,
			find: func(d Document) (string, error) { return findSimple(d, a) },
		}, nil
	case artifact.Maven:
		return mavenLayout(a, a.Version+"/"+a.File)
	case artifact.Cargo:
		return layout{
			path: "config.json", flat: escape(a.File), accept: "application/json",
			find: func(d Document) (string, error) { return findCrate(d, a) },
		}, nil
	case artifact.Debian:
		if s := ServiceOf(a); s != Debian && s != DebianSecurity || !strings.Contains(a.File, "/") {
			return layout{}, fmt.Errorf("file %q does not begin with debian/ or debian-security/", a.File)
		}
		_, rel, _ := strings.Cut(a.File, "/")
		return layout{path: escape(rel)}, nil
	}
	return layout{}, fmt.Errorf("unknown ecosystem %q", a.Ecosystem)
}

// indexLayout is where the description of a name's versions is.
func indexLayout(eco artifact.Ecosystem, name string) (layout, error) {
	if err := checkPath(name); err != nil {
		return layout{}, fmt.Errorf("find index of %s %q: name %w", eco, name, err)
	}
	l, err := findIndex(eco, name)
	if err != nil {
		return layout{}, fmt.Errorf("find index of %s %s: %w", eco, name, err)
	}
	return l, nil
}

func findIndex(eco artifact.Ecosystem, name string) (layout, error) {
	switch eco {
	case artifact.Go:
		p, err := module.EscapePath(name)
		return layout{path: p + "/@v/list"}, err
	case artifact.NPM:
		// The abbreviated form has all that resolving needs and is a tenth of the size (npm registry, package-metadata.md).
		const accept = "application/vnd.npm.install-v1+json, application/json;q=0.8"
		return layout{path: strings.ReplaceAll(escape(name), "/", "%2f"), accept: accept}, nil
	case artifact.PyPI:
		return layout{path: NormalizeName(name) + "/", accept: acceptSimple}, nil
	case artifact.Maven:
		return mavenLayout(artifact.Artifact{Name: name}, "maven-metadata.xml")
	case artifact.Cargo:
		name = strings.ToLower(name)
		return layout{path: cratePrefix(name) + escape(name), accept: "text/plain"}, nil
	}
	return layout{}, errors.New("this ecosystem has no index by name")
}

// goLayout is that of the GOPROXY protocol (Go Modules Reference, "GOPROXY protocol").
func goLayout(a artifact.Artifact) (layout, error) {
	p, err := module.EscapePath(a.Name)
	if err != nil {
		return layout{}, err
	}
	v, err := module.EscapeVersion(a.Version)
	if err != nil {
		return layout{}, err
	}
	for _, ext := range []string{".zip", ".mod", ".info"} {
		if strings.HasSuffix(a.File, ext) {
			// The protocol's own escape character is left alone, though it could be escaped as well.
			return layout{path: p + "/@v/" + strings.ReplaceAll(escape(v), "%21", "!") + ext}, nil
		}
	}
	return layout{}, fmt.Errorf("file %q is no .zip, .mod or .info", a.File)
}

// mavenLayout is Maven's repository layout, "maven2".
func mavenLayout(a artifact.Artifact, rest string) (layout, error) {
	group, name, ok := strings.Cut(a.Name, ":")
	if !ok || group == "" || name == "" || strings.ContainsAny(name, ":/") {
		return layout{}, fmt.Errorf("name %q is not group:artifact", a.Name)
	}
	rel := strings.ReplaceAll(group, ".", "/") + "/" + name + "/" + rest
	if err := checkPath(rel); err != nil {
		return layout{}, err
	}
	return layout{path: escape(rel)}, nil
}
