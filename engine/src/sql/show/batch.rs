//! Results of SHOW and DESCRIBE: rows of text under fixed column names.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;

use crate::error::{Error, ErrorKind, Result};

/// A batch of strings; each row has one cell per name.
pub(crate) fn text_batch<const N: usize>(
    names: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Result<RecordBatch> {
    let mut cells: [Vec<String>; N] = std::array::from_fn(|_| Vec::new());
    for row in rows {
        for (column, cell) in cells.iter_mut().zip(row) {
            column.push(cell);
        }
    }
    let fields: Vec<Field> =
        names.iter().map(|name| Field::new(*name, DataType::Utf8, false)).collect();
    let columns: Vec<ArrayRef> =
        cells.into_iter().map(|c| Arc::new(StringArray::from(c)) as ArrayRef).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|e| {
        Error::new(ErrorKind::Bug, "a SHOW result does not fit its columns").with_source(e)
    })
}
