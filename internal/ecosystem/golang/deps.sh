# Compiles the packages of other modules that the component imports, and what they import. The standard library is linked into
# the build cache, see cache.sh.
export GOCACHE=$out
cp -rs --no-preserve=mode "$std/." "$GOCACHE/"
printf %s "$EPOCHSECONDS" >"$GOCACHE/trim.txt" # else its old entries would be dropped
mkdir -p "$dir"
cd "$dir"
while IFS=$'\t' read -r folder module; do
  # This module comes into being before the component is built; its requirements are in the main module's go.mod as well.
  mkdir -p "$folder"
  [ -e "$folder/go.mod" ] || printf 'module %s\n' "$module" >"$folder/go.mod"
done <"$missingPath"
mapfile -t imports <"$importsPath"
# What cannot be found, building the component tells better.
go list -e -f '{{if not .Error}}{{.ImportPath}}{{end}}' "${imports[@]}" >/build/found
grep -v '^$' /build/found | xargs -r -d '\n' go build -v
