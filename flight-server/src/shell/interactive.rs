//! The conversation with a person at a terminal.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;

use super::backslash::{self, HELP, Helper};
use super::connection::Connection;
use super::editor::{Line, LineEditor};
use super::output::is_broken_pipe;
use super::runner::{Presentation, run_text};
use super::splitter;
use crate::cli::Format;
use crate::report::{error_text, note};

const PROMPT: &str = "fjord> ";

/// Where a conversation takes place.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// What the person is told.
    pub(crate) name: String,
    /// Where the statements that were typed are kept.
    pub(crate) history: Option<PathBuf>,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Prompt,
    Leave,
}

/// Reads and runs statements until the person leaves.
pub(super) async fn run<C: Connection>(
    connection: &Arc<C>,
    place: Place,
    format: Format,
) -> Result<ExitCode> {
    let mut editor = LineEditor::open(Arc::clone(connection), place.history)?;
    let mut presentation =
        Presentation { format, is_interactive: true, is_expanded: false, is_timed: true };
    note(&format!(
        "fjord {} on {}; \\? for help, \\q to leave",
        env!("CARGO_PKG_VERSION"),
        place.name
    ));
    loop {
        // The editor blocks: it goes to a thread of its own and comes back with the line.
        let (returned, line) = tokio::task::spawn_blocking(move || {
            let line = editor.read(PROMPT);
            (editor, line)
        })
        .await?;
        editor = returned;
        let next = match line? {
            Line::Text(text) => answer(connection.as_ref(), &text, &mut presentation).await?,
            Line::Cleared => Next::Prompt,
            Line::End => Next::Leave,
        };
        if next == Next::Leave {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

async fn answer(
    connection: &impl Connection,
    text: &str,
    presentation: &mut Presentation,
) -> Result<Next> {
    if !text.trim_start().starts_with('\\') {
        return run_statements(connection, text, *presentation).await;
    }
    match backslash::parse(text) {
        Helper::Sql(sql) => return run_statements(connection, &sql, *presentation).await,
        Helper::Timing => {
            presentation.is_timed = !presentation.is_timed;
            note(if presentation.is_timed { "timing is on" } else { "timing is off" });
        }
        Helper::Expanded => {
            presentation.is_expanded = !presentation.is_expanded;
            note(if presentation.is_expanded { "expanded is on" } else { "expanded is off" });
        }
        Helper::Help => note(HELP),
        Helper::Quit => return Ok(Next::Leave),
        Helper::Unknown(command) => note(&format!("error: no command {command}; \\? lists them")),
    }
    Ok(Next::Prompt)
}

/// Runs what a person typed. A failure or Ctrl-C ends these statements, not the shell.
async fn run_statements(
    connection: &impl Connection,
    text: &str,
    presentation: Presentation,
) -> Result<Next> {
    for piece in splitter::split(text).pieces {
        let padded = piece.padded(text);
        let outcome = tokio::select! {
            outcome = run_text(connection, &padded, presentation) => outcome,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                note("cancelled");
                return Ok(Next::Prompt);
            }
        };
        match outcome {
            Ok(()) => {}
            Err(e) if is_broken_pipe(&e) => return Ok(Next::Leave),
            Err(e) => {
                note(&error_text(e.as_ref()));
                return Ok(Next::Prompt);
            }
        }
    }
    Ok(Next::Prompt)
}
