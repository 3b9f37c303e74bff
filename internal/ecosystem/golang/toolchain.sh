# Unpacks a Go toolchain as the go command does (Go Toolchains, "Downloading toolchains"): the module's own folder is left out,
# nested go.mod files get their names back, and the commands can be run.
command -v unzip >/dev/null || { echo "the root has no unzip: add the package unzip to the root's packages" >&2; exit 1; }
unzip -q "$zip" -d "$out"
shopt -s dotglob
mv "$out"/golang.org/toolchain@*/* "$out"
rmdir "$out"/golang.org/* "$out"/golang.org
find "$out" -name _go.mod -execdir mv -n {} go.mod \;
chmod -R u+rwX,go-w,a+rX "$out"
chmod 0755 "$out"/bin/* "$out"/pkg/tool/*/*
"$out/bin/go" version
