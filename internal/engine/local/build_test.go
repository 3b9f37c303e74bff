package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/engine/local"
	"headwater/internal/nix"
	"headwater/internal/nix/drv"
)

func TestFailureShowsTheEndOfTheLog(t *testing.T) {
	l := newLab(t)
	n := l.drv("broken", []string{"fail", "3", "one", "two", "three\rfour", "\xffive"}, nil)
	user := l.drv("user", []string{"write", "x"}, nil, n)
	var events recorder
	f := l.fails(engine.Options{LogTail: 3, Events: events.sink}, user)
	if f.Reason != engine.Exited || f.Node != n || !strings.Contains(f.Error(), "exit status 3") {
		t.Error(f)
	}
	if d := cmp.Diff([]string{"two", "four", "\uFFFDive"}, f.Log); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"one", "two", "four", "\uFFFDive"}, events.lines()); d != "" {
		t.Error(d)
	}
	b, err := os.ReadFile(f.LogPath)
	if want := "one\ntwo\nthree\rfour\n\xffive\n"; string(b) != want || err != nil || f.LogPath != local.LogPath(l.store.Dir(), n.DrvPath) {
		t.Errorf("log %q at %s, %v", b, f.LogPath, err)
	}
}

func TestKeepGoing(t *testing.T) {
	l := newLab(t)
	bad := l.drv("bad", []string{"fail", "1"}, nil)
	good := l.drv("good", []string{"sleep", "100ms"}, nil)
	both := l.drv("both", []string{"write", "x"}, nil, bad, good)
	r, err := l.realise(engine.Options{KeepGoing: true, Jobs: 2}, both)
	if err == nil || names(r.Realised) != "good tool" || names(r.Skipped) != "both" || len(r.Failed) != 1 || r.Failed[0].Node != bad {
		t.Errorf("%+v, %v", r, err)
	}
	l.clean()
}

func TestLimits(t *testing.T) {
	l := newLab(t)
	for _, c := range []struct {
		name   string
		args   []string
		opts   engine.Options
		reason engine.Reason
	}{
		{"hangs", []string{"hang"}, engine.Options{Timeout: 200 * time.Millisecond}, engine.TimedOut},
		{"is-silent", []string{"hang"}, engine.Options{MaxSilent: 200 * time.Millisecond}, engine.Silent},
		{"floods", []string{"flood"}, engine.Options{MaxLog: 100_000}, engine.LogFlood},
		{"is-not-there", nil, engine.Options{}, engine.Exited},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := openLab(t, l.store.Dir())
			n := l.drv(c.name, c.args, nil)
			if c.args == nil {
				n = l.drv(c.name, []string{"no such command"}, nil)
			}
			f := l.fails(c.opts, n)
			if f.Reason != c.reason {
				t.Errorf("reason %q: %v", f.Reason, f)
			}
			fi, err := os.Stat(f.LogPath)
			if err != nil || fi.Size() > 100_000 {
				t.Errorf("log of %d bytes, %v", fi.Size(), err)
			}
		})
	}
}

// A builder that talks is not silent, however long it takes.
func TestTalkingIsNotSilence(t *testing.T) {
	l := newLab(t)
	n := l.drv("talks", []string{"sleep", "2s", "working"}, nil)
	if _, err := l.realise(engine.Options{MaxSilent: 1500 * time.Millisecond}, n); err != nil {
		t.Error(errorText(err))
	}
}

func TestForkedProcessesCannotChangeOutputs(t *testing.T) {
	l := newLab(t)
	l.build(l.drv("forks", []string{"fork"}, nil))
	time.Sleep(20 * time.Millisecond) // in which a process that lived would have written
	l.clean()
}

func TestCancelLeavesNothing(t *testing.T) {
	l := newLab(t)
	n := l.drv("hangs", []string{"hang"}, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	var events recorder
	go func() {
		for len(events.lines()) == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel(why)
	}()
	r, err := local.New(l.config).Realise(ctx, []*dag.Node{n}, engine.Options{Events: events.sink})
	if !errors.Is(err, why) || names(r.Skipped) != "hangs" {
		t.Errorf("%+v, %v", r, err)
	}
	if left := builders(t, "hang"); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
	l.clean()
}

// Two runs at once in one process do not make the same twice.
func TestRunsShareWork(t *testing.T) {
	l := newLab(t)
	n := l.drv("n", []string{"sleep", "100ms"}, nil)
	var results [2]engine.Result
	var errs [2]error
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() { results[i], errs[i] = l.realise(engine.Options{}, n) })
	}
	wg.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(errorText(err))
	}
	if made := len(results[0].Realised) + len(results[1].Realised); made != 2 { // the builder and n
		t.Errorf("%d nodes were made", made)
	}
	l.clean()
}

