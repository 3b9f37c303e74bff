package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"

	"headwater/internal/rootfs/control"
	"headwater/internal/rootfs/deb"
)

// Limits of what a maintainer script may take to be understood. The longest of Debian's take some hundred commands.
const (
	maxCommands   = 10_000
	maxScriptTime = 20 * time.Second // for a loop without commands
)

// script reads a maintainer script for the calls that it would make of certain commands.
//
// The script is not run: it is interpreted in this process, every command that is not the shell's own is answered by this
// code, files are those of the tree and are never written. All it can do is to say what it would have called, with
// variables, loops and conditions worked out as they would be when the package is first installed.
type script struct {
	tree    *root // nil: no file is there yet
	record  []string
	mu      sync.Mutex
	count   int
	calls   [][]string
	pkg     string
	version string
}

// run interprets text with the given arguments and returns the calls of the commands named.
func (s *script) run(ctx context.Context, text string, args ...string) (calls [][]string, err error) {
	if !slices.ContainsFunc(s.record, func(c string) bool { return strings.Contains(text, c) }) || !isShell(text) {
		return nil, nil
	}
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), "")
	if err != nil {
		if file, err = syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(text), ""); err != nil {
			return nil, err
		}
	}
	if err := sequential(file); err != nil {
		return nil, err
	}
	// The interpreter panics at what it has not implemented.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot be understood: %v", r)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, maxScriptTime)
	defer cancel()
	runner, err := interp.New(
		// All that the interpreter would otherwise take from this process. Some names in TMPDIR it opens by itself.
		interp.Env(expand.ListEnviron("PATH=/nonexistent", "TMPDIR=/proc/nonexistent", "HOME=/root", "UID=0", "EUID=0", "GID=0", "DPKG_ROOT=",
			"DPKG_MAINTSCRIPT_ARCH=amd64", "DPKG_MAINTSCRIPT_PACKAGE="+s.pkg, "DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1")),
		interp.Dir("/"),
		interp.Params(append([]string{"--"}, args...)...),
		interp.StdIO(nil, io.Discard, io.Discard),
		interp.CallHandler(s.call),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return s.exec }),
		interp.OpenHandler(s.open),
		interp.ReadDirHandler2(s.readDir),
		interp.StatHandler(s.stat),
		interp.AccessHandler(s.access),
	)
	if err != nil {
		return nil, err
	}
	err = runner.Run(ctx, file)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("does not end: %w", ctx.Err())
	}
	if errors.Is(err, errTooLong) {
		return nil, err
	}
	return s.calls, nil // a script that gives up has made its calls nevertheless
}

// sequential has the script do one thing after the other, which nothing but a job's being waited for depends on. What would
// need pipes in the file system is refused.
func sequential(file *syntax.File) (err error) {
	syntax.Walk(file, func(node syntax.Node) bool {
		switch n := node.(type) {
		case *syntax.Stmt:
			n.Background, n.Coprocess, n.Disown = false, false, false
		case *syntax.ProcSubst, *syntax.CoprocClause:
			err = fmt.Errorf("line %d: substitutes processes", node.Pos().Line())
		}
		return true
	})
	return err
}

var errTooLong = errors.New("does not end")

func isShell(text string) bool {
	line, _, _ := strings.Cut(text, "\n")
	f := strings.Fields(strings.TrimPrefix(line, "#!"))
	return strings.HasPrefix(line, "#!") && len(f) > 0 && slices.Contains([]string{"sh", "dash", "bash"}, path.Base(f[0]))
}

// call sees every command before it is run. Looking for a command means looking for it in the tree.
func (s *script) call(_ context.Context, args []string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count++; s.count > maxCommands {
		return nil, errTooLong
	}
	if len(args) == 3 && args[0] == "command" && args[1] == "-v" {
		return []string{"which", args[2]}, nil
	}
	return args, nil
}

