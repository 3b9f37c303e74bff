// Package rust locks and derives components of the Rust ecosystem, "rust" in a recipe.
//
// A component is built by the cargo and rustc of its root: the root's packages need cargo and rustc (and libstd-rust-dev-wasm32 and
// lld for WebAssembly). It becomes these nodes, each of which changes only with what it is made from:
//
//   - the crates: a vendor folder of the files that Cargo.lock names, each checked against its checksum;
//   - the compiled dependencies: of the crates, and of the workspace's manifests and lock without the versions of its own packages,
//     over sources that are empty. A release that changes its own code and its own version alone does not compile them again;
//   - for WebAssembly with bindings, wasm-bindgen of the version that Cargo.lock has, from its own lock;
//   - the component, which compiles its own packages alone.
//
// What is locked is every crate that Cargo.lock (format 3 or 4) names, whatever it is for: which of them a target needs, only the
// crates tell. Nothing is downloaded for it, since the checksums stand there. Crates of git repositories have none; the pinned commit
// is fetched by git, or taken as an archive from where the option git says.
//
// Options of a component:
//
//	packages             which of the workspace's packages are built; without, what cargo builds in the folder
//	bins                 which of their programs; without, all
//	lib                  true builds the library alone
//	features             features to turn on
//	all-features         true turns all on
//	no-default-features  true leaves the default ones out
//	profile              "release", which is the default, or another that the manifest has
//	target               "wasm32-unknown-unknown"; the default is what the root runs on
//	bindgen              with that target: "web", "bundler", "nodejs", "no-modules" or "deno"; wasm-bindgen then makes the folder pkg
//	bindgen-name         the name of the files in pkg; the default is the library's
//	git                  address of a git repository as Cargo.lock has it → address of an archive (.tar.gz) of it, in which {commit} is replaced
//
// Programs are bin/NAME in the output, WebAssembly modules wasm/NAME.wasm, and pkg is pkg; a recipe's own "output" adds to them, where
// the target folder is where cargo has it: target at the workspace's top. A recipe's own "build" commands take the place of
// "cargo build"; cargo asks nothing of the outside then either.
package rust
