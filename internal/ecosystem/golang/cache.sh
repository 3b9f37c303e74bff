# Fills the build cache with links to what is compiled. The go command sets the times of entries that it uses, which an
# overlay would answer by copying them; it cannot set them in the store, and goes on. Trimming would drop the old entries.
mkdir -p "$GOCACHE"
for compiled in $caches; do
  cp -rs --no-preserve=mode "$compiled/." "$GOCACHE/"
done
printf %s "$EPOCHSECONDS" >"$GOCACHE/trim.txt"
