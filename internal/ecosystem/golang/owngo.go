package golang

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"

	"headwater/internal/dag"
	"headwater/internal/ecosystem"
	"headwater/internal/lock"
	"headwater/internal/recipe"
)

// data is what the lock has of a component besides its artifacts.
type data struct {
	Go       string            `json:"go,omitempty"`       // the version that the root has: "1.26.8"; "" where the toolchain is the recipe's
	Sums     map[string]string `json:"sums,omitempty"`     // sums of what stands in for modules, by what go.sum calls it: "example.org/m v1.2.3/go.mod"
	Versions map[string]string `json:"versions,omitempty"` // of those, the versions that stand in for others, by the same
}

// marshal is nil where there is nothing to note.
func (d data) marshal() (json.RawMessage, error) {
	if d.Go == "" && len(d.Sums) == 0 {
		return nil, nil
	}
	return json.Marshal(d)
}

func readData(c lock.Component) (data, error) {
	var d data
	if len(c.Data) == 0 {
		return d, nil
	}
	if err := json.Unmarshal(c.Data, &d); err != nil {
		return d, fmt.Errorf("read lock: data: %w", err)
	}
	return d, nil
}

//go:embed version.sh
var versionScript string

// ownGo tells whether components are built by the Go that the root has: where it is made of store paths, and the recipe names no
// other.
func ownGo(r *recipe.Recipe, root *dag.Node) bool {
	_, named := r.Toolchains["go"]
	return !named && root != nil && dag.OfPaths(root)
}

// lockGo finds the version of Go and what the lock is to note of it.
func lockGo(ctx context.Context, r ecosystem.LockRequest) (string, data, error) {
	if !ownGo(r.Recipe, r.RootNode) {
		v, err := pinned(r.Recipe, r.Toolchains)
		return v, data{}, err
	}
	n, err := r.Maker.InRoot(dag.InRoot{
		Kind: dag.Toolchain, Name: "go-version", Title: "version of Go", Root: r.RootNode, Env: closed(""), Script: versionScript,
	})
	if err != nil {
		return "", data{}, err
	}
	dir, err := r.Realise(ctx, n)
	if err != nil {
		return "", data{}, fmt.Errorf("ask the root for its Go: %w", err)
	}
	text, err := os.ReadFile(dir + "/version")
	if err != nil {
		return "", data{}, fmt.Errorf("ask the root for its Go: %w", err)
	}
	v, ok := bytes.CutPrefix(bytes.TrimSpace(text), []byte("go"))
	if !ok {
		return "", data{}, fmt.Errorf("ask the root for its Go: its version is %q", text)
	}
	if err := checkVersion(string(v)); err != nil {
		return "", data{}, err
	}
	return string(v), data{Go: string(v)}, nil
}

// pinned is the exact version that the recipe's toolchain was locked to.
func pinned(r *recipe.Recipe, toolchains map[string][]lock.Artifact) (string, error) {
	wanted, ok := r.Toolchains["go"]
	if !ok {
		return "", errNoToolchain
	}
	for _, a := range toolchains["go"] {
		if v, ok := toolchainVersion(a.Version); ok {
			return v, nil
		}
	}
	return wanted, checkVersion(wanted)
}

// goVersion is the version of Go that the component is built by.
func goVersion(r ecosystem.DeriveRequest) (string, error) {
	if !ownGo(r.Recipe, r.Root) {
		return pinned(r.Recipe, r.Toolchains)
	}
	var noted data
	if err := json.Unmarshal(r.Lock.Data, &noted); err != nil {
		return "", fmt.Errorf("the lock does not say which Go the root has (%w): run headwater lock", err)
	}
	return noted.Go, checkVersion(noted.Go)
}
