package missing_test

import (
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/missing"
)

func items(list []missing.Item) (s []string) {
	for _, i := range list {
		s = append(s, string(i.Kind)+" "+i.Name)
	}
	return s
}

func TestRead(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"src/a.c:3:10: fatal error: foo/bar.h: No such file or directory", "header foo/bar.h"},
		{"\x1b[01m\x1b[Ka.c:1:10:\x1b[m\x1b[K \x1b[01;31m\x1b[Kfatal error: \x1b[m\x1b[Kfoo.h: No such file or directory\r", "header foo.h"},
		{"./wrapper.h:1:10: fatal error: 'foo/bar.hpp' file not found", "header foo/bar.hpp"},
		{"fatal error: ../outside.h: No such file or directory", ""},
		{"cc1: fatal error: main.c: No such file or directory", ""},
		{"gcc: fatal error: cannot execute ‘cc1plus’: execvp: No such file or directory", "program g++"},
		{"collect2: fatal error: cannot find 'ld'", "program ld"},
		{"/usr/bin/ld: cannot find -lfoo: No such file or directory", "library foo"},
		{"/usr/bin/ld: cannot find -lstdc++", "library stdc++"},
		{"ld: cannot find -l:libfoo.so.2", "object libfoo.so.2"},
		{"/usr/bin/ld: cannot find Scrt1.o: No such file or directory", "object Scrt1.o"},
		{"/usr/bin/ld: warning: libbar.so.1, needed by /usr/lib/libfoo.so, not found (try using -rpath or -rpath-link)", "object libbar.so.1"},
		{"ld.lld: error: unable to find library -lfoo", "library foo"},
		{"mold: fatal: library not found: foo", "library foo"},
		{"error: could not find native static library `foo`, perhaps an -L flag is missing?", "library foo"},
		{"./x: error while loading shared libraries: libfoo.so.1: cannot open shared object file: No such file or directory", "object libfoo.so.1"},
		{"ImportError: libfoo-2.0.so.0: cannot open shared object file: No such file or directory", "object libfoo-2.0.so.0"},
		{"Unable to find libclang: \"couldn't find any valid shared libraries matching: ['libclang.so', 'libclang-*.so']\"", "library clang"},
		{"No package 'foo-2.0' found", "pkg-config foo-2.0"},
		{"Package foo was not found in the pkg-config search path.", "pkg-config foo"},
		{"Package 'foo', required by 'virtual:world', not found", "pkg-config foo"},
		{"Package 'foo' not found", "pkg-config foo"},
		{"The system library `foo` required by crate `foo-sys` was not found.", "pkg-config foo"},
		{"The file `foo.pc` needs to be installed and the PKG_CONFIG_PATH environment variable must contain its parent directory.", "pkg-config foo"},
		{`meson.build:8:6: ERROR: Dependency "foo" not found, tried pkgconfig and cmake`, "pkg-config foo"},
		{"Could not find directory of OpenSSL installation, and this `-sys` crate cannot", "pkg-config openssl"},
		{"The pkg-config command could not be found.", "program pkg-config"},
		{"  Could NOT find FOO (missing: FOO_LIBRARY FOO_INCLUDE_DIR)", "cmake FOO"},
		{"-- Could NOT find FOO (missing: FOO_LIBRARY FOO_INCLUDE_DIR)", ""},
		{"  Could NOT find PkgConfig (missing: PKG_CONFIG_EXECUTABLE)", "program pkg-config"},
		{`  Could not find a package configuration file provided by "Foo" with any of`, "cmake Foo"},
		{`CMake Error: CMake was unable to find a build program corresponding to "Ninja".`, "program ninja"},
		{"  No CMAKE_CXX_COMPILER could be found.", "program g++"},
		{"configure: error: no acceptable C compiler found in $PATH", "program gcc"},
		{"meson.build:1:0: ERROR: Unknown compiler(s): [['cc'], ['gcc'], ['clang']]", "program gcc"},
		{`../meson.build:4:8: ERROR: Program 'foo' not found or not executable`, "program foo"},
		{`cgo: C compiler "gcc" not found: exec: "gcc": executable file not found in $PATH`, "program gcc"},
		{"error: linker `cc` not found", "program gcc"},
		{"  Failed to find tool. Is `c++` installed?", "program g++"},
		{"is `cmake` not installed?", "program cmake"},
		{"error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory", "program gcc"},
		{"FileNotFoundError: [Errno 2] No such file or directory: 'cmake'", "program cmake"},
		{"FileNotFoundError: [Errno 2] No such file or directory: 'README.md'", ""},
		{"Error: spawn foo ENOENT", "program foo"},
		{"gyp ERR! stack Error: not found: make", "program make"},
		{"Error: pg_config executable not found.", "program pg_config"},
		{"OSError: foo_config not found", "program foo_config"},
		{"configure: error: foo-config not found", "program foo-config"},
		{"__main__.ConfigurationError: Could not run curl-config: [Errno 2] No such file or directory", "program curl-config"},
		{"/build/.attr: line 7: foo: command not found", "program foo"},
		{"/bin/sh: 1: foo: not found", "program foo"},
		{"sh: foo: not found", "program foo"},
		{"./configure: line 12: /usr/bin/foo: No such file or directory", ""},
		{"/bin/sh: 1: /usr/bin/foo: not found", "file /usr/bin/foo"},
		{"./build.sh: 3: node_modules/.bin/foo: not found", ""},
		{"GET /a: HTTP 404: page: not found", ""},
		{"bash: ./x.pl: /usr/bin/perl: bad interpreter: No such file or directory", "file /usr/bin/perl"},
		{"/usr/bin/env: ‘foo’: No such file or directory", "program foo"},
		{"make[2]: foo: No such file or directory", "program foo"},
		{"make: *** No rule to make target 'foo'.  Stop.", ""},
		{"ModuleNotFoundError: No module named 'foo'", ""},
	} {
		if got := strings.Join(items(missing.Read([]string{tt.line})), " "); got != tt.want {
			t.Errorf("%s\n  got %q, want %q", tt.line, got, tt.want)
		}
	}
	got := items(missing.Read([]string{"sh: a: not found", "ld: cannot find -lb", "something else", "sh: a: not found"}))
	if diff := cmp.Diff([]string{"library b", "program a"}, got); diff != "" {
		t.Errorf("several: %s", diff)
	}
	if got := missing.Read([]string{"", "all is well"}); got != nil {
		t.Errorf("nothing is missing, and yet: %v", got)
	}
}

