# Without overlays, a folder of the root's that has something of the package's in it is made of what is bound into an empty one: what the
# root has there, and what the package adds; of folders that both have, the same. What both have else is the package's.
laid=()
lay() {
  local at=$1 e n
  args+=(--tmpfs "$at")
  laid+=(--remount-ro "$at")
  for e in "$store$root$at"/* "$store$root$at"/.[!.]*; do
    n=${e##*/}
    if [ -L "$here/over$at/$n" ] || [ -e "$here/over$at/$n" ]; then
      if [ -d "$e" ] && [ ! -L "$e" ] && [ -d "$here/over$at/$n" ]; then lay "$at/$n"; fi
    else
      add "$e" "$at/$n"
    fi
  done
  for e in "$here/over$at"/* "$here/over$at"/.[!.]*; do
    n=${e##*/}
    if [ ! -d "$e" ] || [ -L "$e" ] || [ ! -d "$store$root$at/$n" ] || [ -L "$store$root$at/$n" ]; then add "$e" "$at/$n"; fi
  done
}
add() {
  if [ -L "$1" ]; then
    args+=(--symlink "$(run readlink "$1")" "$2")
  elif [ -e "$1" ]; then
    args+=(--ro-bind "$1" "$2")
  fi
}
