//! What the tests that cross crates share: a lakehouse in a temporary directory, and a driver for
//! SQL logic tests.

pub mod counterpart;
pub mod postgres;
pub mod lake;
pub mod slt;
pub mod workers;
pub mod server;
