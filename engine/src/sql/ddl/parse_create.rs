//! `CREATE TABLE`, `CREATE VIEW`, `CREATE SCHEMA` from tokens; no clause can be dropped.

use fjord_catalog::spec::{Literal, Type};
use sqlparser::tokenizer::Token;

use crate::error::{Error, Result};
use crate::sql::ddl::ast::{
    ColumnDef, CreateTableStatement, CreateViewStatement, DdlStatement, IfTaken, LikeClause,
    Property, PropertyStyle, PropertyValue, TableElement,
};
use crate::sql::ddl::cursor::Cursor;
use crate::sql::ddl::parse_catalog;
use crate::sql::ddl::parse_properties::property_list;
use crate::sql::ddl::parse_terms::{partition_def, sort_def};
use crate::sql::ddl::parse_type::parse_type;
use crate::sql::ddl::settings::{COMMENT, Setting, settings, stored};
use crate::sql::literal::{WrittenLiteral, bytes_from_hex, literal_of_type};

/// Reads what follows `CREATE` or stands at `REPLACE TABLE`.
pub(crate) fn create(cursor: &mut Cursor<'_, '_, '_>) -> Result<DdlStatement> {
    if cursor.eat(&["replace", "table"]) {
        return create_table(cursor, IfTaken::MustReplace);
    }
    cursor.expect(&["create"])?;
    let replace = cursor.eat(&["or", "replace"]);
    let if_taken = if replace { IfTaken::Replace } else { IfTaken::Fail };
    if cursor.eat(&["table"]) {
        return create_table(cursor, if_taken);
    }
    if cursor.eat(&["view"]) {
        return create_view(cursor, if_taken);
    }
    if !replace && cursor.eat_any(&["schema", "database", "namespace"]) {
        return create_schema(cursor);
    }
    if !replace && cursor.eat(&["catalog"]) {
        return parse_catalog::create(cursor);
    }
    let what = cursor.word_ahead(0);
    let replaced = if replace { "OR REPLACE " } else { "" };
    let hint = match what.as_str() {
        "TEMPORARY" | "TEMP" | "LOCAL" | "GLOBAL" => {
            ": use a common table expression (WITH) or a table"
        }
        "MATERIALIZED" => ": use CREATE OR REPLACE TABLE … AS",
        "EXTERNAL" => ": read files with read_parquet('…'), read_csv('…') or read_json('…')",
        "INDEX" | "UNIQUE" => ": Iceberg tables have none; partition or sort the table instead",
        "CATALOG" => ": ALTER CATALOG changes one",
        _ => "; tables, views, schemas and catalogs can be created",
    };
    cursor.unsupported(format!("CREATE {replaced}{what} is not supported{hint}"))
}

fn if_not_exists(cursor: &mut Cursor<'_, '_, '_>, if_taken: IfTaken) -> Result<IfTaken> {
    if !cursor.peek_words(&["if", "not", "exists"]) {
        return Ok(if_taken);
    }
    if if_taken != IfTaken::Fail {
        return cursor.unsupported("REPLACE and IF NOT EXISTS exclude each other");
    }
    cursor.skip(3);
    Ok(IfTaken::Skip)
}

/// Clauses that may each be given once.
#[derive(Default)]
struct TableClauses {
    given: Vec<&'static str>,
}

impl TableClauses {
    fn once(&mut self, clause: &'static str) -> Result<()> {
        if self.given.contains(&clause) {
            return Err(Error::invalid(format!("CREATE TABLE has two {clause} clauses")));
        }
        self.given.push(clause);
        Ok(())
    }
}

fn create_table(cursor: &mut Cursor<'_, '_, '_>, if_taken: IfTaken) -> Result<DdlStatement> {
    let if_taken = if_not_exists(cursor, if_taken)?;
    let mut table = CreateTableStatement {
        name: cursor.path("a table name")?,
        if_taken,
        elements: Vec::new(),
        column_names: Vec::new(),
        partitioning: Vec::new(),
        sorted_by: Vec::new(),
        location: None,
        comment: None,
        format_version: None,
        properties: Vec::new(),
        query: None,
        with_data: true,
    };
    if cursor.eat(&["like"]) {
        table.elements.push(TableElement::Like(like(cursor)?));
    } else if matches!(cursor.peek(0), Token::LParen) && !is_query_in_parentheses(cursor) {
        column_list(cursor, &mut table)?;
    }
    let mut clauses = TableClauses::default();
    while !cursor.at_end() {
        table_clause(cursor, &mut table, &mut clauses)?;
        if table.query.is_some() {
            cursor.expect_end("CREATE TABLE AS")?;
        }
    }
    check_shape(&table)?;
    Ok(DdlStatement::CreateTable(Box::new(table)))
}

