//! Tables to be made, and what columns that are there take.

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

use super::columns::{RemoteColumn, oid};
use super::database::Described;
use super::encode::{Format, WrittenColumn};
use super::quote;
use super::stored::StoredType;
use super::wire::Wire;
use crate::connector::RemoteTable;
use crate::error::{Error, ErrorKind};

const UUID_EXTENSION: &str = "arrow.uuid";
const EXTENSION_KEY: &str = "ARROW:extension:name";

/// Which columns refuse NULL.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Nullable {
    AsDeclared,
    /// What a query yields is not known to be without NULL for ever.
    All,
}

/// A table to be made.
pub(super) struct Creation {
    pub(super) sql: String,
    pub(super) columns: Vec<WrittenColumn>,
}

impl Creation {
    /// # Errors
    /// For a name or a type that the database does not have, naming the column.
    pub(super) fn try_new(table: &RemoteTable, nullable: Nullable) -> Result<Self, Error> {
        let mut columns = Vec::new();
        let mut items = Vec::new();
        for field in table.schema.fields() {
            let (ty, format, _) = declared(field).ok_or_else(|| {
                let message = format!(
                    "column {:?}: PostgreSQL has no type for {}",
                    field.name(),
                    field.data_type()
                );
                Error::new(ErrorKind::Unsupported, message)
            })?;
            let not_null = match nullable {
                Nullable::AsDeclared if !field.is_nullable() => " NOT NULL",
                _ => "",
            };
            items.push(format!("{} {ty}{not_null}", quote::checked(field.name())?));
            columns.push(WrittenColumn { name: field.name().clone(), format, stored: None });
        }
        let unless = if table.if_not_exists { "IF NOT EXISTS " } else { "" };
        let name = quote::checked_relation(&table.name)?;
        let sql = format!("CREATE TABLE {unless}{name} ({})", items.join(", "));
        Ok(Self { sql, columns })
    }
}

/// The type of a new column, how it is written, and its object identifier as an array's item.
fn declared(field: &Field) -> Option<(String, Format, u32)> {
    let plain = |ty: &str, format, oid| Some((ty.to_owned(), format, oid));
    let numeric = |precision: u8, scale: i8| {
        let scale_format = Format::Numeric { scale };
        (scale >= 0).then(|| (format!("numeric({precision}, {scale})"), scale_format, oid::NUMERIC))
    };
    match field.data_type() {
        DataType::Boolean => plain("boolean", Format::Bool, oid::BOOL),
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => {
            plain("smallint", Format::Int2, oid::INT2)
        }
        DataType::Int32 | DataType::UInt16 => plain("integer", Format::Int4, oid::INT4),
        DataType::Int64 | DataType::UInt32 => plain("bigint", Format::Int8, oid::INT8),
        DataType::UInt64 => numeric(20, 0),
        DataType::Float16 | DataType::Float32 => plain("real", Format::Float4, oid::FLOAT4),
        DataType::Float64 => plain("double precision", Format::Float8, oid::FLOAT8),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => {
            numeric(*p, *s)
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            plain("text", Format::Text, oid::TEXT)
        }
        DataType::Dictionary(_, value) => {
            declared(&Field::new(field.name(), value.as_ref().clone(), true))
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            plain("bytea", Format::Bytes, oid::BYTEA)
        }
        DataType::FixedSizeBinary(16)
            if field.metadata().get(EXTENSION_KEY).map(String::as_str) == Some(UUID_EXTENSION) =>
        {
            plain("uuid", Format::Uuid, oid::UUID)
        }
        DataType::FixedSizeBinary(_) => plain("bytea", Format::Bytes, oid::BYTEA),
        DataType::Date32 => plain("date", Format::Date, oid::DATE),
        DataType::Timestamp(_, None) => {
            plain("timestamp", Format::Timestamp { utc: false }, oid::TIMESTAMP)
        }
        DataType::Timestamp(_, Some(_)) => {
            plain("timestamptz", Format::Timestamp { utc: true }, oid::TIMESTAMPTZ)
        }
        DataType::Time32(_) | DataType::Time64(TimeUnit::Microsecond | TimeUnit::Nanosecond) => {
            plain("time", Format::Time, oid::TIME)
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            plain("interval", Format::Interval, oid::INTERVAL)
        }
        DataType::List(item) | DataType::LargeList(item) => {
            let (ty, format, item_oid) = declared(item)?;
            // A list of lists would have to be rectangular.
            (!matches!(format, Format::List { .. }))
                .then(|| (format!("{ty}[]"), Format::List { item: Box::new(format), item_oid }, 0))
        }
        _ => None,
    }
}

impl Described {
    /// How a column that is there is written.
    ///
    /// # Errors
    /// Where there is no such column, and for a type that is read as its text alone.
    pub(super) fn written(&self, name: &str) -> Result<WrittenColumn, Error> {
        let column = self.columns.iter().find(|c| c.name == name).ok_or_else(|| {
            let message = format!("table {} has no column {name:?}", self.name);
            Error::new(ErrorKind::Invalid, message)
        })?;
        let format = taken(&column.wire, column).ok_or_else(|| {
            let message = format!(
                "table {}: column {name:?} is of a type that cannot be written; leave it out",
                self.name
            );
            Error::new(ErrorKind::Unsupported, message)
        })?;
        let stored = Some(StoredType { oid: column.oid, modifier: column.modifier });
        Ok(WrittenColumn { name: name.to_owned(), format, stored })
    }
}

fn taken(wire: &Wire, column: &RemoteColumn) -> Option<Format> {
    // What is selected by a cast is another type than the one that is written.
    if column.select != quote::identifier(&column.name) {
        return None;
    }
    Some(match wire {
        Wire::Bool => Format::Bool,
        Wire::Int16 => Format::Int2,
        Wire::Int32 => Format::Int4,
        Wire::Int64 => Format::Int8,
        Wire::Float32 => Format::Float4,
        Wire::Float64 => Format::Float8,
        Wire::Decimal { scale, .. } => Format::Numeric { scale: *scale },
        Wire::NumericInt64 | Wire::NumericText => return None,
        Wire::Text => Format::Text,
        Wire::Jsonb => Format::Jsonb,
        Wire::Bytes => Format::Bytes,
        Wire::Date { .. } => Format::Date,
        Wire::Timestamp { utc, .. } => Format::Timestamp { utc: *utc },
        Wire::Time => Format::Time,
        Wire::Interval => Format::Interval,
        Wire::Uuid => Format::Uuid,
        Wire::List(item) => {
            let item_oid = match item.as_ref() {
                Wire::Bool => oid::BOOL,
                Wire::Int16 => oid::INT2,
                Wire::Int32 => oid::INT4,
                Wire::Int64 => oid::INT8,
                Wire::Float32 => oid::FLOAT4,
                Wire::Float64 => oid::FLOAT8,
                Wire::Decimal { .. } => oid::NUMERIC,
                Wire::Bytes => oid::BYTEA,
                Wire::Date { .. } => oid::DATE,
                Wire::Timestamp { utc: false, .. } => oid::TIMESTAMP,
                Wire::Timestamp { utc: true, .. } => oid::TIMESTAMPTZ,
                Wire::Time => oid::TIME,
                Wire::Uuid => oid::UUID,
                // Several types are read as text: the array says which by its own.
                Wire::Text if column.oid == oid::TEXT_ARRAY => oid::TEXT,
                _ => return None,
            };
            Format::List { item: Box::new(taken(item, column)?), item_oid }
        }
    })
}
