//! Which Arrow type, name and metadata a column has on the wire: values only, no arrays.

use std::collections::HashMap;
use std::mem::{Discriminant, discriminant};
use std::sync::Arc;

use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DataType, Field, FieldRef, TimeUnit, UnionFields, UnionMode,
};
use fjord_engine::{Error, Result};

use super::profile::Profile;

/// Iceberg's id of a column, which the engine carries on fields; nobody outside needs it.
const FIELD_ID: &str = "PARQUET:field_id";
const EXTENSION_NAME: &str = "ARROW:extension:name";
const EXTENSION_METADATA: &str = "ARROW:extension:metadata";
const UUID_EXTENSION: &str = "arrow.uuid";
/// Bytes of a uuid.
pub(super) const UUID_BYTES: i32 = 16;

/// How a column's values get to their type on the wire.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// By structure, and Arrow's casts where a leaf differs.
    Convert,
    /// Bytes, as hexadecimal text.
    Hex,
    /// Nested values as JSON text, after they are converted to this field's type.
    Json(FieldRef),
}

/// A column of the wire: its field, and how to get there.
#[derive(Clone, Debug)]
pub(super) struct WireColumn {
    pub(super) field: FieldRef,
    pub(super) step: Step,
}

/// What `field` is under `profile`. Always nullable: a plan may find out later than the one that
/// was announced that a column has no nulls, and clients refuse a stream whose schema differs.
pub(super) fn wire_column(field: &Field, profile: Profile) -> Result<WireColumn> {
    let (data_type, step) = match profile {
        Profile::Default | Profile::Jdbc => (plain_type(field.data_type()), Step::Convert),
        Profile::Native => (native_type(field.data_type()), Step::Convert),
        Profile::Grafana => grafana_type(field)?,
    };
    let field = wire_field(field, data_type);
    Ok(WireColumn { field: Arc::new(field), step })
}

/// The type that every common client reads.
pub(super) fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::RunEndEncoded(_, values) => plain_type(values.data_type()),
        DataType::List(item) | DataType::ListView(item) => DataType::List(plain_child(item)),
        DataType::LargeList(item) | DataType::LargeListView(item) => {
            DataType::LargeList(plain_child(item))
        }
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(plain_child(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_child).collect()),
        DataType::Map(entries, sorted) => DataType::Map(map_entries(entries, plain_type), *sorted),
        DataType::Union(fields, mode) => DataType::Union(plain_union(fields), *mode),
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        // By the type and never by the values: the schema is announced before the first row.
        DataType::Decimal256(precision, scale) if *precision <= DECIMAL128_MAX_PRECISION => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Decimal256(_, _) => DataType::Utf8,
        DataType::Float16 => DataType::Float32,
        other => other.clone(),
    }
}

/// Views, dictionaries, run ends and the decimals as they are; what is inside nested types is
/// plain, because a part of a nested array cannot be cut out of its shared views.
fn native_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View
        | DataType::BinaryView
        | DataType::Decimal32(_, _)
        | DataType::Decimal64(_, _)
        | DataType::Decimal256(_, _)
        | DataType::Float16 => data_type.clone(),
        DataType::Dictionary(keys, values) if !values.is_nested() => {
            DataType::Dictionary(keys.clone(), Box::new(plain_type(values)))
        }
        DataType::RunEndEncoded(_, values)
            if plain_type(values.data_type()) == *values.data_type()
                && !values.data_type().is_nested() =>
        {
            data_type.clone()
        }
        other => plain_type(other),
    }
}

/// What the plugin shows (GRAF-09): instants in nanoseconds, numbers, text.
fn grafana_type(field: &Field) -> Result<(DataType, Step)> {
    let nanoseconds = |zone| DataType::Timestamp(TimeUnit::Nanosecond, zone);
    let converted = match flat_type(field.data_type()) {
        DataType::Timestamp(_, zone) => nanoseconds(zone.clone()),
        DataType::Date32 | DataType::Date64 => nanoseconds(None),
        DataType::Decimal32(_, _)
        | DataType::Decimal64(_, _)
        | DataType::Decimal128(_, _)
        | DataType::Decimal256(_, _) => DataType::Float64,
        DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Null
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Interval(_) => DataType::Utf8,
        DataType::FixedSizeBinary(UUID_BYTES) if is_uuid(field) => DataType::Utf8,
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => return Ok((DataType::Utf8, Step::Hex)),
        DataType::Union(fields, _) => DataType::Union(plain_union(fields), UnionMode::Dense),
        nested if nested.is_nested() => {
            let source = Field::new(field.name(), json_type(field, nested)?, true);
            return Ok((DataType::Utf8, Step::Json(Arc::new(source))));
        }
        other => plain_type(other),
    };
    Ok((converted, Step::Convert))
}

