//! What manifests tell the optimizer, and how sure it may be.
//!
//! DataFusion answers `count(*)`, `min` and `max` from statistics that claim to be exact, skips
//! files by them, and replaces whole columns by constants. So *exact* is claimed only for what
//! the format guarantees; the rest is a hint for join order.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use fjord_catalog::plan_files::PlannedFile;
use fjord_catalog::spec::{
    DataFile, Datum, Literal, PartitionSpec, PrimitiveType, Schema, TableMetadata, Transform, Type,
};

use super::lineage;
use super::types::{datum_to_scalar, primitive_to_scalar};
use crate::error::{Error, ErrorKind, Result};

/// Bytes of a string or binary view beside its data.
const VIEW_BYTES: usize = 16;

/// Turns data files of one table into statistics over the scan's columns.
#[derive(Debug)]
pub(super) struct FileStatistics {
    columns: Vec<Column>,
    schema: SchemaRef,
    /// Bytes of a row in memory; `None` where a column's width varies. A total that counted such
    /// columns would be kept by every projection that drops them (`Statistics::
    /// calculate_total_byte_size`), and a join would then build on the wrong side; without one
    /// the optimizer compares rows.
    row_bytes: Option<usize>,
    /// By spec id: for each identity field, its place in the tuple and the column it fills.
    constants: HashMap<i32, Vec<Constant>>,
    /// By column id: distinct values, about, as ANALYZE counted them.
    distinct: HashMap<i32, u64>,
}

#[derive(Debug)]
struct Column {
    id: i32,
    /// `None` for nested columns, whose metrics are those of their leaves.
    primitive: Option<PrimitiveType>,
    data_type: DataType,
    /// Every field below it, itself included.
    ids_below: Vec<i32>,
}

#[derive(Debug)]
struct Constant {
    place: usize,
    column: usize,
}

impl FileStatistics {
    /// For scans that yield `schema`, as Arrow has it in `arrow`.
    pub(super) fn new(metadata: &TableMetadata, schema: &Schema, arrow: SchemaRef) -> Self {
        let columns: Vec<Column> = schema
            .as_struct()
            .fields()
            .iter()
            .zip(arrow.fields())
            .map(|(field, arrow)| {
                let mut ids_below = vec![field.id];
                collect_ids(&field.field_type, &mut ids_below);
                Column {
                    id: field.id,
                    primitive: field.field_type.as_primitive_type().cloned(),
                    data_type: arrow.data_type().clone(),
                    ids_below,
                }
            })
            .collect();
        let constants = metadata
            .partition_specs_iter()
            .map(|spec| (spec.spec_id(), constants_of(spec, &columns)))
            .collect();
        let row_bytes = columns.iter().map(|column| column.data_type.primitive_width()).sum();
        Self { columns, schema: arrow, row_bytes, constants, distinct: HashMap::new() }
    }

    /// The same, with distinct values of columns by their ids.
    #[must_use]
    pub(super) fn with_distinct(mut self, distinct: HashMap<i32, u64>) -> Self {
        self.distinct = distinct;
        self
    }

    /// The statistics of one file without deletes.
    ///
    /// Columns that the file's partition fixes are *exactly* that value, which makes DataFusion
    /// read them from here and not from the file: the format lets files omit them. This fills what
    /// `PartitionedFile::with_statistics` would get wrong for NULL partition values (stack §3).
    ///
    /// # Errors
    /// `Corrupt` if the partition tuple does not fit its spec.
    pub(super) fn of_file(&self, file: &DataFile, spec_id: i32) -> Result<Statistics> {
        let rows = usize::try_from(file.record_count()).unwrap_or(usize::MAX);
        let mut columns: Vec<ColumnStatistics> =
            self.columns.iter().map(|column| column.statistics(file, rows)).collect();
        let constants = self.constants.get(&spec_id).ok_or_else(|| {
            Error::new(
                ErrorKind::Corrupt,
                format!(
                    "data file {:?}: partition spec {spec_id} is not in the table",
                    file.file_path()
                ),
            )
        })?;
        for constant in constants {
            let value = self.constant(constant, file)?;
            fix(&mut columns[constant.column], value, rows);
        }
        Ok(Statistics {
            num_rows: Precision::Exact(rows),
            total_byte_size: self
                .row_bytes
                .map_or(Precision::Absent, |bytes| Precision::Exact(rows.saturating_mul(bytes))),
            column_statistics: columns,
        })
    }

