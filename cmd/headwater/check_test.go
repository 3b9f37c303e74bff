package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"headwater/internal/nix"
	"headwater/internal/nix/nar"
	"headwater/internal/store"
)

// checkJSON is what check --json prints, as far as tests look at it.
type checkJSON struct {
	Checked, Same int
	Different     []struct {
		Name, Drv, Third, Cause, Why, Do string
		Differ, Files                    int
		Built                            bool
		Logs                             []string
		Shown                            []struct {
			Path, What, Cause, Why string
			Spots                  []struct {
				Offset      int64
				Line        int
				Here, There string
			}
		}
	}
	Failed []struct{ Name, Error, Log string }
	Image  *struct {
		Digest, Again string
		Same          bool
		Layers        []struct {
			There bool
			Shown []struct{ Path, Cause string }
		}
	}
}

// check runs check --json and returns what it printed, its exit code and its standard error.
func check(t *testing.T, args ...string) (checkJSON, int, string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := headwater(t.Context(), t, append([]string{"check", "--json"}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	var r checkJSON
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			t.Fatalf("%v in %s", err, out.String())
		}
	}
	return r, cmd.ProcessState.ExitCode(), errs.String()
}

// planting makes a copy of the smallest example that has more components, each of one step, and is not built anywhere.
func planting(t *testing.T, steps map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "hello")
	if err := os.CopyFS(dir, os.DirFS("../../examples/hello")); err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir, "greetings/new", rand.Text()) // so that nobody has built it
	var components, layout strings.Builder
	for _, name := range slices.Sorted(maps.Keys(steps)) {
		fmt.Fprintf(&components, "  %s: {ecosystem: plain, root: base, src: [greetings], build: [%q]}\n", name, steps[name])
		fmt.Fprintf(&layout, "    /planted/%s: %s\n", name, name)
	}
	edit := func(s string) string {
		s = strings.Replace(s, "\npackage:\n", "\n"+components.String()+"\npackage:\n", 1)
		return strings.Replace(s, "  layout:\n", "  layout:\n"+layout.String(), 1)
	}
	text, err := os.ReadFile(filepath.Join(dir, recipeFile))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir, recipeFile, strings.Replace(edit(string(text)), "\n\npackage:", "\npackage:", 1))
	if len(steps) > 0 {
		output(t, "lock", "--store", sharedStore(t), dir)
	}
	return dir
}

// What builds the same each time passes, with the image that was made of it.
func TestCheckPasses(t *testing.T) {
	dir := planting(t, nil)
	digest, _ := output(t, "image", "--store", sharedStore(t), "--label", "a=b", "--compression", "zstd", dir)
	r, exit, errs := check(t, "--store", sharedStore(t), dir)
	if exit != 0 || r.Checked != 2 || r.Same != 2 || len(r.Different) > 0 || len(r.Failed) > 0 {
		t.Errorf("exit %d, %+v\n%s", exit, r, errs)
	}
	if r.Image == nil || !r.Image.Same || r.Image.Digest != digest || r.Image.Again != digest {
		t.Errorf("the image was %s, %+v", digest, r.Image)
	}
	if r, exit, errs = check(t, "--store", sharedStore(t), "--component", "hello", dir); exit != 0 || r.Checked != 1 || r.Image != nil {
		t.Errorf("one component: exit %d, %+v\n%s", exit, r, errs)
	}
	if _, exit, errs = check(t, "--store", sharedStore(t), "--component", "nosuch", dir); exit != exitInput || !strings.Contains(errs, "the recipe has hello") {
		t.Errorf("no such component: exit %d\n%s", exit, errs)
	}
}

