package golang

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"

	"headwater/internal/artifact"
	"headwater/internal/ecosystem"
	"headwater/internal/lock"
)

// toolchainModule is the module whose versions are Go's distributions (Go Toolchains, "Downloading toolchains").
const toolchainModule = "golang.org/toolchain"

// parallel is how many files are asked for at once.
const parallel = 16

// Golang is the ecosystem "go".
type Golang struct{}

// New makes it.
func New() Golang { return Golang{} }

// Name implements ecosystem.Ecosystem.
func (Golang) Name() string { return "go" }

// Toolchains implements ecosystem.Toolchainer.
func (Golang) Toolchains() []string { return []string{"go"} }

// LockToolchain implements ecosystem.Toolchainer. Of "1.26" the newest release is pinned that the proxy has. No upstream file has the
// sum of a toolchain, so what the proxy serves is taken, if it is a well-formed zip of that version.
func (Golang) LockToolchain(ctx context.Context, _, version string, net ecosystem.Network) ([]lock.Artifact, error) {
	if rangePattern.MatchString(version) {
		var err error
		if version, err = newest(ctx, version, net); err != nil {
			return nil, err
		}
	}
	if err := checkVersion(version); err != nil {
		return nil, err
	}
	v := module.Version{Path: toolchainModule, Version: toolchainPrefix + version + toolchainSuffix}
	file, got, err := net.Get(ctx, artifact.Artifact{Ecosystem: artifact.Go, Name: v.Path, Version: v.Version, File: v.Version + ".zip"})
	if err != nil {
		return nil, err
	}
	if _, err := zip.CheckZip(v, file); err != nil {
		return nil, fmt.Errorf("check %s: %w", v, err)
	}
	return []lock.Artifact{locked(got)}, nil
}

// rangePattern is a language version, "1.26", or a major one, "1": the newest release of it is meant.
var rangePattern = regexp.MustCompile(`^1(\.[0-9]+)?$`)

// A toolchain's version as the proxy spells it (Go Toolchains, "Go versions").
const (
	toolchainPrefix = "v0.0.1-go"
	toolchainSuffix = ".linux-amd64"
)

// toolchainVersion is Go's own version in that of a toolchain module.
func toolchainVersion(v string) (string, bool) {
	v, ok := strings.CutPrefix(v, toolchainPrefix)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(v, toolchainSuffix)
}

// newest is the newest release within a range that the proxy has.
func newest(ctx context.Context, wanted string, net ecosystem.Network) (string, error) {
	list, err := net.Index(ctx, artifact.Go, toolchainModule)
	if err != nil {
		return "", err
	}
	best, later := "", ""
	for _, line := range strings.Fields(string(list)) {
		v, ok := toolchainVersion(line)
		if !ok || checkVersion(v) != nil || strings.Contains(v, "rc") {
			continue
		}
		if compareGo(v, wanted) > 0 && (later == "" || compareGo(v, later) < 0) {
			later = v
		}
		if !strings.HasPrefix(v, wanted+".") {
			continue
		}
		if best == "" || compareGo(v, best) > 0 {
			best = v
		}
	}
	if best == "" {
		if later != "" {
			return "", fmt.Errorf("the proxy has no release of Go %s; the first later one that it has is %s, which the recipe's toolchains may name", wanted, later)
		}
		return "", fmt.Errorf("the proxy has no release of Go %s", wanted)
	}
	return best, nil
}

