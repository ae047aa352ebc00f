//! What standard error is told: failures with their causes, and notes.

use std::io::Write;

/// Writes one line to standard error.
pub(crate) fn note(text: &str) {
    // Nobody is left to tell when standard error itself is gone.
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// An error with its causes, each said once.
pub(crate) fn error_text(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = format!("error: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        let shown = inner.to_string();
        // Many errors repeat their cause in their own words.
        if !text.to_lowercase().contains(&without_kind(shown.trim()).to_lowercase()) {
            text.push_str(": ");
            text.push_str(shown.trim());
        }
        cause = inner.source();
    }
    text
}

/// DataFusion's errors begin with their kind.
fn without_kind(text: &str) -> &str {
    const KINDS: [&str; 4] = [
        "Error during planning: ",
        "Schema error: ",
        "Execution error: ",
        "This feature is not implemented: ",
    ];
    KINDS.iter().find_map(|kind| text.strip_prefix(kind)).unwrap_or(text)
}
