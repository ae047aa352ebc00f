//! Brings rows into the shape of the table: casts that never lose a value silently, and NOT NULL.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryArray, ListArray, MapArray, RecordBatch, StructArray,
    new_null_array,
};
use arrow::compute::cast_with_options;
use arrow::datatypes::{DataType, Field, Fields, SchemaRef};

use super::fit::{self, Fit, STRICT, misfit};
use crate::error::{Error, ErrorKind, Result};

/// Where the struct field `wanted[i]` comes from: by name when all names are there (in any case),
/// by position otherwise; `None` when the structs differ in size.
pub(crate) fn by_name_or_position(given: &Fields, wanted: &[&str], i: usize) -> Option<usize> {
    if given.len() != wanted.len() {
        return None;
    }
    let find = |name: &str| given.iter().position(|f| f.name().eq_ignore_ascii_case(name));
    if wanted.iter().all(|name| find(name).is_some()) { find(wanted[i]) } else { Some(i) }
}

/// `batch` with the columns of `schema`, by position.
///
/// # Errors
/// `Execution`, naming the column, for a value that its column cannot hold and for a NULL in a
/// required column.
pub(crate) fn conform_batch(
    batch: &RecordBatch,
    schema: &SchemaRef,
    fit: Fit,
) -> Result<RecordBatch> {
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| conform(column, field, field.name(), fit))
        .collect::<Result<Vec<_>>>()?;
    RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows())),
    )
    .map_err(bug)
}

fn bug(e: arrow::error::ArrowError) -> Error {
    Error::new(ErrorKind::Bug, format!("rows do not fit the file's schema: {e}")).with_source(e)
}

fn conform(array: &ArrayRef, field: &Field, path: &str, fit: Fit) -> Result<ArrayRef> {
    let conformed = conform_type(array, field.data_type(), path, fit)?;
    if !field.is_nullable() && conformed.logical_null_count() > 0 {
        return Err(not_null(path));
    }
    Ok(conformed)
}

fn not_null(path: &str) -> Error {
    Error::new(
        ErrorKind::Execution,
        format!("column \"{path}\" is required, but a row has NULL in it"),
    )
}

fn conform_type(array: &ArrayRef, ty: &DataType, path: &str, fit: Fit) -> Result<ArrayRef> {
    if array.data_type() == ty && !ty.is_nested() {
        fit::check_digits(array, path)?;
        return Ok(Arc::clone(array));
    }
    if *array.data_type() == DataType::Null {
        return Ok(new_null_array(ty, array.len()));
    }
    match ty {
        DataType::Struct(fields) => conform_struct(array, fields, path, fit),
        DataType::List(element) => conform_list(array, element, path, fit),
        DataType::Map(entries, _) => conform_map(array, entries, path, fit),
        _ => conform_leaf(array, ty, path, fit),
    }
}

fn wrong_shape(array: &ArrayRef, path: &str, wanted: &str) -> Error {
    Error::invalid(format!(
        "column \"{path}\" is a {wanted}, the rows to write have {}",
        array.data_type()
    ))
}

fn conform_struct(array: &ArrayRef, fields: &Fields, path: &str, fit: Fit) -> Result<ArrayRef> {
    let Some(given) = array.as_struct_opt() else {
        return Err(wrong_shape(array, path, "struct"));
    };
    let names = fields.iter().map(|f| f.name().as_str()).collect::<Vec<_>>();
    let mut children = Vec::with_capacity(fields.len());
    for (i, field) in fields.iter().enumerate() {
        let child_path = format!("{path}.{}", field.name());
        let at = by_name_or_position(given.fields(), &names, i)
            .ok_or_else(|| wrong_shape(array, path, "struct of other fields"))?;
        let child = conform_type(given.column(at), field.data_type(), &child_path, fit)?;
        // A NULL below a NULL struct is no violation.
        if !field.is_nullable() && has_null_where(&child, given) {
            return Err(not_null(&child_path));
        }
        children.push(child);
    }
    let built = StructArray::try_new_with_length(
        fields.clone(),
        children,
        given.nulls().cloned(),
        given.len(),
    );
    Ok(Arc::new(built.map_err(bug)?))
}

