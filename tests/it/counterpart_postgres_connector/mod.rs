//! The connector to PostgreSQL against a real server, on DataFusion alone.

use fjord_tests::postgres as server;

mod world;
mod types;
mod pushdown;
