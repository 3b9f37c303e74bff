package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// tailLines is how much of a process's output is shown when it fails.
const tailLines = 30

// process is a running child. Its goroutine ends, and done is closed, when the child has ended.
type process struct {
	name     string
	cmd      *exec.Cmd
	signal   syscall.Signal // asks it to stop
	once     bool           // it is to end by itself
	target   int            // process that gets the signal
	out      *output
	stopping atomic.Bool // it was asked to end
	done     chan struct{}
	err      error // set before done is closed
}

// spawn starts p's command in a process group of its own, with its output in the log and on Logs. What it did since Open is in one log.
func (r *Runner) spawn(ctx context.Context, p *process) (*process, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(r.LogDir, 0o700); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	mode := os.O_TRUNC
	if r.logged[p.name] {
		mode = os.O_APPEND
	}
	log, err := os.OpenFile(r.LogPath(p.name), os.O_CREATE|os.O_WRONLY|mode, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	r.logged[p.name] = true
	p.out = &output{prefix: p.name + " | ", log: log, to: r.Logs, left: r.LogLimit, limited: r.LogLimit > 0}
	p.out.over = func() { r.tellDead(&LogLimitError{Process: p.name, Limit: r.LogLimit, Log: r.LogPath(p.name)}) }
	p.done = make(chan struct{})
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	// The group lets all of it be killed. Should this program be killed itself, its children are told.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", p.name, err), log.Close())
	}
	p.target = p.cmd.Process.Pid
	r.running = append(r.running, p)
	go func() {
		p.err = p.cmd.Wait()
		p.err = errors.Join(p.err, p.out.close())
		if !p.once && !p.stopping.Load() {
			r.tellDead(r.endedError(p))
		}
		close(p.done)
	}()
	return p, nil
}

// tellDead keeps the first such error: those that follow may be of it.
func (r *Runner) tellDead(err error) {
	r.once.Do(func() {
		r.death = err
		close(r.died)
	})
}

// LogLimitError says that a process printed more than it may.
type LogLimitError struct {
	Process string
	Limit   int64 // bytes
	Log     string
}

func (e *LogLimitError) Error() string {
	return fmt.Sprintf("%s printed more than %d bytes; the log: %s", e.Process, e.Limit, e.Log)
}

// StopError says that a process did not end when it was asked to, and was killed.
type StopError struct {
	Process string
	Within  time.Duration // since it was asked
}

func (e *StopError) Error() string {
	return fmt.Sprintf("stop %s: did not end within %v and was killed", e.Process, e.Within)
}

// stop asks the process to end and kills its group where it has not within the time given.
func (p *process) stop(within time.Duration) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	p.stopping.Store(true)
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
	return &StopError{p.name, within}
}

func (p *process) tail() string { return p.out.tail() }

// output takes what a process prints: into its log, to people with its name in front, and the last lines for errors.
type output struct {
	prefix string
	log    *os.File
	to     io.Writer
	over   func() // called, once, when more was written than is left

	mu      sync.Mutex
	limited bool  // left counts
	left    int64 // bytes that may still be written
	partial []byte
	last    []string
}

// maxLine bounds a line that has no end.
const maxLine = 8 << 10

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.limited && o.left < int64(len(b)) {
		if o.left >= 0 {
			o.left = -1
			o.over()
		}
		return len(b), nil // what is printed beyond is lost, but whoever prints it does not block until it is ended
	}
	o.left -= int64(len(b))
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
