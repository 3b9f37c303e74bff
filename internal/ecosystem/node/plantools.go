package node

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"headwater/internal/plan"
)

// toolchains says which Node.js and which manager a project is made with.
func (p planner) toolchains(b *plan.Build, f found) {
	node, ok := p.nodeVersion(f)
	if !ok {
		p.Notes.Ask(plan.Question{
			About: "toolchains.node", Ask: "which Node.js is " + path.Join(f.folder, manifestName) + " made with?",
			Looked: []plan.Evidence{p.Evidence, {File: path.Join(f.folder, manifestName), Rule: "has no engines"}, {Rule: "no .nvmrc, no .node-version"}, {Rule: "the tree's other images and workflows name none, or several"}},
		})
	} else {
		b.Toolchains["node"] = node
		p.contradiction(f, node)
	}
	tool := map[string]string{npmLockName: "npm", pnpmLockName: "pnpm", yarnLockName: "yarn"}[f.lock]
	if m, ok := b.Options["manager"].(string); ok {
		tool = m
	}
	if tool == "" {
		return
	}
	v, ok := p.managerVersion(tool, f, node)
	if ok {
		b.Toolchains[tool] = v
	}
}

// contradiction tells where the project wants another Node.js than it is made with. npm only warns of that, so what the image has is
// taken.
func (p planner) contradiction(f found, node plan.Version) {
	wanted := f.manifest.Engines["node"]
	if wanted == "" || allows(wanted, node.Value) {
		return
	}
	p.Notes.Remark(path.Join(f.folder, manifestName)+" wants Node.js "+wanted+", and it is made with "+node.Value, f.evidence(`"engines"`, "engines has node "+wanted), node.Evidence)
}

// allows tells whether a range allows a version, any of those that "24" or "24.1" says; what cannot be compared is allowed.
func allows(wanted, version string) bool {
	bounds, err := semver.NewConstraint(wanted)
	if err != nil || !plainVersion.MatchString(version) {
		return true
	}
	for _, rest := range []string{".0.0", ".999.999"} {
		v, err := semver.NewVersion(strings.Join(strings.SplitN(version+rest, ".", 4)[:3], "."))
		if err != nil || bounds.Check(v) {
			return true
		}
	}
	return false
}

var plainVersion = regexp.MustCompile(`^[0-9]+(\.[0-9]+){0,2}$`)

// nodeVersion is the version of Node.js in a stage: of the image, else what was copied or installed, else what the project's files say, else
// what the rest of the tree agrees on.
func (p planner) nodeVersion(f found) (plan.Version, bool) {
	if v, ok := imageVersion(p.BaseImage()); ok {
		bottom := p.Stage
		for bottom.Parent != nil {
			bottom = bottom.Parent
		}
		e := bottom.Evidence
		e.Rule = "the image is of Node.js " + v
		return plan.Version{Value: v, Evidence: e}, true
	}
	if o, e := p.Files.Lookup("/usr/local/bin/node"); o.Kind == plan.Image { // copied out of another image
		if v, ok := imageVersion(o.Ref); ok {
			e.Rule = "it is copied out of an image of Node.js " + v
			return plan.Version{Value: v, Evidence: e}, true
		}
	}
	if o, e := p.Files.Lookup(globalDir + "/node"); strings.HasPrefix(o.Ref, "npm:node@") {
		return plan.Version{Value: strings.TrimPrefix(o.Ref, "npm:node@"), Evidence: e}, true
	}
	for _, name := range []string{"NODE_VERSION", "NODE_MAJOR", "NODEJS_VERSION", "NODE_MAJOR_VERSION"} {
		if v := strings.TrimPrefix(p.c.Env[name], "v"); v != "" {
			e := p.c.Evidence
			e.Rule = name + " is " + v
			return plan.Version{Value: v, Evidence: e}, true
		}
	}
	for _, url := range slices.Backward(p.Downloads()) { // a repository of packages, which has one version
		if m := packagedNode.FindStringSubmatch(url); m != nil {
			e := p.c.Evidence
			e.Rule = "it is installed from " + url
			return plan.Version{Value: m[1], Evidence: e}, true
		}
	}
	for at := f.folder; ; at = path.Dir(at) {
		for _, name := range []string{".nvmrc", ".node-version"} {
			if data, err := p.Tree.Read(path.Join(at, name)); err == nil && len(data) < 100 {
				if v := strings.TrimPrefix(strings.TrimSpace(string(data)), "v"); v != "" {
					return plan.Version{Value: v, Evidence: plan.Evidence{File: path.Join(at, name), Line: 1, Rule: "names the version of Node.js"}}, true
				}
			}
		}
		if at == "." || at == "/" {
			break
		}
	}
	if v := f.manifest.Volta["node"]; v != "" {
		return plan.Version{Value: v, Evidence: f.evidence(`"volta"`, "volta takes this Node.js")}, true
	}
	if v := f.manifest.Engines["node"]; v != "" {
		if other, ok := p.elsewhere(); ok && (lowest(v) != v || strings.Contains(v, "||")) && allows(v, other.Value) {
			return other, true // what is only a lower bound, or a choice, says less than what the service is run with
		}
		return plan.Version{Value: lowest(v), Evidence: f.evidence(`"engines"`, "engines has node "+v)}, true
	}
	return p.elsewhere()
}

