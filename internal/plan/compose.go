package plan

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"mvdan.cc/sh/v3/shell"
)

// maxYAML is the largest compose file or pipeline that is read, in bytes.
const maxYAML = 1 << 20

// composeFile is what is used of a compose file. Values are as written, with their variables.
type composeFile struct {
	name     string                    // in the tree
	Services map[string]composeService `yaml:"services"`
	lines    map[string]int            // of services
	volumes  []string
	examples []Evidence        // what was read in the place of files of variables that the operator writes
	env      map[string]string // of the .env file beside it, which gives its variables their values
}

// composeService is one service of a compose file.
type composeService struct {
	Image       string       `yaml:"image"`
	Build       composeBuild `yaml:"build"`
	Command     commandLine  `yaml:"command"`
	Entrypoint  commandLine  `yaml:"entrypoint"`
	Environment words        `yaml:"environment"`
	EnvFile     words        `yaml:"env_file"`
	Ports       []composePort
	Volumes     []composeVolume
	User        string      `yaml:"user"`
	Restart     string      `yaml:"restart"`
	Profiles    words       `yaml:"profiles"`
	Depends     composeDeps `yaml:"depends_on"`
	Health      struct {
		Test commandLine `yaml:"test"`
	} `yaml:"healthcheck"`
}

// composeBuild is how a service's image is built.
type composeBuild struct {
	Context, Dockerfile, Target string
	Args                        words
}

// UnmarshalYAML is yaml.Unmarshaler's.
func (b *composeBuild) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		b.Context = n.Value
		return nil
	}
	type plain composeBuild
	return n.Decode((*plain)(b))
}

// commandLine is a command that is written as a list of words, or as one text that is split as a shell does.
type commandLine []string

// UnmarshalYAML is yaml.Unmarshaler's.
func (c *commandLine) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		return (*words)(c).UnmarshalYAML(n)
	}
	list, err := shell.Fields(interpolate(n.Value, known(nil)), func(string) string { return "" })
	*c = list
	return err
}

// composePort is the port of a container, 0 where it is no single number.
type composePort int

// UnmarshalYAML is yaml.Unmarshaler's.
func (p *composePort) UnmarshalYAML(n *yaml.Node) error {
	text := n.Value
	if n.Kind == yaml.MappingNode {
		var long struct{ Target string }
		if err := n.Decode(&long); err != nil {
			return err
		}
		text = long.Target
	}
	text, protocol, _ := strings.Cut(interpolate(text, known(nil)), "/")
	if protocol != "udp" {
		_, _ = fmt.Sscanf(text[strings.LastIndexByte(text, ':')+1:], "%d", (*int)(p)) // a range is none
	}
	return nil
}

// composeVolume is what is mounted where.
type composeVolume struct{ Source, Target string }

// UnmarshalYAML is yaml.Unmarshaler's.
func (v *composeVolume) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.MappingNode {
		type plain composeVolume
		return n.Decode((*plain)(v))
	}
	parts := strings.Split(interpolate(n.Value, known(nil)), ":")
	if v.Target = parts[0]; len(parts) > 1 {
		v.Source, v.Target = parts[0], parts[1]
	}
	return nil
}

// composeDeps are the services that must be there first, with the condition.
type composeDeps map[string]string

// UnmarshalYAML is yaml.Unmarshaler's.
func (d *composeDeps) UnmarshalYAML(n *yaml.Node) error {
	*d = composeDeps{}
	if n.Kind == yaml.MappingNode {
		var m map[string]struct{ Condition string }
		if err := n.Decode(&m); err != nil {
			return err
		}
		for k, v := range m {
			(*d)[k] = v.Condition
		}
		return nil
	}
	var list []string
	err := n.Decode(&list)
	for _, s := range list {
		(*d)[s] = ""
	}
	return err
}

// composeNames tells whether a file, or the folder that it is in, is named like a compose file.
func composeNames(name string) bool {
	ext := path.Ext(name)
	return (ext == ".yml" || ext == ".yaml") && slices.ContainsFunc([]string{path.Base(name), path.Base(path.Dir(name))}, func(word string) bool {
		word = strings.ToLower(word)
		return strings.HasPrefix(word, "compose") || strings.HasPrefix(word, "docker-compose") || strings.HasPrefix(word, "podman-compose")
	})
}

