//! The two schemas of a data file: the Parquet one that the specification prescribes, and the Arrow
//! one in which rows reach the Parquet writer.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema as ArrowSchema, SchemaRef, TimeUnit};
use fjord_catalog::spec::{NestedField, PrimitiveType, Schema, Type};
use parquet::basic::TimeUnit as ParquetUnit;
use parquet::basic::{ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::schema::types::{SchemaDescriptor, Type as ParquetType};

use crate::error::{Error, ErrorKind, Result};

/// The name of the root of the Parquet schema; readers ignore it.
const ROOT: &str = "table";

/// The Parquet schema of `schema` with field ids at every level (spec, appendix A).
pub(crate) fn to_parquet_schema(schema: &Schema) -> Result<SchemaDescriptor> {
    let fields = schema.as_struct().fields().iter().map(|f| parquet_field(f, f.name.as_str()));
    let root = ParquetType::group_type_builder(ROOT)
        .with_fields(fields.collect::<Result<_>>()?)
        .build()
        .map_err(bad_schema)?;
    Ok(SchemaDescriptor::new(Arc::new(root)))
}

fn bad_schema(e: parquet::errors::ParquetError) -> Error {
    Error::new(ErrorKind::Bug, format!("no parquet schema for the table: {e}")).with_source(e)
}

fn parquet_field(field: &NestedField, name: &str) -> Result<Arc<ParquetType>> {
    let repetition = if field.required { Repetition::REQUIRED } else { Repetition::OPTIONAL };
    let id = Some(field.id);
    let built = match field.field_type.as_ref() {
        Type::Primitive(ty) => {
            parquet_leaf(name, ty).with_repetition(repetition).with_id(id).build()
        }
        Type::Struct(ty) => ParquetType::group_type_builder(name)
            .with_repetition(repetition)
            .with_id(id)
            .with_fields(
                ty.fields().iter().map(|f| parquet_field(f, &f.name)).collect::<Result<_>>()?,
            )
            .build(),
        Type::List(ty) => {
            let element = parquet_field(&ty.element_field, "element")?;
            let repeated = ParquetType::group_type_builder("list")
                .with_repetition(Repetition::REPEATED)
                .with_fields(vec![element])
                .build()
                .map_err(bad_schema)?;
            ParquetType::group_type_builder(name)
                .with_repetition(repetition)
                .with_id(id)
                .with_converted_type(ConvertedType::LIST)
                .with_logical_type(Some(LogicalType::List))
                .with_fields(vec![Arc::new(repeated)])
                .build()
        }
        Type::Map(ty) => {
            let key = parquet_field(&ty.key_field, "key")?;
            let value = parquet_field(&ty.value_field, "value")?;
            let repeated = ParquetType::group_type_builder("key_value")
                .with_repetition(Repetition::REPEATED)
                .with_fields(vec![key, value])
                .build()
                .map_err(bad_schema)?;
            ParquetType::group_type_builder(name)
                .with_repetition(repetition)
                .with_id(id)
                .with_converted_type(ConvertedType::MAP)
                .with_logical_type(Some(LogicalType::Map))
                .with_fields(vec![Arc::new(repeated)])
                .build()
        }
    };
    built.map(Arc::new).map_err(bad_schema)
}

fn parquet_leaf<'a>(
    name: &'a str,
    ty: &PrimitiveType,
) -> parquet::schema::types::PrimitiveTypeBuilder<'a> {
    let leaf = |physical| ParquetType::primitive_type_builder(name, physical);
    let timestamp = |is_adjusted_to_u_t_c, unit| {
        leaf(Physical::INT64)
            .with_logical_type(Some(LogicalType::timestamp(is_adjusted_to_u_t_c, unit)))
    };
    match ty {
        PrimitiveType::Boolean => leaf(Physical::BOOLEAN),
        PrimitiveType::Int => leaf(Physical::INT32),
        PrimitiveType::Long => leaf(Physical::INT64),
        PrimitiveType::Float => leaf(Physical::FLOAT),
        PrimitiveType::Double => leaf(Physical::DOUBLE),
        PrimitiveType::Date => leaf(Physical::INT32).with_logical_type(Some(LogicalType::Date)),
        PrimitiveType::Time => leaf(Physical::INT64)
            .with_logical_type(Some(LogicalType::time(false, ParquetUnit::MICROS))),
        PrimitiveType::Timestamp => timestamp(false, ParquetUnit::MICROS),
        PrimitiveType::Timestamptz => timestamp(true, ParquetUnit::MICROS),
        PrimitiveType::TimestampNs => timestamp(false, ParquetUnit::NANOS),
        PrimitiveType::TimestamptzNs => timestamp(true, ParquetUnit::NANOS),
        PrimitiveType::String => {
            leaf(Physical::BYTE_ARRAY).with_logical_type(Some(LogicalType::String))
        }
        PrimitiveType::Binary => leaf(Physical::BYTE_ARRAY),
        PrimitiveType::Uuid => leaf(Physical::FIXED_LEN_BYTE_ARRAY)
            .with_length(16)
            .with_logical_type(Some(LogicalType::Uuid)),
        PrimitiveType::Fixed(length) => leaf(Physical::FIXED_LEN_BYTE_ARRAY)
            .with_length(i32::try_from(*length).unwrap_or(i32::MAX)),
        PrimitiveType::Decimal { precision, scale } => {
            // Iceberg limits a decimal to 38 digits, so both fit.
            let (precision, scale) = (*precision as i32, *scale as i32);
            let (physical, length) = match precision {
                ..=9 => (Physical::INT32, None),
                10..=18 => (Physical::INT64, None),
                _ => (Physical::FIXED_LEN_BYTE_ARRAY, Some(decimal_bytes(precision))),
            };
            let built = leaf(physical)
                .with_logical_type(Some(LogicalType::decimal(scale, precision)))
                .with_precision(precision)
                .with_scale(scale);
            match length {
                Some(length) => built.with_length(length),
                None => built,
            }
        }
    }
}

