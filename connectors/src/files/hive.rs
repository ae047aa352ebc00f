//! Columns that live in directory names: `year=2024/month=3/…`.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::ScalarValue;
use datafusion::error::Result;

use super::listing::{ListedFile, decode};
use crate::error::{Error, ErrorKind};

/// What Hive writes for NULL.
const NULL_DIRECTORY: &str = "__HIVE_DEFAULT_PARTITION__";

/// Whether directories become columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HivePartitioning {
    /// When every file lies below the same keys and the files lack such columns.
    Auto,
    /// They must, and what contradicts that is an error.
    Required,
    /// Directory names are only names.
    Off,
}

/// Partition columns and, for each file, their values.
#[derive(Debug, Default)]
pub(super) struct HiveColumns {
    pub(super) fields: Vec<FieldRef>,
    pub(super) values: Vec<Vec<ScalarValue>>,
}

/// Finds the partition columns of `files`, whose own columns are in `schema`.
pub(super) fn hive_columns(
    files: &[ListedFile],
    schema: &Schema,
    mode: HivePartitioning,
) -> Result<HiveColumns> {
    if mode == HivePartitioning::Off {
        return Ok(HiveColumns::default());
    }
    let pairs: Vec<Vec<(String, String)>> = files.iter().map(|f| pairs_of(f, mode)).collect();
    let keys: Vec<&str> = pairs[0].iter().map(|(k, _)| k.as_str()).collect();
    for (file, pairs) in files.iter().zip(&pairs) {
        if pairs.len() != keys.len() || pairs.iter().zip(&keys).any(|((k, _), key)| k != key) {
            let message = format!(
                "file {:?} does not lie below the directories {keys:?} as {:?} does; set hive_partitioning => false",
                file.shown, files[0].shown
            );
            return contradiction(mode, message);
        }
    }
    if keys.is_empty() {
        let message = format!(
            "file {:?} does not lie in a directory of the form key=value, as hive_partitioning => true demands",
            files[0].shown
        );
        return contradiction(mode, message);
    }
    if let Some(key) =
        keys.iter().find(|k| schema.fields().iter().any(|f| f.name().eq_ignore_ascii_case(k)))
    {
        let message = format!(
            "column {key:?} is both in the files and in their directories; set hive_partitioning => false"
        );
        return contradiction(mode, message);
    }
    let columns: Vec<(FieldRef, Vec<ScalarValue>)> = keys
        .iter()
        .enumerate()
        .map(|(i, key)| {
            let texts: Vec<Option<&str>> = pairs
                .iter()
                .map(|p| Some(p[i].1.as_str()).filter(|v| *v != NULL_DIRECTORY))
                .collect();
            typed_column(key, &texts)
        })
        .collect();
    let values = (0..files.len())
        .map(|row| columns.iter().map(|(_, values)| values[row].clone()).collect())
        .collect();
    Ok(HiveColumns { fields: columns.into_iter().map(|(field, _)| field).collect(), values })
}

fn contradiction(mode: HivePartitioning, message: String) -> Result<HiveColumns> {
    match mode {
        HivePartitioning::Required => Err(Error::new(ErrorKind::Invalid, message).into()),
        _ => Ok(HiveColumns::default()),
    }
}

/// The `key=value` directories of a file: below the pattern's base, or anywhere when demanded.
fn pairs_of(file: &ListedFile, mode: HivePartitioning) -> Vec<(String, String)> {
    let directories: Vec<String> = if mode == HivePartitioning::Required {
        let parts: Vec<String> = file.meta.location.parts().map(|p| decode(p.as_ref())).collect();
        parts[..parts.len().saturating_sub(1)].to_vec()
    } else {
        file.directories.clone()
    };
    directories
        .iter()
        .filter_map(|d| d.split_once('='))
        .filter(|(key, _)| !key.is_empty())
        // A directory's name is encoded once by its writer, and the store's path once more.
        .map(|(key, value)| (key.to_owned(), decode(value)))
        .collect()
}

/// What the directories of a file say, wherever in its path they are; `None` is NULL.
pub(super) fn partition_of(file: &ListedFile) -> Vec<(String, Option<String>)> {
    let parts: Vec<_> = file.meta.location.parts().collect();
    parts[..parts.len().saturating_sub(1)]
        .iter()
        .filter_map(|part| part.as_ref().split_once('='))
        .filter(|(key, _)| !key.is_empty())
        // Decoded once: these values are stored.
        .map(|(key, value)| (decode(key), Some(decode(value)).filter(|v| v != NULL_DIRECTORY)))
        .collect()
}

/// Integers when all are, else dates when all are, else text.
fn typed_column(key: &str, texts: &[Option<&str>]) -> (FieldRef, Vec<ScalarValue>) {
    let present: Vec<&str> = texts.iter().flatten().copied().collect();
    let as_type = |data_type: &DataType| -> Option<Vec<ScalarValue>> {
        texts
            .iter()
            .map(|text| match text {
                Some(text) => ScalarValue::try_from_string((*text).to_owned(), data_type).ok(),
                None => ScalarValue::try_from(data_type).ok(),
            })
            .collect()
    };
    // `007` and `+1` would not come back as they were written.
    let integers = !present.is_empty()
        && present.iter().all(|t| t.parse::<i64>().is_ok_and(|n| n.to_string() == *t));
    let dates = !present.is_empty()
        && present
            .iter()
            .all(|t| t.len() == 10 && t.as_bytes()[4] == b'-' && t.as_bytes()[7] == b'-');
    let guess = if integers {
        DataType::Int64
    } else if dates {
        DataType::Date32
    } else {
        DataType::Utf8
    };
    let (data_type, values) = match as_type(&guess) {
        Some(values) => (guess, values),
        None => {
            let text = |t: &Option<&str>| ScalarValue::Utf8(t.map(str::to_owned));
            (DataType::Utf8, texts.iter().map(text).collect())
        }
    };
    (Arc::new(Field::new(key, data_type, true)), values)
}