// exec answers for every program. What it does not know succeeds and says nothing.
func (s *script) exec(ctx context.Context, args []string) error {
	name := path.Base(args[0])
	out := interp.HandlerCtx(ctx).Stdout
	say := func(text string) error {
		_, err := fmt.Fprintln(out, text)
		return err
	}
	fails := interp.NewExitStatus(1)
	if slices.Contains(s.record, name) {
		s.mu.Lock()
		s.calls = append(s.calls, args)
		s.mu.Unlock()
	}
	switch {
	case name == "which" && len(args) > 1:
		for _, dir := range []string{"usr/bin/", "usr/sbin/"} {
			if s.tree != nil && s.tree.exists(dir+path.Base(args[1])) {
				return say("/" + dir + path.Base(args[1]))
			}
		}
		if slices.Contains(s.record, args[1]) {
			return say("/usr/bin/" + args[1])
		}
		return fails
	case name == "dpkg" && len(args) == 5 && args[1] == "--compare-versions":
		if compareVersions(args[2], args[3], args[4]) {
			return nil
		}
		return fails
	case name == "dpkg" && len(args) == 2 && args[1] == "--print-architecture":
		return say("amd64")
	case name == "dpkg-architecture":
		return say("x86_64-linux-gnu")
	case name == "id":
		return say("0")
	case name == "dirname" && len(args) == 2:
		return say(path.Dir(args[1]))
	case name == "basename" && len(args) == 2:
		return say(path.Base(args[1]))
	case name == "basename" && len(args) == 3:
		return say(strings.TrimSuffix(path.Base(args[1]), args[2]))
	case slices.Contains([]string{"dpkg", "dpkg-query", "getent", "grep", "deb-systemd-helper", "systemctl", "pidof", "pgrep", "expr"}, name):
		return fails
	}
	return nil
}

// compareVersions is dpkg --compare-versions, where no version at all is earlier than any, or with "-nl" later. (dpkg(1).)
func compareVersions(a, op, b string) bool {
	op, noneLater := strings.CutSuffix(op, "-nl")
	var c int
	switch {
	case a == b:
	case a == "" || b == "":
		if c = 1; (a == "") != noneLater {
			c = -1
		}
	default:
		v, err := control.ParseVersion(a)
		if err != nil {
			return false
		}
		w, err := control.ParseVersion(b)
		if err != nil {
			return false
		}
		c = v.Compare(w)
	}
	switch op {
	case "lt", "<<":
		return c < 0
	case "le", "<=", "<":
		return c <= 0
	case "eq", "=":
		return c == 0
	case "ne":
		return c != 0
	case "ge", ">=", ">":
		return c >= 0
	case "gt", ">>":
		return c > 0
	}
	return false
}

// name is where in the tree a script's path is.
func (s *script) name(ctx context.Context, name string) string {
	if !path.IsAbs(name) {
		name = path.Join(interp.HandlerCtx(ctx).Dir, name)
	}
	return merge(strings.TrimPrefix(path.Clean(name), "/"), deb.File)
}

func (s *script) stat(ctx context.Context, name string, follow bool) (fs.FileInfo, error) {
	switch {
	case s.tree == nil:
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	case follow:
		return s.tree.stat(s.name(ctx, name))
	default:
		return s.tree.lstat(s.name(ctx, name))
	}
}

func (s *script) access(ctx context.Context, name string, mode interp.AccessMode) error {
	fi, err := s.stat(ctx, name, true)
	if err == nil && mode&interp.AccessExec != 0 && fi.Mode()&0o111 == 0 {
		return &fs.PathError{Op: "access", Path: name, Err: fs.ErrPermission}
	}
	return err
}

func (s *script) readDir(ctx context.Context, name string) ([]fs.DirEntry, error) {
	if s.tree == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return os.ReadDir(s.tree.at(s.name(ctx, name)))
}

// open opens files of the tree to read them; what is written goes nowhere.
func (s *script) open(ctx context.Context, name string, flag int, _ os.FileMode) (io.ReadWriteCloser, error) {
	if flag&(os.O_WRONLY|os.O_RDWR|os.O_CREATE) != 0 || name == "/dev/null" {
		return nowhere{}, nil
	}
	fi, err := s.stat(ctx, name, true)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return os.Open(s.tree.at(s.name(ctx, name)))
}

// nowhere is an empty file that forgets what is written to it.
type nowhere struct{}

func (nowhere) Read([]byte) (int, error)    { return 0, io.EOF }
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) Close() error                { return nil }
