package local_test

import (
	"bytes"
	"compress/bzip2"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/engine/local"
	"headwater/internal/nix"
	"headwater/internal/nix/drv"
)

// With -update the golden files are what real Nix builds: nix-store must be on PATH. They were made by
//
//	go test ./internal/engine/local -run Nix -update
//
// with Nix 2.8.0 (Debian's nix-bin), as root.
var update = flag.Bool("update", false, "let Nix make the golden files")

// cores is told to both.
const cores = 3

// Odd derivations come out as Nix builds them: the same names, kinds, modes and contents.
func TestBuildsWhatNixBuilds(t *testing.T) {
	for name, make := range map[string]func(*lab) *dag.Node{
		"environment": oddEnvironment,
		"files":       oddFiles,
		"structured":  oddStructured,
		"graph":       oddGraph,
		"outputs":     oddOutputs,
		"modes":       oddModes,
		"fixed":       oddFixed,
		"sandbox":     oddSandbox,
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			n := make(l)
			golden := filepath.Join("testdata/nix", name+".golden")
			if *update {
				l.nixBuild(n)
				if err := os.WriteFile(golden, []byte(l.describe(n)), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if _, err := l.realise(engine.Options{Cores: cores}, n); err != nil {
				t.Fatal(errorText(err))
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), l.describe(n)); d != "" {
				t.Error(d)
			}
		})
	}
}

// nixBuild has Nix build n in the lab's store, where everything else that it needs is put before.
func (l *lab) nixBuild(n *dag.Node) {
	l.t.Helper()
	if _, err := l.realise(engine.Options{}, n.Inputs...); err != nil {
		l.t.Fatal(errorText(err))
	}
	l.writeDerivation(n)
	cmd := exec.Command("nix-store", "--store", l.store.Dir(), "--option", "build-users-group", "", "--option", "sandbox", "true",
		"--option", "sandbox-fallback", "false", "--cores", fmt.Sprint(cores), "--realise", string(n.DrvPath))
	if out, err := cmd.CombinedOutput(); err != nil {
		l.t.Fatalf("%v\n%s", err, out)
	}
}

// describe lists a node's outputs, what is in them, and its log. What depends on the builder's own bytes has a name instead.
func (l *lab) describe(n *dag.Node) string {
	l.t.Helper()
	var b strings.Builder
	names := n.Drv.OutputNames()
	words := []string{l.tool.Path().Base(), "@tool@"}
	for _, name := range names {
		words = append(words, n.Outputs[name].Base(), "@"+name+"@")
	}
	for _, name := range names {
		info, err := l.store.Query(l.t.Context(), n.Outputs[name])
		if err != nil {
			l.t.Fatal(err)
		}
		fmt.Fprintf(&b, "== %s, refers to %v\n", name, info.Refs)
		top := l.store.RealPath(n.Outputs[name])
		err = filepath.WalkDir(top, func(p string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			fi, err := e.Info()
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "-- %v %d .%s\n", fi.Mode(), fi.ModTime().Unix(), strings.TrimPrefix(p, top))
			switch {
			case fi.Mode().IsRegular():
				text, err := os.ReadFile(p)
				b.Write(text)
				b.WriteByte('\n')
				return err
			case fi.Mode()&fs.ModeSymlink != 0:
				target, err := os.Readlink(p)
				fmt.Fprintln(&b, target)
				return err
			}
			return nil
		})
		if err != nil {
			l.t.Fatal(err)
		}
	}
	b.WriteString("== log\n")
	b.Write(l.log(n))
	return strings.NewReplacer(words...).Replace(b.String())
}

// log is a log as we or as Nix keeps it.
func (l *lab) log(n *dag.Node) []byte {
	l.t.Helper()
	path := local.LogPath(l.store.Dir(), n.DrvPath)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		var packed []byte
		if packed, err = os.ReadFile(path + ".bz2"); err == nil {
			text, err = io.ReadAll(bzip2.NewReader(bytes.NewReader(packed)))
		}
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return text
}

