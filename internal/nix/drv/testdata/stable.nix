# Derivations with every feature of stable Nix. See vectors.sh. (JSON with \b or \f is left out: 2.8 writes \u0008, later versions \b.)
let
  sh = "/bin/sh";
  base = { system = "x86_64-linux"; builder = sh; };
  drv = name: attrs: derivation (base // { inherit name; } // attrs);

  empty = {
    md5 = "d41d8cd98f00b204e9800998ecf8427e";
    sha1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    sha256 = "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73"; # base 32
    sha512 = "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="; # base 64
  };
  fixed = mode: algo: drv "fixed-${mode}-${algo}" {
    outputHashMode = mode; outputHashAlgo = algo; outputHash = empty.${algo}; impureEnvVars = [ "http_proxy" "NO_PROXY" ];
  };
  fixeds = map (fixed "flat") (builtins.attrNames empty) ++ map (fixed "recursive") (builtins.attrNames empty);
  sri = drv "sri" { outputHashMode = "flat"; outputHashAlgo = null; outputHash = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="; };
  fetch = url: import <nix/fetchurl.nix> { inherit url; name = "thing.tar.gz"; sha256 = empty.sha256; };

  file = builtins.toFile "a-file" "a file\n";
  file2 = builtins.toFile "refers" "to ${file}\n";

  multi = drv "multi" { outputs = [ "out" "dev" "lib32" ]; };
  noOut = drv "no-out" { outputs = [ "bin" "dev_x" ]; };
  # Both of a pair have one hash modulo, since their fetches do (NixOS/nix#16307).
  pair = url: drv "pair" { outputs = [ "out" "dev" ]; src = fetch url; };

  chain = n: if n == 0 then drv "link-0" { } else drv "link-${toString n}" { previous = chain (n - 1); };
in
fixeds ++ [
  sri
  multi
  noOut
  (fetch "https://one.invalid/thing.tar.gz")
  (drv "plain" { })
  (drv "uses" { inherit file file2; a = multi; b = multi.dev; c = noOut; args = [ "-c" "cat ${file2} > $out; : ${multi.lib32}" ]; fixed = fixeds; })
  (drv "colliding" {
    a = fetch "https://one.invalid/thing.tar.gz"; b = fetch "https://two.invalid/thing.tar.gz";
  })
  (drv "colliding-outputs" {
    a = pair "https://one.invalid/thing.tar.gz"; b = (pair "https://two.invalid/thing.tar.gz").dev;
  })
  (drv "odd-values" {
    empty = ""; quotes = "\"'`\\\"\\"; controls = "a\nb\rc\td"; dollar = "\${x} $y $$ %s"; unicode = "häß → 日本 🎈"; int = 42; negative = -7; bool = true; no = false; null = null;
    list = [ "a b" 1 [ "nested" ] ]; other = builtins.fromJSON ''"\u0001\u001b\u007f"''; long = builtins.concatStringsSep "," (builtins.genList toString 5000);
    args = [ "" " " "\n" "é" "\\" "\"" ];
  })
  (drv "odd-names" { "a b" = "1"; "é" = "2"; "x\ny" = "3"; "\"" = "4"; "0" = "5"; _ = "6"; "a.b-c" = "7"; A = "8"; "out2" = "9"; "=" = "10"; })
  (drv "a+b-._?=Z09" { })
  (drv (builtins.concatStringsSep "" (builtins.genList (n: "n") 207)) { })
  (drv "system-and-builder" { system = "sys\ttem"; builder = "${multi.dev}/bin/b\\uild"; outputs = [ "out" ]; })
  (drv "pass-as-file" { passAsFile = [ "text" "buildCommand" ]; text = "t\n"; buildCommand = "echo ${file}"; })
  (drv "structured" {
    __structuredAttrs = true; outputs = [ "out" "doc" ];
    string = "a\"b\\c\n"; html = "<a href='x'>&</a>"; unicode = "é\t🎈"; separators = builtins.fromJSON ''"\u2028\\u2028\u2029\u007f\u0001"''; int = 1; float = 1.5; tenth = 0.1; big = 1.0e300; yes = true; no = false; nothing = null;
    list = [ 1 "two" [ 3 ] { } ]; set = { b = 1; a = { z = file; y = multi; }; }; path = "${multi.dev}/x"; emptyList = [ ];
    outputChecks.out = { allowedReferences = [ "out" ]; maxSize = 1000; };
  })
  (drv "structured-graph" { __structuredAttrs = true; exportReferencesGraph.closure = [ multi file2 ]; })
  (drv "graph" { exportReferencesGraph = [ "closure" multi "files" file2 ]; })
  (drv "drv-deep" { deep = multi.drvPath; shallow = builtins.unsafeDiscardOutputDependency noOut.drvPath; })
  (drv "checks" {
    outputs = [ "out" "dev" ]; allowedReferences = [ multi "out" "dev" ]; disallowedReferences = [ noOut ]; allowedRequisites = [ file ]; disallowedRequisites = [ ];
    requiredSystemFeatures = [ "kvm" "big-parallel" ]; preferLocalBuild = true; allowSubstitutes = false; __noChroot = false; __impureHostDeps = [ ];
  })
  (drv "ignores-nulls" { __ignoreNulls = true; a = null; b = "b"; })
  (drv "placeholders" { outputs = [ "out" "dev" ]; a = builtins.placeholder "out"; args = [ (builtins.placeholder "dev") ]; })
  (chain 30)
]
