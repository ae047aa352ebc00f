//! Columns of relations: how each is read, and what may be said of it in SQL.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use super::options::{InfiniteMode, NumericMode, Settings};
use super::quote;
use super::wire::Wire;

/// The object identifiers of built-in types that are told apart here.
pub(super) mod oid {
    pub(in super::super) const BOOL: u32 = 16;
    pub(in super::super) const BYTEA: u32 = 17;
    pub(in super::super) const NAME: u32 = 19;
    pub(in super::super) const INT8: u32 = 20;
    pub(in super::super) const INT2: u32 = 21;
    pub(in super::super) const INT4: u32 = 23;
    pub(in super::super) const TEXT: u32 = 25;
    pub(in super::super) const OID: u32 = 26;
    pub(in super::super) const JSON: u32 = 114;
    pub(in super::super) const FLOAT4: u32 = 700;
    pub(in super::super) const FLOAT8: u32 = 701;
    pub(in super::super) const BPCHAR: u32 = 1042;
    pub(in super::super) const VARCHAR: u32 = 1043;
    pub(in super::super) const DATE: u32 = 1082;
    pub(in super::super) const TIME: u32 = 1083;
    pub(in super::super) const TIMESTAMP: u32 = 1114;
    pub(in super::super) const TIMESTAMPTZ: u32 = 1184;
    pub(in super::super) const INTERVAL: u32 = 1186;
    pub(in super::super) const NUMERIC: u32 = 1700;
    pub(in super::super) const UUID: u32 = 2950;
    pub(in super::super) const JSONB: u32 = 3802;
    pub(in super::super) const TEXT_ARRAY: u32 = 1009;
}

/// What the database's comparisons of a column's values have in common with ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Class {
    /// Integers, decimals, dates, times, timestamps, booleans: equality and order are the same.
    Exact,
    /// Text: equality is the same; order too, by `COLLATE "C"`.
    Text,
    /// Equal and ordered as its texts in lower case are.
    Uuid,
    /// NaN and zeros are ordered otherwise: only against finite literals that are not zero.
    Float,
    /// Nothing but whether it is NULL.
    Opaque,
}

/// A column of a remote relation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RemoteColumn {
    /// As the database stores it.
    pub(super) name: String,
    pub(super) nullable: bool,
    pub(super) wire: Wire,
    /// The type that the database says it sends.
    pub(super) oid: u32,
    /// What the type is declared with, of a column as it is stored.
    pub(super) modifier: i32,
    /// What is selected.
    pub(super) select: String,
    /// The same value in conditions, with the meaning that it has for us.
    pub(super) reference: String,
    /// The type of `reference`.
    pub(super) reference_oid: u32,
    pub(super) class: Class,
}

impl RemoteColumn {
    /// The column of a query that others read from, and its type there.
    pub(super) fn inner(&self) -> (&str, u32) {
        match self.class {
            Class::Opaque => (&self.select, self.oid),
            _ => (&self.reference, self.reference_oid),
        }
    }

    pub(super) fn field(&self) -> Field {
        Field::new(&self.name, self.wire.data_type(), self.nullable)
    }
}

/// The schema of columns.
pub(super) fn schema(columns: &[RemoteColumn]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(RemoteColumn::field).collect::<Vec<_>>()))
}

/// A type as the system tables describe it, domains resolved.
#[derive(Clone, Debug)]
pub(super) struct PgType {
    pub(super) oid: u32,
    /// The modifier: precision and scale; -1 without.
    pub(super) modifier: i32,
    pub(super) is_enum: bool,
    /// The type of an array's items.
    pub(super) element: Option<(u32, bool)>,
    /// A collation that takes different texts as equal.
    pub(super) nondeterministic: bool,
}