fn is_query_in_parentheses(cursor: &Cursor<'_, '_, '_>) -> bool {
    ["select", "with", "values"].iter().any(|word| cursor.peek_word(1, word))
        && !matches!(cursor.peek(2), Token::Comma | Token::RParen)
}

fn check_shape(table: &CreateTableStatement) -> Result<()> {
    match (&table.query, table.elements.is_empty(), table.column_names.is_empty()) {
        (Some(_), false, _) => Err(Error::unsupported(format!(
            "CREATE TABLE {} AS takes its column types from the query: give names alone, or cast in the query",
            table.name
        ))),
        (None, true, false) => {
            Err(Error::invalid(format!("CREATE TABLE {}: the columns need types", table.name)))
        }
        (None, true, true) => Err(Error::invalid(format!(
            "CREATE TABLE {} needs columns or a query (AS SELECT …)",
            table.name
        ))),
        _ => Ok(()),
    }
}

fn table_clause(
    cursor: &mut Cursor<'_, '_, '_>,
    table: &mut CreateTableStatement,
    clauses: &mut TableClauses,
) -> Result<()> {
    if cursor.eat(&["as"]) {
        table.query = Some(cursor.query()?);
        if cursor.eat(&["with", "no", "data"]) {
            table.with_data = false;
        } else {
            cursor.eat(&["with", "data"]);
        }
    } else if ["select", "with", "values"].iter().any(|w| cursor.peek_word(0, w))
        && !matches!(cursor.peek(1), Token::LParen)
    {
        return cursor.fail("AS before the query");
    } else if cursor.eat(&["using"]) {
        clauses.once("USING")?;
        let format = cursor.name("iceberg")?;
        if format != "iceberg" {
            return cursor.unsupported(format!(
                "USING {format}: every table is an Iceberg table; write USING iceberg"
            ));
        }
    } else if cursor.eat(&["partitioned", "by"]) || cursor.eat(&["partition", "by"]) {
        clauses.once("PARTITIONED BY")?;
        table.partitioning = cursor.list(partition_def)?;
    } else if cursor.eat(&["write", "ordered", "by"]) || cursor.eat(&["ordered", "by"]) {
        clauses.once("WRITE ORDERED BY")?;
        table.sorted_by = sort_list(cursor)?;
    } else if cursor.eat(&["comment"]) {
        clauses.once("COMMENT")?;
        cursor.eat_token(&Token::Eq);
        table.comment = Some(cursor.string("a comment")?);
    } else if cursor.eat(&["location"]) {
        clauses.once("LOCATION")?;
        table.location = Some(cursor.string("a location")?);
    } else if cursor.eat(&["tblproperties"]) {
        clauses.once("TBLPROPERTIES")?;
        let properties = property_list(cursor, PropertyStyle::Spark)?;
        apply_properties(table, clauses, &properties)?;
    } else if cursor.eat(&["with"]) {
        clauses.once("WITH")?;
        let properties = property_list(cursor, PropertyStyle::With)?;
        apply_properties(table, clauses, &properties)?;
    } else {
        return refuse_table_clause(cursor);
    }
    Ok(())
}

fn refuse_table_clause(cursor: &Cursor<'_, '_, '_>) -> Result<()> {
    let word = cursor.word_ahead(0);
    let hint = match word.as_str() {
        "CLUSTERED" => "partition by bucket(n, column)",
        "SORTED" | "CLUSTER" | "ORDER" => {
            "write WRITE ORDERED BY (…) or WITH (sorted_by = ARRAY['…'])"
        }
        "STORED" | "ROW" | "OUTPUTFORMAT" => "tables are stored as Parquet",
        "OPTIONS" => "use TBLPROPERTIES (…)",
        "INHERITS" | "ENGINE" | "ON" | "TABLESPACE" => "leave it out",
        _ => return cursor.fail("a clause of CREATE TABLE"),
    };
    cursor.unsupported(format!("CREATE TABLE: clause {word} is not supported: {hint}"))
}

