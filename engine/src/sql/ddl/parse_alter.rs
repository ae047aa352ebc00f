//! `ALTER …` and `COMMENT ON` from tokens.

use fjord_catalog::evolve::ColumnPosition;
use fjord_catalog::references::ReferenceChange;
use sqlparser::tokenizer::Token;

use crate::error::{Error, Result};
use crate::sql::ddl::ast::{
    AlterAction, AlterViewAction, ColumnDef, CommentTarget, DdlStatement, ObjectPath, Property,
    PropertyStyle, PropertyValue,
};
use crate::sql::ddl::cursor::Cursor;
use crate::sql::ddl::parse_catalog;
use crate::sql::ddl::parse_create::{column_after_name, sort_list, written_literal};
use crate::sql::ddl::parse_properties::{property, property_key, property_list};
use crate::sql::ddl::parse_refs;
use crate::sql::ddl::parse_terms::partition_def;
use crate::sql::ddl::parse_type::parse_type;
use crate::sql::ddl::settings::{Setting, settings, stored};

type Tokens<'c, 'p, 'd, 's> = &'c mut Cursor<'p, 'd, 's>;

/// Reads `ALTER …`.
pub(crate) fn alter(cursor: Tokens<'_, '_, '_, '_>) -> Result<DdlStatement> {
    cursor.expect(&["alter"])?;
    if cursor.eat(&["table"]) {
        return alter_table(cursor);
    }
    if cursor.eat(&["view"]) {
        return alter_view(cursor);
    }
    if cursor.eat_any(&["schema", "database", "namespace"]) {
        return alter_schema(cursor);
    }
    if cursor.eat(&["catalog"]) {
        return parse_catalog::alter(cursor);
    }
    let what = cursor.word_ahead(0);
    cursor.unsupported(format!(
        "ALTER {what} is not supported; there are ALTER TABLE, ALTER VIEW, ALTER SCHEMA and ALTER \
         CATALOG"
    ))
}

fn alter_table(cursor: Tokens<'_, '_, '_, '_>) -> Result<DdlStatement> {
    let if_exists = cursor.eat(&["if", "exists"]);
    let name = cursor.path("a table name")?;
    let mut actions = Vec::new();
    loop {
        action(cursor, &mut actions)?;
        if !cursor.eat_token(&Token::Comma) {
            break;
        }
    }
    let alone = |action: &AlterAction| {
        matches!(
            action,
            AlterAction::RenameTo(_) | AlterAction::References(_) | AlterAction::CherryPick(_)
        )
    };
    if actions.len() > 1 && actions.iter().any(alone) {
        return Err(Error::unsupported(format!(
            "ALTER TABLE {name}: RENAME TO, EXECUTE, BRANCH and TAG stand alone, in a \
             statement of their own"
        )));
    }
    Ok(DdlStatement::AlterTable { name, if_exists, actions })
}

