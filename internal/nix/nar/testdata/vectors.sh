#!/bin/bash
# Writes the test vectors of this folder with the Nix on PATH, here 2.8.0:
#
#   bash vectors.sh
#
# odd.nar is the archive of a tree of all that is odd (nar_test.go lists it); NAME.nar are archives of single objects;
# sizes.hash is what "nix hash path" says of a tree of files of many sizes.
set -eu
cd "$(dirname "$0")"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export LC_ALL=C HOME="$dir"

mkdir "$dir/odd"
(
	cd "$dir/odd"
	: >empty
	printf '#!/bin/sh\n' >run
	chmod 0755 run
	: >empty-run
	chmod 0100 empty-run
	printf x >group-run
	chmod 0611 group-run # executable for others only: not executable
	ln -s ../nowhere dangling
	ln -s /absolute/target absolute
	ln -s $'odd \xff\n' odd-link
	ln -s "$(printf 'l%.0s' $(seq 1000))" long-link
	mkdir empty-folder a A
	for name in a-b a.b 'a b' a0 -a '~' $'line\nbreak' $'\xff\xfe' $'\x01' é "$(printf 'n%.0s' $(seq 255))" ... .hidden; do
		printf %s "$name" >"$name"
	done
	printf 1 >a/z
	printf 2 >a/Z
	mkdir -p deep/d/e/e/p
	printf 12345678 >deep/d/e/e/p/eight
)
nix-store --dump "$dir/odd" >odd.nar
nix-store --dump "$dir/odd/empty" >empty.nar
nix-store --dump "$dir/odd/run" >run.nar
nix-store --dump "$dir/odd/dangling" >link.nar
nix-store --dump "$dir/odd/empty-folder" >folder.nar

mkdir "$dir/sizes"
for n in $(seq 0 40) 4095 4096 4097 131071 131072 131073 262143 262144 262145 1048577; do
	yes "$n" | head -c "$n" >"$dir/sizes/$n"
done
nix --extra-experimental-features nix-command hash path "$dir/sizes" >sizes.hash
