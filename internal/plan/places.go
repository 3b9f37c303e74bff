package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// place is somewhere in the tree that says how an image is built: a compose file, a pipeline, a script.
type place struct {
	kind       string // "compose", "pipeline", "script"
	dockerfile string // in the tree
	target     string
	args       map[string]string // those whose values are known
	tags       []string
	context    *Stage // the checkout as it is then, with what was made in it before
	dir        string // absolute, in context
	pushes     bool   // what is built is sent to a registry
	evidence   Evidence
	// again finds the place once more, with programs known: what the ecosystems' commands make before the image is built, then
	// stands in the context.
	again func(known []Recogniser) *place
}

// prepares tells whether anything is done in the checkout before the image is built.
func (p *place) prepares() bool {
	return len(p.context.Unrecognised) > 0 || len(p.context.Files.Placements()) > 1
}

// places are all that a tree tells of how images are built. Makefiles, scripts and pipelines are followed like an image's own
// commands, in a checkout of the tree.
type places struct {
	tree        *Tree
	release     string
	recognisers []Recogniser
	found       []*place
	pushed      []string      // references that are sent to a registry
	again       func(*places) // what is followed right now, for another time
}

// findPlaces looks for them, without the ecosystems: their commands are not needed for it, and there may be many. What cannot be
// followed is left out and told in notes.
func findPlaces(t *Tree, o Options, notes *Notes) []*place {
	p := &places{tree: t, release: o.Release}
	for _, step := range []func(*Notes){p.composeFiles, p.pipelines, p.plugins, p.makefiles, p.taskfiles, p.scripts, p.releasers} {
		step(notes)
	}
	for _, n := range p.found {
		n.pushes = n.pushes || slices.ContainsFunc(n.tags, func(tag string) bool {
			return slices.ContainsFunc(p.pushed, func(ref string) bool { return sameImage(tag, ref) })
		})
	}
	return p.found
}

// machine is a fresh checkout in which image builds are noted. What happens there is told in notes of its own.
func (p *places) machine(kind string) *Stage {
	sh := &shared{Tree: p.tree, Notes: &Notes{}, Release: p.release}
	sh.recognisers = append([]Recogniser{imageBuilder{p, kind}, system{}}, p.recognisers...)
	return checkout(sh)
}

// add notes a place if its Dockerfile is in the tree.
func (p *places) add(n *place) {
	if name, ok := n.context.SourceOf(n.dockerfile); ok && p.tree.Has(name) {
		n.dockerfile = name
		n.context = n.context.snapshot()
		p.found = append(p.found, n)
		if follow := p.again; follow != nil {
			n.again = func(known []Recogniser) *place {
				other := &places{tree: p.tree, release: p.release, recognisers: known}
				follow(other)
				for _, m := range other.found {
					if m.dockerfile == n.dockerfile && m.target == n.target && m.evidence == n.evidence {
						return m
					}
				}
				return nil
			}
		}
	}
}

// follow does what finds places, and will do it again for those that it finds.
func (p *places) follow(f func(*places)) {
	p.again = f
	f(p)
	p.again = nil
}

// mentionsImages tells whether a text may build an image; the others need not be followed.
func mentionsImages(text string) bool {
	return strings.Contains(text, "docker") || strings.Contains(text, "podman") || strings.Contains(text, "buildah") || strings.Contains(text, "nerdctl") || strings.Contains(text, "kaniko")
}

