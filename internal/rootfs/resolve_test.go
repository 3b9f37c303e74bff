package rootfs_test

import (
	"archive/tar"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/artifact"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/recipe"
	"headwater/internal/rootfs"
	"headwater/internal/rootfs/debtest"
	"headwater/internal/rootfs/index"
)

const minimal = `
bash 5.2 Essential: yes; Depends: libc6
bubblewrap 0.11 Depends: libc6
libc6 2.41 Section: libs
`

func chosen(list []lock.Artifact) string {
	var s []string
	for _, a := range list {
		s = append(s, a.Name+"="+a.Version+"/"+a.Role)
	}
	return strings.Join(s, " ")
}

func TestResolve(t *testing.T) {
	for _, tt := range []struct {
		name   string
		suites map[string]string
		want   recipe.Root
		out    string
	}{
		{
			"what every root has", map[string]string{"trixie": minimal}, recipe.Root{Suites: []string{"trixie"}},
			"bash=5.2/trixie bubblewrap=0.11/trixie libc6=2.41/trixie",
		},
		{
			"essential packages, but none that only installs others", map[string]string{"trixie": minimal + `
dash 0.5 Essential: yes
dpkg 1.22 Essential: yes; Pre-Depends: libz
init-system-helpers 1 Essential: yes
libz 1 Section: libs
`}, recipe.Root{Suites: []string{"trixie"}},
			"bash=5.2/trixie bubblewrap=0.11/trixie dash=0.5/trixie libc6=2.41/trixie",
		},
		{
			"dependencies for maintainer scripts are left out, unless asked for", map[string]string{"trixie": minimal + `
aa 1 Pre-Depends: dpkg (>= 1), init-system-helpers (>= 1); Depends: debconf (>= 0.5) | debconf-2.0, adduser, bb, missing | ucf; Recommends: cc
bb 1 Depends: dpkg
cc 1 Section: x
dpkg 1.22 Section: x
ucf 3 Section: x
adduser 3 Section: x
`}, recipe.Root{Suites: []string{"trixie"}, Packages: []string{"aa", "ucf"}},
			"aa=1/trixie bash=5.2/trixie bb=1/trixie bubblewrap=0.11/trixie dpkg=1.22/trixie libc6=2.41/trixie ucf=3/trixie",
		},
		{
			"the latest of a release's suites, in any order", map[string]string{"trixie": minimal, "trixie-security": "libc6 2.41+deb13u1 Section: libs"},
			recipe.Root{Suites: []string{"trixie", "trixie-security"}},
			"bash=5.2/trixie bubblewrap=0.11/trixie libc6=2.41+deb13u1/trixie-security",
		},
		{
			"another release where it is needed", map[string]string{"trixie": minimal, "trixie-security": "", "forky": "libc6 2.43 Section: x\nbash 5.3 Essential: yes; Depends: libc6\nnew 1 Depends: libc6 (>= 2.42)\nzz 1 Essential: yes"},
			recipe.Root{Suites: []string{"trixie", "trixie-security", "forky"}, Packages: []string{"new"}},
			"bash=5.2/trixie bubblewrap=0.11/trixie libc6=2.43/forky new=1/forky",
		},
		{
			"a package of another release", map[string]string{"trixie": minimal + "tool 1 Section: x", "forky": "tool 2 Section: x"},
			recipe.Root{Suites: []string{"trixie", "forky"}, Packages: []string{"tool/forky"}},
			"bash=5.2/trixie bubblewrap=0.11/trixie libc6=2.41/trixie tool=2/forky",
		},
		{
			"providers by priority", map[string]string{"trixie": minimal + `
base 1 Depends: awk, perlapi-5.40
aawk 1 Provides: awk; Priority: optional
mawk 1 Provides: awk; Priority: required
perl 5.40 Provides: perlapi-5.40 (= 5.40.1)
`}, recipe.Root{Suites: []string{"trixie"}, Packages: []string{"base"}},
			"base=1/trixie bash=5.2/trixie bubblewrap=0.11/trixie libc6=2.41/trixie mawk=1/trixie perl=5.40/trixie",
		},
		{
			"a provider that is asked for", map[string]string{"trixie": minimal + "base 1 Depends: awk\ngawk 1 Provides: awk\nmawk 1 Provides: awk; Priority: required"},
			recipe.Root{Suites: []string{"trixie"}, Packages: []string{"base", "gawk"}},
			"base=1/trixie bash=5.2/trixie bubblewrap=0.11/trixie gawk=1/trixie libc6=2.41/trixie",
		},
		{
			"architectures", map[string]string{"trixie": minimal + "aa 1 Depends: bb:any, cc:amd64, dd:i386 | ee; Conflicts: ee:i386\nbb 1 Section: x\ncc 1 Section: x\ndd 1 Section: x\nee 1 Section: x"},
			recipe.Root{Suites: []string{"trixie"}, Packages: []string{"aa"}},
			"aa=1/trixie bash=5.2/trixie bb=1/trixie bubblewrap=0.11/trixie cc=1/trixie ee=1/trixie libc6=2.41/trixie",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newArchive(t)
			for suite, packages := range tt.suites {
				a.publish(suite, packages, nil)
			}
			r := a.resolver()
			got, err := r.Resolve(t.Context(), tt.want)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.out, chosen(got)); d != "" {
				t.Error(d)
			}
			asked := len(a.asked)
			again, err := r.Resolve(t.Context(), tt.want)
			if err != nil || chosen(again) != chosen(got) {
				t.Errorf("then %s, %v", chosen(again), err)
			}
			if len(a.asked) != asked {
				t.Errorf("the archive was asked again: %s", a.asked[asked:])
			}
		})
	}
}