// shellFailure builds outputs with the shell command and expects them to be refused.
func shellFailure(l *lab, want string, outputs []string, env map[string]string, lines ...string) {
	l.t.Helper()
	n := l.outputs(fmt.Sprintf("refused-%d", len(want)), outputs, append([]string{"shell"}, lines...), env)
	f := l.fails(engine.Options{}, n)
	if f.Reason != engine.BadOutput || !strings.Contains(f.Error(), want) {
		l.t.Errorf("want %q, have %v", want, errorText(f))
	}
}

func TestRefusesOutputs(t *testing.T) {
	l := newLab(t)
	out := []string{"out"}
	shellFailure(l, "made no output out", out, nil, "mkdir /build/x")
	shellFailure(l, "made no output dev", []string{"dev", "out"}, nil, "write $out x")
	shellFailure(l, "written to by others", out, nil, "write $out x", "chmod $out 0666")
	shellFailure(l, "neither file, folder nor symbolic link", out, nil, "mkdir $out", "fifo $out/pipe")
	shellFailure(l, "in a circle", []string{"dev", "out"}, nil, "write $out $dev", "write $dev $out")
	shellFailure(l, "in a circle", []string{"a", "b", "c"}, nil, "write $a $b", "write $b $c", "write $c $a")

	shellFailure(l, "reference that is not allowed", out, map[string]string{"allowedReferences": ""}, "write $out $out")
	shellFailure(l, "reference that is not allowed", out, map[string]string{"disallowedReferences": "out"}, "write $out $out")
	shellFailure(l, "requisite that is not allowed", out, map[string]string{"allowedRequisites": "", "tool": string(l.tool.Path())}, "write $out $tool")
	shellFailure(l, "requisite that is not allowed", out, map[string]string{"disallowedRequisites": string(l.tool.Path()), "tool": string(l.tool.Path())}, "write $out $tool")
}

func TestAllowsOutputs(t *testing.T) {
	l := newLab(t)
	tool := string(l.tool.Path())
	n := l.outputs("fine", []string{"dev", "doc", "out"}, []string{"shell", "write $out $dev and $out", "write $dev $doc", "link $doc nowhere"},
		map[string]string{"allowedReferences": "out dev doc", "allowedRequisites": "dev doc", "tool": tool, "disallowedRequisites": tool})
	if got := l.build(n); got != string(n.Outputs["dev"])+" and "+string(n.Path()) {
		t.Errorf("content %q", got)
	}
	info, err := l.store.Query(t.Context(), n.Path())
	want := []nix.StorePath{n.Outputs["dev"], n.Path()}
	slices.Sort(want)
	if d := cmp.Diff(want, info.Refs); d != "" || err != nil {
		t.Error(d, err)
	}
	// Only what is missing is made valid; what is valid stays.
	other := l.outputs("wants", []string{"out"}, []string{"concat", string(n.Outputs["dev"])}, nil, n)
	if got := l.build(other); got != string(n.Outputs["doc"]) {
		t.Errorf("content %q", got)
	}
	l.clean()
}

func TestFixedOutputs(t *testing.T) {
	l := newLab(t)
	flat := func(s string) nix.ContentAddress {
		return nix.ContentAddress{Method: nix.Flat, Hash: nix.Sum(nix.SHA512, []byte(s))}
	}
	if got := l.build(l.fixed("good", flat("x y"), []string{"write", "x y"}, nil)); got != "x y" {
		t.Errorf("content %q", got)
	}
	for _, c := range []struct {
		name, want string
		ca         nix.ContentAddress
		args       []string
	}{
		{"other", "hash mismatch: want sha512-", flat("x"), []string{"write", "y"}},
		{"executable", "should be a file that is not executable", flat("x"), []string{"shell", "write $out x", "chmod $out 0755"}},
		{"folder", "should be a file that is not executable", flat("x"), []string{"shell", "mkdir $out"}},
		{"refers", "refers to the store", flat("x"), []string{"write", string(l.tool.Path())}},
	} {
		f := l.fails(engine.Options{}, l.fixed(c.name, c.ca, c.args, nil))
		if f.Reason != engine.BadOutput || !strings.Contains(f.Error(), c.want) {
			t.Errorf("%s: %v", c.name, errorText(f))
		}
	}
	l.clean()
}

