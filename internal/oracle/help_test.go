package oracle_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/engine/enginetest"
	"headwater/internal/engine/local"
	"headwater/internal/nix"
	"headwater/internal/nix/drv"
	"headwater/internal/nix/nar"
	"headwater/internal/nixtest"
	"headwater/internal/sandbox"
	"headwater/internal/store"
	"headwater/internal/store/storetest"
)

func TestMain(m *testing.M) {
	sandbox.RunInit()
	// Each random graph is some processes and builds; -rapid.checks on the command line still wins.
	if err := flag.Set("rapid.checks", "12"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// lab is a graph under construction, and our store, in which it is built.
type lab struct {
	t     testing.TB
	store *store.Store
	maker dag.Maker
	tool  *dag.Node // the builder
	texts []*dag.Node
}

// newLab makes a lab with the builder and two files, the second of which refers to the first.
func newLab(t testing.TB) *lab {
	t.Helper()
	l := &lab{t: t, store: storetest.Open(t, storeDir(t))}
	text, err := enginetest.Builder()
	if err != nil {
		t.Fatal(err)
	}
	l.tool = enginetest.Node(t, &l.maker, "tool", text, 0o555)
	first, err := l.maker.Text("first", "1\n")
	if err != nil {
		t.Fatal(err)
	}
	second, err := l.maker.Text("second", string(first.Path())+"\n", first)
	if err != nil {
		t.Fatal(err)
	}
	l.texts = []*dag.Node{first, second}
	if _, err := l.realise(l.tool, second); err != nil {
		t.Fatal(err)
	}
	return l
}

// storeDir is where a store can be made.
func storeDir(t testing.TB) string { return filepath.Join(storetest.Dir(t), "s") }

// derive makes a node whose builder is the tool unless d says otherwise. Inputs are all the nodes given, with all outputs.
func (l *lab) derive(d drv.Derivation, inputs ...*dag.Node) *dag.Node {
	l.t.Helper()
	if d.System == "" {
		d.System = "x86_64-linux"
	}
	if d.Builder == "" {
		d.Builder = string(l.tool.Path())
	}
	if d.Outputs == nil {
		d.Outputs = map[string]drv.Output{"out": {}}
	}
	d.InputDrvs = map[nix.StorePath][]string{}
	n := dag.Node{Kind: dag.Build, Name: d.Name, Drv: &d, Inputs: append([]*dag.Node{l.tool}, inputs...)}
	for _, in := range n.Inputs {
		if in.Drv == nil {
			d.InputSrcs = append(d.InputSrcs, in.Path())
		} else {
			d.InputDrvs[in.DrvPath] = in.Drv.OutputNames()
		}
	}
	slices.Sort(d.InputSrcs)
	d.InputSrcs = slices.Compact(d.InputSrcs)
	made, err := l.maker.Derivation(n)
	if err != nil {
		l.t.Fatal(err)
	}
	return made
}

// outputs makes the map of a derivation's outputs of names.
func outputs(names ...string) map[string]drv.Output {
	m := map[string]drv.Output{}
	for _, n := range names {
		m[n] = drv.Output{}
	}
	return m
}

// realise builds as far as can be with our engine.
func (l *lab) realise(goals ...*dag.Node) (engine.Result, error) {
	e := local.New(local.Config{Store: l.store})
	r, err := e.Realise(l.t.Context(), goals, engine.Options{KeepGoing: true, Cores: cores})
	return r, errors.Join(err, e.Close())
}

// cores is told to the builders of both.
const cores = 2

// paths are all outputs of the nodes.
func paths(nodes []*dag.Node) []nix.StorePath {
	var list []nix.StorePath
	for _, n := range nodes {
		for _, p := range n.Outputs {
			list = append(list, p)
		}
	}
	slices.Sort(list)
	return list
}

// valid are those of paths that a store has.
func valid(t testing.TB, s *store.Store, list []nix.StorePath) []nix.StorePath {
	t.Helper()
	v, err := s.Valid(t.Context(), list...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// copyPaths puts objects with what they refer to from one store into another, as NARs.
func copyPaths(t testing.TB, from, to *store.Store, list ...nix.StorePath) {
	t.Helper()
	all, err := from.Closure(t.Context(), list, false)
	if err != nil {
		t.Fatal(err)
	}
	have := valid(t, to, all)
	done := map[nix.StorePath]bool{}
	for _, p := range have {
		done[p] = true
	}
	var copyOne func(nix.StorePath)
	copyOne = func(p nix.StorePath) {
		if done[p] {
			return
		}
		done[p] = true
		info, err := from.Query(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range info.Refs {
			copyOne(r)
		}
		importFrom(t, from, to, info)
	}
	for _, p := range all {
		copyOne(p)
	}
}

func importFrom(t testing.TB, from, to *store.Store, info store.PathInfo) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	dumped := make(chan error, 1)
	go func() { dumped <- errors.Join(nar.Dump(w, from.RealPath(info.Path)), w.Close()) }()
	if info.Path.IsDerivation() {
		info.Outputs = derivationOutputs(t, from, info.Path)
	}
	err = to.ImportNAR(t.Context(), r, info)
	if err := errors.Join(err, r.Close(), <-dumped); err != nil {
		t.Fatal(err)
	}
}

// copyInputs puts what is content-addressed below the nodes into another store: what Nix cannot build.
func copyInputs(t testing.TB, from, to *store.Store, nodes []*dag.Node) {
	t.Helper()
	var list []nix.StorePath
	for _, n := range dag.Closure(nodes...) {
		switch {
		case n.Drv == nil || n.Kind == dag.Fetch:
			list = append(list, n.Path())
		default:
			list = append(list, n.Drv.InputSrcs...) // a graph that was loaded has no nodes for them
		}
	}
	slices.Sort(list)
	copyPaths(t, from, to, slices.Compact(list)...)
}

// evaluate has Nix compute the nodes' derivations from an expression, write them into the store in dir, and compares.
func evaluate(t testing.TB, n *nixtest.Nix, dir string, nodes []*dag.Node) error {
	t.Helper()
	var errs []error
	for i, got := range instantiate(t, n, dir, nodes) {
		if got == nodes[i].DrvPath {
			continue
		}
		theirs, err := os.ReadFile(filepath.Join(dir, string(got)))
		errs = append(errs, fmt.Errorf("%s: Nix makes %s of what we make %s\nours   %s\ntheirs %s", nodes[i].Name, got, nodes[i].DrvPath, nodes[i].Drv.Marshal(), theirs), err)
	}
	return errors.Join(errs...)
}

// features switches on what outputs that are texts need. It changes no other derivation.
func features() []string {
	return []string{"--option", "experimental-features", "nix-command dynamic-derivations"}
}

// nixRealise has Nix build all that it can of nodes, in the store in dir. It tells what Nix said, and its failure.
func nixRealise(t testing.TB, n *nixtest.Nix, dir string, nodes []*dag.Node) (string, error) {
	t.Helper()
	args := append(features(), "--store", dir, "--keep-going", "--cores", fmt.Sprint(cores), "--max-jobs", "2", "--realise")
	for _, n := range nodes {
		args = append(args, string(n.DrvPath))
	}
	out, said, err := n.Try(t, "nix-store", args...)
	return out + said, err
}

// compare tells what both stores have of nodes' outputs. Whatever is not the same, or in only one store, is an error.
func compare(t testing.TB, ours, theirs *store.Store, nodes []*dag.Node) (store.DiffResult, error) {
	t.Helper()
	all := paths(nodes)
	either := append(valid(t, ours, all), valid(t, theirs, all)...)
	if len(either) == 0 {
		return store.DiffResult{}, nil
	}
	r, err := store.Diff(t.Context(), ours, theirs, store.DiffOptions{Only: either, Contents: true})
	errs := []error{err}
	for _, d := range r.Different {
		errs = append(errs, fmt.Errorf("%s: %s: ours is %s, Nix's is %s", d.Path, d.What, d.Here, d.There))
	}
	for _, p := range r.OnlyHere {
		errs = append(errs, fmt.Errorf("%s: we made it, Nix did not", p))
	}
	for _, p := range r.OnlyThere {
		errs = append(errs, fmt.Errorf("%s: Nix made it, we did not", p))
	}
	return r, errors.Join(errs...)
}

func errorText(err error) string {
	text := fmt.Sprint(err)
	var f *engine.BuildFailed
	if errors.As(err, &f) {
		text += "\n" + f.Tail()
	}
	return text
}

// derivationOutputs are the outputs of a .drv that a store has.
func derivationOutputs(t testing.TB, s *store.Store, p nix.StorePath) map[string]nix.StorePath {
	t.Helper()
	text, err := os.ReadFile(s.RealPath(p))
	if err != nil {
		t.Fatal(err)
	}
	d, err := drv.Parse(p.Name()[:len(p.Name())-len(".drv")], text)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]nix.StorePath{}
	for name, o := range d.Outputs {
		out[name] = o.Path
	}
	return out
}
