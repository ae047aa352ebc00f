//! The connector to PostgreSQL against a real server, on DataFusion alone.

use fjord_tests::postgres as server;

mod world;
mod wire;
mod random;
mod types;
mod pushdown;
mod failures;
mod writes;
mod names;
mod differential;
mod encryption;