fn action(cursor: Tokens<'_, '_, '_, '_>, actions: &mut Vec<AlterAction>) -> Result<()> {
    if let Some(change) = parse_refs::reference_change(cursor)? {
        actions.push(AlterAction::References(change));
    } else if cursor.eat(&["add", "partition", "field"]) {
        actions.push(AlterAction::AddPartitionField(partition_def(cursor)?));
    } else if cursor.eat(&["drop", "partition", "field"]) {
        actions.push(AlterAction::DropPartitionField(partition_def(cursor)?));
    } else if cursor.eat(&["replace", "partition", "field"]) {
        let old = partition_def(cursor)?;
        cursor.expect(&["with"])?;
        actions.push(AlterAction::ReplacePartitionField(old, partition_def(cursor)?));
    } else if cursor.eat(&["add"]) {
        add_columns(cursor, actions)?;
    } else if cursor.eat(&["drop"]) {
        drop_columns(cursor, actions)?;
    } else if cursor.eat(&["rename", "to"]) {
        actions.push(AlterAction::RenameTo(cursor.path("a table name")?));
    } else if cursor.eat(&["rename", "column"]) {
        let if_exists = cursor.eat(&["if", "exists"]);
        let path = cursor.path("a column name")?.0;
        cursor.expect(&["to"])?;
        let to = cursor.name("a column name")?;
        actions.push(AlterAction::RenameColumn { path, to, if_exists });
    } else if cursor.eat(&["alter", "column"]) || cursor.eat(&["alter"]) {
        alter_column(cursor, actions)?;
    } else if cursor.eat(&["change", "column"]) || cursor.eat(&["change"]) {
        change_column(cursor, actions)?;
    } else if cursor.eat(&["set"]) {
        set(cursor, actions)?;
    } else if cursor.eat(&["unset", "tblproperties"]) {
        actions.push(unset(cursor)?);
    } else if cursor.eat(&["write"]) {
        write_order(cursor, actions)?;
    } else if cursor.eat(&["execute"]) {
        actions.push(execute(cursor)?);
    } else {
        let word = cursor.word_ahead(0);
        return cursor.unsupported(format!(
            "ALTER TABLE … {word} is not supported; there are ADD, DROP, RENAME and ALTER COLUMN, \
             RENAME TO, SET and UNSET TBLPROPERTIES, SET PROPERTIES, ADD, DROP and REPLACE PARTITION \
             FIELD, CREATE, REPLACE and DROP BRANCH and TAG, WRITE ORDERED BY and EXECUTE"
        ));
    }
    Ok(())
}

fn add_columns(cursor: Tokens<'_, '_, '_, '_>, actions: &mut Vec<AlterAction>) -> Result<()> {
    for word in ["constraint", "primary", "unique", "check", "foreign", "partition"] {
        let next = cursor.peek(1);
        if cursor.peek_word(0, word) && matches!(next, Token::Word(_) | Token::LParen) {
            let shown = word.to_uppercase();
            return cursor.unsupported(format!("ALTER TABLE … ADD {shown} is not supported"));
        }
    }
    let listed = cursor.eat(&["columns"]);
    if !listed {
        cursor.eat(&["column"]);
    }
    let if_not_exists = cursor.eat(&["if", "not", "exists"]);
    let columns = if matches!(cursor.peek(0), Token::LParen) {
        cursor.list(new_column)?
    } else if listed {
        cursor.comma_separated(new_column)?
    } else {
        vec![new_column(cursor)?]
    };
    actions.extend(columns.into_iter().map(|(column, position)| AlterAction::AddColumn {
        column,
        if_not_exists,
        position,
    }));
    Ok(())
}

fn new_column(cursor: Tokens<'_, '_, '_, '_>) -> Result<(ColumnDef, ColumnPosition)> {
    let path = cursor.path("a column name")?;
    let column = column_after_name(cursor, path.0.clone())?;
    let position = position(cursor)?.unwrap_or_default();
    if column.required && column.default.is_none() {
        return Err(Error::unsupported(format!(
            "column {path}: NOT NULL cannot be added, for rows already there have no value; \
             add the column without it, or with a DEFAULT"
        )));
    }
    Ok((column, position))
}

/// `FIRST`, `LAST` or `AFTER c`, where `c` is a sibling of the column.
fn position(cursor: Tokens<'_, '_, '_, '_>) -> Result<Option<ColumnPosition>> {
    Ok(if cursor.eat(&["first"]) {
        Some(ColumnPosition::First)
    } else if cursor.eat(&["last"]) {
        Some(ColumnPosition::Last)
    } else if cursor.eat(&["after"]) {
        Some(ColumnPosition::After(cursor.name("a column name")?))
    } else {
        None
    })
}

