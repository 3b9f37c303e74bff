package python

import (
	"path"

	"go.yaml.in/yaml/v3"

	"headwater/internal/plan"
)

// mkdocs is "mkdocs build", which writes a site into the folder that its options, else its configuration, name (MkDocs,
// "Configuration": site_dir).
func (p planner) mkdocs(rest, words []string) error {
	if len(rest) == 0 || rest[0] != "build" {
		return nil
	}
	config, site := "mkdocs.yml", ""
	flags := map[string]*string{"-f": &config, "--config-file": &config, "-d": &site, "--site-dir": &site}
	for i := 1; i+1 < len(rest); i++ {
		if at := flags[rest[i]]; at != nil {
			*at = rest[i+1]
		}
	}
	config = plan.Abs(p.c.Dir, config)
	e := p.c.Evidence
	dir := p.c.Dir
	if site == "" {
		site, dir = "site", path.Dir(config)
		if data, name, err := p.ReadFile(config); err == nil {
			if n := siteDir(data); n != nil {
				site, e = n.Value, plan.Evidence{File: name, Line: n.Line, Rule: "site_dir"}
			}
		}
	}
	b := p.plain(words)
	if b.Name == "" {
		b.Name = "docs"
	}
	p.Makes(b, plan.Output{At: plan.Abs(dir, site)}, e)
	return nil
}

// siteDir is the value of site_dir in a configuration, nil if it has none. The rest may have tags of Python's.
func siteDir(data []byte) *yaml.Node {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil || len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return nil
	}
	top := doc.Content[0].Content
	for i := 0; i+1 < len(top); i += 2 {
		if top[i].Value == "site_dir" && top[i+1].Kind == yaml.ScalarNode {
			return top[i+1]
		}
	}
	return nil
}