// packagedNode finds the version in addresses of repositories of packages of Node.js.
var packagedNode = regexp.MustCompile(`/(?:setup|node)_([0-9]+)\.x\b`)

// lowest makes an open range one of a major version, the first that it allows: of what comes later nothing is known.
func lowest(wanted string) string {
	if m := regexp.MustCompile(`^>=?\s*v?([0-9]+)(\.[0-9x.]+)?$`).FindStringSubmatch(strings.TrimSpace(wanted)); m != nil {
		return m[1]
	}
	return wanted
}

// oldest is the one version that an open range of a package manager names: a later one may refuse the lock that it wrote.
func oldest(wanted string) string {
	if m := regexp.MustCompile(`^>=\s*v?([0-9]+\.[0-9]+\.[0-9]+)$`).FindStringSubmatch(strings.TrimSpace(wanted)); m != nil {
		return m[1]
	}
	return lowest(wanted)
}

// imageVersion is the version that a tag of an image of Node.js has.
func imageVersion(ref string) (string, bool) {
	ref, _, _ = strings.Cut(ref, "@")
	repository, tag, _ := strings.Cut(ref[strings.LastIndex(ref, "/")+1:], ":")
	if repository != "node" && repository != "nodejs" && repository != "node-chrome" {
		return "", false
	}
	word, _, _ := strings.Cut(tag, "-")
	switch {
	case regexp.MustCompile(`^[0-9]+(\.[0-9]+)*$`).MatchString(word):
		return word, true
	case word == "lts":
		return "lts", true
	case slices.Contains([]string{"hydrogen", "iron", "jod", "krypton"}, word):
		return "lts/" + word, true
	}
	return "latest", true
}

