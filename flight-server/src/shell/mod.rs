//! `fjord sql`: statements in, results on standard output, everything else on standard error.
//!
//! ```text
//! source ─ splitter ─ connection ─ runner ─ output: table | csv | json
//!            │            ├ local: a Session of this process
//!            │            └ remote: a session on a server
//!            └ backslash (\d …)       └ progress ─ meter
//! ```

mod json_float;
mod splitter;
mod cell;
mod table;
mod records;
mod output;
mod meter;
mod connection;
mod local;
mod remote;
mod progress;
mod runner;
mod backslash;
mod source;
mod editor;
mod interactive;

use std::process::ExitCode;
use std::sync::Arc;

use crate::cli::Format;
use connection::Connection;

pub(crate) use interactive::Place;
pub(crate) use output::is_broken_pipe;
pub(crate) use source::Source;
pub(crate) use splitter::split;
pub(crate) use table::{Layout, render_table};

/// Runs a script, or talks with a person.
pub(crate) async fn run<C: Connection>(
    connection: C,
    place: Place,
    source: Source,
    format: Format,
) -> anyhow::Result<ExitCode> {
    match source {
        Source::Scripts(scripts) => runner::run_scripts(&connection, &scripts, format).await,
        Source::Terminal => interactive::run(&Arc::new(connection), place, format).await,
    }
}
