# What the test takes for its toolchain: store paths that look as nixpkgs' do, a package each, referring to what it needs. They
# are made of a root of Debian packages, whose programs are started by its own loader.
let
  root = builtins.storePath ROOT;
  lib = "${root}/usr/lib/x86_64-linux-gnu";
  start = program: "${lib}/ld-linux-x86-64.so.2 --library-path ${lib} ${root}/usr/bin/${program}";
  make = name: script: derivation {
    inherit name;
    system = "x86_64-linux";
    builder = "${lib}/ld-linux-x86-64.so.2";
    args = [ "--library-path" lib "${root}/usr/bin/bash" "-euc" script ];
  };
  bash = make "bash-5.2" ''
    ${start "mkdir"} -p $out/bin
    ${start "cp"} ${root}/usr/bin/bash-static $out/bin/bash
  '';
  wrapped = name: programs: make name ''
    ${start "mkdir"} -p $out/bin
    for program in ${builtins.concatStringsSep " " programs}; do
      printf '#!%s\nexec %s "$@"\n' ${bash}/bin/bash "${start "$program"}" >$out/bin/$program
      ${start "chmod"} 755 $out/bin/$program
    done
  '';
in
[
  bash
  (wrapped "coreutils-9.7" [ "cat" "chmod" "cp" "dirname" "env" "ln" "mkdir" "mv" "rm" "sort" "touch" ])
  (wrapped "findutils-4.10" [ "find" "xargs" ])
  (wrapped "gnugrep-3.11" [ "grep" ])
  (wrapped "gnused-4.9" [ "sed" ])
  (wrapped "bubblewrap-0.11" [ "bwrap" ])
]
