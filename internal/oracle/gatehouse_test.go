package oracle_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
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
	p := compile(t)
	ours, pkg := p.buildGatehouse(t)
	nodes := slices.DeleteFunc(dag.Closure(pkg), func(n *dag.Node) bool { return n.Drv == nil })
	for _, n := range list {
		t.Run(string(n.Release), func(t *testing.T) {
			theirs := gatehouseBy(t, n, ours, nodes, pkg)
			want := p.run(t, ours.Dir(), "image", gatehouse)
			if got := p.elsewhere(t, theirs.Dir(), "image", gatehouse); got != want {
				t.Errorf("the image of what Nix built is %s, of what we built %s", got, want)
			}
		})
	}
}

// gatehouseBy has a Nix build what we built, and returns the store that it filled.
func gatehouseBy(t *testing.T, n *nixtest.Nix, ours *store.Store, nodes []*dag.Node, pkg *dag.Node) *store.Store {
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
	return theirs
}

// version is which Nix it is.
func version(t *testing.T, n *nixtest.Nix) string {
	t.Helper()
	_, v, _ := strings.Cut(n.Run(t, "nix-store", "--version"), "(Nix) ")
	return v
}

// program is headwater, compiled.
type program string

func compile(t *testing.T) program {
	t.Helper()
	p := filepath.Join(t.TempDir(), "headwater")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", p, "../../cmd/headwater")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program(p)
}

// command is one of headwater over the store in dir.
func (p program) command(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	return exec.CommandContext(t.Context(), string(p), append([]string{"--store", dir}, args...)...)
}

// run runs a command and returns what it printed.
func (p program) run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	return result(t, p.command(t, dir, args...))
}

// elsewhere is run by somebody else, as far as a program can tell: another user, zone and language, and one processor.
func (p program) elsewhere(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := p.command(t, dir, args...)
	cmd.Env = append(os.Environ(), "TZ=Asia/Kolkata", "LANG=tr_TR.UTF-8", "GOMAXPROCS=1", "USER=somebody")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 4321, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 8765, HostID: os.Getgid(), Size: 1}},
	}
	return result(t, cmd)
}

func result(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// buildGatehouse builds it as anybody does, in the store that tests share, and loads the derivation that made it.
func (p program) buildGatehouse(t *testing.T) (*store.Store, *dag.Node) {
	t.Helper()
	dir, err := roottest.StoreDir()
	if err != nil {
		t.Fatal(err)
	}
	p.run(t, dir, "build", gatehouse)
	drvPath, err := nix.ParseStorePath(p.run(t, dir, "build", "--drv", gatehouse))
	if err != nil {
		t.Fatal(err)
	}
	s := storetest.Open(t, dir)
	nodes, err := local.Load(t.Context(), s, drvPath)
	if err != nil {
		t.Fatal(err)
	}
	return s, nodes[0]
}
