package nixtest_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headwater/internal/fetch"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/nixtest"
	"headwater/internal/pin"
	"headwater/internal/recipe"
	"headwater/internal/registry"
	"headwater/internal/rootfs"
	"headwater/internal/store"
)

var relock = flag.Bool("lock", false, "pin the releases of Nix anew")

func TestMain(m *testing.M) {
	flag.Parse()
	if *relock {
		if err := pinReleases(context.Background()); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// pinReleases writes testdata/headwater.lock.
func pinReleases(ctx context.Context) (err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Second)
	s, err := store.Open(ctx, filepath.Join(cache, "headwater-test"), store.Options{Now: time.Now})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	reg, err := registry.Open(registry.Machine{Env: os.Getenv, Home: home, Root: os.DirFS("/")}, registry.Options{})
	if err != nil {
		return err
	}
	client := fetch.New(reg.At(now), fetch.Options{})
	defer client.Close()
	network := &pin.Network{Store: s, Fetcher: client}
	resolver := rootfs.NewResolver(rootfs.Options{Archive: network, At: now})
	f := &lock.File{Format: lock.Format, Date: now, Recipe: nix.Sum(nix.SHA256, nil), Roots: map[string]lock.Root{}, Toolchains: map[string][]lock.Artifact{}, Components: map[string]lock.Component{}}
	for _, r := range []nixtest.Release{nixtest.Current, nixtest.Old} {
		want := recipe.Root{Suites: []string{string(r)}, Packages: []string{"nix-bin"}}
		packages, err := resolver.Resolve(ctx, want)
		if err != nil {
			return err
		}
		hash, err := rootfs.Pin(ctx, rootfs.PinRequest{Name: string(r), Packages: packages, Archive: network, Store: s})
		if err != nil {
			return err
		}
		f.Roots[string(r)] = lock.Root{Suites: want.Suites, Wanted: want.Packages, NARHash: hash, Packages: packages}
	}
	data, err := f.Marshal()
	if err != nil {
		return err
	}
	const name = "testdata/headwater.lock"
	if err := os.WriteFile(name+".new", data, 0o644); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
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