/// Sort terms, in parentheses or not.
pub(crate) fn sort_list(
    cursor: &mut Cursor<'_, '_, '_>,
) -> Result<Vec<crate::sql::ddl::ast::SortDef>> {
    if matches!(cursor.peek(0), Token::LParen) {
        cursor.list(sort_def)
    } else {
        cursor.comma_separated(sort_def)
    }
}

fn apply_properties(
    table: &mut CreateTableStatement,
    clauses: &mut TableClauses,
    properties: &[Property],
) -> Result<()> {
    for property in properties {
        if property.value == PropertyValue::Default {
            return Err(Error::invalid(format!(
                "table property {:?}: DEFAULT means something in ALTER TABLE only",
                property.key
            )));
        }
        for setting in settings(property)? {
            match setting {
                Setting::Partitioning(fields) => {
                    clauses.once("PARTITIONED BY")?;
                    table.partitioning = fields;
                }
                Setting::SortedBy(fields) => {
                    clauses.once("WRITE ORDERED BY")?;
                    table.sorted_by = fields;
                }
                Setting::Location(location) => {
                    clauses.once("LOCATION")?;
                    table.location = Some(location);
                }
                Setting::FormatVersion(version) => {
                    clauses.once("format version")?;
                    table.format_version = Some(version);
                }
                Setting::Stored(key, Some(value)) if key == COMMENT => {
                    clauses.once("COMMENT")?;
                    table.comment = Some(value);
                }
                Setting::Stored(key, Some(value)) => {
                    if table.properties.iter().any(|(taken, _)| *taken == key) {
                        return Err(Error::invalid(format!(
                            "table property {key:?} is given twice"
                        )));
                    }
                    table.properties.push((key, value));
                }
                Setting::Stored(_, None) | Setting::AlreadySo => {}
            }
        }
    }
    Ok(())
}

fn column_list(cursor: &mut Cursor<'_, '_, '_>, table: &mut CreateTableStatement) -> Result<()> {
    cursor.expect_token(&Token::LParen)?;
    loop {
        refuse_table_constraint(cursor)?;
        if cursor.eat(&["like"]) {
            table.elements.push(TableElement::Like(like(cursor)?));
        } else if matches!(cursor.peek(1), Token::Comma | Token::RParen) {
            table.column_names.push(cursor.name("a column name")?);
        } else {
            table.elements.push(TableElement::Column(top_column(cursor)?));
        }
        if !cursor.eat_token(&Token::Comma) {
            break;
        }
    }
    cursor.expect_token(&Token::RParen)?;
    if !table.elements.is_empty() && !table.column_names.is_empty() {
        return Err(Error::invalid(format!(
            "CREATE TABLE {}: column {:?} has no type",
            table.name, table.column_names[0]
        )));
    }
    Ok(())
}

fn like(cursor: &mut Cursor<'_, '_, '_>) -> Result<LikeClause> {
    let source = cursor.path("a table name")?;
    let including_properties = cursor.eat(&["including", "properties"]);
    if !including_properties && !cursor.eat(&["excluding", "properties"]) {
        let word = cursor.word_ahead(0);
        if word == "INCLUDING" || word == "EXCLUDING" {
            return cursor.fail("INCLUDING PROPERTIES or EXCLUDING PROPERTIES");
        }
    }
    Ok(LikeClause { source, including_properties })
}

fn refuse_table_constraint(cursor: &Cursor<'_, '_, '_>) -> Result<()> {
    let first = cursor.word_ahead(0);
    let is_constraint = match first.as_str() {
        "PRIMARY" | "FOREIGN" => cursor.peek_word(1, "key"),
        "UNIQUE" | "CHECK" | "EXCLUDE" => matches!(cursor.peek(1), Token::LParen),
        "CONSTRAINT" => ["primary", "unique", "check", "foreign", "not"]
            .iter()
            .any(|word| cursor.peek_word(2, word)),
        "PERIOD" => cursor.peek_word(1, "for"),
        _ => false,
    };
    if !is_constraint || !matches!(cursor.peek(0), Token::Word(w) if w.quote_style.is_none()) {
        return Ok(());
    }
    let shown = if cursor.peek_word(1, "key") { format!("{first} KEY") } else { first };
    cursor.unsupported(format!("constraint {shown} is not supported: nothing would enforce it"))
}