// managerVersion is the version of a manager.
func (p planner) managerVersion(tool string, f found, node plan.Version) (plan.Version, bool) {
	if name, version, ok := splitPattern(f.manifest.PackageManager); ok && name == tool {
		version, _, _ = strings.Cut(version, "+")
		return plan.Version{Value: version, Evidence: f.evidence(`"packageManager"`, "names the package manager")}, true
	}
	if f.top != f.folder && f.top != "" {
		m, err := readManifest(p.Tree.FS(), path.Join(f.top, manifestName))
		if name, version, ok := splitPattern(m.PackageManager); err == nil && ok && name == tool {
			version, _, _ = strings.Cut(version, "+")
			return plan.Version{Value: version, Evidence: plan.Evidence{File: path.Join(f.top, manifestName), Rule: "names the package manager"}}, true
		}
	}
	if v, ok := p.installed(tool); ok {
		return v, true
	}
	for _, dev := range f.manifest.DevEngines.PackageManager {
		if dev.Name == tool && dev.Version != "" {
			return plan.Version{Value: oldest(dev.Version), Evidence: f.evidence(`"devEngines"`, "devEngines has "+tool+" "+dev.Version)}, true
		}
	}
	for _, from := range []map[string]string{f.manifest.Volta, f.manifest.Engines} {
		if v := from[tool]; v != "" {
			return plan.Version{Value: oldest(v), Evidence: f.evidence(`"`+tool+`"`, "names the version of "+tool)}, true
		}
	}
	switch tool {
	case "pnpm":
		return p.pnpmVersion(f), true
	case "yarn":
		return p.yarnVersion(f), true
	}
	v, known := npmOf(node.Value)
	e := node.Evidence
	e.Rule = "Node.js " + node.Value + " brings npm " + v
	return plan.Version{Value: v, Evidence: e}, known
}

// npmOf is the npm that a Node.js brings.
func npmOf(node string) (string, bool) {
	major, _, _ := strings.Cut(strings.TrimLeft(node, "^~>=v "), ".")
	switch {
	case node == "":
		return "", false
	case slices.Contains([]string{"18", "19", "20", "21", "22", "23", "lts/hydrogen", "lts/iron", "lts/jod"}, major):
		return "10", true
	case slices.Contains([]string{"14", "15", "16", "17"}, major):
		return "8", true
	}
	return "11", true
}

// pnpmVersion is the pnpm that wrote the lock, as far as the lock and the settings beside it tell.
func (p planner) pnpmVersion(f found) plan.Version {
	lock := path.Join(f.top, pnpmLockName)
	if data, err := p.Tree.Read(path.Join(f.top, "pnpm-workspace.yaml")); err == nil && regexp.MustCompile(`(?m)^allowBuilds:`).Match(data) {
		return plan.Version{Value: "11", Evidence: plan.Evidence{File: path.Join(f.top, "pnpm-workspace.yaml"), Rule: "allowBuilds is a setting of pnpm 11"}}
	}
	data, err := p.Tree.Read(lock)
	if err == nil && regexp.MustCompile(`(?m)^lockfileVersion: ['"]?6`).Match(data) {
		return plan.Version{Value: "8", Evidence: plan.Evidence{File: lock, Line: 1, Rule: "pnpm 8 writes locks of version 6"}}
	}
	return plan.Version{Value: "10", Evidence: plan.Evidence{File: lock, Line: 1, Rule: "pnpm 9 to 11 read locks of version 9; nothing names one, and 10 is taken"}}
}

// yarnVersion is the yarn that wrote the lock.
func (p planner) yarnVersion(f found) plan.Version {
	lock := path.Join(f.top, yarnLockName)
	data, err := p.Tree.Read(lock)
	if err != nil || !isBerry(data) {
		return plan.Version{Value: "1", Evidence: plan.Evidence{File: lock, Line: 1, Rule: "yarn 1 writes such locks"}}
	}
	rc := path.Join(f.top, ".yarnrc.yml")
	if text, err := p.Tree.Read(rc); err == nil {
		if m := regexp.MustCompile(`(?m)^yarnPath:.*yarn-([0-9][0-9A-Za-z.-]*)\.c?js`).FindSubmatchIndex(text); m != nil {
			return plan.Version{Value: string(text[m[2]:m[3]]), Evidence: plan.Evidence{File: rc, Line: strings.Count(string(text[:m[0]]), "\n") + 1, Rule: "names the yarn"}}
		}
	}
	version := "4"
	if m := regexp.MustCompile(`(?m)^  version: ([0-9]+)`).FindSubmatch(data); m != nil && len(m[1]) == 1 && m[1][0] < '8' {
		version = "3"
	}
	return plan.Version{Value: version, Evidence: plan.Evidence{File: lock, Rule: "yarn " + version + " writes locks of this version"}}
}
