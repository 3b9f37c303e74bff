package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// running is a headwater run that has said that all is up.
type running struct {
	cmd      *exec.Cmd
	said     string // on standard output, but for how to stop it
	progress bytes.Buffer
	stdout   io.Reader
}

// startRun starts headwater run and waits until it has said what there is to say, or has ended.
func startRun(ctx context.Context, t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{cmd: headwater(ctx, t, append([]string{"run"}, args...)...)}
	r.cmd.Stderr = &r.progress
	stdout, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.stdout = stdout
	for line := bufio.NewScanner(stdout); line.Scan() && !strings.Contains(line.Text(), "Ctrl-C"); {
		r.said += line.Text() + "\n"
	}
	return r
}

// interrupt is Ctrl-C: it is to end without a fault.
func (r *running) interrupt(t *testing.T) {
	t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r.stdout); err != nil {
		t.Error(err)
	}
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v\n%s", err, r.progress.String())
	}
}

// A service that listens on a port that an ordinary user may not have gets a network of its own, and is reached all the same.
func TestRunOnALowPort(t *testing.T) {
	dir := newOdd(t, func(text string) string {
		return strings.NewReplacer("8421", "81", `{DO: ""}`, `{DO: "", PORT: "81"}`, "package:\n", "package:\n  sign-in: open http://127.0.0.1:81/ now\n").Replace(text)
	})
	state := filepath.Join(t.TempDir(), "state")
	r := startRun(t.Context(), t, "--store", sharedStore(t), "--state", state, dir)
	if !strings.Contains(r.said, "web is up: http://127.0.0.1:8081\n") || !strings.Contains(r.said, "open http://127.0.0.1:8081/ now\n") {
		t.Errorf("run said %q\n", r.said)
	}
	for range 3 {
		res, err := http.Get("http://127.0.0.1:8081/")
		if err != nil {
			t.Error(err)
			break
		}
		page, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || !strings.Contains(string(page), "<p>odd</p>") {
			t.Errorf("%v: %s", err, page)
		}
	}
	r.interrupt(t)
	if !strings.Contains(r.progress.String(), "web | ending") {
		t.Error("the service was not asked to end")
	}
	for _, pid := range processesOf(t, state) {
		t.Errorf("process %s is left", pid)
	}
	if t.Failed() {
		t.Log(r.progress.String())
	}
}

// Nothing that headwater run starts is root, whoever starts it.
func TestRunIsNotRoot(t *testing.T) {
	dir := newOdd(t, func(text string) string {
		return strings.NewReplacer("8421", "8423", `{DO: ""}`, `{DO: "", PORT: "8423"}`).Replace(text)
	})
	closed := filepath.Join(t.TempDir(), "closed") // to all but its owner, as root's own folders are
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(closed, "state")
	for range 2 { // the second time there are data
		r := startRun(t.Context(), t, "--store", sharedStore(t), "--state", state, dir)
		if !strings.Contains(r.said, "web is up: http://127.0.0.1:8423\n") {
			t.Errorf("run said %q\n", r.said)
		}
		others := 0
		for _, pid := range processesOf(t, state) {
			if pid == strconv.Itoa(r.cmd.Process.Pid) {
				continue
			}
			others++
			b, err := os.ReadFile("/proc/" + pid + "/status")
			if err == nil && strings.Contains(string(b), "\nUid:\t0\t") {
				t.Errorf("process %s is root's:\n%s", pid, b)
			}
		}
		if others == 0 {
			t.Error("nothing runs")
		}
		r.interrupt(t)
		if t.Failed() {
			t.Log(r.progress.String())
		}
	}
}

// A process without a health check is up once it listens.
func TestRunWaitsForThePort(t *testing.T) {
	dir := newOdd(t, withoutHealth)
	args := []string{"--wait", "5s", "--store", sharedStore(t), dir, "--state"}
	r := startRun(t.Context(), t, append(args, filepath.Join(t.TempDir(), "state"))...)
	if !strings.Contains(r.said, "web is up: http://127.0.0.1:8421\n") {
		t.Fatalf("it said %q\n%s", r.said, r.progress.String())
	}
	r.interrupt(t)
	r = startRun(t.Context(), t, append(args, filepath.Join(t.TempDir(), "state"), "-e", "DO=port")...)
	if err := r.cmd.Wait(); r.cmd.ProcessState.ExitCode() != exitFailed || !strings.Contains(r.progress.String(), "web does not listen at 127.0.0.1:8421: ") || strings.Contains(r.said, "is up") {
		t.Errorf("%v: it said %q\n%s", err, r.said, r.progress.String())
	}
}

// What goes wrong in a network of its own is told as what goes wrong on the machine is.
func TestRunTellsOfFaultsApart(t *testing.T) {
	dir := newOdd(t, func(text string) string {
		return strings.NewReplacer("8421", "82", `{DO: ""}`, `{DO: "", PORT: "82"}`).Replace(text)
	})
	for do, args := range map[string][]string{"variable": nil, "never ready": {"--wait", "3s"}, "migration": nil} {
		args := append(args, "-e", "DO="+do, "--store", sharedStore(t), "--state", filepath.Join(t.TempDir(), "state"), dir)
		r := startRun(t.Context(), t, args...)
		if err := r.cmd.Wait(); r.cmd.ProcessState.ExitCode() != exitFailed {
			t.Errorf("%s: %v\n%s", do, err, r.progress.String())
		}
	}
	taken, err := net.Listen("tcp", "127.0.0.1:8082")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	r := startRun(t.Context(), t, "--store", sharedStore(t), "--state", filepath.Join(t.TempDir(), "state"), dir)
	if err := r.cmd.Wait(); r.cmd.ProcessState.ExitCode() != exitEnvironment || !strings.Contains(r.progress.String(), "hint: see what has it") {
		t.Errorf("a port that is taken: %v\n%s", err, r.progress.String())
	}
}