// contents is what a suite's packages have, as Contents lists it.
const contents = `
bin/mv                                          utils/coreutils
usr/aarch64-linux-gnu/include/stdio.h           libdevel/libc6-dev-arm64-cross
usr/bin/apg                                     misc/apg,misc/apg-tools
usr/bin/foo-config                              libdevel/libfoo-dev
usr/bin/tsc                                     javascript/node-typescript
usr/include/acme/json.hpp                       libdevel/libacme-dev
usr/include/curl/curl.h                         libdevel/libcurl4-openssl-dev,libdevel/libcurl4-gnutls-dev
usr/include/json.hpp                            libdevel/json-dev
usr/include/kv/client/db.h                      libdevel/libkv-dev
usr/include/p1/config.h                         libdevel/p1-dev
usr/include/p2/config.h                         libdevel/p2-dev
usr/include/p3/config.h                         libdevel/p3-dev
usr/include/p4/config.h                         libdevel/p4-dev
usr/include/p5/config.h                         libdevel/p5-dev
usr/include/python3.13/Python.h                 libdevel/libpython3.13-dev
usr/include/python3.13d/Python.h                debug/libpython3.13-dbg
usr/include/stdio.h                             libdevel/libc6-dev
usr/include/x86_64-linux-gnu/ffi.h              libdevel/libffi-dev
usr/lib/jvm/java-21-openjdk-amd64/bin/javac     java/openjdk-21-jdk-headless
usr/lib/llvm-19/lib/libclang.so                 libdevel/libclang-19-dev
usr/lib/x86_64-linux-gnu/Scrt1.o                libdevel/libc6-dev
usr/lib/x86_64-linux-gnu/cmake/foo/FooConfig.cmake libdevel/libfoo-dev
usr/lib/x86_64-linux-gnu/glib/include/arch.h    libdevel/libg-dev
usr/lib/x86_64-linux-gnu/genwqe/libz.so         libdevel/libzadc-dev
usr/lib/x86_64-linux-gnu/libz.so                libdevel/zlib1g-dev
usr/lib/x86_64-linux-gnu/libz.so.1              libs/zlib1g
usr/lib/x86_64-linux-gnu/pkgconfig/zlib.pc      libdevel/zlib1g-dev
usr/share/doc/x/zlib.pc                         doc/x
usr/src/linux/include/linux/zlib.h              kernel/linux-headers
`

