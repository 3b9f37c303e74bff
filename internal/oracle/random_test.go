package oracle_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"headwater/internal/dag"
	"headwater/internal/nix"
	"headwater/internal/nix/drv"
	"headwater/internal/nixtest"
	"headwater/internal/store/storetest"
)

// Random derivations have the paths that Nix computes.
func TestRandomDerivations(t *testing.T) {
	for _, n := range nixtest.All(t) {
		t.Run(string(n.Release), func(t *testing.T) {
			l := newLab(t)
			dir := storeDir(t)
			copyPaths(t, l.store, storetest.Open(t, dir), l.tool.Path(), l.texts[1].Path())
			count := 0
			rapid.Check(t, func(r *rapid.T) {
				nodes := drawGraph(r, l, 1, 12, drawDerivation)
				count += len(nodes)
				if err := evaluate(t, n, dir, nodes); err != nil {
					r.Fatal(err)
				}
			})
			t.Logf("%d random derivations have the same paths", count)
		})
	}
}

// Random graphs come out the same, whoever builds them.
func TestRandomBuilds(t *testing.T) {
	for _, n := range nixtest.All(t) {
		t.Run(string(n.Release), func(t *testing.T) {
			l := newLab(t)
			dir := storeDir(t)
			theirs := storetest.Open(t, dir)
			copyPaths(t, l.store, theirs, l.tool.Path(), l.texts[1].Path())
			built, refused := 0, 0
			rapid.Check(t, func(r *rapid.T) {
				nodes := drawGraph(r, l, 1, 8, drawBuild)
				if err := evaluate(t, n, dir, nodes); err != nil {
					r.Fatal(err)
				}
				_, ourErr := l.realise(nodes...)
				log, theirErr := nixRealise(t, n, dir, nodes)
				result, err := compare(t, l.store, theirs, nodes)
				if err != nil || (ourErr == nil) != (theirErr == nil) {
					r.Fatalf("%v\nwe said: %s\nNix said: %v\n%s", err, errorText(ourErr), theirErr, log)
				}
				built += result.Common
				refused += len(paths(nodes)) - result.Common
			})
			t.Logf("%d outputs are equal, %d were refused by both", built, refused)
		})
	}
}

