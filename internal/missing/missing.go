// Package missing reads out of a failed build's log what the build did not find (a header, a library, a program), and which of
// a distribution's packages have it. It does no I/O.
//
//	items := missing.Read(failed.Log)
//	finder := missing.NewFinder(items)
//	resolver.Search(ctx, suites, finder.Add, finder.Sure)
//	packages := finder.Packages(items[0])
package missing

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// Kind says what is missing, and so where it would be.
type Kind string

// The kinds.
const (
	Header    Kind = "header"     // "openssl/ssl.h", as the compiler was told
	Library   Kind = "library"    // "ssl", of -lssl
	Object    Kind = "object"     // "libssl.so.3", "crt1.o": a file that the linker or the loader looks for
	Program   Kind = "program"    // "gcc"
	PkgConfig Kind = "pkg-config" // "openssl", of openssl.pc
	CMake     Kind = "cmake"      // "OpenSSL", of find_package
	File      Kind = "file"       // an absolute path
)

// Item is one thing that a build did not find.
type Item struct {
	Kind Kind
	Name string
}

// String is the item as a person would look for it: "openssl/ssl.h", "libssl.so", "gcc".
func (i Item) String() string {
	switch i.Kind {
	case Library:
		return "lib" + i.Name + ".so"
	case PkgConfig:
		return i.Name + ".pc"
	case CMake:
		return "CMake's package " + i.Name
	}
	return i.Name
}

const (
	maxItems = 12      // more is no lack of a package, but of an idea
	maxLine  = 4 << 10 // bytes; the rest of a longer line is not looked at
	maxName  = 200     // bytes
)

// Read lists what the lines of a log say is missing, in their order, each once; the last of them where there are many.
func Read(log []string) []Item {
	all := rules()
	var items []Item
	for _, line := range log {
		line = plain(line)
		if strings.Contains(line, "-- Could NOT find") {
			continue // CMake says so of what it can do without, too; where it cannot, it says it again
		}
		for _, r := range all {
			if item, ok := r.item(line); ok {
				items = append(slices.DeleteFunc(items, func(old Item) bool { return old == item }), item)
				break
			}
		}
	}
	return items[max(0, len(items)-maxItems):]
}

// plain is a line without what steers a terminal, and with one kind of quote.
func plain(line string) string {
	if len(line) > maxLine {
		line = line[:maxLine]
	}
	line = strings.NewReplacer("‘", "'", "’", "'", "`", "'", `"`, "'").Replace(line)
	if strings.Contains(line, "\x1b") {
		line = escapes().ReplaceAllString(line, "")
	}
	return strings.TrimRight(line, " \t\r")
}

// rule recognises a line by its first group, or by itself alone where it has a fixed name.
type rule struct {
	kind  Kind
	re    *regexp.Regexp
	fixed string
}

func (r rule) item(line string) (Item, bool) {
	m := r.re.FindStringSubmatch(line)
	if m == nil {
		return Item{}, false
	}
	name := r.fixed
	if name == "" {
		name = m[1]
	}
	if r.kind == Header && slices.Contains([]string{".c", ".cc", ".cpp", ".cxx", ".s", ".S"}, path.Ext(name)) {
		return Item{}, false // a source file: of the component's own
	}
	item := Item{r.kind, name}
	switch {
	case path.IsAbs(name):
		item = Item{File, path.Clean(name)}
	case r.kind == Program:
		item.Name = program(name)
	case r.kind == CMake && name == "PkgConfig":
		item = Item{Program, "pkg-config"}
	}
	return item, len(name) <= maxName && !strings.Contains(name, "..")
}

// program is the name by which a package has a program. What Debian's alternatives provide is in no package by that name.
func program(name string) string {
	if own, ok := strings.CutPrefix(name, "x86_64-linux-gnu-"); ok {
		name = own
	}
	switch name {
	case "cc":
		return "gcc"
	case "c++", "cc1plus":
		return "g++"
	case "yacc":
		return "bison"
	case "Ninja":
		return "ninja"
	case "Unix Makefiles":
		return "make"
	}
	return name
}
