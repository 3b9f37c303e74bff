# Derivations that need experimental features. See vectors.sh.
let
  drv = name: attrs: derivation ({ inherit name; system = "x86_64-linux"; builder = "/bin/sh"; } // attrs);
  hash = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
  floating = drv "floating" { __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; };
  text = drv "text.drv" { __contentAddressed = true; outputHashMode = "text"; outputHashAlgo = "sha256"; };
in
[
  (drv "fixed-text" { outputHashMode = "text"; outputHash = hash; })
  floating
  (drv "after-floating" { inherit floating; })
  (drv "impure" { __impure = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; })
  (drv "dynamic" { made = builtins.outputOf text.outPath "out"; })
  (drv "fixed-git" { outputHashMode = "git"; outputHashAlgo = "sha1"; outputHash = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"; })
  (drv "fixed-blake3" { outputHashMode = "flat"; outputHash = "blake3-rxNJuazQ7PWh4WgpwV9P40lQgyvC8mK8DmXFuHyTnyI="; })
]
