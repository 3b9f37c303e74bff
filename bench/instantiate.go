package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"headwater/internal/artifact"
	"headwater/internal/dag"
	"headwater/internal/nix"
	"headwater/internal/nix/drv"
	"headwater/internal/nixtest"
	"headwater/internal/store"
)

// groupSize is how many fetches a derivation of the measured graph needs. One more derivation needs all of those.
const groupSize = 100

// fetchName and groupName name the nodes of the graph.
func fetchName(i int) string { return fmt.Sprintf("f%d.tar.gz", i) }
func groupName(i int) string { return fmt.Sprintf("g%d", i) }

// instantiateSide writes the .drv files of a graph of n fetches into the store in dir, as nix-instantiate does of its
// expression, and prints the last one's path.
func instantiateSide(ctx context.Context, dir string, n int) error {
	return withStore(ctx, dir, func(s *store.Store) error {
		top, nodes, err := fetchGraph(n)
		if err != nil {
			return err
		}
		for chunk := range slices.Chunk(nodes, 5000) { // inputs are before what needs them
			texts := make([]store.Text, len(chunk))
			for i, node := range chunk {
				texts[i] = store.Text{Name: node.DrvPath.Name(), Content: string(node.Drv.Marshal()), Refs: slices.Collect(maps.Keys(node.Drv.InputDrvs))}
			}
			if _, err := s.AddTexts(ctx, texts); err != nil {
				return err
			}
		}
		_, err = fmt.Println(top.DrvPath)
		return err
	})
}

// fetchGraph is n fetches, the derivations that need them, and the one that needs those.
func fetchGraph(n int) (top *dag.Node, nodes []*dag.Node, err error) {
	m := new(dag.Maker)
	add := func(name string, inputs []*dag.Node) (*dag.Node, error) {
		d := &drv.Derivation{
			Name: name, System: "x86_64-linux", Builder: "/bin/sh", Outputs: map[string]drv.Output{"out": {}}, InputDrvs: map[nix.StorePath][]string{},
			Env: map[string]string{"name": name, "system": "x86_64-linux", "builder": "/bin/sh"},
		}
		var paths strings.Builder
		for i, in := range inputs {
			if i > 0 {
				paths.WriteByte(' ')
			}
			paths.WriteString(string(in.Path()))
			d.InputDrvs[in.DrvPath] = []string{"out"}
		}
		d.Env["inputs"] = paths.String()
		node, err := m.Derivation(dag.Node{Kind: dag.Build, Name: name, Drv: d, Inputs: inputs})
		nodes = append(nodes, node)
		return node, err
	}
	var groups, group []*dag.Node
	for i := range n {
		f, err := m.Fetch(artifact.Artifact{
			Ecosystem: artifact.URL, Name: "f", Version: strconv.Itoa(i), File: fetchName(i), Hash: nix.Sum(nix.SHA256, []byte(strconv.Itoa(i))),
		})
		if err != nil {
			return nil, nil, err
		}
		nodes, group = append(nodes, f), append(group, f)
		if len(group) == groupSize || i == n-1 {
			g, err := add(groupName(len(groups)), group)
			if err != nil {
				return nil, nil, err
			}
			groups, group = append(groups, g), nil
		}
	}
	top, err = add("top", groups)
	return top, nodes, err
}

// fetchExpression is the same graph in Nix's language.
func fetchExpression(n int) string {
	return fmt.Sprintf(`let
  n = %d; size = %d;
  fetch = i: let v = toString i; url = "headwater:url/f/${v}/f${v}.tar.gz"; in derivation {
    name = "f${v}.tar.gz"; system = "builtin"; builder = "builtin:fetchurl"; inherit url; urls = url; executable = ""; unpack = "";
    outputHash = builtins.hashString "sha256" v; outputHashAlgo = "sha256"; outputHashMode = "flat"; preferLocalBuild = "1";
  };
  add = name: inputs: derivation { inherit name inputs; system = "x86_64-linux"; builder = "/bin/sh"; };
  min = a: b: if a < b then a else b;
  group = g: add "g${toString g}" (builtins.genList (k: fetch (g * size + k)) (min size (n - g * size)));
in add "top" (builtins.genList group ((n + size - 1) / size))
`, n, groupSize)
}

// usage is what a process took.
type usage struct {
	seconds float64
	memory  float64 // MB at most
}

// instantiate measures writing the derivations of graphs, into an empty store and once more when all are there, whole
// processes in turn, and prints a table.
func instantiate(ctx context.Context, o options, n *nixtest.Nix, tmp string, w io.Writer) error {
	if o.derivations == "" {
		return nil
	}
	fmt.Fprintf(w, "\n| fetches | store | Headwater (median) | Nix (median) | ratio (median of pairs) | Headwater's memory | Nix's memory |\n|---|---|---|---|---|---|---|\n")
	for text := range strings.SplitSeq(o.derivations, ",") {
		count, err := strconv.Atoi(text)
		if err != nil || count < 1 {
			return fmt.Errorf("-derivations %q: not a number of fetches", text)
		}
		if err := instantiateOne(ctx, o, n, tmp, count, w); err != nil {
			return fmt.Errorf("%d fetches: %w", count, err)
		}
	}
	return nil
}

func instantiateOne(ctx context.Context, o options, n *nixtest.Nix, tmp string, count int, w io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	expression := filepath.Join(tmp, "fetches.nix")
	if err := os.WriteFile(expression, []byte(fetchExpression(count)), 0o644); err != nil {
		return err
	}
	sides := []func(dir string) *exec.Cmd{
		func(dir string) *exec.Cmd {
			return exec.CommandContext(ctx, self, "side", "instantiate", dir, strconv.Itoa(count))
		},
		func(dir string) *exec.Cmd { return n.Command(ctx, "nix-instantiate", "--store", dir, expression) },
	}
	var seconds, memory [2][2][]float64 // by empty or full, by side
	for round := range o.rounds + 1 {
		var tops [2]string
		for i, side := range sides {
			dir, err := os.MkdirTemp(tmp, "round-")
			if err != nil {
				return err
			}
			for full := range 2 {
				top, u, err := timed(side(dir))
				if err != nil {
					return err
				}
				tops[i] = top
				if round > 0 { // the first warms the caches
					seconds[full][i], memory[full][i] = append(seconds[full][i], u.seconds), append(memory[full][i], u.memory)
				}
			}
			removeAll(dir)
		}
		if tops[0] != tops[1] {
			return fmt.Errorf("the sides made different derivations: %s and %s", tops[0], tops[1])
		}
	}
	for full, name := range []string{"empty", "has all"} {
		ours, theirs := seconds[full][0], seconds[full][1]
		ratios := make([]float64, len(ours))
		for i := range ours {
			ratios[i] = ours[i] / theirs[i]
		}
		fmt.Fprintf(w, "| %d | %s | %.3f s | %.3f s | %.2f | %.0f MB | %.0f MB |\n", count, name, median(ours), median(theirs), median(ratios), median(memory[full][0]), median(memory[full][1]))
	}
	return nil
}

// timed runs a process and tells what it printed and took.
func timed(cmd *exec.Cmd) (stdout string, u usage, err error) {
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return "", usage{}, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, errs.String())
	}
	u.seconds = time.Since(began).Seconds()
	if r, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.memory = float64(r.Maxrss) / 1024 // kilobytes on Linux
	}
	return strings.TrimSpace(out.String()), u, nil
}
