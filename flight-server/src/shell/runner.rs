//! Runs statements and writes what comes of them.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use anyhow::Result;
use arrow::array::{Array, RecordBatch, UInt64Array};
use fjord_engine::query::ResultKind;
use futures::StreamExt;

use super::connection::{Answer, Connection};
use super::meter::Meter;
use super::output::{Output, is_broken_pipe};
use super::progress::Progress;
use super::source::Script;
use super::splitter;
use crate::cli::Format;
use crate::report::{error_text, note};

/// What shells say when a signal ended the work.
const STATUS_INTERRUPTED: u8 = 130;

/// How results are shown; a person changes it with `\x` and `\timing`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Presentation {
    pub(super) format: Format,
    pub(super) is_interactive: bool,
    pub(super) is_expanded: bool,
    pub(super) is_timed: bool,
}

/// Runs scripts statement by statement; the first failure ends them with status 1.
pub(super) async fn run_scripts(
    connection: &impl Connection,
    scripts: &[Script],
    format: Format,
) -> Result<ExitCode> {
    let presentation =
        Presentation { format, is_interactive: false, is_expanded: false, is_timed: false };
    let work = async {
        for script in scripts {
            for piece in splitter::split(&script.text).pieces {
                let text = piece.padded(&script.text);
                if let Err(e) = run_text(connection, &text, presentation).await {
                    if is_broken_pipe(&e) {
                        return ExitCode::SUCCESS;
                    }
                    note(&format!("{}: {}", script.name, error_text(e.as_ref())));
                    return ExitCode::FAILURE;
                }
            }
        }
        ExitCode::SUCCESS
    };
    tokio::select! {
        code = work => Ok(code),
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            note("cancelled");
            Ok(ExitCode::from(STATUS_INTERRUPTED))
        }
    }
}

/// Runs the statement in `text`.
pub(super) async fn run_text(
    connection: &impl Connection,
    text: &str,
    presentation: Presentation,
) -> Result<()> {
    for statement in connection.parse(text)? {
        Box::pin(run_statement(connection, &statement, presentation)).await?;
    }
    Ok(())
}

async fn run_statement<C: Connection>(
    connection: &C,
    statement: &C::Statement,
    presentation: Presentation,
) -> Result<()> {
    // Rows that appear on the same terminal would run into the progress line.
    let is_clean = presentation.format == Format::Table || !io::stdout().is_terminal();
    let mut progress = Progress::begin(is_clean);
    let meter = Meter::default();
    let answer = progress.during(connection.execute(statement, &meter), &meter).await?;
    let summary = match &answer.kind {
        ResultKind::Rows => write_rows(answer, presentation, &meter, &mut progress).await?,
        ResultKind::Affected => {
            let affected = drain(answer, &meter, &mut progress).await?;
            count("row", affected, "affected")
        }
        ResultKind::Done(text) => {
            let text = text.clone();
            drain(answer, &meter, &mut progress).await?;
            text
        }
    };
    let elapsed = progress.elapsed();
    progress.clear();
    // Machine-readable output is for programs, and they did not ask how long it took.
    let is_chatty = presentation.is_interactive || presentation.format == Format::Table;
    if presentation.is_timed {
        note(&format!("{summary} ({:.3} s)", elapsed.as_secs_f64()));
    } else if is_chatty {
        note(&summary);
    }
    Ok(())
}

async fn write_rows(
    mut answer: Answer,
    presentation: Presentation,
    meter: &Meter,
    progress: &mut Progress,
) -> Result<String> {
    let mut output = Output::begin(
        presentation.format,
        std::sync::Arc::clone(&answer.schema),
        presentation.is_interactive,
        presentation.is_expanded,
    )?;
    while let Some(batch) = progress.during(answer.rows.next(), meter).await {
        output.write(&batch?)?;
    }
    progress.clear();
    let (rows, hidden) = output.finish()?;
    let mut summary = count("row", rows as u64, "");
    if hidden > 0 {
        summary = format!("… {hidden} more rows\n{summary}");
    }
    Ok(summary)
}

/// Runs a statement without rows to its end; returns the rows that it affected.
async fn drain(mut answer: Answer, meter: &Meter, progress: &mut Progress) -> Result<u64> {
    let mut affected = 0;
    while let Some(batch) = progress.during(answer.rows.next(), meter).await {
        affected += affected_rows(&batch?);
    }
    Ok(affected)
}

fn affected_rows(batch: &RecordBatch) -> u64 {
    let counts = batch.columns().first().and_then(|c| c.as_any().downcast_ref::<UInt64Array>());
    counts.map_or(0, |counts| counts.iter().flatten().sum())
}

fn count(noun: &str, number: u64, suffix: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural} {suffix}").trim_end().to_owned()
}
