package drv_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"headwater/internal/nix"
	"headwater/internal/nix/drv"
)

const (
	aPath  = "/nix/store/00000000000000000000000000000000-a"
	aDrv   = "/nix/store/00000000000000000000000000000000-a.drv"
	sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

func TestParseRejects(t *testing.T) {
	out := `("out","` + aPath + `","","")`
	for name, c := range map[string]struct{ text, want string }{
		"empty":                {``, `byte 0: want "Derive([", have ""`},
		"another term":         {`Drv([])`, `byte 0: want "Derive(["`},
		"truncated":            {`Derive([` + out + `],[],[],"s","b",[],[]`, `want ")"`},
		"open string":          {`Derive([` + out + `],[],[],"s\"`, `string does not end`},
		"bytes after the end":  {`Derive([` + out + `],[],[],"s","b",[],[])` + "\n", `bytes follow its end`},
		"space":                {`Derive([` + out + `], [],[],"s","b",[],[])`, `want ",["`},
		"no outputs":           {`Derive([],[],[],"s","b",[],[])`, `no outputs`},
		"output twice":         {`Derive([` + out + `,` + out + `],[],[],"s","b",[],[])`, `output "out": without a name or twice there`},
		"output without name":  {`Derive([("","` + aPath + `","","")],[],[],"s","b",[],[])`, `without a name`},
		"output with a slash":  {`Derive([("a/b","` + aPath + `","","")],[],[],"s","b",[],[])`, `'/' is not allowed`},
		"output elsewhere":     {`Derive([("out","/tmp/x","","")],[],[],"s","b",[],[])`, `not in /nix/store`},
		"output of a folder":   {`Derive([("out","` + aPath + `/b","","")],[],[],"s","b",[],[])`, `goes on below`},
		"hash without algo":    {`Derive([("out","` + aPath + `","","` + sha256 + `")],[],[],"s","b",[],[])`, `has a hash but no algorithm`},
		"hash of wrong length": {`Derive([("out","` + aPath + `","sha1","` + sha256 + `")],[],[],"s","b",[],[])`, `want 20 bytes, have 32`},
		"hash not base 16":     {`Derive([("out","` + aPath + `","sha1","xyz")],[],[],"s","b",[],[])`, `hash "xyz"`},
		"fixed path forged":    {`Derive([("out","` + aPath + `","sha256","` + sha256 + `")],[],[],"s","b",[],[])`, `its hash gives /nix/store/`},
		"fixed and not out":    {`Derive([("dev","` + aPath + `","sha256","` + sha256 + `")],[],[],"s","b",[],[])`, `must be the only one and called out`},
		"input no derivation":  {`Derive([` + out + `],[("` + aPath + `",["out"])],[],"s","b",[],[])`, `no derivation or twice`},
		"input twice":          {`Derive([` + out + `],[("` + aDrv + `",["a"]),("` + aDrv + `",["b"])],[],"s","b",[],[])`, `no derivation or twice`},
		"source twice":         {`Derive([` + out + `],[],["` + aPath + `","` + aPath + `"],"s","b",[],[])`, `not in canonical form`},
		"source elsewhere":     {`Derive([` + out + `],[],["/a"],"s","b",[],[])`, `not in /nix/store`},
		"variable twice":       {`Derive([` + out + `],[],[],"s","b",[],[("a",""),("a","")])`, `variable "a": twice there`},
		"variables unsorted":   {`Derive([` + out + `],[],[],"s","b",[],[("b",""),("a","")])`, `not in canonical form`},
		"needless escape":      {`Derive([` + out + `],[],[],"s","\b",[],[])`, `not in canonical form`},
		"raw line break":       {`Derive([` + out + `],[],[],"s","` + "\n" + `",[],[])`, `not in canonical form`},
		"escape in the system": {`Derive([` + out + `],[],[],"\\","b",[],[])`, `holds a quote or backslash`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := drv.Parse("a", []byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	for _, name := range []string{"", "a/b", strings.Repeat("n", 208)} {
		if _, err := drv.Parse(name, []byte(`Derive([`+out+`],[],[],"s","b",[],[])`)); err == nil {
			t.Errorf("name %q is accepted", name)
		}
	}
	var unsupported *drv.UnsupportedError
	if _, err := drv.Parse("a", []byte(`Derive([("out","","r:sha256","")],[],[],"s","b",[],[])`)); !errors.As(err, &unsupported) {
		t.Errorf("error %v, want an UnsupportedError", err)
	}
}

func TestAddRejects(t *testing.T) {
	fixed := drv.Output{CA: nix.ContentAddress{Method: nix.Flat, Hash: nix.Sum(nix.SHA256, nil)}}
	var h drv.Hasher
	in := &drv.Derivation{Name: "in", Outputs: map[string]drv.Output{"out": {}}, System: "s", Builder: "b"}
	inPath, _, err := h.Add(in)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*drv.Derivation)
		want   string
	}{
		"system":        {func(d *drv.Derivation) { d.System = `"` }, "holds a quote"},
		"no outputs":    {func(d *drv.Derivation) { d.Outputs = nil }, "no outputs"},
		"two fixed":     {func(d *drv.Derivation) { d.Outputs = map[string]drv.Output{"out": fixed, "dev": fixed} }, "the only one"},
		"name":          {func(d *drv.Derivation) { d.Name = "a b" }, `' ' is not allowed`},
		"long name":     {func(d *drv.Derivation) { d.Name = strings.Repeat("n", 208) }, "longer than 211"},
		"long output":   {func(d *drv.Derivation) { d.Outputs = map[string]drv.Output{strings.Repeat("n", 211): {}} }, "longer than 211"},
		"unknown input": {func(d *drv.Derivation) { d.InputDrvs = map[nix.StorePath][]string{aDrv: {"out"}} }, "input " + aDrv + ": unknown"},
		"lacking output": {func(d *drv.Derivation) { d.InputDrvs = map[nix.StorePath][]string{inPath: {"doc"}} },
			"in.drv has no output \"doc\""},
	} {
		t.Run(name, func(t *testing.T) {
			d := &drv.Derivation{Name: "a", Outputs: map[string]drv.Output{"out": {}}, System: "s", Builder: "b"}
			c.change(d)
			if _, _, err := h.Add(d); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// A chain far deeper than calls could go, all of it met through Resolve.
func TestResolveDeepChain(t *testing.T) {
	var added drv.Hasher
	all, last := chain(t, &added, 100_000)
	h := drv.Hasher{Resolve: resolver(all)}
	if err := h.Check(all[last]); err != nil {
		t.Error(err)
	}
}

func TestResolveCycle(t *testing.T) {
	other := nix.StorePath("/nix/store/00000000000000000000000000000000-b.drv")
	node := func(needs nix.StorePath) *drv.Derivation {
		return &drv.Derivation{Name: "a", Outputs: map[string]drv.Output{"out": {}}, InputDrvs: map[nix.StorePath][]string{needs: {"out"}}}
	}
	h := drv.Hasher{Resolve: resolver(map[nix.StorePath]*drv.Derivation{aDrv: node(other), other: node(aDrv)})}
	if _, _, err := h.Add(node(aDrv)); err == nil || !strings.Contains(err.Error(), "needs itself") {
		t.Errorf("error %v, want that it needs itself", err)
	}
}

// genDerivation draws any derivation that can be written, with its outputs' paths computed.
func genDerivation(t *rapid.T, h *drv.Hasher, inputs map[nix.StorePath]*drv.Derivation) *drv.Derivation {
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[\\"\n\r\tnrt]*`), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	d := &drv.Derivation{
		Name:    rapid.StringMatching(`[a-zA-Z0-9+_?=-][a-zA-Z0-9+._?=-]{0,20}`).Draw(t, "name"),
		Outputs: map[string]drv.Output{},
		System:  strings.NewReplacer(`"`, "", `\`, "").Replace(text.Draw(t, "system")),
		Builder: text.Draw(t, "builder"),
		Args:    rapid.SliceOf(text).Draw(t, "args"),
		Env:     rapid.MapOf(text, text).Draw(t, "env"),
	}
	if rapid.Bool().Draw(t, "fixed") {
		algo := rapid.SampledFrom([]nix.Algo{nix.MD5, nix.SHA1, nix.SHA256, nix.SHA512}).Draw(t, "algo")
		method := rapid.SampledFrom([]nix.Method{nix.Flat, nix.NAR}).Draw(t, "method")
		d.Outputs["out"] = drv.Output{CA: nix.ContentAddress{Method: method, Hash: nix.Sum(algo, []byte(d.Builder))}}
	} else {
		for _, o := range rapid.SliceOfN(rapid.StringMatching(`[a-z_][a-z0-9_-]{0,5}`), 1, 4).Draw(t, "outputs") {
			d.Outputs[o] = drv.Output{}
		}
	}
	for _, p := range slices.Sorted(maps.Keys(inputs)) {
		if rapid.Bool().Draw(t, "use") {
			if d.InputDrvs == nil {
				d.InputDrvs = map[nix.StorePath][]string{}
			}
			d.InputDrvs[p] = inputs[p].OutputNames()
		}
	}
	for range rapid.IntRange(0, 3).Draw(t, "sources") {
		p, err := nix.TextPath("s", nix.Sum(nix.SHA256, []byte(text.Draw(t, "source"))), nil)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(d.InputSrcs, p) {
			d.InputSrcs = append(d.InputSrcs, p)
		}
	}
	slices.Sort(d.InputSrcs)
	return d
}

func TestGraphsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h drv.Hasher
		all := map[nix.StorePath]*drv.Derivation{}
		for range rapid.IntRange(1, 6).Draw(t, "derivations") {
			d := genDerivation(t, &h, all)
			p, text, err := h.Add(d)
			if err != nil {
				t.Fatal(err)
			}
			back, err := drv.Parse(d.Name, text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(d, back, cmpopts.EquateEmpty(), cmp.AllowUnexported(nix.Hash{})); diff != "" {
				t.Fatalf("read back (-written +read):\n%s", diff)
			}
			all[p] = back
		}
		fresh := drv.Hasher{Resolve: resolver(all)}
		for p, d := range all {
			if err := fresh.Check(d); err != nil {
				t.Fatalf("%s: %v", p, err)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, file := range []string{"stable.txt", "experimental.txt"} {
		for p, text := range vectors(f, file) {
			f.Add(drvName(p), []byte(text))
		}
	}
	f.Fuzz(func(t *testing.T, name string, text []byte) {
		d, err := drv.Parse(name, text)
		if err != nil {
			return
		}
		if string(d.Marshal()) != string(text) {
			t.Errorf("read and written again: %q", d.Marshal())
		}
		if _, err := d.DrvPath(); err != nil {
			t.Error(err)
		}
	})
}

// instantiate makes n derivations, each of which needs ten earlier ones.
func instantiate(tb testing.TB, n int) {
	var h drv.Hasher
	type made struct {
		drv nix.StorePath
		out string
	}
	all := make([]made, 0, n)
	for i := range n {
		d := &drv.Derivation{
			Name: "package", Outputs: map[string]drv.Output{"out": {}}, System: "x86_64-linux", Builder: "/bin/sh", Args: []string{"-c", "true"},
			InputDrvs: map[nix.StorePath][]string{},
			Env:       map[string]string{"name": "package", "system": "x86_64-linux", "builder": "/bin/sh", "script": strings.Repeat("x", 500), "n": fmt.Sprint(i)},
		}
		for j := range min(10, i) {
			in := all[i-1-j*i/10]
			d.InputDrvs[in.drv] = []string{"out"}
			d.Env[fmt.Sprint("in", j)] = in.out
		}
		p, _, err := h.Add(d)
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, made{p, string(d.Outputs["out"].Path)})
	}
}

func BenchmarkAdd(b *testing.B) {
	const n = 10_000
	for b.Loop() {
		instantiate(b, n)
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "drvs/s")
}

func BenchmarkParse(b *testing.B) {
	all := vectors(b, "stable.txt")
	for b.Loop() {
		for p, text := range all {
			if _, err := drv.Parse(drvName(p), []byte(text)); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N*len(all))/b.Elapsed().Seconds(), "drvs/s")
}
