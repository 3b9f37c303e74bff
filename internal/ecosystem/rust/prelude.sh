command -v cargo >/dev/null && command -v rustc >/dev/null || { echo "the root has no cargo or no rustc: add the packages cargo and rustc to the root's packages" >&2; exit 1; }
mkdir -p "$CARGO_HOME"
cp "$cargoConfigPath" "$CARGO_HOME/config.toml"
[ "$CORES" = 0 ] || export CARGO_BUILD_JOBS=$CORES
