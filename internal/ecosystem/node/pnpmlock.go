package node

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// pnpmLock is what this package reads of a pnpm-lock.yaml, version 6 or 9. Keys of packages are "/name@1.0.0(peers)" in the former,
// "name@1.0.0" in the latter; where a package is no registry's, the part after the @ is an address.
type pnpmLock struct {
	LockfileVersion string `yaml:"lockfileVersion"`
	Importers       map[string]struct {
		ConfigDependencies map[string]yaml.Node `yaml:"configDependencies"`
	} `yaml:"importers"`
	Packages  map[string]pnpmPackage `yaml:"packages"`
	Snapshots map[string]struct {
		Optional bool `yaml:"optional"`
	} `yaml:"snapshots"`
}

type pnpmPackage struct {
	Resolution struct {
		Integrity string `yaml:"integrity"`
		Tarball   string `yaml:"tarball"`
		Type      string `yaml:"type"`
		Directory string `yaml:"directory"`
		Repo      string `yaml:"repo"`
		Commit    string `yaml:"commit"`
	} `yaml:"resolution"`
	Name     string `yaml:"name"`
	Version  string `yaml:"version"`
	Optional bool   `yaml:"optional"`
	OS       words  `yaml:"os"`
	CPU      words  `yaml:"cpu"`
	Libc     words  `yaml:"libc"`
}

// ReadPnpm reads a pnpm-lock.yaml. Packages that are optional and not for the platform are left out, as pnpm does. It reports all
// packages that cannot be pinned at once.
func ReadPnpm(data []byte, platform Platform) (*Locked, error) {
	l, err := parsePnpm(data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", pnpmLockName, err)
	}
	out := &Locked{Manager: pnpm}
	for _, dir := range slices.Sorted(maps.Keys(l.Importers)) {
		if !below(dir) {
			return nil, fmt.Errorf("read %s: importer %q is not below the lock", pnpmLockName, dir)
		}
		if dir != "." {
			out.Workspaces = append(out.Workspaces, dir)
		}
		out.Folders = append(out.Folders, path.Join(dir, modulesName))
	}
	if len(out.Folders) == 0 { // the short form of a project alone
		out.Folders = []string{modulesName}
	}
	optional := l.optional()
	var bad []error
	for _, key := range slices.Sorted(maps.Keys(l.Packages)) {
		p := l.Packages[key]
		if (p.Optional || optional[key]) && !platform.wants(npmPackage{OS: p.OS, CPU: p.CPU, Libc: p.Libc}) {
			continue
		}
		if p.Resolution.Type == "directory" || p.Resolution.Directory != "" {
			if !below(p.Resolution.Directory) {
				bad = append(bad, fmt.Errorf("%s: its folder %q is not below the lock", key, p.Resolution.Directory))
			}
			out.Local = append(out.Local, path.Clean(p.Resolution.Directory))
			continue
		}
		pkg, err := p.pin(key)
		if err != nil {
			bad = append(bad, fmt.Errorf("%s: %w", key, err))
			continue
		}
		out.Packages = append(out.Packages, pkg)
	}
	return out, errors.Join(out.finish(pnpmLockName, bad))
}

// parsePnpm reads the documents of the file: where there are two, the first is of pnpm's own and its configuration's packages.
func parsePnpm(data []byte) (pnpmLock, error) {
	var all pnpmLock
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var l pnpmLock
		err := dec.Decode(&l)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return all, err
		}
		if major, _, _ := strings.Cut(l.LockfileVersion, "."); major != "6" && major != "9" {
			return all, fmt.Errorf("lockfileVersion %q; 6 and 9 are read: write it anew with pnpm 8 or later", l.LockfileVersion)
		}
		configures := slices.ContainsFunc(slices.Collect(maps.Values(all.Importers)), func(i struct {
			ConfigDependencies map[string]yaml.Node `yaml:"configDependencies"`
		}) bool {
			return len(i.ConfigDependencies) > 0
		})
		if l.Packages == nil {
			l.Packages = map[string]pnpmPackage{}
		}
		if configures {
			maps.Copy(l.Packages, all.Packages)
		}
		all = l
	}
	if all.LockfileVersion == "" {
		return all, errors.New("it is empty")
	}
	return all, nil
}

// optional are the keys of packages of which every use is optional.
func (l pnpmLock) optional() map[string]bool {
	out, needed := map[string]bool{}, map[string]bool{}
	for key, s := range l.Snapshots {
		name, _, _ := strings.Cut(key, "(")
		if s.Optional {
			out[name] = true
		} else {
			needed[name] = true
		}
	}
	maps.DeleteFunc(out, func(name string, _ bool) bool { return needed[name] })
	return out
}

func (p pnpmPackage) pin(key string) (Package, error) {
	name, version := pnpmKey(key)
	pkg := Package{Name: cmp.Or(p.Name, name), Version: cmp.Or(p.Version, version)}
	r := p.Resolution
	if r.Type == "git" || r.Commit != "" {
		return pkg, fmt.Errorf("comes from git (%s at %s), which has no hash in the lock and is no archive", r.Repo, r.Commit)
	}
	if r.Type != "" {
		return pkg, fmt.Errorf("its resolution is of type %q, which is not known", r.Type)
	}
	if r.Tarball != "" {
		pkg.URL = r.Tarball
		if !isHTTP(pkg.URL) {
			return pkg, fmt.Errorf("its tarball %q has no address of http or https", pkg.URL)
		}
	}
	if r.Integrity == "" {
		if r.Tarball == "" {
			return pkg, errors.New("no integrity and no tarball")
		}
		return pkg, nil
	}
	var err error
	pkg.Hash, err = strongest(r.Integrity)
	return pkg, err
}

// pnpmKey splits a key into name and version.
func pnpmKey(key string) (name, version string) {
	key = strings.TrimPrefix(key, "/")
	key, _, _ = strings.Cut(key, "(")
	if i := strings.Index(key[min(1, len(key)):], "@"); i >= 0 {
		return key[:i+1], key[i+2:]
	}
	return key, ""
}
