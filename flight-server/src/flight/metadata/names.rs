//! Catalogs, schemas and kinds of tables.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow_flight::sql::CommandGetDbSchemas;
use fjord_engine::Error;
use fjord_engine::listing::{ListedSchema, SchemaFilter, TableKind};
use fjord_engine::session::Session;
use futures::stream::{StreamExt, TryStreamExt};

use super::{Batches, at_once, malformed};

static CATALOGS: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![Field::new("catalog_name", DataType::Utf8, false)]))
});

static SCHEMAS: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, false),
    ]))
});

static TABLE_TYPES: LazyLock<SchemaRef> =
    LazyLock::new(|| Arc::new(Schema::new(vec![Field::new("table_type", DataType::Utf8, false)])));

pub(super) fn catalogs_schema() -> SchemaRef {
    Arc::clone(&CATALOGS)
}

pub(super) fn schemas_schema() -> SchemaRef {
    Arc::clone(&SCHEMAS)
}

pub(super) fn table_types_schema() -> SchemaRef {
    Arc::clone(&TABLE_TYPES)
}

pub(super) fn catalogs(session: &Session) -> Result<Batches, Error> {
    let names: ArrayRef = Arc::new(StringArray::from(session.list_catalogs()?));
    let rows = RecordBatch::try_new(catalogs_schema(), vec![names]).map_err(malformed)?;
    Ok(at_once(Some(rows)))
}

pub(super) fn table_types() -> Result<Batches, Error> {
    let names = TableKind::ALL.map(TableKind::name);
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(names));
    let rows = RecordBatch::try_new(table_types_schema(), vec![names]).map_err(malformed)?;
    Ok(at_once(Some(rows)))
}

pub(super) fn schemas(session: &Session, command: &CommandGetDbSchemas) -> Result<Batches, Error> {
    let filter = SchemaFilter {
        catalog: command.catalog.clone(),
        schema_pattern: command.db_schema_filter_pattern.clone(),
    };
    let listing = session.list_schemas(&filter)?;
    Ok(listing.and_then(|schemas| std::future::ready(schema_rows(&schemas))).boxed())
}

fn schema_rows(schemas: &[ListedSchema]) -> Result<RecordBatch, Error> {
    let column = |name: fn(&ListedSchema) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(schemas.iter().map(name)))
    };
    RecordBatch::try_new(schemas_schema(), vec![column(|s| &s.catalog), column(|s| &s.schema)])
        .map_err(malformed)
}