fn has_null_where(child: &ArrayRef, parent: &StructArray) -> bool {
    let Some(nulls) = child.logical_nulls().filter(|n| n.null_count() > 0) else { return false };
    match parent.nulls() {
        None => true,
        Some(parent) => (0..nulls.len()).any(|i| nulls.is_null(i) && parent.is_valid(i)),
    }
}

fn conform_list(array: &ArrayRef, element: &Arc<Field>, path: &str, fit: Fit) -> Result<ArrayRef> {
    let lists = match array.data_type() {
        DataType::List(_) => Arc::clone(array),
        DataType::LargeList(f)
        | DataType::FixedSizeList(f, _)
        | DataType::ListView(f)
        | DataType::LargeListView(f) => {
            cast_with_options(array, &DataType::List(Arc::clone(f)), &STRICT)
                .map_err(|e| misfit(path, e))?
        }
        _ => return Err(wrong_shape(array, path, "list")),
    };
    let lists = lists.as_list::<i32>();
    let values = conform(lists.values(), element, &format!("{path}.element"), fit)?;
    let built = ListArray::try_new(
        Arc::clone(element),
        lists.offsets().clone(),
        values,
        lists.nulls().cloned(),
    );
    Ok(Arc::new(built.map_err(bug)?))
}

fn conform_map(array: &ArrayRef, entries: &Arc<Field>, path: &str, fit: Fit) -> Result<ArrayRef> {
    let (Some(maps), DataType::Struct(fields)) = (array.as_map_opt(), entries.data_type()) else {
        return Err(wrong_shape(array, path, "map"));
    };
    let keys = conform(maps.keys(), &fields[0], &format!("{path}.key"), fit)?;
    let values = conform(maps.values(), &fields[1], &format!("{path}.value"), fit)?;
    let pairs = StructArray::try_new(fields.clone(), vec![keys, values], None).map_err(bug)?;
    let built = MapArray::try_new(
        Arc::clone(entries),
        maps.offsets().clone(),
        pairs,
        maps.nulls().cloned(),
        false,
    );
    Ok(Arc::new(built.map_err(bug)?))
}

fn conform_leaf(array: &ArrayRef, ty: &DataType, path: &str, fit: Fit) -> Result<ArrayRef> {
    match (array.data_type(), ty) {
        (
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View,
            DataType::FixedSizeBinary(16),
        ) => parse_uuids(array, path),
        (DataType::FixedSizeBinary(given), DataType::FixedSizeBinary(wanted)) => {
            Err(Error::invalid(format!(
                "column \"{path}\" holds {wanted} bytes a value, the rows to write {given}"
            )))
        }
        _ => fit::fit(array, ty, path, fit),
    }
}

fn parse_uuids(array: &ArrayRef, path: &str) -> Result<ArrayRef> {
    let text =
        cast_with_options(array, &DataType::Utf8View, &STRICT).map_err(|e| misfit(path, e))?;
    let parsed = text
        .as_string_view()
        .iter()
        .map(|value| {
            value
                .map(|value| {
                    uuid::Uuid::try_parse(value).map(uuid::Uuid::into_bytes).map_err(|e| {
                        Error::new(
                            ErrorKind::Execution,
                            format!("column \"{path}\": \"{value}\" is not a uuid"),
                        )
                        .with_source(e)
                    })
                })
                .transpose()
        })
        .collect::<Result<Vec<_>>>()?;
    let built = FixedSizeBinaryArray::try_from_sparse_iter_with_size(parsed.into_iter(), 16);
    Ok(Arc::new(built.map_err(bug)?))
}
