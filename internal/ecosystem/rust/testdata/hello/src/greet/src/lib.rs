/// Greets a number.
pub fn greet(n: u32) -> String {
    format!("hello {}", itoa::Buffer::new().format(n))
}