func TestFinder(t *testing.T) {
	for _, tt := range []struct {
		item missing.Item
		want string
		sure bool
	}{
		{missing.Item{Kind: missing.Header, Name: "stdio.h"}, "libc6-dev", true},
		{missing.Item{Kind: missing.Header, Name: "ffi.h"}, "libffi-dev", true},
		{missing.Item{Kind: missing.Header, Name: "curl/curl.h"}, "libcurl4-gnutls-dev libcurl4-openssl-dev", true},
		{missing.Item{Kind: missing.Header, Name: "json.hpp"}, "json-dev", true},
		{missing.Item{Kind: missing.Header, Name: "Python.h"}, "libpython3.13-dev", false},
		{missing.Item{Kind: missing.Header, Name: "client/db.h"}, "libkv-dev", false},
		{missing.Item{Kind: missing.Header, Name: "arch.h"}, "libg-dev", false},
		{missing.Item{Kind: missing.Header, Name: "config.h"}, "", false},
		{missing.Item{Kind: missing.Header, Name: "zlib.h"}, "", false},
		{missing.Item{Kind: missing.Header, Name: "b.h"}, "", false},
		{missing.Item{Kind: missing.Library, Name: "z"}, "zlib1g-dev", true},
		{missing.Item{Kind: missing.Library, Name: "clang"}, "libclang-19-dev", false},
		{missing.Item{Kind: missing.Object, Name: "libz.so.1"}, "zlib1g", true},
		{missing.Item{Kind: missing.Object, Name: "Scrt1.o"}, "libc6-dev", true},
		{missing.Item{Kind: missing.Program, Name: "foo-config"}, "libfoo-dev", true},
		{missing.Item{Kind: missing.Program, Name: "apg"}, "apg apg-tools", true},
		{missing.Item{Kind: missing.Program, Name: "javac"}, "openjdk-21-jdk-headless", false},
		{missing.Item{Kind: missing.Program, Name: "tsc"}, "", false},
		{missing.Item{Kind: missing.PkgConfig, Name: "zlib"}, "zlib1g-dev", true},
		{missing.Item{Kind: missing.CMake, Name: "Foo"}, "libfoo-dev", true},
		{missing.Item{Kind: missing.CMake, Name: "ZLIB"}, "zlib1g-dev", true},
		{missing.Item{Kind: missing.CMake, Name: "Z"}, "zlib1g-dev", false},
		{missing.Item{Kind: missing.CMake, Name: "APG"}, "apg apg-tools", false},
		{missing.Item{Kind: missing.File, Name: "/usr/bin/mv"}, "coreutils", true},
	} {
		f := missing.NewFinder([]missing.Item{tt.item})
		for line := range strings.Lines(contents) {
			if w := strings.Fields(line); len(w) == 2 {
				f.Add([]byte(w[0]), []byte(w[1]))
			}
		}
		if got := strings.Join(f.Packages(tt.item), " "); got != tt.want || f.Sure() != tt.sure {
			t.Errorf("%s: %q, sure: %t; want %q, %t", tt.item, got, f.Sure(), tt.want, tt.sure)
		}
		if got := f.Packages(missing.Item{Kind: missing.Program, Name: "other"}); got != nil {
			t.Errorf("what was not asked for is in %q", got)
		}
	}
}

// A log is whatever a build printed: what is read of it can be shown, and looked up.
func FuzzRead(f *testing.F) {
	f.Add("a.c:1:1: fatal error: foo/bar.h: No such file or directory", "usr/include/foo/bar.h", "libdevel/libfoo-dev,x")
	f.Add("\x1b[1mld: cannot find -lfoo\x1b[", "lib/libfoo.so", ",,")
	f.Add("/bin/sh: 1: /usr/bin/x: not found", "usr/bin/x", "a")
	f.Fuzz(func(t *testing.T, log, file, packages string) {
		items := missing.Read(strings.Split(log, "\n"))
		finder := missing.NewFinder(items)
		finder.Add([]byte(file), []byte(packages))
		for _, i := range items {
			if i.Name == "" || len(i.Name) > 200 || strings.ContainsFunc(i.String(), func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("item %q", i)
			}
			for _, p := range finder.Packages(i) {
				if !strings.Contains(packages, p) || p != path.Base(p) {
					t.Errorf("%s is in %q", i, p)
				}
			}
		}
	})
}
