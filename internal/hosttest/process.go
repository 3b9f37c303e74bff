package hosttest

import (
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// Process is a program that runs on a machine.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how it ended, once done is closed

	mu  sync.Mutex
	log strings.Builder
}

// Start starts a program. It is killed with its machine, at the test's end at the latest.
func (h *Host) Start(t testing.TB, name string, args ...string) *Process {
	t.Helper()
	p := &Process{cmd: h.Command(t.Context(), name, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	started := make(chan error)
	go func() {
		// The kernel kills what dies with its parent when the thread ends that started it, so this thread stays until then.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("%s: start %s: %v", h.Name, name, err)
	}
	h.procs = append(h.procs, p)
	return p
}

// Write keeps what the program writes.
func (p *Process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

// Log is all that the program has written.
func (p *Process) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// Await waits until what the program has written satisfies ok, and tells whether it did before the program ended.
func (p *Process) Await(ok func(log string) bool) bool {
	for {
		select {
		case <-p.done:
			return ok(p.Log())
		case <-time.After(5 * time.Millisecond):
			if ok(p.Log()) {
				return true
			}
		}
	}
}

// Wait waits for the program's end.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// Kill kills the program and all that it started, and waits for its end.
func (p *Process) Kill() {
	select {
	case <-p.done:
	default:
		p.cmd.Process.Kill() // an error says that it has ended meanwhile
		<-p.done
	}
}
