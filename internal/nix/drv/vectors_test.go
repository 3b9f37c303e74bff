package drv_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"headwater/internal/nix"
	"headwater/internal/nix/drv"
)

// vectors reads derivations that Nix wrote (testdata/vectors.sh), by path.
func vectors(tb testing.TB, file string) map[nix.StorePath]string {
	tb.Helper()
	data, err := os.ReadFile("testdata/" + file)
	if err != nil {
		tb.Fatal(err)
	}
	out := map[nix.StorePath]string{}
	for line := range strings.Lines(string(data)) {
		path, text, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		p, err := nix.ParseStorePath(path)
		if !ok || err != nil {
			tb.Fatalf("%s: line %q: %v", file, line, err)
		}
		out[p] = text
	}
	return out
}

func drvName(p nix.StorePath) string { return strings.TrimSuffix(p.Name(), ".drv") }

// stable parses all of testdata/stable.txt.
func stable(tb testing.TB) map[nix.StorePath]*drv.Derivation {
	tb.Helper()
	out := map[nix.StorePath]*drv.Derivation{}
	for p, text := range vectors(tb, "stable.txt") {
		d, err := drv.Parse(drvName(p), []byte(text))
		if err != nil {
			tb.Fatalf("%s: %v", p, err)
		}
		out[p] = d
	}
	return out
}

func resolver(all map[nix.StorePath]*drv.Derivation) func(nix.StorePath) (*drv.Derivation, error) {
	return func(p nix.StorePath) (*drv.Derivation, error) {
		if d, ok := all[p]; ok {
			return d, nil
		}
		return nil, fmt.Errorf("unknown")
	}
}

func TestNixDerivationsRoundTrip(t *testing.T) {
	texts := vectors(t, "stable.txt")
	for p, d := range stable(t) {
		if got := string(d.Marshal()); got != texts[p] {
			t.Errorf("%s: wrote\n%s\nwant\n%s", p, got, texts[p])
		}
		if got, err := d.DrvPath(); err != nil || got != p {
			t.Errorf("%s: path is %s, %v", p, got, err)
		}
	}
}

func TestNixOutputPaths(t *testing.T) {
	all := stable(t)
	for _, p := range slices.Sorted(maps.Keys(all)) {
		t.Run(p.Name(), func(t *testing.T) {
			h := drv.Hasher{Resolve: resolver(all)}
			d := all[p]
			if err := h.Check(d); err != nil {
				t.Error(err)
			}
			// The same derivation, as one that instantiates it has it: without paths.
			blank := *d
			blank.Outputs, blank.Env = map[string]drv.Output{}, maps.Clone(d.Env)
			for name, o := range d.Outputs {
				blank.Outputs[name] = drv.Output{CA: o.CA}
				delete(blank.Env, name)
			}
			got, _, err := h.Add(&blank)
			if err != nil || got != p {
				t.Errorf("Add gives %s, %v; want %s", got, err, p)
			}
		})
	}
}

func TestCheckTellsForgedOutputs(t *testing.T) {
	all := stable(t)
	h := drv.Hasher{Resolve: resolver(all)}
	for p, d := range all {
		if d.IsFixed() || drvName(p) != "multi" {
			continue
		}
		for _, forge := range []func(*drv.Derivation){
			func(d *drv.Derivation) { d.Args = []string{"other"} },
			func(d *drv.Derivation) { d.Outputs["out"] = d.Outputs["dev"] },
			func(d *drv.Derivation) { d.Env["dev"] = "/elsewhere" },
			func(d *drv.Derivation) { delete(d.Env, "lib32") },
		} {
			forged := *d
			forged.Outputs, forged.Env = maps.Clone(d.Outputs), maps.Clone(d.Env)
			forge(&forged)
			if err := h.Check(&forged); err == nil {
				t.Errorf("Check accepts %s", forged.Marshal())
			}
		}
	}
}

func TestExperimentalDerivations(t *testing.T) {
	want := map[string]string{
		"fixed-text":     "",
		"fixed-git":      `hash method "git"`,
		"fixed-blake3":   `hash algorithm "blake3"`,
		"floating":       "output out: floating content-addressed outputs",
		"text.drv":       "output out: floating content-addressed outputs",
		"after-floating": "output out: outputs that depend on floating content-addressed ones",
		"impure":         "output out: impure outputs",
		"dynamic":        `version "xp-dyn-drv" of the file`,
	}
	all := vectors(t, "experimental.txt")
	if len(all) != len(want) {
		t.Errorf("have %d vectors, want %d", len(all), len(want))
	}
	for p, text := range all {
		d, err := drv.Parse(drvName(p), []byte(text))
		if want := want[drvName(p)]; want != "" {
			if err == nil || !strings.Contains(err.Error(), want+": not supported") {
				t.Errorf("%s: %v, want %q", p, err, want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", p, err)
			continue
		}
		var h drv.Hasher
		if got, _, err := h.Add(d); err != nil || got != p {
			t.Errorf("%s: %s, %v", p, got, err)
		}
	}
}

// testdata/stable.chain is the last of 2,000 derivations of which each needs the one before.
func TestNixDeepChain(t *testing.T) {
	want, err := os.ReadFile("testdata/stable.chain")
	if err != nil {
		t.Fatal(err)
	}
	var h drv.Hasher
	_, last := chain(t, &h, 2000)
	if string(last)+"\n" != string(want) {
		t.Errorf("got %s, want %s", last, want)
	}
}

// chain makes derivations that need one another and returns them and the last one's path.
func chain(tb testing.TB, h *drv.Hasher, n int) (map[nix.StorePath]*drv.Derivation, nix.StorePath) {
	tb.Helper()
	all := make(map[nix.StorePath]*drv.Derivation, n)
	var last nix.StorePath
	previous := ""
	for range n {
		d := &drv.Derivation{
			Name: "link", Outputs: map[string]drv.Output{"out": {}}, System: "x", Builder: "/b",
			Env: map[string]string{"name": "link", "system": "x", "builder": "/b", "p": previous},
		}
		if last != "" {
			d.InputDrvs = map[nix.StorePath][]string{last: {"out"}}
		}
		p, _, err := h.Add(d)
		if err != nil {
			tb.Fatal(err)
		}
		all[p], last, previous = d, p, string(d.Outputs["out"].Path)
	}
	return all, last
}
