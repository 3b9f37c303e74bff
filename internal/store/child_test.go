package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"headwater/internal/store"
)

// childName as argv[0] makes this test binary a process of its own that uses a store: the first argument says how.
const childName = "headwater-store-test-child"

func TestMain(m *testing.M) {
	if os.Args[0] == childName {
		if err := child(os.Args[1], os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(mode string, args []string) error {
	switch mode {
	case "churn":
		return churn(args[0], args[1])
	case "hold":
		return hold(args[0], args[1])
	case "fill":
		return fill(args[0], args[1], args[2])
	}
	return fmt.Errorf("mode %q: unknown", mode)
}

// hold opens a store, makes a temporary root of a path and a temporary folder, says so, and waits for its end.
func hold(dir, path string) error {
	ctx := context.Background()
	s, err := store.Open(ctx, dir, store.Options{Now: clock})
	if err != nil {
		return err
	}
	p, err := parsePath(path)
	if err != nil {
		return err
	}
	if err := s.AddTempRoot(ctx, p); err != nil {
		return err
	}
	tmp, _, err := s.TempDir(ctx)
	if err != nil {
		return err
	}
	unlock, err := s.Lock(ctx, p)
	if err != nil {
		return err
	}
	fmt.Println(tmp)
	io.Copy(io.Discard, os.Stdin)
	return errors.Join(unlock(), s.Close())
}

// process is a running child.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
	errs  *strings.Builder
}

func startChild(t testing.TB, attr *syscall.SysProcAttr, args ...string) *process {
	t.Helper()
	p := &process{errs: &strings.Builder{}}
	p.cmd = &exec.Cmd{Path: "/proc/self/exe", Args: append([]string{childName}, args...), SysProcAttr: attr, Stderr: p.errs}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewScanner(out)
	t.Cleanup(func() { p.kill() })
	return p
}

// line is the next line that the child says; none is the test's end.
func (p *process) line(t testing.TB) string {
	t.Helper()
	if !p.lines.Scan() {
		p.cmd.Wait()
		t.Fatalf("child says nothing more: %v\n%s", p.lines.Err(), p.errs)
	}
	return p.lines.Text()
}

// kill kills the child at once and waits.
func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}
