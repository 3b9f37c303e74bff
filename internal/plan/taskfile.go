package plan

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v3"
)

// taskfile is what is used of a Taskfile of version 3 and of those that it includes (Task, "Schema Reference").
type taskfile struct {
	vars  taskVars
	env   taskVars
	tasks map[string]*task // by their whole name, "web:build"
}

// task is one task.
type task struct {
	name  string
	space string // of the file that it is in, "" for the first: what its commands' names of tasks are seen from
	file  string // in the tree
	dir   string // absolute: where it is run, but for what it says itself
	given taskVars
	body  taskBody
}

type taskBody struct {
	Cmds      []taskCmd `yaml:"cmds"`
	Cmd       *taskCmd  `yaml:"cmd"`
	Deps      []taskCmd `yaml:"deps"`
	Dir       string    `yaml:"dir"`
	Vars      taskVars  `yaml:"vars"`
	Env       taskVars  `yaml:"env"`
	Aliases   []string  `yaml:"aliases"`
	Platforms []string  `yaml:"platforms"`
}

// UnmarshalYAML is yaml.Unmarshaler's: a task may be its commands alone.
func (b *taskBody) UnmarshalYAML(n *yaml.Node) error {
	switch n.Kind {
	case yaml.ScalarNode:
		b.Cmd = &taskCmd{}
		return n.Decode(b.Cmd)
	case yaml.SequenceNode:
		return n.Decode(&b.Cmds)
	}
	type plain taskBody
	return n.Decode((*plain)(b))
}

// taskCmd is a command or the call of another task. As a dependency, one word is a task's name.
type taskCmd struct {
	Cmd       string    `yaml:"cmd"`
	Task      string    `yaml:"task"`
	Vars      taskVars  `yaml:"vars"`
	For       yaml.Node `yaml:"for"`
	Defer     yaml.Node `yaml:"defer"`
	Platforms []string  `yaml:"platforms"`
	line      int
}

// UnmarshalYAML is yaml.Unmarshaler's.
func (c *taskCmd) UnmarshalYAML(n *yaml.Node) error {
	c.line = n.Line
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		c.line++ // the text begins on the next line
	}
	if n.Kind == yaml.ScalarNode {
		c.Cmd = n.Value
		return nil
	}
	type plain taskCmd
	return n.Decode((*plain)(c))
}

// taskVars are variables in their order, which is that in which they are worked out.
type taskVars []taskVar

type taskVar struct{ name, value, sh string }

// UnmarshalYAML is yaml.Unmarshaler's. Of lists and maps nothing is taken.
func (v *taskVars) UnmarshalYAML(n *yaml.Node) error {
	for i := 0; i+1 < len(n.Content); i += 2 {
		one := taskVar{name: n.Content[i].Value}
		switch value := n.Content[i+1]; value.Kind {
		case yaml.ScalarNode:
			one.value = value.Value
		case yaml.MappingNode:
			var dynamic struct {
				Sh string `yaml:"sh"`
			}
			if err := value.Decode(&dynamic); err != nil {
				return err
			}
			one.sh = dynamic.Sh
		}
		*v = append(*v, one)
	}
	return nil
}

// taskInclude is another file whose tasks are known by a name before theirs.
type taskInclude struct {
	Taskfile string   `yaml:"taskfile"`
	Dir      string   `yaml:"dir"`
	Flatten  bool     `yaml:"flatten"`
	Vars     taskVars `yaml:"vars"`
}

// UnmarshalYAML is yaml.Unmarshaler's.
func (t *taskInclude) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		t.Taskfile = n.Value
		return nil
	}
	type plain taskInclude
	return n.Decode((*plain)(t))
}

// taskfileNames are those that task looks for, in its order.
func taskfileNames() []string {
	return []string{"Taskfile.yml", "taskfile.yml", "Taskfile.yaml", "taskfile.yaml", "Taskfile.dist.yml", "taskfile.dist.yml", "Taskfile.dist.yaml", "taskfile.dist.yaml"}
}

const (
	maxTaskfiles = 20   // files that include one another
	maxTaskCalls = 1000 // tasks that are called, by all stages of a plan
	maxTaskDepth = 40   // tasks that call tasks
)

// readTaskfile reads a file of a stage, and what it includes. The error is fs.ErrNotExist's where there is none.
func readTaskfile(s *Stage, at string) (*taskfile, error) {
	f := &taskfile{tasks: map[string]*task{}}
	left := maxTaskfiles
	return f, f.include(s, at, path.Dir(at), "", nil, &left)
}

