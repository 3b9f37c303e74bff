package oracle_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"headwater/internal/dag"
	"headwater/internal/nix"
	"headwater/internal/nixtest"
)

// instantiate has Nix evaluate an expression that means nodes (derivations, inputs first), and tells the paths that Nix
// comes to. Nix computes all of them itself: an input's path stands in the expression as a reference to the input. What is
// content-addressed must be in the store in dir.
func instantiate(t testing.TB, n *nixtest.Nix, dir string, nodes []*dag.Node) []nix.StorePath {
	t.Helper()
	file := filepath.Join(t.TempDir(), "all.nix")
	if err := os.WriteFile(file, []byte(expression(t, nodes)), 0o644); err != nil {
		t.Fatal(err)
	}
	text := n.Run(t, "nix-instantiate", append(features(), "--store", dir, "--eval", "--strict", "--json", "--read-write-mode", file)...)
	var got []nix.StorePath
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if len(got) != len(nodes) {
		t.Fatalf("Nix tells %d paths for %d derivations", len(got), len(nodes))
	}
	return got
}

// expression is a list of the .drv paths of nodes, which stand in it by what they are made of.
func expression(t testing.TB, nodes []*dag.Node) string {
	t.Helper()
	x := expresser{t: t, sources: map[nix.StorePath]string{}, outputs: map[nix.StorePath]string{}, drvs: map[nix.StorePath]string{}}
	x.text.WriteString("let\n")
	for _, n := range nodes {
		x.derivation(n)
	}
	x.text.WriteString("in [\n")
	for _, n := range nodes {
		fmt.Fprintf(&x.text, "  %s.drvPath\n", x.drvs[n.DrvPath])
	}
	x.text.WriteString("]\n")
	return x.text.String()
}

type expresser struct {
	t       testing.TB
	text    strings.Builder
	sources map[nix.StorePath]string // what they are called
	outputs map[nix.StorePath]string // how an output is selected
	drvs    map[nix.StorePath]string
}

func (x *expresser) derivation(n *dag.Node) {
	d := n.Drv
	refs := map[string]string{} // path → expression of the inputs
	for _, p := range d.InputSrcs {
		if x.sources[p] == "" {
			x.sources[p] = fmt.Sprintf("s%d", len(x.sources))
			fmt.Fprintf(&x.text, "  %s = builtins.storePath \"%s\";\n", x.sources[p], p)
		}
		refs[string(p)] = x.sources[p]
	}
	for p, names := range d.InputDrvs {
		for _, name := range names {
			out := x.outputPath(p, name)
			refs[string(out)] = x.outputs[out]
		}
	}
	name := fmt.Sprintf("d%d", len(x.drvs))
	fmt.Fprintf(&x.text, "  %s = builtins.derivationStrict {\n    name = %s;\n    system = %s;\n    args = [", name, quote(d.Name, nil), quote(d.System, nil))
	for _, a := range d.Args {
		x.text.WriteString(" " + quote(a, refs))
	}
	// Inputs count whether a string names them or not: what is left of a string of which nothing is taken is its context.
	context := ""
	for _, p := range slices.Sorted(maps.Keys(refs)) {
		context += "${" + refs[p] + "}"
	}
	fmt.Fprintf(&x.text, " ];\n    builder = %s + builtins.substring 0 0 \"%s\";\n", quote(d.Builder, refs), context)
	x.attributes(n, refs)
	x.text.WriteString("  };\n")
	x.drvs[n.DrvPath] = name
	for out, p := range n.Outputs {
		x.outputs[p] = name + "." + quote(out, nil)
		x.outputs[outputKey(n.DrvPath, out)] = string(p)
	}
}

// outputKey is how outputs finds an output by its derivation.
func outputKey(p nix.StorePath, name string) nix.StorePath { return p + nix.StorePath("!"+name) }

func (x *expresser) outputPath(p nix.StorePath, name string) nix.StorePath {
	out := x.outputs[outputKey(p, name)]
	if out == "" {
		x.t.Fatalf("input %s of output %s is not among the derivations before", name, p)
	}
	return nix.StorePath(out)
}

// attributes writes the environment, or the structured attributes.
func (x *expresser) attributes(n *dag.Node, refs map[string]string) {
	attrs := map[string]string{}
	if text, ok := n.Drv.Env["__json"]; ok {
		var structured map[string]any
		dec := json.NewDecoder(bytes.NewReader([]byte(text)))
		dec.UseNumber()
		if err := dec.Decode(&structured); err != nil {
			x.t.Fatal(err)
		}
		attrs["__structuredAttrs"] = "true"
		for k, v := range structured {
			attrs[k] = value(v, refs)
		}
	} else {
		for k, v := range n.Drv.Env {
			attrs[k] = quote(v, refs)
		}
		for name := range n.Outputs {
			delete(attrs, name)
		}
	}
	for _, k := range []string{"name", "system", "builder", "args"} {
		delete(attrs, k)
	}
	if names := n.Drv.Env["outputs"]; names != "" {
		attrs["outputs"] = "[ " + quoteAll(strings.Fields(names)) + " ]"
	}
	for _, k := range slices.Sorted(maps.Keys(attrs)) {
		fmt.Fprintf(&x.text, "    %s = %s;\n", quote(k, nil), attrs[k])
	}
}

func quoteAll(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quote(w, nil)
	}
	return strings.Join(quoted, " ")
}

// quote is a string literal; where s has a key of refs, the expression stands.
func quote(s string, refs map[string]string) string {
	escape := []string{`\`, `\\`, `"`, `\"`, "$", `\$`, "\r", `\r`, "\n", `\n`, "\t", `\t`}
	for p, x := range refs {
		escape = append(escape, p, "${"+x+"}")
	}
	return `"` + strings.NewReplacer(escape...).Replace(s) + `"`
}

// value is a JSON value as Nix writes it.
func value(v any, refs map[string]string) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return fmt.Sprint(v)
	case json.Number:
		return "(" + v.String() + ")" // parentheses for what is negative, in lists
	case string:
		return quote(v, refs)
	case []any:
		list := "["
		for _, e := range v {
			list += " " + value(e, refs)
		}
		return list + " ]"
	case map[string]any:
		set := "{"
		for _, k := range slices.Sorted(maps.Keys(v)) {
			set += " " + quote(k, nil) + " = " + value(v[k], refs) + ";"
		}
		return set + " }"
	}
	panic(fmt.Sprintf("no JSON value: %T", v))
}