func TestRefusesRequests(t *testing.T) {
	l := newLab(t)
	for want, change := range map[string]func(*drv.Derivation){
		"of system riscv64-linux":     func(d *drv.Derivation) { d.System = "riscv64-linux" },
		"not an absolute path":        func(d *drv.Derivation) { d.Builder = "bash" },
		"no builder builtin:buildenv": func(d *drv.Derivation) { d.Builder = "builtin:buildenv" },
		"needs the hash":              func(d *drv.Derivation) { d.Builder = "builtin:fetchurl" },
		"without a sandbox":           func(d *drv.Derivation) { d.Env["__noChroot"] = "1" },
		"system feature recursive":    func(d *drv.Derivation) { d.Env["requiredSystemFeatures"] = "big-parallel recursive-nix" },
		"structured attributes":       func(d *drv.Derivation) { d.Env["__json"] = "[]" },
		"odd number of words":         func(d *drv.Derivation) { d.Env["exportReferencesGraph"] = "x" },
		"cannot be a file's name":     func(d *drv.Derivation) { d.Env["exportReferencesGraph"] = "../x " + string(l.tool.Path()) },
		"not in the input closure": func(d *drv.Derivation) {
			d.Env["exportReferencesGraph"] = "x /nix/store/00000000000000000000000000000000-x"
		},
		"cannot be an environment": func(d *drv.Derivation) { d.Env["a=b"] = "c" },
		"holds a NUL":              func(d *drv.Derivation) { d.Args = []string{"a\x00"} },
	} {
		d := &drv.Derivation{Name: "odd", System: "x86_64-linux", Builder: string(l.tool.Path()), Args: []string{"write"}, Env: map[string]string{"out": ""},
			InputSrcs: []nix.StorePath{l.tool.Path()}, Outputs: map[string]drv.Output{"out": {}}}
		change(d)
		n, err := l.maker.Derivation(dag.Node{Name: "odd", Drv: d, Inputs: []*dag.Node{l.tool}})
		if err != nil {
			t.Fatal(err)
		}
		if f := l.fails(engine.Options{}, n); f.Reason != engine.BadRecipe || !strings.Contains(f.Error(), want) {
			t.Errorf("want %q, have %v", want, f)
		}
	}
}

func TestCheckBuildsAgain(t *testing.T) {
	l := newLab(t)
	same := l.drv("same", []string{"write", "x"}, nil)
	differs := l.drv("differs", []string{"report", drv.Placeholder("out")}, nil) // the environment has NIX_BUILD_CORES
	if _, err := l.realise(engine.Options{Cores: 1}, same, differs); err != nil {
		t.Fatal(errorText(err))
	}
	before, err := l.store.Query(t.Context(), differs.Path())
	if err != nil {
		t.Fatal(err)
	}
	var told []engine.Difference
	r, err := l.realise(engine.Options{Cores: 2, Check: true, KeepGoing: true, Differs: func(_ context.Context, d engine.Difference) error {
		told = append(told, d)
		was, err := os.ReadFile(d.WasAt)
		is, err2 := os.ReadFile(d.IsAt)
		if err := errors.Join(err, err2); err != nil || bytes.Equal(was, is) {
			t.Errorf("was %q, is %q, %v", was, is, err)
		}
		return nil
	}}, same, differs)
	if len(told) != 1 || told[0].Node != differs || told[0].Was == told[0].Is || told[0].LogPath != local.LogPath(l.store.Dir(), differs.DrvPath)+".check" {
		t.Errorf("told %+v", told)
	}
	if err == nil || names(r.Realised) != "same" || len(r.Failed) != 1 || r.Failed[0].Node != differs {
		t.Errorf("%+v, %v", r, err)
	}
	after, err := l.store.Query(t.Context(), differs.Path())
	if d := cmp.Diff(before, after, cmp.AllowUnexported(nix.Hash{})); d != "" || err != nil {
		t.Error(d, err)
	}
	l.clean()
}

// What took long is begun first the next time, whatever its version.
func TestRemembersDurations(t *testing.T) {
	l := newLab(t)
	slow := l.drv("slow", []string{"sleep", "200ms"}, nil)
	slow.Kind, slow.Name = dag.Deps, "wheel slow 1.0"
	l.build(slow)
	b, err := os.ReadFile(filepath.Join(l.store.Dir(), "nix/var/headwater/durations.json"))
	var known map[string]int64
	if err == nil {
		err = json.Unmarshal(b, &known)
	}
	if ms := known["deps//wheel slow"]; err != nil || ms < 200 {
		t.Errorf("%s, %v", b, err)
	}
}