fn drop_columns(cursor: Tokens<'_, '_, '_, '_>, actions: &mut Vec<AlterAction>) -> Result<()> {
    if ["constraint", "primary", "partition", "identifier"].iter().any(|w| cursor.peek_word(0, w))
        && matches!(cursor.peek(1), Token::Word(_) | Token::LParen)
    {
        let word = cursor.word_ahead(0);
        return cursor.unsupported(format!("ALTER TABLE … DROP {word} is not supported"));
    }
    let listed = cursor.eat(&["columns"]);
    if !listed {
        cursor.eat(&["column"]);
    }
    let if_exists = cursor.eat(&["if", "exists"]);
    let paths = if matches!(cursor.peek(0), Token::LParen) {
        cursor.list(|cursor| cursor.path("a column name"))?
    } else if listed {
        cursor.comma_separated(|cursor| cursor.path("a column name"))?
    } else {
        vec![cursor.path("a column name")?]
    };
    if cursor.peek_word(0, "cascade") || cursor.peek_word(0, "restrict") {
        return cursor.unsupported(
            "DROP COLUMN … CASCADE and RESTRICT are not supported: nothing depends on a column",
        );
    }
    actions.extend(
        paths.into_iter().map(|ObjectPath(path)| AlterAction::DropColumn { path, if_exists }),
    );
    Ok(())
}

fn alter_column(cursor: Tokens<'_, '_, '_, '_>, actions: &mut Vec<AlterAction>) -> Result<()> {
    let path = cursor.path("a column name")?.0;
    if cursor.eat(&["set", "data", "type"]) || cursor.eat(&["type"]) {
        actions.push(AlterAction::SetType(path, parse_type(cursor)?));
    } else if cursor.eat(&["drop", "not", "null"]) {
        actions.push(AlterAction::DropNotNull(path));
    } else if cursor.eat(&["comment"]) {
        actions.push(AlterAction::CommentColumn(path, cursor.string_or_null("a comment")?));
    } else if cursor.peek_words(&["set", "not", "null"]) {
        return cursor.unsupported("SET NOT NULL is not supported: rows already there may be NULL");
    } else if cursor.eat(&["set", "default"]) {
        actions.push(AlterAction::SetDefault(path, written_literal(cursor)?));
    } else if cursor.eat(&["drop", "default"]) {
        actions.push(AlterAction::SetDefault(path, None));
    } else if let Some(position) = position(cursor)? {
        actions.push(AlterAction::MoveColumn(path, position));
    } else {
        return cursor.fail(
            "TYPE, SET DATA TYPE, SET or DROP DEFAULT, DROP NOT NULL, COMMENT, FIRST, LAST or AFTER",
        );
    }
    Ok(())
}

/// `CHANGE [COLUMN] old new type [COMMENT '…']`.
fn change_column(cursor: Tokens<'_, '_, '_, '_>, actions: &mut Vec<AlterAction>) -> Result<()> {
    let old = cursor.path("a column name")?.0;
    let new = cursor.path("the column's name after the change")?.0;
    let column = column_after_name(cursor, old.clone())?;
    let position = position(cursor)?;
    if column.required || column.default.is_some() {
        return Err(Error::unsupported(
            "CHANGE COLUMN takes a name, a type, a comment and a place",
        ));
    }
    actions.push(AlterAction::SetType(old.clone(), column.ty));
    if column.comment.is_some() {
        actions.push(AlterAction::CommentColumn(old.clone(), column.comment));
    }
    actions.extend(position.map(|position| AlterAction::MoveColumn(old.clone(), position)));
    let (Some(to), same_parent) =
        (new.last(), new.len() == 1 || new[..new.len() - 1] == old[..old.len() - 1])
    else {
        return cursor.fail("a column name");
    };
    if !same_parent {
        return Err(Error::invalid("CHANGE COLUMN cannot move a field to another parent"));
    }
    if Some(to) != old.last() {
        actions.push(AlterAction::RenameColumn { path: old, to: to.clone(), if_exists: false });
    }
    Ok(())
}

