//! Keys: what Iceberg knows to identify rows, and foreign keys, of which it has none.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Int32Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow_flight::sql::CommandGetPrimaryKeys;
use fjord_engine::Error;
use fjord_engine::listing::{Columns, ListedKey, SchemaFilter, TableFilter};
use fjord_engine::session::Session;
use futures::stream::{self, StreamExt};

use super::{Batches, malformed};

static PRIMARY_KEYS: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("column_name", DataType::Utf8, false),
        Field::new("key_name", DataType::Utf8, true),
        Field::new("key_sequence", DataType::Int32, false),
    ]))
});

static FOREIGN_KEYS: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("pk_catalog_name", DataType::Utf8, true),
        Field::new("pk_db_schema_name", DataType::Utf8, true),
        Field::new("pk_table_name", DataType::Utf8, false),
        Field::new("pk_column_name", DataType::Utf8, false),
        Field::new("fk_catalog_name", DataType::Utf8, true),
        Field::new("fk_db_schema_name", DataType::Utf8, true),
        Field::new("fk_table_name", DataType::Utf8, false),
        Field::new("fk_column_name", DataType::Utf8, false),
        Field::new("key_sequence", DataType::Int32, false),
        Field::new("fk_key_name", DataType::Utf8, true),
        Field::new("pk_key_name", DataType::Utf8, true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ]))
});

pub(super) fn primary_keys_schema() -> SchemaRef {
    Arc::clone(&PRIMARY_KEYS)
}

/// The schema of exported keys, imported keys and cross references.
pub(super) fn foreign_keys_schema() -> SchemaRef {
    Arc::clone(&FOREIGN_KEYS)
}

pub(super) fn primary_keys(session: &Session, command: &CommandGetPrimaryKeys) -> Batches {
    let filter = TableFilter {
        schemas: SchemaFilter {
            catalog: command.catalog.clone(),
            schema_pattern: command.db_schema.clone(),
        },
        table_pattern: Some(command.table.clone()),
        kinds: None,
        columns: Columns::Skipped,
    };
    let session = session.clone();
    let answer = async move {
        let keys = session.list_keys(&filter).await?;
        if keys.is_empty() { Ok(None) } else { primary_key_rows(&keys).map(Some) }
    };
    stream::once(answer).filter_map(|rows| std::future::ready(rows.transpose())).boxed()
}

fn primary_key_rows(keys: &[ListedKey]) -> Result<RecordBatch, Error> {
    let columns: Vec<(&ListedKey, i32, &String)> = keys
        .iter()
        .flat_map(|key| (1_i32..).zip(&key.columns).map(move |(i, column)| (key, i, column)))
        .collect();
    let text = |of: fn(&ListedKey) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(columns.iter().map(|(key, ..)| of(key))))
    };
    let arrays: Vec<ArrayRef> = vec![
        text(|key| &key.catalog),
        text(|key| &key.schema),
        text(|key| &key.table),
        Arc::new(StringArray::from_iter_values(columns.iter().map(|(.., column)| column))),
        // Iceberg's identifier fields have no name together.
        Arc::new(StringArray::new_null(columns.len())),
        Arc::new(Int32Array::from_iter_values(columns.iter().map(|(_, i, _)| *i))),
    ];
    RecordBatch::try_new(primary_keys_schema(), arrays).map_err(malformed)
}
