//! How Iceberg's and Arrow's types are shown in SQL: Trino's spelling, which our parser reads back.

use std::fmt::Write;

use arrow::datatypes::{DataType, Field, TimeUnit};
use fjord_catalog::spec::{NestedField, PrimitiveType, Type};

use crate::iceberg::types::{EXTENSION_NAME, UUID_EXTENSION};
use crate::sql::quote::{quote_name, quote_text};

/// How much of a nested type is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeDetail {
    /// Names and types, as SHOW and DESCRIBE print them.
    Brief,
    /// Also NOT NULL and comments of nested fields, so that nothing is lost (SHOW CREATE TABLE).
    Full,
}

/// The type in SQL.
pub fn type_to_sql(ty: &Type, detail: TypeDetail) -> String {
    let mut out = String::new();
    write_type(&mut out, ty, detail);
    out
}

fn write_type(out: &mut String, ty: &Type, detail: TypeDetail) {
    match ty {
        Type::Primitive(primitive) => out.push_str(&primitive_to_sql(primitive)),
        Type::List(list) => {
            out.push_str("array(");
            write_element(out, &list.element_field, detail);
            out.push(')');
        }
        Type::Map(map) => {
            out.push_str("map(");
            write_type(out, &map.key_field.field_type, detail);
            out.push_str(", ");
            write_element(out, &map.value_field, detail);
            out.push(')');
        }
        Type::Struct(fields) => {
            out.push_str("row(");
            for (i, field) in fields.fields().iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                out.push_str(&quote_name(&field.name));
                out.push(' ');
                write_element(out, field, detail);
                if let (TypeDetail::Full, Some(doc)) = (detail, &field.doc) {
                    out.push_str(" COMMENT ");
                    out.push_str(&quote_text(doc));
                }
            }
            out.push(')');
        }
    }
}

fn write_element(out: &mut String, field: &NestedField, detail: TypeDetail) {
    write_type(out, &field.field_type, detail);
    if detail == TypeDetail::Full && field.required {
        out.push_str(" NOT NULL");
    }
}

fn primitive_to_sql(ty: &PrimitiveType) -> String {
    match ty {
        PrimitiveType::Boolean => "boolean".to_owned(),
        PrimitiveType::Int => "integer".to_owned(),
        PrimitiveType::Long => "bigint".to_owned(),
        PrimitiveType::Float => "real".to_owned(),
        PrimitiveType::Double => "double".to_owned(),
        PrimitiveType::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
        PrimitiveType::Date => "date".to_owned(),
        PrimitiveType::Time => "time(6)".to_owned(),
        PrimitiveType::Timestamp => "timestamp(6)".to_owned(),
        PrimitiveType::Timestamptz => "timestamp(6) with time zone".to_owned(),
        PrimitiveType::TimestampNs => "timestamp(9)".to_owned(),
        PrimitiveType::TimestamptzNs => "timestamp(9) with time zone".to_owned(),
        PrimitiveType::String => "varchar".to_owned(),
        PrimitiveType::Uuid => "uuid".to_owned(),
        PrimitiveType::Fixed(length) => format!("fixed({length})"),
        PrimitiveType::Binary => "varbinary".to_owned(),
    }
}

/// An Arrow column's type in SQL; a uuid is known by its extension.
pub fn arrow_field_to_sql(field: &Field) -> String {
    match field.metadata().get(EXTENSION_NAME) {
        Some(extension) if extension == UUID_EXTENSION => "uuid".to_owned(),
        _ => arrow_type_to_sql(field.data_type()),
    }
}

/// An Arrow type in SQL: what columns of views and queries are.
pub fn arrow_type_to_sql(ty: &DataType) -> String {
    match ty {
        DataType::Null => "unknown".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 => "tinyint".to_owned(),
        DataType::Int16 | DataType::UInt8 => "smallint".to_owned(),
        DataType::Int32 | DataType::UInt16 => "integer".to_owned(),
        DataType::Int64 | DataType::UInt32 => "bigint".to_owned(),
        DataType::UInt64 => "decimal(20,0)".to_owned(),
        DataType::Float16 | DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => format!("decimal({p},{s})"),
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Time32(unit) | DataType::Time64(unit) => format!("time({})", digits(*unit)),
        DataType::Timestamp(unit, None) => format!("timestamp({})", digits(*unit)),
        DataType::Timestamp(unit, Some(_)) => {
            format!("timestamp({}) with time zone", digits(*unit))
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "varchar".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "varbinary".to_owned(),
        DataType::FixedSizeBinary(length) => format!("fixed({length})"),
        DataType::Interval(_) | DataType::Duration(_) => "interval".to_owned(),
        DataType::Dictionary(_, value) => arrow_type_to_sql(value),
        DataType::RunEndEncoded(_, values) => arrow_field_to_sql(values),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => {
            format!("array({})", arrow_field_to_sql(item))
        }
        DataType::Struct(fields) => {
            let mut out = String::from("row(");
            for (i, field) in fields.iter().enumerate() {
                let comma = if i > 0 { ", " } else { "" };
                let (name, ty) = (quote_name(field.name()), arrow_field_to_sql(field));
                // Writing into a string does not fail.
                let _written = write!(out, "{comma}{name} {ty}");
            }
            out.push(')');
            out
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                format!("map({}, {})", arrow_field_to_sql(&pair[0]), arrow_field_to_sql(&pair[1]))
            }
            _ => "map".to_owned(),
        },
        DataType::Union(..) => "union".to_owned(),
    }
}

fn digits(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn arrow_types_are_shown_as_trino_spells_them() {
        let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8View, true)));
        assert_eq!(arrow_type_to_sql(&list), "array(varchar)");
        let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
        assert_eq!(arrow_type_to_sql(&zoned), "timestamp(6) with time zone");
        let id = Field::new("id", DataType::FixedSizeBinary(16), true);
        assert_eq!(arrow_field_to_sql(&id), "fixed(16)");
        let uuid = [(EXTENSION_NAME.to_owned(), UUID_EXTENSION.to_owned())];
        assert_eq!(arrow_field_to_sql(&id.with_metadata(uuid.into())), "uuid");
        let row = DataType::Struct(vec![Field::new("Kind", DataType::Int64, true)].into());
        assert_eq!(arrow_type_to_sql(&row), "row(\"Kind\" bigint)");
    }
}
