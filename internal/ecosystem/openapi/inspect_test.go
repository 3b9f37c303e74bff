package openapi_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/artifact"
	"headwater/internal/ecosystem"
	"headwater/internal/ecosystem/openapi"
	"headwater/internal/lock"
)

// registry is an ecosystem.Network that packs what a package holds, by the package's name.
type registry struct {
	shelf
	dir      string
	packages map[string]map[string]string
}

func (r registry) Get(_ context.Context, a artifact.Artifact) (string, artifact.Artifact, error) {
	files, ok := r.packages[a.Name]
	if !ok {
		return "", a, fmt.Errorf("get %s: is gone", a.Ref())
	}
	var b bytes.Buffer
	pack := tarball
	if strings.HasSuffix(a.File, ".zip") {
		pack = zipball
	}
	if err := pack(&b, files); err != nil {
		return "", a, err
	}
	file := filepath.Join(r.dir, filepath.Base(a.File))
	return file, a, os.WriteFile(file, b.Bytes(), 0o600)
}

func tarball(w io.Writer, files map[string]string) error {
	g := gzip.NewWriter(w)
	t := tar.NewWriter(g)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := t.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(files[name]))}); err != nil {
			return err
		}
		if _, err := io.WriteString(t, files[name]); err != nil {
			return err
		}
	}
	if err := t.Close(); err != nil {
		return err
	}
	return g.Close()
}

func zipball(w io.Writer, files map[string]string) error {
	z := zip.NewWriter(w)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f, err := z.Create(name)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(f, files[name]); err != nil {
			return err
		}
	}
	return z.Close()
}

// What a published client is made of is read out of it, whatever its own version says.
func TestInspect(t *testing.T) {
	t.Parallel()
	lockOf := func(component string, list ...lock.Artifact) *lock.File {
		return &lock.File{Components: map[string]lock.Component{component: {Artifacts: list}}}
	}
	npm := lockOf("web", lock.Artifact{Ecosystem: artifact.NPM, Name: "@shop/client", Version: "7.0.1", File: "client-7.0.1.tgz"}, lock.Artifact{Ecosystem: artifact.NPM, Name: "other", Version: "1.0.0", File: "other-1.0.0.tgz"})
	gomod := lockOf("server", lock.Artifact{Ecosystem: artifact.Go, Name: "shop.example/client/v3", Version: "v3.20.7", File: "v3.20.7.mod"}, lock.Artifact{Ecosystem: artifact.Go, Name: "shop.example/client/v3", Version: "v3.20.7", File: "v3.20.7.zip"})
	const zipTop = "shop.example/client/v3@v3.20.7/"
	schema := func(version, method string) string {
		return "openapi: 3.0.3\ninfo:\n  title: Shop\n  version: " + version + "\npaths:\n  /items:\n    " + method + ": {}\n"
	}
	for name, c := range map[string]struct {
		lock     *lock.File
		packages map[string]map[string]string
		want     []string
		fails    string
	}{
		"npm, of another version": {
			lock: npm, packages: map[string]map[string]string{"@shop/client": {"package/package.json": "{}", "package/dist/runtime.js": "\"use strict\";\n" + tsHeader}},
			want: []string{"web: the published client @shop/client 7.0.1 is made of Shop 1.2.0 (package/dist/runtime.js:8), but schema.yml is of version 1.4.0: what they differ in may fail at run time (schema.yml:4)"},
		},
		"npm, of the same version": {
			lock: npm, packages: map[string]map[string]string{"@shop/client": {"package/src/runtime.ts": strings.Replace(tsHeader, "1.2.0", "1.4.0", 1)}},
		},
		"npm, that does not say": {lock: npm, packages: map[string]map[string]string{"@shop/client": {"package/index.js": "1"}}},
		"npm, that is gone":      {lock: npm, fails: "look into the client @shop/client 7.0.1: get headwater:npm/@shop%2Fclient/7.0.1/client-7.0.1.tgz: is gone"},
		"Go, with its own copy": {
			lock: gomod, packages: map[string]map[string]string{"shop.example/client/v3": {zipTop + "api/openapi.yaml": schema("1.4.0", "put"), zipTop + "client.go": strings.Replace(goHeader, "1.2.0", "1.4.0", 1)}},
			want: []string{"server: the published client shop.example/client/v3 v3.20.7 is made of Shop 1.4.0 (" + zipTop + "client.go:6), but schema.yml of that version does not have PUT /items (schema.yml:4)"},
		},
		"Go, with the same": {
			lock: gomod, packages: map[string]map[string]string{"shop.example/client/v3": {zipTop + "api/openapi.yaml": schema("1.4.0", "get")}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fsys := fstest.MapFS{
				"schema.yml": {Data: []byte(shopSchema)}, "clients/ts.yaml": {Data: []byte(tsConfig)},
				"Makefile": {Data: []byte(makeTS + "\n" + makeGo)},
			}
			got, err := openapi.New().Inspect(t.Context(), ecosystem.InspectRequest{
				Recipe: shop(), Source: fsys, Files: slices.Collect(maps.Keys(fsys)), Lock: c.lock, Network: registry{dir: t.TempDir(), packages: c.packages},
			})
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if c.fails == "" && err != nil || c.fails != "" && (err == nil || err.Error() != c.fails) {
				t.Errorf("error %v, want %q", err, c.fails)
			}
		})
	}
}
