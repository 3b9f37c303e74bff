package openapi

import (
	"path"
	"strings"

	"go.yaml.in/yaml/v3"
)

// templateDir is the folder of templates that a configuration file of the generator's names, "" if it names none. One that is run in a
// container may name an absolute folder, which is a mount of the tree there.
func templateDir(config []byte) string {
	var c struct {
		TemplateDir string `yaml:"templateDir"`
	}
	if err := yaml.Unmarshal(config, &c); err != nil { // the generator says what is wrong with it
		return ""
	}
	return c.TemplateDir
}

// inTree finds what the tree has of an absolute folder: the longest end of its path that is there.
func inTree(dir string, exists func(string) bool) (string, bool) {
	for dir = strings.TrimPrefix(path.Clean(dir), "/"); dir != ""; {
		if exists(dir) {
			return dir, true
		}
		_, rest, more := strings.Cut(dir, "/")
		if !more {
			break
		}
		dir = rest
	}
	return "", false
}
