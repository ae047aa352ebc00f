//! Values as text: decimals exact, timestamps ISO, binary in hex, nested values as JSON.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, NullableEncoder, make_encoder};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::json_float::JsonFloats;

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
        let options = EncoderOptions::default()
            .with_explicit_nulls(true)
            .with_encoder_factory(Arc::new(JsonFloats));
        Self { fields, options }
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

/// `batch` with the keys of its maps as text, which is all that JSON has.
pub(crate) fn with_text_keys(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let mut columns = Vec::with_capacity(batch.num_columns());
    let mut fields = Vec::with_capacity(batch.num_columns());
    for (array, field) in batch.columns().iter().zip(batch.schema().fields()) {
        let wanted = text_keyed(field.data_type());
        columns.push(match &wanted == field.data_type() {
            true => Arc::clone(array),
            false => arrow::compute::cast(array, &wanted)?,
        });
        fields.push(field.as_ref().clone().with_data_type(wanted));
    }
    let schema = Arc::new(Schema::new(fields));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema, columns, &options)
}

fn text_keyed(data_type: &DataType) -> DataType {
    let within = |field: &FieldRef| {
        Arc::new(field.as_ref().clone().with_data_type(text_keyed(field.data_type())))
    };
    match data_type {
        DataType::Map(entries, sorted) => {
            let DataType::Struct(fields) = entries.data_type() else { return data_type.clone() };
            let entry = |(i, field): (usize, &FieldRef)| match i {
                0 if !field.data_type().is_string() => {
                    Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8))
                }
                _ => within(field),
            };
            let fields = DataType::Struct(fields.iter().enumerate().map(entry).collect());
            DataType::Map(Arc::new(entries.as_ref().clone().with_data_type(fields)), *sorted)
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(within).collect()),
        DataType::List(item) => DataType::List(within(item)),
        DataType::LargeList(item) => DataType::LargeList(within(item)),
        other => other.clone(),
    }
}

/// Numbers stand to the right.
pub(crate) fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}
