command -v cargo >/dev/null && command -v rustc >/dev/null || { echo "the root has no cargo or no rustc: add the packages cargo and rustc to the root's packages" >&2; exit 1; }
mkdir -p "$CARGO_HOME"
cp "$cargoConfigPath" "$CARGO_HOME/config.toml"
[ "$CORES" = 0 ] || export CARGO_BUILD_JOBS=$CORES
# WebAssembly is linked by Rust's own copy of lld, which a distribution may leave to its package of lld.
rustLld=$(rustc --print sysroot)/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld
[ -e "$rustLld" ] || command -v rust-lld >/dev/null || ! command -v lld >/dev/null || export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=lld