func oddEnvironment(l *lab) *dag.Node {
	return l.drv("odd", []string{"report", drv.Placeholder("out"), "", "two words", "line\nbreak", "\"'\\$HOME", "in " + drv.Placeholder("out")}, map[string]string{
		"PATH": "/mine", "HOME": "/mine", "NIX_STORE": "/mine", "NIX_BUILD_CORES": "mine", // win
		"TMPDIR": "mine", "TMP": "mine", "PWD": "mine", "TERM": "mine", "NIX_LOG_FD": "mine", "NIX_BUILD_TOP": "mine", // lose
		"empty": "", "utf8": "ünï", "latin": "\xfc", "lines": "a\nb\n", "where": "it is " + drv.Placeholder("out"),
		"impureEnvVars": "USER", "passAsFile": "big\nempty2 \t missing", "big": "large " + drv.Placeholder("out"), "empty2": "",
		"outputHashMode": "x", "NIX_OUTPUT_CHECKED": "mine",
	})
}

func oddFiles(l *lab) *dag.Node {
	return l.drv("odd", []string{"files"}, map[string]string{
		"passAsFile": "b a c", "a": "A " + drv.Placeholder("out") + "\n", "b": "", "c": "\x01\xff\r\n", "cPath": "mine",
	})
}

func oddStructured(l *lab) *dag.Node {
	n := l.drv("odd", []string{"files", drv.Placeholder("out")}, nil)
	d := *n.Drv
	d.Env = map[string]string{"__json": `{"a":"plain","b":"it's \"quoted\" \\ \b\f\n\r\t\u0001\u007f\u00e9\u2028</a>&","bool":true,` +
		`"builder":"` + string(l.tool.Path()) + `","deep":{"list":["x"]},"deeper":[["x"]],"empty":{},"emptyList":[],"exp":1e3,"exp3":-1e-7,"exp4":0.00012,"exp6":-0.0,"float":1.5,` +
		`"list":["a b",1,true,false,null,"it's"],"name":"odd","neg":-7,"no":false,"not-a-name":"x","null":null,"out":"mine",` +
		`"passAsFile":["a"],"place":"` + drv.Placeholder("out") + `","system":"x86_64-linux","table":{"k":"v","the key":2,"z":null},"whole":2.0,"zero":0,"_x1":1}`}
	again, err := l.maker.Derivation(dag.Node{Kind: dag.Build, Name: "odd", Drv: &d, Inputs: n.Inputs})
	if err != nil {
		l.t.Fatal(err)
	}
	return again
}

// texts are two content-addressed files of which the second refers to the first.
func (l *lab) texts() (first, second *dag.Node) {
	l.t.Helper()
	first, err := l.maker.Text("first", "1\n")
	if err != nil {
		l.t.Fatal(err)
	}
	second, err = l.maker.Text("second", string(first.Path())+"\n", first)
	if err != nil {
		l.t.Fatal(err)
	}
	return first, second
}

func oddGraph(l *lab) *dag.Node {
	first, second := l.texts()
	n := l.outputs("odd", []string{"out"}, []string{"files"}, map[string]string{
		"exportReferencesGraph": "one " + string(first.Path()) + "  two\n" + string(second.Path()) + "/below",
	}, first, second)
	return n
}

func oddOutputs(l *lab) *dag.Node {
	first, second := l.texts()
	return l.outputs("odd", []string{"dev", "out", "x.y_z"}, []string{"shell", "mkdir $dev/sub", "write $dev/sub/f self $dev", "write $out $second $dev",
		"link " + drv.Placeholder("x.y_z") + " $out/$first"}, map[string]string{"first": string(first.Path()), "second": string(second.Path())}, second, first)
}

func oddModes(l *lab) *dag.Node {
	return l.drv("odd", []string{"shell", "mkdir $out", "write $out/w x", "chmod $out/w 0666", "write $out/x x", "chmod $out/x 0711", "write $out/g x",
		"chmod $out/g 0654", "mkdir $out/empty", "chmod $out/empty 0777", "mkdir $out/sticky", "chmod $out/sticky 1700", "link $out/dangling /nowhere",
		"link $out/self self", "write $out/h x", "hardlink $out/h2 $out/h", "write $out/.hidden x", "write $out/ünï x"}, nil)
}

func oddFixed(l *lab) *dag.Node {
	return l.fixed("odd", nix.ContentAddress{Method: nix.NAR, Hash: l.tree("x", "x", 0o755).Content.ContentAddress().Hash},
		[]string{"shell", "write $out x", "chmod $out 0755", "report /dev/stdout"},
		map[string]string{"impureEnvVars": "HEADWATER_UNSET", "NIX_OUTPUT_CHECKED": "mine", "x": drv.Placeholder("out")})
}

// oddSandbox logs what a builder can tell of where it runs.
func oddSandbox(l *lab) *dag.Node { return l.drv("odd", []string{"look"}, nil) }
