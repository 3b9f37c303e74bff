package main

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A service that listens on a port that an ordinary user may not have gets a network of its own, and is reached all the same.
func TestRunOnALowPort(t *testing.T) {
	dir := newOdd(t, func(text string) string {
		return strings.NewReplacer("8421", "81", `{DO: ""}`, `{DO: "", PORT: "81"}`, "package:\n", "package:\n  sign-in: open http://127.0.0.1:81/ now\n").Replace(text)
	})
	state := filepath.Join(t.TempDir(), "state")
	cmd := headwater(t.Context(), t, "run", "--store", sharedStore(t), "--state", state, dir)
	var progress bytes.Buffer
	cmd.Stderr = &progress
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for said := bufio.NewScanner(stdout); said.Scan() && !strings.Contains(said.Text(), "Ctrl-C"); {
		text.WriteString(said.Text() + "\n")
	}
	if !strings.Contains(text.String(), "web is up: http://127.0.0.1:8081\n") || !strings.Contains(text.String(), "open http://127.0.0.1:8081/ now\n") {
		t.Errorf("run said %q\n", text.String())
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
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, stdout); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
	if !strings.Contains(progress.String(), "web | ending") {
		t.Error("the service was not asked to end")
	}
	for _, pid := range processesOf(t, state) {
		t.Errorf("process %s is left", pid)
	}
	if t.Failed() {
		t.Log(progress.String())
	}
}
