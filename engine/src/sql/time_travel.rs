//! Time travel: spellings that sqlparser lacks, and from a version to a snapshot.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use fjord_catalog::references::{ReferenceKind, references};
use fjord_catalog::spec::{SnapshotRef, SnapshotReference};
use fjord_catalog::table::Table;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::branch::Reference;
use crate::error::{Error, ErrorKind, Result};

fn word(value: &str, keyword: Keyword) -> Token {
    Token::Word(Word { value: value.to_owned(), quote_style: None, keyword })
}

/// Respells `FOR VERSION AS OF x`, `FOR SYSTEM_VERSION AS OF x` and `VERSION AS OF 'x'` as
/// `AT(VERSION => x)`, and `FOR TIMESTAMP AS OF` as `TIMESTAMP AS OF`: sqlparser reads those.
///
/// Only a literal may follow `VERSION AS OF`, so a column named `version` under the alias `of`
/// keeps its meaning.
pub(crate) fn respell(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    // Whitespace between the words does not matter to the parser.
    let significant: Vec<usize> =
        (0..tokens.len()).filter(|i| !matches!(tokens[*i].token, Token::Whitespace(_))).collect();
    let mut respelt = Vec::with_capacity(tokens.len());
    let mut at = 0;
    let mut next_token = 0;
    while at < significant.len() {
        let here = significant[at];
        respelt.extend_from_slice(&tokens[next_token..here]);
        let peek = |n: usize| significant.get(at + n).map(|i| &tokens[*i]);
        let is = |n: usize, text: &str| {
            peek(n).is_some_and(|t| match &t.token {
                Token::Word(w) => w.quote_style.is_none() && w.value.eq_ignore_ascii_case(text),
                _ => false,
            })
        };
        let with_for = usize::from(is(0, "FOR"));
        let version = is(with_for, "VERSION") || (with_for == 1 && is(1, "SYSTEM_VERSION"));
        let as_of = is(with_for + 1, "AS") && is(with_for + 2, "OF");
        let value = peek(with_for + 3).filter(|t| is_literal(&t.token));
        let used = match value {
            Some(value) if version && as_of => {
                let span = tokens[here].span;
                let new = |token| TokenWithSpan { token, span };
                respelt.extend([
                    new(word("AT", Keyword::AT)),
                    new(Token::LParen),
                    new(word("VERSION", Keyword::VERSION)),
                    new(Token::RArrow),
                    value.clone(),
                    new(Token::RParen),
                ]);
                with_for + 4
            }
            _ if with_for == 1 && is(1, "TIMESTAMP") && as_of => {
                respelt.extend(tokens[significant[at + 1]..=significant[at + 3]].to_vec());
                4
            }
            _ => {
                respelt.push(tokens[here].clone());
                1
            }
        };
        at += used;
        next_token = significant.get(at - 1).map_or(tokens.len(), |i| i + 1);
    }
    respelt.extend_from_slice(tokens.get(next_token..).unwrap_or_default());
    respelt
}

fn is_literal(token: &Token) -> bool {
    matches!(token, Token::Number(..) | Token::SingleQuotedString(_) | Token::Placeholder(_))
}

/// The snapshot that `version` (a snapshot id, or the name of a branch or tag) stands for, and
/// whether it is a branch.
///
/// # Errors
/// `NotFound`, naming the snapshots, or branches and tags, that exist.
pub(crate) fn snapshot_of_version(
    table: &Table,
    version: &ScalarValue,
) -> Result<(SnapshotRef, bool)> {
    let metadata = table.metadata();
    let text = match version {
        ScalarValue::Utf8(Some(s))
        | ScalarValue::Utf8View(Some(s))
        | ScalarValue::LargeUtf8(Some(s)) => {
            if let Some(snapshot) = metadata.snapshot_for_ref(s) {
                let is_branch =
                    references(metadata)?.get(s).is_some_and(SnapshotReference::is_branch);
                return Ok((Arc::clone(snapshot), is_branch));
            }
            s.clone()
        }
        other => other.to_string(),
    };
    let Ok(id) = text.parse::<i64>() else {
        let (_, kind, snapshot) = Reference::named(&text).find(table)?;
        return Ok((snapshot, kind == ReferenceKind::Branch));
    };
    if let Some(snapshot) = metadata.snapshot_by_id(id) {
        return Ok((Arc::clone(snapshot), false));
    }
    Err(Error::new(
        ErrorKind::NotFound,
        format!(
            "table \"{}\": no snapshot {text}, it may have expired; {}",
            table.name(),
            known(table)
        ),
    ))
}

/// The snapshot that was current at `micros` since the epoch.
///
/// # Errors
/// `NotFound` when the table's history begins later, naming the snapshots that exist.
pub(crate) fn snapshot_at(table: &Table, micros: i64) -> Result<SnapshotRef> {
    let metadata = table.metadata();
    let current = metadata
        .history()
        .iter()
        .rfind(|entry| entry.timestamp_ms().saturating_mul(1_000) <= micros);
    let missing = |what: String| {
        let table_name = table.name();
        Error::new(ErrorKind::NotFound, format!("table \"{table_name}\": {what}; {}", known(table)))
    };
    let Some(entry) = current else {
        return Err(missing(format!("it has no snapshot as old as {}", shown(micros / 1_000))));
    };
    match metadata.snapshot_by_id(entry.snapshot_id) {
        Some(snapshot) => Ok(Arc::clone(snapshot)),
        None => Err(missing(format!(
            "snapshot {} that was current at {} has expired",
            entry.snapshot_id,
            shown(micros / 1_000)
        ))),
    }
}

/// The snapshots of a table as an error names them: the latest few, newest first.
fn known(table: &Table) -> String {
    const SHOWN_MAX: usize = 5;
    let mut snapshots: Vec<_> = table.metadata().snapshots().collect();
    if snapshots.is_empty() {
        return "the table was never written".to_owned();
    }
    snapshots.sort_by_key(|s| std::cmp::Reverse(s.timestamp_ms()));
    let list: Vec<String> = snapshots
        .iter()
        .take(SHOWN_MAX)
        .map(|s| format!("{} ({})", s.snapshot_id(), shown(s.timestamp_ms())))
        .collect();
    let more = snapshots.len().saturating_sub(SHOWN_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("there are {}{more}", list.join(", "))
}

fn shown(millis: i64) -> String {
    chrono::DateTime::from_timestamp_millis(millis)
        .map_or_else(|| millis.to_string(), |t| t.format("%Y-%m-%d %H:%M:%S%.3f UTC").to_string())
}
