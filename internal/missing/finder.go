package missing

import (
	"bytes"
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"
)

// Packages that are named for one item at most. Where more have a file of that name in an unusual place, it is a coincidence.
const maxPackages = 4

// Finder finds the packages that have some items, in lists of the files that packages have.
type Finder struct {
	items []Item
	named map[string][]int // by a file's name: the items that it may be
	hits  []hits           // by item
}

// hits are packages by how unusual the place is where they have an item; 0 is where every tool looks.
type hits map[int]map[string]bool

// NewFinder makes a Finder of items.
func NewFinder(items []Item) *Finder {
	f := &Finder{items: items, named: map[string][]int{}, hits: make([]hits, len(items))}
	for i, item := range items {
		f.hits[i] = hits{}
		for _, name := range item.files() {
			f.named[name] = append(f.named[name], i)
		}
	}
	return f
}

// files are the names that a file may have which is the item.
func (i Item) files() []string {
	lower := strings.ToLower(i.Name)
	switch i.Kind {
	case Library:
		return []string{"lib" + i.Name + ".so", "lib" + i.Name + ".a"}
	case PkgConfig:
		return []string{i.Name + ".pc"}
	case CMake:
		// CMake's own modules look for what is there without CMake: they say a library's name in a spelling of their own.
		names := []string{i.Name + "Config.cmake", lower + "-config.cmake", lower + ".pc", "lib" + lower + ".pc", lower + ".so", "lib" + lower + ".so", lower}
		slices.Sort(names)
		return slices.Compact(names)
	}
	return []string{path.Base(i.Name)}
}

// Add takes a file (without a leading slash) and the packages that have it, as Debian's Contents lists them:
// "libdevel/libssl-dev,libdevel/other-dev".
func (f *Finder) Add(file, packages []byte) {
	for _, i := range f.named[string(file[bytes.LastIndexByte(file, '/')+1:])] {
		at, ok := f.items[i].place(merged(string(file)))
		if !ok {
			continue
		}
		for p := range strings.SplitSeq(string(packages), ",") {
			section, name := path.Split(p)
			// What npm has is locked with the component's other dependencies, and not taken from a distribution.
			if name == "" || path.Base(section) == "javascript" {
				continue
			}
			if f.hits[i][at] == nil {
				f.hits[i][at] = map[string]bool{}
			}
			f.hits[i][at][name] = true
		}
	}
}

// merged is a path where /bin, /sbin and /lib* are in /usr.
func merged(file string) string {
	for _, top := range []string{"bin/", "sbin/", "lib/", "lib64/"} {
		if strings.HasPrefix(file, top) {
			return "usr/" + file
		}
	}
	return file
}

const (
	libraries = "usr/lib/x86_64-linux-gnu"
	headers   = "usr/include"
)

// place says how unusual the place of a file is for the item, or that it is none where a tool could find it.
func (i Item) place(file string) (int, bool) {
	dir, name := path.Split(file)
	dir = strings.TrimSuffix(dir, "/")
	switch {
	case i.Kind == File:
		return 0, file == merged(strings.TrimPrefix(i.Name, "/"))
	case i.Kind == Header:
		return headerPlace(file, i.Name)
	case i.Kind == Program:
		return programPlace(dir)
	case i.Kind == PkgConfig || path.Ext(name) == ".pc":
		return 0, slices.Contains([]string{libraries + "/pkgconfig", "usr/lib/pkgconfig", "usr/share/pkgconfig"}, dir)
	case path.Ext(name) == ".cmake":
		return 0, strings.HasPrefix(dir, "usr/lib/") || strings.HasPrefix(dir, "usr/share/")
	case i.Kind == CMake && !strings.HasSuffix(name, ".so"):
		at, ok := programPlace(dir)
		return at + 2, ok
	case i.Kind == CMake:
		at, ok := libraryPlace(dir)
		return at + 1, ok
	}
	return libraryPlace(dir)
}

// headerPlace: many packages have their headers in a folder, which pkg-config tells or one has to know.
func headerPlace(file, name string) (int, bool) {
	rest, ok := strings.CutSuffix("/"+file, "/"+name)
	if !ok {
		return 0, false
	}
	dir := strings.TrimPrefix(rest, "/")
	switch {
	case dir == headers, dir == headers+"/x86_64-linux-gnu":
		return 0, true
	case strings.HasPrefix(dir, headers+"/"):
		return strings.Count(strings.TrimPrefix(strings.TrimPrefix(dir, headers), "/x86_64-linux-gnu"), "/"), true
	case strings.HasPrefix(dir, libraries+"/") && path.Base(dir) == "include":
		return 2, true // what depends on the architecture
	}
	return 0, false
}

func programPlace(dir string) (int, bool) {
	switch dir {
	case "usr/bin", "usr/sbin", "usr/games":
		return 0, true
	}
	return 1, strings.HasPrefix(dir, "usr/lib/jvm/") && path.Base(dir) == "bin"
}

func libraryPlace(dir string) (int, bool) {
	switch {
	case dir == libraries, dir == "usr/lib", dir == "usr/lib64":
		return 0, true
	case path.Dir(dir) == libraries, path.Dir(dir) == "usr/lib/gcc/x86_64-linux-gnu":
		return 1, true
	}
	return 1, strings.HasPrefix(dir, "usr/lib/llvm-") && path.Base(dir) == "lib"
}

// Sure tells whether each item was found where every tool looks: more lists would add nothing.
func (f *Finder) Sure() bool {
	for _, h := range f.hits {
		if len(h[0]) == 0 {
			return false
		}
	}
	return true
}

// Packages are those that have the item in the most usual place, the best choice first. There are none where nothing has it, or so
// many that it says nothing.
func (f *Finder) Packages(item Item) []string {
	i := slices.Index(f.items, item)
	if i < 0 || len(f.hits[i]) == 0 {
		return nil
	}
	at := slices.Min(slices.Collect(maps.Keys(f.hits[i])))
	list := slices.Collect(maps.Keys(f.hits[i][at]))
	if kept := slices.DeleteFunc(slices.Clone(list), unlikely); len(kept) > 0 {
		list = kept
	}
	slices.SortFunc(list, func(a, b string) int {
		return cmp.Or(cmp.Compare(item.order(a), item.order(b)), cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	})
	if at > 0 && len(list) > maxPackages {
		return nil
	}
	return list[:min(len(list), maxPackages)]
}

// unlikely says of a package that it has the file for another purpose than to build with.
func unlikely(pkg string) bool {
	return strings.HasSuffix(pkg, "-dbg") || strings.HasSuffix(pkg, "-dbgsym") || strings.HasSuffix(pkg, "-cross") || strings.HasSuffix(pkg, "-udeb")
}

// order puts first what one builds with, or what is named like the program.
func (i Item) order(pkg string) int {
	switch {
	case i.Kind == Program && pkg == i.Name:
		return 0
	case i.Kind == Program, i.Kind == Object, i.Kind == File:
		return 1
	case strings.HasSuffix(pkg, "-dev"):
		return 0
	}
	return 1
}
