package sbom

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"

	"headwater/internal/artifact"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/recipe"
)

var update = flag.Bool("update", false, "write the golden files")

// small is a document with a part of each kind.
func small(t *testing.T) *Document {
	t.Helper()
	part := func(a lock.Artifact, in string, shipped Shipped, l License) *Part {
		purl, err := packageURL(a, false)
		if err != nil {
			t.Fatal(err)
		}
		return &Part{Ref: purl, PURL: purl, Kind: Artifact, Name: a.Name, Version: a.Version, In: []string{in}, Shipped: shipped, License: l, Origins: []Origin{
			{Artifact: a.Artifact().Ref(), File: a.File, Hash: a.Hash, Hint: a.Hint},
		}}
	}
	sum := nix.Sum(nix.SHA512, []byte("a package"))
	tide := part(lock.Artifact{Ecosystem: artifact.NPM, Name: "@tide/clock", Version: "1.2.0", File: "clock-1.2.0.tgz", Hash: sum, Hint: "https://registry.example/@tide/clock.tgz"}, "web", Unknown, License{Expression: "MIT"})
	tide.Notes = []string{deviation(recipe.Replacement{URL: "https://mirror.invalid/{file}"}, lock.Instead{Version: "1.1.0"})}
	libc := part(lock.Artifact{Ecosystem: artifact.Debian, Name: "libc6", Version: "2.41-12", File: "debian/pool/main/g/glibc/libc6_2.41-12_amd64.deb", Role: "trixie", Hash: nix.Sum(nix.SHA256, []byte("libc"))}, "", Yes, License{Names: []string{"GPL-2+", "LGPL-2.1+"}})
	libc.Count = 3
	tool := part(lock.Artifact{Ecosystem: artifact.PyPI, Name: "Build_Tool", Version: "2", File: "build_tool-2.tar.gz", Hash: nix.Sum(nix.SHA256, []byte("tool"))}, "web", No, License{})
	return &Document{Name: "small", Version: "1", Parts: []*Part{
		{Ref: "component:web", Kind: Component, Name: "web", Version: "1", Output: "/nix/store/00000000000000000000000000000000-web", Uses: []string{tide.Ref, tool.Ref}, Shipped: Yes, Count: 2},
		{Ref: PackageRef, Kind: Package, Name: "small", Version: "1", Uses: []string{"component:web", libc.Ref, "root:runtime"}, Shipped: Yes},
		libc, tide, tool,
		{Ref: "root:runtime", Kind: Root, Name: "headwater root runtime", Version: "1", Shipped: Yes, Count: 1},
	}}
}