// drawGraph draws derivations each of which may need those before, and the lab's files.
func drawGraph(r *rapid.T, l *lab, least, most int, draw func(*rapid.T, *lab, string, []*dag.Node) *dag.Node) []*dag.Node {
	var nodes []*dag.Node
	for i := range rapid.IntRange(least, most).Draw(r, "nodes") {
		var inputs []*dag.Node
		for _, in := range append(slices.Clone(l.texts), nodes...) {
			if rapid.IntRange(0, 2).Draw(r, "needs") == 0 {
				inputs = append(inputs, in)
			}
		}
		n := draw(r, l, fmt.Sprintf("n%d", i), inputs)
		if !slices.Contains(nodes, n) { // the same one may be drawn twice
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// words are what random strings are made of: characters that some format must escape, and plain ones.
func words(refs []nix.StorePath) *rapid.Generator[string] {
	odd := []string{"a", " ", "\n", "\t", "\r", `"`, `\`, "'", "$", "${x}", "$$", "{", "''", "é", "→", "🎈", "\u2028", "\x01", "\x7f", "%s", "=", "<&>", drv.Placeholder("out")}
	for _, p := range refs {
		odd = append(odd, string(p), string(p)+"/x")
	}
	return rapid.Map(rapid.SliceOfN(rapid.SampledFrom(odd), 0, 6), func(s []string) string { return strings.Join(s, "") })
}

// drawOutputs draws names of outputs: the usual, and names of variables that mean something.
func drawOutputs(r *rapid.T) []string {
	names := rapid.SampledFrom([]string{"out", "dev", "lib", "x.y_z", "PATH", "HOME", "TMPDIR", "src", "0", "a-b", "out2", "Out", "-", "_"})
	return rapid.SliceOfNDistinct(names, 1, 4, rapid.ID).Draw(r, "outputs")
}

// drawDerivation draws what need not be possible to build.
func drawDerivation(r *rapid.T, l *lab, name string, inputs []*dag.Node) *dag.Node {
	text := words(paths(inputs))
	d := drv.Derivation{
		Name: name + rapid.StringMatching(`[a-zA-Z0-9+._?=-]{0,40}x`).Draw(r, "name"), System: rapid.SampledFrom([]string{"x86_64-linux", "builtin", "sys\ttem é"}).Draw(r, "system"),
		Builder: "/" + text.Draw(r, "builder"), Args: rapid.SliceOfN(text, 0, 4).Draw(r, "args"), Env: map[string]string{},
	}
	kind := rapid.SampledFrom([]string{"plain", "plain", "structured", "fixed"}).Draw(r, "kind")
	if kind == "fixed" {
		drawFixed(r, &d)
	} else {
		names := drawOutputs(r)
		d.Outputs = outputs(names...)
		d.Env["outputs"] = strings.Join(names, " ")
	}
	if kind == "structured" {
		structure(r, l, &d, text)
		return l.derive(d, inputs...)
	}
	for _, k := range rapid.SliceOfN(rapid.StringMatching(`[a-zA-Z0-9 ="'$.é-]{1,12}`), 0, 6).Draw(r, "keys") {
		if _, taken := d.Env[k]; !taken {
			d.Env[k] = text.Draw(r, "value")
		}
	}
	if rapid.Bool().Draw(r, "passes") {
		d.Env["passAsFile"] = "one two"
		d.Env["one"], d.Env["two"] = text.Draw(r, "one"), ""
	}
	d.Env["name"], d.Env["system"], d.Env["builder"] = d.Name, d.System, d.Builder
	return l.derive(d, inputs...)
}

// drawFixed makes d a fixed output of a random method and hash.
func drawFixed(r *rapid.T, d *drv.Derivation) {
	ca := nix.ContentAddress{
		Method: rapid.SampledFrom([]nix.Method{nix.Flat, nix.NAR}).Draw(r, "method"),
		Hash:   nix.Sum(rapid.SampledFrom([]nix.Algo{nix.MD5, nix.SHA1, nix.SHA256, nix.SHA512}).Draw(r, "algo"), []byte(rapid.String().Draw(r, "content"))),
	}
	fix(d, ca)
}

// fix makes d a fixed output, with the attributes that tell Nix so.
func fix(d *drv.Derivation, ca nix.ContentAddress) {
	mode := map[nix.Method]string{nix.Flat: "flat", nix.NAR: "recursive", nix.Text: "text"}[ca.Method]
	d.Outputs = map[string]drv.Output{"out": {CA: ca}}
	d.Env["outputHash"], d.Env["outputHashAlgo"], d.Env["outputHashMode"] = ca.Hash.Base16(), string(ca.Hash.Algo()), mode
}

// structure turns d's attributes into structured ones, random ones among them.
func structure(r *rapid.T, l *lab, d *drv.Derivation, text *rapid.Generator[string]) {
	attrs := rapid.MapOfN(rapid.StringMatching(`[a-zA-Z_é][a-zA-Z0-9 ._é-]{0,8}`), drawValue(text, 2), 0, 5).Draw(r, "attributes")
	// Names with a meaning have meanings of their own in Nix's language.
	maps.DeleteFunc(attrs, func(k string, _ any) bool {
		return slices.Contains([]string{"args", "outputHash", "outputHashAlgo", "outputHashMode", "allowedReferences", "outputChecks"}, k)
	})
	attrs["name"], attrs["system"], attrs["builder"] = d.Name, d.System, d.Builder
	if names := strings.Fields(d.Env["outputs"]); len(names) > 0 {
		attrs["outputs"] = names
	}
	d.Env = map[string]string{}
	if err := d.SetStructured(attrs); err != nil {
		l.t.Fatal(err)
	}
}

// drawValue draws a JSON value.
func drawValue(text *rapid.Generator[string], depth int) *rapid.Generator[any] {
	return rapid.Custom(func(r *rapid.T) any {
		kinds := 6
		if depth == 0 {
			kinds = 4
		}
		switch rapid.IntRange(0, kinds-1).Draw(r, "kind") {
		case 0:
			return text.Draw(r, "string")
		case 1:
			return rapid.Bool().Draw(r, "bool")
		case 2:
			return rapid.IntRange(-1<<53, 1<<53).Draw(r, "int")
		case 3:
			return nil
		case 4:
			return rapid.SliceOfN(drawValue(text, depth-1), 0, 4).Draw(r, "list")
		default:
			return rapid.MapOfN(rapid.StringMatching(`[a-zé ".]{1,6}`), drawValue(text, depth-1), 0, 3).Draw(r, "set")
		}
	})
}

// drawBuild draws what the tool can build: files, links and folders, with references to inputs, to other outputs and to
// themselves. Now and then what may be referred to is bounded, so that some are refused; by both, or the test fails.
func drawBuild(r *rapid.T, l *lab, name string, inputs []*dag.Node) *dag.Node {
	names := drawOutputs(r)
	places := []string{} // of the outputs before: a circle is for another test
	for _, p := range paths(inputs) {
		places = append(places, string(p))
	}
	args := []string{"shell"}
	for _, o := range names {
		self := drv.Placeholder(o)
		places = append(places, self)
		args = append(args, drawObject(r, self, places, 2)...)
	}
	d := drv.Derivation{Name: name, System: "x86_64-linux", Builder: string(l.tool.Path()), Outputs: outputs(names...), Args: args, Env: map[string]string{
		"name": name, "outputs": strings.Join(names, " "), "system": "x86_64-linux", "builder": string(l.tool.Path()),
	}}
	kinds := []string{"plain", "files", "structured", "bounded"}
	switch rapid.SampledFrom(kinds).Draw(r, "kind") {
	case "files":
		d.Env["passAsFile"], d.Env["text"] = "text", words(paths(inputs)).Draw(r, "text")
	case "structured":
		structure(r, l, &d, words(paths(inputs)))
	case "bounded":
		allowed := []string{}
		for _, p := range append(paths(inputs), nix.StorePath(names[0])) {
			if rapid.IntRange(0, 3).Draw(r, "allow") > 0 {
				allowed = append(allowed, string(p))
			}
		}
		check := rapid.SampledFrom([]string{"allowedReferences", "allowedRequisites", "disallowedReferences", "disallowedRequisites"}).Draw(r, "check")
		d.Env[check] = strings.Join(allowed, " ")
	}
	return l.derive(d, inputs...)
}

// drawObject draws the tool's commands that make an object.
func drawObject(r *rapid.T, at string, places []string, depth int) []string {
	text := func() string {
		parts := rapid.SliceOfN(rapid.SampledFrom(append([]string{"x", "\n", "\x00", "é", strings.Repeat("long ", 3000)}, places...)), 0, 4).Draw(r, "text")
		return strings.ReplaceAll(strings.Join(parts, " "), "\x00", "0")
	}
	switch kind := rapid.IntRange(0, 3).Draw(r, "object"); {
	case kind == 0:
		return []string{"link " + at + " " + rapid.SampledFrom(append([]string{"nowhere", "../x"}, places...)).Draw(r, "target")}
	case kind == 1 && depth > 0:
		lines := []string{"mkdir " + at}
		children := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", ".c", "é", "ä.b", "Z", "a-"}), 0, 4, rapid.ID).Draw(r, "children")
		for _, c := range children {
			lines = append(lines, drawObject(r, at+"/"+c, places, depth-1)...)
		}
		return append(lines, fmt.Sprintf("chmod %s %o", at, rapid.SampledFrom([]int{0o755, 0o700, 0o555}).Draw(r, "mode")))
	}
	mode := rapid.SampledFrom([]int{0o644, 0o755, 0o600, 0o444, 0o500, 0o711, 0o654}).Draw(r, "mode")
	return []string{"write " + at + " " + text(), fmt.Sprintf("chmod %s %o", at, mode)}
}
