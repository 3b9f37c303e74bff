package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"headwater/internal/roottest"
	"headwater/internal/run"
	"headwater/internal/sandbox"
	"headwater/internal/verify"
)

func TestMain(m *testing.M) {
	sandbox.RunInit()
	run.RunInit()
	verify.RunInit()
	testscript.Main(m, map[string]func(){"headwater": func() { os.Exit(execute()) }})
}

// One script for each behaviour of the command line; their names read as the list of features.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("STORE", sharedStore(t))
			examples, err := filepath.Abs("../../examples")
			e.Setenv("EXAMPLES", examples)
			return err
		},
	})
}

// sharedStore is the store that all tests of a user share, so that roots and toolchains are fetched once.
func sharedStore(t *testing.T) string {
	t.Helper()
	dir, err := roottest.StoreDir()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// headwater makes a command of this program.
func headwater(ctx context.Context, t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Args[0] = "headwater" // what testscript.Main tells commands apart by
	return cmd
}

// output runs a command and returns its standard output; its standard error is returned too.
func output(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := headwater(t.Context(), t, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("headwater %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return strings.TrimSpace(out.String()), errs.String()
}

// made lists what a build made, by "kind name", in the order in which it was done; fetches are left out.
func made(t *testing.T, stderr string) []string {
	t.Helper()
	var list []string
	dec := json.NewDecoder(strings.NewReader(stderr))
	for dec.More() {
		var e struct{ Event, Kind, Name string }
		if err := dec.Decode(&e); err != nil {
			t.Fatalf("%v in %s", err, stderr)
		}
		if e.Event == "finished" && e.Kind != "fetch" {
			list = append(list, e.Kind+" "+e.Name)
		}
	}
	return list
}
