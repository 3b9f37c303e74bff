#!/bin/bash
# Writes the test vectors of this folder with the Nix on PATH, here 2.8.0; 2.26.3 and 2.34.8 write the same:
#
#   bash vectors.sh
#
# hashes.txt  algorithm, then one digest in base 16, base 32 and base 64, and as SRI
# paths.txt   the path that an object gets, and what it was made of: method, algorithm, base-16 hash, name, references
set -eu
cd "$(dirname "$0")"
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
export LC_ALL=C NIX_REMOTE="$dir/store" HOME="$dir"
nix() { command nix --extra-experimental-features nix-command "$@"; }

for algo in md5 sha1 sha256 sha512; do
	size=$(printf x | "${algo}sum" | cut -d ' ' -f 1 | tr -d '\n' | wc -c)
	{
		printf '0%.0s' $(seq "$size"); echo
		printf 'f%.0s' $(seq "$size"); echo
		printf '0%.0s' $(seq $((size - 1))); echo 1
		echo "8$(printf '0%.0s' $(seq $((size - 1))))"
		for i in $(seq 30); do echo "$i" | "${algo}sum" | cut -d ' ' -f 1; done
	} | while read -r hex; do
		echo "$algo $hex $(nix hash to-base32 --type "$algo" "$hex") $(nix hash to-base64 --type "$algo" "$hex") $(nix hash to-sri --type "$algo" "$hex")"
	done
done >hashes.txt

fixed() { # METHOD OPTION ALGO HEX NAME
	# shellcheck disable=SC2086
	echo "$(nix-store --print-fixed-path $2 "$3" "$4" "$5") $1 $3 $4 $5"
}
{
	for algo in md5 sha1 sha256 sha512; do
		hex=$(printf x | "${algo}sum" | cut -d ' ' -f 1)
		for name in name a+b-._?=Z09 "$(printf 'n%.0s' $(seq 211))"; do
			fixed flat "" "$algo" "$hex" "$name"
			fixed nar --recursive "$algo" "$hex" "$name"
		done
	done
	text() { # NAME CONTENT REFS...
		echo "$(nix-instantiate --eval --read-write-mode -E "builtins.toFile \"$1\" ''$2''" | tr -d '"') text sha256 $(printf %s "$2" | sha256sum | cut -d ' ' -f 1) $1"
	}
	text file content
	text empty ""
	# With references: the file's content names them.
	for n in 1 2 3; do
		expr="let f = n: builtins.toFile n n; in builtins.toFile \"refers-$n\" (builtins.concatStringsSep \" \" (map f (builtins.genList (i: \"f\${toString i}\") $n)))"
		path=$(nix-instantiate --eval --read-write-mode -E "$expr" | tr -d '"')
		echo "$path text sha256 $(sha256sum <"$dir/store$path" | cut -d ' ' -f 1) refers-$n $(nix-store -q --references "$path" | tr '\n' ' ')"
	done
} | sed 's/ *$//' >paths.txt
