# Odd derivations beside those of package drv's tests: what is built, names that mean something else elsewhere.
let
  drv = name: attrs: derivation ({ inherit name; system = "x86_64-linux"; builder = "/bin/sh"; } // attrs);
  a = drv "a" { outputs = [ "PATH" "HOME" "TMPDIR" "src" "stdenv" "NIX_STORE" ]; };
  b = drv "b" { outputs = [ "out" "passAsFile-x" "0" "_" "A.B" ]; inherit a; self = builtins.placeholder "0"; };
  hash = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
  fixed = name: attrs: drv name ({ outputHash = hash; outputHashMode = "flat"; } // attrs);
  # One content by several derivations: the paths are one, the derivations are not.
  twice = n: fixed "once" { inherit n; };
  # Inputs that have one hash modulo though the derivations differ, through two levels.
  over = n: drv "over" { outputs = [ "out" "dev" "doc" ]; src = twice n; };
  above = drv "above" { x = (over 1).dev; y = (over 2).doc; z = (over 3).out; w = over 1; };
  # The same output by several strings; an input of which only the .drv is used; one used as both.
  many = drv "many" { x = [ b b.out "${b}/x" ]; args = [ "${b."0"}" "${b}" ]; deep = b.drvPath; builder = "${b._}/bin/sh"; };
in
[
  a.PATH a.src b b."A.B" above (over 3) many
  (drv "outputs-of-one" { outputs = [ "0" ]; })
  (drv "order" { outputs = [ "z" "a" "out" ]; })
  (drv "same-in-lists" { l = [ [ ] [ "" ] [ " " ] [ [ [ "x" ] ] "y" ] ]; s = ""; })
  (drv "empty-checks" { allowedReferences = [ ]; allowedRequisites = [ ]; disallowedReferences = [ ]; disallowedRequisites = [ ]; })
  (drv "self-checks" { outputs = [ "out" "dev" ]; allowedReferences = [ "out" ]; disallowedReferences = [ "dev" a ]; disallowedRequisites = [ b ]; })
  (drv "not-structured" { __structuredAttrs = false; x = true; })
  (drv "structured-outputs" {
    __structuredAttrs = true; outputs = [ "PATH" "out" ]; passAsFile = [ "x" ]; x = "y"; env = { A = "b"; }; inherit a;
    exportReferencesGraph = { one = [ a.HOME ]; two = [ b [ above ] ]; }; outputChecks = { PATH = { maxClosureSize = 10; disallowedReferences = [ "out" ]; }; };
  })
  (drv "deep-structure" { __structuredAttrs = true; v = { "a b".c."d\ne" = [ { } [ [ null ] ] 1.0e-10 123456789012345678 (-0.5) ]; "" = ""; }; })
  (fixed "executable" { outputHashMode = "recursive"; executable = true; })
  (fixed "uses-inputs" { inherit a b; args = [ "${above}" ]; })
  (drv "path-like" { a = "/nix/store"; b = "/nix/store/"; c = "/nix/store/00000000000000000000000000000000-x"; })
  (drv "1.2.3-pre?x=y+z" { })
  (drv "UPPER_lower" { "a\tb" = "c\td"; "\\" = "\\\\"; "\${x}" = "\${y}"; })
]
