package openapi

import (
	"path"
	"regexp"
	"strings"

	"headwater/internal/plan"
)

// Recogniser knows how openapi-generator is called: as its jar, by its wrappers, out of its image.
type Recogniser struct{}

// imagePattern is the generator's image with a version.
var imagePattern = regexp.MustCompile(`openapi-generator-cli:v?([0-9]+\.[0-9]+\.[0-9]+)`)

// jarPattern is the name of the generator's jar, with the version where it has one.
var jarPattern = regexp.MustCompile(`^openapi-generator-cli(?:-([0-9]+\.[0-9]+\.[0-9]+))?\.jar$`)

// Recognise implements plan.Recogniser.
func (Recogniser) Recognise(c plan.Command, s *plan.Stage) (bool, error) {
	args, version, ok := generator(c)
	if !ok {
		return false, nil
	}
	if len(args) == 0 || args[0] != "generate" {
		return true, nil // asks for its version, its help
	}
	g := parseGenerate(args[1:])
	if g.schema == "" || g.name == "" || g.out == "" {
		s.Notes.Remark("openapi-generator is called without a schema, a generator or an output folder", c.Evidence)
		return true, nil
	}
	if g.config != "" && g.templates == "" {
		if data, _, err := s.ReadFile(plan.Abs(c.Dir, g.config)); err == nil && path.IsAbs(templateDir(data)) {
			if dir, ok := inTree(templateDir(data), s.Tree.HasDir); ok {
				g.templates = path.Join(s.SourceTop(c.Dir), dir)
			}
		}
	}
	dir := s.SourceTop(c.Dir)
	options := map[string]any{"generator": g.name}
	var sources []string
	for _, f := range []struct{ key, file string }{{"schema", g.schema}, {"config", g.config}, {"templates", g.templates}} {
		if f.file == "" {
			continue
		}
		name, ok := s.SourceOf(plan.Abs(c.Dir, f.file))
		if !ok {
			s.Notes.Ask(plan.Question{
				About: "components", Ask: "openapi-generator reads " + f.file + ", which the tree does not have; what makes it?", Looked: []plan.Evidence{c.Evidence},
			})
			return true, nil
		}
		options[f.key] = name
		sources = append(sources, name)
	}
	if len(g.rest) > 0 {
		options["args"] = g.rest
	}
	if len(g.properties) > 0 {
		options["properties"] = g.properties
	}
	b := s.NewBuild("openapi", dir, c.Evidence)
	b.Folder, b.Name, b.Options, b.Sources, b.Alone = ".", "client-"+short(g.name), options, sources, true
	b.Needs = []plan.Installed{{Manager: "apt", Name: "openjdk-21-jre-headless", Evidence: plan.Evidence{Rule: "openapi-generator runs on Java"}}}
	if v := version; v != "" {
		b.Toolchains["openapi-generator"] = plan.Version{Value: v, Evidence: c.Evidence}
	} else if m := imagePattern.FindStringSubmatch(s.BaseImage()); m != nil {
		b.Toolchains["openapi-generator"] = plan.Version{Value: m[1], Evidence: s.Evidence}
	} else {
		s.Notes.Ask(plan.Question{About: "toolchains.openapi-generator", Ask: "which version of openapi-generator makes the clients?", Looked: []plan.Evidence{c.Evidence, s.Evidence}})
	}
	s.Makes(b, plan.Output{At: plan.Abs(c.Dir, g.out), Inside: "."}, c.Evidence)
	return true, nil
}

// generator tells a call of the generator by its words, and its arguments.
func generator(c plan.Command) (args []string, version string, ok bool) {
	switch name := path.Base(c.Args[0]); name {
	case "openapi-generator", "openapi-generator-cli":
		return c.Args[1:], "", true
	case "java":
		for i, a := range c.Args {
			if m := jarPattern.FindStringSubmatch(path.Base(a)); m != nil {
				return c.Args[i+1:], m[1], true
			}
		}
	case "npx", "pnpx", "bunx":
		for i, a := range c.Args[1:] {
			if strings.HasPrefix(a, "@openapitools/openapi-generator-cli") {
				return c.Args[i+2:], "", true
			}
		}
	case "docker", "podman":
		for i, a := range c.Args {
			if m := imagePattern.FindStringSubmatch(a); m != nil {
				return c.Args[i+1:], m[1], true
			}
		}
	}
	return nil, "", false
}

// generate is what "generate" is told.
type generate struct {
	schema, name, config, templates, out string
	properties                           map[string]any
	rest                                 []string
}

func parseGenerate(args []string) generate {
	g := generate{properties: map[string]any{}}
	for i := 0; i < len(args); i++ {
		name, value, inline := strings.Cut(args[i], "=")
		take := func() string {
			if inline {
				return value
			}
			if i++; i < len(args) {
				return args[i]
			}
			return ""
		}
		switch name {
		case "-i", "--input-spec":
			g.schema = take()
		case "-g", "--generator-name":
			g.name = take()
		case "-c", "--config":
			g.config = take()
		case "-t", "--template-dir":
			g.templates = take()
		case "-o", "--output":
			g.out = take()
		case "-p", "--additional-properties":
			for _, p := range strings.Split(take(), ",") {
				if k, v, ok := strings.Cut(p, "="); ok {
					g.properties[strings.TrimSpace(k)] = strings.TrimSpace(v)
				}
			}
		default:
			g.rest = append(g.rest, args[i])
		}
	}
	return g
}

// short is a generator's language.
func short(name string) string {
	first, _, _ := strings.Cut(name, "-")
	return first
}
