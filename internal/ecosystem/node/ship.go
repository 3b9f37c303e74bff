package node

import (
	"path"
	"slices"
	"strings"

	"headwater/internal/plan"
)

// Ship implements plan.Shipper: an image on one of Node.js has it at /usr/local. It becomes a component of its own, which is the
// toolchain, so that the service runs on the very version that it was built with.
func (r Recogniser) Ship(s *plan.Stage) {
	p := planner{Stage: s, c: plan.Command{Evidence: s.Evidence}, r: r}
	version, ok := p.nodeVersion(found{folder: "."})
	if _, image := imageVersion(s.BaseImage()); !ok || !image || len(s.Tree.Files()) == 0 {
		return
	}
	b := s.NewBuild("node", "/usr/local", version.Evidence)
	b.Name, b.Only, b.Before = "nodejs", true, &plan.Files{}
	bare := *s
	bare.Packages = nil // what the service needs beside it is none of its own
	b.Stage = &bare
	b.Options["toolchain"] = true
	b.Toolchains["node"] = version
	for _, library := range libraries(version.Value) {
		b.Needs = appendNeed(b.Needs, library, plan.Evidence{Rule: "Node.js needs it"})
	}
	b.Sources = s.Tree.Named(manifestName) // it sees none, and a component names some
	if len(b.Sources) == 0 {
		b.Sources = s.Tree.Files()
	}
	b.Sources = b.Sources[:1]
	s.Install("apt", version.Evidence, libraries(version.Value)...)
	s.Makes(b, plan.Output{At: "/usr/local/bin/node", Inside: "bin/node", File: true}, version.Evidence)
	if tool := started(s.Config); tool != "" {
		name := map[string]string{"npx": "npm"}[tool]
		if name == "" {
			name = tool
		}
		manager, known := p.starter(s, name, version)
		if known {
			b.Toolchains[name] = manager
		}
		s.Makes(b, plan.Output{At: globalDir, Inside: "lib/" + modulesName}, version.Evidence)
		file := map[string]string{"npm": "npm/bin/npm-cli.js", "npx": "npm/bin/npx-cli.js", "pnpm": "pnpm/bin/pnpm.cjs", "yarn": "yarn/bin/yarn.js"}[tool]
		if tool == "pnpm" {
			if !allows("<11", manager.Value) {
				file = "pnpm/bin/pnpm.mjs"
			}
			// It would install anew what it has no notes of.
			s.Env["pnpm_config_verify_deps_before_run"], s.Config.Evidence["env pnpm_config_verify_deps_before_run"] = "false", version.Evidence
		}
		s.Files.Place("/usr/local/bin/"+tool, plan.Origin{Kind: plan.Link, Path: globalDir + "/" + file}, version.Evidence)
	}
}

// starter is the version of a manager that starts the service: the one that built it, else what the project's files say.
func (p planner) starter(s *plan.Stage, name string, node plan.Version) (plan.Version, bool) {
	for _, at := range s.Files.Placements() {
		if b := at.Origin.Build; b != nil && b.Ecosystem == "node" && b.Toolchains[name].Value != "" {
			return b.Toolchains[name], true
		}
	}
	f, ok := p.project(s.Dir)
	if !ok {
		f.folder = "."
		p.findLock(&f)
	}
	return p.managerVersion(name, f, node)
}

// started is the manager that an image is started with, "" if with none.
func started(c plan.Config) string {
	for _, word := range strings.Fields(strings.Join(slices.Concat(c.Entrypoint, c.Cmd), " ")) {
		if tool := path.Base(word); slices.Contains([]string{"npm", "npx", "pnpm", "yarn"}, tool) {
			return tool
		}
	}
	return ""
}
