//! The `jackal` program: a thin shell around [`jackal::cli`].
fn main() {}