func TestResolveNames(t *testing.T) {
	a := newArchive(t)
	a.publish("trixie", minimal, nil)
	a.publish("trixie-security", "libc6 2.41+deb13u1 Section: libs", nil)
	got, err := a.resolver().Resolve(t.Context(), recipe.Root{Suites: []string{"trixie", "trixie-security"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []lock.Artifact{
		{Ecosystem: artifact.Debian, Name: "bash", Version: "5.2", File: "debian/pool/main/bash_5.2.deb", Size: 7, Role: "trixie"},
		{Ecosystem: artifact.Debian, Name: "bubblewrap", Version: "0.11", File: "debian/pool/main/bubblewrap_0.11.deb", Size: 14, Role: "trixie"},
		{Ecosystem: artifact.Debian, Name: "libc6", Version: "2.41+deb13u1", File: "debian-security/pool/main/libc6_2.41+deb13u1.deb", Size: 17, Role: "trixie-security"},
	}
	for i := range want {
		want[i].Hash = nix.Sum(nix.SHA256, []byte(want[i].Name+want[i].Version))
	}
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b nix.Hash) bool { return a == b })); d != "" {
		t.Error(d)
	}
}

func TestResolveErrors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(t *testing.T, a *archive)
		want   recipe.Root
		err    []string
	}{
		{"no suites", nil, recipe.Root{}, []string{"no suites"}},
		{"a suite that is none", nil, recipe.Root{Suites: []string{"../../etc"}}, []string{`"../../etc"`}},
		{"no such suite", nil, recipe.Root{Suites: []string{"sid"}}, []string{"suite sid", "InRelease"}},
		{"no such package", nil, recipe.Root{Suites: []string{"trixie"}, Packages: []string{"nosuch"}}, []string{"nosuch is asked for, which no suite has"}},
		{"a name that is none", nil, recipe.Root{Suites: []string{"trixie"}, Packages: []string{"a b"}}, []string{`"a b"`}},
		{"a suite that is not the root's", nil, recipe.Root{Suites: []string{"trixie"}, Packages: []string{"bash/forky"}}, []string{`"bash/forky"`, "trixie"}},
		{"nothing to enter it by", func(_ *testing.T, a *archive) { a.publish("trixie", "bash 1 Section: x", nil) }, recipe.Root{Suites: []string{"trixie"}}, []string{"bubblewrap is needed to enter a root"}},
		{"a chain", func(_ *testing.T, a *archive) {
			a.publish("trixie", minimal+"aa 1 Depends: bb\nbb 1 Depends: libc6 (>= 3)", nil)
		}, recipe.Root{Suites: []string{"trixie"}, Packages: []string{"aa"}},
			[]string{"aa is asked for", "aa 1 (trixie) depends on bb", "bb 1 (trixie) depends on libc6 (>= 3), but there is only libc6 2.41 (trixie)"}},
		{"a relation that is none", func(_ *testing.T, a *archive) { a.publish("trixie", minimal+"aa 1 Depends: bb [amd64]", nil) }, recipe.Root{Suites: []string{"trixie"}, Packages: []string{"aa"}}, []string{"aa 1 (trixie)", "Depends"}},
		{"unsigned", func(t *testing.T, a *archive) { a.write("debian/dists/trixie/InRelease", []byte("Suite: trixie\n")) }, recipe.Root{Suites: []string{"trixie"}}, []string{"InRelease of trixie", "not signed"}},
		{"another index than was signed", func(t *testing.T, a *archive) {
			a.write("debian/dists/trixie/main/binary-amd64/Packages.xz", []byte("x"))
		}, recipe.Root{Suites: []string{"trixie"}}, []string{"suite trixie", "Packages.xz", "is not what InRelease says"}},
		{"no index", func(t *testing.T, a *archive) {
			if err := os.Remove(filepath.Join(a.dir, "debian/dists/trixie/main/binary-amd64/Packages.xz")); err != nil {
				t.Fatal(err)
			}
		}, recipe.Root{Suites: []string{"trixie"}}, []string{"suite trixie", "by-hash", "Packages.xz"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newArchive(t)
			a.publish("trixie", minimal, nil)
			if tt.damage != nil {
				tt.damage(t, a)
			}
			got, err := a.resolver().Resolve(t.Context(), tt.want)
			if err == nil {
				t.Fatalf("got %s", chosen(got))
			}
			for _, part := range tt.err {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("got error %v; want %q in it", err, part)
				}
			}
		})
	}
}

