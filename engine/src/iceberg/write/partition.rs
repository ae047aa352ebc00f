//! Partition values of rows: their keys, the partition struct of a file, and its directory.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DecimalType, Float32Type, Float64Type, Int32Type,
    Int64Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, TimestampNanosecondType,
};
use fjord_catalog::spec::{
    Literal, NestedFieldRef, PrimitiveLiteral, PrimitiveType, Schema, Struct, TableMetadata,
    Transform, Type,
};

use crate::error::{Error, ErrorKind, Result};
use crate::iceberg::transform::transform;

/// Longest directory name made of a partition value; file systems allow 255 bytes.
const DIRECTORY_BYTES_MAX: usize = 200;

/// Where a column lies: the index of the top-level column, then of each struct field below it.
pub(crate) type ColumnPath = Vec<usize>;

/// Finds the column `field_id`, looking into structs alone: lists have no single value per row.
pub(crate) fn column_path(schema: &Schema, field_id: i32) -> Option<ColumnPath> {
    fn find(fields: &[NestedFieldRef], id: i32, path: &mut ColumnPath) -> bool {
        for (i, field) in fields.iter().enumerate() {
            path.push(i);
            if field.id == id {
                return true;
            }
            if let Type::Struct(inner) = field.field_type.as_ref()
                && find(inner.fields(), id, path)
            {
                return true;
            }
            path.pop();
        }
        false
    }
    let mut path = ColumnPath::new();
    find(schema.as_struct().fields(), field_id, &mut path).then_some(path)
}

/// The values below `column` at `path`; NULL where a struct on the way is NULL.
pub(crate) fn descend(column: &ArrayRef, path: &[usize]) -> Result<ArrayRef> {
    let mut array = Arc::clone(column);
    let mut above: Option<NullBuffer> = None;
    for at in path {
        let parent = array
            .as_struct_opt()
            .filter(|parent| *at < parent.num_columns())
            .ok_or_else(|| Error::new(ErrorKind::Bug, "a partition source is not in its struct"))?;
        above = NullBuffer::union(above.as_ref(), parent.nulls());
        let child = Arc::clone(parent.column(*at));
        array = child;
    }
    match above {
        None => Ok(array),
        Some(above) => {
            let gone = BooleanArray::new(!above.inner(), None);
            arrow::compute::nullif(&array, &gone).map_err(|e| {
                Error::new(ErrorKind::Bug, format!("partition source cannot be masked: {e}"))
                    .with_source(e)
            })
        }
    }
}

/// One partition field, resolved against the schema of the rows.
#[derive(Clone, Debug)]
pub(crate) struct PartitionColumn {
    pub(crate) name: String,
    pub(crate) transform: Transform,
    pub(crate) path: ColumnPath,
    /// Type of the partition value.
    pub(crate) ty: PrimitiveType,
}

/// The default partition spec of a table, ready to be applied to rows.
#[derive(Clone, Debug)]
pub(crate) struct Partitioner {
    pub(crate) columns: Vec<PartitionColumn>,
}

impl Partitioner {
    /// # Errors
    /// `Unsupported` for a partition source that rows do not carry.
    pub(crate) fn try_new(table: &TableMetadata) -> Result<Self> {
        let schema = table.current_schema();
        let types = table.default_partition_type().fields();
        let mut columns = Vec::with_capacity(types.len());
        for (field, ty) in table.default_partition_spec().fields().iter().zip(types) {
            let Type::Primitive(ty) = ty.field_type.as_ref() else {
                return Err(Error::unsupported(format!(
                    "partition field \"{}\" is not of a primitive type",
                    field.name
                )));
            };
            let path = column_path(schema, field.source_id);
            let path = match (path, field.transform) {
                (Some(path), _) => path,
                // The source of a void field may have been dropped.
                (None, Transform::Void) => ColumnPath::new(),
                (None, _) => {
                    return Err(Error::unsupported(format!(
                        "partition field \"{}\": its source column {} is not in the schema",
                        field.name, field.source_id
                    )));
                }
            };
            columns.push(PartitionColumn {
                name: field.name.clone(),
                transform: field.transform,
                path,
                ty: ty.clone(),
            });
        }
        Ok(Self { columns })
    }

    /// Whether all rows lie in one partition (all-void counts as unpartitioned).
    pub(crate) fn is_trivial(&self) -> bool {
        self.columns.iter().all(|c| c.transform == Transform::Void)
    }

    /// The partition values of every row, one array per field that is not void.
    pub(crate) fn values(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        self.columns
            .iter()
            .filter(|c| c.transform != Transform::Void)
            .map(|c| transform(&c.transform, &descend(batch.column(c.path[0]), &c.path[1..])?))
            .collect()
    }

    /// The partition struct of row `row`; `values` as from [`Self::values`].
    pub(crate) fn partition(&self, values: &[ArrayRef], row: usize) -> Result<Struct> {
        let mut values = values.iter();
        self.columns
            .iter()
            .map(|column| match column.transform {
                Transform::Void => Ok(None),
                _ => {
                    let array = values.next().ok_or_else(|| {
                        Error::new(ErrorKind::Bug, "a partition field has no values")
                    })?;
                    literal_at(array, row, &column.ty)
                }
            })
            .collect::<Result<Vec<_>>>()
            .map(|literals| literals.into_iter().collect())
    }

