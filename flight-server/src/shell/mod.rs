//! `fjord sql`: statements in, results on standard output, everything else on standard error.
//!
//! ```text
//! source ─ splitter ─ Session ─ runner ─ output: table | csv | json
//!            └ backslash (\d …)    └ progress
//! ```

mod json_float;
mod splitter;
mod cell;
mod table;
mod records;
mod output;
mod progress;
mod runner;
mod backslash;
mod source;
mod editor;
mod interactive;

use std::process::ExitCode;

use crate::cli::Format;
use crate::compose::Lakehouse;

pub(crate) use output::is_broken_pipe;
pub(crate) use source::Source;
pub(crate) use splitter::split;
pub(crate) use table::{Layout, render_table};

/// Runs a script, or talks with a person.
pub(crate) async fn run(
    lakehouse: &Lakehouse,
    source: Source,
    format: Format,
) -> anyhow::Result<ExitCode> {
    match source {
        Source::Scripts(scripts) => runner::run_scripts(lakehouse, &scripts, format).await,
        Source::Terminal => interactive::run(lakehouse, format).await,
    }
}
