package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const foldersRecipe = `headwater: 1
name: folders
release: "1"
roots:
  base: {suites: [trixie], packages: []}
components:
  source: {ecosystem: plain, root: base, src: [run, pages]}
  made:
    ecosystem: plain
    root: base
    src: [run]
    build: [mkdir -p pages/more, echo made >pages/stub, echo made >pages/more/new]
    output: {pages: pages}
  collected:
    ecosystem: plain
    root: base
    src: [pages]
    uses: [{component: made, path: pages, at: pages}]
    build: [chmod u+w pages/kept, mkdir all, cp -r pages all]
    output: {.: all}
package:
  root: base
  layout:
    /app: source
    /app/pages: made:pages
    /app/pages/more/deep: collected:pages/more
    /collected: collected
  command: [/app/run]
  processes:
    web: {}
`

// Where a component's output is laid into a folder that the source has too, in a build and in the package, both are there, as where an
// image's file copies one into the other; what both have is the component's.
func TestFoldersOfTwo(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		recipeFile: foldersRecipe, lockFile: string(lockOf(t, foldersRecipe)), "pages/kept": "the source's\n", "pages/stub": "a stub\n", "pages/more/old": "the source's\n",
		"run": "#!/bin/sh\ncd / && for f in $(find app/pages collected -type f | sort); do echo \"$f $(cat $f)\"; done\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	pkg, _ := output(t, "build", "--store", sharedStore(t), dir)
	cmd := headwater(t.Context(), t)
	cmd.Path = filepath.Join(sharedStore(t), pkg, "bin/folders")
	cmd.Args = []string{"folders"}
	got, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, got)
	}
	const want = `app/pages/kept the source's
app/pages/more/deep/new made
app/pages/more/deep/old the source's
app/pages/more/new made
app/pages/more/old the source's
app/pages/stub made
collected/pages/kept the source's
collected/pages/more/new made
collected/pages/more/old the source's
collected/pages/stub made
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	image := filepath.Join(t.TempDir(), "oci")
	said, _ := output(t, "image", "--store", sharedStore(t), "--oci", image, "--sbom", filepath.Join(t.TempDir(), "folders.cdx.json"), dir)
	if !strings.HasPrefix(said, "sha256:") {
		t.Errorf("the image is %q", said)
	}
}
