#!/bin/sh
# Writes the test vectors of this folder with the Nix on PATH, here 2.8.0, in throw-away stores:
#
#   sh vectors.sh
#
# secret is a key for tests only; it was made by: nix key generate-secret --key-name test.example-1
# public is what Nix makes of it. NAME.narinfo are what Nix publishes, signed by that key.
set -eu
cd "$(dirname "$0")"
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
export LC_ALL=C NIX_REMOTE="$dir/store" HOME="$dir"
nix() { command nix --extra-experimental-features nix-command "$@"; }

nix key convert-secret-to-public <secret >public
cat >"$dir/objects.nix" <<'X'
let
  file = builtins.toFile "file" "content\n";
  refers = builtins.toFile "refers" "to ${file}\n";
  built = derivation {
    name = "built"; system = builtins.currentSystem; builder = "/bin/sh"; outputs = [ "out" "dev" ];
    args = [ "-c" "echo $out ${refers} > $out; echo $out > $dev" ];
  };
in { inherit built; fixed = derivation {
    name = "fixed"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo -n > $out" ];
    outputHashMode = "flat"; outputHashAlgo = "sha512";
    outputHash = "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==";
  };
}
X
mkdir "$dir/tree"
echo x >"$dir/tree/x"
built=$(nix-build --no-out-link --option substituters "" --option sandbox-paths "/bin /lib /lib64 /usr" "$dir/objects.nix" -A built -A built.dev -A fixed)
drv=$(nix-store -q --deriver "$(echo "$built" | head -n 1)")
added=$(nix-store --add "$dir/tree"; nix-store --add-fixed --recursive sha1 "$dir/tree"; nix-store --add-fixed md5 "$dir/tree/x")
# The built ones again, content-addressed: with a reference to another object, and to themselves.
# shellcheck disable=SC2086
rewritten=$(nix store make-content-addressed --json $built | grep -o '/nix/store/[^"]*')
# shellcheck disable=SC2086
nix copy --to "file://$dir/cache?compression=xz&secret-key=$PWD/secret" $built $drv $added $rewritten
rm -f ./*.narinfo
for f in "$dir"/cache/*.narinfo; do
	name=$(sed -n 's|^StorePath: /nix/store/\([a-z0-9]*\)-\(.*\)|\2-\1|p' "$f")
	cp "$f" "$name.narinfo"
done