/// The fewest bytes that hold every decimal of `precision` digits.
fn decimal_bytes(precision: i32) -> i32 {
    let largest = 10f64.powi(precision).log2() + 1.0;
    (largest / 8.0).ceil() as i32
}

/// The Arrow schema in which rows of `schema` reach the Parquet writer. A column that arrives in a
/// representation that the writer takes as it is (a string view, say) keeps it: see `incoming`.
pub(crate) fn to_write_schema(schema: &Schema, incoming: &ArrowSchema) -> Result<SchemaRef> {
    let columns = schema.as_struct().fields();
    if columns.len() != incoming.fields().len() {
        return Err(Error::invalid(format!(
            "the table has {} columns, the rows to write have {}",
            columns.len(),
            incoming.fields().len()
        )));
    }
    let fields = columns
        .iter()
        .zip(incoming.fields())
        .map(|(column, given)| write_field(column, &column.name, Some(given.data_type())))
        .collect::<Vec<_>>();
    Ok(Arc::new(ArrowSchema::new(fields)))
}

fn write_field(field: &NestedField, name: &str, incoming: Option<&DataType>) -> Field {
    let ty = match field.field_type.as_ref() {
        Type::Primitive(ty) => write_leaf(ty, incoming),
        Type::Struct(ty) => {
            let given = match incoming {
                Some(DataType::Struct(fields)) => Some(fields),
                _ => None,
            };
            let fields = ty.fields().iter().enumerate().map(|(i, child)| {
                let source = given.and_then(|given| {
                    let at = super::conform::child_index(given, ty.fields(), i)?;
                    given.get(at).map(|f| f.data_type())
                });
                write_field(child, &child.name, source)
            });
            DataType::Struct(fields.collect::<Fields>())
        }
        Type::List(ty) => {
            let given = match incoming {
                Some(
                    DataType::List(f)
                    | DataType::LargeList(f)
                    | DataType::FixedSizeList(f, _)
                    | DataType::ListView(f)
                    | DataType::LargeListView(f),
                ) => Some(f.data_type()),
                _ => None,
            };
            DataType::List(Arc::new(write_field(&ty.element_field, "element", given)))
        }
        Type::Map(ty) => {
            let (key, value) = match incoming {
                Some(DataType::Map(entries, _)) => match entries.data_type() {
                    DataType::Struct(kv) if kv.len() == 2 => {
                        (Some(kv[0].data_type()), Some(kv[1].data_type()))
                    }
                    _ => (None, None),
                },
                _ => (None, None),
            };
            let entries = DataType::Struct(Fields::from(vec![
                write_field(&ty.key_field, "key", key),
                write_field(&ty.value_field, "value", value),
            ]));
            DataType::Map(Arc::new(Field::new("key_value", entries, false)), false)
        }
    };
    Field::new(name, ty, !field.required)
        .with_metadata([(super::super::types::FIELD_ID.to_owned(), field.id.to_string())].into())
}

/// The type of a leaf; text and bytes keep their layout, which the writer takes as it is.
fn write_leaf(ty: &PrimitiveType, incoming: Option<&DataType>) -> DataType {
    use DataType as D;
    match (ty, incoming) {
        (PrimitiveType::String, Some(D::Utf8 | D::LargeUtf8 | D::Utf8View)) => {
            incoming.cloned().unwrap_or(D::Utf8View)
        }
        (PrimitiveType::Binary, Some(D::Binary | D::LargeBinary | D::BinaryView)) => {
            incoming.cloned().unwrap_or(D::BinaryView)
        }
        (PrimitiveType::Boolean, _) => D::Boolean,
        (PrimitiveType::Int, _) => D::Int32,
        (PrimitiveType::Long, _) => D::Int64,
        (PrimitiveType::Float, _) => D::Float32,
        (PrimitiveType::Double, _) => D::Float64,
        (PrimitiveType::Decimal { precision, scale }, _) => {
            // At most 38 digits.
            D::Decimal128(*precision as u8, *scale as i8)
        }
        (PrimitiveType::Date, _) => D::Date32,
        (PrimitiveType::Time, _) => D::Time64(TimeUnit::Microsecond),
        (PrimitiveType::Timestamp, _) => D::Timestamp(TimeUnit::Microsecond, None),
        (PrimitiveType::TimestampNs, _) => D::Timestamp(TimeUnit::Nanosecond, None),
        (PrimitiveType::Timestamptz, _) => D::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        (PrimitiveType::TimestamptzNs, _) => D::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
        (PrimitiveType::String, _) => D::Utf8View,
        (PrimitiveType::Binary, _) => D::BinaryView,
        (PrimitiveType::Uuid, _) => D::FixedSizeBinary(16),
        (PrimitiveType::Fixed(length), _) => {
            D::FixedSizeBinary(i32::try_from(*length).unwrap_or(i32::MAX))
        }
    }
}
