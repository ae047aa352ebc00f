//! Between Iceberg's types and Arrow's, in both directions. One Iceberg type reads as one Arrow type.

use arrow::datatypes::{DataType, Schema as ArrowSchema, SchemaRef as ArrowSchemaRef};
use fjord_catalog::spec::{FormatVersion, Schema, Type};

use crate::error::{Error, ErrorKind, Result};

/// The metadata key under which Parquet files and our schemas keep a column's field id.
pub const FIELD_ID: &str = "PARQUET:field_id";

/// The Arrow schema a scan yields, with field ids at every nesting level.
pub fn to_arrow_schema(_schema: &Schema) -> Result<ArrowSchemaRef> {
    Err(Error::new(ErrorKind::Bug, "not built yet"))
}

/// The Arrow type that `ty` reads as.
pub fn to_arrow_type(_ty: &Type) -> Result<DataType> {
    Err(Error::new(ErrorKind::Bug, "not built yet"))
}

/// The Iceberg schema that a CTAS of `schema` makes (ids from 1, depth-first per the builder), by
/// the write mapping of the design.
///
/// # Errors
/// `Unsupported`, naming the column, for types without a mapping.
pub fn to_iceberg_schema(_schema: &ArrowSchema, _format: FormatVersion) -> Result<Schema> {
    Err(Error::new(ErrorKind::Bug, "not built yet"))
}
