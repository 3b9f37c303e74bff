package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/nix"
	"headwater/internal/nixtest"
	"headwater/internal/recipe"
)

// What a recipe has in place of artifacts that are gone goes to a Nix daemon, and into what is exported, as it goes into a build here:
// the derivations are the same, and what Nix builds of them.
func TestReplacementsOnNix(t *testing.T) {
	store := sharedStore(t)
	dir, r := goneProject(t, map[string]string{"/web": "web"}, map[string]recipe.Component{"web": {
		Ecosystem: "node", Root: "node", Dir: "web", Src: []string{"web"},
		Build: []string{`for p in ebb flow; do node -p "require('$p')"; done >seen`}, Output: map[string]string{"seen": "seen"},
	}}, "node", "npm")
	s := newShelf(t)
	note := t.TempDir()
	ebb, flow, otherFlow := npmPackage(t, "ebb", "1.0.0", note), npmPackage(t, "flow", "2.0.0", note), npmPackage(t, "flow", "2.0.1", note)
	sri := func(data []byte) string { return nix.Sum(nix.SHA512, data).SRI() }
	writeFile(t, dir, "src/web/package.json", `{"name":"web","version":"1.0.0","dependencies":{"ebb":"^1.0.0","flow":"2.0.0"}}`)
	writeFile(t, dir, "src/web/package-lock.json", fmt.Sprintf(`{"name":"web","version":"1.0.0","lockfileVersion":3,"packages":{
		"":{"name":"web","version":"1.0.0","dependencies":{"ebb":"^1.0.0","flow":"2.0.0"}},
		"node_modules/ebb":{"version":"1.0.0","resolved":"%[1]s/ebb/-/ebb-1.0.0.tgz","integrity":"%[2]s"},
		"node_modules/flow":{"version":"2.0.0","resolved":"%[1]s/flow/-/flow-2.0.0.tgz","integrity":"%[3]s"}}}`, s.URL, sri(ebb), sri(flow)))
	writeFile(t, dir, "gone/ebb-1.0.0.tgz", string(ebb))
	writeFile(t, dir, "gone/flow-2.0.1.tgz", string(otherFlow))
	s.put("/mirror/flow-2.0.1.tgz", otherFlow)
	r.Replace = map[string]recipe.Replacement{
		"npm:ebb@1.0.0":  {File: "gone/ebb-1.0.0.tgz"},            // the same bytes, from the operator's folder
		"npm:flow@2.0.0": {URL: s.URL + "/mirror/flow-2.0.1.tgz"}, // others
	}
	writeRecipe(t, dir, r)
	output(t, "lock", "--store", store, dir)
	want, _ := output(t, "build", "--drv", dir)

	// The daemon has nothing. It is first, so that what is brought here is what it built.
	n := nixtest.New(t, nixtest.Current)
	theirs := filepath.Join(scratch(t), "store")
	built, _ := output(t, "build", "--store", store, "--engine", "nix", "--nix-store", "local?root="+theirs+"&daemon="+daemonProgram(t, n), dir)
	if got := n.Run(t, "nix-store", "--store", theirs, "--query", "--deriver", built); got != want {
		t.Errorf("the daemon built %s, want %s", got, want)
	}
	replaced, err := os.ReadFile(filepath.Join(store, built, "share/headwater/replaced"))
	if err != nil || strings.Count(string(replaced), "\n") != 2 {
		t.Errorf("replaced is %q, %v", replaced, err)
	}

	out, from, here := filepath.Join(t.TempDir(), "out"), filepath.Join(scratch(t), "store"), filepath.Join(scratch(t), "store")
	output(t, "export", "--store", store, dir, out)
	for _, to := range []string{from, here} {
		importPaths(t, to, filepath.Join(out, "roots.txt"))
		importPaths(t, to, filepath.Join(out, "fetches.txt"))
	}
	if got := n.Run(t, "nix-instantiate", "--store", from, out); got != want {
		t.Errorf("Nix finds %s, want %s", got, want)
	}
	if got := n.Run(t, "nix-build", "--store", from, "--no-out-link", out); got != built {
		t.Errorf("Nix built %s, want %s", got, built)
	}
	if got, _ := output(t, "build", "--store", here, dir); got != built {
		t.Errorf("built here is %s, want %s", got, built)
	}
	hashes := func(dir string) string {
		paths := strings.Fields(n.Run(t, "nix-store", "--store", dir, "--query", "--requisites", built))
		return n.Run(t, "nix-store", append([]string{"--store", dir, "--query", "--hash"}, paths...)...)
	}
	for _, other := range []string{from, here} {
		if d := cmp.Diff(hashes(theirs), hashes(other)); d != "" {
			t.Errorf("hashes (-daemon's +%s):\n%s", other, d)
		}
	}
	seen, err := os.ReadFile(filepath.Join(from, outputOf(t, dir, "web"), "seen"))
	if d := cmp.Diff("ebb 1.0.0\nflow 2.0.1\n", string(seen)); d != "" || err != nil {
		t.Errorf("the web sees %v %s", err, d)
	}
}

// daemonProgram is a release's nix-daemon as one program.
func daemonProgram(t *testing.T, n *nixtest.Nix) string {
	t.Helper()
	cmd := n.Command(t.Context(), "nix-daemon")
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	var script strings.Builder
	script.WriteString("#!/bin/sh\n")
	for _, v := range cmd.Env {
		name, value, _ := strings.Cut(v, "=")
		fmt.Fprintf(&script, "export %s=%s\n", name, quote(value))
	}
	script.WriteString("exec")
	for _, arg := range cmd.Args {
		script.WriteString(" " + quote(arg))
	}
	script.WriteString(" \"$@\"\n")
	file := filepath.Join(t.TempDir(), "nix-daemon")
	if err := os.WriteFile(file, []byte(script.String()), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}
