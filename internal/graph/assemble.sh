# Assembles a package: $out/bin/$main, and what the launcher reads in $out/share/headwater:
#   mounts    "bind AT STORE-PATH", "link AT TARGET" or "over AT": what stands where at run time, parents first
#   closure   every store path that must be visible
#   settings  user, working directory, command, environment
#   volumes   writable folders
# In: $layoutPath (AT<tab>STORE-PATH), $linksPath (AT<tab>TARGET), $volumesPath, $settingsPath, $launcherPath, $root, $main.
here=$out/share/headwater
mkdir -p "$here" "$out/bin"

declare -A at=() copied=()
order=()
while IFS=$'\t' read -r path from; do
  [ -e "$from" ] || { echo "layout: $path: the component has no ${from#/nix/store/*/}" >&2; exit 1; }
  at[$path]=$from
  order+=("$path")
done <"$layoutPath"

# The layout entry that path stands in, "" if none.
enclosing() {
  local p=${1%/*}
  while [ -n "$p" ]; do
    [ -n "${at[$p]-}" ] && { echo "$p"; return; }
    p=${p%/*}
  done
}

# The folder of ours that holds the entry at $1, of which a copy is made, since a store path cannot get mount points.
own() {
  if [ -z "${copied[$1]-}" ]; then
    copied[$1]=$here/tree/${#copied[@]}
    mkdir -p "$here/tree"
    cp -a "${at[$1]}" "${copied[$1]}"
    chmod -R u+w "${copied[$1]}"
  fi
}

# Makes a place at $1, a folder or (by $2) a file, where something is to be mounted.
place() {
  local in parent
  parent=$(enclosing "$1")
  if [ -n "$parent" ]; then
    own "$parent"
    in=${copied[$parent]}${1#"$parent"}
  else
    case $1 in
      /usr/*|/etc/*) mkdir -p "$here/over${1%/*}"; touched[${1:0:4}]=1; in=$here/over$1 ;;
      *) return 0 ;;
    esac
  fi
  [ -e "$in" ] && return 0
  mkdir -p "${in%/*}"
  if [ "$2" = folder ]; then mkdir "$in"; else : >"$in"; fi
}

# Where the folder at $1 stands in has one with something in it in that place too, both are to be there, as where an image's file copies one
# into the other: then $1 is a copy of both. What both have is that of $1.
merge() {
  local parent under both
  parent=$(enclosing "$1")
  [ -n "$parent" ] || return 0
  under=${copied[$parent]-${at[$parent]}}${1#"$parent"}
  [ -d "$under" ] && [ ! -L "$under" ] && [ -n "$(ls -A "$under")" ] || return 0
  both=$here/tree/${#copied[@]}
  mkdir -p "$here/tree"
  cp -a "$under" "$both"
  chmod -R u+w "$both"
  cp -aT --remove-destination "${at[$1]}" "$both"
  chmod -R u+w "$both"
  copied[$1]=$both
}

declare -A touched=()
for path in "${order[@]}"; do
  if [ -d "${at[$path]}" ]; then merge "$path"; fi
  if [ -d "${at[$path]}" ]; then place "$path" folder; else place "$path" file; fi
done
while read -r path; do place "$path" folder; done <"$volumesPath"
links=()
while IFS=$'\t' read -r path target; do
  parent=$(enclosing "$path")
  if [ -n "$parent" ]; then
    own "$parent"; mkdir -p "${copied[$parent]}$(dirname "${path#"$parent"}")"; ln -s "$target" "${copied[$parent]}${path#"$parent"}"
  else
    case $path in
      /usr/*|/etc/*) mkdir -p "$here/over${path%/*}"; touched[${path:0:4}]=1; ln -s "$target" "$here/over$path" ;;
      *) links+=("link"$'\t'"$path"$'\t'"$target") ;;
    esac
  fi
done <"$linksPath"

{
  for o in /usr /etc; do [ -z "${touched[$o]-}" ] || printf 'over\t%s\n' "$o"; done
  for path in "${order[@]}"; do printf 'bind\t%s\t%s\n' "$path" "${copied[$path]-${at[$path]}}"; done
  for l in "${links[@]}"; do echo "$l"; done
} >"$here/mounts"

for f in /build/closure-*; do
  while read -r path && read -r _ && read -r n; do
    echo "$path"
    for ((i = 0; i < n; i++)); do read -r _; done
  done <"$f"
done | sort -u >"$here/closure"
cp "$settingsPath" "$here/settings"
cp "$volumesPath" "$here/volumes"
cp "$launcherPath" "$here/launch"

cat >"$out/bin/$main" <<END
#!/bin/sh
# Starts $main in its runtime root, on any Linux with user namespaces, from any folder that holds this store.
self=\$(readlink -f "\$0") && store=\${self%/nix/store/*} || exit
unset LD_PRELOAD LD_LIBRARY_PATH
lib=\$store$root/usr/lib/x86_64-linux-gnu
exec "\$lib/ld-linux-x86-64.so.2" --library-path "\$lib" "\$store$root/usr/bin/bash" "\$store$out/share/headwater/launch" "\$store" "$root" "$out" "\$@"
END
chmod 755 "$out/bin/$main"