// parseCompose reads a compose file.
func parseCompose(name string, data []byte) (*composeFile, error) {
	if len(data) > maxYAML {
		return nil, fmt.Errorf("read %s: has more than %d bytes", name, maxYAML)
	}
	c := &composeFile{name: name, lines: map[string]int{}}
	if err := yaml.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	var top struct {
		Services yaml.Node            `yaml:"services"`
		Volumes  map[string]yaml.Node `yaml:"volumes"`
	}
	if err := yaml.Unmarshal(data, &top); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	for i := 0; i+1 < len(top.Services.Content); i += 2 {
		c.lines[top.Services.Content[i].Value] = top.Services.Content[i].Line
	}
	c.volumes = slices.Sorted(maps.Keys(top.Volumes))
	return c, nil
}

// evidence is where a service stands.
func (c *composeFile) evidence(service, rule string) Evidence {
	return Evidence{File: c.name, Line: c.lines[service], Rule: rule}
}

// composeFiles reads the compose files of a tree; those that cannot be read are told in notes.
func composeFiles(t *Tree, notes *Notes) []*composeFile {
	var out []*composeFile
	for _, name := range t.Files() {
		if !composeNames(name) {
			continue
		}
		data, err := t.Read(name)
		if err != nil {
			notes.Remark(err.Error(), Evidence{File: name})
			continue
		}
		c, err := parseCompose(name, data)
		if err != nil {
			notes.Remark(err.Error(), Evidence{File: name})
			continue
		}
		c.readEnv(t)
		out = append(out, c)
	}
	return out
}

// readEnv reads the files of variables that the tree has: .env beside the compose file, and those that services name, whose variables are
// their environment where it says nothing else.
func (c *composeFile) readEnv(t *Tree) {
	read := func(name string) map[string]string {
		file := path.Join(path.Dir(c.name), name)
		example := !t.Has(file)
		if example { // it is the operator's to write, after an example
			if file = envExample(t, file); file == "" {
				return nil
			}
			if e := (Evidence{File: file}); !slices.Contains(c.examples, e) {
				c.examples = append(c.examples, e)
			}
		}
		data, err := t.Read(file)
		if err != nil || len(data) > maxYAML {
			return nil
		}
		all := variablesOf(string(data))
		if example {
			maps.DeleteFunc(all, func(_, v string) bool { return placeholderValue.MatchString(v) })
		}
		return all
	}
	c.env = read(".env")
	for _, name := range slices.Sorted(maps.Keys(c.Services)) {
		s := c.Services[name]
		for _, file := range slices.Backward(s.EnvFile) { // the last one's are the strongest
			more := read(interpolate(file, known(c.env)))
			for _, k := range slices.Sorted(maps.Keys(more)) {
				if !slices.ContainsFunc(s.Environment, func(e string) bool { n, _, _ := strings.Cut(e, "="); return n == k }) {
					s.Environment = append(s.Environment, k+"="+strings.ReplaceAll(more[k], "$", "$$"))
				}
			}
		}
		c.Services[name] = s
	}
}

// placeholderValue finds values that an example has only to show where somebody's own belongs.
var placeholderValue = regexp.MustCompile(`(?i)\bexample\.|\.example\b|(?:my|your)[-_.]?domain|\byour[-_ ]|change[-_ ]?(?:me|this)|^<.*>$|^x{3,}$`)

// envExample is the example that a tree has for a file of variables, by the names that are usual: beside it, else at the top. It is "" if there is
// none.
func envExample(t *Tree, file string) string {
	base := path.Base(file)
	bare := strings.TrimPrefix(base, ".")
	var names []string
	for _, word := range []string{"example", "template", "sample", "dist"} {
		names = append(names, base+"."+word, base+"-"+word, base+"_"+word, bare+"."+word, word+"."+bare, "."+word+"."+bare)
	}
	for _, dir := range []string{path.Dir(file), "."} {
		for _, n := range names {
			if at := path.Join(dir, n); t.Has(at) {
				return at
			}
		}
	}
	return ""
}