// Each class of causes that a build can have in a sandbox, planted, is found: the derivation, the file, the place and the cause.
func TestCheckExplains(t *testing.T) {
	plants := map[string]struct{ step, file, cause, third string }{ // seconds: the second build and the third are to be in two
		"date":       {"sleep 1; date > f", "f", "time stamp", "another"},
		"epoch":      {"sleep 1; printf 'var t = %s;' $(date +%s) > f", "f", "time stamp", "another"},
		"archive":    {"sleep 1; echo > x; tar -cf - x | gzip -n > f; rm x", "f!x", "time stamp", "another"},
		"temporary":  {"mktemp -u > f", "f", "build path", "another"},
		"shuffled":   {"seq 100 199 | shuf > f", "f", "order", "another"},
		"identifier": {"cat /proc/sys/kernel/random/uuid > f", "f", "random id", "another"},
		"hexes":      {"od -An -tx1 -N16 /dev/urandom | tr -d ' ' > f", "f", "random id", "another"},
		"processors": {`echo "parts = $CORES" > f`, "f", "processor count", "as the first"},
		"chunks":     {`[ $((CORES % 2)) = 0 ] && echo one > f || echo whole > f`, "f", "processor count", "as the first"},
		"named":      {`mkdir d; touch d/part-$(od -An -tx4 -N4 /dev/urandom | tr -d ' ').js`, "d/part-", "random id", "another"},
		"clock":      {`date +%s.%N > f; sha256sum f > sum; mv f d-$(cut -c1-16 sum).txt; rm sum`, "d-", "time stamp", "another"},
		"kept":       {"echo the same > f", "", "", ""},
	}
	steps := map[string]string{}
	for name, p := range plants {
		steps[name] = p.step
	}
	dir := planting(t, steps)
	r, exit, errs := check(t, "--store", sharedStore(t), dir) // which builds it first
	if exit != exitFailed || !strings.Contains(errs, "11 of 14 derivations differ") || r.Checked != 14 || r.Same != 3 || len(r.Different) != 11 {
		t.Errorf("exit %d, %+v\n%s", exit, r, errs)
	}
	for _, d := range r.Different {
		want := plants[d.Name]
		if d.Cause != want.cause || d.Third != want.third || d.Why == "" || d.Do == "" || !d.Built || len(d.Logs) != 2 || d.Differ == 0 || d.Files < d.Differ {
			t.Errorf("%s: %+v, want %+v", d.Name, d, want)
		}
		if len(d.Shown) == 0 || !strings.HasPrefix(d.Shown[0].Path, want.file) {
			t.Errorf("%s: shown %+v", d.Name, d.Shown)
		}
		for _, log := range d.Logs {
			if _, err := os.Stat(log); err != nil {
				t.Error(err)
			}
		}
	}
}

// What was built elsewhere and taken from there may have what the sandbox hides.
func TestCheckOfWhatWasBuiltElsewhere(t *testing.T) {
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	plants := map[string]struct{ step, elsewhere, cause string }{
		"host":    {`echo "built on $(cat /proc/sys/kernel/hostname)" > f`, "built on ci-runner-7.example\n", "host name"},
		"user":    {`echo "built by uid $(id -u)" > f`, "built by uid 1007\n", "user"},
		"locale":  {`printf '%s\n' Zebra apple mouse | sort > f`, "apple\nmouse\nZebra\n", "locale"},
		"kernel":  {`cat /proc/sys/kernel/osrelease > f`, "0" + string(kernel), "kernel"},
		"address": {`echo '<object at 0x7f0000001000>' > f`, "<object at 0x7f551234f670>\n", "memory address"}, // which the sandbox does not make random
		"sources": {`pwd > f; echo /build/hello > f`, "/home/ann/hello\n", "build path"},
	}
	steps := map[string]string{}
	for name, p := range plants {
		steps[name] = "rm -r greetings; " + p.step
	}
	dir := planting(t, steps)
	graph, _ := output(t, "graph", "--json", dir)
	var g struct{ Nodes []graphNode }
	if err := json.Unmarshal([]byte(graph), &g); err != nil {
		t.Fatal(err)
	}
	for _, n := range g.Nodes {
		if p, ok := plants[n.Name]; ok {
			if err := bring(t.Context(), sharedStore(t), n.Outputs["out"], p.elsewhere, t.TempDir()); err != nil {
				t.Fatal(err)
			}
		}
	}
	r, exit, errs := check(t, "--store", sharedStore(t), dir)
	if exit != exitFailed || len(r.Different) != len(plants) {
		t.Errorf("exit %d, %+v\n%s", exit, r, errs)
	}
	for _, d := range r.Different {
		if d.Cause != plants[d.Name].cause || d.Built || d.Third != "as the second" || len(d.Logs) != 1 {
			t.Errorf("%s: %+v, want %s", d.Name, d, plants[d.Name].cause)
		}
	}
}

