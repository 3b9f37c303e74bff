package export_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"headwater/internal/dag"
	"headwater/internal/export"
	"headwater/internal/nix"
	"headwater/internal/nix/drv"
	"headwater/internal/nix/nar"
	"headwater/internal/nixtest"
)

// Nix finds the same derivations in what is exported of random graphs. That the goal's path is the same says that all others'
// are, since it is a hash of what names them.
func TestRandomGraphs(t *testing.T) {
	releases := nixtest.All(t)
	rapid.Check(t, func(rt *rapid.T) {
		n := releases[rapid.IntRange(0, len(releases)-1).Draw(rt, "release")]
		g := generator{T: rt, dir: t.TempDir()}
		goal := g.graph()
		out := filepath.Join(g.dir, "out")
		g.must(export.Write(t.Context(), out, export.Request{Name: "hello", Version: "1", Goal: goal}))
		if got, err := instantiate(t.Context(), n, out); err != nil || got[0] != goal.DrvPath {
			text, _ := os.ReadFile(filepath.Join(out, "default.nix"))
			rt.Fatalf("Nix finds %s, want %s (%v)\nwant %s\n%s", got, goal.DrvPath, err, goal.Drv.Marshal(), text)
		}
	})
}

// instantiate asks Nix which derivations the folders evaluate to.
func instantiate(ctx context.Context, n *nixtest.Nix, folders ...string) ([]nix.StorePath, error) {
	// Nothing is written, so nothing has to be valid.
	cmd := n.Command(ctx, "nix-instantiate", append([]string{"--store", filepath.Join(filepath.Dir(folders[0]), "store"), "--readonly-mode"}, folders...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, &stderr)
	}
	var list []nix.StorePath
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "!") // the output follows, where the first is not "out"
		p, err := nix.ParseStorePath(line)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	if len(list) != len(folders) {
		return nil, fmt.Errorf("nix-instantiate printed %q for %d folders", text, len(folders))
	}
	return list, nil
}

// generator makes random graphs.
type generator struct {
	*rapid.T
	dir   string
	maker dag.Maker
	nodes []*dag.Node
	count int
}

func (g *generator) must(err error) {
	g.Helper()
	if err != nil {
		g.Fatal(err)
	}
}

func (g *generator) graph() *dag.Node {
	for range rapid.IntRange(0, 4).Draw(g.T, "objects") {
		g.nodes = append(g.nodes, g.object())
	}
	var goal *dag.Node
	for range rapid.IntRange(1, 5).Draw(g.T, "derivations") {
		goal = g.derivation()
		g.nodes = append(g.nodes, goal)
	}
	return goal
}

// object is a root, a tree, a text, or something that exists already.
func (g *generator) object() *dag.Node {
	g.count++
	name := fmt.Sprintf("object-%d", g.count)
	switch rapid.IntRange(0, 4).Draw(g.T, "kind") {
	case 3:
		return g.maker.Existing(g.existing())
	case 4:
		shell := g.existing()
		n, err := g.maker.PathRoot(name, shell, []nix.StorePath{g.existing(), shell})
		g.must(err)
		return n
	case 0:
		n, err := g.maker.Tree(dag.Node{Kind: dag.Root, Name: "root " + name, Content: content{hash: nix.Sum(nix.SHA256, []byte(name)), method: nix.NAR}}, name)
		g.must(err)
		return n
	case 1:
		file := filepath.Join(g.dir, name)
		c := content{text: g.text(nil), method: nix.NAR}
		g.must(c.Write(context.Background(), file, nil))
		var err error
		c.hash, _, err = nar.HashPath(file)
		if rapid.Bool().Draw(g.T, "flat") {
			c.hash, c.method = nix.Sum(nix.SHA256, []byte(c.text)), nix.Flat
		}
		g.must(err)
		n, err := g.maker.Tree(dag.Node{Kind: dag.Src, Name: name, Content: c}, name)
		g.must(err)
		return n
	}
	refs := g.some(func(n *dag.Node) bool { return n.Drv == nil })
	n, err := g.maker.Text(name, g.text(refs), refs...)
	g.must(err)
	return n
}

// existing is a path that something else made.
func (g *generator) existing() nix.StorePath {
	g.count++
	p, err := nix.OutputPath(nix.Sum(nix.SHA256, []byte{byte(g.count)}), "out", "existing")
	g.must(err)
	return p
}

// content is a file, or of a root only its address.
type content struct {
	text   string
	hash   nix.Hash
	method nix.Method
}

func (c content) ContentAddress() nix.ContentAddress {
	return nix.ContentAddress{Method: c.method, Hash: c.hash}
}

func (c content) Write(_ context.Context, dst string, _ func(nix.StorePath) string) error {
	return os.WriteFile(dst, []byte(c.text), 0o644)
}

// some picks some of the nodes made so far.
func (g *generator) some(of func(*dag.Node) bool) []*dag.Node {
	var list []*dag.Node
	for _, n := range g.nodes {
		if of(n) && rapid.Bool().Draw(g.T, "used") {
			list = append(list, n)
		}
	}
	return list
}