    /// `name=value/name=value`, percent-encoded; empty for an unpartitioned table.
    pub(crate) fn directory(&self, partition: &Struct) -> String {
        let mut directory = String::new();
        for (column, value) in self.columns.iter().zip(partition.iter()) {
            let mut name = format!(
                "{}={}",
                percent_encode(&column.name),
                percent_encode(&human(&column.transform, &column.ty, value)),
            );
            if name.len() > DIRECTORY_BYTES_MAX {
                // Only for people to read: the partition value itself is in the manifest. Cut
                // where no escape is torn; encoded names are ASCII.
                let mut end = DIRECTORY_BYTES_MAX;
                while name.as_bytes()[end - 1] == b'%' || name.as_bytes()[end - 2] == b'%' {
                    end -= 1;
                }
                name.truncate(end);
            }
            if !directory.is_empty() {
                directory.push('/');
            }
            directory.push_str(&name);
        }
        directory
    }
}

fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _infallible = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// A partition value as people write it.
fn human(transform: &Transform, ty: &PrimitiveType, value: Option<&Literal>) -> String {
    let Some(Literal::Primitive(value)) = value else { return "null".to_owned() };
    let date = |days: i64| {
        i32::try_from(days + 719_163).ok().and_then(chrono::NaiveDate::from_num_days_from_ce_opt)
    };
    match (transform, value) {
        (Transform::Year, PrimitiveLiteral::Int(v)) => format!("{:04}", i64::from(*v) + 1970),
        (Transform::Month, PrimitiveLiteral::Int(v)) => {
            format!("{:04}-{:02}", 1970 + v.div_euclid(12), v.rem_euclid(12) + 1)
        }
        (Transform::Hour, PrimitiveLiteral::Int(v)) => match date(i64::from(v.div_euclid(24))) {
            Some(day) => format!("{day}-{:02}", v.rem_euclid(24)),
            None => v.to_string(),
        },
        (_, PrimitiveLiteral::Int(v)) if *ty == PrimitiveType::Date => {
            date(i64::from(*v)).map_or_else(|| v.to_string(), |day| day.to_string())
        }
        (_, PrimitiveLiteral::Boolean(v)) => v.to_string(),
        (_, PrimitiveLiteral::Int(v)) => v.to_string(),
        (_, PrimitiveLiteral::Long(v)) => v.to_string(),
        (_, PrimitiveLiteral::Float(v)) => v.to_string(),
        (_, PrimitiveLiteral::Double(v)) => v.to_string(),
        (_, PrimitiveLiteral::String(v)) => v.clone(),
        (_, PrimitiveLiteral::Binary(v)) => v.iter().fold(String::new(), |mut hex, byte| {
            let _infallible = write!(hex, "{byte:02x}");
            hex
        }),
        (_, PrimitiveLiteral::Int128(v)) => match ty {
            PrimitiveType::Decimal { precision, scale } => {
                // At most 38 digits.
                Decimal128Type::format_decimal(*v, *precision as u8, *scale as i8)
            }
            _ => v.to_string(),
        },
        (_, PrimitiveLiteral::UInt128(v)) => uuid::Uuid::from_u128(*v).to_string(),
        (_, PrimitiveLiteral::AboveMax | PrimitiveLiteral::BelowMin) => "null".to_owned(),
    }
}

/// The value of `array[row]` as a literal of `ty`.
pub(crate) fn literal_at(
    array: &ArrayRef,
    row: usize,
    ty: &PrimitiveType,
) -> Result<Option<Literal>> {
    use DataType as D;
    use PrimitiveLiteral as L;
    if array.is_null(row) {
        return Ok(None);
    }
    let literal = match array.data_type() {
        D::Boolean => L::Boolean(array.as_boolean().value(row)),
        D::Int32 => L::Int(array.as_primitive::<Int32Type>().value(row)),
        D::Date32 => L::Int(array.as_primitive::<Date32Type>().value(row)),
        D::Int64 => L::Long(array.as_primitive::<Int64Type>().value(row)),
        D::Time64(TimeUnit::Microsecond) => {
            L::Long(array.as_primitive::<Time64MicrosecondType>().value(row))
        }
        D::Timestamp(TimeUnit::Microsecond, _) => {
            L::Long(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        D::Timestamp(TimeUnit::Nanosecond, _) => {
            L::Long(array.as_primitive::<TimestampNanosecondType>().value(row))
        }
        D::Float32 => {
            return Ok(Some(Literal::float(array.as_primitive::<Float32Type>().value(row))));
        }
        D::Float64 => {
            let value = array.as_primitive::<Float64Type>().value(row);
            // The JSON in which data files reach the commit has no spelling for these.
            if !value.is_finite() {
                return Err(Error::unsupported(format!(
                    "{value} is not supported as a partition value; reject or replace it, or \
                     partition by another column"
                )));
            }
            return Ok(Some(Literal::double(value)));
        }
        D::Decimal128(..) => L::Int128(array.as_primitive::<Decimal128Type>().value(row)),
        D::Utf8 => L::String(array.as_string::<i32>().value(row).to_owned()),
        D::LargeUtf8 => L::String(array.as_string::<i64>().value(row).to_owned()),
        D::Utf8View => L::String(array.as_string_view().value(row).to_owned()),
        D::Binary => L::Binary(array.as_binary::<i32>().value(row).to_vec()),
        D::LargeBinary => L::Binary(array.as_binary::<i64>().value(row).to_vec()),
        D::BinaryView => L::Binary(array.as_binary_view().value(row).to_vec()),
        D::FixedSizeBinary(_) => {
            let bytes = array.as_fixed_size_binary().value(row);
            match <[u8; 16]>::try_from(bytes) {
                Ok(uuid) if *ty == PrimitiveType::Uuid => L::UInt128(u128::from_be_bytes(uuid)),
                _ => L::Binary(bytes.to_vec()),
            }
        }
        other => {
            return Err(Error::new(ErrorKind::Bug, format!("{other} is no partition value")));
        }
    };
    Ok(Some(Literal::Primitive(literal)))
}
