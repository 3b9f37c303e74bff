# Programs and WebAssembly modules stand in the output under their names.
[ ! -d "$made" ] || while IFS= read -r -d '' file; do
  case $file in
    *.wasm) mkdir -p "$out/wasm" && cp "$file" "$out/wasm/" ;;
    *.so) ;;
    *) mkdir -p "$out/bin" && cp "$file" "$out/bin/" ;;
  esac
done < <(find "$made" -mindepth 1 -maxdepth 1 -type f \( -executable -o -name '*.wasm' \) -print0 | sort -z)
