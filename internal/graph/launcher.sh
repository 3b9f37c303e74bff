# Starts the package's command inside its runtime root: launch STORE-PREFIX ROOT PACKAGE [ARG…].
# Writable folders (the package's volumes) are kept in $HEADWATER_STATE, by default a folder of the user's.
set -euo pipefail
store=$1 root=$2 package=$3
shift 3
here=$store$package/share/headwater
lib=$store$root/usr/lib/x86_64-linux-gnu
. "$here/settings"
state=${HEADWATER_STATE:-${XDG_STATE_HOME:-${HOME:-/tmp}/.local/state}/$name}
unset HEADWATER_STATE

run() { "$lib/ld-linux-x86-64.so.2" --library-path "$lib" "$store$root/usr/bin/$1" "${@:2}"; }

over=" "
while IFS=$'\t' read -r kind at from; do
  [ "$kind" = over ] && over+="$at "
done <"$here/mounts"
args=(--unshare-user --unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup-try --as-pid-1 --die-with-parent
  --uid "$uid" --gid "$gid" --hostname "$name"
  --symlink usr/bin /bin --symlink usr/sbin /sbin --symlink usr/lib /lib --symlink usr/lib64 /lib64)
for dir in /usr /etc; do
  case $over in
    *" $dir "*) args+=(--overlay-src "$store$root$dir" --overlay-src "$here/over$dir" --ro-overlay "$dir") ;;
    *) args+=(--ro-bind "$store$root$dir" "$dir") ;;
  esac
done
for file in /etc/resolv.conf /etc/hosts; do # names are resolved as on the host, whose network this is
  [ -e "$store$root$file" ] && [ -e "$file" ] && args+=(--ro-bind "$file" "$file")
done
args+=(--proc /proc)
if [ "$EUID" = 0 ]; then # who is user 0 outside may write these, whatever namespaces it is in
  for file in /proc/sys /proc/sysrq-trigger; do args+=(--ro-bind-try "$file" "$file"); done
fi
args+=(--dev /dev --tmpfs /tmp --tmpfs /run --dir /var --tmpfs /var/tmp)
while read -r path; do args+=(--ro-bind "$store$path" "$path"); done <"$here/closure"
args+=(--ro-bind "$store$package" "$package")
while IFS=$'\t' read -r kind at from; do
  case $kind in
    bind) args+=(--ro-bind "$store$from" "$at") ;;
    link) args+=(--symlink "$from" "$at") ;;
  esac
done <"$here/mounts"
while read -r volume; do
  run mkdir -p "$state$volume"
  args+=(--bind "$state$volume" "$volume")
done <"$here/volumes"
args+=(--remount-ro / --chdir "$workdir")
for v in LD_PRELOAD LD_LIBRARY_PATH OLDPWD SHLVL _; do args+=(--unsetenv "$v"); done

# The command is the first process of its own, as in a container; signals that this script gets are passed on to it.
exec {info}<> <(:)
"$lib/ld-linux-x86-64.so.2" --library-path "$lib" "$store$root/usr/bin/bwrap" "${args[@]}" --info-fd "$info" -- "${command[@]}" "$@" <&0 &
monitor=$!
child=
forward() { [ -z "$child" ] || kill -"$1" "$child" 2>/dev/null || :; }
trap 'forward TERM' TERM INT
trap 'forward HUP' HUP
while [ -z "$child" ] && kill -0 "$monitor" 2>/dev/null; do
  if read -t 0.2 -u "$info" -r line; then
    [[ $line =~ \"child-pid\":\ *([0-9]+) ]] && child=${BASH_REMATCH[1]}
  fi
done
status=0
while :; do
  wait "$monitor" && status=0 || status=$?
  kill -0 "$monitor" 2>/dev/null || break
done
exit "$status"
