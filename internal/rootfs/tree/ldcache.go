package tree

import (
	"bytes"
	"cmp"
	"context"
	"debug/elf"
	"encoding/binary"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// maxIncludes is how deep ld.so.conf may include other files.
const maxIncludes = 8

// loaderCache writes /etc/ld.so.cache, which tells the loader, and programs that ask "ldconfig -p", where libraries are.
func loaderCache(_ context.Context, r root, _ []*unpacked) error {
	dirs := loaderDirs(r, "etc/ld.so.conf", 0)
	dirs = append(dirs, "usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/lib")
	libs := map[string]string{} // path by name
	seen := map[string]bool{}
	for _, dir := range dirs {
		real, err := r.real(dir + "/x")
		if err != nil || seen[path.Dir(real)] {
			continue // not there, or there by another name
		}
		seen[path.Dir(real)] = true
		if err := addLibraries(r, path.Dir(real), libs); err != nil {
			return err
		}
	}
	if len(libs) == 0 {
		return nil
	}
	return r.write("etc/ld.so.cache", encodeCache(libs))
}

// loaderDirs reads ld.so.conf. (ldconfig(8).)
func loaderDirs(r root, file string, depth int) []string {
	data, err := r.read(file)
	if err != nil || depth > maxIncludes {
		return nil
	}
	var dirs []string
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		switch {
		case len(f) == 2 && f[0] == "include":
			pattern, ok := treePath(path.Join("/etc", f[1]))
			if path.IsAbs(f[1]) {
				pattern, ok = treePath(f[1])
			}
			if !ok {
				continue
			}
			for _, name := range r.glob(pattern) {
				dirs = append(dirs, loaderDirs(r, name, depth+1)...)
			}
		case len(f) == 1:
			if dir, ok := treePath(f[0]); ok {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs
}

// glob lists the names that match a pattern in its last element, sorted.
func (r root) glob(pattern string) []string {
	entries, err := os.ReadDir(r.at(path.Dir(pattern)))
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if ok, err := path.Match(path.Base(pattern), e.Name()); ok && err == nil {
			names = append(names, path.Join(path.Dir(pattern), e.Name()))
		}
	}
	return names
}

// addLibraries adds a folder's libraries under the names that programs ask for: a library's own (its SONAME), and those
// of links to it. What an earlier folder has stays.
func addLibraries(r root, dir string, libs map[string]string) error {
	entries, err := os.ReadDir(r.at(dir))
	if err != nil {
		return err
	}
	sonames := map[string]string{} // by real path
	for _, e := range entries {
		name := e.Name()
		if !strings.Contains(name, ".so") || !strings.HasPrefix(name, "lib") && !strings.HasPrefix(name, "ld-") || libs[name] != "" {
			continue
		}
		real, err := filepath.EvalSymlinks(r.at(path.Join(dir, name)))
		if err != nil {
			continue // a link that leads nowhere
		}
		soname, known := sonames[real]
		if !known {
			soname = readSoname(real)
			sonames[real] = soname
		}
		if soname != "" && (soname == name || e.Type()&os.ModeSymlink != 0) {
			libs[name] = "/" + path.Join(dir, name)
		}
	}
	return nil
}

// readSoname is the name of a library for x86-64, "" if the file is none.
func readSoname(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	var magic [4]byte
	if _, err := f.ReadAt(magic[:], 0); err != nil || string(magic[:]) != elf.ELFMAG {
		return "" // a linker script, often
	}
	lib, err := elf.NewFile(f)
	if err != nil || lib.Class != elf.ELFCLASS64 || lib.Machine != elf.EM_X86_64 || lib.Type != elf.ET_DYN {
		return ""
	}
	names, err := lib.DynString(elf.DT_SONAME)
	if err != nil || len(names) == 0 || names[0] == "" {
		return path.Base(filepath.ToSlash(file))
	}
	return names[0]
}

// encodeCache writes the format that glibc's loader reads since 2.2, alone and without extensions: a header, an entry for
// each library, the latest name first, and the strings that they point to. (glibc, sysdeps/generic/dl-cache.h.)
func encodeCache(libs map[string]string) []byte {
	const (
		headerSize, entrySize = 48, 24
		x8664                 = 0x0303 // a library of the GNU C library for x86-64
		littleEndian          = 2
	)
	var names []string
	for name := range libs {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(-compareLibraries(a, b), cmp.Compare(a, b)) })
	var head, text bytes.Buffer
	place := func(s string) uint32 {
		at := headerSize + entrySize*len(names) + text.Len()
		text.WriteString(s)
		text.WriteByte(0)
		return uint32(at)
	}
	var entries []byte
	for _, name := range names {
		entries = binary.LittleEndian.AppendUint32(entries, x8664)
		entries = binary.LittleEndian.AppendUint32(entries, place(name))
		entries = binary.LittleEndian.AppendUint32(entries, place(libs[name]))
		entries = append(entries, make([]byte, 12)...) // system version and hardware capabilities: any
	}
	head.WriteString("glibc-ld.so.cache1.1")
	counts := binary.LittleEndian.AppendUint32(nil, uint32(len(names)))
	head.Write(binary.LittleEndian.AppendUint32(counts, uint32(text.Len())))
	head.Write(append([]byte{littleEndian}, make([]byte, 19)...))
	return slices.Concat(head.Bytes(), entries, text.Bytes())
}

// compareLibraries orders names as the loader's search has them: numbers in them by their value.
func compareLibraries(a, b string) int {
	for a != "" {
		switch {
		case digit(a) && digit(b):
			x, restA := number(a)
			y, restB := number(b)
			if x != y {
				return cmp.Compare(x, y)
			}
			a, b = restA, restB
		case digit(a):
			return 1
		case digit(b):
			return -1
		case b == "" || a[0] != b[0]:
			if b == "" {
				return 1
			}
			return cmp.Compare(a[0], b[0])
		default:
			a, b = a[1:], b[1:]
		}
	}
	if b == "" {
		return 0
	}
	return -1
}

func digit(s string) bool { return s != "" && '0' <= s[0] && s[0] <= '9' }

// number reads the digits that s begins with. It overflows as the loader's does.
func number(s string) (n int32, rest string) {
	for ; digit(s); s = s[1:] {
		n = n*10 + int32(s[0]-'0')
	}
	return n, s
}