// makefiles follows the targets that build images.
func (p *places) makefiles(notes *Notes) {
	for _, name := range p.tree.Named("Makefile", "GNUmakefile", "makefile") {
		if Aside(name) != "" {
			continue
		}
		data, err := p.tree.Read(name)
		if err == nil && !mentionsImages(string(data)) {
			continue
		}
		var m *makefile
		if err == nil {
			m, err = parseMakefile(name, data, p.release)
		}
		if err != nil {
			notes.Remark(err.Error(), Evidence{File: name})
			continue
		}
		for _, target := range slices.Sorted(maps.Keys(m.rules)) {
			if !slices.ContainsFunc(m.rules[target].recipe, func(l recipeLine) bool { return mentionsImages(m.expand(l.text, nil)) }) {
				continue
			}
			c := Command{Args: []string{"make", target}, Dir: path.Join(checkoutDir, path.Dir(name)), Evidence: Evidence{File: name}}
			p.follow(func(p *places) {
				if err := p.machine("script").recognise(c); err != nil {
					notes.Remark(fmt.Sprintf("make %s in %s was not followed: %v", target, name, err), Evidence{File: name})
				}
			})
		}
	}
}

// taskfiles follows the tasks that build images.
func (p *places) taskfiles(notes *Notes) {
	for _, name := range p.tree.Named(taskfileNames()...) {
		if Aside(name) != "" {
			continue
		}
		data, err := p.tree.Read(name)
		if err != nil {
			notes.Remark(err.Error(), Evidence{File: name})
		}
		if err != nil || !mentionsImages(string(data)) {
			continue
		}
		f, err := readTaskfile(p.machine("script"), path.Join(checkoutDir, name))
		if err != nil {
			notes.Remark(err.Error(), Evidence{File: name})
			continue
		}
		for _, n := range slices.Sorted(maps.Keys(f.tasks)) {
			if t := f.tasks[n]; t.file != name || !slices.ContainsFunc(t.commands(), func(c taskCmd) bool { return mentionsImages(c.Cmd) }) {
				continue
			}
			c := Command{Args: []string{"task", n}, Dir: path.Join(checkoutDir, path.Dir(name)), Evidence: Evidence{File: name}}
			p.follow(func(p *places) {
				if err := p.machine("script").recognise(c); err != nil {
					notes.Remark(fmt.Sprintf("task %s of %s was not followed: %v", n, name, err), Evidence{File: name})
				}
			})
		}
	}
}

// scripts follows package.json's scripts and shell scripts that build images.
func (p *places) scripts(notes *Notes) {
	for _, name := range p.tree.Named("package.json") {
		data, err := p.tree.Read(name)
		if err != nil || !mentionsImages(string(data)) || Aside(name) != "" {
			continue
		}
		var manifest struct {
			Scripts map[string]string `json:"scripts"`
		}
		if json.Unmarshal(data, &manifest) != nil {
			continue // whoever needs it says what is wrong with it
		}
		for _, script := range slices.Sorted(maps.Keys(manifest.Scripts)) {
			if text := manifest.Scripts[script]; mentionsImages(text) {
				p.text(notes, text, path.Dir(name), Evidence{File: name, Line: lineOf(data, `"`+script+`"`)})
			}
		}
	}
	for _, name := range p.tree.Files() {
		if path.Ext(name) != ".sh" || Aside(name) != "" {
			continue
		}
		if data, err := p.tree.Read(name); err == nil && mentionsImages(string(data)) {
			p.text(notes, string(data), ".", Evidence{File: name, Line: 1})
		}
	}
}

// text follows a script in a folder of the tree.
func (p *places) text(notes *Notes, text, dir string, e Evidence) {
	p.follow(func(p *places) {
		if err := p.machine("script").Run(text, path.Join(checkoutDir, dir), nil, e); err != nil {
			notes.Remark(fmt.Sprintf("%s was not followed: %v", e.File, err), e)
		}
	})
}

// lineOf is the line of the first occurrence of a text, 0 if there is none.
func lineOf(data []byte, text string) int {
	before, _, found := strings.Cut(string(data), text)
	if !found {
		return 0
	}
	return strings.Count(before, "\n") + 1
}

// imageBuilder is the Recogniser of the programs that build images.
type imageBuilder struct {
	places *places
	kind   string
}

