// Package nixtest gives tests real Nix, the oracle of this project: of a pinned Debian package, unpacked like any root,
// started by the root's own loader. Nothing of it is installed, so every machine that can run the tests has the same Nix,
// and no test is skipped for lack of it.
//
// The roots are in the user's cache folder, in the store that other tests use too. The first test on a machine fetches
// them, which takes a minute. Two releases are pinned; the newest is what Debian's testing suite has when the test runs.
//
//	n := nixtest.New(t, nixtest.Current)
//	out := n.Run(t, "nix-store", "--store", dir, "--verify", "--check-contents")
//	for _, n := range nixtest.All(t) {
package nixtest

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"headwater/internal/dag"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/roottest"
)

// Release is one release of Nix, named by the Debian suite that has it.
type Release string

// The releases that tests can have.
const (
	Current Release = "trixie"   // Nix 2.26
	Old     Release = "bookworm" // Nix 2.8
	Newest  Release = "forky"    // Nix 2.34 or later
)

// pins is a headwater.lock with a root for each release.
//
//go:embed testdata/headwater.lock
var pins []byte

// Nix is an unpacked Nix.
type Nix struct {
	Release Release
	root    string // folder
	home    string // an empty one for its programs
	config  string // lines of nix.conf
	env     []string
}

// All makes every release available, the oldest first.
func All(t testing.TB) []*Nix {
	t.Helper()
	var list []*Nix
	for _, r := range []Release{Old, Current, Newest} {
		list = append(list, New(t, r))
	}
	return list
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
	n := &Nix{Release: r, root: root, home: home, config: "build-hook =\n"} // else it starts its own executable, which is the loader
	if r == Old {
		if err := n.declineBuilds(); err != nil {
			return nil, fmt.Errorf("real Nix of %s: %w", r, err)
		}
	}
	return n, nil
}

// declineBuilds gives an old Nix a build hook, which it cannot do without, that leaves all builds to the asker. Its own would
// be looked for where the machine has its own Nix.
func (n *Nix) declineBuilds() error {
	link := func(name, to string) error { return os.Symlink(to, filepath.Join(n.home, name)) }
	if err := errors.Join(link("ld", n.Loader()), link("bash", filepath.Join(n.root, "usr/bin/bash"))); err != nil {
		return err
	}
	hook := filepath.Join(n.home, "decline")
	// The interpreter's one argument is the program that the loader starts; LD_LIBRARY_PATH tells it of the libraries.
	script := "#!" + filepath.Join(n.home, "ld") + " " + filepath.Join(n.home, "bash") + "\n" +
		"echo '# decline-permanently' >&2\nwhile read -r -N 4096 -d '' request; do :; done\n"
	n.config = "build-hook = " + hook + "\n"
	n.env = append(n.env, "LD_LIBRARY_PATH="+n.libs())
	return os.WriteFile(hook, []byte(script), 0o755)
}

// unpacked is where the release's root is.
func unpacked(ctx context.Context, r Release) (string, error) {
	if r == Newest {
		return newest(ctx)
	}
	locked, err := lock.Parse(pins)
	if err != nil {
		return "", err
	}
	return roottest.Unpacked(ctx, locked, string(r))
}

// Loader is the root's dynamic loader, a static program that runs without anything else.
func (n *Nix) Loader() string { return filepath.Join(n.lib(), "ld-linux-x86-64.so.2") }

func (n *Nix) lib() string { return filepath.Join(n.root, dag.LibDir) }

// libs is a library path. Old releases keep their own libraries apart, and else look for them where the machine has its own Nix.
func (n *Nix) libs() string { return n.lib() + ":" + filepath.Join(n.root, "usr/lib/nix") }

// Command is a program of Nix (nix-store, nix-build, nix), ready to run with a store in a folder (--store DIR). It sees an
// environment of its own: no substituters, no configuration of the machine, sandboxed builds.
func (n *Nix) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, n.Loader(), append([]string{"--library-path", n.libs(), filepath.Join(n.root, "usr/bin", name)}, args...)...)
	cmd.Env = append(slices.Clone(n.env),
		"HOME="+n.home, "USER=tester", "PATH="+filepath.Join(n.root, "usr/bin"), "LC_ALL=C.UTF-8",
		"NIX_CONF_DIR="+n.home, "NIX_REMOTE=dummy://", "NIX_CONFIG="+n.config+"build-users-group =\nsandbox-paths =\nsubstituters =\nexperimental-features = nix-command\nsandbox = true\nsandbox-fallback = false",
	)
	return cmd
}

// Run runs a program of Nix and returns what it wrote to its standard output, without the last newline. If it fails, so
// does the test.
func (n *Nix) Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, said, err := n.Try(t, name, args...)
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, said)
	}
	return strings.TrimSuffix(out, "\n")
}

// Try runs a program of Nix and returns its output, what it said on its standard error, and how it failed. Where Nix killed a builder that
// may have been about to end, it is run again.
func (n *Nix) Try(t testing.TB, name string, args ...string) (out, said string, err error) {
	t.Helper()
	for try := 1; ; try++ {
		var stdout, stderr strings.Builder
		cmd := n.Command(t.Context(), name, args...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err = cmd.Run(); err == nil || !impatient(stderr.String()) || try == tries {
			return stdout.String(), stderr.String(), err
		}
		t.Logf("%s of %s killed a builder: try %d of %d", name, n.Release, try+1, tries)
	}
}

// tries bounds how often a command is run of which Nix killed a builder.
const tries = 3

// impatient tells of what Nix said whether it killed a builder that was about to end by itself. Nix takes a closed output for the end of
// a builder and kills what is left of it, so on a busy machine it now and then kills one that did all it had to (NixOS/nix issue 2176). A
// builder that is killed by others, for want of memory say, is so each time.
func impatient(stderr string) bool {
	return strings.Contains(stderr, "failed due to signal 9 (Killed)")
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
