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
	text   string // of the file
	parsed []instructions.Stage
	made   map[int]*Stage // stages that were followed, by their number
	next   int            // number of the stage that is followed: it knows those before it
	stages []*Stage       // those of made, each after those it needs
	lex    *shell.Lex
	meta   map[string]string // arguments before the first FROM
	given  map[string]string // build arguments that something in the tree gives
	shared *shared
	// context is what COPY copies from.
	context *buildContext
	// bases finds an image by its reference among those that the tree builds; nil if there is none.
	bases func(ref string) (*Stage, error)
}

// read reads a Dockerfile; nothing of it is followed yet.
func (f *image) read(data []byte) error {
	name := f.name
	f.text = string(data)
	ast, err := parser.Parse(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	stages, meta, err := instructions.Parse(ast.AST, nil)
	if err != nil {
		text, _, _ := strings.Cut(err.Error(), " (did you mean") // which is now one word, now another
		return fmt.Errorf("read %s: %s", name, text)
	}
	f.lex, f.meta, f.parsed, f.made, f.next = shell.NewLex(ast.EscapeToken), platform(), stages, map[int]*Stage{}, len(stages)
	for _, m := range meta {
		for _, a := range m.Args {
			if err := f.arg(f.meta, f.meta, a); err != nil {
				return fmt.Errorf("read %s: %w", name, err)
			}
		}
	}
	return nil
}

// follow follows a stage and those that it needs: the one of a name or a number, the last for "". It is nil if there is none.
func (f *image) follow(target string) (*Stage, error) {
	if target == "" {
		return f.at(len(f.parsed) - 1)
	}
	return f.find(target)
}

// arg sets a build argument from what was given, its default, or what is known under its name already.
func (f *image) arg(args, known map[string]string, a instructions.KeyValuePairOptional) error {
	if v, ok := f.given[a.Key]; ok {
		args[a.Key] = v
		return nil
	}
	if v, ok := f.meta[a.Key]; ok && a.Value == nil {
		args[a.Key] = v
	}
	if a.Value != nil {
		v, err := f.word(*a.Value, known)
		if err != nil {
			return err
		}
		args[a.Key] = v
	}
	version := placeholder(a.Key, args[a.Key]) || args[a.Key] == "" && f.own(a.Key)
	if f.shared != nil && f.shared.Release != "" && version { // nil: only the stages' names are wanted
		args[a.Key] = strings.TrimPrefix(f.shared.Release, "v")
	}
	return nil
}

// maxValue is the longest value, in bytes. A value may have itself in it twice, and so on.
const maxValue = 64 << 10

// word expands the variables of a word.
func (f *image) word(w string, known map[string]string) (string, error) {
	v, _, err := f.lex.ProcessWord(w, env(known))
	if err == nil && len(v) > maxValue {
		err = fmt.Errorf("%.40s… expands to more than %d bytes", w, maxValue)
	}
	return v, err
}

// placeholder tells whether an argument is for the release's version and its default says none: who makes the image gives it.
func placeholder(name, value string) bool {
	switch strings.ToUpper(name) {
	case "VERSION", "APP_VERSION", "BUILD_VERSION", "RELEASE", "RELEASE_VERSION", "APPLICATION_VERSION":
		return slices.Contains([]string{"", "dev", "devel", "development", "unknown", "latest", "snapshot", "main", "master", "edge", "local", "none", "0.0.0", "v0.0.0"}, strings.ToLower(value))
	}
	return false
}

// own tells whether an argument is for the version of what is built, by its name and because nothing in the file uses it: then a program
// that is called does.
func (f *image) own(name string) bool {
	return strings.HasSuffix(name, "_VERSION") && !strings.Contains(f.text, "$"+name) && !strings.Contains(f.text, "${"+name)
}

// find is the stage of a name or a number, among those before the one that is followed; nil if there is none.
func (f *image) find(name string) (*Stage, error) {
	for i := f.next - 1; i >= 0; i-- {
		if name != "" && strings.EqualFold(f.parsed[i].Name, name) {
			return f.at(i)
		}
	}
	if i, err := strconv.Atoi(name); err == nil && i < f.next {
		return f.at(i)
	}
	return nil, nil
}

// at is the stage of a number, followed once.
func (f *image) at(i int) (*Stage, error) {
	if i < 0 || i >= len(f.parsed) {
		return nil, nil
	}
	if s := f.made[i]; s != nil {
		return s, nil
	}
	next := f.next
	f.next = i
	s, err := f.stage(f.parsed[i])
	f.next = next
	if err != nil {
		return nil, err
	}
	f.made[i] = s
	f.stages = append(f.stages, s)
	return s, nil
}

// base is the stage of a name in the file, or the image of that name that the tree builds; nil if it is neither.
func (f *image) base(name string) (*Stage, error) {
	if s, err := f.find(name); s != nil || err != nil || f.bases == nil {
		return s, err
	}
	return f.bases(name)
}

// outside is the file system of an image that is not built here.
func (f *image) outside(ref string, e Evidence) *Stage {
	s := &Stage{
		Name: ref, Base: ref, Evidence: e, Env: map[string]string{"PATH": imagePath(ref)}, args: map[string]string{}, Dir: "/", User: imageUser(ref), Files: &Files{tree: f.shared.Tree}, shared: f.shared,
		Config: Config{Labels: map[string]string{}, Evidence: map[string]Evidence{}},
	}
	if parseBase(ref).family == "golang" {
		s.Env["GOPATH"] = "/go"
	}
	return s
}

func (f *image) stage(st instructions.Stage) (*Stage, error) {
	e := Evidence{File: f.name, Line: line(st.Location)}
	base, err := f.word(st.BaseName, f.meta)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e, err)
	}
	var s *Stage
	parent, err := f.base(base)
	if err != nil {
		return nil, err
	}
	if parent != nil {
		s = parent.child(st.Name, e)
	} else {
		s = f.outside(base, e)
		s.Name = st.Name
	}
	for _, c := range st.Commands {
		if err := f.instruction(s, c); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (f *image) instruction(s *Stage, c instructions.Command) error {
	e := Evidence{File: f.name, Line: line(c.Location())}
	known := map[string]string{}
	maps.Copy(known, s.args)
	maps.Copy(known, s.Env)
	word := func(w string) (string, error) { return f.word(w, known) }
	if c, ok := c.(instructions.SupportsSingleWordExpansion); ok {
		if err := c.Expand(word); err != nil {
			return fmt.Errorf("%s: %w", e, err)
		}
	}
	if c, ok := c.(instructions.SupportsSingleWordExpansionRaw); ok { // texts of files: their quotes stay
		lex := shell.NewLex('\\')
		lex.SkipProcessQuotes = true
		raw := *f
		raw.lex = lex
		if err := c.ExpandRaw(func(w string) (string, error) { return raw.word(w, known) }); err != nil {
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
		err = f.copy(s, c.From, c.SourcesAndDest, c.ExcludePatterns, c.Chmod, e)
		if c.Chown != "" {
			s.Owned = append(s.Owned, Owned{Abs(s.Dir, c.DestPath), c.Chown, e})
		}
	case *instructions.AddCommand:
		err = f.copy(s, "", c.SourcesAndDest, c.ExcludePatterns, c.Chmod, e)
	case *instructions.RunCommand:
		err = f.run(s, c, known, e)
	default:
		f.configure(s, c, word, e)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", e, err)
	}
	return nil
}

// configure notes what instructions say of how the image runs.
func (f *image) configure(s *Stage, c instructions.Command, word func(string) (string, error), e Evidence) {
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
		ports := c.Ports
		if written := strings.Fields(c.String()); len(written) == len(ports)+1 { // in its order: the parser sorts them
			ports = written[1:]
		}
		for _, p := range ports {
			if expanded, err := word(p); err == nil {
				p = expanded
			}
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
func (f *image) copy(s *Stage, from string, c instructions.SourcesAndDest, except []string, mode string, e Evidence) error {
	dst := Abs(s.Dir, c.DestPath)
	into := strings.HasSuffix(c.DestPath, "/") || c.DestPath == "." || len(c.SourcePaths)+len(c.SourceContents) > 1
	for _, content := range c.SourceContents {
		at := dst
		if into {
			at = path.Join(dst, content.Path)
		}
		s.Files.Write(at, Origin{Kind: Empty, Text: content.Data, Exec: executable([]string{"", mode})}, e)
	}
	count := len(s.Files.placed)
	for _, src := range c.SourcePaths {
		switch {
		case strings.Contains(src, "://"):
			at := dst
			if into {
				at = path.Join(dst, path.Base(src))
			}
			s.Files.Place(at, Origin{Kind: Network, Ref: src}, e)
			s.Notes.Remark("the upstream's image downloads "+src, e)
		case from == "":
			f.copySource(s, src, dst, into, except, e)
		default:
			if err := f.copyStage(s, from, src, dst, into, e); err != nil {
				return err
			}
		}
	}
	for _, p := range slices.Clone(s.Files.placed[count:]) {
		if executable([]string{"", mode}) {
			s.makeExecutable(p.At, p.Origin.Path != ".", e) // of the whole tree, what is started is named elsewhere
		}
	}
	return nil
}

// copyStage copies out of another stage or image.
func (f *image) copyStage(s *Stage, from, src, dst string, into bool, e Evidence) error {
	stage, err := f.base(from)
	if err != nil {
		return err
	}
	if stage != nil {
		s.from = append(s.from, stage)
	}
	folder := strings.HasSuffix(src, "/")
	src = Abs("/", src)
	name := path.Base(src)
	if stage != nil {
		src = stage.Files.Real(src)
	}
	folder = folder || baseFolders[src]
	ref := from
	if stage != nil {
		ref = stage.BaseImage()
	}
	if repository(ref) == crossImage {
		return nil
	}
	if stage == nil {
		at := dst
		if into && path.Ext(src) == "" && !folder {
			at = path.Join(dst, name) // such images bring programs
		}
		s.Files.Place(at, Origin{Kind: Image, Ref: from, Path: src}, e)
		return nil
	}
	o, _ := stage.Lookup(src)
	at := dst
	if into && stage.isFile(o) {
		at = path.Join(dst, name)
	} else if s.isFolder(dst) && stage.isFile(o) {
		at = path.Join(dst, name)
	}
	if src == "/etc/passwd" || src == "/etc/group" {
		s.Accounts.take(stage.Accounts)
	}
	if name, has := debianHas(src); o.Kind == Unknown && has {
		if name != "" {
			s.Install("apt", e, name)
		}
		return nil
	}
	if o.Kind == Unknown && !stage.belowSource(src) && len(stage.Files.Inside(src)) == 0 && !stage.AnyUnknown() {
		if strings.ContainsAny(path.Base(src), "*?[") {
			s.Notes.Remark(fmt.Sprintf("%s is copied out of the image %s, in which nothing is known to be called so", src, stage.BaseImage()), e)
			return nil
		}
		s.Files.Place(at, Origin{Kind: Image, Ref: stage.BaseImage(), Path: src}, e) // nothing made it: it came with the image
		return nil
	}
	if !s.Copy(stage, src, at, e) && !(stage.makeByHand(src) && s.Copy(stage, src, at, e)) {
		s.Missing = append(s.Missing, Missing{src, from, e})
	}
	return nil
}

// isFolder tells whether a folder is known to stand at a path. A few are in every image that has a file system at all.
func (s *Stage) isFolder(at string) bool {
	o, _ := s.Files.Lookup(at)
	if of, ok := s.CopyOf(o); ok && s.Tree.HasDir(of) {
		return true
	}
	return baseFolders[path.Clean(at)] || o.Kind == Empty || o.Kind == Network && o.Path != "" || o.Kind == Source && s.Tree.HasDir(o.Path) || len(s.Files.Inside(at)) > 0
}

// baseFolders are those that base images have (Filesystem Hierarchy Standard).
var baseFolders = map[string]bool{
	"/": true, "/bin": true, "/etc": true, "/home": true, "/lib": true, "/media": true, "/mnt": true, "/opt": true, "/root": true, "/run": true, "/sbin": true, "/srv": true,
	"/tmp": true, "/usr": true, "/usr/bin": true, "/usr/lib": true, "/usr/local": true, "/usr/local/bin": true, "/usr/local/lib": true, "/usr/local/sbin": true,
	"/usr/local/share": true, "/usr/sbin": true, "/usr/share": true, "/var": true, "/var/lib": true, "/var/tmp": true,
}

// isFile tells whether what is copied is a file rather than a folder. A build's output that was named as such is taken for what
// its build says: programs are files.
func (s *Stage) isFile(o Origin) bool {
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
		if err := f.place(s, c, e); err != nil {
			return err
		}
	}
	text := strings.Join(c.CmdLine, " ")
	if !c.PrependShell {
		words := make([]string, len(c.CmdLine))
		for i, w := range c.CmdLine {
			words[i] = quote(w)
		}
		text = strings.Join(words, " ")
	}
	for i, file := range c.Files {
		if strings.HasPrefix(text, "<<") && i == 0 { // a here-document alone is the script
			text = file.Data
			e.Line++ // it begins on the next line
			break
		}
		text += "\n" + file.Data + file.Name // what a command reads
	}
	s.ran = append(s.ran, ran{text: text, dir: s.Dir, known: known, evidence: e})
	there := slices.Clone(s.Files.placed)
	err := s.Run(text, s.Dir, known, e)
	if mounted { // keep what was made, not what was mounted; some of that may have been removed
		made := slices.DeleteFunc(slices.Clone(s.Files.placed), func(p Placement) bool {
			return slices.ContainsFunc(there, func(q Placement) bool { return p.At == q.At && p.Origin == q.Origin })
		})
		s.Files = before
		s.Files.placed = append(slices.Clone(s.Files.placed), made...)
	}
	return err
}

func (f *image) mounts(_ *Stage, c *instructions.RunCommand, _ Evidence) bool {
	return slices.ContainsFunc(instructions.GetMounts(c), func(m *instructions.Mount) bool { return m.Type == instructions.MountTypeBind })
}

// place lays the bind mounts of RUN.
func (f *image) place(s *Stage, c *instructions.RunCommand, e Evidence) error {
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
		} else if err := f.copyStage(s, m.From, src, dst, false, e); err != nil {
			return err
		}
	}
	return nil
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
