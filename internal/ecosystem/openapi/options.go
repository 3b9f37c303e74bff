package openapi

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"headwater/internal/dag"
	"headwater/internal/ecosystem"
	"headwater/internal/recipe"
)

// options are a component's options; the package's doc describes them.
type options struct {
	Schema     string         `json:"schema"`
	Generator  string         `json:"generator"`
	Properties map[string]any `json:"properties"`
	Config     string         `json:"config"`
	Templates  string         `json:"templates"`
	Args       []string       `json:"args"`
	Into       string         `json:"into"`

	properties []string // name=value, sorted
}

var (
	generatorPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
	propertyPattern  = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
)

func parseOptions(c recipe.Component) (options, error) {
	var o options
	if err := ecosystem.Options(c.Options, &o); err != nil {
		return o, err
	}
	if o.Into == "" {
		o.Into = "generated"
	}
	switch {
	case o.Schema == "":
		return o, errors.New("read options: schema is missing: the path of the OpenAPI document")
	case o.Generator == "":
		return o, errors.New("read options: generator is missing, such as go or typescript-fetch")
	case !generatorPattern.MatchString(o.Generator):
		return o, fmt.Errorf("read options: generator %q is not a generator's name", o.Generator)
	case !fs.ValidPath(o.Into) || o.Into == ".":
		return o, fmt.Errorf("read options: into %q is not a clean path below the component's folder", o.Into)
	}
	for _, p := range []struct{ name, path string }{{"schema", o.Schema}, {"config", o.Config}, {"templates", o.Templates}} {
		if p.path != "" && (path.IsAbs(p.path) || !fs.ValidPath(path.Join(c.Dir, p.path))) {
			return o, fmt.Errorf("read options: %s %q is not a path in the source", p.name, p.path)
		}
	}
	for i, a := range o.Args {
		if strings.ContainsRune(a, 0) {
			return o, fmt.Errorf("read options: args[%d] has a zero byte", i)
		}
	}
	return o, o.readProperties()
}

// readProperties spells the properties as the generator's command line takes them.
func (o *options) readProperties() error {
	all := map[string]any{"hideGenerationTimestamp": true}
	maps.Copy(all, o.Properties)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		var value string
		switch v := all[name].(type) {
		case string:
			value = v
		case bool:
			value = strconv.FormatBool(v)
		case float64: // what JSON makes of a number
			value = strconv.FormatFloat(v, 'f', -1, 64)
		default:
			return fmt.Errorf("read options: properties: %s is neither text, number nor truth value", name)
		}
		if !propertyPattern.MatchString(name) {
			return fmt.Errorf("read options: properties: %q is not a property's name", name)
		}
		// The command line has one list of all properties, parted by commas.
		if strings.ContainsAny(value, ",\n\x00") {
			return fmt.Errorf("read options: properties: the value of %s has a comma or a line end: put it in a file and name that in the option config", name)
		}
		o.properties = append(o.properties, name+"="+value)
	}
	return nil
}

// checkFiles checks that what the options name is in what the component sees.
func (o options) checkFiles(fsys fs.FS, dir string) error {
	for _, p := range []struct{ name, path string }{{"schema", o.Schema}, {"config", o.Config}, {"templates", o.Templates}} {
		if p.path == "" {
			continue
		}
		if _, err := fs.Stat(fsys, path.Join(dir, p.path)); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("read options: the %s %s is not among the files that the component's src selects", p.name, path.Join(dir, p.path))
		} else if err != nil {
			return err
		}
	}
	return nil
}

// script runs the generator in the component's folder. Java's first compiler alone is quicker for a program that ends after
// seconds.
func (o options) script(jar string) string {
	args := []string{"generate", "--input-spec", o.Schema, "--generator-name", o.Generator, "--output", o.Into}
	if o.Config != "" {
		args = append(args, "--config", o.Config)
	}
	if o.Templates != "" {
		args = append(args, "--template-dir", o.Templates)
	}
	args = append(args, "--additional-properties="+strings.Join(o.properties, ","))
	args = append(args, o.Args...)
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = dag.Quote(a)
	}
	return `command -v java >/dev/null || { echo "the root has no java: add a package such as openjdk-21-jre-headless to the root's packages" >&2; exit 1; }` + "\n" +
		"java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Duser.home=\"$HOME\" -jar " + jar + " " + strings.Join(words, " ") + "\n"
}
