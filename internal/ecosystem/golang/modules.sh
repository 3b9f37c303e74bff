# Makes a module cache of the fetched files: a module proxy is laid out of links to them (Go Modules Reference, "GOPROXY
# protocol"), from which the go command unpacks and checks.
perl -we '
  use strict; use File::Basename qw(dirname); use File::Path qw(make_path);
  while (<STDIN>) {
    chomp; my ($to, $from) = split /\t/;
    make_path(dirname("proxy/$to"));
    symlink($from, "proxy/$to") or die "link proxy/$to: $!\n";
  }' <"$filesPath"
while IFS=$'\t' read -r info version; do
  printf '{"Version":"%s"}' "$version" >"proxy/$info"
done <"$infosPath"
mkdir module
cp "$sumsPath" module/go.sum
chmod u+w module/go.sum
echo 'module headwater.invalid/modules' >module/go.mod
cd module
GOPROXY=file:///build/proxy xargs -r -d '\n' -a "$zipsPath" go mod download
cmp -s go.sum "$sumsPath" || { echo "the go command read modules that go.sum does not name:" >&2; diff "$sumsPath" go.sum >&2; exit 1; }
# A build reads the unpacked modules, their zips' sums and the go.mod files of all modules, unpacked or not.
cd ../proxy
mkdir -p "$out/cache/download"
find . -name '*.mod' -exec cp -L --parents --no-preserve=mode -t "$out/cache/download" {} +
find "$out/cache" -type f ! -name '*.mod' ! -name '*.ziphash' -delete
find "$out/cache" -type d -empty -delete
