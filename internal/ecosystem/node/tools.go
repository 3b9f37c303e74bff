package node

import (
	"errors"
	"strings"

	"headwater/internal/dag"
	"headwater/internal/ecosystem"
)

// toolsAt is where the toolchain is during a build.
const toolsAt = "/opt/node"

// tools is the toolchain as a build sees it.
type tools struct {
	node    *dag.Node // nil: the root's own
	mounts  []dag.Mount
	prepare string // bash
	headers bool   // it has Node.js' own
	version string // Node.js's, "" where it is the root's own
}

// closes is for Node.js before 18.2, whose servers cannot close the connections that are left; those of a manager that has ended are none.
const closes = `require("http").Server.prototype.closeAllConnections = () => {};` + "\n"

// installer is install.js for the toolchain's Node.js.
func (t tools) installer() string {
	if t.version != "" && allows("<18.2", t.version) {
		return closes + install
	}
	return install
}

// unpack lays the toolchain's packages out as they are when installed.
const unpack = `mkdir -p "$out/bin"
link() { # NAME FILE
  chmod 755 "$out/$2"
  ln -s "../$2" "$out/bin/$1"
}
package() { # TARBALL FOLDER
  mkdir -p "$out/$2"
  tar -xzf "$1" --no-same-owner --strip-components=1 -C "$out/$2"
}
if [ -n "${node-}" ]; then
  tar -xzf "$node" --no-same-owner --strip-components=1 -C "$out" package/bin package/include
fi
if [ -n "${npm-}" ]; then
  package "$npm" lib/node_modules/npm
  for tool in npm npx; do link $tool lib/node_modules/npm/bin/$tool-cli.js; done
  if [ -e "$out/lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js" ]; then
    link node-gyp lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js # yarn 1 would install one
  fi
fi
if [ -n "${pnpm-}" ]; then
  package "$pnpm" lib/node_modules/pnpm
  for tool in pnpm pnpx; do
    for file in bin/$tool.cjs bin/$tool.mjs; do
      if [ -z "${pnpmNative-}" ] && [ -e "$out/lib/node_modules/pnpm/$file" ]; then link $tool lib/node_modules/pnpm/$file; break; fi
    done
  done
fi
if [ -n "${pnpmNative-}" ]; then
  package "$pnpmNative" lib/node_modules/pnpm/native
  link pnpm lib/node_modules/pnpm/native/pnpm
fi
if [ -n "${yarn-}" ]; then
  package "$yarn" lib/node_modules/yarn
  for tool in yarn yarnpkg; do link $tool lib/node_modules/yarn/bin/yarn.js; done
fi
# Scripts that go through corepack get the manager that is here.
cat >"$out/bin/corepack" <<'END'
#!/bin/sh
case ${1-} in
  npm|npx|pnpm|pnpx|yarn|yarnpkg) exec "$@" ;;
  npm@*|npx@*|pnpm@*|pnpx@*|yarn@*) tool=${1%%@*}; shift; exec "$tool" "$@" ;;
esac
END
chmod 755 "$out/bin/corepack"
`

// toolchain makes the node that has the recipe's tools; without any in the lock the root's own are used.
func toolchain(r ecosystem.DeriveRequest) (tools, error) {
	in := dag.InRoot{Kind: dag.Toolchain, Name: "node-toolchain", Title: "toolchain", Root: r.Root, Env: map[string]string{}, Script: unpack}
	versions := map[string]string{}
	for _, name := range New().Toolchains() {
		for i, a := range r.Toolchains[name] {
			n, err := r.Maker.Fetch(a.Artifact())
			if err != nil {
				return tools{}, err
			}
			in.Inputs = append(in.Inputs, n)
			if i == 0 {
				versions[name] = a.Version
				in.Env[name] = string(n.Path())
				in.Title += " " + name + " " + a.Version
			} else {
				in.Env[name+"Native"] = string(n.Path())
			}
		}
	}
	if len(in.Inputs) == 0 {
		return tools{}, nil
	}
	n, err := r.Maker.InRoot(in)
	if err != nil {
		return tools{}, err
	}
	return tools{n, []dag.Mount{{From: n, At: toolsAt}}, "export PATH=" + toolsAt + "/bin:$PATH", in.Env["node"] != "", versions["node"]}, nil
}

// own is the toolchain as a component.
func (t tools) own() (*dag.Node, error) {
	if t.node == nil {
		return nil, errors.New("derive toolchain: the recipe names none of " + strings.Join(New().Toolchains(), ", "))
	}
	return t.node, nil
}

// environment keeps the managers quiet and off the network, and what installs of packages download out: the tools that would use it
// say themselves how.
func (t tools) environment(m Manager) map[string]string {
	env := map[string]string{
		"CI": "true", "npm_config_audit": "false", "npm_config_fund": "false", "npm_config_update_notifier": "false",
		"npm_config_cache": "/tmp/npm", "NO_UPDATE_NOTIFIER": "1",
		"PUPPETEER_SKIP_DOWNLOAD": "1", "PUPPETEER_SKIP_CHROMIUM_DOWNLOAD": "1", "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD": "1",
		"CYPRESS_INSTALL_BINARY": "0", "ELECTRON_SKIP_BINARY_DOWNLOAD": "1", "SENTRYCLI_SKIP_DOWNLOAD": "1", "COREPACK_ENABLE_NETWORK": "0",
		"NUXT_TELEMETRY_DISABLED": "1", "NEXT_TELEMETRY_DISABLED": "1", "ASTRO_TELEMETRY_DISABLED": "1", "DO_NOT_TRACK": "1",
	}
	if t.headers {
		env["npm_config_nodedir"] = toolsAt
		// node-gyp is a Python program, which is installed beside what it makes: no compiled modules with their time, no order of its sets.
		env["PYTHONDONTWRITEBYTECODE"], env["PYTHONHASHSEED"] = "1", "0"
	}
	set := func(pairs ...string) {
		for i := 0; i < len(pairs); i += 2 {
			env[pairs[i]] = pairs[i+1]
		}
	}
	switch m {
	case npm:
		set("npm_config_offline", "true")
	case pnpm: // up to 10 it reads npm's names
		set("npm_config_verify_deps_before_run", "false", "pnpm_config_verify_deps_before_run", "false",
			"npm_config_manage_package_manager_versions", "false", "pnpm_config_manage_package_manager_versions", "false", "pnpm_config_pm_on_fail", "ignore")
	case yarn:
		set("YARN_IGNORE_PATH", "1", "YARN_SILENT", "0")
	case berry:
		set("YARN_IGNORE_PATH", "1", "YARN_NODE_LINKER", "node-modules", "YARN_ENABLE_TELEMETRY", "0", "YARN_ENABLE_HARDENED_MODE", "0",
			"YARN_ENABLE_GLOBAL_CACHE", "false", "YARN_CACHE_FOLDER", "/tmp/yarn-cache", "YARN_GLOBAL_FOLDER", "/tmp/yarn", "YARN_ENABLE_PROGRESS_BARS", "0", "YARN_ENABLE_COLORS", "0")
	}
	return env
}
