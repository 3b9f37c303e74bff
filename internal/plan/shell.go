package plan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

const (
	maxDepth = 12       // scripts that call scripts
	maxCalls = 30000    // commands of one text, the shell's own included
	maxText  = 64 << 10 // bytes of one text: what is nested in it, the stack of the parser has to hold
	maxBytes = 4 << 20  // of all variables
)

// Run interprets shell text in a folder: conditions, loops and expansions as a shell does, but each program that it calls is only
// looked at. at is where the text begins; params are its $1, $2 and so on.
func (s *Stage) Run(text, dir string, env map[string]string, at Evidence, params ...string) error {
	return s.run(text, at.File, dir, env, at, io.Discard, params...)
}

// run is Run of a text whose $0 is name and whose output goes to out.
func (s *Stage) run(text, name, dir string, env map[string]string, at Evidence, out io.Writer, params ...string) error {
	if s.depth++; s.depth > maxDepth {
		return fmt.Errorf("%s: scripts call scripts more than %d deep", at, maxDepth)
	}
	defer func() { s.depth-- }()
	file, err := parseShell(text, name)
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	run := &shellRun{stage: s, at: at}
	runner, err := interp.New(
		interp.Env(expand.ListEnviron(environ(s.Env, env)...)), interp.StdIO(nil, out, io.Discard),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return run.exec }),
		interp.Params(append([]string{"--"}, params...)...),
		interp.CallHandler(run.call),
		interp.OpenHandler(run.open), interp.StatHandler(run.stat), interp.ReadDirHandler2(run.readDir),
		interp.AccessHandler(func(context.Context, string, interp.AccessMode) error { return nil }),
	)
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	runner.Dir = path.Clean(dir)
	err = runner.Run(context.Background(), file)
	if _, exited := interp.IsExitStatus(err); exited {
		err = nil // what a condition of the script decided
	}
	return errors.Join(err, run.err)
}

// parseShell reads a text and makes it one that can be followed safely.
func parseShell(text, name string) (*syntax.File, error) {
	file, err := parseAsIs(text, name)
	if err != nil {
		return nil, err
	}
	inOrder(file)
	goOn(file)
	guard(file)
	return file, nil
}

// goOn has a text go on where it would end with an error. What is followed did not end so where it was run, or there would be no image: a
// condition that leads there was about something that is not known here, as is where links lead.
func goOn(file *syntax.File) {
	syntax.Walk(file, func(n syntax.Node) bool {
		c, ok := n.(*syntax.CallExpr)
		if !ok || len(c.Args) != 2 {
			return true
		}
		switch name, arg := c.Args[0].Lit(), c.Args[1].Lit(); {
		case name == "exit" && strings.Trim(arg, "0123456789") == "" && strings.Trim(arg, "0") != "":
			c.Args = call(":").Args
		case name == "pwd" && arg == "-P": // of links, this machine would be asked
			c.Args = c.Args[:1]
		}
		return true
	})
}

// parseAsIs reads a text that is not followed.
func parseAsIs(text, name string) (*syntax.File, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("has more than %d bytes", maxText)
	}
	return syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), name)
}

// guard has a ":" called before each assignment and in each turn of a loop, so that call sees what grows and what does not end. That
// changes nothing: an assignment sets the status itself, and where it reads the one before it is left alone.
func guard(file *syntax.File) {
	done := map[*syntax.Stmt]bool{}
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.Stmt:
			if !done[n] && assigns(n.Cmd) {
				inner := &syntax.Stmt{Position: n.Position, Cmd: n.Cmd}
				done[inner] = true
				n.Cmd = &syntax.Block{Lbrace: n.Position, Stmts: []*syntax.Stmt{colon(), inner}}
			}
		case *syntax.WhileClause:
			n.Do = append([]*syntax.Stmt{colon()}, n.Do...)
			if sleeps(n) { // it waits for what is not here: a server, a container
				n.Do = append(n.Do, &syntax.Stmt{Cmd: call("break")})
			}
		case *syntax.ForClause:
			n.Do = append([]*syntax.Stmt{colon()}, n.Do...)
		}
		return true
	})
}

func colon() *syntax.Stmt { return &syntax.Stmt{Cmd: call(":")} }

