package plan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// pluginSteps are the steps of a pipeline whose steps are images each (Woodpecker's, Drone's), in order.
type pluginSteps []pluginStep

// pluginStep either runs commands or has settings for what its image does.
type pluginStep struct {
	Image       string               `yaml:"image"`
	Commands    words                `yaml:"commands"`
	Environment map[string]yaml.Node `yaml:"environment"`
	Settings    struct {
		Dockerfile string `yaml:"dockerfile"`
		Context    string `yaml:"context"`
		Target     string `yaml:"target"`
		Repo       words  `yaml:"repo"`
		Tag        words  `yaml:"tag"`
		Tags       words  `yaml:"tags"`
		Args       words  `yaml:"build_args"`
	} `yaml:"settings"`
	line int
}

// UnmarshalYAML is yaml.Unmarshaler's.
func (l *pluginSteps) UnmarshalYAML(n *yaml.Node) error {
	nodes := n.Content
	if n.Kind == yaml.MappingNode { // by name
		nodes = nil
		for i := 1; i < len(n.Content); i += 2 {
			nodes = append(nodes, n.Content[i])
		}
	}
	for _, node := range nodes {
		s := pluginStep{line: node.Line}
		if err := node.Decode(&s); err != nil {
			continue // one of another kind; what it makes shows by what is missing
		}
		*l = append(*l, s)
	}
	return nil
}

// imagePlugin tells whether a step's image builds an image, by its name.
var imagePlugin = regexp.MustCompile(`(?:^|[/-])(?:docker|kaniko|buildx|docker-buildx)$`)

// plugins follows the pipelines of Woodpecker and Drone that build images.
func (p *places) plugins(notes *Notes) {
	for _, name := range p.tree.Files() {
		base, _, _ := strings.Cut(strings.TrimPrefix(path.Base(name), "."), ".")
		known := path.Dir(name) == "." && (base == "woodpecker" || base == "drone") && strings.HasPrefix(name, ".") || path.Dir(name) == ".woodpecker"
		if !known || path.Ext(name) != ".yml" && path.Ext(name) != ".yaml" {
			continue
		}
		data, err := p.tree.Read(name)
		if err == nil && !mentionsImages(string(data)) {
			continue
		}
		if err == nil && len(data) > maxYAML {
			err = fmt.Errorf("read %s: has more than %d bytes", name, maxYAML)
		}
		documents := yaml.NewDecoder(bytes.NewReader(data))
		for err == nil {
			var pipeline struct {
				Steps, Pipeline pluginSteps
			}
			if err = documents.Decode(&pipeline); err == nil {
				p.follow(func(p *places) { p.pluginSteps(name, append(pipeline.Steps, pipeline.Pipeline...), notes) })
			}
		}
		if !errors.Is(err, io.EOF) {
			notes.Remark(fmt.Sprintf("read %s: %v", name, err), Evidence{File: name})
		}
	}
}

// pluginSteps follows the steps of one pipeline, in one checkout.
func (p *places) pluginSteps(file string, steps pluginSteps, notes *Notes) {
	stage := p.machine("pipeline")
	given := known(map[string]string{"CI_COMMIT_TAG": p.release, "DRONE_TAG": p.release})
	for _, s := range steps {
		e := Evidence{File: file, Line: s.line}
		image, _, _ := strings.Cut(s.Image, ":")
		if imagePlugin.MatchString(image) && len(s.Commands) == 0 {
			p.add(s.place(stage, given, e))
			continue
		}
		env := map[string]string{"CI_COMMIT_TAG": p.release, "DRONE_TAG": p.release}
		for k, v := range s.Environment {
			env[k] = interpolate(v.Value, given)
		}
		for _, text := range s.Commands {
			if err := stage.Run(text, checkoutDir, env, e); err != nil {
				notes.Remark(fmt.Sprintf("a step before the image is built was not followed: %v", err), e)
			}
		}
	}
}

// place is what a step's settings build.
func (s pluginStep) place(stage *Stage, given func(name, op, word string) string, e Evidence) *place {
	text := func(v string) string { return interpolate(v, given) }
	n := &place{kind: "pipeline", target: text(s.Settings.Target), args: map[string]string{}, context: stage, dir: Abs(checkoutDir, text(s.Settings.Context)), evidence: e}
	n.dockerfile = path.Join(n.dir, "Dockerfile")
	if f := text(s.Settings.Dockerfile); f != "" {
		n.dockerfile = Abs(checkoutDir, f)
	}
	for _, a := range s.Settings.Args {
		if k, v, ok := strings.Cut(text(a), "="); ok && v != "" {
			n.args[k] = v
		}
	}
	for _, repo := range s.Settings.Repo {
		for _, tags := range append(s.Settings.Tags, s.Settings.Tag...) {
			for _, tag := range strings.FieldsFunc(text(tags), func(r rune) bool { return r == ',' || r == ' ' }) {
				n.tags = append(n.tags, text(repo)+":"+tag)
			}
		}
	}
	return n
}
