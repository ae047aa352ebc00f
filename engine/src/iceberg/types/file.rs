//! The schema of a data file that Fjord writes: Arrow's view for the writer, and Parquet's own.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{
    DataType, Field, FieldRef, Fields, Schema as ArrowSchema, SchemaRef as ArrowSchemaRef,
};
use fjord_catalog::spec::{PrimitiveType, Schema, Type};
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{LogicalType, Type as PhysicalType};
use parquet::schema::types::{SchemaDescriptor, Type as ParquetType};

use super::{COMMENT, to_arrow_schema};
use crate::error::{Error, ErrorKind, Result};

/// The name of the root of a data file's schema; readers do not interpret it.
const ROOT: &str = "table";

/// The Arrow schema of the batches that go into a data file: what a scan reads, less the docs,
/// which belong to the table. Strings and binaries stay views, which the Parquet writer takes.
///
/// # Errors
/// As [`to_arrow_schema`].
pub fn to_file_schema(schema: &Schema) -> Result<ArrowSchemaRef> {
    let fields = to_arrow_schema(schema)?.fields().iter().map(without_doc).collect::<Fields>();
    Ok(Arc::new(ArrowSchema::new(fields)))
}

/// The Parquet schema that goes with [`to_file_schema`], field ids included: give it to the writer
/// (`ArrowWriterOptions::with_parquet_schema`), which by itself knows no uuid.
///
/// # Errors
/// `Unsupported` for a struct without fields, which Parquet cannot store.
pub fn to_parquet_schema(schema: &Schema) -> Result<SchemaDescriptor> {
    let uuids: HashSet<i32> = schema
        .field_id_to_fields()
        .iter()
        .filter(|(_, f)| matches!(*f.field_type, Type::Primitive(PrimitiveType::Uuid)))
        .map(|(id, _)| *id)
        .collect();
    let refused = |e| Error::unsupported("the schema cannot be stored as Parquet").with_source(e);
    let descriptor = ArrowSchemaConverter::new()
        .schema_root(ROOT)
        .convert(to_file_schema(schema)?.as_ref())
        .map_err(refused)?;
    let root = with_uuids(descriptor.root_schema(), &uuids, true)
        .map_err(|e| Error::new(ErrorKind::Bug, "a uuid column lost its shape").with_source(e))?;
    Ok(SchemaDescriptor::new(Arc::new(root)))
}

fn with_uuids(
    ty: &ParquetType,
    uuids: &HashSet<i32>,
    is_root: bool,
) -> parquet::errors::Result<ParquetType> {
    let info = ty.get_basic_info();
    let id = info.has_id().then(|| info.id());
    if ty.is_primitive() {
        if !id.is_some_and(|id| uuids.contains(&id)) {
            return Ok(ty.clone());
        }
        return ParquetType::primitive_type_builder(ty.name(), PhysicalType::FIXED_LEN_BYTE_ARRAY)
            .with_repetition(info.repetition())
            .with_length(super::UUID_BYTES)
            .with_logical_type(Some(LogicalType::Uuid))
            .with_id(id)
            .build();
    }
    let fields = ty
        .get_fields()
        .iter()
        .map(|field| with_uuids(field, uuids, false).map(Arc::new))
        .collect::<parquet::errors::Result<Vec<_>>>()?;
    let group = ParquetType::group_type_builder(ty.name()).with_fields(fields).with_id(id);
    if is_root {
        return group.build();
    }
    group
        .with_repetition(info.repetition())
        .with_converted_type(info.converted_type())
        .with_logical_type(info.logical_type_ref().cloned())
        .build()
}

fn without_doc(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(without_doc).collect()),
        DataType::List(element) => DataType::List(without_doc(element)),
        DataType::Map(entries, sorted) => DataType::Map(without_doc(entries), *sorted),
        primitive => primitive.clone(),
    };
    let mut metadata = field.metadata().clone();
    metadata.remove(COMMENT);
    Arc::new(Field::new(field.name(), data_type, field.is_nullable()).with_metadata(metadata))
}