func call(name string) *syntax.CallExpr {
	return &syntax.CallExpr{Args: []*syntax.Word{{Parts: []syntax.WordPart{&syntax.Lit{Value: name}}}}}
}

// sleeps tells whether a loop lets time go by.
func sleeps(loop *syntax.WhileClause) bool {
	found := false
	syntax.Walk(loop, func(n syntax.Node) bool {
		if c, ok := n.(*syntax.CallExpr); ok && len(c.Args) > 0 && c.Args[0].Lit() == "sleep" {
			found = true
		}
		return !found
	})
	return found
}

// withoutWaiting is a command without what waits for another service before it: loops that sleep, before what a shell is told. What starts a service
// sees to it that those that it needs are there, and under no other name than it was told.
func withoutWaiting(words []string) []string {
	n := len(words) - 1
	if n < 2 || !strings.HasSuffix(path.Base(words[0]), "sh") || !strings.HasPrefix(words[n-1], "-") || !strings.HasSuffix(words[n-1], "c") {
		return words
	}
	file, err := parseAsIs(words[n], "")
	if err != nil {
		return words
	}
	before := printed(file)
	for len(file.Stmts) > 0 {
		s := afterWaiting(file.Stmts[0])
		if s != nil {
			file.Stmts[0] = s
			break
		}
		file.Stmts = file.Stmts[1:]
	}
	after := printed(file)
	if after == before || len(file.Stmts) == 0 {
		return words
	}
	words[n] = strings.TrimSpace(after)
	return unwrap(words)
}

// afterWaiting is a statement without the loops that sleep at its beginning, nil if it is nothing else.
func afterWaiting(s *syntax.Stmt) *syntax.Stmt {
	switch c := s.Cmd.(type) {
	case *syntax.WhileClause:
		if sleeps(c) {
			return nil
		}
	case *syntax.BinaryCmd:
		if c.Op != syntax.AndStmt {
			break
		}
		if c.X = afterWaiting(c.X); c.X == nil {
			return c.Y
		}
	}
	return s
}

// assigns tells whether a command only sets variables, and not to the status of the one before.
func assigns(c syntax.Command) bool {
	switch c := c.(type) {
	case *syntax.CallExpr:
		if len(c.Args) > 0 || len(c.Assigns) == 0 {
			return false
		}
	case *syntax.DeclClause:
	default:
		return false
	}
	status := false
	syntax.Walk(c, func(n syntax.Node) bool {
		if p, ok := n.(*syntax.ParamExp); ok && p.Param != nil && p.Param.Value == "?" {
			status = true
		}
		return true
	})
	return !status
}

// inOrder makes a text run its commands one after the other: no pipes, nothing in the background.
func inOrder(file *syntax.File) {
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.BinaryCmd:
			if n.Op == syntax.Pipe || n.Op == syntax.PipeAll {
				n.Op = syntax.AndStmt
				if redirect := teed(n.Y); redirect != nil && n.X.Redirs == nil {
					n.X.Redirs, n.Y.Cmd = []*syntax.Redirect{redirect}, call(":")
				}
				if n.X.Redirs == nil { // what the next one reads is not what the text gives
					null := &syntax.Word{Parts: []syntax.WordPart{&syntax.Lit{Value: "/dev/null"}}}
					n.X.Redirs = []*syntax.Redirect{{Op: syntax.RdrOut, Word: null}}
				}
			}
		case *syntax.Stmt:
			n.Background, n.Coprocess = false, false
		}
		return true
	})
}

// teed is the redirection that has the same written to the same file as a pipe to tee, nil if a command is not that.
func teed(s *syntax.Stmt) *syntax.Redirect {
	c, ok := s.Cmd.(*syntax.CallExpr)
	if !ok || len(c.Args) < 2 || c.Args[0].Lit() != "tee" {
		return nil
	}
	r := &syntax.Redirect{Op: syntax.RdrOut, Word: c.Args[len(c.Args)-1]}
	switch {
	case len(c.Args) == 2:
	case len(c.Args) == 3 && (c.Args[1].Lit() == "-a" || c.Args[1].Lit() == "--append"):
		r.Op = syntax.AppOut
	default:
		return nil
	}
	return r
}

