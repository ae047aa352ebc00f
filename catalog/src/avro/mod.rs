//! Avro files before the Avro library sees them: every count, length and size in them is held
//! against the bytes that are there.
//!
//! The library reserves memory by the counts that a file claims, and a claim of 2⁵⁹ items ends the
//! process, not the query. So the whole file is walked first, once, by the schema that it carries
//! (Avro 1.12, "Object Container Files" and "Binary Encoding"). What the library is given
//! afterwards is never compressed and has no empty block, at which it would stop reading.
//!
//! Modules are listed bottom-up.

mod flaw;
mod cursor;
mod bound;
mod snappy;
mod zstd;
mod codec;
mod schema;
mod walk;
mod header;
mod container;
#[cfg(test)]
mod tests;

pub(crate) use container::check;
pub(crate) use walk::Held;
