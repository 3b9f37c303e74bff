package oracle_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"headwater/internal/dag"
	"headwater/internal/nix"
	"headwater/internal/nix/drv"
	"headwater/internal/nixtest"
	"headwater/internal/store"
	"headwater/internal/store/storetest"
)

// Odd derivations are built, or refused, as Nix does. What is built tells what the builder was given: its environment, its
// files, its arguments.
func TestOddBuilds(t *testing.T) {
	for _, n := range nixtest.All(t) {
		t.Run(string(n.Release), func(t *testing.T) {
			l, dir := newLab(t), storeDir(t)
			theirs := storetest.Open(t, dir)
			copyPaths(t, l.store, theirs, l.tool.Path(), l.texts[1].Path())
			good := append(oddBuilds(l), fixedBuilds(l)...)
			if n.Release == nixtest.Old {
				good = slices.DeleteFunc(good, func(n *dag.Node) bool { return slices.Contains(newer(), n.Name) })
			}
			bad := refusedBuilds(l)
			nodes := append(good, bad...)
			if err := evaluate(t, n, dir, nodes); err != nil {
				t.Fatal(err)
			}
			_, ours := l.realise(good...)
			log, theirErr := nixRealise(t, n, dir, good)
			r, err := compare(t, l.store, theirs, good)
			if err := errors.Join(ours, theirErr, err); err != nil {
				t.Errorf("%s\nNix said: %s", errorText(err), log)
			}
			for _, b := range bad {
				bothRefuse(t, l, n, theirs, b)
			}
			t.Logf("%d outputs of %d derivations are equal, %d derivations are refused by both", r.Equal(), len(good), len(bad))
		})
	}
}

// newer are what Nix 2.8 does otherwise than later releases, which agree: it does not know outputs that are texts, tells the
// place of the attributes' files outside of the sandbox, and of exported paths not that they are valid.
func newer() []string { return []string{"text", "structured-environment", "structured-graph"} }

// bothRefuse expects that neither engine makes an output of b valid. Each is built on its own: some failures end Nix.
func bothRefuse(t *testing.T, l *lab, n *nixtest.Nix, theirs *store.Store, b *dag.Node) {
	t.Helper()
	one := []*dag.Node{b}
	if _, err := l.realise(b); err == nil || len(valid(t, l.store, paths(one))) > 0 {
		t.Errorf("%s: we do not refuse it (%v)", b.Name, err)
	}
	if log, err := nixRealise(t, n, theirs.Dir(), one); err == nil || len(valid(t, theirs, paths(one))) > 0 {
		t.Errorf("%s: Nix does not refuse it (%v)\n%s", b.Name, err, log)
	}
}

// tooled makes a derivation that the tool builds.
func (l *lab) tooled(name string, outs, args []string, env map[string]string, inputs ...*dag.Node) *dag.Node {
	l.t.Helper()
	d := drv.Derivation{Name: name, Args: args, Outputs: outputs(outs...), Env: map[string]string{
		"name": name, "system": "x86_64-linux", "builder": string(l.tool.Path()), "outputs": strings.Join(outs, " "),
	}}
	maps.Copy(d.Env, env)
	return l.derive(d, inputs...)
}

// structured makes one with structured attributes. The tool finds its output by an argument.
func (l *lab) structured(name string, args []string, attrs map[string]any, inputs ...*dag.Node) *dag.Node {
	l.t.Helper()
	all := map[string]any{"name": name, "system": "x86_64-linux", "builder": string(l.tool.Path()), "outputs": []string{"out"}}
	maps.Copy(all, attrs)
	d := drv.Derivation{Name: name, Args: args}
	if err := d.SetStructured(all); err != nil {
		l.t.Fatal(err)
	}
	return l.derive(d, inputs...)
}

