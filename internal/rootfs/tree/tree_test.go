package tree_test

import (
	"archive/tar"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"headwater/internal/nix/nar"
	"headwater/internal/rootfs/deb"
	"headwater/internal/rootfs/debtest"
	"headwater/internal/rootfs/tree"
)

// write makes the packages' files in a folder of their own.
func write(t testing.TB, packages ...debtest.Package) []tree.Package {
	t.Helper()
	dir := t.TempDir()
	var list []tree.Package
	for _, p := range packages {
		if p.Name == "" {
			p.Name = "some"
		}
		file := filepath.Join(dir, p.Name+".deb")
		if err := os.WriteFile(file, p.Bytes(t), 0o644); err != nil {
			t.Fatal(err)
		}
		list = append(list, tree.Package{Name: p.Name, File: file})
	}
	return list
}

// unpack unpacks the packages to a new folder.
func unpack(t testing.TB, packages ...debtest.Package) (string, error) {
	t.Helper()
	dst := filepath.Join(t.TempDir(), "root")
	return dst, tree.Unpack(t.Context(), dst, write(t, packages...))
}

// list describes a tree, a path a line: "usr/bin/ ", "usr/bin/a* content", "usr/b content", "usr/c -> target". Files that
// every root has are left out.
func list(t testing.TB, dir string) []string {
	t.Helper()
	everywhere := []string{"etc/", "etc/passwd", "etc/group", "etc/hosts", "etc/hostname", "etc/nsswitch.conf", "etc/resolv.conf"}
	var out []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		rel, _ := filepath.Rel(dir, name)
		fi, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			rel += "/"
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(name)
			if err != nil {
				return err
			}
			rel += " -> " + target
		case fi.Mode().IsRegular():
			data, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			if fi.Mode().Perm() == 0o555 {
				rel += "*"
			} else if fi.Mode() != 0o444 {
				t.Errorf("%s has mode %v", rel, fi.Mode())
			}
			rel += " " + string(data)
		default:
			t.Errorf("%s is %v", rel, fi.Mode())
		}
		if first, _, _ := strings.Cut(rel, " "); !slices.Contains(everywhere, first) {
			out = append(out, rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestUnpack(t *testing.T) {
	dst, err := unpack(t, debtest.Package{
		Name: "aa", Compression: "xz",
		Entries: []tar.Header{
			debtest.Folder("./"), debtest.Folder("./bin/"), debtest.Program("./bin/tool"), debtest.File("./lib/x86_64-linux-gnu/liba.so.1"),
			debtest.Folder("./usr/"), debtest.Folder("./usr/bin/"), debtest.File("./usr/bin/text"), debtest.HardLink("./usr/bin/more", "./bin/tool"),
			debtest.Folder("./var/empty/"), debtest.Link("./sbin", "usr/sbin"), debtest.File("./sbin/daemon"),
		},
		Content: map[string]string{"./bin/tool": "T"},
	}, debtest.Package{
		Name: "bb", Compression: "zst",
		Entries: []tar.Header{
			debtest.Link("./usr/lib64/ld.so", "/lib/x86_64-linux-gnu/liba.so.1"), debtest.Link("./usr/bin/rel", "tool"), debtest.Link("./etc/abs", "/usr/share/x"),
			debtest.Link("./usr/share/x", "/"), debtest.Link("./etc/up", "/../../usr"), debtest.Link("./usr/lib/here", "."), debtest.Link("./usr/lib/there", "../lib/./x86_64-linux-gnu//liba.so.1"),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"bin -> usr/bin",
		"etc/abs -> ../usr/share/x",
		"etc/up -> ../usr",
		"lib -> usr/lib",
		"lib64 -> usr/lib64",
		"sbin -> usr/sbin",
		"usr/",
		"usr/bin/",
		"usr/bin/more* T",
		"usr/bin/rel -> tool",
		"usr/bin/text ./usr/bin/text",
		"usr/bin/tool* T",
		"usr/lib/",
		"usr/lib/here -> .",
		"usr/lib/there -> x86_64-linux-gnu/liba.so.1",
		"usr/lib/x86_64-linux-gnu/",
		"usr/lib/x86_64-linux-gnu/liba.so.1 ./lib/x86_64-linux-gnu/liba.so.1",
		"usr/lib64/",
		"usr/lib64/ld.so -> ../lib/x86_64-linux-gnu/liba.so.1",
		"usr/sbin/",
		"usr/sbin/daemon ./sbin/daemon",
		"usr/share/",
		"usr/share/x -> ../..",
		"var/",
		"var/empty/",
	}
	if d := cmp.Diff(want, list(t, dst)); d != "" {
		t.Error(d)
	}
}

func TestSystemFiles(t *testing.T) {
	dst, err := unpack(t, debtest.Package{
		Name: "base-passwd", Entries: []tar.Header{debtest.File("usr/share/base-passwd/passwd.master"), debtest.File("usr/share/base-passwd/group.master"), debtest.File("etc/hosts")},
		Content: map[string]string{
			"usr/share/base-passwd/passwd.master": "root:*:0:0:root:/root:/bin/bash\nwww-data:*:33:33:www-data:/var/www:/usr/sbin/nologin\n",
			"usr/share/base-passwd/group.master":  "root:*:0:\nwww-data:*:33:\n",
			"etc/hosts":                           "a package's own\n",
		},
	}, debtest.Package{Name: "dash", Entries: []tar.Header{debtest.Program("bin/dash")}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"etc/passwd":      "root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\nbuild:x:1000:100:build:/home/build:/bin/bash\n",
		"etc/group":       "root:x:0:\nwww-data:x:33:\n",
		"etc/hosts":       "a package's own\n",
		"etc/resolv.conf": "",
		"usr/bin/sh":      "bin/dash",
	} {
		if got, err := os.ReadFile(filepath.Join(dst, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestExcluded(t *testing.T) {
	dst, err := unpack(t, debtest.Package{Entries: []tar.Header{
		debtest.Folder("usr/share/doc/aa/"), debtest.File("usr/share/doc/aa/copyright"), debtest.File("usr/share/doc/aa/changelog.gz"), debtest.Folder("usr/share/doc/aa/examples/"),
		debtest.File("usr/share/doc/aa/examples/x"), debtest.Link("usr/share/doc/bb", "aa"), debtest.Folder("usr/share/man/man1/"), debtest.File("usr/share/man/man1/a.1.gz"),
		debtest.HardLink("usr/share/man/man1/b.1.gz", "usr/share/man/man1/a.1.gz"), debtest.File("usr/share/info/a.info.gz"), debtest.File("usr/share/lintian/overrides/aa"),
		debtest.Folder("usr/share/locale/de/"), debtest.Folder("usr/share/locale/de/LC_MESSAGES/"), debtest.File("usr/share/locale/de/LC_MESSAGES/a.mo"), debtest.File("usr/share/locale/locale.alias"),
		debtest.File("usr/share/manual"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"usr/", "usr/share/", "usr/share/doc/", "usr/share/doc/aa/", "usr/share/doc/aa/copyright usr/share/doc/aa/copyright", "usr/share/doc/bb -> aa",
		"usr/share/locale/", "usr/share/locale/locale.alias usr/share/locale/locale.alias", "usr/share/manual usr/share/manual",
	}
	if d := cmp.Diff(want, list(t, dst)); d != "" {
		t.Error(d)
	}
}

func TestHostile(t *testing.T) {
	file, link, folder, hard := debtest.File, debtest.Link, debtest.Folder, debtest.HardLink
	one := func(entries ...tar.Header) []debtest.Package {
		return []debtest.Package{{Name: "aa", Entries: entries}}
	}
	two := func(a, b []tar.Header) []debtest.Package {
		return []debtest.Package{{Name: "aa", Entries: a}, {Name: "bb", Entries: b}}
	}
	type entries = []tar.Header
	for _, tt := range []struct {
		name     string
		packages []debtest.Package
		err      []string
	}{
		{"path up", one(file("../evil")), []string{"aa", `"../evil"`}},
		{"device", one(tar.Header{Typeflag: tar.TypeChar, Name: "dev/null"}), []string{"aa", `"dev/null"`, "device"}},
		{"link out of the tree", one(link("usr/a", "../../evil")), []string{"aa", `"usr/a"`, "out of the tree"}},
		{"link out of the tree once /bin is merged", one(link("bin/a", "../../../evil")), []string{"aa", "out of the tree"}},
		{"file below an own link", one(link("usr/a", "/etc"), file("usr/a/evil")), []string{"aa", `"usr/a/evil"`, "is a link"}},
		{"file below an own link that comes later", one(file("usr/a/evil"), link("usr/a", "/etc")), []string{"aa", "usr/a"}},
		{"file in place of an own link", one(link("usr/a", "/etc/passwd"), file("usr/a")), []string{"aa", `"usr/a"`, "twice"}},
		{"file twice", one(file("usr/a"), file("./usr/a")), []string{"aa", `"usr/a"`, "twice"}},
		{"file twice once /bin is merged", one(file("usr/bin/a"), file("bin/a")), []string{"aa", "twice"}},
		{"folder for a file", one(file("usr/a"), folder("usr/a")), []string{"aa", "twice"}},
		{"file below a file", one(file("usr/a"), file("usr/a/b")), []string{"aa", `"usr/a/b"`}},
		{"hard link to nothing", one(hard("usr/a", "usr/b")), []string{"aa", `"usr/a"`, "hard link"}},
		{"hard link to a link", one(link("usr/b", "/etc/passwd"), hard("usr/a", "usr/b")), []string{"aa", `"usr/a"`, "hard link"}},
		{"hard link to another's file", two(entries{file("usr/b")}, entries{hard("usr/a", "usr/b")}), []string{"bb", `"usr/a"`}},
		{"our own folder", one(file(".headwater-aside/x")), []string{"aa", "Headwater's own"}},
		{"two packages with one file", two(entries{file("usr/a"), file("x")}, entries{file("./usr/a")}), []string{"aa 1 and bb 1", `"usr/a"`}},
		{"a link and a file", two(entries{file("usr/a")}, entries{link("usr/a", "b")}), []string{"aa 1 and bb 1", `"usr/a"`}},
		{"two links", two(entries{link("usr/a", "c")}, entries{link("usr/a", "b")}), []string{"aa 1 and bb 1", `"usr/a"`}},
		{"a file below another's", two(entries{file("usr/a")}, entries{file("usr/a/b")}), []string{"bb", `"usr/a/b"`, "package aa"}},
		{"a folder for another's file", two(entries{file("usr/a")}, entries{folder("usr/a")}), []string{"aa", `"usr/a"`, "package bb"}},
		{"a folder below another's file", two(entries{file("usr/a")}, entries{folder("usr/a/b")}), []string{"bb", `"usr/a/b"`, "package aa"}},
		{"links in a circle", two(entries{link("usr/a", "b"), link("usr/b", "a")}, entries{file("usr/a/c")}), []string{"circle", "usr/"}},
		{"a package twice", []debtest.Package{{Name: "aa"}, {Name: "aa"}}, []string{"aa", "twice"}},
		{"no control file", []debtest.Package{{Name: "aa", Control: "\n"}}, []string{"aa", "control data"}},
		{"no version", []debtest.Package{{Name: "aa", Control: "Package: aa\n"}}, []string{"aa", "version"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dst, err := unpack(t, tt.packages...)
			if err == nil {
				t.Fatalf("got %q", list(t, dst))
			}
			for _, part := range tt.err {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("got error %v; want %q in it", err, part)
				}
			}
			if _, err := os.Lstat(filepath.Join(filepath.Dir(dst), "evil")); err == nil {
				t.Error("something was written outside of the tree")
			}
		})
	}
	t.Run("limits", func(t *testing.T) {
		list := write(t, debtest.Package{Name: "aa", Entries: entries{file("a"), file("b")}})
		if err := tree.UnpackWithin(t.Context(), filepath.Join(t.TempDir(), "root"), list, deb.Limits{Entries: 1}); err == nil || !strings.Contains(err.Error(), "aa") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("something there", func(t *testing.T) {
		if err := tree.Unpack(t.Context(), t.TempDir(), nil); err == nil {
			t.Error("unpacked over a folder")
		}
	})
}

func TestSamePathTwice(t *testing.T) {
	file, link, program := debtest.File, debtest.Link, debtest.Program
	type entries = []tar.Header
	divert := map[string]string{"preinst": "#!/bin/sh\nif [ \"$1\" = install ]; then\n  dpkg-divert --package bb --rename --divert /usr/bin/a.real --add /usr/bin/a\nfi\n"}
	for _, tt := range []struct {
		name string
		a, b debtest.Package
		want []string
	}{
		{
			"equal files", debtest.Package{Entries: entries{file("usr/a")}}, debtest.Package{Entries: entries{file("usr/a")}},
			[]string{"usr/", "usr/a usr/a"},
		},
		{
			"equal links", debtest.Package{Entries: entries{link("usr/a", "b")}}, debtest.Package{Entries: entries{link("usr/a", "b")}},
			[]string{"usr/", "usr/a -> b"},
		},
		{
			"the later replaces the first", debtest.Package{Entries: entries{file("usr/a")}},
			debtest.Package{Entries: entries{file("./usr/a")}, Fields: "Replaces: xx, aa (<< 2)\n"},
			[]string{"usr/", "usr/a ./usr/a"},
		},
		{
			"the first replaces the later", debtest.Package{Entries: entries{file("usr/a")}, Fields: "Replaces: bb\n"},
			debtest.Package{Entries: entries{file("./usr/a")}},
			[]string{"usr/", "usr/a usr/a"},
		},
		{
			"a link replaces a file", debtest.Package{Entries: entries{file("usr/a")}}, debtest.Package{Entries: entries{link("usr/a", "b")}, Fields: "Replaces: aa\n"},
			[]string{"usr/", "usr/a -> b"},
		},
		{
			"a file replaces a link", debtest.Package{Entries: entries{link("usr/a", "b")}}, debtest.Package{Entries: entries{file("usr/a")}, Fields: "Replaces: aa\n"},
			[]string{"usr/", "usr/a usr/a"},
		},
		{
			"a diversion", debtest.Package{Entries: entries{program("bin/a")}}, debtest.Package{Entries: entries{program("usr/bin/a")}, Scripts: divert},
			[]string{"bin -> usr/bin", "usr/", "usr/bin/", "usr/bin/a* usr/bin/a", "usr/bin/a.real* bin/a"},
		},
		{
			"below another's link", debtest.Package{Entries: entries{link("var/run", "/run"), debtest.Folder("run/")}},
			debtest.Package{Entries: entries{debtest.Folder("var/"), debtest.Folder("var/run/"), debtest.Folder("var/run/empty/"), file("var/run/sub/x"), link("var/run/y", "sub/x")}},
			[]string{"run/", "run/empty/", "run/sub/", "run/sub/x var/run/sub/x", "run/y -> sub/x", "var/", "var/run -> ../run"},
		},
		{
			"below another's link, both with the file", debtest.Package{Entries: entries{link("var/run", "/run"), file("run/x")}, Fields: "Replaces: bb\n"},
			debtest.Package{Entries: entries{file("var/run/x")}},
			[]string{"run/", "run/x run/x", "var/", "var/run -> ../run"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.a.Name, tt.b.Name = "aa", "bb"
			for _, order := range [][]debtest.Package{{tt.a, tt.b}, {tt.b, tt.a}} {
				dst, err := unpack(t, order...)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(tt.want, list(t, dst)); d != "" {
					t.Error(d)
				}
			}
		})
	}
}

// TestUnpackIsSafeAndDeterministic draws packages that get in each other's way as much as they can. Either they are refused, or
// they make the same tree in any order, and every link in it leads to somewhere in it.
func TestUnpackIsSafeAndDeterministic(t *testing.T) {
	base := t.TempDir()
	if err := os.WriteFile(filepath.Join(base, "secret"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		packages := drawPackages(rt)
		var hashes, errs []string
		for _, order := range [][]debtest.Package{packages, {packages[1], packages[0], packages[2]}, {packages[2], packages[1], packages[0]}} {
			n++
			dir := filepath.Join(base, fmt.Sprint(n))
			if err := os.Mkdir(dir, 0o755); err != nil {
				rt.Fatal(err)
			}
			dst := filepath.Join(dir, "root")
			err := tree.Unpack(t.Context(), dst, write(t, order...))
			if got, _ := os.ReadDir(dir); len(got) > 1 {
				rt.Fatalf("written outside of the tree: %v", got)
			}
			if err != nil {
				errs = append(errs, err.Error())
				continue
			}
			checkLinks(rt, dst)
			h, _, err := nar.HashPath(dst)
			if err != nil {
				rt.Fatal(err)
			}
			hashes = append(hashes, h.String())
		}
		if len(hashes) > 0 && len(errs) > 0 || len(slices.Compact(hashes)) > 1 {
			rt.Fatalf("not the same in every order: %v, errors %v", hashes, errs)
		}
	})
}

func drawPackages(t *rapid.T) []debtest.Package {
	segment := rapid.SampledFrom([]string{"a", "b", "usr", "bin", "lib"})
	name := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(segment, 1, 3).Draw(t, "path"), "/")
	})
	entry := rapid.Custom(func(t *rapid.T) tar.Header {
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			return debtest.Folder(name.Draw(t, "name"))
		case 1:
			up := rapid.SampledFrom([]string{"", "/", "../", "../../", "a/../../"}).Draw(t, "up")
			return debtest.Link(name.Draw(t, "name"), up+name.Draw(t, "target"))
		default:
			return debtest.File(name.Draw(t, "name"))
		}
	})
	list := make([]debtest.Package, 3)
	for i := range list {
		fields := rapid.SampledFrom([]string{"", "Replaces: aa\n", "Replaces: aa, bb, cc\n"}).Draw(t, "fields")
		list[i] = debtest.Package{Name: []string{"aa", "bb", "cc"}[i], Fields: fields, Entries: rapid.SliceOfN(entry, 0, 3).Draw(t, "entries")}
	}
	return list
}

// checkLinks follows every link of a tree a folder at a time, as the kernel does, and sees to it that it stays inside.
func checkLinks(t interface{ Fatalf(string, ...any) }, dst string) {
	err := filepath.WalkDir(dst, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.Type() != fs.ModeSymlink {
			return err
		}
		target, err := os.Readlink(name)
		if err != nil {
			return err
		}
		at := filepath.Dir(name)
		for part := range strings.SplitSeq(target, "/") {
			at = filepath.Join(at, part)
			if real, err := filepath.EvalSymlinks(at); err == nil {
				at = real
			}
			if at != dst && !strings.HasPrefix(at, dst+"/") {
				t.Fatalf("link %s to %s leads to %s", name, target, at)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
}
