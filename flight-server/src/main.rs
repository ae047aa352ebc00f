//! The binary `fjord`.

fn main() {}
