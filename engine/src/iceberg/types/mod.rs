//! Between Iceberg's types and Arrow's, in both directions. One Iceberg type reads as one Arrow type.

mod file;
mod from_arrow;
mod scalar;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{
    DataType, Field, FieldRef, Fields, Schema as ArrowSchema, SchemaRef as ArrowSchemaRef, TimeUnit,
};
use fjord_catalog::spec::{NestedField, PrimitiveType, Schema, StructType, Type};

use crate::error::{Error, Result};

pub use file::{to_file_schema, to_parquet_schema};
pub use from_arrow::{to_iceberg_schema, to_iceberg_type};
pub use scalar::{datum_to_scalar, literal_to_scalar, primitive_to_scalar};

/// The metadata key under which Parquet files and our schemas keep a column's field id.
pub const FIELD_ID: &str = "PARQUET:field_id";

/// The metadata key under which our schemas keep a column's doc.
pub const COMMENT: &str = "comment";

/// Arrow's key for the name of an extension type.
pub const EXTENSION_NAME: &str = "ARROW:extension:name";

/// Arrow's name of the canonical uuid extension.
pub const UUID_EXTENSION: &str = "arrow.uuid";

/// The name of the group between a map and its keys and values, as the Parquet format has it.
const MAP_ENTRIES: &str = "key_value";

/// Bytes of a uuid.
const UUID_BYTES: i32 = 16;

/// The Arrow schema a scan yields, with field ids at every nesting level.
///
/// # Errors
/// `Unsupported` for a type beyond Arrow's limits, naming the column.
pub fn to_arrow_schema(schema: &Schema) -> Result<ArrowSchemaRef> {
    Ok(Arc::new(ArrowSchema::new(to_arrow_fields(schema.as_struct())?)))
}

/// The Arrow fields of a struct, with field ids at every nesting level.
///
/// # Errors
/// As [`to_arrow_schema`].
pub fn to_arrow_fields(fields: &StructType) -> Result<Fields> {
    fields.fields().iter().map(|field| to_arrow_field(field)).collect()
}

/// The Arrow type that `ty` reads as.
///
/// # Errors
/// `Unsupported` for a type beyond Arrow's limits.
pub fn to_arrow_type(ty: &Type) -> Result<DataType> {
    Ok(match ty {
        Type::Primitive(primitive) => to_arrow_primitive(primitive)?,
        Type::Struct(fields) => DataType::Struct(to_arrow_fields(fields)?),
        Type::List(list) => DataType::List(to_arrow_field(&list.element_field)?),
        Type::Map(map) => {
            let key = to_arrow_field(&map.key_field)?;
            let key = Arc::new(key.as_ref().clone().with_nullable(false));
            let entries = Fields::from(vec![key, to_arrow_field(&map.value_field)?]);
            let entries = Field::new(MAP_ENTRIES, DataType::Struct(entries), false);
            DataType::Map(Arc::new(entries), false)
        }
    })
}

/// The field id that a column of ours, or of a Parquet file, carries.
pub fn field_id(field: &Field) -> Option<i32> {
    field.metadata().get(FIELD_ID).and_then(|id| id.parse().ok())
}

fn to_arrow_field(field: &NestedField) -> Result<FieldRef> {
    let data_type = to_arrow_type(&field.field_type)
        .map_err(|e| Error::new(e.kind(), format!("column {:?}: {e}", field.name)))?;
    let mut metadata = HashMap::from([(FIELD_ID.to_owned(), field.id.to_string())]);
    if let Some(doc) = &field.doc {
        metadata.insert(COMMENT.to_owned(), doc.clone());
    }
    if matches!(*field.field_type, Type::Primitive(PrimitiveType::Uuid)) {
        metadata.insert(EXTENSION_NAME.to_owned(), UUID_EXTENSION.to_owned());
    }
    Ok(Arc::new(Field::new(&field.name, data_type, !field.required).with_metadata(metadata)))
}

fn to_arrow_primitive(ty: &PrimitiveType) -> Result<DataType> {
    let utc = || Some(Arc::from("UTC"));
    Ok(match ty {
        PrimitiveType::Boolean => DataType::Boolean,
        PrimitiveType::Int => DataType::Int32,
        PrimitiveType::Long => DataType::Int64,
        PrimitiveType::Float => DataType::Float32,
        PrimitiveType::Double => DataType::Float64,
        PrimitiveType::Decimal { precision, scale } => {
            match (u8::try_from(*precision), i8::try_from(*scale)) {
                (Ok(p @ 1..=38), Ok(s)) => DataType::Decimal128(p, s),
                _ => {
                    return Err(Error::unsupported(format!(
                        "decimal({precision},{scale}) has more than 38 digits"
                    )));
                }
            }
        }
        PrimitiveType::Date => DataType::Date32,
        PrimitiveType::Time => DataType::Time64(TimeUnit::Microsecond),
        PrimitiveType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        PrimitiveType::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, utc()),
        PrimitiveType::TimestampNs => DataType::Timestamp(TimeUnit::Nanosecond, None),
        PrimitiveType::TimestamptzNs => DataType::Timestamp(TimeUnit::Nanosecond, utc()),
        PrimitiveType::String => DataType::Utf8View,
        PrimitiveType::Binary => DataType::BinaryView,
        PrimitiveType::Uuid => DataType::FixedSizeBinary(UUID_BYTES),
        PrimitiveType::Fixed(bytes) => {
            DataType::FixedSizeBinary(i32::try_from(*bytes).map_err(|_| {
                Error::unsupported(format!("fixed({bytes}) is longer than Arrow can hold"))
            })?)
        }
    })
}

#[cfg(test)]
mod tests;
