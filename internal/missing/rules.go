package missing

import "regexp"

// escapes are the sequences that colour a terminal's text (ECMA-48, "control sequences").
func escapes() *regexp.Regexp { return regexp.MustCompile("\x1b\\[[0-9;?]*[ -/]*[@-~]") }

// rules are what tools say when they do not find something, each after the tool that says it. Quotes are single ones, see plain.
// The first that fits a line counts.
func rules() []rule {
	const (
		word    = `(\w[\w.+-]*)`
		program = `(\w[\w.+-]*|/(?:usr/)?s?bin/[\w.+/-]+)`
		shared  = `(lib[\w.+-]+\.so(?:\.\d+)*)`
	)
	named := func(kind Kind, pattern string) rule { return rule{kind: kind, re: regexp.MustCompile(pattern)} }
	fixed := func(kind Kind, name, pattern string) rule {
		r := named(kind, pattern)
		r.fixed = name
		return r
	}
	return []rule{
		// compilers
		named(Header, `fatal error: '?([\w./+@-]*\w)'?(?:: No such file or directory| file not found)`), // gcc, clang
		named(Program, `cannot execute '(\w+)': execvp: No such file`),                                  // gcc without g++
		named(Program, `fatal error: cannot find '(\w+)'`),                                              // gcc without binutils
		fixed(Library, "clang", `Unable to find libclang`),                                              // bindgen
		// linkers and loaders
		named(Object, `cannot find -l:([\w.+-]+)`),                            // GNU ld
		named(Library, `cannot find -l([\w.+-]+)`),                            // GNU ld
		named(Library, `unable to find library -l([\w.+-]+)`),                 // lld
		named(Library, `fatal: library not found: ([\w.+-]+)`),                // mold
		named(Library, `could not find native static library '([\w.+-]+)'`),   // rustc
		named(Object, `cannot find (\w*crt\w*\.o|lib[\w.+-]+\.so(?:\.\d+)*)`), // GNU ld
		named(Object, shared+`, needed by .*, not found`),                     // GNU ld
		named(Object, shared+`: cannot open shared object file`),              // glibc
		// pkg-config and what asks it
		named(PkgConfig, `No package '([\w.+-]+)' found`),
		named(PkgConfig, `Package '?([\w.+-]+)'? was not found in the pkg-config search path`),
		named(PkgConfig, `Package '([\w.+-]+)',? (?:required by '[^']*',? )?not found`),     // pkgconf
		named(PkgConfig, `system library '([\w.+-]+)' required by crate`),                   // Rust's pkg-config
		named(PkgConfig, `file '([\w.+-]+)\.pc' needs to be installed`),                     // Rust's pkg-config
		named(PkgConfig, `ERROR: Dependency '([\w.+-]+)' not found`),                        // meson
		named(PkgConfig, `Dependency lookup for ([\w.+-]+) with method 'pkgconfig' failed`), // meson
		fixed(PkgConfig, "openssl", `Could not find directory of OpenSSL installation`),     // Rust's openssl
		fixed(Program, "pkg-config", `pkg-config command could not be found`),               // Rust's pkg-config
		// CMake
		named(CMake, `Could NOT find ([\w.+-]+)`),
		named(CMake, `package configuration file provided by '([\w.+-]+)'`),
		named(Program, `build program corresponding to '(Ninja|Unix Makefiles)'`),
		fixed(Program, "gcc", `No CMAKE_C_COMPILER could be found`),
		fixed(Program, "g++", `No CMAKE_CXX_COMPILER could be found`),
		// other tools that look for tools
		fixed(Program, "gcc", `no acceptable C compiler found`),                    // autoconf
		named(Program, `Unknown compiler\(s\): \[\['`+word+`'`),                    // meson
		named(Program, `ERROR: Program '`+word+`' not found`),                      // meson
		named(Program, `exec: '`+program+`': executable file not found in \$PATH`), // Go
		named(Program, `linker '`+word+`' not found`),                              // rustc
		named(Program, `failed to find tool '`+word+`'`),                           // Rust's cc
		named(Program, `[Ii]s '`+word+`' (?:not )?installed\?`),                    // Rust's cc and cmake
		named(Program, `error: command '`+program+`' failed: No such file`),        // setuptools
		named(Program, `unable to execute '`+program+`'`),                          // distutils
		named(Program, `No such file or directory: '([a-z][\w+-]*)'$`),             // Python's subprocess
		named(Program, `spawn `+program+` ENOENT`),                                 // Node.js
		named(Program, `Error: not found: `+word+`$`),                              // node-gyp
		fixed(Program, "python3", `Could not find any Python installation to use`), // node-gyp
		named(Program, `\b(\w[\w.+-]*[-_]config)'?(?: executable)? (?:was )?not found`),
		named(Program, `[Cc]ould not (?:find|run) '?(\w[\w.+-]*[-_]config)\b`),
		// shells
		named(Program, `: `+program+`: [Cc]ommand not found$`),
		named(Program, `command not found: `+program+`$`),
		named(Program, `\S: (?:line )?\d+: `+program+`: not found$`),
		named(Program, `\bsh: `+program+`: not found$`),
		named(Program, program+`: bad interpreter: No such file or directory`),
		named(Program, `\benv: '?`+program+`'?: No such file or directory$`),
		named(Program, `\bmake(?:\[\d+\])?: `+program+`: No such file or directory$`),
	}
}
