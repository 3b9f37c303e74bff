let
  fetch = n: url: derivation { name = n; system = "builtin"; builder = "builtin:fetchurl"; inherit url; outputHash = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="; outputHashMode = "flat"; };
in derivation { name = "m"; system = "x"; builder = "/b"; args = [ "a\"\\\n\t" "é" ]; outputs = [ "out" "dev" ]; a = fetch "f" "u1"; b = fetch "f" "u2"; }