fn set(cursor: Tokens<'_, '_, '_, '_>, actions: &mut Vec<AlterAction>) -> Result<()> {
    let properties = if cursor.eat(&["properties"]) {
        cursor.comma_separated(|cursor| property(cursor, PropertyStyle::With))?
    } else if cursor.eat(&["tblproperties"]) {
        property_list(cursor, PropertyStyle::Spark)?
    } else if cursor.peek_words(&["location"]) {
        return cursor
            .unsupported("SET LOCATION is not supported: a table's files stay where they are");
    } else if cursor.peek_words(&["identifier", "fields"]) {
        return cursor
            .unsupported("SET IDENTIFIER FIELDS is not supported: nothing would enforce them");
    } else {
        return cursor.fail("PROPERTIES or TBLPROPERTIES");
    };
    apply(&properties, actions)
}

fn apply(properties: &[Property], actions: &mut Vec<AlterAction>) -> Result<()> {
    let mut changes: Vec<(String, Option<String>)> = Vec::new();
    for property in properties {
        for setting in settings(property)? {
            match setting {
                Setting::Partitioning(fields) => actions.push(AlterAction::SetPartitioning(fields)),
                Setting::SortedBy(fields) => actions.push(AlterAction::SetSortOrder(fields)),
                Setting::FormatVersion(version) => {
                    actions.push(AlterAction::UpgradeFormat(version))
                }
                Setting::Location(_) => {
                    return Err(Error::unsupported(
                        "table property \"location\" cannot be changed: a table's files stay where they are",
                    ));
                }
                Setting::Stored(key, value) => {
                    if changes.iter().any(|(taken, _)| *taken == key) {
                        return Err(Error::invalid(format!(
                            "table property {key:?} is given twice"
                        )));
                    }
                    changes.push((key, value));
                }
                Setting::AlreadySo => {}
            }
        }
    }
    if !changes.is_empty() {
        actions.push(AlterAction::Properties { changes, must_exist: false });
    }
    Ok(())
}

fn unset(cursor: Tokens<'_, '_, '_, '_>) -> Result<AlterAction> {
    let (changes, must_exist) = removed_keys(cursor)?;
    Ok(AlterAction::Properties { changes, must_exist })
}

type Changes = Vec<(String, Option<String>)>;

fn removed_keys(cursor: Tokens<'_, '_, '_, '_>) -> Result<(Changes, bool)> {
    let must_exist = !cursor.eat(&["if", "exists"]);
    let keys = cursor.list(property_key)?;
    for key in &keys {
        stored(key, None)?;
    }
    Ok((keys.into_iter().map(|key| (key, None)).collect(), must_exist))
}

fn write_order(cursor: Tokens<'_, '_, '_, '_>, actions: &mut Vec<AlterAction>) -> Result<()> {
    if cursor.eat(&["unordered"]) {
        actions.push(AlterAction::SetSortOrder(Vec::new()));
    } else if cursor.eat(&["ordered", "by"]) || cursor.eat(&["locally", "ordered", "by"]) {
        actions.push(AlterAction::SetSortOrder(sort_list(cursor)?));
    } else if cursor.peek_words(&["distributed"]) {
        return cursor
            .unsupported("WRITE DISTRIBUTED BY is not supported: set 'write.distribution-mode'");
    } else {
        return cursor.fail("ORDERED BY or UNORDERED");
    }
    Ok(())
}

/// `EXECUTE rollback_to_snapshot(id)`, also with the name spelt out (`snapshot_id => id`).
fn execute(cursor: Tokens<'_, '_, '_, '_>) -> Result<AlterAction> {
    let procedure = cursor.name("a procedure")?;
    if procedure != "rollback_to_snapshot" {
        return cursor.unsupported(format!(
            "ALTER TABLE … EXECUTE {procedure} is not supported; there is rollback_to_snapshot"
        ));
    }
    cursor.expect_token(&Token::LParen)?;
    let id = snapshot_argument(cursor)?;
    cursor.expect_token(&Token::RParen)?;
    Ok(AlterAction::References(ReferenceChange::RollbackTo(id)))
}

