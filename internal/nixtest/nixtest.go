// Package nixtest gives tests real Nix, the oracle of this project: of a pinned Debian package, unpacked like any root,
// started by the root's own loader. Nothing of it is installed, so every machine that can run the tests has the same Nix,
// and no test is skipped for lack of it.
//
// The roots are in the user's cache folder, in the store that other tests use too. The first test on a machine fetches
// them, which takes a minute.
//
//	n := nixtest.New(t, nixtest.Current)
//	out := n.Run(t, "nix-store", "--store", dir, "--verify", "--check-contents")
package nixtest

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headwater/internal/dag"
	"headwater/internal/fetch"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/pin"
	"headwater/internal/registry"
	"headwater/internal/rootfs"
	"headwater/internal/store"
)

// Release is one release of Nix, named by the Debian suite that has it.
type Release string

// The releases that tests can have.
const (
	Current Release = "trixie"   // Nix 2.26
	Old     Release = "bookworm" // Nix 2.8
)

// pins is a headwater.lock with a root for each release.
//
//go:embed testdata/headwater.lock
var pins []byte

// Nix is an unpacked Nix.
type Nix struct {
	root   string // folder
	home   string // an empty one for its programs
	config string // lines of nix.conf
}

// New makes a release of Nix available.
func New(t testing.TB, r Release) *Nix {
	t.Helper()
	n, err := Open(t.Context(), r, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Open is New outside of tests; home is an empty folder for Nix's programs.
func Open(ctx context.Context, r Release, home string) (*Nix, error) {
	root, err := unpacked(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("real Nix of %s: %w", r, err)
	}
	n := &Nix{root: root, home: home}
	if r != Old {
		n.config = "build-hook =\n" // else it starts its own executable, which is the loader
	}
	return n, nil
}

// unpacked is where the release's root is.
func unpacked(ctx context.Context, r Release) (dir string, err error) {
	locked, err := lock.Parse(pins)
	if err != nil {
		return "", err
	}
	root, ok := locked.Roots[string(r)]
	if !ok {
		return "", errors.New("is not pinned")
	}
	s, err := openStore(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	node, err := rootfs.Node(new(dag.Maker), string(r), root)
	if err != nil {
		return "", err
	}
	if valid, err := s.Valid(ctx, node.Path()); err != nil || len(valid) > 0 {
		return s.RealPath(node.Path()), err
	}
	a, closeArchive, err := archive(s, locked.Date)
	if err != nil {
		return "", err
	}
	defer closeArchive()
	hash, err := rootfs.Pin(ctx, rootfs.PinRequest{Name: string(r), Packages: root.Packages, Archive: a, Store: s})
	if err == nil && hash != root.NARHash {
		err = fmt.Errorf("its packages make a tree of hash %s, pinned is %s", hash, root.NARHash)
	}
	return s.RealPath(node.Path()), err
}

// openStore opens the store that tests share.
func openStore(ctx context.Context) (*store.Store, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	return store.Open(ctx, filepath.Join(cache, "headwater-test"), store.Options{Now: time.Now})
}

// archive is Debian's, as this machine reaches it.
func archive(s *store.Store, date time.Time) (rootfs.Archive, func(), error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, nil, err
	}
	reg, err := registry.Open(registry.Machine{Env: os.Getenv, Home: home, Root: os.DirFS("/")}, registry.Options{})
	if err != nil {
		return nil, nil, err
	}
	client := fetch.New(reg.At(date), fetch.Options{})
	return &pin.Network{Store: s, Fetcher: client}, client.Close, nil
}

// Loader is the root's dynamic loader, a static program that runs without anything else.
func (n *Nix) Loader() string { return filepath.Join(n.lib(), "ld-linux-x86-64.so.2") }

func (n *Nix) lib() string { return filepath.Join(n.root, dag.LibDir) }

// Command is a program of Nix (nix-store, nix-build, nix), ready to run with a store in a folder (--store DIR). It sees an
// environment of its own: no substituters, no configuration of the machine, sandboxed builds.
func (n *Nix) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, n.Loader(), append([]string{"--library-path", n.lib(), filepath.Join(n.root, "usr/bin", name)}, args...)...)
	cmd.Env = []string{
		"HOME=" + n.home, "USER=tester", "PATH=" + filepath.Join(n.root, "usr/bin"), "LC_ALL=C.UTF-8",
		"NIX_CONF_DIR=" + n.home, "NIX_REMOTE=dummy://", "NIX_CONFIG=" + n.config + "build-users-group =\nsandbox-paths =\nsubstituters =\nexperimental-features = nix-command\nsandbox = true\nsandbox-fallback = false",
	}
	return cmd
}

// Run runs a program of Nix and returns what it wrote to its standard output, without the last newline. If it fails, so
// does the test.
func (n *Nix) Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	cmd := n.Command(t.Context(), name, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, &stderr)
	}
	return strings.TrimSuffix(string(out), "\n")
}

// Verify has Nix judge the store in dir: every valid path is there and has its contents.
func (n *Nix) Verify(t testing.TB, dir string) {
	t.Helper()
	cmd := n.Command(t.Context(), "nix-store", "--store", dir, "--verify", "--check-contents")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("nix-store --verify: %v\n%s", err, out)
	}
}

// Paths is Run for programs that print a store path a line.
func (n *Nix) Paths(t testing.TB, name string, args ...string) []nix.StorePath {
	t.Helper()
	var paths []nix.StorePath
	for line := range strings.Lines(n.Run(t, name, args...)) {
		p, err := nix.ParseStorePath(strings.TrimSpace(line))
		if err != nil {
			t.Fatalf("%s %v: %v", name, args, err)
		}
		paths = append(paths, p)
	}
	return paths
}
