# Compiles what the workspace needs from elsewhere: cargo builds the workspace with empty sources, then all that is the workspace's
# own is taken away again.
while IFS=$'\t' read -r file from; do
  mkdir -p "${file%/*}"
  cp "${!from}" "$file"
done <"$skeletonPath"
cd "$dir"