fn snapshot_argument(cursor: Tokens<'_, '_, '_, '_>) -> Result<i64> {
    if cursor.eat(&["snapshot_id"]) {
        cursor.expect_token(&Token::RArrow)?;
    }
    cursor.integer("a snapshot id")
}

fn alter_view(cursor: Tokens<'_, '_, '_, '_>) -> Result<DdlStatement> {
    let if_exists = cursor.eat(&["if", "exists"]);
    let name = cursor.path("a view name")?;
    let action = if cursor.eat(&["rename", "to"]) {
        AlterViewAction::RenameTo(cursor.path("a view name")?)
    } else if cursor.eat(&["as"]) {
        AlterViewAction::SetQuery(cursor.query()?)
    } else if cursor.eat(&["set", "tblproperties"]) {
        let set = crate::sql::ddl::parse_create::plain_properties(cursor)?;
        let changes = set.into_iter().map(|(key, value)| (key, Some(value))).collect();
        AlterViewAction::Properties { changes, must_exist: false }
    } else if cursor.eat(&["unset", "tblproperties"]) {
        let (changes, must_exist) = removed_keys(cursor)?;
        AlterViewAction::Properties { changes, must_exist }
    } else {
        return cursor.fail("RENAME TO, AS, SET TBLPROPERTIES or UNSET TBLPROPERTIES");
    };
    Ok(DdlStatement::AlterView { name, if_exists, action })
}

fn alter_schema(cursor: Tokens<'_, '_, '_, '_>) -> Result<DdlStatement> {
    let name = cursor.path("a schema name")?;
    if cursor.peek_words(&["rename"]) {
        return cursor.unsupported("ALTER SCHEMA … RENAME is not supported: create the new schema and rename its tables into it");
    }
    if cursor.peek_words(&["set", "location"]) || cursor.peek_words(&["set", "authorization"]) {
        return cursor
            .unsupported("ALTER SCHEMA … SET LOCATION and AUTHORIZATION are not supported");
    }
    if cursor.peek_words(&["set"])
        && ["properties", "dbproperties"].iter().any(|word| cursor.peek_word(1, word))
    {
        cursor.skip(2);
        let mut changes = Vec::new();
        for Property { key, value, .. } in property_list(cursor, PropertyStyle::Spark)? {
            if key == "location" {
                return cursor.unsupported("a schema's location cannot be changed");
            }
            match value {
                PropertyValue::Text(text) => changes.push((key, Some(text))),
                PropertyValue::Default => changes.push((key, None)),
                _ => return Err(Error::invalid(format!("property {key:?} takes one value"))),
            }
        }
        return Ok(DdlStatement::AlterSchema { name, changes });
    }
    cursor.fail("SET PROPERTIES (…)")
}

/// Reads `COMMENT ON …`.
pub(crate) fn comment(cursor: Tokens<'_, '_, '_, '_>) -> Result<DdlStatement> {
    cursor.expect(&["comment", "on"])?;
    let target = if cursor.eat(&["table"]) {
        CommentTarget::Table(cursor.path("a table name")?)
    } else if cursor.eat(&["view"]) {
        CommentTarget::View(cursor.path("a view name")?)
    } else if cursor.eat_any(&["schema", "database", "namespace"]) {
        CommentTarget::Schema(cursor.path("a schema name")?)
    } else if cursor.eat(&["column"]) {
        let path = cursor.path("a table and column name")?;
        if path.0.len() < 2 {
            return Err(Error::invalid(format!("COMMENT ON COLUMN {path}: write table.column")));
        }
        CommentTarget::Column(path)
    } else {
        return cursor.fail("TABLE, VIEW, COLUMN or SCHEMA");
    };
    cursor.expect(&["is"])?;
    Ok(DdlStatement::Comment { target, comment: cursor.string_or_null("a comment")? })
}
