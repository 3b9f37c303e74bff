# Lays out crates as cargo has them in a directory source: a folder each, with the checksum of the file that it is out of.
while IFS=$'\t' read -r name file folder sum; do
  mkdir "$out/$name"
  if [ "$sum" = null ]; then # a commit's archive: one folder of it
    mkdir archive
    tar -xf "$file" --no-same-owner --no-same-permissions --strip-components=1 -C archive
    cp -r "archive/$folder/." "$out/$name"
    rm -rf archive
  else
    tar -xf "$file" --no-same-owner --no-same-permissions --strip-components=1 -C "$out/$name"
  fi
  [ -e "$out/$name/Cargo.toml" ] || { echo "$name: the file has no Cargo.toml" >&2; exit 1; }
  printf '{"files":{},"package":%s}' "$sum" >"$out/$name/.cargo-checksum.json"
done <"$filesPath"