func environ(layers ...map[string]string) []string {
	all := map[string]string{}
	for _, l := range layers {
		maps.Copy(all, l)
	}
	list := make([]string, 0, len(all))
	for _, k := range slices.Sorted(maps.Keys(all)) {
		list = append(list, k+"="+all[k])
	}
	return list
}

// shellRun is the world of one shell text.
type shellRun struct {
	stage *Stage
	at    Evidence
	err   error // the first error of a recogniser; the shell cannot carry it
	calls int
	reads bool // the next file that is opened is a script
	vague bool // something is used that a command gives and that is not known
}

// maxFrames is how deep a text may call itself, in frames of Go's stack: of some ten a call.
const maxFrames = 4000

// call sees each command before it is run.
func (r *shellRun) call(ctx context.Context, args []string) ([]string, error) {
	if r.calls++; r.calls > maxCalls || runtime.Callers(maxFrames, make([]uintptr, 1)) > 0 {
		return nil, fmt.Errorf("%s: does not end", r.at)
	}
	size := 0
	for _, a := range args {
		size += len(a)
	}
	switch args[0] {
	case ":":
		for _, v := range interp.HandlerCtx(ctx).Env.Each {
			size += len(v.Str)
			for _, s := range v.List {
				size += len(s) + 16
			}
			for k, s := range v.Map {
				size += len(k) + len(s) + 16
			}
		}
	case ".", "source":
		r.reads = true
	case "set":
		args = unsetIsEmpty(args)
	case "eval":
		if file, err := parseShell(strings.Join(args[1:], " "), ""); err == nil {
			args = []string{"eval", printed(file)}
		}
	}
	if size > maxBytes {
		return nil, fmt.Errorf("%s: its values grow to more than %d bytes", r.at, maxBytes)
	}
	return args, nil
}

// unsetIsEmpty is a call of "set" that does not end a text at a variable without a value: of many, only the values are not known.
func unsetIsEmpty(args []string) []string {
	out := args[:1:1]
	for i := 1; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--":
			return append(out, args[i:]...)
		case a == "nounset" && strings.HasSuffix(args[i-1], "o"):
			out = out[:len(out)-1]
			if a = strings.TrimSuffix(args[i-1], "o"); len(a) > 1 {
				out = append(out, a)
			}
		case len(a) > 1 && a[0] == '-' && a[1] != '-':
			if a = strings.ReplaceAll(a, "u", ""); len(a) > 1 {
				out = append(out, a)
			}
		default:
			out = append(out, a)
		}
	}
	if len(out) == 1 && len(args) > 1 {
		return []string{":"}
	}
	return out
}

func printed(file *syntax.File) string {
	var b strings.Builder
	if err := syntax.NewPrinter().Print(&b, file); err != nil {
		return ""
	}
	return b.String()
}

func (r *shellRun) exec(ctx context.Context, args []string) error {
	h := interp.HandlerCtx(ctx)
	c := Command{Args: args, Dir: h.Dir, Env: map[string]string{}, Evidence: r.at}
	if r.at.Line > 0 && h.Pos.IsValid() {
		c.Evidence.Line += int(h.Pos.Line()) - 1
	}
	status, printed := interp.ExitStatus(0), false
	c.stdout = func(text string) {
		printed = true
		_, _ = io.WriteString(h.Stdout, text) // a shell's own buffer
	}
	c.taken = h.Stdout != io.Discard
	c.fail = func() { status = 1 }
	if h.Stdin != nil {
		c.stdin = func() string {
			text, err := io.ReadAll(io.LimitReader(h.Stdin, maxText))
			if err != nil {
				return "" // as of a file that cannot be read
			}
			return string(text)
		}
	}
	for name, v := range h.Env.Each {
		if v.Exported && v.IsSet() {
			c.Env[name] = v.String()
		}
	}
	if err := r.stage.recognise(c); err != nil && r.err == nil {
		r.err = err
		return interp.ExitStatus(1)
	}
	if f, ok := h.Stdout.(*writtenFile); ok && !printed {
		f.vague = true
	} else if c.taken && !printed {
		r.vague = true
	}
	if status != 0 {
		return status
	}
	return nil
}

