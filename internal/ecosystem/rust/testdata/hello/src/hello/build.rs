use std::{env, fs, path::Path};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let out = Path::new(&env::var_os("OUT_DIR").unwrap()).join("number.rs");
    fs::write(out, "const NUMBER: u32 = 42;\n").unwrap();
}
