package node

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"headwater/internal/artifact"
	"headwater/internal/lock"
	"headwater/internal/nix"
)

// Manager is a package manager, as told by the lock that it writes.
type Manager string

// The managers. Berry is yarn from 2 on: another program with another lock.
const (
	npm   Manager = "npm"
	pnpm  Manager = "pnpm"
	yarn  Manager = "yarn"
	berry Manager = "berry"
)

const (
	npmLockName  = "package-lock.json"
	pnpmLockName = "pnpm-lock.yaml"
	yarnLockName = "yarn.lock"
	modulesName  = "node_modules"
	manifestName = "package.json"
)

// command is the program's name.
func (m Manager) command() string {
	if m == berry {
		return "yarn"
	}
	return string(m)
}

// Locked is what a manager's lock says.
type Locked struct {
	Manager    Manager
	Artifacts  []lock.Artifact     // npm's: one a tarball, sorted, without duplicates
	Placed     map[string]nix.Hash // npm's: folder in node_modules → hash of its artifact (file names repeat across scopes)
	Missing    []Wanted            // npm's: what it asks the registry of when it installs the lock
	Packages   []Package           // others': sorted, without duplicates
	Workspaces []string            // folders of the workspace packages, sorted
	Folders    []string            // the node_modules folders that packages are placed in, outermost ones only, sorted
	Local      []string            // folders of packages that are copied out of the tree, sorted
}

// Wanted is a package of which no version is locked.
type Wanted struct {
	Name  string
	Range string // as package.json has it
}

// Package is one package of a lock other than npm's.
type Package struct {
	Name, Version string
	URL           string   // where the lock names an address
	Elsewhere     bool     // it is no registry's: URL is all that tells what it is
	Hash          nix.Hash // of the tarball; zero if the lock has none
	SHA1          string   // hexadecimal: the only hash that an old lock has
	Optional      bool     // every use of it is optional, and the lock does not say for which platform it is
}

// key tells packages apart.
func (p Package) key() string {
	if p.Elsewhere {
		return p.Name + " " + p.URL
	}
	return p.Name + " " + p.Version
}

// artifact is what is fetched for the package.
func (p Package) artifact() artifact.Artifact {
	if p.Elsewhere {
		file := path.Base(strings.TrimRight(strings.FieldsFunc(p.URL, func(r rune) bool { return r == '?' || r == '#' })[0], "/"))
		return artifact.Artifact{Ecosystem: artifact.URL, Name: p.Name, Version: p.Version, File: file, Hash: p.Hash, Hint: p.URL}
	}
	return artifact.Artifact{Ecosystem: artifact.NPM, Name: p.Name, Version: p.Version, File: path.Base(p.Name) + "-" + p.Version + ".tgz", Hash: p.Hash, Hint: p.URL}
}

// keyOf is the key of the package that an artifact is of.
func keyOf(a lock.Artifact) string {
	return Package{Name: a.Name, Version: a.Version, URL: a.Hint, Elsewhere: a.Ecosystem == artifact.URL}.key()
}

// finish sorts and makes an error of what is bad.
func (l *Locked) finish(file string, bad []error) error {
	for i := range l.Packages {
		p := &l.Packages[i]
		p.Elsewhere = p.URL != "" && !ofRegistry(p.URL, p.Name, p.Version)
		if !plainName(p.Name) || p.Version == "" || strings.ContainsAny(p.Version, "/\\ \n") && !p.Elsewhere {
			bad = append(bad, fmt.Errorf("%q at %q: is no package's name and version", p.Name, p.Version))
		}
		if p.Elsewhere && strings.ContainsAny(p.Version, "/\\: \n") { // an address again
			p.Version = "0"
		}
	}
	if len(bad) > 0 {
		texts := make([]string, len(bad))
		for i, b := range bad {
			texts[i] = b.Error()
		}
		return fmt.Errorf("read %s: %d packages cannot be pinned:\n  %s", file, len(bad), shortList(texts))
	}
	slices.SortStableFunc(l.Packages, func(a, b Package) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Version, b.Version), strings.Compare(a.URL, b.URL))
	})
	var errs []error
	l.Packages = slices.CompactFunc(l.Packages, func(a, b Package) bool {
		if a.key() == b.key() && a.Hash != b.Hash {
			errs = append(errs, fmt.Errorf("read %s: %s has two hashes", file, a.key()))
		}
		return a.key() == b.key()
	})
	for _, list := range []*[]string{&l.Workspaces, &l.Folders, &l.Local} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return errors.Join(errs...)
}

// ofRegistry tells whether an address is that of a registry's own tarball, whatever the host.
func ofRegistry(url, name, version string) bool {
	url, _, _ = strings.Cut(url, "#")
	url, _, _ = strings.Cut(url, "?")
	base := "/-/" + path.Base(name) + "-" + version + ".tgz"
	rest, ok := strings.CutSuffix(url, base)
	if !ok {
		return false
	}
	rest = strings.ReplaceAll(strings.ReplaceAll(rest, "%2f", "/"), "%2F", "/")
	return strings.HasSuffix(rest, "/"+name)
}

// plainName tells whether name is a package's: "a" or "@scope/a".
func plainName(name string) bool {
	scope, rest, scoped := strings.Cut(name, "/")
	if scoped != strings.HasPrefix(name, "@") {
		return false
	}
	plain := func(s string) bool {
		return s != "" && s[0] != '.' && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || strings.ContainsRune(`/\?#%"<>`, r) })
	}
	return plain(scope) && (!scoped || plain(rest) && len(scope) > 1)
}

func isHTTP(url string) bool {
	return strings.HasPrefix(url, "https://") || strings.HasPrefix(url, "http://")
}

// below tells whether a relative path is clean and stays below its folder.
func below(dir string) bool {
	return dir == "." || fs.ValidPath(dir)
}

// shortList is one thing a line, of many the first ones: a lock that another registry wrote has the same to say of all packages.
func shortList(texts []string) string {
	const most = 12
	more := ""
	if len(texts) > most {
		more = fmt.Sprintf("\n  … and %d more", len(texts)-most+1)
		texts = texts[:most-1]
	}
	return strings.Join(texts, "\n  ") + more
}
