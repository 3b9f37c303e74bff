#!/bin/sh
# Writes the test vectors of this folder with the Nix on PATH, in a throw-away store:
#
#   sh vectors.sh stable         with Nix 2.8.0;  2.26.3 and 2.34.8 write the same bytes
#   sh vectors.sh experimental   with Nix 2.34.8
#
# Each line of NAME.txt is a derivation's store path, a space and the file's content (a .drv has no line breaks).
# stable.chain is the path of the last of 2,000 derivations that need one another.
set -eu
cd "$(dirname "$0")"
store=$(mktemp -d)
trap 'chmod -R u+w "$store"; rm -rf "$store"' EXIT
export LC_ALL=C NIX_REMOTE="$store" HOME="$store"
features="nix-command ca-derivations"
[ "$1" = stable ] || features="$features impure-derivations dynamic-derivations git-hashing blake3-hashes"
instantiate() { nix-instantiate --extra-experimental-features "$features" "$@"; }
# shellcheck disable=SC2046
nix-store -qR $(instantiate "$1.nix" | sed 's/!.*//') | grep '\.drv$' | sort -u | while read -r path; do
	printf '%s ' "$path"
	cat "$store$path"
	echo
done >"$1.txt"
if [ "$1" = stable ]; then
	instantiate -E 'builtins.foldl'\'' (p: n: derivation { name = "link"; system = "x"; builder = "/b"; inherit p; }) "" (builtins.genList (n: n) 2000)' >stable.chain
fi
