//! `ANALYZE` from tokens: Trino's `ANALYZE t WITH (columns = ARRAY['a'])`, and Spark's
//! `ANALYZE TABLE t COMPUTE STATISTICS FOR COLUMNS a`.

use crate::error::Result;
use crate::sql::ddl::ast::{DdlStatement, PropertyStyle, PropertyValue};
use crate::sql::ddl::cursor::Cursor;
use crate::sql::ddl::parse_properties::property_list;

/// Reads `ANALYZE`.
pub(crate) fn analyze(cursor: &mut Cursor<'_, '_, '_>) -> Result<DdlStatement> {
    cursor.expect(&["analyze"])?;
    let spark = cursor.eat(&["table"]);
    let name = cursor.path("a table name")?;
    let mut columns = Vec::new();
    if spark {
        if cursor.peek_word(0, "partition") {
            return cursor.unsupported("ANALYZE TABLE … PARTITION is not supported");
        }
        cursor.expect(&["compute", "statistics"])?;
        if cursor.peek_word(0, "noscan") {
            return cursor
                .unsupported("NOSCAN is not supported: rows are counted by the manifests");
        }
        if cursor.eat(&["for", "columns"]) {
            columns = cursor.comma_separated(|cursor| cursor.name("a column name"))?;
        } else {
            cursor.eat(&["for", "all", "columns"]);
        }
    } else if cursor.eat(&["with"]) {
        for property in property_list(cursor, PropertyStyle::With)? {
            match (property.key.as_str(), property.value) {
                ("columns", PropertyValue::List(names)) if columns.is_empty() => columns = names,
                (key, _) => {
                    return cursor.unsupported(format!(
                        "property {key:?} of ANALYZE is not supported; there is columns = ARRAY['a']"
                    ));
                }
            }
        }
    }
    Ok(DdlStatement::Analyze { name, columns })
}