// text is made of what strings of the Nix language are likely to get wrong, and of paths of the nodes or parts of such.
func (g *generator) text(nodes []*dag.Node) string {
	words := []string{"'", "''", "$", "${", "}", `\`, `"`, "\n", "\n", "\r", "\t", " ", "  ", "x", "ünï", "\xff", "if", "# ", "/nix/store/", "//", "\x01", "\x7f"}
	for _, n := range g.nodes {
		words = append(words, string(n.ID())[:20])
	}
	for _, n := range nodes {
		for _, name := range outputs(n) {
			words = append(words, string(n.Outputs[name]), string(n.Outputs[name])+"/bin")
		}
	}
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom(words), 0, 12).Draw(g.T, "text"), "")
}

func outputs(n *dag.Node) []string {
	if n.Drv != nil {
		return n.Drv.OutputNames()
	}
	return []string{"out"}
}

func (g *generator) derivation() *dag.Node {
	g.count++
	inputs := g.some(func(*dag.Node) bool { return true })
	d := &drv.Derivation{
		Name: fmt.Sprintf("d-%d", g.count), Outputs: map[string]drv.Output{}, InputDrvs: map[nix.StorePath][]string{},
		System: "x86_64-linux" + g.text(nil), Builder: "/" + g.text(inputs),
	}
	d.System = strings.NewReplacer(`"`, "", `\`, "").Replace(d.System)
	for range rapid.IntRange(0, 3).Draw(g.T, "args") {
		d.Args = append(d.Args, g.text(inputs))
	}
	for _, in := range inputs {
		if in.Drv == nil {
			d.InputSrcs = append(d.InputSrcs, in.Path())
			continue
		}
		names := outputs(in)
		d.InputDrvs[in.DrvPath] = names[:rapid.IntRange(1, len(names)).Draw(g.T, "outputs")]
	}
	slices.Sort(d.InputSrcs)
	env := map[string]string{}
	for _, k := range rapid.SliceOfN(rapid.SampledFrom([]string{"a", "if", "a b", "", "${x}", "script", "A-1", "passAsFile", "or", "type", "meta", "ü"}), 0, 4).Draw(g.T, "names") {
		env[k] = g.text(inputs)
	}
	names := rapid.SampledFrom([][]string{{"out"}, {"out"}, {"dev", "out"}, {"out", "x.y_z", "dbg"}, {"lib"}}).Draw(g.T, "outputs")
	for _, o := range names {
		d.Outputs[o] = drv.Output{}
	}
	switch rapid.IntRange(0, 3).Draw(g.T, "form") {
	case 0:
		g.structured(d, env, names)
	case 1:
		names = []string{"out"}
		g.fixed(d, env)
		fallthrough
	default:
		env["name"], env["system"], env["builder"] = d.Name, d.System, d.Builder
		if len(names) > 1 || names[0] != "out" || rapid.Bool().Draw(g.T, "say") {
			env["outputs"] = strings.Join(names, " ")
		}
		d.Env = env
	}
	n, err := g.maker.Derivation(dag.Node{Kind: dag.Build, Name: d.Name, Drv: d, Inputs: inputs})
	g.must(err)
	return n
}

func (g *generator) fixed(d *drv.Derivation, env map[string]string) {
	hash := nix.Sum(rapid.SampledFrom([]nix.Algo{nix.SHA256, nix.SHA512, nix.SHA1}).Draw(g.T, "algorithm"), []byte(d.Name))
	ca := nix.ContentAddress{Method: nix.Flat, Hash: hash}
	switch rapid.IntRange(0, 2).Draw(g.T, "mode") {
	case 0:
		env["outputHashMode"] = "flat"
	case 1:
		ca.Method, env["outputHashMode"] = nix.NAR, "recursive"
	}
	env["outputHash"], env["outputHashAlgo"] = hash.Base16(), string(hash.Algo())
	if rapid.Bool().Draw(g.T, "base32") {
		env["outputHash"] = hash.Base32()
	}
	d.Outputs = map[string]drv.Output{"out": {CA: ca}}
}

// structured gives d structured attributes; JSON is UTF-8.
func (g *generator) structured(d *drv.Derivation, env map[string]string, names []string) {
	d.System, d.Builder = strings.ToValidUTF8(d.System, "?"), strings.ToValidUTF8(d.Builder, "?")
	attrs := map[string]any{"name": d.Name, "system": d.System, "builder": d.Builder}
	list := []any{}
	for _, k := range slices.Sorted(maps.Keys(env)) {
		v := strings.ToValidUTF8(env[k], "?")
		attrs[k] = v
		list = append(list, v, nil, true, rapid.Int64().Draw(g.T, "number"))
	}
	attrs["outputs"], attrs["list"], attrs["deep"] = names, list, map[string]any{"": map[string]any{}, "with": []any{[]any{}, -1 << 63}}
	g.must(d.SetStructured(attrs))
}
