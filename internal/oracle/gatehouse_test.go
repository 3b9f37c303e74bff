package oracle_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"headwater/internal/dag"
	"headwater/internal/engine/local"
	"headwater/internal/nix"
	"headwater/internal/nixtest"
	"headwater/internal/roottest"
	"headwater/internal/store"
	"headwater/internal/store/storetest"
)

var builders = flag.String("builders", string(nixtest.Newest), "releases of Nix that build gatehouse, by Debian's names, with commas: bookworm,trixie,forky")

// gatehouse is an example whose build has every kind of derivation that there is.
const gatehouse = "../../examples/homelab/gatehouse"

// Gatehouse has the same derivations, output paths and contents, whether we compute and build it or Nix does. Nix gets the
// fetched files, the sources and the roots; it computes all else from an expression, and builds it.
func TestGatehouse(t *testing.T) {
	var list []*nixtest.Nix
	for name := range strings.SplitSeq(*builders, ",") {
		list = append(list, nixtest.New(t, nixtest.Release(name)))
	}
	ours, pkg := buildGatehouse(t)
	nodes := slices.DeleteFunc(closure(pkg), func(n *dag.Node) bool { return n.Drv == nil })
	for _, n := range list {
		t.Run(string(n.Release), func(t *testing.T) { gatehouseBy(t, n, ours, nodes, pkg) })
	}
}

func gatehouseBy(t *testing.T, n *nixtest.Nix, ours *store.Store, nodes []*dag.Node, pkg *dag.Node) {
	t.Helper()
	dir := storeDir(t)
	theirs := storetest.Open(t, dir)
	copyInputs(t, ours, theirs, nodes)
	began := time.Now()
	if err := evaluate(t, n, dir, nodes); err != nil {
		t.Fatal(err)
	}
	evaluated := time.Since(began)
	given := len(valid(t, theirs, paths(nodes)))
	began = time.Now()
	if log, err := nixRealise(t, n, dir, []*dag.Node{pkg}); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	built := time.Since(began)
	r, err := compare(t, ours, theirs, nodes)
	if err != nil {
		t.Error(err)
	}
	all := len(paths(nodes))
	if r.Common != all {
		t.Errorf("Nix has %d of %d outputs", r.Common, all)
	}
	t.Logf("%s, local against Nix %s, as uid %d: %d of %d derivation paths, %d of %d output paths and %d of %d NAR hashes equal; Nix evaluated for %.1f s and built %d outputs in %.0f s, %d were fetched",
		pkg.Name, version(t, n), os.Getuid(), len(nodes), len(nodes), r.Common, all, r.Equal(), all, evaluated.Seconds(), all-given, built.Seconds(), given)
}

// version is which Nix it is.
func version(t *testing.T, n *nixtest.Nix) string {
	t.Helper()
	_, v, _ := strings.Cut(n.Run(t, "nix-store", "--version"), "(Nix) ")
	return v
}

// buildGatehouse builds it as anybody does, in the store that tests share, and loads the derivation that made it.
func buildGatehouse(t *testing.T) (*store.Store, *dag.Node) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "headwater")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/headwater")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	dir, err := roottest.StoreDir()
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, append([]string{"--store", dir, "build"}, args...)...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("headwater build: %v\n%s", err, stderr.String())
		}
		return strings.TrimSpace(string(out))
	}
	run(gatehouse)
	p, err := nix.ParseStorePath(run("--drv", gatehouse))
	if err != nil {
		t.Fatal(err)
	}
	s := storetest.Open(t, dir)
	nodes, err := local.Load(t.Context(), s, p)
	if err != nil {
		t.Fatal(err)
	}
	return s, nodes[0]
}