// Lock implements ecosystem.Ecosystem: it pins all that the component's go.sum files name.
func (Golang) Lock(ctx context.Context, r ecosystem.LockRequest) (lock.Component, error) {
	o, err := parseOptions(r.Component)
	if err != nil {
		return lock.Component{}, err
	}
	goVersion, noted, err := lockGo(ctx, r)
	if err != nil {
		return lock.Component{}, err
	}
	m, err := readModules(r.Source, r.Component, o)
	if err != nil {
		return lock.Component{}, err
	}
	if m.Go != "" && compareGo(m.Go, goVersion) > 0 {
		return lock.Component{}, fmt.Errorf("the modules ask for Go %s, the toolchain is Go %s", m.Go, goVersion)
	}
	if len(r.Root.Paths) > 0 {
		// What is in its paths, building tells.
	} else if err := checkRoot(r.Root, o.Cgo, r.Component.Env["CC"]); err != nil {
		return lock.Component{}, err
	}
	known := known(r.Previous.Artifacts)
	trust := m.sumsUnchanged(r.Previous)
	before, err := readData(r.Previous)
	if err != nil {
		return lock.Component{}, err
	}
	list := make([]lock.Artifact, len(m.Sums))
	others := make([]string, len(m.Sums))
	err = artifact.Each(ctx, len(list), parallel, func(ctx context.Context, i int) (err error) {
		s := m.Sums[i]
		defer func() {
			if m.Left[s.Module] && errors.As(err, new(artifact.Gone)) {
				list[i], err = lock.Artifact{}, nil // most likely nothing needs it; what does, the go command says
			}
		}()
		named, err := s.artifact()
		if err != nil {
			return err
		}
		by, _ := r.Replacing(named)
		want, err := m.standIn(s, by)
		if err != nil {
			return err
		}
		a, err := want.artifact()
		if err != nil {
			return err
		}
		instead := lock.Instead{Sum: s.Hash}
		if want.Module != s.Module {
			instead.Version = s.Module.Version
		}
		old, ok := known[a.Ref()]
		ok = ok && old.By == by && (instead.Version == "" && old.Instead == lock.Instead{} || old.Instead == instead && before.Sums[s.line()] != "")
		if ok && trust {
			list[i], others[i] = old, before.Sums[s.line()]
			return nil
		}
		if ok && old.Instead == (lock.Instead{}) {
			if list[i], _, err = s.get(ctx, old.Artifact(), r.Network); err == nil {
				list[i].By = by
				return nil
			}
			// The sum is another now, and so is what a proxy serves.
		}
		list[i], others[i], err = want.get(ctx, a, r.Network)
		var mismatch *MismatchError
		if errors.As(err, &mismatch) && (by.Elsewhere() || want.Hash == "") {
			list[i].Instead = instead
			err = nil
		}
		list[i].By = by
		if err != nil || instead.Version == "" {
			return err
		}
		list[i].Instead = instead
		if s.GoMod {
			return m.needs(ctx, r, list[i])
		}
		return nil
	})
	if err != nil {
		return lock.Component{}, err
	}
	noted.Sums, noted.Versions = map[string]string{}, map[string]string{}
	stands := map[string]bool{} // what stands in for something may be in go.sum itself
	for i, s := range m.Sums {
		if list[i].Instead == (lock.Instead{}) {
			continue
		}
		noted.Sums[s.line()] = others[i]
		if list[i].Instead.Version != "" {
			noted.Versions[s.line()] = list[i].Version
			stands[list[i].Artifact().Ref()] = true
		}
	}
	list = slices.DeleteFunc(list, func(a lock.Artifact) bool {
		return a.Hash.IsZero() || a.Instead == (lock.Instead{}) && stands[a.Artifact().Ref()]
	})
	data, err := noted.marshal()
	return lock.Component{Artifacts: list, Data: data}, err
}

// sumsUnchanged tells whether a previous lock was made of the same go.sum files. Where they changed, what the lock has is
// looked at again: a version may have another sum than it had.
func (m *modules) sumsUnchanged(previous lock.Component) bool {
	for file, hash := range m.SumFiles {
		if old, ok := previous.Inputs[file]; !ok || old != hash {
			return false
		}
	}
	return true
}

var errNoToolchain = errors.New("the recipe's toolchains name no go: add an exact version, such as go: 1.26.8")

// checkRoot tells what the root lacks, as far as its packages tell.
func checkRoot(root lock.Root, cgo bool, cc string) error {
	need := []string{"unzip"}
	if cgo && cc == "" {
		need = append(need, "gcc")
	}
	for _, name := range need {
		if !slices.ContainsFunc(root.Packages, func(p lock.Artifact) bool { return p.Name == name }) {
			return fmt.Errorf("the root has no package %s, which building Go components needs: add it to the root's packages", name)
		}
	}
	return nil
}

// known indexes the artifacts of a lock.
func known(list []lock.Artifact) map[string]lock.Artifact {
	out := make(map[string]lock.Artifact, len(list))
	for _, a := range list {
		out[a.Artifact().Ref()] = a
	}
	return out
}

// artifact names what s is the sum of.
func (s Sum) artifact() (artifact.Artifact, error) {
	file, err := s.File()
	if err != nil {
		return artifact.Artifact{}, err
	}
	return artifact.Artifact{Ecosystem: artifact.Go, Name: s.Module.Path, Version: s.Module.Version, File: file}, nil
}

// get asks for what s is the sum of, and checks it. What it got and the sum of that are told with a *MismatchError too.
func (s Sum) get(ctx context.Context, a artifact.Artifact, net ecosystem.Network) (lock.Artifact, string, error) {
	file, got, err := net.Get(ctx, a)
	if err != nil {
		return lock.Artifact{}, "", err
	}
	sum, err := s.check(file, func(p string) (io.ReadCloser, error) { return os.Open(p) })
	return locked(got), sum, err
}

// locked is how the lock notes a. A hint would only repeat what name, version and file say.
func locked(a artifact.Artifact) lock.Artifact {
	return lock.Artifact{Ecosystem: a.Ecosystem, Name: a.Name, Version: a.Version, File: a.File, Hash: a.Hash, Size: a.Size}
}
