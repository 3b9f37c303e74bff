package local_test

import (
	"os"
	"strings"
	"testing"

	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/engine/local"
	"headwater/internal/nix"
	"headwater/internal/store"
)

// writeDerivation puts n's .drv into the store, whose inputs' are there.
func (l *lab) writeDerivation(n *dag.Node) {
	l.t.Helper()
	text := store.Text{Name: n.DrvPath.Name(), Content: string(n.Drv.Marshal()), Refs: n.Drv.InputSrcs}
	for p := range n.Drv.InputDrvs {
		text.Refs = append(text.Refs, p)
	}
	if _, err := l.store.AddTexts(l.t.Context(), []store.Text{text}); err != nil {
		l.t.Fatal(err)
	}
}

// What somebody else instantiated can be built.
func TestLoadedDerivationsBuild(t *testing.T) {
	l := newLab(t)
	a := l.outputs("a", []string{"dev", "out"}, []string{"shell", "write $out A", "write $dev D"}, nil)
	b := l.drv("b", []string{"concat", string(a.Path()), string(a.Outputs["dev"])}, nil, a)
	if _, err := l.realise(engine.Options{}, l.tool); err != nil {
		t.Fatal(err)
	}
	l.writeDerivation(a)
	l.writeDerivation(b)
	nodes, err := local.Load(t.Context(), l.store, b.DrvPath, a.DrvPath)
	if err != nil {
		t.Fatal(err)
	}
	if nodes[0].ID() != b.DrvPath || nodes[0].Path() != b.Path() || len(nodes[0].Inputs) != 1 || nodes[0].Inputs[0] != nodes[1] {
		t.Errorf("%+v", nodes[0])
	}
	if got := l.build(nodes[0]); got != "AD" {
		t.Errorf("content %q", got)
	}
	l.clean()
}

func TestLoadRefuses(t *testing.T) {
	l := newLab(t)
	n := l.drv("n", []string{"write", "x"}, nil)
	if _, err := l.realise(engine.Options{}, l.tool); err != nil {
		t.Fatal(err)
	}
	for _, p := range []nix.StorePath{n.DrvPath, l.tool.Path()} { // not there; no derivation
		if _, err := local.Load(t.Context(), l.store, p); err == nil {
			t.Errorf("%s was loaded", p)
		}
	}
	l.writeDerivation(n)
	file := l.store.RealPath(n.DrvPath)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{"cut": string(good[:len(good)/2]), "changed": strings.Replace(string(good), `"x"`, `"y"`, 1)} {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(bad), 0o444); err != nil {
			t.Fatal(err)
		}
		if _, err := local.Load(t.Context(), l.store, n.DrvPath); err == nil {
			t.Errorf("%s: loaded", name)
		}
	}
}
