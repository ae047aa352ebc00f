//! Rows of parameters that an INSERT takes all at once, in one commit.
//!
//! `INSERT INTO t VALUES (?, ?)` with a thousand rows is not a thousand commits: where its values are
//! parameters and nothing else, the bound rows are what is inserted.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use sqlparser::ast::Insert;

use super::statement::inserted_parameters;
use crate::error::{Error, ErrorKind, Result};

/// The rows as a relation with the columns of VALUES.
pub(super) fn relation(insert: &Insert, rows: &RecordBatch) -> Result<LogicalPlan> {
    let numbers = inserted_parameters(insert).ok_or_else(|| {
        Error::new(ErrorKind::Bug, "rows of parameters for a statement that takes one at a time")
    })?;
    let indices: Vec<usize> = numbers.iter().map(|number| number - 1).collect();
    let given = rows.project(&indices).map_err(DataFusionError::from)?;
    // A parameter may be named twice; columns may not.
    let names = (1..=given.num_columns()).map(|i| format!("column{i}"));
    let columns = given.columns().iter().zip(names);
    let fields: Vec<Field> =
        columns.map(|(c, name)| Field::new(name, c.data_type().clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), given.columns().to_vec())
        .map_err(DataFusionError::from)?;
    let table = MemTable::try_new(schema, vec![vec![batch]])?;
    Ok(LogicalPlanBuilder::scan("rows", provider_as_source(Arc::new(table)), None)?.build()?)
}
