package node

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"headwater/internal/artifact"
	"headwater/internal/lock"
	"headwater/internal/nix"
)

// Platform says which optional packages are wanted, in npm's words.
type Platform struct {
	OS   string // "linux"
	CPU  string // "x64"
	Libc string // "glibc"
}

// npmLock is what this package reads of a package-lock.json, version 2 or 3 (npm documentation, package-lock.json).
type npmLock struct {
	LockfileVersion int                   `json:"lockfileVersion"`
	Packages        map[string]npmPackage `json:"packages"` // by folder relative to the lock; "" is the project
}

type npmPackage struct {
	Name      string   `json:"name"` // where it differs from the folder's: an alias
	Version   string   `json:"version"`
	Resolved  string   `json:"resolved"`
	Integrity string   `json:"integrity"`
	Link      bool     `json:"link"`
	InBundle  bool     `json:"inBundle"` // its bytes are inside the package that has it
	Optional  bool     `json:"optional"`
	OS        []string `json:"os"`
	CPU       []string `json:"cpu"`
	Libc      []string `json:"libc"`

	Dependencies map[string]string `json:"dependencies"`
}

// missing lists what optional packages of a lock need and the lock does not have, sorted. npm writes such locks, and when it installs
// them it asks the registry of these, to leave them out then.
func (l npmLock) missing(platform Platform) []Wanted {
	var out []Wanted
	for dir, p := range l.Packages {
		if !p.Optional || p.Link || p.InBundle || !platform.wants(p) {
			continue
		}
		for name, wanted := range p.Dependencies {
			w := Wanted{name, wanted}
			if plainName(name) && !l.resolves(dir, name) && !slices.Contains(out, w) {
				out = append(out, w)
			}
		}
	}
	slices.SortFunc(out, func(a, b Wanted) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Range, b.Range))
	})
	return out
}

// resolves tells whether a package in a folder finds another: in its own node_modules, or in those of the folders around it.
func (l npmLock) resolves(dir, name string) bool {
	for ; ; dir = path.Dir(dir) {
		if _, ok := l.Packages[path.Join(dir, modulesName, name)]; ok {
			return true
		}
		if dir == "" || dir == "." {
			return false
		}
	}
}

// ReadLock reads a package-lock.json without building or fetching anything. Packages that are optional and not for the
// platform are left out, as npm does. It reports all packages that cannot be pinned at once.
func ReadLock(data []byte, platform Platform) (*Locked, error) {
	var l npmLock
	if err := json.Unmarshal(data, &l); err != nil {
		return nil, fmt.Errorf("read package-lock.json: %w", err)
	}
	if l.LockfileVersion != 2 && l.LockfileVersion != 3 {
		return nil, fmt.Errorf("read package-lock.json: lockfileVersion %d; 2 and 3 are read: write it anew with npm 7 or later", l.LockfileVersion)
	}
	out := &Locked{Placed: map[string]nix.Hash{}, Missing: l.missing(platform)}
	var bad []string
	for _, dir := range slices.Sorted(maps.Keys(l.Packages)) {
		p := l.Packages[dir]
		modules := strings.LastIndex("/"+dir, "/node_modules/")
		if modules >= 0 {
			out.Folders = append(out.Folders, outermost(dir))
		}
		switch {
		case dir == "" || p.Link || p.InBundle:
			continue
		case modules < 0:
			out.Workspaces = append(out.Workspaces, dir)
			continue
		case p.Optional && !platform.wants(p):
			continue
		}
		a, err := pin(dir, cmp.Or(p.Name, dir[modules+len("node_modules/"):]), p)
		if err != nil {
			bad = append(bad, err.Error())
			continue
		}
		out.Artifacts = append(out.Artifacts, a)
		out.Placed[dir] = a.Hash
	}
	if len(bad) > 0 {
		return nil, fmt.Errorf("read package-lock.json: %d packages cannot be pinned:\n  %s", len(bad), shortList(bad))
	}
	slices.Sort(out.Folders)
	out.Folders = slices.Compact(out.Folders)
	slices.SortFunc(out.Artifacts, func(a, b lock.Artifact) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Version, b.Version), strings.Compare(a.Hint, b.Hint))
	})
	// One version of a package may stand in several folders; it is one download.
	out.Artifacts = slices.CompactFunc(out.Artifacts, func(a, b lock.Artifact) bool {
		return a.Name == b.Name && a.Version == b.Version && a.Hash == b.Hash
	})
	return out, nil
}

// outermost is the first node_modules folder on the way to dir.
func outermost(dir string) string {
	i := strings.Index("/"+dir, "/node_modules/")
	return dir[:i+len("node_modules")]
}

// pin turns one entry of the lock into an artifact.
func pin(dir, name string, p npmPackage) (lock.Artifact, error) {
	if path.Clean(dir) != dir || strings.HasPrefix(dir, "../") || path.IsAbs(dir) {
		return lock.Artifact{}, fmt.Errorf("%q: is not a clean path below the lock", dir)
	}
	if strings.HasPrefix(p.Resolved, "git") {
		return lock.Artifact{}, fmt.Errorf("%s: comes from git (%s), which has no hash in the lock", dir, p.Resolved)
	}
	if p.Version == "" || p.Integrity == "" {
		return lock.Artifact{}, fmt.Errorf("%s: no version or no integrity", dir)
	}
	hash, err := strongest(p.Integrity)
	if err != nil {
		return lock.Artifact{}, fmt.Errorf("%s: %w", dir, err)
	}
	a := lock.Artifact{Ecosystem: artifact.NPM, Name: name, Version: p.Version, File: path.Base(name) + "-" + p.Version + ".tgz", Hash: hash}
	if strings.HasPrefix(p.Resolved, "https://") || strings.HasPrefix(p.Resolved, "http://") {
		a.Hint = p.Resolved
	}
	return a, nil
}

// strongest picks the best hash of a Subresource Integrity list (W3C SRI, section 3.3.4).
func strongest(integrity string) (nix.Hash, error) {
	words := strings.Fields(integrity)
	for _, algo := range []string{"sha512", "sha256", "sha1"} {
		for _, w := range words {
			if strings.HasPrefix(w, algo+"-") {
				w, _, _ = strings.Cut(w, "?") // options mean nothing yet
				return nix.ParseHash("", w)
			}
		}
	}
	return nix.Hash{}, fmt.Errorf("integrity %q has no hash of a known kind", integrity)
}

// wants tells whether npm would install p here. A list names what is allowed, or with "!" what is not.
func (pl Platform) wants(p npmPackage) bool {
	return allowed(p.OS, pl.OS) && allowed(p.CPU, pl.CPU) && allowed(p.Libc, pl.Libc)
}

func allowed(list []string, have string) bool {
	named := false
	for _, entry := range list {
		no, negated := strings.CutPrefix(entry, "!")
		if negated && no == have {
			return false
		}
		if !negated {
			named = true
			if entry == have || entry == "any" {
				return true
			}
		}
	}
	return !named
}
