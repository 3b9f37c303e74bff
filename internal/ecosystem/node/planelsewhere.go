package node

import (
	"bytes"
	"path"
	"regexp"
	"strings"

	"headwater/internal/plan"
)

var (
	// fromImage finds the images that a Dockerfile starts from.
	fromImage = regexp.MustCompile(`(?im)^[ \t]*FROM[ \t]+(?:--platform=\S+[ \t]+)?(\S+)`)
	// setupNode finds the version that a workflow asks its set-up action for.
	setupNode = regexp.MustCompile(`(?m)^\s*(?:-\s*)?node-version:\s*["']?(lts/\*|lts/[a-z]+|[0-9][0-9.]*)(?:\.x)?["']?\s*(?:#.*)?$`)
)

// elsewhere is the version of Node.js on which the tree's other images, else its workflows, agree: for a project that is built where
// nothing says which Node.js there is.
func (p planner) elsewhere() (plan.Version, bool) {
	var images, workflows []plan.Version
	for _, name := range p.Tree.Dockerfiles() {
		images = append(images, p.found(name, fromImage, func(word string) (string, bool) {
			v, ok := imageVersion(word)
			return v, ok && v != "latest"
		}, "the image is of Node.js ")...)
	}
	for _, dir := range []string{".github/workflows", ".gitea/workflows", ".forgejo/workflows"} {
		for _, name := range p.Tree.Below(dir) {
			workflows = append(workflows, p.found(name, setupNode, func(word string) (string, bool) {
				return strings.TrimSuffix(word, "/*"), word != ""
			}, "the workflow sets up Node.js ")...)
		}
	}
	for _, list := range [][]plan.Version{images, workflows} {
		if v, ok := agreed(list); ok {
			return v, true
		}
	}
	return plan.Version{}, false
}

// found are the versions that a file of the project's own names.
func (p planner) found(name string, pattern *regexp.Regexp, version func(word string) (string, bool), rule string) (list []plan.Version) {
	if plan.Aside(name) != "" {
		return nil
	}
	data, err := p.Tree.Read(name)
	if err != nil || len(data) > 1<<20 {
		return nil
	}
	for _, m := range pattern.FindAllSubmatchIndex(data, -1) {
		if v, ok := version(string(data[m[2]:m[3]])); ok {
			line := bytes.Count(data[:m[2]], []byte("\n")) + 1
			list = append(list, plan.Version{Value: v, Evidence: plan.Evidence{File: path.Clean(name), Line: line, Rule: rule + v}})
		}
	}
	return list
}

// agreed is the version that all name, the most exact spelling of it.
func agreed(list []plan.Version) (best plan.Version, ok bool) {
	for _, v := range list {
		major, _, _ := strings.Cut(v.Value, ".")
		have, _, _ := strings.Cut(best.Value, ".")
		if ok && major != have {
			return plan.Version{}, false
		}
		if !ok || len(v.Value) > len(best.Value) {
			best, ok = v, true
		}
	}
	return best, ok
}
