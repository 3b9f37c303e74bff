// Package backend runs gunicorn as a child on a Unix socket that nobody else can reach, and talks to it: Process keeps it
// alive, Client asks it how it is, NewProxy passes requests on.
package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

const (
	// A backend that lives this long was all right when it started.
	steady = time.Minute
	// One that dies this often in a row before it is steady will not get better by itself.
	maxDeaths = 5
)

// Options say how the backend is run.
type Options struct {
	Command  []string // gunicorn and its arguments but --bind
	Dir      string   // its working directory
	StopWait time.Duration
	Log      *slog.Logger
	Started  func() // called at every start
}

// Process is the backend's process, over all its lives.
type Process struct {
	options Options
	tempDir string
}

// Prepare makes the folder for the socket, in TMPDIR. Close removes it.
func Prepare(options Options) (*Process, error) {
	tempDir, err := os.MkdirTemp("", "gatehouse-") // mode 0700
	if err != nil {
		return nil, fmt.Errorf("prepare backend: %w", err)
	}
	return &Process{options: options, tempDir: tempDir}, nil
}

// Socket is the path of the Unix socket that the backend listens on, once it does.
func (p *Process) Socket() string { return filepath.Join(p.tempDir, "backend.sock") }

// Close removes what Prepare made. The backend must have stopped.
func (p *Process) Close() error { return os.RemoveAll(p.tempDir) }

// Run keeps the backend running until ctx ends, then stops it and returns nil. It gives up on a backend that keeps dying.
func (p *Process) Run(ctx context.Context) error {
	// The kernel ties Pdeathsig to the thread that starts the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	deaths := 0
	for {
		start := time.Now()
		err := p.runOnce(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("start backend: %w", err)
		}
		if time.Since(start) > steady {
			deaths = 0
		}
		deaths++
		if deaths == maxDeaths {
			return fmt.Errorf("run backend: it died %d times in a row, last: %w", deaths, err)
		}
		wait := time.Second << (deaths - 1)
		p.options.Log.Error("the backend died", "error", err, "restart in", wait)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// runOnce starts the backend and waits for its end, which is always an error: it is meant to stay.
func (p *Process) runOnce(ctx context.Context) error {
	args := append(p.options.Command[1:len(p.options.Command):len(p.options.Command)], "--bind", "unix:"+p.Socket())
	command := exec.CommandContext(ctx, p.options.Command[0], args...)
	command.Dir = p.options.Dir
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	// A group of its own: a Ctrl-C at the terminal is for us, and we pass it on when our requests are done.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = p.options.StopWait
	p.options.Started()
	if err := command.Run(); err != nil {
		return err
	}
	return errors.New("it ended by itself")
}