func oddBuilds(l *lab) []*dag.Node {
	out, self := []string{"out"}, drv.Placeholder("out")
	second := l.texts[1]
	env := map[string]string{
		"PATH": "/mine", "HOME": "/mine", "NIX_STORE": "/mine", "NIX_BUILD_CORES": "mine", "TMPDIR": "mine", "PWD": "mine", "TERM": "mine",
		"NIX_LOG_FD": "mine", "NIX_BUILD_TOP": "mine", "empty": "", "utf8": "ünï", "lines": "a\nb\n", "where": "it is " + self, "impureEnvVars": "USER",
		"passAsFile": "big missing", "big": "large " + self, "NIX_OUTPUT_CHECKED": "mine",
	}
	multi := l.tooled("multi", []string{"out", "dev", "x.y_z"}, []string{"shell", "mkdir " + drv.Placeholder("dev") + "/sub",
		"write " + drv.Placeholder("dev") + "/sub/f self " + drv.Placeholder("dev"), "write " + drv.Placeholder("x.y_z") + " " + string(second.Path()),
		"link " + self + " " + drv.Placeholder("x.y_z")}, nil, second)
	user := l.tooled("user", out, []string{"shell", "write " + self + " " + string(multi.Outputs["dev"]) + " and " + string(multi.Outputs["x.y_z"])}, nil, multi)
	graph := map[string]string{"exportReferencesGraph": "one " + string(second.Path()) + "  two\n" + string(user.Path())}
	return []*dag.Node{
		multi, user,
		l.tooled("environment", out, []string{"report", self, "", "two words", "line\nbreak", "\"'\\$HOME", "in " + self}, env),
		l.tooled("files", out, []string{"files"}, map[string]string{"passAsFile": "b a c", "a": "A " + self + "\n", "b": "", "c": "\x01\r\n", "cPath": "mine"}),
		l.tooled("graph", out, []string{"files"}, graph, second, user, multi),
		l.structured("structured", []string{"files", self}, map[string]any{
			"a": "it's \"quoted\" \\ \n\r\t\u0001\u007fé\u2028</a>&", "bool": true, "no": false, "null": nil, "int": -7, "float": 1.5, "list": []any{"a b", 1, true, false, nil, "it's"},
			"empty": map[string]any{}, "emptyList": []any{}, "deep": map[string]any{"list": []any{"x"}}, "table": map[string]any{"k": "v", "the key": 2}, "place": self, "not-a-name": "x",
			"passAsFile": []any{"a"}, "input": string(user.Path()),
		}, user),
		l.structured("structured-graph", []string{"files", self}, map[string]any{
			"exportReferencesGraph": map[string]any{"one": []any{string(second.Path())}, "two": []any{string(user.Path()), string(multi.Outputs["dev"])}},
		}, second, user, multi),
		l.structured("structured-environment", []string{"report", self, "x"}, map[string]any{"env": map[string]any{"A": "b"}}),
		l.structured("checked", []string{"shell", "write " + self + " x"}, map[string]any{"outputChecks": map[string]any{"out": map[string]any{"maxSize": 1000, "allowedReferences": []any{}}}}),
		l.tooled("modes", out, []string{"shell", "mkdir $out", "write $out/w x", "chmod $out/w 0666", "write $out/x x", "chmod $out/x 0711", "write $out/g x", "chmod $out/g 0654",
			"mkdir $out/empty", "chmod $out/empty 0777", "mkdir $out/sticky", "chmod $out/sticky 1700", "link $out/dangling /nowhere", "write $out/h x", "hardlink $out/h2 $out/h",
			"write $out/.hidden x", "write $out/ünï x", "write $out/a\"b\\c x", "write $out/case x", "write $out/CASE y"}, nil),
		l.tooled("variables", []string{"HOME", "PATH", "TMPDIR", "src"}, []string{"shell", "write " + drv.Placeholder("PATH") + " " + drv.Placeholder("HOME"),
			"write " + drv.Placeholder("HOME") + " x", "write " + drv.Placeholder("TMPDIR") + " x", "link " + drv.Placeholder("src") + " " + drv.Placeholder("PATH")}, nil),
		l.tooled("a+b-._?=Z09", out, []string{"write", "x"}, nil),
		l.tooled(strings.Repeat("n", 207), out, []string{"write", "x"}, nil),
		l.tooled("allowed", []string{"out", "dev"}, []string{"shell", "write $out " + string(second.Path()) + " ${dev}", "write $dev x"},
			map[string]string{"allowedReferences": string(second.Path()) + " dev", "disallowedReferences": "out", "allowedRequisites": string(second.Path()) + " dev " + string(l.texts[0].Path())}, second),
	}
}

