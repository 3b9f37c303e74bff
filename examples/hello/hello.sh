#!/bin/bash
# Greets, or does what its first argument says.
set -euo pipefail
case ${1-} in
"") echo "$GREETING from release @RELEASE@, in $PWD, as $(id -u):$(id -g)" ;;
count) # keeps something in the volume
  n=$(($(cat /data/count 2>/dev/null || echo 0) + 1))
  echo "$n" >/data/count
  echo "started $n times" ;;
look)
  cat more/polite /usr/local/lib/hello/polite /usr/local/lib/hello/more/polite
  if : 2>/dev/null >/app/x || : 2>/dev/null >/x; then echo "the file system is writable" >&2; exit 1; fi
  set -- /proc/[0-9]*/
  echo "processes: $*" ;;
wait) # until it is asked to end
  trap 'echo "asked to end"; exit 7' TERM
  echo waiting
  while :; do sleep 0.1; done ;;
serve) exec /app/serve ;;
*) exit "$1" ;;
esac
