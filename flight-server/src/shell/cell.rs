//! Values as text: decimals exact, timestamps ISO, binary in hex, nested values as JSON.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, NullableEncoder, make_encoder};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// The columns of one batch, ready to be shown.
pub(crate) struct Cells<'a> {
    columns: Vec<ColumnCells<'a>>,
    rows: usize,
}

struct ColumnCells<'a> {
    array: &'a ArrayRef,
    values: Values<'a>,
}

enum Values<'a> {
    Flat(ArrayFormatter<'a>),
    Nested(NullableEncoder<'a>),
}

/// What encoding nested values borrows.
pub(crate) struct Encoding {
    fields: Vec<FieldRef>,
    options: EncoderOptions,
}

impl Encoding {
    pub(crate) fn new(batch: &RecordBatch) -> Self {
        let schema = batch.schema();
        let fields = schema.fields().iter().map(encodable).collect();
        Self { fields, options: EncoderOptions::default().with_explicit_nulls(true) }
    }
}

/// Extension metadata changes how some encoders see a field; the storage type is what is shown.
fn encodable(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(field.name(), field.data_type().clone(), true))
}

const FORMAT: FormatOptions<'static> = FormatOptions::new().with_display_error(false);

impl<'a> Cells<'a> {
    pub(crate) fn try_new(
        batch: &'a RecordBatch,
        encoding: &'a Encoding,
    ) -> Result<Self, ArrowError> {
        let columns = batch
            .columns()
            .iter()
            .zip(&encoding.fields)
            .map(|(array, field)| {
                let values = if is_nested(array.data_type()) {
                    Values::Nested(make_encoder(field, array.as_ref(), &encoding.options)?)
                } else {
                    Values::Flat(ArrayFormatter::try_new(array.as_ref(), &FORMAT)?)
                };
                Ok(ColumnCells { array, values })
            })
            .collect::<Result<Vec<_>, ArrowError>>()?;
        Ok(Self { columns, rows: batch.num_rows() })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns.len()
    }

    /// The value as text; `None` for NULL.
    pub(crate) fn text(&mut self, row: usize, column: usize) -> Result<Option<String>, ArrowError> {
        let cells = &mut self.columns[column];
        // Logical nulls: a dictionary's or a run's NULL is in its values.
        if cells.array.logical_nulls().is_some_and(|nulls| nulls.is_null(row)) {
            return Ok(None);
        }
        match &mut cells.values {
            Values::Flat(formatter) => formatter.value(row).try_to_string().map(Some),
            Values::Nested(encoder) => {
                let mut bytes = Vec::new();
                encoder.encode(row, &mut bytes);
                Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
            }
        }
    }
}

pub(crate) fn is_nested(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Struct(_)
            | DataType::List(_)
            | DataType::LargeList(_)
            | DataType::FixedSizeList(..)
            | DataType::ListView(_)
            | DataType::LargeListView(_)
            | DataType::Map(..)
    )
}

/// Numbers stand to the right.
pub(crate) fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}
