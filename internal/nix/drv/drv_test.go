package drv_test

import (
	"os"
	"strings"
	"testing"

	"headwater/internal/nix"
	"headwater/internal/nix/drv"
)

// testdata/multi.nix was instantiated by Nix 2.8: its two fetches share a hash modulo (NixOS/nix#16307).
func TestAddMatchesNix(t *testing.T) {
	var h drv.Hasher
	empty := nix.ContentAddress{Method: nix.Flat, Hash: nix.Sum(nix.SHA256, nil)}
	env := map[string]string{"name": "m", "system": "x", "builder": "/b", "outputs": "out dev"}
	in := map[nix.StorePath][]string{}
	for k, url := range map[string]string{"a": "u1", "b": "u2"} {
		d := &drv.Derivation{Name: "f", Outputs: map[string]drv.Output{"out": {CA: empty}}, System: "builtin", Builder: "builtin:fetchurl",
			Env: map[string]string{"name": "f", "system": "builtin", "builder": "builtin:fetchurl", "url": url, "outputHash": empty.Hash.SRI(), "outputHashMode": "flat"}}
		p, _, err := h.Add(d)
		if err != nil {
			t.Fatal(err)
		}
		in[p], env[k] = []string{"out"}, string(d.Outputs["out"].Path)
	}
	d := &drv.Derivation{Name: "m", Outputs: map[string]drv.Output{"out": {}, "dev": {}}, System: "x", Builder: "/b", Args: []string{"a\"\\\n\t", "é"}, InputDrvs: in, Env: env}
	p, got, err := h.Add(d)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := os.ReadFile("testdata/multi.drv")
	paths, _ := os.ReadFile("testdata/multi.paths")
	if string(got) != string(want) || !strings.Contains(string(paths), p.Base()) {
		t.Errorf("got %s\n%s\nwant %s\n%s", p, got, paths, want)
	}
}