    /// The same of a planned file, with what is known of its rows' lineage.
    ///
    /// # Errors
    /// As [`FileStatistics::of_file`].
    pub(super) fn of_planned(&self, planned: &PlannedFile) -> Result<Statistics> {
        let mut statistics = self.of_file(&planned.file, planned.spec_id)?;
        let rows = usize::try_from(planned.file.record_count()).unwrap_or(usize::MAX);
        for (column, of_column) in self.columns.iter().zip(&mut statistics.column_statistics) {
            if let Some(value) = lineage::of_file(column.id, planned) {
                fix(of_column, value.map(ScalarValue::from), rows);
            }
        }
        Ok(statistics)
    }

    /// The statistics of several files together.
    ///
    /// # Errors
    /// None that well-formed statistics cause.
    pub(super) fn of_files<'a>(
        &self,
        files: impl IntoIterator<Item = &'a Statistics>,
    ) -> Result<Statistics> {
        let mut files = files.into_iter().peekable();
        if files.peek().is_none() {
            let mut none = Statistics::new_unknown(&self.schema);
            none.num_rows = Precision::Exact(0);
            none.total_byte_size = Precision::Exact(0);
            return Ok(none);
        }
        let mut merged = Statistics::try_merge_iter(files, &self.schema)?;
        let rows = merged.num_rows.get_value().copied().unwrap_or(usize::MAX);
        for (column, statistics) in self.columns.iter().zip(&mut merged.column_statistics) {
            // What a partition fixes is known; what a sketch says is a hint.
            if let (Some(ndv), false) =
                (self.distinct.get(&column.id), statistics.distinct_count.is_exact() == Some(true))
            {
                let ndv = usize::try_from(*ndv).unwrap_or(usize::MAX);
                statistics.distinct_count = Precision::Inexact(ndv.min(rows));
            }
        }
        Ok(merged)
    }

    fn constant(&self, constant: &Constant, file: &DataFile) -> Result<Option<ScalarValue>> {
        let misfit = || {
            Error::new(
                ErrorKind::Corrupt,
                format!("data file {:?}: its partition does not fit its spec", file.file_path()),
            )
        };
        let column = &self.columns[constant.column];
        let value = file.partition().fields().get(constant.place).ok_or_else(misfit)?;
        match (value, &column.primitive) {
            (None, _) => Ok(None),
            (Some(Literal::Primitive(value)), Some(ty)) => {
                primitive_to_scalar(ty, value).map(Some).map_err(|e| misfit().with_source(e))
            }
            _ => Err(misfit()),
        }
    }
}

impl Column {
    fn statistics(&self, file: &DataFile, rows: usize) -> ColumnStatistics {
        let mut statistics = ColumnStatistics::new_unknown();
        statistics.byte_size = self.byte_size(file, rows);
        let Some(ty) = &self.primitive else { return statistics };
        if let Some(nulls) = file.null_value_counts().get(&self.id) {
            statistics.null_count =
                usize::try_from(*nulls).map_or(Precision::Absent, Precision::Exact);
        }
        let nans = file.nan_value_counts().get(&self.id).copied();
        let bound = |datum: Option<&Datum>| {
            datum.map_or(Precision::Absent, |datum| self.bound(datum, ty, nans))
        };
        statistics.min_value = bound(file.lower_bounds().get(&self.id));
        statistics.max_value = bound(file.upper_bounds().get(&self.id));
        statistics
    }

