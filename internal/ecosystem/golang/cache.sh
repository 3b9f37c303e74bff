# A build cache of links to what is compiled, with the folders that the go command would make. Components write to an overlay
# over it: the go command sets the times of the entries that it uses, which an overlay would answer by copying them; through a
# link it cannot, the store being read-only, and goes on.
printf -v folders '%02x ' {0..255}
(cd "$out" && mkdir $folders)
for compiled in $caches; do
  cp -rs --no-preserve=mode "$compiled/." "$out/"
done
