//! The embedded catalog on a real PostgreSQL: `tests/counterparts/run --with postgres -- …`.

mod proxy;
mod world;
mod suite;
mod refusals;
mod outcomes;
mod many;
mod backup;
#[cfg(feature = "failpoints")]
mod kill;
