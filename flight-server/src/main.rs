//! The binary `fjord`.

use std::process::ExitCode;

use clap::Parser;
use fjord_flight_server::cli::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    fjord_flight_server::run(&Cli::parse())
}
