command -v go >/dev/null || { echo "none of the root's paths has bin/go: add one, or name a go in the recipe's toolchains" >&2; exit 1; }
go env GOVERSION >"$out/version"
