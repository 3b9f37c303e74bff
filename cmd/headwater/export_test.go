package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/nix"
	"headwater/internal/nix/nar"
	"headwater/internal/nixtest"
	"headwater/internal/store"
)

// Every release of Nix evaluates what is exported to the very same derivation, also as a flake, in pure mode, without nixpkgs
// and without the network; builds the package from it; and what it built runs.
func TestExport(t *testing.T) {
	hello(t)
	flake := t.TempDir()
	out := filepath.Join(flake, "hello")
	exportHello(t, out)
	text := `{ outputs = { self }: { packages.x86_64-linux.default = import ./hello; }; }`
	if err := os.WriteFile(filepath.Join(flake, "flake.nix"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	want, _ := output(t, "build", "--drv", "../../examples/hello")
	built, _ := output(t, "build", "--store", sharedStore(t), "../../examples/hello")
	for _, n := range nixtest.All(t) {
		t.Run(string(n.Release), func(t *testing.T) {
			dir := filepath.Join(scratch(t), "store")
			got, err := n.Command(t.Context(), "nix-instantiate", "--store", dir, out).CombinedOutput()
			// Nix 2.8 shows what a caller adds to an error only when asked for its trace.
			told := n.Release == nixtest.Old || strings.Contains(string(got), "-root has to be in the store or in a binary cache")
			if err == nil || !told || !strings.Contains(string(got), "-root'") {
				t.Errorf("without the root: %v\n%s", err, got)
			}
			importPaths(t, dir, filepath.Join(out, "roots.txt"))
			flakes := []string{"--store", dir, "--option", "experimental-features", "nix-command flakes", "--option", "flake-registry", ""}
			for _, got := range []string{
				n.Run(t, "nix-instantiate", "--store", dir, out),
				n.Run(t, "nix", append([]string{"eval", "--raw", "path:" + flake + "#default.drvPath"}, flakes...)...),
				n.Run(t, "nix", append([]string{"eval", "--raw", "path:" + out + "#default.drvPath"}, flakes...)...),
			} {
				if got != want {
					t.Errorf("Nix finds %s, want %s", got, want)
				}
			}
			if got := n.Run(t, "nix-build", "--store", dir, "--no-out-link", out); got != built {
				t.Errorf("Nix built %s, want %s", got, built)
			}
			run := exec.CommandContext(t.Context(), filepath.Join(dir, built, "bin/hello"))
			run.Env = []string{"HEADWATER_STATE=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
			if text, err := run.CombinedOutput(); err != nil || string(text) != "hello from release 1, in /app, as 1000:1000\n" {
				t.Errorf("the package printed %q (%v)", text, err)
			}
		})
	}
}

// scratch is an empty folder for stores, whose folders only root could remove as they are.
func scratch(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() {
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return err
			}
			return os.Chmod(name, 0o755)
		})
		if err != nil {
			t.Error(err)
		}
	})
	return dir
}

// exportHello exports the smallest example.
func exportHello(t *testing.T, out string, flags ...string) {
	t.Helper()
	got, _ := output(t, append([]string{"export", "--store", sharedStore(t), "../../examples/hello", out}, flags...)...)
	if got != out {
		t.Errorf("export printed %q", got)
	}
}

// importPaths puts the paths that a file lists, and that refer to nothing, into the store at dir.
func importPaths(t *testing.T, dir, file string) {
	t.Helper()
	list, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	from, to := openTestStore(t, sharedStore(t)), openTestStore(t, dir)
	for _, line := range strings.Fields(string(list)) {
		p, err := nix.ParseStorePath(line)
		if err != nil {
			t.Fatal(err)
		}
		info, err := from.Query(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		dumped := make(chan error, 1)
		go func() {
			err := nar.Dump(w, from.RealPath(p))
			dumped <- err
			w.Close()
		}()
		if err := to.ImportNAR(t.Context(), r, info); err != nil {
			t.Fatal(err)
		}
		if err := <-dumped; err != nil {
			t.Fatal(err)
		}
		r.Close()
	}
}

func openTestStore(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), dir, store.Options{Now: newApp().now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// With the roots copied, evaluating needs nothing but the folder.
func TestExportWithRoots(t *testing.T) {
	hello(t)
	dir := scratch(t)
	out := filepath.Join(dir, "out")
	exportHello(t, out, "--with-roots")
	want, _ := output(t, "build", "--drv", "../../examples/hello")
	n := nixtest.New(t, nixtest.Current)
	if got := n.Run(t, "nix-instantiate", "--store", filepath.Join(dir, "store"), out); got != want {
		t.Errorf("Nix finds %s, want %s", got, want)
	}
	entries, err := os.ReadDir(filepath.Join(out, "roots"))
	if err != nil || len(entries) != 1 || entries[0].Name() != "base" {
		t.Errorf("roots are %v (%v)", entries, err)
	}
	// Without them again: nothing of the earlier export is left.
	exportHello(t, out)
	names := func() (list []string) {
		entries, err := os.ReadDir(out)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			list = append(list, e.Name())
		}
		return list
	}
	if diff := cmp.Diff([]string{"default.nix", "flake.nix", "roots.txt", "src"}, names()); diff != "" {
		t.Errorf("entries after exporting again: %s", diff)
	}
}

// The largest example, all of its ecosystems: Nix finds the same derivation, and so the same of all that it is made from.
func TestExportOfGatehouse(t *testing.T) {
	const dir = "../../examples/homelab/gatehouse"
	out := filepath.Join(t.TempDir(), "out")
	output(t, "export", dir, out)
	want, _ := output(t, "build", "--drv", dir)
	for _, n := range nixtest.All(t) {
		// Nothing is written, so the roots do not have to be there.
		if got := n.Run(t, "nix-instantiate", "--store", filepath.Join(t.TempDir(), "store"), "--readonly-mode", out); got != want {
			t.Errorf("Nix of %s finds %s, want %s", n.Release, got, want)
		}
	}
	// The same bytes again.
	again := filepath.Join(t.TempDir(), "again")
	output(t, "export", dir, again)
	var hashes []nix.Hash
	for _, dir := range []string{out, again} {
		h, _, err := nar.HashPath(dir)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, h)
	}
	if hashes[0] != hashes[1] {
		t.Errorf("two exports differ: %v", hashes)
	}
}
