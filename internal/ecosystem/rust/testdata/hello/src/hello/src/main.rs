include!(concat!(env!("OUT_DIR"), "/number.rs"));

fn main() {
    let end = if cfg!(feature = "loud") { "!" } else { "." };
    println!("{} {}{end}", greet::greet(NUMBER), env!("CARGO_PKG_VERSION"));
}
