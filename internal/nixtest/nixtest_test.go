package nixtest_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"headwater/internal/nixtest"
	"headwater/internal/roottest"
)

var relock = flag.Bool("lock", false, "pin the releases of Nix anew")

func TestMain(m *testing.M) {
	flag.Parse()
	if *relock {
		if err := roottest.Pin(context.Background(), "testdata/headwater.lock", []string{"nix-bin"}, string(nixtest.Current), string(nixtest.Old)); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

func TestReleases(t *testing.T) {
	versions := map[nixtest.Release]string{nixtest.Old: "2.8.", nixtest.Current: "2.26."}
	for _, n := range nixtest.All(t) {
		t.Run(string(n.Release), func(t *testing.T) {
			got := n.Run(t, "nix-store", "--version")
			if !strings.Contains(got, "(Nix) "+versions[n.Release]) {
				t.Errorf("version is %q", got)
			}
			if n.Release == nixtest.Newest && !later(got, 2, 34) {
				t.Errorf("version is %q, want 2.34 or later", got)
			}
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "f"), []byte("hi\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			paths := n.Paths(t, "nix-store", "--store", filepath.Join(dir, "store"), "--add", filepath.Join(dir, "f"))
			if len(paths) != 1 || paths[0].Name() != "f" {
				t.Errorf("added %v", paths)
			}
			n.Verify(t, filepath.Join(dir, "store"))
		})
	}
}

// later tells whether what Nix says of its version is major.minor or later.
func later(text string, major, minor int) bool {
	var a, b int
	_, version, _ := strings.Cut(text, "(Nix) ")
	if _, err := fmt.Sscanf(version, "%d.%d.", &a, &b); err != nil {
		return false
	}
	return a > major || a == major && b >= minor
}

// Building works too, in Nix's own sandbox.
func TestBuild(t *testing.T) {
	for _, n := range nixtest.All(t) {
		t.Run(string(n.Release), func(t *testing.T) {
			store := filepath.Join(t.TempDir(), "store")
			// A builder that needs nothing: the loader itself, which tells its version and makes no output.
			loader := n.Paths(t, "nix-store", "--store", store, "--add", n.Loader())[0]
			expr := `derivation { name = "x"; system = builtins.currentSystem; builder = builtins.storePath "` + string(loader) + `"; args = [ "--version" ]; }`
			cmd := n.Command(t.Context(), "nix-build", "--store", store, "--no-out-link", "-E", expr)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "ld.so") || !strings.Contains(string(out), "failed to produce output path") {
				t.Errorf("got %v\n%s", err, out)
			}
		})
	}
}

// Nix kills a builder that has closed its output, however much it still has to do: what Try runs again is Nix's doing.
func TestImpatient(t *testing.T) {
	program := filepath.Join(t.TempDir(), "builder")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-o", program, "./testdata/quiet")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, n := range nixtest.All(t) {
		t.Run(string(n.Release), func(t *testing.T) {
			t.Parallel()
			store := filepath.Join(t.TempDir(), "store")
			builder := n.Paths(t, "nix-store", "--store", store, "--add", program)[0]
			expr := `derivation { name = "x"; system = builtins.currentSystem; builder = builtins.storePath "` + string(builder) + `"; }`
			_, said, err := n.Try(t, "nix-build", "--store", store, "--no-out-link", "-E", expr)
			if err == nil || strings.Count(said, "failed due to signal 9 (Killed)") == 0 {
				t.Errorf("got %v\n%s", err, said)
			}
		})
	}
}
