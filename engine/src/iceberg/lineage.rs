//! Row lineage (format 3): `_row_id` and `_last_updated_sequence_number` of each row.
//!
//! A file may store them; where it stores NULL, or has no such columns, a row has the file's first
//! row id plus its position, and the file's sequence number.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::common::Column;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::functions::core::file_row_index;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, cast};
use fjord_catalog::plan_files::PlannedFile;
use fjord_catalog::spec::{FormatVersion, NestedField, PrimitiveType, Schema, Type};

use super::table::IcebergTable;
use crate::error::Result;

/// The columns, by the names and ids that the format reserves for them.
pub(crate) const ROW_ID: &str = "_row_id";
/// See [`ROW_ID`].
pub(crate) const LAST_UPDATED: &str = "_last_updated_sequence_number";

const ROW_ID_ID: i32 = 2_147_483_540;
const LAST_UPDATED_ID: i32 = 2_147_483_539;

/// What is the same for all rows of a file, as columns that no file has.
const FIRST_ROW_ID: &str = "__fjord_first_row_id";
const SEQUENCE_NUMBER: &str = "__fjord_sequence_number";
const FIRST_ROW_ID_ID: i32 = 2_147_483_001;
const SEQUENCE_NUMBER_ID: i32 = 2_147_483_002;

/// The schema of a scan that yields what lineage is made of.
///
/// # Errors
/// None that a table's schema causes.
pub(super) fn extended(schema: &Schema) -> Result<Schema> {
    let long = |id, name: &str| {
        Arc::new(NestedField::optional(id, name, Type::Primitive(PrimitiveType::Long)))
    };
    let more = [
        long(ROW_ID_ID, ROW_ID),
        long(LAST_UPDATED_ID, LAST_UPDATED),
        long(FIRST_ROW_ID_ID, FIRST_ROW_ID),
        long(SEQUENCE_NUMBER_ID, SEQUENCE_NUMBER),
    ];
    let fields = schema.as_struct().fields().iter().cloned().chain(more);
    let built = Schema::builder().with_schema_id(schema.schema_id()).with_fields(fields).build();
    Ok(built.map_err(fjord_catalog::Error::from)?)
}

/// The value of a column that is the same for all rows of a file, if the column is one.
pub(super) fn of_file(column_id: i32, planned: &PlannedFile) -> Option<Option<i64>> {
    match column_id {
        FIRST_ROW_ID_ID => Some(planned.first_row_id),
        // A file without row ids has no lineage.
        SEQUENCE_NUMBER_ID => Some(planned.first_row_id.map(|_| planned.sequence_number)),
        _ => None,
    }
}

/// The same table with those of `asked` columns besides; `None` where rows have no lineage.
///
/// # Errors
/// Those of planning.
pub(crate) fn with_lineage(
    table: &IcebergTable,
    asked: &[&str],
) -> Result<Option<Arc<dyn TableProvider>>> {
    let schema = table.schema();
    let is_free = |name: &&&str| schema.field_with_name(name).is_err();
    let asked: Vec<&str> = asked.iter().filter(is_free).copied().collect();
    if table.table().metadata().format_version() < FormatVersion::V3 || asked.is_empty() {
        return Ok(None);
    }
    let column = |name: &str| Expr::Column(Column::from_name(name));
    let mut columns: Vec<Expr> = schema.fields().iter().map(|f| column(f.name())).collect();
    for name in asked {
        let inherited = match name {
            ROW_ID => {
                let position = cast(file_row_index().call(Vec::new()), DataType::Int64);
                column(FIRST_ROW_ID) + position
            }
            _ => column(SEQUENCE_NUMBER),
        };
        columns.push(coalesce(vec![column(name), inherited]).alias(name));
    }
    let source = provider_as_source(Arc::new(table.with_lineage_columns()?));
    let plan = LogicalPlanBuilder::scan("rows", source, None)?.project(columns)?.build()?;
    Ok(Some(Arc::new(ViewTable::new(plan, None))))
}
