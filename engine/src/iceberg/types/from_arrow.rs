//! What a CREATE TABLE AS makes of each Arrow type.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema as ArrowSchema, TimeUnit};
use fjord_catalog::spec::{
    FormatVersion, ListType, MapType, NestedField, NestedFieldRef, PrimitiveType, Schema,
    StructType, Type,
};

use super::{EXTENSION_NAME, UUID_BYTES, UUID_EXTENSION};
use crate::error::{Error, Result};

/// The largest decimal that Iceberg has.
const DECIMAL_DIGITS_MAX: u8 = 38;

/// The Iceberg schema that a CTAS of `schema` makes (ids from 1, a struct's own fields before
/// those inside them), by the write mapping of the design.
///
/// Every column is optional: that a query never yields NULL says nothing about later inserts.
/// Both format versions give the same types, as only a declared column is `timestamp_ns`.
///
/// # Errors
/// `Unsupported`, naming the column, for types without a mapping.
pub fn to_iceberg_schema(schema: &ArrowSchema, _format: FormatVersion) -> Result<Schema> {
    let mut ids = Ids::default();
    let fields = ids.fields(schema.fields(), "")?;
    Ok(Schema::builder().with_fields(fields).build().map_err(fjord_catalog::Error::from)?)
}

/// The Iceberg type that a column of this Arrow field becomes; ids inside count from 1.
///
/// # Errors
/// As [`to_iceberg_schema`].
pub fn to_iceberg_type(field: &Field) -> Result<Type> {
    Ids::default().ty(field, field.name())
}

/// Hands out field ids while it maps types.
#[derive(Default)]
struct Ids {
    last: i32,
}

impl Ids {
    fn next(&mut self) -> i32 {
        self.last += 1;
        self.last
    }

    fn fields(&mut self, fields: &Fields, parent: &str) -> Result<Vec<NestedFieldRef>> {
        let ids: Vec<i32> = fields.iter().map(|_| self.next()).collect();
        fields
            .iter()
            .zip(ids)
            .map(|(field, id)| {
                let path = join(parent, field.name());
                let ty = self.ty(field, &path)?;
                Ok(Arc::new(NestedField::optional(id, field.name(), ty)))
            })
            .collect()
    }

    fn ty(&mut self, field: &Field, path: &str) -> Result<Type> {
        match field.data_type() {
            DataType::Struct(fields) if fields.is_empty() => {
                Err(refused(path, "a struct without fields"))
            }
            DataType::Struct(fields) => {
                Ok(Type::Struct(StructType::new(self.fields(fields, path)?)))
            }
            DataType::List(element)
            | DataType::LargeList(element)
            | DataType::ListView(element)
            | DataType::LargeListView(element)
            | DataType::FixedSizeList(element, _) => self.list(element, path),
            DataType::Map(entries, _) => self.map(entries, path),
            DataType::Dictionary(_, value) => {
                let value = field.clone().with_data_type(value.as_ref().clone());
                self.ty(&value, path)
            }
            other => primitive(field, other, path).map(Type::Primitive),
        }
    }

    fn list(&mut self, element: &FieldRef, path: &str) -> Result<Type> {
        let id = self.next();
        let ty = self.ty(element, &join(path, "element"))?;
        Ok(Type::List(ListType::new(Arc::new(NestedField::list_element(id, ty, false)))))
    }

    fn map(&mut self, entries: &FieldRef, path: &str) -> Result<Type> {
        let DataType::Struct(fields) = entries.data_type() else {
            return Err(refused(path, "a map without keys and values"));
        };
        let [key, value] = fields.as_ref() else {
            return Err(refused(path, "a map without keys and values"));
        };
        let (key_id, value_id) = (self.next(), self.next());
        let key_type = self.ty(key, &join(path, "key"))?;
        let value_type = self.ty(value, &join(path, "value"))?;
        Ok(Type::Map(MapType::optional(key_id, key_type, value_id, value_type)))
    }
}

fn primitive(field: &Field, ty: &DataType, path: &str) -> Result<PrimitiveType> {
    Ok(match ty {
        DataType::Boolean => PrimitiveType::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => {
            PrimitiveType::Int
        }
        DataType::Int64 | DataType::UInt32 => PrimitiveType::Long,
        DataType::UInt64 => PrimitiveType::Decimal { precision: 20, scale: 0 },
        DataType::Float16 | DataType::Float32 => PrimitiveType::Float,
        DataType::Float64 => PrimitiveType::Double,
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => decimal(*p, *s, path)?,
        DataType::Date32 | DataType::Date64 => PrimitiveType::Date,
        DataType::Time32(_) | DataType::Time64(_) => PrimitiveType::Time,
        DataType::Timestamp(_, None) => PrimitiveType::Timestamp,
        DataType::Timestamp(_, Some(_)) => PrimitiveType::Timestamptz,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => PrimitiveType::String,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => PrimitiveType::Binary,
        DataType::FixedSizeBinary(UUID_BYTES) if is_uuid(field) => PrimitiveType::Uuid,
        DataType::FixedSizeBinary(bytes) => match u64::try_from(*bytes) {
            Ok(bytes) if bytes > 0 => PrimitiveType::Fixed(bytes),
            _ => return Err(refused(path, "binary of no bytes")),
        },
        DataType::Null => return Err(refused(path, "NULL")),
        DataType::Interval(_) => return Err(refused(path, "interval")),
        DataType::Duration(unit) => return Err(refused(path, duration(*unit))),
        other => return Err(refused(path, &other.to_string())),
    })
}

fn decimal(precision: u8, scale: i8, path: &str) -> Result<PrimitiveType> {
    match u32::try_from(scale) {
        Ok(scale) if precision <= DECIMAL_DIGITS_MAX && scale <= u32::from(precision) => {
            Ok(PrimitiveType::Decimal { precision: u32::from(precision), scale })
        }
        _ => Err(refused(path, &format!("decimal({precision},{scale})"))),
    }
}

fn is_uuid(field: &Field) -> bool {
    field.metadata().get(EXTENSION_NAME).is_some_and(|name| name == UUID_EXTENSION)
}

fn duration(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "duration in seconds",
        TimeUnit::Millisecond => "duration in milliseconds",
        TimeUnit::Microsecond => "duration in microseconds",
        TimeUnit::Nanosecond => "duration in nanoseconds",
    }
}

fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}

fn refused(path: &str, what: &str) -> Error {
    Error::unsupported(format!(
        "column {path:?}: an Iceberg table cannot store {what}; cast it to a type that it can"
    ))
}