// variablesOf are the lines NAME=VALUE of a file of variables, with or without "export" and quotes.
func variablesOf(text string) map[string]string {
	all := map[string]string{}
	for _, line := range strings.Split(text, "\n") {
		name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || !variableName.MatchString(name) {
			continue
		}
		switch {
		case value != "" && strings.ContainsRune("\"'", rune(value[0])):
			value, _, _ = strings.Cut(value[1:], value[:1])
		default:
			value, _, _ = strings.Cut(value, " #")
			value = strings.TrimSpace(value)
		}
		all[name] = value
	}
	return all
}

// composeFiles notes the images that compose files build.
func (p *places) composeFiles(notes *Notes) {
	for _, c := range composeFiles(p.tree, notes) {
		if Aside(c.name) != "" {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(c.Services)) {
			s := c.Services[name]
			if s.Build.Context == "" && s.Build.Dockerfile == "" || strings.Contains(s.Build.Context, "://") {
				continue
			}
			n := &place{kind: "compose", target: interpolate(s.Build.Target, known(nil)), args: map[string]string{}, context: p.machine("compose"), evidence: c.evidence(name, "")}
			n.dir = Abs(path.Join(checkoutDir, path.Dir(c.name)), interpolate(s.Build.Context, known(nil)))
			n.dockerfile = path.Join(n.dir, "Dockerfile")
			if s.Build.Dockerfile != "" {
				n.dockerfile = Abs(n.dir, interpolate(s.Build.Dockerfile, known(nil)))
			}
			for _, a := range s.Build.Args {
				if k, v, ok := strings.Cut(interpolate(a, known(nil)), "="); ok && v != "" {
					n.args[k] = v
				}
			}
			if s.Image != "" {
				n.tags = []string{interpolate(s.Image, known(nil))}
			}
			p.add(n)
		}
	}
}

// known is what interpolate puts for a variable: its value, else its default, else nothing.
func known(values map[string]string) func(name, op, word string) string {
	return func(name, op, word string) string {
		v, set := values[name]
		switch op {
		case ":-":
			if v == "" {
				return word
			}
		case "-":
			if !set {
				return word
			}
		case ":+", "+":
			if v != "" {
				return word
			}
		}
		return v
	}
}

// interpolate replaces the variables of a compose file's value: $NAME, ${NAME}, ${NAME:-default}, ${NAME:?error} and the like; $$ is
// a dollar. Words of operators are interpolated themselves; one that is maxNested deep is left as it is.
func interpolate(text string, value func(name, op, word string) string) string {
	return interpolateIn(text, value, 0)
}

// maxNested is how deep expansions may stand in one another: each level reads all of the rest.
const maxNested = 64

func interpolateIn(text string, value func(name, op, word string) string, depth int) string {
	if depth == maxNested {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '$' || i+1 == len(text) {
			b.WriteByte(text[i])
			continue
		}
		i++
		switch {
		case text[i] == '$':
			b.WriteByte('$')
		case text[i] == '{':
			end := closing(text, i)
			name, op, word := variableParts(text[i+1 : end])
			b.WriteString(value(name, op, interpolateIn(word, value, depth+1)))
			i = end
		default:
			end := i
			for end < len(text) && isNameByte(text[end]) {
				end++
			}
			if end == i {
				b.WriteByte('$')
				b.WriteByte(text[i])
				continue
			}
			b.WriteString(value(text[i:end], "", ""))
			i = end - 1
		}
	}
	return b.String()
}

// variableParts splits what stands between ${ and }.
func variableParts(s string) (name, op, word string) {
	end := 0
	for end < len(s) && isNameByte(s[end]) {
		end++
	}
	name, rest := s[:end], s[end:]
	for _, op := range []string{":-", ":?", ":+", "-", "?", "+"} {
		if word, ok := strings.CutPrefix(rest, op); ok {
			return name, op, word
		}
	}
	return name, "", ""
}

func isNameByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
