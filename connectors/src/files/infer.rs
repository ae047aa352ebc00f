//! The schema of many files: each file's own, then one that fits all.

use std::sync::Arc;

use datafusion::arrow::datatypes::{
    DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit,
};
use datafusion::catalog::Session;
use datafusion::datasource::file_format::FileFormat;
use datafusion::error::Result;
use futures::{StreamExt, TryStreamExt, stream};

use super::listing::{ListedFile, Listing};
use crate::error::{Error, ErrorKind};

/// Files whose schema is read at the same time.
const CONCURRENT_FILES_MAX: usize = 32;

/// How the schemas of several files become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unification {
    /// Every file must have the same column names in the same order (CSV is read by position).
    pub(super) is_positional: bool,
    /// Types that have nothing in common become text (CSV) instead of an error.
    pub(super) falls_back_to_text: bool,
}

/// The schema of each file of `listing`, in its order.
///
/// # Errors
/// `Corrupt` naming the first file that cannot be read.
pub(super) async fn file_schemas(
    format: &dyn FileFormat,
    session: &dyn Session,
    listing: &Listing,
) -> Result<Vec<SchemaRef>> {
    each_file(listing, |file| async move {
        format.infer_schema(session, &listing.store, std::slice::from_ref(&file.meta)).await
    })
    .await
}

/// Asks `infer` about every file of `listing`, several at a time; its errors get the file's name.
pub(super) async fn each_file<T, F, R>(listing: &Listing, infer: F) -> Result<Vec<T>>
where
    F: Fn(ListedFile) -> R,
    R: Future<Output = Result<T>>,
{
    // Owned files: a borrow of each item is not general enough for the buffered stream.
    let files: Vec<ListedFile> = listing.files.clone();
    stream::iter(files)
        .map(|file| {
            let shown = file.shown.clone();
            let inferred = infer(file);
            async move { inferred.await.map_err(|e| Error::reading(&shown, e)) }
        })
        .buffered(CONCURRENT_FILES_MAX)
        .try_collect()
        .await
}

/// One schema for all of `schemas`.
///
/// # Errors
/// `Invalid` naming the file and column that do not fit the files before it.
pub(super) fn unify(
    files: &[ListedFile],
    schemas: &[SchemaRef],
    unification: Unification,
) -> Result<SchemaRef> {
    let mut fields: Vec<FieldRef> = Vec::new();
    for (file, schema) in files.iter().zip(schemas) {
        let is_first = fields.is_empty();
        if unification.is_positional && !is_first && !same_names(&fields, schema.fields()) {
            let message = format!(
                "file {:?} has the columns {:?}, but {:?} has {:?}; CSV columns are read by position, so read these files apart",
                file.shown,
                names(schema.fields()),
                files[0].shown,
                names(&fields)
            );
            return Err(Error::new(ErrorKind::Invalid, message).into());
        }
        for (i, field) in schema.fields().iter().enumerate() {
            if schema.fields()[..i].iter().any(|f| f.name() == field.name()) {
                let message = format!(
                    "file {:?}: two columns are named {:?}; name them yourself with columns => 'name type, …'",
                    file.shown,
                    field.name()
                );
                return Err(Error::new(ErrorKind::Invalid, message).into());
            }
            match fields.iter_mut().find(|f| f.name() == field.name()) {
                Some(known) => merge_into(known, field, file, unification)?,
                None => fields.push(Arc::new(field.as_ref().clone().with_nullable(true))),
            }
        }
    }
    Ok(Arc::new(Schema::new(fields)))
}

fn merge_into(
    known: &mut FieldRef,
    field: &FieldRef,
    file: &ListedFile,
    unification: Unification,
) -> Result<()> {
    let merged = match widen(known.data_type(), field.data_type()) {
        Some(data_type) => data_type,
        None if unification.falls_back_to_text => DataType::Utf8,
        None => {
            let message = format!(
                "file {:?}: column {:?} is {}, but {} in the files before it",
                file.shown,
                field.name(),
                field.data_type(),
                known.data_type()
            );
            return Err(Error::new(ErrorKind::Invalid, message).into());
        }
    };
    if &merged != known.data_type() {
        *known = Arc::new(known.as_ref().clone().with_data_type(merged));
    }
    Ok(())
}

fn same_names(known: &[FieldRef], fields: &Fields) -> bool {
    known.len() == fields.len() && known.iter().zip(fields).all(|(a, b)| a.name() == b.name())
}

fn names(fields: &[FieldRef]) -> Vec<&str> {
    fields.iter().map(|f| f.name().as_str()).collect()
}

/// The narrowest type that holds the values of both, if one does without loss of meaning.
fn widen(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::{
        Date32, Float16, Float32, Float64, Int8, Int16, Int32, Int64, LargeUtf8, List, Null,
        Struct, Timestamp, Utf8, Utf8View,
    };
    if a == b {
        return Some(a.clone());
    }
    let rank = |t: &DataType| [Int8, Int16, Int32, Int64].iter().position(|i| i == t);
    match (a, b) {
        (Null, other) | (other, Null) => Some(other.clone()),
        (x, y) if rank(x).is_some() && rank(y).is_some() => {
            Some(if rank(x) > rank(y) { x.clone() } else { y.clone() })
        }
        (Float16, Float32) | (Float32, Float16) => Some(Float32),
        (x, y) if x.is_floating() && y.is_floating() => Some(Float64),
        (x, y) if x.is_floating() && rank(y).is_some() => Some(Float64),
        (x, y) if rank(x).is_some() && y.is_floating() => Some(Float64),
        (Date32, Timestamp(unit, zone)) | (Timestamp(unit, zone), Date32) => {
            Some(Timestamp(*unit, zone.clone()))
        }
        (Timestamp(x, zone), Timestamp(y, other)) if zone == other => {
            Some(Timestamp(finer(*x, *y), zone.clone()))
        }
        (Utf8 | LargeUtf8 | Utf8View, Utf8 | LargeUtf8 | Utf8View) => Some(Utf8View),
        (List(x), List(y)) => {
            let item = widen(x.data_type(), y.data_type())?;
            Some(List(Arc::new(x.as_ref().clone().with_data_type(item).with_nullable(true))))
        }
        (Struct(x), Struct(y)) => widen_struct(x, y),
        _ => None,
    }
}

fn widen_struct(x: &Fields, y: &Fields) -> Option<DataType> {
    let mut fields: Vec<Field> = x.iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
    for field in y {
        match fields.iter_mut().find(|f| f.name() == field.name()) {
            Some(known) => {
                let merged = widen(known.data_type(), field.data_type())?;
                known.set_data_type(merged);
            }
            None => fields.push(field.as_ref().clone().with_nullable(true)),
        }
    }
    Some(DataType::Struct(fields.into()))
}

fn finer(x: TimeUnit, y: TimeUnit) -> TimeUnit {
    let rank = |unit: TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    };
    if rank(x) > rank(y) { x } else { y }
}
