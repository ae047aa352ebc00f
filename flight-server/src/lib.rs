//! The composition root of the binary `fjord`: configuration, start-up, shell, demo.
//!
//! Modules are listed bottom-up.

pub mod config;
mod report;
pub mod cli;
pub mod compose;
mod shell;
mod demo;
mod start;

pub use start::run;