// Recognise is Recogniser's.
func (r imageBuilder) Recognise(c Command, s *Stage) (bool, error) {
	var rest []string
	switch path.Base(c.Args[0]) {
	case "docker", "podman", "nerdctl", "docker-compose":
		if r := containerOf(c, s); r != nil {
			return true, r.run(c, s)
		}
		rest = c.Args[1:]
		if len(rest) > 0 && (rest[0] == "buildx" || rest[0] == "image" || rest[0] == "builder") {
			rest = rest[1:]
		}
		if len(rest) > 0 && rest[0] == "push" {
			r.places.pushed = append(r.places.pushed, operands(c, "")...)
		}
		if len(rest) == 0 || rest[0] != "build" {
			return false, nil
		}
		rest = rest[1:]
	case "buildah":
		if len(c.Args) < 2 || c.Args[1] != "build" && c.Args[1] != "bud" {
			return false, nil
		}
		rest = c.Args[2:]
	case "executor":
		if !strings.Contains(c.Args[0], "kaniko") {
			return false, nil
		}
		rest = c.Args[1:]
	default:
		return false, nil
	}
	if n := imageCommand(rest, c, s); n != nil {
		n.kind = r.kind
		r.places.add(n)
	}
	return true, nil
}

// switches are the options of "docker build" that take no value.
func switches() []string {
	return []string{"--pull", "--load", "--no-cache", "--rm", "--force-rm", "--quiet", "-q", "--squash", "--check", "-D", "--debug", "--cleanup", "--reproducible"}
}

// imageCommand reads the arguments of "docker build". It is nil where the context is not a folder.
func imageCommand(args []string, c Command, s *Stage) *place {
	n := &place{args: map[string]string{}, context: s, dir: c.Dir, evidence: c.Evidence}
	file, folder := "", ""
	for i := 0; i < len(args); i++ {
		name, value, inline := strings.Cut(args[i], "=")
		switch {
		case !strings.HasPrefix(name, "-"):
			folder = args[i]
			continue
		case name == "--push":
			n.pushes = true
			continue
		case slices.Contains(switches(), name) || len(name) > 2 && name[1] != '-':
			continue
		case !inline && i+1 < len(args):
			i++
			value = args[i]
		}
		switch name {
		case "-f", "--file", "--dockerfile":
			file = value
		case "--target":
			n.target = value
		case "-t", "--tag", "--destination", "-d":
			n.tags = append(n.tags, value)
		case "--context":
			folder = strings.TrimPrefix(value, "dir://")
		case "--build-arg":
			if k, v, ok := strings.Cut(value, "="); ok && v != "" {
				n.args[k] = v
			} else if v := c.Env[k]; !ok && v != "" {
				n.args[k] = v
			}
		}
	}
	if folder == "-" || strings.Contains(folder, "://") {
		return nil
	}
	if folder != "" {
		n.dir = Abs(c.Dir, folder)
	}
	n.dockerfile = path.Join(n.dir, "Dockerfile")
	if file != "" {
		n.dockerfile = Abs(c.Dir, file)
	}
	return n
}

// words is a list in YAML that may be written as one text, or as a map of names to values, "NAME=VALUE" then.
type words []string

// UnmarshalYAML is yaml.Unmarshaler's.
func (w *words) UnmarshalYAML(n *yaml.Node) error {
	switch n.Kind {
	case yaml.ScalarNode:
		*w = words{n.Value}
		return nil
	case yaml.MappingNode:
		var m map[string]*string
		if err := n.Decode(&m); err != nil {
			return err
		}
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if m[k] == nil {
				*w = append(*w, k)
				continue
			}
			*w = append(*w, k+"="+*m[k])
		}
		return nil
	}
	var list []yaml.Node
	if err := n.Decode(&list); err != nil {
		return err
	}
	for _, item := range list {
		if item.Kind == yaml.AliasNode && item.Alias != nil {
			item = *item.Alias
		}
		*w = append(*w, item.Value) // of what is no text, nothing
	}
	return nil
}