// open gives scripts the source's files to read, and nothing to write to.
func (r *shellRun) open(ctx context.Context, name string, flag int, _ os.FileMode) (io.ReadWriteCloser, error) {
	abs := Abs(interp.HandlerCtx(ctx).Dir, name)
	if f := r.stage.tells[abs]; f != nil && flag&(os.O_WRONLY|os.O_RDWR) != 0 {
		return f, nil
	}
	if flag&(os.O_WRONLY|os.O_RDWR) != 0 {
		if within("/dev", abs) {
			return memoryFile{new(bytes.Buffer)}, nil
		}
		return r.stage.write(abs, flag&os.O_APPEND != 0, r), nil
	}
	data, _, err := r.stage.ReadFile(abs)
	if text, ok := r.stage.Written(abs); ok {
		data, err = []byte(text), nil
	}
	if r.reads {
		r.reads = false
		if err == nil {
			if data, err = script(data, abs); err != nil {
				return nil, err
			}
		}
	}
	if env, ok := strings.CutSuffix(abs, "/bin/activate"); ok && err != nil {
		// Every Python environment's own script, which a shell reads to step into it.
		return memoryFile{bytes.NewBufferString("export VIRTUAL_ENV=" + quote(env) + "\nexport PATH=" + quote(env+"/bin") + `:"$PATH"`)}, nil
	}
	if err != nil {
		data = nil // of what is not known, nothing is read
	}
	return memoryFile{bytes.NewBuffer(data)}, nil
}

// script is the text of a script that another reads, which can be followed safely.
func script(data []byte, name string) ([]byte, error) {
	file, err := parseShell(string(data), name)
	if err != nil {
		return nil, err
	}
	return []byte(printed(file)), nil
}

type memoryFile struct{ *bytes.Buffer }

func (memoryFile) Close() error { return nil }

// toldFile keeps what is written to it, up to the length of a text.
type toldFile struct{ text []byte }

func (*toldFile) Read([]byte) (int, error) { return 0, io.EOF }
func (*toldFile) Close() error             { return nil }

func (f *toldFile) Write(p []byte) (int, error) {
	f.text = append(f.text, p[:min(len(p), maxText-len(f.text))]...)
	return len(p), nil
}

// stat: folders that are not known are taken to be there, so that cd goes where the script means to go.
func (r *shellRun) stat(ctx context.Context, name string, _ bool) (fs.FileInfo, error) {
	abs := Abs(interp.HandlerCtx(ctx).Dir, name)
	o, _ := r.stage.Lookup(abs)
	switch {
	case o.Kind == Source && r.stage.Tree.Has(o.Path):
		return info{path.Base(abs), 0o755}, nil
	case o.Kind == Unknown && !r.stage.Files.Exists(abs) && path.Ext(abs) != "":
		return nil, &fs.PathError{Op: "stat", Path: abs, Err: fs.ErrNotExist}
	}
	return info{path.Base(abs), fs.ModeDir | 0o755}, nil
}

func (r *shellRun) readDir(ctx context.Context, name string) ([]fs.DirEntry, error) {
	dir := Abs(interp.HandlerCtx(ctx).Dir, name)
	o, _ := r.stage.Files.Lookup(dir)
	names := map[string]fs.FileMode{}
	if o.Kind == Source {
		for _, f := range r.stage.Tree.Below(o.Path) {
			first, _, deep := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(f, path.Clean(o.Path)), "/"), "/")
			if o.Path == "." {
				first, _, deep = strings.Cut(f, "/")
			}
			if names[first] = 0o644; deep {
				names[first] = fs.ModeDir | 0o755
			}
		}
	}
	for _, p := range r.stage.Files.Inside(dir) {
		first, _, _ := strings.Cut(relative(path.Clean(dir), p.At), "/")
		names[first] = fs.ModeDir | 0o755
	}
	entries := make([]fs.DirEntry, 0, len(names))
	for _, n := range slices.Sorted(maps.Keys(names)) {
		entries = append(entries, fs.FileInfoToDirEntry(info{n, names[n]}))
	}
	return entries, nil
}

// info describes a file of which only name and mode are known.
type info struct {
	name string
	mode fs.FileMode
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return 1 }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) ModTime() time.Time { return time.Unix(1, 0) }
func (i info) IsDir() bool        { return i.mode.IsDir() }
func (i info) Sys() any           { return nil }