fn top_column(cursor: &mut Cursor<'_, '_, '_>) -> Result<ColumnDef> {
    let name = cursor.name("a column name")?;
    column_after_name(cursor, vec![name])
}

/// Reads type and options of a column whose name was read.
pub(crate) fn column_after_name(
    cursor: &mut Cursor<'_, '_, '_>,
    path: Vec<String>,
) -> Result<ColumnDef> {
    let shown = path.join(".");
    let ty = parse_type(cursor)
        .map_err(|e| Error::new(e.kind(), format!("column {shown:?}: {e}")).with_source(e))?;
    let mut column = ColumnDef { path, ty, required: false, comment: None, default: None };
    let mut has_default = false;
    loop {
        if cursor.eat(&["not", "null"]) {
            column.required = true;
        } else if !column.required && cursor.eat(&["null"]) {
            // NULL is what a column allows anyway.
        } else if column.comment.is_none() && cursor.eat(&["comment"]) {
            column.comment = Some(cursor.string("a comment")?);
        } else if !has_default && cursor.eat(&["default"]) {
            has_default = true;
            column.default = default_value(cursor, &column.ty).map_err(|e| {
                Error::new(e.kind(), format!("column {shown:?}: {e}")).with_source(e)
            })?;
        } else if matches!(cursor.peek(0), Token::Word(_)) && !is_column_position(cursor) {
            return refuse_column_option(cursor, &shown);
        } else {
            return Ok(column);
        }
    }
}

/// `FIRST`, `LAST` and `AFTER` belong to ALTER TABLE, which names them itself; clauses of a CREATE TABLE
/// never follow a column without a parenthesis between.
fn is_column_position(cursor: &Cursor<'_, '_, '_>) -> bool {
    ["first", "after", "last"].iter().any(|word| cursor.peek_word(0, word))
}

fn refuse_column_option<T>(cursor: &Cursor<'_, '_, '_>, column: &str) -> Result<T> {
    let word = cursor.word_ahead(0);
    let hint = match word.as_str() {
        "PRIMARY" | "UNIQUE" | "CHECK" | "REFERENCES" | "CONSTRAINT" => "nothing would enforce it",
        "GENERATED" | "AS" | "AUTO_INCREMENT" | "IDENTITY" => {
            "compute the value in the query that inserts"
        }
        "COLLATE" => "strings compare by their bytes",
        "WITH" => "Iceberg columns have no properties",
        "NOT" | "NULL" | "COMMENT" | "DEFAULT" => "it is given twice or contradicts another",
        _ => "a column may have NOT NULL, DEFAULT and COMMENT",
    };
    cursor.unsupported(format!("column {column:?}: {word} is not supported: {hint}"))
}

fn default_value(cursor: &mut Cursor<'_, '_, '_>, ty: &Type) -> Result<Option<Literal>> {
    written_literal(cursor)?.map(|written| literal_of_type(&written, ty)).transpose()
}

/// Reads a literal; `None` for NULL.
pub(crate) fn written_literal(cursor: &mut Cursor<'_, '_, '_>) -> Result<Option<WrittenLiteral>> {
    if cursor.eat(&["null"]) {
        return Ok(None);
    }
    let sign = if cursor.eat_token(&Token::Minus) { "-" } else { "" };
    for word in ["date", "time", "timestamp", "uuid"] {
        if matches!(cursor.peek(1), Token::SingleQuotedString(_)) {
            cursor.eat(&[word]);
        }
    }
    let written = match cursor.peek(0) {
        Token::Number(digits, _) => WrittenLiteral::Number(format!("{sign}{digits}")),
        Token::SingleQuotedString(text) if sign.is_empty() => WrittenLiteral::Text(text),
        Token::HexStringLiteral(digits) if sign.is_empty() => match bytes_from_hex(&digits) {
            Some(bytes) => WrittenLiteral::Bytes(bytes),
            None => return cursor.fail("an even number of hexadecimal digits"),
        },
        Token::Word(_) if sign.is_empty() && cursor.peek_word(0, "true") => {
            WrittenLiteral::Boolean(true)
        }
        Token::Word(_) if sign.is_empty() && cursor.peek_word(0, "false") => {
            WrittenLiteral::Boolean(false)
        }
        _ => return cursor.fail("a literal (Iceberg's defaults are constants)"),
    };
    cursor.skip(1);
    Ok(Some(written))
}

