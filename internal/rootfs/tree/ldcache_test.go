package tree_test

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/rootfs/debtest"
)

// library is a shared library for the machine that has nothing but a name.
func library(t *testing.T, machine elf.Machine, soname string) string {
	t.Helper()
	strs := "\x00" + soname + "\x00"
	var dynamic bytes.Buffer
	if soname != "" {
		put(t, &dynamic, []elf.Dyn64{{Tag: int64(elf.DT_SONAME), Val: 1}})
	}
	put(t, &dynamic, elf.Dyn64{})
	const head, section = 64, 64
	names := "\x00.dynstr\x00.dynamic\x00"
	at := uint64(head)
	sections := []elf.Section64{
		{},
		{Name: 1, Type: uint32(elf.SHT_STRTAB), Off: at, Size: uint64(len(strs)), Addralign: 1},
		{Name: 9, Type: uint32(elf.SHT_DYNAMIC), Off: at + uint64(len(strs)), Size: uint64(dynamic.Len()), Link: 1, Entsize: 16, Addralign: 8},
		{Name: 1, Type: uint32(elf.SHT_STRTAB), Off: at + uint64(len(strs)+dynamic.Len()), Size: uint64(len(names)), Addralign: 1},
	}
	var b bytes.Buffer
	put(t, &b, elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_DYN), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT), Ehsize: head,
		Shoff: at + uint64(len(strs)+dynamic.Len()+len(names)), Shentsize: section, Shnum: uint16(len(sections)), Shstrndx: 3,
	})
	b.WriteString(strs)
	b.Write(dynamic.Bytes())
	b.WriteString(names)
	put(t, &b, sections)
	return b.String()
}

func put(t *testing.T, b *bytes.Buffer, v any) {
	t.Helper()
	if err := binary.Write(b, binary.LittleEndian, v); err != nil {
		t.Fatal(err)
	}
}

// decodeCache reads a cache as glibc's loader does: entries of name and path, in their order.
func decodeCache(t *testing.T, data []byte) [][2]string {
	t.Helper()
	if !bytes.HasPrefix(data, []byte("glibc-ld.so.cache1.1")) {
		t.Fatalf("begins with %q", data[:min(len(data), 20)])
	}
	u32 := func(at int) int { return int(binary.LittleEndian.Uint32(data[at:])) }
	text := func(at int) string { return string(data[at : at+bytes.IndexByte(data[at:], 0)]) }
	n := u32(20)
	if want := 48 + 24*n + u32(24); want != len(data) {
		t.Fatalf("has %d bytes, its header says %d", len(data), want)
	}
	var list [][2]string
	for i := range n {
		at := 48 + 24*i
		if u32(at) != 0x303 {
			t.Errorf("entry %d has flags %x", i, u32(at))
		}
		list = append(list, [2]string{text(u32(at + 4)), text(u32(at + 8))})
	}
	return list
}

func TestLoaderCache(t *testing.T) {
	lib := "usr/lib/x86_64-linux-gnu/"
	content := map[string]string{
		"etc/ld.so.conf":                 "# comment\ninclude /etc/ld.so.conf.d/*.conf\ninclude ../../../../etc/shadow\ninclude /etc/ld.so.conf\n",
		"etc/ld.so.conf.d/b.conf":        "/usr/lib/x86_64-linux-gnu/late # more\n",
		"etc/ld.so.conf.d/a.conf":        "/opt/early\n/no/such/folder\n/lib/x86_64-linux-gnu\n",
		"etc/ld.so.conf.d/not-read":      "/opt/other\n",
		"opt/early/libx.so.1":            library(t, elf.EM_X86_64, "libx.so.1"),
		"opt/other/libother.so.1":        library(t, elf.EM_X86_64, "libother.so.1"),
		lib + "libx.so.1":                library(t, elf.EM_X86_64, "libx.so.1"),
		lib + "libz.so.1.3.1":            library(t, elf.EM_X86_64, "libz.so.1"),
		lib + "libz10.so.1":              library(t, elf.EM_X86_64, "libz10.so.1"),
		lib + "libz9.so.1":               library(t, elf.EM_X86_64, "libz9.so.1"),
		lib + "libplain.so":              library(t, elf.EM_X86_64, ""),
		lib + "libarm.so.1":              library(t, elf.EM_AARCH64, "libarm.so.1"),
		lib + "libscript.so":             "GROUP ( libz.so.1 )\n",
		lib + "libcut.so.1":              library(t, elf.EM_X86_64, "libcut.so.1")[:70],
		lib + "module.so":                library(t, elf.EM_X86_64, "module.so"),
		lib + "late/liblate.so.2":        library(t, elf.EM_X86_64, "liblate.so.2"),
		"usr/lib64/ld-linux-x86-64.so.2": library(t, elf.EM_X86_64, "ld-linux-x86-64.so.2"),
	}
	pkg := debtest.Package{Content: content, Entries: []tar.Header{
		debtest.Link(lib+"libz.so.1", "libz.so.1.3.1"), debtest.Link(lib+"libz.so", "libz.so.1.3.1"), debtest.Link(lib+"libgone.so.1", "libgone.so.1.0"),
		debtest.Link(lib+"libout.so.1", "/proc/self/exe"),
	}}
	for name := range content {
		pkg.Entries = append(pkg.Entries, debtest.File(name))
	}
	dst, err := unpack(t, pkg)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dst, "etc/ld.so.cache"))
	if err != nil {
		t.Fatal(err)
	}
	at := func(name, dir string) [2]string { return [2]string{name, dir + name} }
	want := [][2]string{
		at("libz10.so.1", "/"+lib), at("libz9.so.1", "/"+lib), at("libz.so.1", "/"+lib), at("libz.so", "/"+lib), at("libx.so.1", "/opt/early/"),
		at("libplain.so", "/"+lib), at("liblate.so.2", "/"+lib+"late/"), at("ld-linux-x86-64.so.2", "/usr/lib64/"),
	}
	if d := cmp.Diff(want, decodeCache(t, data)); d != "" {
		t.Error(d)
	}
}

func TestNoLoaderCacheWithoutLibraries(t *testing.T) {
	dst, err := unpack(t, debtest.Package{Entries: []tar.Header{debtest.File("usr/lib/x")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(dst, "etc/ld.so.cache")); err == nil {
		t.Error("there is one")
	}
}
