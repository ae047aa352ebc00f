//! Tests that SQL alone cannot express: crashes, races, damage, limits, the shape of the code.
//!
//! Those that run `fjord` as a process take it from beside themselves: `tests/run` builds it first.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails panics; helpers of tests are tests too"
)]

mod process;
mod whole;
mod proxy;
mod counterpart_s3;
mod cluster;
mod conflicts;
mod counterpart_postgres;
mod counterpart_postgres_connector;
mod counterpart_postgres_workers;
mod damage;
mod parquet_damage;
mod deep;
mod deploy;
mod hazards;
mod faults;
#[cfg(feature = "failpoints")]
mod kill;
mod memory;
mod mutations;
mod nodes;
mod race;
mod tidy;
