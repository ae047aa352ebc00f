//! The one function from a query's schema to the wire's: what prepare, `FlightInfo` and the stream
//! say is the same because all of them ask here.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use fjord_engine::{Error, ErrorKind, Result};

use super::convert::{compact, convert, drags_along};
use super::profile::Profile;
use super::types::{Step, WireColumn, wire_column};
use super::{column_metadata, text};

/// What the rows of a query look like to one client.
#[derive(Clone, Debug)]
pub(crate) struct EgressSchema {
    wire: SchemaRef,
    steps: Arc<[Step]>,
    /// Whether the planned columns already have their types of the wire.
    is_identity: bool,
}

impl EgressSchema {
    /// The schema of `rows` under `profile`. The schema's own metadata stays behind: it describes
    /// files, and differs between plans of the same query.
    pub(crate) fn try_new(rows: &SchemaRef, profile: Profile) -> Result<Self> {
        let columns = rows.fields().iter().map(|field| wire_column(field, profile));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let is_identity = columns.iter().zip(rows.fields()).all(|(column, field)| {
            column.step == Step::Convert
                && column.field.data_type() == field.data_type()
                && !drags_along(field.data_type())
        });
        let mut fields: Vec<FieldRef> = Vec::with_capacity(columns.len());
        let mut steps = Vec::with_capacity(columns.len());
        for WireColumn { field, step } in columns {
            fields.push(match profile {
                Profile::Jdbc => Arc::new(column_metadata::with_metadata(&field)),
                Profile::Default | Profile::Native | Profile::Grafana => {
                    column_metadata::without_origin(field)
                }
            });
            steps.push(step);
        }
        Ok(Self { wire: Arc::new(Schema::new(fields)), steps: steps.into(), is_identity })
    }

    /// Rows that are sent as they are, whatever the profile: answers to metadata commands.
    pub(crate) fn verbatim(rows: &SchemaRef) -> Self {
        let steps = rows.fields().iter().map(|_| Step::Convert).collect();
        Self { wire: Arc::clone(rows), steps, is_identity: true }
    }

    /// What the client is told and sent. Every field is nullable.
    pub(crate) fn wire(&self) -> &SchemaRef {
        &self.wire
    }

    /// Whether [`Self::cast`] changes no values: then a batch weighs the same before and after.
    pub(super) fn is_identity(&self) -> bool {
        self.is_identity
    }

    /// `batch` in the wire's types. A value that does not fit is an error, never a null.
    pub(crate) fn cast(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        if batch.num_columns() != self.steps.len() {
            return Err(Error::new(
                ErrorKind::Bug,
                format!(
                    "a batch has {} columns where {} were announced",
                    batch.num_columns(),
                    self.steps.len()
                ),
            ));
        }
        let columns = batch.columns().iter().zip(self.wire.fields()).zip(self.steps.iter());
        let columns = columns.map(|((column, field), step)| {
            cast_column(column, field, step).map_err(|e| cast_error(field, &e))
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.wire), columns, &options)
            .map_err(|e| Error::new(ErrorKind::Bug, format!("a batch is not as announced: {e}")))
    }
}

fn cast_column(column: &ArrayRef, field: &FieldRef, step: &Step) -> Result<ArrayRef, ArrowError> {
    match step {
        Step::Convert if drags_along(field.data_type()) => {
            convert(&compact(column)?, field.data_type())
        }
        Step::Convert => convert(column, field.data_type()),
        Step::Hex => text::hex(column),
        Step::Json(source) => text::json(&convert(column, source.data_type())?, source),
    }
}

fn cast_error(field: &FieldRef, e: &ArrowError) -> Error {
    Error::new(
        ErrorKind::Execution,
        format!(
            "column \"{}\": a value cannot be sent as {}: {e}: cast it in the query, or choose \
             another output profile",
            field.name(),
            field.data_type()
        ),
    )
}
