# Builds wasm-bindgen's program out of its own crate, with what its own lock names.
mkdir tool
tar -xzf "$crate" --no-same-owner --no-same-permissions --strip-components=1 -C tool
cd tool
cargo build --locked --release --bin wasm-bindgen
mkdir "$out/bin"
cp target/release/wasm-bindgen "$out/bin/"