fn create_view(cursor: &mut Cursor<'_, '_, '_>, if_taken: IfTaken) -> Result<DdlStatement> {
    let if_taken = if_not_exists(cursor, if_taken)?;
    let name = cursor.path("a view name")?;
    let columns = if matches!(cursor.peek(0), Token::LParen) {
        cursor.list(|cursor| {
            let column = cursor.name("a column name")?;
            let comment =
                if cursor.eat(&["comment"]) { Some(cursor.string("a comment")?) } else { None };
            Ok((column, comment))
        })?
    } else {
        Vec::new()
    };
    let mut comment = None;
    let mut properties: Option<Vec<(String, String)>> = None;
    while !cursor.eat(&["as"]) {
        if comment.is_none() && cursor.eat(&["comment"]) {
            comment = Some(cursor.string("a comment")?);
        } else if properties.is_none() && cursor.eat(&["tblproperties"]) {
            properties = Some(plain_properties(cursor)?);
        } else if cursor.peek_words(&["security"]) || cursor.peek_words(&["sql", "security"]) {
            return cursor.unsupported("a view's SECURITY clause is not supported: leave it out");
        } else {
            return cursor.fail("AS and the view's query");
        }
    }
    let query = cursor.query()?;
    if cursor.peek_words(&["with"]) {
        return cursor
            .unsupported("WITH CHECK OPTION and WITH NO SCHEMA BINDING are not supported");
    }
    Ok(DdlStatement::CreateView(Box::new(CreateViewStatement {
        name,
        if_taken,
        columns,
        comment,
        properties: properties.unwrap_or_default(),
        query,
    })))
}

/// Properties that are stored as they are (schemas, views).
pub(crate) fn plain_properties(cursor: &mut Cursor<'_, '_, '_>) -> Result<Vec<(String, String)>> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for property in property_list(cursor, PropertyStyle::Spark)? {
        let PropertyValue::Text(value) = property.value else {
            return Err(Error::invalid(format!("property {:?} takes one value", property.key)));
        };
        if pairs.iter().any(|(key, _)| *key == property.key) {
            return Err(Error::invalid(format!("property {:?} is given twice", property.key)));
        }
        stored(&property.key, None)?;
        pairs.push((property.key, value));
    }
    Ok(pairs)
}

fn create_schema(cursor: &mut Cursor<'_, '_, '_>) -> Result<DdlStatement> {
    let if_not_exists = cursor.eat(&["if", "not", "exists"]);
    let name = cursor.path("a schema name")?;
    let mut properties: Vec<(String, String)> = Vec::new();
    while !cursor.at_end() {
        let more = if cursor.eat(&["comment"]) {
            vec![(COMMENT.to_owned(), cursor.string("a comment")?)]
        } else if cursor.eat(&["location"]) {
            vec![("location".to_owned(), cursor.string("a location")?)]
        } else if cursor.eat(&["with"]) {
            cursor.eat(&["dbproperties"]);
            plain_properties(cursor)?
        } else if cursor.peek_words(&["authorization"]) {
            return cursor
                .unsupported("CREATE SCHEMA … AUTHORIZATION is not supported: leave it out");
        } else {
            return cursor.fail("COMMENT, LOCATION or WITH (…)");
        };
        for (key, value) in more {
            if properties.iter().any(|(taken, _)| *taken == key) {
                return Err(Error::invalid(format!("schema property {key:?} is given twice")));
            }
            properties.push((key, value));
        }
    }
    Ok(DdlStatement::CreateSchema { name, if_not_exists, properties })
}
