package index_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/rootfs/index"
)

const packages = `Package: libpq-dev
Version: 17.5-1
Architecture: amd64
Depends: libpq5 (= 17.5-1),
 libssl-dev
Provides: postgresql-client-dev
Description: headers
 of a library
Priority: optional
Filename: pool/main/p/postgresql-17/libpq-dev_17.5-1_amd64.deb
Size: 17
SHA256: ` + digest + `

Package: dash
Version: 0.5.12-12
Architecture: amd64
Essential: yes
`

func TestParsePackages(t *testing.T) {
	got, err := index.ParsePackages(packages)
	if err != nil {
		t.Fatal(err)
	}
	want := []index.Package{
		{
			Name: "libpq-dev", Version: "17.5-1", Arch: "amd64", Depends: "libpq5 (= 17.5-1),\n libssl-dev",
			Provides: "postgresql-client-dev", Priority: "optional",
			Filename: "pool/main/p/postgresql-17/libpq-dev_17.5-1_amd64.deb", Size: "17", Hash: digest,
		},
		{Name: "dash", Version: "0.5.12-12", Arch: "amd64", Essential: "yes"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if f, err := got[0].File(); err != nil || f.Size != 17 || f.Hash.Base16() != digest {
		t.Errorf("File: %v, %v", f, err)
	}
	if f, err := got[1].File(); err == nil {
		t.Errorf("File of a package without one: %v", f)
	}
}

func TestParsePackagesErrors(t *testing.T) {
	for _, tt := range []struct{ name, text, err string }{
		{"no version", strings.Replace(packages, "Version: 17.5-1\n", "", 1), "lacks"},
		{"no field", strings.Replace(packages, "Essential:", "Essential", 1), "line 17"},
		{"field twice", strings.Replace(packages, "Essential: yes", "Version: 1", 1), "twice"},
		{"continuation first", " x\n" + packages, "line 1"},
	} {
		if got, err := index.ParsePackages(tt.text); err == nil || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: got %v, error %v; want an error with %q", tt.name, got, err, tt.err)
		}
	}
}

func TestPackageFileNames(t *testing.T) {
	for _, name := range []string{"", "/pool/a.deb", "pool/../../a.deb", "pool//a.deb", "pool/a.udeb", "dists/a.deb"} {
		p := index.Package{Name: "a", Version: "1", Filename: name, Size: "1", Hash: digest}
		if _, err := p.File(); err == nil {
			t.Errorf("File name %q was accepted", name)
		}
	}
}

func FuzzParsePackages(f *testing.F) {
	f.Add(packages)
	f.Add("A: b\n\n\n c\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := index.ParsePackages(text)
		if err != nil {
			return
		}
		for _, p := range list {
			if !strings.Contains(text, p.Name) || p.Name == "" || p.Version == "" {
				t.Errorf("made up %+v", p)
			}
		}
	})
}
