package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"mvdan.cc/sh/v3/shell"
)

// machine is what starting a connection takes of the machine.
type machine struct {
	getenv     func(string) string
	environ    []string // of the programs that are started
	unattended bool     // ssh is not to ask anything
}

// dial reaches the daemon.
func (a Address) dial(ctx context.Context, m machine) (io.ReadWriteCloser, error) {
	if a.kind == listening {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", a.socket)
		if err != nil {
			return nil, &ConnectError{Address: a.text, Err: err, hint: socketHint(err)}
		}
		return conn, nil
	}
	argv, err := a.command(m)
	if err != nil {
		return nil, &ConnectError{Address: a.text, Err: err, hint: "is NIX_SSHOPTS quoted well?"}
	}
	program, err := lookPath(argv[0], m.getenv("PATH"))
	if err != nil {
		return nil, &ConnectError{Address: a.text, Err: err, hint: a.programHint()}
	}
	p, err := start(program, argv, m.environ)
	if err != nil {
		return nil, &ConnectError{Address: a.text, Err: err, hint: a.programHint()}
	}
	return p, nil
}

// command is the program that speaks the protocol on its standard input and output, and its arguments.
func (a Address) command(m machine) ([]string, error) {
	program := a.program
	if program == "" {
		program = "nix-daemon"
	}
	if a.kind == folder {
		// Whatever the machine's settings are: no build outside of a sandbox.
		return []string{program, "--stdio", "--store", a.root, "--option", "sandbox", "true", "--option", "sandbox-fallback", "false"}, nil
	}
	argv := []string{"ssh", "-x", "-T"}
	if a.port != "" {
		argv = append(argv, "-p", a.port)
	}
	if a.key != "" {
		argv = append(argv, "-i", a.key)
	}
	if m.unattended {
		argv = append(argv, "-o", "BatchMode=yes")
	}
	more, err := shell.Fields(m.getenv("NIX_SSHOPTS"), func(string) string { return "" })
	if err != nil {
		return nil, fmt.Errorf("NIX_SSHOPTS: %w", err)
	}
	argv = append(argv, more...)
	host := a.host
	if a.user != "" {
		host = a.user + "@" + host
	}
	// The other side's shell reads this: the program may be several words, as in Nix; the store is one.
	remote := program + " --stdio"
	if a.store != "" {
		remote += " --store '" + strings.ReplaceAll(a.store, "'", `'\''`) + "'"
	}
	return append(argv, "--", host, remote), nil
}

func (a Address) programHint() string {
	if a.kind == ssh {
		return "install ssh, or give the address of a daemon on this machine"
	}
	return "install Nix, or say where its nix-daemon is: local?root=DIR&daemon=PROGRAM"
}

func socketHint(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return "no Nix daemon listens there: start it, give another with --nix-store, or build with --engine local"
	case errors.Is(err, fs.ErrPermission):
		return "you may not use this socket: the daemon's machine says who may"
	}
	return ""
}

// lookPath finds a program as exec.LookPath does, in a PATH that is given.
func lookPath(name, path string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue
		}
		at := filepath.Join(dir, name)
		if fi, err := os.Stat(at); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return at, nil
		}
	}
	return "", fmt.Errorf("there is no program %s in PATH", name)
}

// process is a connection to a program's standard input and output.
type process struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    io.ReadCloser
	errors tail
	close  func() error
}

// grace is how long a program may take to end when its client is gone: Nix first ends its builders.
const grace = 10 * time.Second

func start(program string, argv, environ []string) (*process, error) {
	p := &process{cmd: &exec.Cmd{Path: program, Args: argv, Env: environ, WaitDelay: grace}}
	p.cmd.Stderr = &p.errors
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if p.out, err = p.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.close = sync.OnceValue(func() error {
		err := errors.Join(p.in.Close(), p.out.Close())
		kill := time.AfterFunc(grace, func() { p.cmd.Process.Kill() })
		defer kill.Stop()
		var exit *exec.ExitError
		if wait := p.cmd.Wait(); wait != nil && !errors.As(wait, &exit) { // how it ends when it is not needed any more is its own matter
			err = errors.Join(err, wait)
		}
		return err
	})
	return p, nil
}

// Read is io.Reader's.
func (p *process) Read(b []byte) (int, error) { return p.out.Read(b) }

// Write is io.Writer's.
func (p *process) Write(b []byte) (int, error) { return p.in.Write(b) }

// Close ends the program and waits for it.
func (p *process) Close() error { return p.close() }

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const maxTail = 2 << 10

// Write is io.Writer's.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if n := len(t.text) - maxTail; n > 0 {
		t.text = append(t.text[:0], t.text[n:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ToValidUTF8(strings.TrimSpace(string(t.text)), "\uFFFD")
}
