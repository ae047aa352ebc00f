//! `CREATE`, `REPLACE` and `DROP BRANCH` and `TAG` of ALTER TABLE, from tokens (Spark's spelling).

use fjord_catalog::references::{At, IfThere, ReferenceChange, ReferenceKind, Retention};
use sqlparser::tokenizer::Token;

use crate::error::{Error, Result};
use crate::sql::ddl::cursor::Cursor;

type Tokens<'c, 'p, 'd, 's> = &'c mut Cursor<'p, 'd, 's>;

/// Reads an action on a branch or tag, or nothing.
pub(crate) fn reference_change(cursor: Tokens<'_, '_, '_, '_>) -> Result<Option<ReferenceChange>> {
    for (words, kind) in [("branch", ReferenceKind::Branch), ("tag", ReferenceKind::Tag)] {
        if cursor.eat(&["create", "or", "replace", words]) {
            return put(cursor, kind, IfThere::Replace).map(Some);
        }
        if cursor.eat(&["replace", words]) {
            return put(cursor, kind, IfThere::MustReplace).map(Some);
        }
        if cursor.eat(&["create", words]) {
            let skips = cursor.eat(&["if", "not", "exists"]);
            let if_there = if skips { IfThere::Skip } else { IfThere::Fail };
            return put(cursor, kind, if_there).map(Some);
        }
        // A column may be called so: `DROP branch` is its.
        let is_named =
            cursor.peek_words(&["drop", words]) && matches!(cursor.peek(2), Token::Word(_));
        if is_named {
            cursor.skip(2);
            let if_exists = cursor.eat(&["if", "exists"]);
            let name = cursor.name(&format!("the name of a {kind}"))?;
            return Ok(Some(ReferenceChange::Drop { kind, name, if_exists }));
        }
    }
    Ok(None)
}

fn put(
    cursor: Tokens<'_, '_, '_, '_>,
    kind: ReferenceKind,
    if_there: IfThere,
) -> Result<ReferenceChange> {
    let name = cursor.name(&format!("the name of a {kind}"))?;
    let at = if cursor.eat(&["as", "of", "version"]) { version(cursor)? } else { At::Current };
    let mut retention = Retention::default();
    if cursor.eat(&["retain"]) {
        retention.reference_age_ms = Some(age(cursor)?);
    }
    if kind == ReferenceKind::Branch && cursor.eat(&["with", "snapshot", "retention"]) {
        snapshots(cursor, &mut retention)?;
    }
    Ok(ReferenceChange::Put { kind, name, at, if_there, retention })
}

/// A snapshot id, or the name of a branch or tag in quotes.
fn version(cursor: Tokens<'_, '_, '_, '_>) -> Result<At> {
    match cursor.peek(0) {
        Token::SingleQuotedString(name) => {
            cursor.skip(1);
            Ok(At::Reference(name))
        }
        _ => Ok(At::Snapshot(cursor.integer("a snapshot id")?)),
    }
}

/// `3 SNAPSHOTS`, `2 DAYS`, or both in this order.
fn snapshots(cursor: Tokens<'_, '_, '_, '_>, retention: &mut Retention) -> Result<()> {
    if cursor.peek_word(1, "snapshots") {
        retention.snapshots_min = Some(cursor.integer("a number of snapshots")?);
        cursor.skip(1);
        if !matches!(cursor.peek(0), Token::Number(..)) {
            return Ok(());
        }
    }
    retention.snapshot_age_ms = Some(age(cursor)?);
    Ok(())
}

fn age(cursor: Tokens<'_, '_, '_, '_>) -> Result<i64> {
    let number: i64 = cursor.integer("a number of DAYS, HOURS or MINUTES")?;
    let unit_ms = match cursor.word_ahead(0).as_str() {
        "DAYS" => 86_400_000,
        "HOURS" => 3_600_000,
        "MINUTES" => 60_000,
        _ => return cursor.fail("DAYS, HOURS or MINUTES"),
    };
    cursor.skip(1);
    number
        .checked_mul(unit_ms)
        .ok_or_else(|| Error::invalid(format!("a retention of {number} is too long")))
}
