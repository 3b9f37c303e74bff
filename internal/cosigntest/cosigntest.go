// Package cosigntest gives tests the real cosign, in the two releases that are about: Debian's, out of a pinned package, which reads signatures
// and attestations by their tags, and the current one, which reads bundles that refer to an image. The current one is a Go program that the
// first test on a machine builds, which takes some minutes; the go command keeps it. The module cosign pins it. NewAuthority starts what one
// signs with who has no key, the real parts too.
//
//	for _, c := range cosigntest.New(t) {
//		c.Run(t, dir, "verify", "--key", "cosign.pub", image)
//	}
package cosigntest

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"headwater/internal/gotool"
	"headwater/internal/lock"
	"headwater/internal/roottest"
)

// Suite is the Debian release that the older cosign is of.
const Suite = "trixie"

// Packages are those that are pinned.
var Packages = []string{"cosign"}

// pins is a headwater.lock with the older cosign's root.
//
//go:embed testdata/headwater.lock
var pins []byte

// Password opens the keys that GenerateKey makes.
const Password = "a-password-of-a-test"

// Cosign is a release of cosign.
type Cosign struct {
	Name    string   // for tests' names
	inside  []string // the start of a command line that runs it in its root; nil if it needs none
	program string
	env     []string // beside what all have
}

// New makes both releases available, the older one first.
func New(t testing.TB) []*Cosign {
	t.Helper()
	return []*Cosign{debian(t), current(t)}
}

func debian(t testing.TB) *Cosign {
	t.Helper()
	locked, err := lock.Parse(pins)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := roottest.Unpacked(t.Context(), locked, Suite)
	if err != nil {
		t.Fatal(err)
	}
	inside, err := roottest.Inside(dir)
	if err != nil {
		t.Fatal(err)
	}
	return &Cosign{Name: "debian", inside: inside, program: "cosign"}
}

func current(t testing.TB) *Cosign {
	t.Helper()
	return &Cosign{Name: "current", program: gotool.Build(t, "cosign", "cosign")}
}

// With is the same release with more variables, each NAME=VALUE.
func (c *Cosign) With(env ...string) *Cosign {
	with := *c
	with.env = slices.Concat(c.env, env)
	return &with
}

// Command makes a command that runs cosign in a folder, with Password for keys and nothing of the user's, so that it speaks to no service of
// others.
func (c *Cosign) Command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	argv := append([]string{c.program}, args...)
	if c.inside != nil {
		inside := slices.Clone(c.inside)
		inside[slices.Index(inside, "--chdir")+1] = dir
		argv = append(inside, argv...)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = append([]string{"HOME=" + dir, "COSIGN_PASSWORD=" + Password, "PATH=" + os.Getenv("PATH")}, c.env...)
	return cmd
}

// Try runs cosign and returns what it printed, and its error with what it said.
func (c *Cosign) Try(t testing.TB, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := c.Command(t.Context(), dir, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("cosign (%s) %s: %w\n%s", c.Name, strings.Join(args, " "), err, &errs)
	}
	return out.String(), nil
}

// Run runs cosign and returns what it printed; a failure ends the test.
func (c *Cosign) Run(t testing.TB, dir string, args ...string) string {
	t.Helper()
	out, err := c.Try(t, dir, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// GenerateKey makes a key pair in a folder and returns its files.
func (c *Cosign) GenerateKey(t testing.TB, dir, name string) (private, public string) {
	t.Helper()
	c.Run(t, dir, "generate-key-pair", "--output-key-prefix", name)
	return filepath.Join(dir, name+".key"), filepath.Join(dir, name+".pub")
}
