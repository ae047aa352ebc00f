//! `CALL [catalog.]system.procedure(…)` from tokens.

use fjord_catalog::references::{At, ReferenceChange};
use sqlparser::tokenizer::Token;

use crate::error::{Error, Result};
use crate::sql::ddl::arguments::{Arguments, Signature};
use crate::sql::ddl::ast::{AlterAction, CatalogStatement, DdlStatement, ObjectPath};
use crate::sql::ddl::cursor::{Cursor, from_parser};

type Tokens<'c, 'p, 'd, 's> = &'c mut Cursor<'p, 'd, 's>;

/// The procedures that a user may call, for errors.
const KNOWN: &str = "kill, refresh, rollback_to_snapshot, rollback_to_timestamp, set_current_snapshot, \
                     cherrypick_snapshot, fast_forward, register_table, add_files and snapshot";

/// Reads `CALL`. Arguments stand by position or by name (`table => …`). The table is one string,
/// with its schema (Spark), or, by position, two: schema and table (Trino).
pub(crate) fn call(cursor: Tokens<'_, '_, '_, '_>) -> Result<DdlStatement> {
    cursor.expect(&["call"])?;
    let procedure = cursor.path("a procedure")?;
    let parts: Vec<&str> = procedure.0.iter().map(String::as_str).collect();
    let (catalog, name) = match parts.as_slice() {
        ["system", name] => (None, *name),
        [catalog, "system", name] => (Some(*catalog), *name),
        _ => (None, ""),
    };
    let Some(signature) = signature(name) else {
        return cursor
            .unsupported(format!("procedure {procedure} is not known; system has {KNOWN}"));
    };
    let mut arguments = Arguments::read(cursor, &procedure, signature)?;
    if name == "kill" {
        return Ok(DdlStatement::Kill(arguments.text("id")?));
    }
    if name == "refresh" {
        let catalog = arguments.text("catalog")?;
        return Ok(DdlStatement::Catalog(CatalogStatement::Refresh(catalog)));
    }
    let table = table_of(catalog, &mut arguments)?;
    if name == "register_table" {
        let metadata_file = arguments.text("metadata_file")?;
        return Ok(DdlStatement::RegisterTable { name: table, metadata_file });
    }
    if name == "add_files" {
        let source = source_of(&mut arguments)?;
        let is_unique = arguments.flag("check_duplicate_files")?.unwrap_or(true);
        return Ok(DdlStatement::AddFiles { name: table, source, is_unique });
    }
    if name == "snapshot" {
        let source = source_of(&mut arguments)?;
        return Ok(DdlStatement::SnapshotFiles { name: table, source });
    }
    let action = match name {
        "cherrypick_snapshot" => AlterAction::CherryPick(arguments.integer("snapshot_id")?),
        _ => AlterAction::References(reference_change(name, &mut arguments)?),
    };
    Ok(DdlStatement::AlterTable { name: table, if_exists: false, actions: vec![action] })
}

fn signature(procedure: &str) -> Option<Signature> {
    let mut named: &[&str] = &[];
    let (required, optional): (&[&str], &[&str]) = match procedure {
        "kill" => (&["id"], &[]),
        "refresh" => (&["catalog"], &[]),
        "rollback_to_snapshot" | "cherrypick_snapshot" => (&["table", "snapshot_id"], &[]),
        "rollback_to_timestamp" => (&["table", "timestamp"], &[]),
        "set_current_snapshot" => (&["table"], &["snapshot_id", "ref"]),
        "fast_forward" => (&["table", "branch", "to"], &[]),
        "register_table" => (&["table", "metadata_file"], &[]),
        "add_files" => {
            named = &["check_duplicate_files"];
            (&["table", "source_table"], &[])
        }
        "snapshot" => (&["source_table", "table"], &[]),
        _ => return None,
    };
    Some(Signature { required, optional, named })
}

