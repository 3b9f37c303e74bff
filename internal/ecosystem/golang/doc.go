// Package golang locks and derives components of the Go ecosystem, "go" in a recipe.
//
// A component is built by the exact Go that the recipe's toolchains name ("go: 1.26.8"), which is the Go proxy's module
// golang.org/toolchain. It becomes these nodes, each of which changes only with what it is made from:
//
//   - the toolchain, unpacked; the root needs the package unzip for it;
//   - the compiled standard library: of the toolchain, the C compiler and the flags;
//   - the module cache: of the files that go.sum names;
//   - the compiled dependencies: of go.mod, go.sum and the set of packages of other modules that the component imports;
//   - the build cache, which is links to all that is compiled;
//   - the component, which compiles its own packages alone.
//
// What is locked is every module zip and every go.mod that go.sum (and go.work.sum) names, each checked against its sum. Go
// asks for some of them only to tell that an import is not ambiguous, so which ones a build needs is Go's to say; leaving one
// out would save a download and could fail a build. A vendor folder takes the place of all of them. Where the recipe has other bytes in
// a module's place, the lock has their sum, and builds see it in the go.sum files. Where it has another version, builds see that in go.mod
// and go.work too: what the version requires beyond go.sum has to be replaced as well.
//
// The component's source is parsed for imports under the component's build constraints. Packages that exist only during the
// build, such as a generated client laid in by "uses", cannot be parsed: what they import and nothing else does is compiled
// with the component, unless the option imports names it. A profile (default.pgo) has the dependencies compiled with it, and
// so with the component.
//
// Options of a component:
//
//	packages  what is built: ".", "./cmd/server", "./cmd/...", or an import path. Needed unless the folder itself is a main
//	          package or the recipe has build commands
//	tags      build tags
//	ldflags   for the linker, as "go build -ldflags" takes them
//	cgo       true lets Go call the root's C compiler; the default is false, which gives binaries that need no C library
//	imports   further import paths to compile with the dependencies
//	vendor    false leaves a vendor folder unused; the default is to use it where there is one
//
// Binaries are bin/NAME in the output; a recipe's own "output" adds to them. A recipe's own "build" commands take the place
// of "go build" and find GOFLAGS set. The recipe may set Go's environment except for what this package sets.
package golang