func TestResolveDates(t *testing.T) {
	a := newArchive(t)
	a.publish("trixie", minimal, nil)
	for _, tt := range []struct {
		at, asOf time.Time
		expired  bool
	}{
		{at: noon},
		{at: noon.AddDate(0, 1, 0), expired: true},
		{at: noon.AddDate(0, 1, 0), asOf: noon.AddDate(0, 0, 1)},
	} {
		r := rootfs.NewResolver(rootfs.Options{Archive: a, At: tt.at, AsOf: tt.asOf, Keys: a.keys()})
		_, err := r.Resolve(t.Context(), recipe.Root{Suites: []string{"trixie"}})
		if expired := (*index.ExpiredError)(nil); errors.As(err, &expired) != tt.expired || err != nil != tt.expired {
			t.Errorf("at %s, as of %s: got %v", tt.at, tt.asOf, err)
		}
	}
	// Without keys of one's own, Debian's are the ones that count.
	if _, err := rootfs.NewResolver(rootfs.Options{Archive: a, At: noon}).Resolve(t.Context(), recipe.Root{Suites: []string{"trixie"}}); err == nil {
		t.Error("a stranger's signature was accepted")
	}
}

func TestIndexByHash(t *testing.T) {
	a := newArchive(t)
	a.publish("trixie", minimal, nil)
	folder := "debian/dists/trixie/main/binary-amd64/"
	data, err := os.ReadFile(filepath.Join(a.dir, folder+"Packages.xz"))
	if err != nil {
		t.Fatal(err)
	}
	byHash := folder + "by-hash/SHA256/" + nix.Sum(nix.SHA256, data).Base16()
	a.write(byHash, data)
	if _, err := a.resolver().Resolve(t.Context(), recipe.Root{Suites: []string{"trixie"}}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"debian/dists/trixie/InRelease", byHash}, a.asked); d != "" {
		t.Error(d)
	}
}

func TestFile(t *testing.T) {
	a := newArchive(t)
	settings := debtest.Package{
		Name: "tool", Compression: "xz", Content: map[string]string{"./etc/tool/real.conf": "registry"},
		Entries: []tar.Header{
			debtest.Folder("./etc/tool/"), debtest.Link("./etc/tool/tool.conf", "real.conf"), debtest.Link("./etc/abs", "/etc/tool/tool.conf"),
			debtest.File("./etc/tool/real.conf"), debtest.HardLink("./etc/hard", "./etc/tool/real.conf"), debtest.Link("./etc/loop", "loop"),
		},
	}.Bytes(t)
	a.publish("trixie", "tool 1 Section: x\nother 1 Provides: virtual", map[string][]byte{"tool": settings})
	r := a.resolver()
	for _, name := range []string{"etc/tool/real.conf", "etc/tool/tool.conf", "etc/abs", "etc/hard"} {
		if got, err := r.File(t.Context(), "trixie", "tool", name); err != nil || string(got) != "registry" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := r.File(t.Context(), "trixie", "tool", "etc/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	for _, tt := range []struct{ pkg, file, err string }{
		{"tool", "etc/loop", "too many links"}, {"tool", "etc/tool", "is no file"}, {"nosuch", "x", "no such package"}, {"virtual", "x", "no such package"}, {"other", "x", "Debian package"},
	} {
		if got, err := r.File(t.Context(), "trixie", tt.pkg, tt.file); err == nil || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s of %s: %q, %v; want an error with %q", tt.file, tt.pkg, got, err, tt.err)
		}
	}
}