/// The type below dictionaries and runs.
fn flat_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => flat_type(values),
        DataType::RunEndEncoded(_, values) => flat_type(values.data_type()),
        other => other,
    }
}

/// The plain type from which JSON is written: uuids are text, and a map whose keys are no text is a
/// list of its entries, because JSON has no such objects.
fn json_type(field: &Field, data_type: &DataType) -> Result<DataType> {
    let child = |item: &FieldRef| -> Result<FieldRef> {
        let inner = json_type(item, flat_type(item.data_type()))?;
        Ok(Arc::new(Field::new(item.name(), inner, true)))
    };
    Ok(match data_type {
        DataType::FixedSizeBinary(UUID_BYTES) if is_uuid(field) => DataType::Utf8,
        DataType::List(item) | DataType::ListView(item) => DataType::List(child(item)?),
        DataType::LargeList(item) | DataType::LargeListView(item) => {
            DataType::LargeList(child(item)?)
        }
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(child(item)?, *size),
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(child).collect::<Result<_>>()?)
        }
        DataType::Map(entries, sorted) => {
            let DataType::Struct(pair) = entries.data_type() else {
                return Err(unsupported(field, data_type));
            };
            let pair = pair.iter().map(child).collect::<Result<Vec<_>>>()?;
            let has_text_keys = pair.first().is_some_and(|key| *key.data_type() == DataType::Utf8);
            let name = entries.name();
            if !has_text_keys {
                let entry = Field::new(name, DataType::Struct(pair.into()), true);
                return Ok(DataType::List(Arc::new(entry)));
            }
            let entries = Field::new(name, DataType::Struct(pair.into()), false);
            DataType::Map(map_entries(&entries, DataType::clone), *sorted)
        }
        DataType::Union(_, _) => return Err(unsupported(field, data_type)),
        other => plain_type(other),
    })
}

fn unsupported(field: &Field, data_type: &DataType) -> Error {
    Error::unsupported(format!(
        "column \"{}\": a {data_type} inside another type cannot be shown to Grafana: select its \
         parts, or another output profile",
        field.name()
    ))
}

fn plain_child(field: &FieldRef) -> FieldRef {
    Arc::new(wire_field(field, plain_type(field.data_type())))
}

fn plain_union(fields: &UnionFields) -> UnionFields {
    fields.iter().map(|(id, field)| (id, plain_child(field))).collect()
}

/// The entries of a map: themselves and their keys are the two places where Arrow allows no nulls.
fn map_entries(entries: &Field, inner: fn(&DataType) -> DataType) -> FieldRef {
    let DataType::Struct(pair) = entries.data_type() else {
        return Arc::new(entries.clone());
    };
    let pair = pair.iter().enumerate().map(|(position, field)| {
        Arc::new(wire_field(field, inner(field.data_type())).with_nullable(position > 0))
    });
    let entries = wire_field(entries, DataType::Struct(pair.collect()));
    Arc::new(entries.with_nullable(false))
}

fn wire_field(field: &Field, data_type: DataType) -> Field {
    let metadata = wire_metadata(field, &data_type);
    Field::new(field.name(), data_type, true).with_metadata(metadata)
}

/// A field's metadata without what is internal, and without an extension that its new type is not.
fn wire_metadata(field: &Field, data_type: &DataType) -> HashMap<String, String> {
    let mut metadata = field.metadata().clone();
    metadata.remove(FIELD_ID);
    if Family::of(field.data_type()) != Family::of(data_type) {
        metadata.remove(EXTENSION_NAME);
        metadata.remove(EXTENSION_METADATA);
    }
    metadata
}

fn is_uuid(field: &Field) -> bool {
    field.metadata().get(EXTENSION_NAME).is_some_and(|name| name == UUID_EXTENSION)
}

/// Types that differ in layout alone, so that an extension of one is an extension of the other.
#[derive(PartialEq)]
enum Family {
    Text,
    Bytes,
    List,
    Decimal,
    Other(Discriminant<DataType>),
}

impl Family {
    fn of(data_type: &DataType) -> Self {
        match flat_type(data_type) {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Self::Bytes,
            DataType::List(_)
            | DataType::LargeList(_)
            | DataType::ListView(_)
            | DataType::LargeListView(_) => Self::List,
            DataType::Decimal32(_, _)
            | DataType::Decimal64(_, _)
            | DataType::Decimal128(_, _)
            | DataType::Decimal256(_, _) => Self::Decimal,
            other => Self::Other(discriminant(other)),
        }
    }
}
