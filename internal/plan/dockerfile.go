package plan

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// platform are the arguments that BuildKit sets by itself, for the one platform that Headwater builds for.
func platform() map[string]string {
	return map[string]string{
		"TARGETPLATFORM": "linux/amd64", "TARGETOS": "linux", "TARGETARCH": "amd64", "TARGETVARIANT": "",
		"BUILDPLATFORM": "linux/amd64", "BUILDOS": "linux", "BUILDARCH": "amd64", "BUILDVARIANT": "",
	}
}

// image is a Dockerfile that was followed to its end.
type image struct {
	name   string // in the tree
	stages []*Stage
	lex    *shell.Lex
	meta   map[string]string // arguments before the first FROM
	given  map[string]string // build arguments that something in the tree gives
	shared *shared
}

// follow reads a Dockerfile and follows it. Stages are in the order of the file.
func follow(name string, data []byte, given map[string]string, sh *shared) (*image, error) {
	ast, err := parser.Parse(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	stages, meta, err := instructions.Parse(ast.AST, nil)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	f := &image{name: name, lex: shell.NewLex(ast.EscapeToken), meta: platform(), given: given, shared: sh}
	for _, m := range meta {
		for _, a := range m.Args {
			if err := f.arg(f.meta, f.meta, a); err != nil {
				return nil, fmt.Errorf("read %s: %w", name, err)
			}
		}
	}
	for _, st := range stages {
		if err := f.stage(st); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// arg sets a build argument from what was given, its default, or what is known under its name already.
func (f *image) arg(args, known map[string]string, a instructions.KeyValuePairOptional) error {
	if v, ok := f.given[a.Key]; ok {
		args[a.Key] = v
		return nil
	}
	if a.Value != nil {
		v, _, err := f.lex.ProcessWord(*a.Value, env(known))
		args[a.Key] = v
		return err
	}
	if v, ok := f.meta[a.Key]; ok {
		args[a.Key] = v
	}
	return nil
}

// find is the stage of a name or a number.
func (f *image) find(name string) *Stage {
	for _, s := range slices.Backward(f.stages) {
		if strings.EqualFold(s.Name, name) {
			return s
		}
	}
	if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(f.stages) {
		return f.stages[i]
	}
	return nil
}

// outside is the file system of an image that is not built here.
func (f *image) outside(ref string, e Evidence) *Stage {
	s := &Stage{
		Name: ref, Base: ref, Evidence: e, Env: map[string]string{}, args: map[string]string{}, Dir: "/", Files: &Files{tree: f.shared.Tree}, shared: f.shared,
		Config: Config{Labels: map[string]string{}, Evidence: map[string]Evidence{}},
	}
	return s
}

func (f *image) stage(st instructions.Stage) error {
	e := Evidence{File: f.name, Line: line(st.Location)}
	base, _, err := f.lex.ProcessWord(st.BaseName, env(f.meta))
	if err != nil {
		return fmt.Errorf("%s: %w", e, err)
	}
	var s *Stage
	if parent := f.find(base); parent != nil {
		s = parent.child(st.Name, e)
	} else {
		s = f.outside(base, e)
		s.Name = st.Name
	}
	f.stages = append(f.stages, s)
	for _, c := range st.Commands {
		if err := f.instruction(s, c); err != nil {
			return err
		}
	}
	return nil
}

func (f *image) instruction(s *Stage, c instructions.Command) error {
	e := Evidence{File: f.name, Line: line(c.Location())}
	known := map[string]string{}
	maps.Copy(known, s.args)
	maps.Copy(known, s.Env)
	word := func(w string) (string, error) {
		v, _, err := f.lex.ProcessWord(w, env(known))
		return v, err
	}
	if c, ok := c.(instructions.SupportsSingleWordExpansion); ok {
		if err := c.Expand(word); err != nil {
			return fmt.Errorf("%s: %w", e, err)
		}
	}
	var err error
	switch c := c.(type) {
	case *instructions.ArgCommand:
		for _, a := range c.Args {
			err = errors.Join(err, f.arg(s.args, known, a))
		}
	case *instructions.EnvCommand:
		for _, kv := range c.Env {
			s.Env[kv.Key] = kv.Value
			s.Config.Evidence["env "+kv.Key] = e
		}
	case *instructions.WorkdirCommand:
		s.Dir = Abs(s.Dir, c.Path)
		s.Config.Evidence["workdir"] = e
	case *instructions.CopyCommand:
		f.copy(s, c.From, c.SourcesAndDest, c.ExcludePatterns, e)
	case *instructions.AddCommand:
		f.copy(s, "", c.SourcesAndDest, c.ExcludePatterns, e)
	case *instructions.RunCommand:
		err = f.run(s, c, known, e)
	default:
		f.configure(s, c, e)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", e, err)
	}
	return nil
}

// configure notes what instructions say of how the image runs.
func (f *image) configure(s *Stage, c instructions.Command, e Evidence) {
	switch c := c.(type) {
	case *instructions.UserCommand:
		s.User = c.User
		s.Config.Evidence["user"] = e
	case *instructions.EntrypointCommand:
		s.Config.Entrypoint, s.Config.Cmd = exec(c.ShellDependantCmdLine), nil
		s.Config.Evidence["entrypoint"] = e
	case *instructions.CmdCommand:
		s.Config.Cmd = exec(c.ShellDependantCmdLine)
		s.Config.Evidence["cmd"] = e
	case *instructions.ExposeCommand:
		for _, p := range c.Ports {
			number, protocol, _ := strings.Cut(p, "/")
			if n, err := strconv.Atoi(number); err == nil && protocol != "udp" {
				s.Config.Ports = append(s.Config.Ports, n)
				s.Config.Evidence[fmt.Sprint("port ", n)] = e
			}
		}
	case *instructions.VolumeCommand:
		for _, v := range c.Volumes {
			s.Config.Volumes = append(s.Config.Volumes, path.Clean(v))
			s.Config.Evidence["volume "+path.Clean(v)] = e
		}
	case *instructions.LabelCommand:
		for _, kv := range c.Labels {
			s.Config.Labels[kv.Key] = kv.Value
			s.Config.Evidence["label "+kv.Key] = e
		}
	case *instructions.HealthCheckCommand:
		if c.Health != nil && len(c.Health.Test) > 1 {
			s.Config.Health = c.Health.Test[1:]
			s.Config.Evidence["health"] = e
		}
	}
}

// exec is a command line as a container starts it.
func exec(c instructions.ShellDependantCmdLine) []string {
	if c.PrependShell {
		return append([]string{"/bin/sh", "-c"}, strings.Join(c.CmdLine, " "))
	}
	return c.CmdLine
}

// copy follows COPY and ADD.
func (f *image) copy(s *Stage, from string, c instructions.SourcesAndDest, except []string, e Evidence) {
	dst := Abs(s.Dir, c.DestPath)
	into := strings.HasSuffix(c.DestPath, "/") || c.DestPath == "." || len(c.SourcePaths) > 1
	for _, content := range c.SourceContents {
		s.Files.Place(path.Join(dst, content.Path), Origin{Kind: Empty}, e)
	}
	for _, src := range c.SourcePaths {
		switch {
		case strings.Contains(src, "://"):
			s.Files.Place(path.Join(dst, path.Base(src)), Origin{Kind: Network, Ref: src}, e)
			s.Notes.Remark("the upstream's image downloads "+src, e)
		case from == "":
			f.copySource(s, src, dst, into, except, e)
		default:
			f.copyStage(s, from, src, dst, into, e)
		}
	}
}

// copySource copies out of the tree.
func (f *image) copySource(s *Stage, src, dst string, into bool, except []string, e Evidence) {
	matches := []string{path.Clean(strings.TrimPrefix(src, "/"))}
	if strings.ContainsAny(src, "*?[") {
		matches = s.Tree.match(path.Clean(strings.TrimPrefix(src, "/")))
		into = true
	}
	for _, m := range matches {
		if m == "" || m == "/" {
			m = "."
		}
		at := dst
		if into && !s.Tree.HasDir(m) {
			at = path.Join(dst, path.Base(m)) // a file goes into the folder; of a folder what is in it
		}
		if !s.Tree.Exists(m) {
			s.Missing = append(s.Missing, Missing{m, "", e})
			continue
		}
		s.Files.Place(at, Origin{Kind: Source, Path: m}, e)
		last := &s.Files.placed[len(s.Files.placed)-1]
		last.Except = append(last.Except, except...)
	}
	if len(matches) == 0 {
		s.Missing = append(s.Missing, Missing{src, "", e})
	}
}

// copyStage copies out of another stage or image.
func (f *image) copyStage(s *Stage, from, src, dst string, into bool, e Evidence) {
	stage := f.find(from)
	src = Abs("/", src)
	if stage == nil {
		at := dst
		if into && path.Ext(src) == "" && !strings.HasSuffix(src, "/") {
			at = path.Join(dst, path.Base(src)) // such images bring programs
		}
		s.Files.Place(at, Origin{Kind: Image, Ref: from, Path: src}, e)
		return
	}
	o, _ := stage.Lookup(src)
	at := dst
	if into && f.isFile(stage, src, o) {
		at = path.Join(dst, path.Base(src))
	} else if s.isFolder(dst) && f.isFile(stage, src, o) {
		at = path.Join(dst, path.Base(src))
	}
	if !s.Copy(stage, src, at, e) {
		s.Missing = append(s.Missing, Missing{src, from, e})
	}
}

// isFolder tells whether a folder is known to stand at a path.
func (s *Stage) isFolder(at string) bool {
	o, _ := s.Files.Lookup(at)
	return o.Kind == Empty || o.Kind == Source && s.Tree.HasDir(o.Path) || len(s.Files.Inside(at)) > 0
}

// isFile tells whether what is copied is a file rather than a folder. A build's output that was named as such is taken for what
// its build says: programs are files.
func (f *image) isFile(s *Stage, src string, o Origin) bool {
	switch o.Kind {
	case Source:
		return s.Tree.Has(o.Path)
	case Product:
		return o.Build != nil && slices.ContainsFunc(o.Build.Outputs, func(out Output) bool { return out.At == o.Path && out.File })
	}
	return false
}

// run follows RUN, with what its mounts bring.
func (f *image) run(s *Stage, c *instructions.RunCommand, known map[string]string, e Evidence) error {
	before := s.Files
	mounted := f.mounts(s, c, e)
	if mounted {
		s.Files = s.Files.Clone()
		f.place(s, c, e)
	}
	text := strings.Join(c.CmdLine, " ")
	if !c.PrependShell {
		words := make([]string, len(c.CmdLine))
		for i, w := range c.CmdLine {
			words[i] = quote(w)
		}
		text = strings.Join(words, " ")
	}
	for _, file := range c.Files { // a here-document is the script
		text = file.Data
		e.Line++ // it begins on the next line
	}
	count := len(s.Files.placed)
	err := s.Run(text, s.Dir, known, e)
	if mounted { // keep what was made, not what was mounted
		made := s.Files.placed[min(count, len(s.Files.placed)):]
		s.Files = before
		s.Files.placed = append(slices.Clone(s.Files.placed), made...)
	}
	return err
}

func (f *image) mounts(_ *Stage, c *instructions.RunCommand, _ Evidence) bool {
	return slices.ContainsFunc(instructions.GetMounts(c), func(m *instructions.Mount) bool { return m.Type == instructions.MountTypeBind })
}

// place lays the bind mounts of RUN.
func (f *image) place(s *Stage, c *instructions.RunCommand, e Evidence) {
	for _, m := range instructions.GetMounts(c) {
		if m.Type != instructions.MountTypeBind {
			continue
		}
		dst, src := Abs(s.Dir, m.Target), m.Source
		if src == "" {
			src = "."
		}
		if m.From == "" {
			f.copySource(s, src, dst, false, nil, e)
		} else {
			f.copyStage(s, m.From, src, dst, false, e)
		}
	}
}

func line(location []parser.Range) int {
	if len(location) == 0 {
		return 0
	}
	return location[0].Start.Line
}

// env gives the lexer variables; those that are not known are empty, as in a build.
type env map[string]string

func (e env) Get(k string) (string, bool) { v, ok := e[k]; return v, ok }
func (e env) Keys() []string              { return slices.Sorted(maps.Keys(e)) }
