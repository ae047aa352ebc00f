//! The line editor: history, completion, statements over several lines.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper, Highlighter, Hinter};
use tokio::runtime::Handle;

use super::connection::Connection;
use super::splitter;

/// Statements that the history keeps.
const HISTORY_MAX: usize = 5_000;
/// A catalog that does not answer must not hang the prompt.
const COMPLETION_MAX: Duration = Duration::from_secs(2);

const KEYWORDS: &[&str] = &[
    "ADD",
    "ALL",
    "ALTER",
    "ANALYZE",
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "CATALOGS",
    "COLUMN",
    "COMMENT",
    "COPY",
    "COUNT",
    "CREATE",
    "CROSS",
    "DELETE",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "EXCEPT",
    "EXECUTE",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "FOR VERSION AS OF",
    "FOR TIMESTAMP AS OF",
    "FROM",
    "FULL",
    "GROUP BY",
    "HAVING",
    "IF EXISTS",
    "IF NOT EXISTS",
    "IN",
    "INNER",
    "INSERT INTO",
    "INSERT OVERWRITE",
    "INTERSECT",
    "IS NULL",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "OFFSET",
    "ON",
    "OR",
    "ORDER BY",
    "OVER",
    "PARTITION BY",
    "PARTITIONED BY",
    "PREPARE",
    "READ_CSV",
    "READ_JSON",
    "READ_PARQUET",
    "RENAME",
    "REPLACE",
    "RIGHT",
    "SCHEMA",
    "SCHEMAS",
    "SELECT",
    "SET",
    "SHOW",
    "TABLE",
    "TABLES",
    "THEN",
    "TRUE",
    "TRUNCATE",
    "UNION",
    "USE",
    "USING",
    "VALUES",
    "VIEW",
    "VIEWS",
    "WHEN",
    "WHERE",
    "WITH",
];

/// A line, or how the reading of one ended.
#[derive(Debug)]
pub(super) enum Line {
    Text(String),
    /// Ctrl-C: the line is cleared.
    Cleared,
    /// Ctrl-D.
    End,
}

/// Reads statements from a person; blocks, so it lives on a blocking thread while it reads.
pub(super) struct LineEditor<C: Connection> {
    editor: Editor<ShellHelper<C>, DefaultHistory>,
    history: Option<PathBuf>,
}

impl<C: Connection> LineEditor<C> {
    pub(super) fn open(connection: Arc<C>, history: Option<PathBuf>) -> Result<Self> {
        let config = Config::builder()
            .max_history_size(HISTORY_MAX)?
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            .bracketed_paste(true)
            .build();
        let mut editor = Editor::with_config(config)?;
        editor.set_helper(Some(ShellHelper { connection, runtime: Handle::current() }));
        // The first start has none; one that cannot be read must not keep anybody out.
        if let Some(history) = &history
            && let Err(e) = editor.load_history(history)
        {
            tracing::debug!(error = %e, "no history");
        }
        Ok(Self { editor, history })
    }

    pub(super) fn read(&mut self, prompt: &str) -> Result<Line> {
        match self.editor.readline(prompt) {
            Ok(text) => {
                if !text.trim().is_empty() {
                    self.editor.add_history_entry(&text)?;
                    // Saved at once: a shell that is killed keeps its history. Mode 0600.
                    if let Some(history) = &self.history
                        && let Err(e) = self.editor.save_history(history)
                    {
                        tracing::warn!(error = %e, "history not saved");
                    }
                }
                Ok(Line::Text(text))
            }
            Err(ReadlineError::Interrupted) => Ok(Line::Cleared),
            Err(ReadlineError::Eof) => Ok(Line::End),
            Err(e) => Err(e.into()),
        }
    }
}

#[derive(Helper, Highlighter, Hinter)]
struct ShellHelper<C: Connection> {
    connection: Arc<C>,
    runtime: Handle,
}

impl<C: Connection> Validator for ShellHelper<C> {
    fn validate(&self, ctx: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let input = ctx.input();
        let is_helper = input.trim_start().starts_with('\\');
        if !is_helper && splitter::split(input).is_open {
            return Ok(ValidationResult::Incomplete);
        }
        Ok(ValidationResult::Valid(None))
    }
}

impl<C: Connection> Completer for ShellHelper<C> {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _ctx: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let start = word_start(&line[..pos]);
        let word = &line[start..pos];
        let names = self
            .runtime
            .block_on(async {
                tokio::time::timeout(COMPLETION_MAX, self.connection.complete(word)).await
            })
            .unwrap_or_default();
        let candidates = names.into_iter().chain(keywords(word));
        Ok((start, candidates.map(|c| Pair { display: c.clone(), replacement: c }).collect()))
    }
}

/// Where the name under the cursor begins, its qualifiers included.
fn word_start(before: &str) -> usize {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '"' | '$');
    before
        .char_indices()
        .rev()
        .take_while(|(_, c)| is_part(*c))
        .last()
        .map_or(before.len(), |(i, _)| i)
}

/// Keywords that begin with `word`, in the case that it is written in.
fn keywords(word: &str) -> Vec<String> {
    if word.is_empty() || word.contains('.') {
        return Vec::new();
    }
    let upper = word.to_uppercase();
    let is_lower = word.chars().all(|c| !c.is_uppercase());
    KEYWORDS
        .iter()
        .filter(|k| k.starts_with(&upper))
        .map(|k| if is_lower { k.to_lowercase() } else { (*k).to_owned() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_under_the_cursor_includes_its_qualifiers() {
        for (before, word) in [
            ("select * from ice", "ice"),
            ("from iceberg.go", "iceberg.go"),
            ("f(", ""),
            ("a \"b$f", "\"b$f"),
        ] {
            assert_eq!(&before[word_start(before)..], word);
        }
    }

    #[test]
    fn keywords_complete_in_the_case_of_the_word() {
        assert_eq!(keywords("sel"), ["select"]);
        assert_eq!(keywords("SEL"), ["SELECT"]);
        assert!(keywords("iceberg.sel").is_empty());
    }
}