/// The path of Parquet files: by itself, or as Spark names it, `` `parquet`.`path` ``.
fn source_of(arguments: &mut Arguments) -> Result<String> {
    let source = arguments.text("source_table")?;
    let quoted = |text: &str| {
        let quote = text.chars().next().filter(|c| matches!(c, '`' | '"'));
        let inner = quote.and_then(|quote| text.strip_prefix(quote)?.strip_suffix(quote));
        inner.unwrap_or(text).to_owned()
    };
    let path = match source.split_once('.') {
        Some((format, path)) if quoted(format).eq_ignore_ascii_case("parquet") => quoted(path),
        Some((format, _)) if matches!(quoted(format).to_lowercase().as_str(), "orc" | "avro") => {
            return Err(Error::unsupported(format!(
                "{}: {source:?} are not Parquet files, and no others can be taken in",
                arguments.procedure()
            )));
        }
        _ => source,
    };
    if !path.contains(['/', '.']) {
        return Err(arguments.usage("source_table is the path of Parquet files"));
    }
    Ok(path)
}

fn reference_change(procedure: &str, arguments: &mut Arguments) -> Result<ReferenceChange> {
    Ok(match procedure {
        "rollback_to_snapshot" => ReferenceChange::RollbackTo(arguments.integer("snapshot_id")?),
        "rollback_to_timestamp" => ReferenceChange::RollbackToTime(arguments.millis("timestamp")?),
        "set_current_snapshot" => ReferenceChange::SetCurrent(snapshot_or_reference(arguments)?),
        _ => ReferenceChange::FastForward {
            branch: arguments.text("branch")?,
            to: arguments.text("to")?,
        },
    })
}

fn snapshot_or_reference(arguments: &mut Arguments) -> Result<At> {
    match (arguments.has("snapshot_id"), arguments.has("ref")) {
        (true, false) => arguments.integer("snapshot_id").map(At::Snapshot),
        (false, true) => arguments.text("ref").map(At::Reference),
        _ => Err(arguments.usage("give one of snapshot_id and ref")),
    }
}

/// The table that the arguments name. A catalog in the procedure's name is where it is, unless its
/// own name says so too.
fn table_of(catalog: Option<&str>, arguments: &mut Arguments) -> Result<ObjectPath> {
    let table = arguments.text("table")?;
    let mut path = match arguments.take("schema") {
        Some(schema) => vec![schema, table],
        None => names_in(&table)?,
    };
    if let Some(catalog) = catalog {
        match path.len() {
            2 => path.insert(0, catalog.to_owned()),
            1 => {
                return Err(Error::invalid(format!(
                    "{}: give the schema of table {:?} too, as the catalog is given",
                    arguments.procedure(),
                    path.concat()
                )));
            }
            _ => {}
        }
    }
    Ok(ObjectPath(path))
}

/// The parts of a dotted name inside a string.
fn names_in(text: &str) -> Result<Vec<String>> {
    let dialect = sqlparser::dialect::GenericDialect {};
    let mut parser =
        sqlparser::parser::Parser::new(&dialect).try_with_sql(text).map_err(from_parser)?;
    let mut cursor = Cursor::new(&mut parser, text);
    let path = cursor.path("a name")?;
    cursor.expect_end("the name")?;
    Ok(path.0)
}

/// One argument: its name if given, and its text.
pub(crate) fn argument(cursor: Tokens<'_, '_, '_, '_>) -> Result<(Option<String>, String)> {
    let name = if matches!(cursor.peek(1), Token::RArrow) {
        let name = cursor.name("an argument")?;
        cursor.skip(1);
        Some(name)
    } else {
        None
    };
    if cursor.peek_word(0, "timestamp") && matches!(cursor.peek(1), Token::SingleQuotedString(_)) {
        cursor.skip(1);
    }
    let text = match cursor.peek(0) {
        Token::SingleQuotedString(text) | Token::Number(text, _) => text,
        Token::Word(word)
            if word.quote_style.is_none()
                && matches!(word.value.to_lowercase().as_str(), "true" | "false") =>
        {
            word.value.to_lowercase()
        }
        _ => return cursor.fail("a string, a number, true or false"),
    };
    cursor.skip(1);
    Ok((name, text))
}
