package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// tailLines is how much of a process's output is shown when it fails.
const tailLines = 30

// process is a running child. Its goroutine ends, and done is closed, when the child has ended.
type process struct {
	name   string
	cmd    *exec.Cmd
	signal syscall.Signal // asks it to stop
	target int            // process that gets the signal
	out    *output
	done   chan struct{}
	err    error // set before done is closed
}

// spawn starts cmd in a process group of its own, with its output in the log and on Logs.
func (r *runner) spawn(ctx context.Context, name string, cmd *exec.Cmd, stop syscall.Signal) (*process, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(r.logPath(name)), 0o700); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	log, err := os.OpenFile(r.logPath(name), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, cmd: cmd, signal: stop, out: &output{prefix: name + " | ", log: log, to: r.Logs}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.out, p.out
	// The group lets all of it be killed. Should this program be killed itself, its children are told.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), log.Close())
	}
	p.target = cmd.Process.Pid
	r.running = append(r.running, p)
	go func() {
		p.err = cmd.Wait()
		p.err = errors.Join(p.err, p.out.close())
		r.ended <- ended{name, p.err}
		close(p.done)
	}()
	return p, nil
}

// stop asks the process to end and kills its group where it has not within the time given.
func (p *process) stop(within time.Duration) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := syscall.Kill(p.target, p.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(within):
	}
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-p.done
	return fmt.Errorf("stop %s: did not end within %v and was killed", p.name, within)
}

func (p *process) tail() string { return p.out.tail() }

// output takes what a process prints: into its log, to people with its name in front, and the last lines for errors.
type output struct {
	prefix string
	log    *os.File
	to     io.Writer

	mu      sync.Mutex
	partial []byte
	last    []string
}

// maxLine bounds a line that has no end.
const maxLine = 8 << 10

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, err := o.log.Write(b); err != nil {
		return 0, err
	}
	o.partial = append(o.partial, b...)
	for {
		i := bytes.IndexByte(o.partial, '\n')
		if i < 0 && len(o.partial) < maxLine {
			return len(b), nil
		}
		if i < 0 {
			i = maxLine - 1
		}
		o.line(string(o.partial[:i]))
		o.partial = o.partial[i+1:]
	}
}

func (o *output) line(s string) {
	s = strings.TrimSuffix(s, "\r")
	o.last = append(o.last, s)
	if len(o.last) > tailLines {
		o.last = o.last[1:]
	}
	// A terminal that went away does not stop the service.
	_, _ = io.WriteString(o.to, o.prefix+s+"\n")
}

func (o *output) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.partial) > 0 {
		o.line(string(o.partial))
		o.partial = nil
	}
	return o.log.Close()
}

func (o *output) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return "  │ " + strings.Join(o.last, "\n  │ ")
}
