//! Columns of metadata tables from Rust values.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int32Builder, Int64Array, Int64Builder, ListArray, MapBuilder, MapFieldNames,
    RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{Int32Type, Int64Type};
use datafusion::error::DataFusionError;

use crate::error::{Error, ErrorKind, Result};

/// Names inside a map, as in the tables' own columns.
fn map_names() -> MapFieldNames {
    MapFieldNames {
        entry: "key_value".to_owned(),
        key: "key".to_owned(),
        value: "value".to_owned(),
    }
}

/// A table of these columns, all nullable.
pub(super) fn batch(columns: Vec<(&'static str, ArrayRef)>) -> Result<RecordBatch> {
    let nullable = columns.into_iter().map(|(name, array)| (name, array, true));
    Ok(RecordBatch::try_from_iter_with_nullable(nullable).map_err(DataFusionError::from)?)
}

/// A column of bigints; what does not fit is NULL.
pub(super) fn longs<T: TryInto<i64>>(values: impl Iterator<Item = Option<T>>) -> ArrayRef {
    Arc::new(values.map(|v| v.and_then(|v| v.try_into().ok())).collect::<Int64Array>())
}

/// A column of strings.
pub(super) fn strings<T: AsRef<str>>(values: impl Iterator<Item = Option<T>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

/// A column of instants, from milliseconds.
pub(super) fn instants(millis: impl Iterator<Item = i64>) -> ArrayRef {
    let micros = millis.map(|ms| ms.saturating_mul(1000));
    Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
}

/// A column of `map<varchar, varchar>`, sorted by key.
pub(super) fn string_maps<'a>(
    rows: impl Iterator<Item = Vec<(&'a str, &'a str)>>,
) -> Result<ArrayRef> {
    let mut map = MapBuilder::new(Some(map_names()), StringBuilder::new(), StringBuilder::new());
    for mut row in rows {
        row.sort_unstable();
        for (key, value) in row {
            map.keys().append_value(key);
            map.values().append_value(value);
        }
        map.append(true).map_err(unbuilt)?;
    }
    Ok(Arc::new(map.finish()))
}

/// A column of `map<int, bigint>`, sorted by key.
pub(super) fn count_maps(rows: impl Iterator<Item = Vec<(i32, u64)>>) -> Result<ArrayRef> {
    let mut map = MapBuilder::new(Some(map_names()), Int32Builder::new(), Int64Builder::new());
    for mut row in rows {
        row.sort_unstable();
        for (key, value) in row {
            map.keys().append_value(key);
            map.values().append_option(i64::try_from(value).ok());
        }
        map.append(true).map_err(unbuilt)?;
    }
    Ok(Arc::new(map.finish()))
}

/// A column of `map<int, varchar>`, sorted by key.
pub(super) fn bound_maps(rows: impl Iterator<Item = Vec<(i32, String)>>) -> Result<ArrayRef> {
    let mut map = MapBuilder::new(Some(map_names()), Int32Builder::new(), StringBuilder::new());
    for mut row in rows {
        row.sort_unstable();
        for (key, value) in row {
            map.keys().append_value(key);
            map.values().append_value(value);
        }
        map.append(true).map_err(unbuilt)?;
    }
    Ok(Arc::new(map.finish()))
}

/// A column of `array<bigint>`.
pub(super) fn long_lists(rows: impl Iterator<Item = Option<Vec<i64>>>) -> ArrayRef {
    let lists = rows.map(|row| row.map(|values| values.into_iter().map(Some)));
    Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists))
}

/// A column of `array<int>`.
pub(super) fn int_lists(rows: impl Iterator<Item = Option<Vec<i32>>>) -> ArrayRef {
    let lists = rows.map(|row| row.map(|values| values.into_iter().map(Some)));
    Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists))
}

fn unbuilt(e: arrow::error::ArrowError) -> Error {
    Error::new(ErrorKind::Bug, "a metadata column could not be built").with_source(e)
}
