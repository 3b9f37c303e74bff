package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headwater/internal/graph"
	"headwater/internal/image"
	"headwater/internal/sbom"
)

// materials is a project that is built, and what it is made of.
type materials struct {
	dir     string
	project *project
	graph   *graph.Graph
	spec    image.Spec
	builder *builder
	doc     *sbom.Document
}

func materialsOfGatehouse(t *testing.T) materials {
	t.Helper()
	m := materials{dir: "../../examples/homelab/gatehouse"}
	output(t, "build", "--store", sharedStore(t), m.dir)
	a := newApp()
	a.storeDir, a.stderr = sharedStore(t), io.Discard
	var err error
	if m.project, m.graph, err = openGraph([]string{m.dir}); err != nil {
		t.Fatal(err)
	}
	var o imageOptions
	if m.spec, err = a.imageSpec(m.project, m.graph, o); err != nil {
		t.Fatal(err)
	}
	if m.builder, err = a.openBuilder(t.Context(), m.project.lock.Date); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.builder.Close(); err != nil {
			t.Error(err)
		}
	})
	m.builder.locate(m.project)
	if m.doc, err = m.builder.materials(t.Context(), m.project, m.graph, m.spec, o.engine); err != nil {
		t.Fatal(err)
	}
	return m
}

// Every file of gatehouse's image belongs to exactly one part of its bill of materials.
func TestMaterialsOfGatehouse(t *testing.T) {
	m := materialsOfGatehouse(t)
	doc, spec, b := m.doc, m.spec, m.builder
	files, err := image.Files(t.Context(), spec, b.store)
	if err != nil {
		t.Fatal(err)
	}
	if len(doc.Leftovers) > 0 || len(doc.Owners) != len(files) || len(files) < 1000 {
		t.Errorf("of %d files %d belong to a part; not so %q", len(files), len(doc.Owners), doc.Leftovers)
	}
	parts := map[string]*sbom.Part{}
	for _, part := range doc.Parts {
		parts[part.Ref] = part
	}
	for at, ref := range doc.Owners {
		if parts[ref] == nil || parts[ref].Shipped != sbom.Yes {
			t.Errorf("%s belongs to %s, which is not there or not shipped", at, ref)
		}
	}
	for _, c := range []struct{ at, want string }{
		{"/usr/bin/bash", "pkg:deb/debian/bash@"},
		{"/usr/lib/x86_64-linux-gnu/libpq.so.5", "pkg:deb/debian/libpq5@"},
		{"/etc/passwd", "root:runtime"},
		{"/etc/ssl/certs/ca-certificates.crt", "root:runtime"},
		{"/bin", "root:runtime"},
		{"/app/bin/gatehouse-server", "component:gatehouse-server"},
		{"/app/lifecycle/gatehouse", "component:lifecycle"},
		{"/opt/venv/lib/python3.13/site-packages/django/__init__.py", "pkg:pypi/django@"},
		{"/opt/venv/pyvenv.cfg", "component:env"},
	} {
		if got := doc.Owners[c.at]; !strings.HasPrefix(got, c.want) {
			t.Errorf("%s belongs to %q, want %s…", c.at, got, c.want)
		}
	}
	// Of the lock's artifacts: what a program was linked of, what only builds, and what no step to the package has.
	for prefix, want := range map[string]sbom.Shipped{"pkg:golang/github.com/beorn7/perks@": sbom.Yes, "pkg:golang/golang.org/toolchain@": sbom.Yes, "pkg:pypi/cython@": sbom.No, "pkg:maven/": sbom.No, "pkg:npm/lit@": sbom.Unknown} {
		found := false
		for ref, part := range parts {
			if strings.HasPrefix(ref, prefix) {
				if found = true; part.Shipped != want {
					t.Errorf("%s: shipped is %v, want %v", ref, part.Shipped, want)
				}
			}
		}
		if !found {
			t.Errorf("there is no %s…", prefix)
		}
	}
	for ref := range parts {
		if strings.HasPrefix(ref, "pkg:deb/debian/postgresql-17@") || strings.HasPrefix(ref, "pkg:deb/debian/chromium") {
			t.Errorf("%s went into nothing that is shipped", ref)
		}
	}
}

// The command prints the same as image --sbom writes, the same each time.
func TestSBOMCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hello.spdx.json")
	output(t, "image", "--store", sharedStore(t), "--sbom", file, "../../examples/hello")
	printed, _ := output(t, "sbom", "--store", sharedStore(t), "--format", "spdx", "../../examples/hello")
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(string(written)) != printed || !strings.Contains(printed, `"spdxVersion": "SPDX-2.3"`) {
		t.Errorf("image wrote %d bytes, sbom printed %d", len(written), len(printed))
	}
}