/// How a column of type `ty` is read.
pub(super) fn column(name: &str, nullable: bool, ty: &PgType, settings: &Settings) -> RemoteColumn {
    let quoted = quote::identifier(name);
    let mut column = RemoteColumn {
        name: name.to_owned(),
        nullable,
        wire: Wire::Text,
        oid: ty.oid,
        modifier: ty.modifier,
        select: quoted.clone(),
        reference: quoted.clone(),
        reference_oid: ty.oid,
        class: Class::Opaque,
    };
    if let Some((element, is_enum)) = ty.element {
        match scalar(element, ty.modifier, settings) {
            Some((wire, _)) => column.wire = Wire::List(Box::new(wire)),
            None if is_enum => column.wire = Wire::List(Box::new(Wire::Text)),
            None => {
                column.wire = Wire::List(Box::new(Wire::Text));
                column.oid = oid::TEXT_ARRAY;
                column.select = format!("{quoted}::pg_catalog.text[]");
            }
        }
        column.reference = column.select.clone();
        column.reference_oid = column.oid;
        return column;
    }
    match scalar(ty.oid, ty.modifier, settings) {
        Some((wire, class)) => {
            column.nullable |= wire.may_become_null();
            if wire.may_become_null() {
                column.reference = format!("CASE WHEN isfinite({quoted}) THEN {quoted} END");
            }
            if class == Class::Text && ty.nondeterministic {
                column.reference = format!("({quoted} COLLATE \"C\")");
            }
            column.wire = wire;
            column.class = class;
        }
        None if ty.is_enum => {
            // A literal that is no label would be an error, not a difference.
            column.reference = format!("({quoted}::pg_catalog.text COLLATE \"C\")");
            column.reference_oid = oid::TEXT;
            column.class = Class::Text;
        }
        None if ty.oid == oid::OID => {
            column.select = format!("{quoted}::pg_catalog.int8");
            column.reference = column.select.clone();
            column.oid = oid::INT8;
            column.reference_oid = oid::INT8;
            column.wire = Wire::Int64;
            column.class = Class::Exact;
        }
        // Whatever it is, it has a text: money, inet, ranges, composites, timetz, geometry.
        None => {
            column.select = format!("{quoted}::pg_catalog.text");
            column.oid = oid::TEXT;
            column.reference = column.select.clone();
            column.reference_oid = oid::TEXT;
        }
    }
    column
}

fn scalar(ty: u32, modifier: i32, settings: &Settings) -> Option<(Wire, Class)> {
    let infinite_is_null = settings.infinite == InfiniteMode::Null;
    Some(match ty {
        oid::BOOL => (Wire::Bool, Class::Exact),
        oid::INT2 => (Wire::Int16, Class::Exact),
        oid::INT4 => (Wire::Int32, Class::Exact),
        oid::INT8 => (Wire::Int64, Class::Exact),
        oid::FLOAT4 => (Wire::Float32, Class::Float),
        oid::FLOAT8 => (Wire::Float64, Class::Float),
        oid::NUMERIC => numeric(modifier, settings.numeric),
        oid::TEXT | oid::VARCHAR => (Wire::Text, Class::Text),
        // Trailing blanks count for us and not there.
        oid::BPCHAR if !settings.rules.bpchar_as_text => (Wire::Text, Class::Opaque),
        oid::BPCHAR => (Wire::Text, Class::Text),
        oid::NAME => (Wire::Text, Class::Text),
        oid::JSON => (Wire::Text, Class::Opaque),
        oid::JSONB => (Wire::Jsonb, Class::Opaque),
        oid::BYTEA => (Wire::Bytes, Class::Opaque),
        oid::DATE => (Wire::Date { infinite_is_null }, Class::Exact),
        oid::TIMESTAMP => (Wire::Timestamp { utc: false, infinite_is_null }, Class::Exact),
        oid::TIMESTAMPTZ => (Wire::Timestamp { utc: true, infinite_is_null }, Class::Exact),
        oid::TIME => (Wire::Time, Class::Exact),
        oid::INTERVAL => (Wire::Interval, Class::Opaque),
        oid::UUID => (Wire::Uuid, Class::Uuid),
        _ => return None,
    })
}

/// The widest decimal.
pub(super) const DIGITS_MAX: u8 = 38;
/// Digits after the point of a `numeric` without precision.
const SCALE_DEFAULT: i8 = 9;

fn numeric(modifier: i32, mode: NumericMode) -> (Wire, Class) {
    let declared = (modifier >= 4).then(|| {
        let modifier = modifier - 4;
        let precision = (modifier >> 16) & 0xffff;
        // Eleven bits with a sign.
        let scale = ((modifier & 0x7ff) ^ 1024) - 1024;
        // numeric(3, -2) has five digits and none after the point, numeric(2, 5) five after it.
        (precision.max(precision - scale).max(scale), scale.max(0))
    });
    match declared {
        Some((precision, scale)) if precision <= i32::from(DIGITS_MAX) => {
            let (precision, scale) = (precision as u8, scale as i8);
            (Wire::Decimal { precision, scale }, Class::Exact)
        }
        _ if mode == NumericMode::Text => (Wire::NumericText, Class::Opaque),
        Some((_, scale)) => {
            let scale = scale.min(i32::from(DIGITS_MAX)) as i8;
            (Wire::Decimal { precision: DIGITS_MAX, scale }, Class::Exact)
        }
        None => (Wire::Decimal { precision: DIGITS_MAX, scale: SCALE_DEFAULT }, Class::Exact),
    }
}
