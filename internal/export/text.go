package export

// marker begins default.nix, by which a later export knows the folder as its own.
const marker = "# Made by headwater export"

// about is what a reader of default.nix is told first.
const about = `#
# Evaluates to the derivation that headwater build --drv prints, without nixpkgs and without the network, in pure mode too.
# Do not edit it: export again.
#
# The paths in roots.txt, trees too big to stand here, must be in the store or in one of its binary caches. From Headwater's own
# store, once it has them:
#   xargs -a roots.txt nix copy --extra-experimental-features nix-command --from "local?root=$HOME/.local/share/headwater"
`

// helpers are the first bindings. Nix makes what is appended as context an input, and makes sure that it is in the store or gets
// it from a binary cache, in pure mode as well (builtins.storePath is refused there).
const helpers = `  # A path that the store has, or gets from a binary cache.
  existing = path: builtins.addErrorContext
    "${path} has to be in the store or in a binary cache: see the beginning of default.nix"
    (builtins.appendContext path { ${path} = { path = true; }; });

  # Makes paths inputs of who uses the result, which is empty.
  needing = paths: builtins.concatStringsSep "" (map (builtins.substring 0 0) paths);
`

const flake = `{
  outputs = { self }: rec {
    packages.x86_64-linux.default = import ./default.nix;
    apps.x86_64-linux.default = {
      type = "app";
      program = "${packages.x86_64-linux.default}/bin/${packages.x86_64-linux.default.meta.mainProgram}";
    };
  };
}
`
