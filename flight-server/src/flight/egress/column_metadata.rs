//! What the JDBC driver reads of a column besides its Arrow type (JDBC-06).

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use fjord_engine::query::ORIGIN_KEYS;

const CATALOG_NAME: &str = "ARROW:FLIGHT:SQL:CATALOG_NAME";
const SCHEMA_NAME: &str = "ARROW:FLIGHT:SQL:SCHEMA_NAME";
const TABLE_NAME: &str = "ARROW:FLIGHT:SQL:TABLE_NAME";
const TYPE_NAME: &str = "ARROW:FLIGHT:SQL:TYPE_NAME";
const PRECISION: &str = "ARROW:FLIGHT:SQL:PRECISION";
const SCALE: &str = "ARROW:FLIGHT:SQL:SCALE";
const IS_AUTO_INCREMENT: &str = "ARROW:FLIGHT:SQL:IS_AUTO_INCREMENT";
const IS_CASE_SENSITIVE: &str = "ARROW:FLIGHT:SQL:IS_CASE_SENSITIVE";
const IS_READ_ONLY: &str = "ARROW:FLIGHT:SQL:IS_READ_ONLY";
const IS_SEARCHABLE: &str = "ARROW:FLIGHT:SQL:IS_SEARCHABLE";

/// `field` with the driver's keys. What the field says already stays: who knows the table a column
/// is from sets that before.
pub(crate) fn with_metadata(field: &Field) -> Field {
    let data_type = field.data_type();
    let mut metadata = field.metadata().clone();
    let mut set = |key: &str, value: String| {
        metadata.entry(key.to_owned()).or_insert(value);
    };
    for (key, origin) in [CATALOG_NAME, SCHEMA_NAME, TABLE_NAME].into_iter().zip(ORIGIN_KEYS) {
        if let Some(name) = field.metadata().get(origin) {
            set(key, name.clone());
        }
    }
    set(TYPE_NAME, type_name(data_type).to_owned());
    if let Some((precision, scale)) = precision_and_scale(data_type) {
        set(PRECISION, precision.to_string());
        set(SCALE, scale.to_string());
    }
    let is_text = matches!(data_type, DataType::Utf8 | DataType::LargeUtf8);
    for (key, is_so) in [
        (IS_AUTO_INCREMENT, false),
        (IS_CASE_SENSITIVE, is_text),
        (IS_READ_ONLY, true),
        (IS_SEARCHABLE, !data_type.is_nested()),
    ] {
        set(key, String::from(if is_so { "1" } else { "0" }));
    }
    metadata.retain(|key, _| !ORIGIN_KEYS.contains(&key.as_str()));
    field.clone().with_metadata(metadata)
}

/// `field` without what only the JDBC driver asks for.
pub(super) fn without_origin(field: FieldRef) -> FieldRef {
    if !field.metadata().keys().any(|key| ORIGIN_KEYS.contains(&key.as_str())) {
        return field;
    }
    let mut metadata = field.metadata().clone();
    metadata.retain(|key, _| !ORIGIN_KEYS.contains(&key.as_str()));
    Arc::new(field.as_ref().clone().with_metadata(metadata))
}

/// Decimal digits of the exact numbers.
fn precision_and_scale(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Int8 | DataType::UInt8 => Some((3, 0)),
        DataType::Int16 | DataType::UInt16 => Some((5, 0)),
        DataType::Int32 | DataType::UInt32 => Some((10, 0)),
        DataType::Int64 => Some((19, 0)),
        DataType::UInt64 => Some((20, 0)),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => Some((*precision, *scale)),
        _ => None,
    }
}

/// The SQL name of a type.
fn type_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Null => "NULL",
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 | DataType::UInt8 => "SMALLINT",
        DataType::Int32 | DataType::UInt16 => "INTEGER",
        DataType::Int64 | DataType::UInt32 => "BIGINT",
        DataType::UInt64
        | DataType::Decimal32(_, _)
        | DataType::Decimal64(_, _)
        | DataType::Decimal128(_, _)
        | DataType::Decimal256(_, _) => "DECIMAL",
        DataType::Float16 | DataType::Float32 => "REAL",
        DataType::Float64 => "DOUBLE",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR",
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => "VARBINARY",
        DataType::Date32 | DataType::Date64 => "DATE",
        DataType::Time32(_) | DataType::Time64(_) => "TIME",
        DataType::Timestamp(_, None) => "TIMESTAMP",
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE",
        DataType::Duration(_) | DataType::Interval(_) => "INTERVAL",
        DataType::Struct(_) => "ROW",
        DataType::Map(_, _) => "MAP",
        DataType::Union(_, _) => "UNION",
        DataType::List(_)
        | DataType::ListView(_)
        | DataType::FixedSizeList(_, _)
        | DataType::LargeList(_)
        | DataType::LargeListView(_) => "ARRAY",
        DataType::Dictionary(_, values) => type_name(values),
        DataType::RunEndEncoded(_, values) => type_name(values.data_type()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn jdbc_06_a_field_says_its_sql_type_and_keeps_what_it_said() {
        let known = HashMap::from([(String::from("ARROW:FLIGHT:SQL:TABLE_NAME"), "t".into())]);
        let field = Field::new("price", DataType::Decimal128(12, 2), true).with_metadata(known);
        let field = with_metadata(&field);
        let said = |key: &str| field.metadata().get(key).map(String::as_str);
        assert_eq!(said("ARROW:FLIGHT:SQL:TABLE_NAME"), Some("t"));
        assert_eq!(said(TYPE_NAME), Some("DECIMAL"));
        assert_eq!(said(PRECISION), Some("12"));
        assert_eq!(said(SCALE), Some("2"));
        assert_eq!(said(IS_AUTO_INCREMENT), Some("0"));
    }
}