    fn bound(
        &self,
        datum: &Datum,
        ty: &PrimitiveType,
        nans: Option<u64>,
    ) -> Precision<ScalarValue> {
        let Ok(value) = datum_to_scalar(datum).and_then(|v| Ok(v.cast_to(&self.data_type)?)) else {
            // A bound that cannot be read is no bound; the data will speak for itself.
            return Precision::Absent;
        };
        match ty {
            PrimitiveType::Boolean
            | PrimitiveType::Int
            | PrimitiveType::Long
            | PrimitiveType::Decimal { .. }
            | PrimitiveType::Date
            | PrimitiveType::Time
            | PrimitiveType::Timestamp
            | PrimitiveType::Timestamptz
            | PrimitiveType::TimestampNs
            | PrimitiveType::TimestamptzNs => Precision::Exact(value),
            PrimitiveType::Float | PrimitiveType::Double => float_bound(value, nans),
            // Writers truncate these.
            PrimitiveType::String | PrimitiveType::Binary => Precision::Inexact(value),
            // Engines disagree on their order.
            PrimitiveType::Uuid | PrimitiveType::Fixed(_) => Precision::Absent,
        }
    }

    fn byte_size(&self, file: &DataFile, rows: usize) -> Precision<usize> {
        if let Some(width) = self.data_type.primitive_width() {
            return Precision::Exact(rows.saturating_mul(width));
        }
        let sizes = file.column_sizes();
        let stored: u64 = self.ids_below.iter().filter_map(|id| sizes.get(id)).sum();
        let stored = usize::try_from(stored).unwrap_or(usize::MAX);
        Precision::Inexact(stored.saturating_add(rows.saturating_mul(VIEW_BYTES)))
    }
}

/// Iceberg's bounds ignore NaN, which Arrow sorts highest; and writers widen a zero bound to the
/// zero of the other sign.
fn float_bound(value: ScalarValue, nans: Option<u64>) -> Precision<ScalarValue> {
    let (is_nan, is_zero) = match &value {
        ScalarValue::Float32(Some(v)) => (v.is_nan(), *v == 0.0),
        ScalarValue::Float64(Some(v)) => (v.is_nan(), *v == 0.0),
        _ => (true, false),
    };
    if is_nan {
        Precision::Absent
    } else if nans == Some(0) && !is_zero {
        Precision::Exact(value)
    } else {
        Precision::Inexact(value)
    }
}

/// Fixes a column to its partition's value.
fn fix(column: &mut ColumnStatistics, value: Option<ScalarValue>, rows: usize) {
    match value {
        None => {
            column.null_count = Precision::Exact(rows);
            column.min_value = Precision::Absent;
            column.max_value = Precision::Absent;
        }
        Some(value) => {
            // Arrow, which will compare it, has a total order: NaN is a bound like any other, as
            // long as it is the positive one.
            let value = match value {
                ScalarValue::Float32(Some(v)) if v.is_nan() => ScalarValue::from(f32::NAN),
                ScalarValue::Float64(Some(v)) if v.is_nan() => ScalarValue::from(f64::NAN),
                value => value,
            };
            column.null_count = Precision::Exact(0);
            column.min_value = Precision::Exact(value.clone());
            column.max_value = Precision::Exact(value);
            column.distinct_count = Precision::Exact(usize::from(rows > 0));
        }
    }
}

fn constants_of(spec: &Arc<PartitionSpec>, columns: &[Column]) -> Vec<Constant> {
    spec.fields()
        .iter()
        .enumerate()
        .filter(|(_, field)| field.transform == Transform::Identity)
        .filter_map(|(place, field)| {
            let column = columns.iter().position(|column| column.id == field.source_id)?;
            Some(Constant { place, column })
        })
        .collect()
}

fn collect_ids(ty: &Type, ids: &mut Vec<i32>) {
    let fields: Vec<_> = match ty {
        Type::Primitive(_) => return,
        Type::Struct(fields) => fields.fields().iter().collect(),
        Type::List(list) => vec![&list.element_field],
        Type::Map(map) => vec![&map.key_field, &map.value_field],
    };
    for field in fields {
        ids.push(field.id);
        collect_ids(&field.field_type, ids);
    }
}
