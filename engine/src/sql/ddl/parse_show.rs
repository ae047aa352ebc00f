//! `SHOW …`, `DESCRIBE …`, `USE …` from tokens.

use sqlparser::tokenizer::Token;

use crate::error::Result;
use crate::sql::ddl::ast::{DdlStatement, Describe, LikePattern, ObjectPath, Show};
use crate::sql::ddl::cursor::Cursor;

/// Reads `SHOW …`; `None` for what is a setting (`SHOW ALL`, `SHOW datafusion.…`).
pub(crate) fn show(cursor: &mut Cursor<'_, '_, '_>) -> Result<Option<DdlStatement>> {
    let Token::Word(word) = cursor.peek(1) else { return Ok(None) };
    if word.quote_style.is_some() {
        return Ok(None);
    }
    let show = match word.value.to_lowercase().as_str() {
        "catalogs" => {
            cursor.skip(2);
            Show::Catalogs(like(cursor)?)
        }
        "schemas" | "databases" | "namespaces" => {
            cursor.skip(2);
            Show::Schemas(from(cursor, "a catalog name")?, like(cursor)?)
        }
        "tables" => {
            cursor.skip(2);
            Show::Tables(from(cursor, "a schema name")?, like(cursor)?)
        }
        "views" => {
            cursor.skip(2);
            Show::Views(from(cursor, "a schema name")?, like(cursor)?)
        }
        "columns" => {
            cursor.skip(2);
            let Some(table) = from(cursor, "a table name")? else {
                return cursor.fail("FROM and a table name");
            };
            Show::Columns(table, like(cursor)?)
        }
        "functions" => {
            cursor.skip(2);
            Show::Functions(like(cursor)?)
        }
        "create" => {
            cursor.skip(2);
            create(cursor)?
        }
        "tblproperties" => {
            cursor.skip(2);
            properties(cursor)?
        }
        "partitions" => {
            return cursor
                .unsupported("SHOW PARTITIONS is not supported: select from \"table$partitions\"");
        }
        "stats" | "grants" | "roles" | "role" | "branches" | "current" | "table" | "indexes" => {
            let shown = word.value.to_uppercase();
            return cursor.unsupported(format!("SHOW {shown} is not supported"));
        }
        _ => return Ok(None),
    };
    Ok(Some(DdlStatement::Show(show)))
}

fn from(cursor: &mut Cursor<'_, '_, '_>, what: &str) -> Result<Option<ObjectPath>> {
    if cursor.eat_any(&["from", "in"]) { cursor.path(what).map(Some) } else { Ok(None) }
}

fn like(cursor: &mut Cursor<'_, '_, '_>) -> Result<Option<LikePattern>> {
    if !cursor.eat(&["like"]) {
        return Ok(None);
    }
    let pattern = cursor.string("a pattern")?;
    if pattern.contains('*') && !pattern.contains('%') {
        return cursor.unsupported(format!(
            "pattern {pattern:?}: any characters are written %, one character _"
        ));
    }
    let escape = if cursor.eat(&["escape"]) {
        let text = cursor.string("one character")?;
        let mut letters = text.chars();
        match (letters.next(), letters.next()) {
            (Some(c), None) => Some(c),
            _ => return cursor.unsupported(format!("ESCAPE {text:?}: it takes one character")),
        }
    } else {
        None
    };
    Ok(Some(LikePattern { pattern, escape }))
}

fn create(cursor: &mut Cursor<'_, '_, '_>) -> Result<Show> {
    if cursor.eat(&["table"]) {
        cursor.path("a table name").map(Show::CreateTable)
    } else if cursor.eat(&["view"]) {
        cursor.path("a view name").map(Show::CreateView)
    } else if cursor.eat_any(&["schema", "database", "namespace"]) {
        cursor.path("a schema name").map(Show::CreateSchema)
    } else if cursor.eat(&["catalog"]) {
        cursor.path("a catalog name").map(Show::CreateCatalog)
    } else {
        cursor.fail("TABLE, VIEW, SCHEMA or CATALOG")
    }
}

fn properties(cursor: &mut Cursor<'_, '_, '_>) -> Result<Show> {
    let table = cursor.path("a table name")?;
    let key = if cursor.eat_token(&Token::LParen) {
        let key = crate::sql::ddl::parse_properties::property_key(cursor)?;
        cursor.expect_token(&Token::RParen)?;
        Some(key)
    } else {
        None
    };
    Ok(Show::Properties(table, key))
}

/// Reads `DESCRIBE …`.
pub(crate) fn describe(cursor: &mut Cursor<'_, '_, '_>) -> Result<DdlStatement> {
    cursor.skip(1);
    let is_name = |cursor: &Cursor<'_, '_, '_>, n| matches!(cursor.peek(n), Token::Word(_));
    let describe = if ["select", "with", "values"].iter().any(|w| cursor.peek_word(0, w))
        || matches!(cursor.peek(0), Token::LParen)
    {
        Describe::Query(cursor.query()?)
    } else if ["input", "output"].iter().any(|w| cursor.peek_word(0, w)) && is_name(cursor, 1) {
        return cursor.unsupported("DESCRIBE INPUT and OUTPUT are not supported");
    } else if ["schema", "database", "namespace"].iter().any(|w| cursor.peek_word(0, w))
        && is_name(cursor, 1)
    {
        cursor.skip(1);
        Describe::Schema(cursor.path("a schema name")?)
    } else {
        if cursor.peek_word(0, "table") && is_name(cursor, 1) {
            cursor.skip(1);
        }
        let extended =
            ["formatted", "extended"].iter().any(|w| cursor.peek_word(0, w)) && is_name(cursor, 1);
        if extended {
            cursor.skip(1);
        }
        Describe::Relation { name: cursor.path("a table name")?, extended }
    };
    Ok(DdlStatement::Describe(describe))
}

/// Reads `USE …`.
pub(crate) fn use_schema(cursor: &mut Cursor<'_, '_, '_>) -> Result<DdlStatement> {
    cursor.skip(1);
    if ["schema", "database", "namespace", "catalog"].iter().any(|w| cursor.peek_word(0, w))
        && matches!(cursor.peek(1), Token::Word(_))
    {
        if cursor.peek_word(0, "catalog") {
            return cursor.unsupported("USE CATALOG is not supported: write USE catalog.schema");
        }
        cursor.skip(1);
    }
    cursor.path("a schema name").map(DdlStatement::Use)
}
