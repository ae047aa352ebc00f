//! What clients are told of a column in its field's metadata (`ARROW:FLIGHT:SQL:…`).

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use fjord_engine::sql::types::arrow_field_to_sql;

const CATALOG_NAME: &str = "ARROW:FLIGHT:SQL:CATALOG_NAME";
/// The protocol's text says `DB_SCHEMA_NAME`; the clients read this one.
const SCHEMA_NAME: &str = "ARROW:FLIGHT:SQL:SCHEMA_NAME";
const DB_SCHEMA_NAME: &str = "ARROW:FLIGHT:SQL:DB_SCHEMA_NAME";
const TABLE_NAME: &str = "ARROW:FLIGHT:SQL:TABLE_NAME";
const TYPE_NAME: &str = "ARROW:FLIGHT:SQL:TYPE_NAME";
const PRECISION: &str = "ARROW:FLIGHT:SQL:PRECISION";
const SCALE: &str = "ARROW:FLIGHT:SQL:SCALE";
const IS_AUTO_INCREMENT: &str = "ARROW:FLIGHT:SQL:IS_AUTO_INCREMENT";
const IS_CASE_SENSITIVE: &str = "ARROW:FLIGHT:SQL:IS_CASE_SENSITIVE";
const IS_READ_ONLY: &str = "ARROW:FLIGHT:SQL:IS_READ_ONLY";
const IS_SEARCHABLE: &str = "ARROW:FLIGHT:SQL:IS_SEARCHABLE";
const REMARKS: &str = "ARROW:FLIGHT:SQL:REMARKS";

/// The key under which the engine keeps a column's comment.
const COMMENT: &str = fjord_engine::iceberg::types::COMMENT;

/// Characters of `hh:mm:ss`.
const TIME_SIZE: i32 = 8;
/// Characters of `yyyy-mm-dd hh:mm:ss`.
const TIMESTAMP_SIZE: i32 = 19;
/// Characters of `+hh:mm`.
const ZONE_SIZE: i32 = 6;

/// Whether rows can be written to a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    /// A table.
    Accepted,
    /// A view, or a relation of the system.
    Refused,
}

/// The relation that columns belong to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    pub(crate) catalog: &'a str,
    pub(crate) schema: &'a str,
    pub(crate) table: &'a str,
    pub(crate) writing: Writing,
}