// What is written is what was written before, the same each time, and reads back as the same.
func TestGolden(t *testing.T) {
	for _, format := range []string{"cyclonedx", "spdx"} {
		got, err := small(t).Write(format)
		if err != nil {
			t.Fatal(err)
		}
		again, err := small(t).Write(format)
		if err != nil || !bytes.Equal(got, again) {
			t.Errorf("%s: another time it is other bytes, %v", format, err)
		}
		name := filepath.Join("testdata", "small."+format+".json")
		if *update {
			if err := os.WriteFile(name, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s: %s", format, diff)
		}
		if strings.Contains(string(got), "mirror.invalid") {
			t.Errorf("%s: tells an address of the operator's", format)
		}
		other := small(t)
		other.Parts[0].Version = "2"
		if changed, err := other.Write(format); err != nil || identity(t, changed) == identity(t, got) {
			t.Errorf("%s: another document has the same identity, %v", format, err)
		}
	}
}

// identity is a document's serial number or namespace.
func identity(t *testing.T, data []byte) string {
	t.Helper()
	var doc struct{ SerialNumber, DocumentNamespace string }
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	return doc.SerialNumber + doc.DocumentNamespace
}

func TestReadsBack(t *testing.T) {
	doc := small(t)
	doc.Created = time.Unix(1, 0)
	data, err := doc.CycloneDX()
	if err != nil {
		t.Fatal(err)
	}
	bom := new(cyclonedx.BOM)
	if err := cyclonedx.NewBOMDecoder(bytes.NewReader(data), cyclonedx.BOMFileFormatJSON).Decode(bom); err != nil {
		t.Fatal(err)
	}
	if again, err := encode(bom); err != nil || !bytes.Equal(data, again) {
		t.Errorf("read and written again it is other bytes, %v", err)
	}
	if bom.Metadata.Timestamp != "1970-01-01T00:00:01Z" || len(*bom.Components) != len(doc.Parts)-1 {
		t.Errorf("it is of %s with %d components", bom.Metadata.Timestamp, len(*bom.Components))
	}
	if data, err = doc.SPDX(); err != nil {
		t.Fatal(err)
	}
	spdx := new(v2_3.Document)
	if err := json.Unmarshal(data, spdx); err != nil {
		t.Fatal(err)
	}
	if again, err := encodeSPDX(spdx); err != nil || !bytes.Equal(data, again) {
		t.Errorf("read and written again it is other bytes, %v", err)
	}
}

// What is written is valid by the schema that CycloneDX's own library comes with.
func TestSchema(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "schema")
	c := jsonschema.NewCompiler()
	const base = "http://cyclonedx.org/schema/"
	for name, file := range map[string]string{"bom-1.6.schema.json": "bom-1.6.schema.json", "spdx.schema.json": "spdx.schema.json", "jsf-0.82.schema.json": "jsf-0.82.schemax.json"} {
		f, err := os.Open(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		schema, err := jsonschema.UnmarshalJSON(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource(base+name, schema); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := c.Compile(base + "bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	data, err := small(t).CycloneDX()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(doc); err != nil {
		t.Error(err)
	}
}

func TestPackageURL(t *testing.T) {
	hash := nix.Sum(nix.SHA256, nil)
	const sum = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for _, c := range []struct {
		a        lock.Artifact
		download bool
		want     string
	}{
		{lock.Artifact{Ecosystem: artifact.Debian, Name: "libpq5", Version: "1:17.2+x", File: "debian/pool/l/libpq5_17_amd64.deb", Role: "trixie-security"}, false, "pkg:deb/debian/libpq5@1:17.2%2Bx?arch=amd64&distro=trixie"},
		{lock.Artifact{Ecosystem: artifact.Debian, Name: "tzdata", Version: "1", File: "debian/pool/t/tzdata_1_all.deb"}, false, "pkg:deb/debian/tzdata@1?arch=all"},
		{lock.Artifact{Ecosystem: artifact.Go, Name: "mod.example/Team/tool/v2", Version: "v2.0.0", File: "v2.0.0.zip"}, false, "pkg:golang/mod.example/team/tool/v2@v2.0.0"},
		{lock.Artifact{Ecosystem: artifact.NPM, Name: "@tide/clock", Version: "1.0.0", File: "clock.tgz"}, false, "pkg:npm/%40tide/clock@1.0.0"},
		{lock.Artifact{Ecosystem: artifact.PyPI, Name: "Build_Tool", Version: "2", File: "b.whl"}, false, "pkg:pypi/build-tool@2"},
		{lock.Artifact{Ecosystem: artifact.Cargo, Name: "tide_core", Version: "0.1.0", File: "c.crate"}, false, "pkg:cargo/tide_core@0.1.0"},
		{lock.Artifact{Ecosystem: artifact.Maven, Name: "example.tide:clock", Version: "3", File: "clock-3.jar"}, false, "pkg:maven/example.tide/clock@3"},
		{lock.Artifact{Ecosystem: artifact.URL, Name: "web/font.woff2", File: "font.woff2", Hash: hash}, true, "pkg:generic/font.woff2?checksum=" + sum},
		{lock.Artifact{Ecosystem: artifact.Git, Name: "team/tool", Version: "0123", File: "tool.tar", Hash: hash}, false, "pkg:generic/team/tool@0123?checksum=" + sum},
	} {
		if got, err := packageURL(c.a, c.download); err != nil || got != c.want {
			t.Errorf("%s: %s, %v, want %s", c.a.Name, got, err, c.want)
		}
	}
}

func TestLicenses(t *testing.T) {
	for _, c := range []struct {
		name string
		read func(string) License
		text string
		want License
	}{
		{"debian", debianLicense, "Format: https://debian.example/1.0/\n\nFiles: *\nLicense: GPL-2+\n text\n\nFiles: x\nLicense: Expat\n\nLicense: GPL-2+\n", License{Names: []string{"Expat", "GPL-2+"}}},
		{"debian, for people", debianLicense, "This is free.\nLicense: GPL-2+\n", License{}},
		{"an expression", pythonLicense, "Metadata-Version: 2.4\nName: x\nLicense-Expression: MIT OR Apache-2.0\n\nLong.\n", License{Expression: "MIT OR Apache-2.0"}},
		{"a name", pythonLicense, "Metadata-Version: 2.1\nName: x\nLicense: BSD\n\nLong.\n", License{Names: []string{"BSD"}}},
		{"a text", pythonLicense, "Metadata-Version: 2.1\nLicense: " + strings.Repeat("All of it. ", 20) + "\n\n", License{}},
		{"unknown", pythonLicense, "Metadata-Version: 2.1\nLicense: UNKNOWN\n\n", License{}},
		{"none", pythonLicense, "", License{}},
		{"npm", npmLicense, `{"license":"(MIT OR CC0-1.0)"}`, License{Expression: "(MIT OR CC0-1.0)"}},
		{"npm, a file", npmLicense, `{"license":"SEE LICENSE IN x"}`, License{Names: []string{"SEE LICENSE IN x"}}},
		{"npm, as it once was", npmLicense, `{"license":{"type":"MIT"}}`, License{}},
		{"no manifest", npmLicense, `{`, License{}},
	} {
		if diff := cmp.Diff(c.want, c.read(c.text)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// Whatever a copyright file or METADATA says, names are names: sorted, each once, not empty.
func FuzzLicenses(f *testing.F) {
	f.Add("Format: x\nLicense: GPL-2+\n")
	f.Add("License: MIT\n\n")
	f.Add(`{"license":"MIT"}`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, read := range []func(string) License{debianLicense, pythonLicense, npmLicense} {
			for i, name := range read(text).Names {
				if names := read(text).Names; name == "" || i > 0 && names[i-1] >= name {
					t.Errorf("%q has %q", text, names)
				}
			}
		}
	})
}