// include reads one file, whose tasks have space before their names.
func (f *taskfile) include(s *Stage, at, dir, space string, given taskVars, left *int) error {
	if *left--; *left < 0 {
		return fmt.Errorf("%s: more than %d Taskfiles include one another", at, maxTaskfiles)
	}
	data, name, err := s.ReadFile(at)
	if err != nil {
		return err
	}
	if len(data) > maxYAML {
		return fmt.Errorf("read %s: has more than %d bytes", name, maxYAML)
	}
	var file struct {
		Vars     taskVars               `yaml:"vars"`
		Env      taskVars               `yaml:"env"`
		Includes map[string]taskInclude `yaml:"includes"`
		Tasks    map[string]taskBody    `yaml:"tasks"`
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	f.vars, f.env = append(f.vars, file.Vars...), append(f.env, file.Env...)
	for _, n := range slices.Sorted(maps.Keys(file.Tasks)) {
		t := &task{name: space + n, space: space, file: name, dir: dir, given: given, body: file.Tasks[n]}
		for _, as := range append([]string{n}, t.body.Aliases...) {
			if f.tasks[space+as] == nil {
				f.tasks[space+as] = t
			}
		}
	}
	for _, n := range slices.Sorted(maps.Keys(file.Includes)) {
		i := file.Includes[n]
		inner, here := space+n+":", dir
		if i.Flatten {
			inner = space
		}
		if i.Dir != "" {
			here = Abs(path.Dir(at), i.Dir)
		}
		to := Abs(path.Dir(at), i.Taskfile)
		if src, ok := s.SourceOf(to); ok && s.Tree.HasDir(src) {
			to = taskfileIn(s, to)
		}
		if err := f.include(s, to, here, inner, i.Vars, left); err != nil {
			s.Notes.Remark(fmt.Sprintf("what %s includes as %s is not followed: %v", name, n, err), Evidence{File: name})
		}
	}
	return nil
}

// taskfileIn is the Taskfile of a folder, the first of the names if there is none.
func taskfileIn(s *Stage, dir string) string {
	for _, n := range taskfileNames() {
		if src, ok := s.SourceOf(path.Join(dir, n)); ok && s.Tree.Has(src) {
			return path.Join(dir, n)
		}
	}
	return path.Join(dir, taskfileNames()[0])
}

// runTask follows the tasks that task is called for. It reports whether there is a Taskfile that has them.
func runTask(c Command, s *Stage) (bool, error) {
	dir, file, names, given, rest := c.Dir, "", []string(nil), taskVars(nil), ""
	for i := 1; i < len(c.Args); i++ {
		flag, value, inline := strings.Cut(c.Args[i], "=")
		switch {
		case c.Args[i] == "--":
			rest, i = strings.Join(c.Args[i+1:], " "), len(c.Args)
		case slices.Contains([]string{"-d", "--dir", "-t", "--taskfile"}, flag):
			if !inline && i+1 < len(c.Args) {
				i++
				value = c.Args[i]
			}
			if strings.Contains(flag, "d") {
				dir = Abs(c.Dir, value)
			} else {
				file = Abs(c.Dir, value)
			}
		case strings.HasPrefix(flag, "-"):
		case inline:
			given = append(given, taskVar{name: flag, value: value})
		default:
			names = append(names, flag)
		}
	}
	if file == "" { // it is looked for upwards
		for file = taskfileIn(s, dir); dir != "/"; file = taskfileIn(s, dir) {
			if _, _, err := s.ReadFile(file); err == nil {
				break
			}
			dir = path.Dir(dir)
		}
	}
	if _, _, err := s.ReadFile(file); err != nil {
		return false, nil
	}
	f, err := readTaskfile(s, file)
	if err != nil {
		return false, err
	}
	if len(names) == 0 {
		names = []string{"default"}
	}
	values := map[string]any{"CLI_ARGS": rest, "ROOT_DIR": path.Dir(file), "USER_WORKING_DIR": c.Dir}
	for k, v := range c.Env {
		values[k] = v
	}
	f.settle(s, values, slices.Concat(given, f.vars, given), path.Dir(file), c) // others are made of what is given, which is stronger than theirs
	for _, n := range names {
		if f.tasks[n] == nil {
			return false, nil
		}
	}
	for _, n := range names {
		if err := f.run(c, s, n, values, nil, 0); err != nil {
			return true, err
		}
	}
	return true, nil
}

// settle works out variables, each of those before.
func (f *taskfile) settle(s *Stage, values map[string]any, vars taskVars, dir string, c Command) {
	for _, v := range vars {
		text, ok := taskText(v.value, values)
		if v.sh != "" {
			if text, ok = taskText(v.sh, values); ok {
				text = s.output(text, dir, c)
			}
		}
		if values[v.name] = ""; ok {
			values[v.name] = text
		}
	}
}

// run follows a task with the values that it is called with.
func (f *taskfile) run(c Command, s *Stage, name string, outer map[string]any, given map[string]any, depth int) error {
	t := f.tasks[name]
	if s.tasks++; s.tasks > maxTaskCalls || depth > maxTaskDepth {
		return fmt.Errorf("%s: its tasks call one another without end", c.Evidence)
	}
	values := maps.Clone(outer)
	values["TASK"] = t.name
	f.settle(s, values, t.given, t.dir, c)
	maps.Copy(values, given)
	dir := t.dir
	if text, ok := taskText(t.body.Dir, values); ok && text != "" {
		dir = Abs(t.dir, text)
	}
	f.settle(s, values, t.body.Vars, dir, c)
	env := map[string]any{}
	for k, v := range values {
		env[k] = v
	}
	f.settle(s, env, slices.Concat(f.env, t.body.Env), dir, c)
	exported := map[string]string{}
	maps.Copy(exported, c.Env)
	for _, v := range slices.Concat(f.env, t.body.Env) {
		exported[v.name], _ = env[v.name].(string)
	}
	if !onThisPlatform(t.body.Platforms) {
		return nil
	}
	call := func(to taskCmd, task string) error {
		task, ok := taskText(task, values)
		if inner, top := strings.CutPrefix(task, ":"); top {
			task = inner
		} else if f.tasks[t.space+task] != nil {
			task = t.space + task
		}
		if e := (Evidence{File: t.file, Line: to.line}); !ok || f.tasks[task] == nil {
			s.Notes.Remark(fmt.Sprintf("the task %q is called, and is in no Taskfile that was read", task), e)
			return nil
		}
		inner := maps.Clone(values)
		f.settle(s, inner, to.Vars, dir, c)
		given := map[string]any{}
		for _, v := range to.Vars {
			given[v.name] = inner[v.name]
		}
		return f.run(c, s, task, outer, given, depth+1)
	}
	for _, d := range t.body.Deps {
		if err := call(d, d.Task+d.Cmd); err != nil {
			return err
		}
	}
	for _, one := range t.commands() {
		e := Evidence{File: t.file, Line: one.line}
		switch text, ok := taskText(one.Cmd, values); {
		case !onThisPlatform(one.Platforms) || !one.Defer.IsZero():
		case !one.For.IsZero() || !ok:
			s.Notes.Remark(fmt.Sprintf("the task %s has a command that is not followed: %s", t.name, short(one.Cmd+one.Task)), e)
		case one.Task != "":
			if err := call(one, one.Task); err != nil {
				return err
			}
		default:
			if err := s.Run(text, dir, exported, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// commands are the task's own.
func (t *task) commands() []taskCmd {
	if t.body.Cmd == nil {
		return t.body.Cmds
	}
	return append(slices.Clone(t.body.Cmds), *t.body.Cmd)
}

// onThisPlatform tells whether one of platforms, "linux", "amd64" or both, is the one that Headwater builds for; without any, all are.
func onThisPlatform(platforms []string) bool {
	return len(platforms) == 0 || slices.Contains(platforms, "linux") || slices.Contains(platforms, "amd64") || slices.Contains(platforms, "linux/amd64")
}

// output is what shell text would print, as far as that is known: nothing of what a checkout would say of its commit.
func (s *Stage) output(text, dir string, c Command) string {
	if strings.Contains(text, "git ") {
		return described(text, s.Release)
	}
	var b boundedText
	if err := s.snapshot().run(text, c.Evidence.File, dir, c.Env, c.Evidence, &b); err != nil {
		return "" // it is followed no further than to here
	}
	return strings.TrimRight(b.String(), "\n")
}

// taskText expands a template. It is not ok where that cannot be followed.
func taskText(text string, values map[string]any) (string, bool) {
	if !strings.Contains(text, "{{") {
		return text, true
	}
	out, err := expandTemplate(text, values, template.FuncMap{
		"OS": func() string { return "linux" }, "ARCH": func() string { return "amd64" }, "exeExt": func() string { return "" }, "numCPU": func() int { return 1 },
		"default": func(otherwise, v any) any {
			if v == nil || v == "" {
				return otherwise
			}
			return v
		},
		"coalesce": func(all ...any) any {
			for _, v := range all {
				if v != nil && v != "" {
					return v
				}
			}
			return ""
		},
		"ternary": func(yes, no any, v bool) any {
			if v {
				return yes
			}
			return no
		},
		"empty": func(v any) bool { return v == nil || v == "" },
		"trim":  strings.TrimSpace, "lower": strings.ToLower, "upper": strings.ToUpper,
		"trimPrefix": func(prefix, s string) string { return strings.TrimPrefix(s, prefix) },
		"trimSuffix": func(suffix, s string) string { return strings.TrimSuffix(s, suffix) },
		"hasPrefix":  func(prefix, s string) bool { return strings.HasPrefix(s, prefix) },
		"hasSuffix":  func(suffix, s string) bool { return strings.HasSuffix(s, suffix) },
		"contains":   func(part, s string) bool { return strings.Contains(s, part) },
		"joinPath":   path.Join, "fromSlash": path.Clean, "toSlash": path.Clean, "shellQuote": quote, "q": quote, "quote": quote,
		"env": func(string) string { return "" }, "now": func() string { return "" }, "unixEpoch": func(string) string { return "" }, "date": func(string, string) string { return "" },
	})
	return out, err == nil
}

// expandTemplate executes a template of Go's whose text and result are bounded. What is not known is "".
func expandTemplate(text string, values map[string]any, functions template.FuncMap) (string, error) {
	if len(text) > longestTemplate || endless.MatchString(text) {
		return "", errors.New("is not followed")
	}
	t, err := template.New("").Option("missingkey=zero").Funcs(functions).Parse(text)
	if err != nil {
		return "", err
	}
	var b boundedText
	if err := t.Execute(&b, values); err != nil {
		return "", err
	}
	return strings.ReplaceAll(b.String(), "<no value>", ""), nil
}