/// The schema with what is known of its columns: types always, names and the rest with an origin.
///
/// It is part of a statement's schema: whatever a client compares, the schema in `FlightInfo` and
/// the schema of the stream, must both have come through here.
pub(crate) fn with_sql_metadata(schema: &Schema, origin: Option<&Origin<'_>>) -> SchemaRef {
    let fields: Vec<Field> =
        schema.fields().iter().map(|field| with_metadata(field, origin)).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn with_metadata(field: &Field, origin: Option<&Origin<'_>>) -> Field {
    let mut metadata = field.metadata().clone();
    let mut say = |key: &str, value: String| {
        metadata.insert(key.to_owned(), value);
    };
    let (precision, scale) = digits(field.data_type());
    say(TYPE_NAME, arrow_field_to_sql(field));
    if let Some(precision) = precision {
        say(PRECISION, precision.to_string());
    }
    if let Some(scale) = scale {
        say(SCALE, scale.to_string());
    }
    if let Some(origin) = origin {
        let flag = |flag: bool| if flag { "1" } else { "0" }.to_owned();
        say(CATALOG_NAME, origin.catalog.to_owned());
        say(SCHEMA_NAME, origin.schema.to_owned());
        say(DB_SCHEMA_NAME, origin.schema.to_owned());
        say(TABLE_NAME, origin.table.to_owned());
        say(IS_AUTO_INCREMENT, flag(false));
        say(IS_CASE_SENSITIVE, flag(is_text(field.data_type())));
        say(IS_READ_ONLY, flag(origin.writing == Writing::Refused));
        say(IS_SEARCHABLE, flag(true));
        if let Some(comment) = field.metadata().get(COMMENT) {
            say(REMARKS, comment.clone());
        }
    }
    field.clone().with_metadata(metadata)
}

fn is_text(ty: &DataType) -> bool {
    match ty {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

/// Decimal digits of numbers, characters of what is written as text, bytes of what is binary; and
/// the digits after the point. JDBC shows them in base ten, whatever the type.
fn digits(ty: &DataType) -> (Option<i32>, Option<i32>) {
    match ty {
        DataType::Boolean => (Some(1), None),
        DataType::Int8 => (Some(3), Some(0)),
        DataType::Int16 | DataType::UInt8 => (Some(5), Some(0)),
        DataType::Int32 | DataType::UInt16 => (Some(10), Some(0)),
        DataType::Int64 | DataType::UInt32 => (Some(19), Some(0)),
        DataType::UInt64 => (Some(20), Some(0)),
        DataType::Float16 | DataType::Float32 => (Some(7), None),
        DataType::Float64 => (Some(15), None),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => (Some(i32::from(*p)), Some(i32::from(*s))),
        DataType::Date32 | DataType::Date64 => (Some(10), Some(0)),
        DataType::Time32(unit) | DataType::Time64(unit) => {
            (Some(TIME_SIZE + fraction(*unit)), Some(places(*unit)))
        }
        DataType::Timestamp(unit, zone) => {
            let zone = if zone.is_some() { ZONE_SIZE } else { 0 };
            (Some(TIMESTAMP_SIZE + fraction(*unit) + zone), Some(places(*unit)))
        }
        DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView => (Some(i32::MAX), None),
        DataType::FixedSizeBinary(bytes) => (Some(*bytes), None),
        DataType::Dictionary(_, value) => digits(value),
        DataType::RunEndEncoded(_, values) => digits(values.data_type()),
        _ => (None, None),
    }
}

/// Digits of a second's fraction.
fn places(unit: TimeUnit) -> i32 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

/// Characters of a second's fraction, its point included.
fn fraction(unit: TimeUnit) -> i32 {
    match places(unit) {
        0 => 0,
        places => places + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jdbc_06_columns_say_where_they_come_from_and_what_they_are() {
        let comment = [(COMMENT.to_owned(), "in euros".to_owned())];
        let schema = Schema::new(vec![
            Field::new("amount", DataType::Decimal128(12, 2), true).with_metadata(comment.into()),
            Field::new("name", DataType::Utf8View, false),
            Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        ]);
        let origin = Origin {
            catalog: "iceberg",
            schema: "sales",
            table: "orders",
            writing: Writing::Accepted,
        };
        let told = with_sql_metadata(&schema, Some(&origin));
        let amount = told.field(0).metadata();
        for (key, value) in [
            (CATALOG_NAME, "iceberg"),
            (SCHEMA_NAME, "sales"),
            (DB_SCHEMA_NAME, "sales"),
            (TABLE_NAME, "orders"),
            (TYPE_NAME, "decimal(12,2)"),
            (PRECISION, "12"),
            (SCALE, "2"),
            (IS_AUTO_INCREMENT, "0"),
            (IS_CASE_SENSITIVE, "0"),
            (IS_READ_ONLY, "0"),
            (IS_SEARCHABLE, "1"),
            (REMARKS, "in euros"),
        ] {
            assert_eq!(amount[key], value, "{key}");
        }
        let name = told.field(1).metadata();
        assert_eq!((name[TYPE_NAME].as_str(), name[IS_CASE_SENSITIVE].as_str()), ("varchar", "1"));
        assert!(!name.contains_key(REMARKS) && !name.contains_key(SCALE));
        let at = told.field(2).metadata();
        assert_eq!((at[PRECISION].as_str(), at[SCALE].as_str()), ("26", "6"));
        for (told, given) in told.fields().iter().zip(schema.fields()) {
            assert_eq!(told.name(), given.name());
            assert_eq!(told.data_type(), given.data_type());
            assert_eq!(told.is_nullable(), given.is_nullable());
        }
    }

    #[test]
    fn jdbc_06_results_say_what_their_types_are() {
        let told =
            with_sql_metadata(&Schema::new(vec![Field::new("n", DataType::Int64, true)]), None);
        let metadata = told.field(0).metadata();
        assert_eq!(metadata[TYPE_NAME], "bigint");
        assert_eq!((metadata[PRECISION].as_str(), metadata[SCALE].as_str()), ("19", "0"));
        assert_eq!(metadata.len(), 3, "nothing is said of a table that nobody knows");
    }
}