// fixedBuilds are fixed outputs by all methods and algorithms.
func fixedBuilds(l *lab) []*dag.Node {
	var nodes []*dag.Node
	add := func(name string, ca nix.ContentAddress, lines ...string) {
		d := drv.Derivation{Name: name, Args: append([]string{"shell"}, lines...), Env: map[string]string{"name": name, "system": "x86_64-linux", "builder": string(l.tool.Path()), "impureEnvVars": "HEADWATER_UNSET"}}
		fix(&d, ca)
		nodes = append(nodes, l.derive(d))
	}
	for _, algo := range []nix.Algo{nix.MD5, nix.SHA1, nix.SHA256, nix.SHA512} {
		add("flat-"+string(algo), nix.ContentAddress{Method: nix.Flat, Hash: nix.Sum(algo, []byte("x y"))}, "write $out x y")
		add("nar-"+string(algo), nix.ContentAddress{Method: nix.NAR, Hash: nix.Sum(algo, runNAR())}, "write $out x", "chmod $out 0755")
	}
	add("text", nix.ContentAddress{Method: nix.Text, Hash: nix.Sum(nix.SHA256, []byte("x y"))}, "write $out x y")
	return nodes
}

// runNAR is the NAR of an executable file with the content "x".
func runNAR() []byte {
	var b []byte
	for _, s := range []string{"nix-archive-1", "(", "type", "regular", "executable", "", "contents", "x", ")"} {
		b = append(b, byte(len(s)), 0, 0, 0, 0, 0, 0, 0)
		b = append(append(b, s...), make([]byte, -len(s)&7)...)
	}
	return b
}

// refusedBuilds make what must not become valid.
func refusedBuilds(l *lab) []*dag.Node {
	second, tool := string(l.texts[1].Path()), string(l.tool.Path())
	out := []string{"out"}
	var nodes []*dag.Node
	add := func(outs []string, env map[string]string, lines ...string) {
		nodes = append(nodes, l.tooled(fmt.Sprintf("refused-%d", len(nodes)), outs, append([]string{"shell"}, lines...), env, l.texts[1]))
	}
	add(out, nil, "mkdir /build/x")                                                   // no output
	add([]string{"out", "dev"}, nil, "write $out x")                                  // not all outputs
	add(out, nil, "write $out x", "chmod $out 0666")                                  // others may write to it
	add(out, nil, "mkdir $out", "fifo $out/pipe")                                     // a special file
	add([]string{"out", "dev"}, nil, "write $out $dev", "write $dev $out")            // a circle
	add([]string{"a", "b", "c"}, nil, "write $a $b", "write $b $c", "write $c $a")    // a longer one
	add(out, map[string]string{"allowedReferences": ""}, "write $out $out")           // itself
	add(out, map[string]string{"allowedReferences": "out"}, "write $out "+second)     // another
	add(out, map[string]string{"disallowedReferences": "out"}, "write $out $out")     //
	add(out, map[string]string{"disallowedReferences": second}, "write $out "+second) //
	add(out, map[string]string{"allowedRequisites": second}, "write $out "+second)    // what it refers to refers to more
	add(out, map[string]string{"disallowedRequisites": string(l.texts[0].Path())}, "write $out "+second)
	add(out, map[string]string{"disallowedReferences": tool}, "link $out "+tool)
	add(out, nil, "write $out x", "unknown verb")
	for name, check := range map[string]map[string]any{
		"max-size": {"maxSize": 3}, "max-closure-size": {"maxClosureSize": 3}, "references": {"allowedReferences": []any{}}, "requisites": {"disallowedRequisites": []any{second}},
	} {
		nodes = append(nodes, l.structured("refused-"+name, []string{"shell", "write " + drv.Placeholder("out") + " long " + second},
			map[string]any{"outputChecks": map[string]any{"out": check}}, l.texts[1]))
	}
	for name, lines := range map[string][]string{
		"hash": {"write $out other"}, "executable": {"write $out x y", "chmod $out 0755"}, "folder": {"mkdir $out"}, "link": {"link $out x"},
	} {
		d := drv.Derivation{Name: "refused-flat-" + name, Args: append([]string{"shell"}, lines...), Env: map[string]string{"name": "refused-flat-" + name, "system": "x86_64-linux", "builder": tool}}
		fix(&d, nix.ContentAddress{Method: nix.Flat, Hash: nix.Sum(nix.SHA256, []byte("x y"))})
		nodes = append(nodes, l.derive(d))
	}
	return nodes
}
