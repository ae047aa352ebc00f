//! Tables and views, with the columns that a query of them yields where they are asked for.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, BinaryArray, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow_flight::sql::CommandGetTables;
use arrow_flight::{IpcMessage, SchemaAsIpc};
use arrow_ipc::writer::IpcWriteOptions;
use bytes::Bytes;
use fjord_engine::Error;
use fjord_engine::listing::{Columns, ListedTable, SchemaFilter, TableFilter, TableKind};
use fjord_engine::session::Session;
use futures::stream::{self, StreamExt};

use super::column::{Origin, Writing, with_sql_metadata};
use super::{Batches, ColumnShape, malformed};

/// Bytes of encoded schemas after which a batch ends.
const BATCH_BYTES_MAX: usize = 2 << 20;

static NAMES: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(Schema::new(name_fields())));

static WITH_COLUMNS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = name_fields();
    fields.push(Field::new("table_schema", DataType::Binary, false));
    Arc::new(Schema::new(fields))
});

fn name_fields() -> Vec<Field> {
    vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("table_type", DataType::Utf8, false),
    ]
}

pub(super) fn schema(command: &CommandGetTables) -> SchemaRef {
    Arc::clone(if command.include_schema { &WITH_COLUMNS } else { &NAMES })
}

pub(super) fn run(
    session: &Session,
    command: &CommandGetTables,
    shape: &ColumnShape,
) -> Result<Batches, Error> {
    let listing = session.list_tables(&filter(command))?;
    let (schema, shape) = (schema(command), Arc::clone(shape));
    let batches = listing.map(move |listed| {
        let rows = listed.and_then(|tables| batches(&schema, &tables, &shape));
        stream::iter(match rows {
            Ok(rows) => rows.into_iter().map(Ok).collect(),
            Err(e) => vec![Err(e)],
        })
    });
    Ok(batches.flatten().boxed())
}

fn filter(command: &CommandGetTables) -> TableFilter {
    let kinds = |names: &[String]| names.iter().filter_map(|n| TableKind::by_name(n)).collect();
    TableFilter {
        schemas: SchemaFilter {
            catalog: command.catalog.clone(),
            schema_pattern: command.db_schema_filter_pattern.clone(),
        },
        table_pattern: command.table_name_filter_pattern.clone(),
        // Kinds that nobody knows are asked for by name, and are of no table.
        kinds: (!command.table_types.is_empty()).then(|| kinds(&command.table_types)),
        columns: if command.include_schema { Columns::Loaded } else { Columns::Skipped },
    }
}

/// The tables as rows; a batch ends where its schemas have become large.
fn batches(
    schema: &SchemaRef,
    tables: &[ListedTable],
    shape: &ColumnShape,
) -> Result<Vec<RecordBatch>, Error> {
    let mut made = Vec::new();
    let (mut from, mut columns, mut bytes) = (0, Vec::new(), 0);
    for (i, table) in tables.iter().enumerate() {
        if let Some(encoded) = encoded_columns(table, shape)? {
            bytes += encoded.len();
            columns.push(encoded);
        }
        if bytes >= BATCH_BYTES_MAX {
            made.push(rows(schema, &tables[from..=i], &columns)?);
            (from, bytes) = (i + 1, 0);
            columns.clear();
        }
    }
    if from < tables.len() {
        made.push(rows(schema, &tables[from..], &columns)?);
    }
    Ok(made)
}

fn rows(
    schema: &SchemaRef,
    tables: &[ListedTable],
    columns: &[Bytes],
) -> Result<RecordBatch, Error> {
    let text = |of: fn(&ListedTable) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(tables.iter().map(of)))
    };
    let mut arrays = vec![
        text(|table| &table.catalog),
        text(|table| &table.schema),
        text(|table| &table.name),
        text(|table| table.kind.name()),
    ];
    if schema.fields().len() > arrays.len() {
        arrays.push(Arc::new(BinaryArray::from_iter_values(columns)));
    }
    RecordBatch::try_new(Arc::clone(schema), arrays).map_err(malformed)
}

/// The columns as an encapsulated IPC message; `None` where they were not asked for.
fn encoded_columns(table: &ListedTable, shape: &ColumnShape) -> Result<Option<Bytes>, Error> {
    let Some(columns) = &table.columns else { return Ok(None) };
    let origin = Origin {
        catalog: &table.catalog,
        schema: &table.schema,
        table: &table.name,
        writing: match table.kind {
            TableKind::BaseTable => Writing::Accepted,
            TableKind::View | TableKind::SystemTable => Writing::Refused,
        },
    };
    // What SQL calls a type is told before the client's profile makes another of it.
    let wire = shape(&with_sql_metadata(columns, Some(&origin)));
    let options = IpcWriteOptions::default();
    let IpcMessage(encoded) = SchemaAsIpc::new(&wire, &options).try_into().map_err(malformed)?;
    Ok(Some(encoded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_of_wide_tables_make_batches_of_bounded_size() {
        let wide: Vec<Field> =
            (0..500).map(|i| Field::new(format!("column_{i}"), DataType::Int64, true)).collect();
        let wide: SchemaRef = Arc::new(Schema::new(wide));
        let table = |i| ListedTable {
            catalog: "iceberg".to_owned(),
            schema: "default".to_owned(),
            name: format!("table_{i:03}"),
            kind: TableKind::BaseTable,
            columns: Some(Arc::clone(&wide)),
        };
        let tables: Vec<ListedTable> = (0..64).map(table).collect();
        let shape: ColumnShape = Arc::new(|columns| Arc::new(columns.clone()));
        let one = encoded_columns(&tables[0], &shape).unwrap().unwrap().len();
        let made = batches(&WITH_COLUMNS, &tables, &shape).unwrap();
        assert!(made.len() > 1 && made.len() < tables.len(), "{} batches", made.len());
        for batch in &made {
            let bytes = batch.column(4).get_buffer_memory_size();
            assert!(bytes < 2 * (BATCH_BYTES_MAX + one), "{bytes} bytes in one batch");
        }
        let names: Vec<String> = made
            .iter()
            .flat_map(|batch| {
                let names = batch.column(2).as_any().downcast_ref::<StringArray>().unwrap();
                names.iter().map(|name| name.unwrap().to_owned()).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(names, tables.iter().map(|t| t.name.clone()).collect::<Vec<_>>());
    }
}
