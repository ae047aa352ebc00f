//! The composition root of the binary `fjord`: configuration, start-up, server, shell, demo.
//!
//! Modules are listed bottom-up.

pub mod config;
mod report;
mod stamp;
mod key_file;
mod files;
mod kept_catalogs;
mod progress;
mod client;
pub mod cli;
mod telemetry;
mod tls;
mod auth;
pub mod cluster;
pub mod compose;
mod flight;
mod http;
mod serve;
mod worker;
pub mod bench;
mod shell;
mod sql;
mod demo;
mod backup;
mod start;
#[cfg(test)]
mod path_policy_tests;

pub use start::run;