// bring makes a store path valid that has a file f, as a cache would.
func bring(ctx context.Context, dir string, p nix.StorePath, text, scratch string) (err error) {
	s, err := store.Open(ctx, dir, store.Options{Now: time.Now})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := os.WriteFile(filepath.Join(scratch, "f"), []byte(text), 0o644); err != nil {
		return err
	}
	var archive bytes.Buffer
	if err := nar.Dump(&archive, scratch); err != nil {
		return err
	}
	info := store.PathInfo{Path: p, NARHash: nix.Sum(nix.SHA256, archive.Bytes()), NARSize: int64(archive.Len())}
	return s.ImportNAR(ctx, &archive, info)
}

// What cannot be built again, though it was once, is told; so is a store that is damaged, before anything is built.
func TestCheckOfWhatFailsOrIsDamaged(t *testing.T) {
	dir := planting(t, map[string]string{"moody": "[ $CORES = 2 ] && echo x > f"})
	where := filepath.Join(scratch(t), "store")
	out := filepath.Join(t.TempDir(), "out")
	output(t, "export", "--store", sharedStore(t), dir, out)
	importPaths(t, where, filepath.Join(out, "roots.txt"))
	path, _ := output(t, "build", "--store", where, "--cores", "2", dir)
	r, exit, errs := check(t, "--store", where, "--cores", "3", dir)
	if exit != exitFailed || len(r.Failed) != 1 || r.Failed[0].Name != "moody" || r.Failed[0].Log == "" || !strings.Contains(errs, "1 of 3 derivations cannot be built again") {
		t.Errorf("exit %d, %+v\n%s", exit, r, errs)
	}
	launcher := filepath.Join(where, path, "bin", "hello")
	if err := errors.Join(os.Chmod(launcher, 0o755), os.WriteFile(launcher, []byte("damaged"), 0o755)); err != nil {
		t.Fatal(err)
	}
	if r, exit, errs = check(t, "--store", where, dir); exit != exitFailed || r.Checked != 0 || !strings.Contains(errs, "are damaged, such as "+path) || !strings.Contains(errs, "store verify --repair") {
		t.Errorf("exit %d, %+v\n%s", exit, r, errs)
	}
}

// An image that is another one is explained by layer and file.
func TestCheckOfAnImage(t *testing.T) {
	dir := planting(t, nil)
	output(t, "image", "--store", sharedStore(t), dir)
	p, err := readProject([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), sharedStore(t), store.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	file := rootLink(s, p) + imageRecordSuffix
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	record, err := readImageRecord(file)
	if err != nil || record == nil {
		t.Fatal(record, err)
	}
	other := planting(t, nil)
	output(t, "image", "--store", sharedStore(t), other)
	q, err := readProject([]string{other})
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := readImageRecord(rootLink(s, q) + imageRecordSuffix)
	if err != nil || theirs == nil {
		t.Fatal(theirs, err)
	}
	// The record of another image, as if it had been this one's.
	theirs.Package = record.Package
	data, err := json.Marshal(theirs)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	r, exit, errs := check(t, "--store", sharedStore(t), dir)
	if exit != exitFailed || r.Image == nil || r.Image.Same || !strings.Contains(errs, "the image is another one") {
		t.Fatalf("exit %d, %+v\n%s", exit, r, errs)
	}
	if len(r.Image.Layers) != 1 || !r.Image.Layers[0].There || len(r.Image.Layers[0].Shown) == 0 || !strings.HasSuffix(r.Image.Layers[0].Shown[0].Path, "!app/greetings/new") {
		t.Errorf("layers %+v", r.Image.Layers)
	}
}
