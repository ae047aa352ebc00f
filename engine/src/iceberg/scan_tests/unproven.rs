//! Bytes that a file does not mark as text are proven to be UTF-8 before they are read as text.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Schema as ArrowSchema};
use fjord_catalog::spec::PrimitiveType;
use parquet::arrow::ArrowWriter;
use parquet::basic::{ConvertedType, LogicalType, Repetition, Type as PhysicalType};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use serde_json::json;

use super::lake::{Lake, describe, local, optional, stored};
use crate::error::ErrorKind;

const NO_TEXT: &[u8] = b"\xff\xfe and more than a view holds";

/// A file whose one column `v` is of bytes, with or without a field id, unmarked or as JSON.
fn bytes_of(values: &[&[u8]], id: Option<i32>, is_json: bool) -> Vec<u8> {
    let mut column = Type::primitive_type_builder("v", PhysicalType::BYTE_ARRAY)
        .with_repetition(Repetition::REQUIRED)
        .with_id(id);
    if is_json {
        column = column
            .with_converted_type(ConvertedType::JSON)
            .with_logical_type(Some(LogicalType::Json));
    }
    let schema = Type::group_type_builder("schema")
        .with_fields(vec![Arc::new(column.build().unwrap())])
        .build()
        .unwrap();
    let mut file =
        SerializedFileWriter::new(Vec::new(), Arc::new(schema), Default::default()).unwrap();
    let mut group = file.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let values: Vec<ByteArray> = values.iter().map(|v| ByteArray::from(v.to_vec())).collect();
    column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    file.into_inner().unwrap()
}

/// Hazard: bytes that are no UTF-8 in a column that is read as text are undefined behaviour: the
/// Parquet reader proves only what the file marks as `UTF8`.
#[tokio::test]
async fn bytes_that_are_no_text_are_an_error_and_those_that_are_one_are_read() {
    for (id, is_json) in [(None, false), (Some(1), false), (None, true), (Some(1), true)] {
        let lake = Lake::new().await;
        let table = lake.create(vec![optional(1, "v", PrimitiveType::String)], json!([])).await;
        let put = |name: &str, values: &[&[u8]]| {
            let bytes = bytes_of(values, id, is_json);
            let uri = format!("{}/data/{name}", table.metadata().location());
            std::fs::create_dir_all(local(&uri).parent().unwrap()).unwrap();
            std::fs::write(local(&uri), &bytes).unwrap();
            describe(&uri, &bytes, values.len()).build().unwrap()
        };
        let good = put("good.parquet", &["é".as_bytes(), b"a text longer than a view holds"]);
        let table = lake.append(&table, vec![good]).await;
        let read = lake.rows(&table, "SELECT v FROM t WHERE v >= 'a' ORDER BY v").await;
        assert_eq!(read, ["a text longer than a view holds", "é"], "{id:?} {is_json}");
        let bad = put("bad.parquet", &[b"a", NO_TEXT]);
        let table = lake.append(&table, vec![bad]).await;
        for sql in ["SELECT v FROM t", "SELECT count(*) FROM t WHERE v LIKE '%more%'"] {
            let error = lake.error(&table, sql).await;
            assert!(error.to_string().contains("bad.parquet"), "{id:?} {is_json}: {error}");
            assert_ne!(error.kind(), ErrorKind::Bug, "{error}");
        }
    }
}

/// The Arrow schema in a file says that its bytes are text.
#[tokio::test]
async fn an_arrow_schema_that_calls_bytes_text_is_not_believed() {
    let lake = Lake::new().await;
    let fields =
        vec![optional(1, "k", PrimitiveType::Long), optional(2, "w", PrimitiveType::String)];
    let table = lake.create(fields, json!([])).await;
    let columns = [stored("k", DataType::Int64, 1), stored("v", DataType::Binary, 2)];
    let truth = Arc::new(ArrowSchema::new(columns.to_vec()));
    let claimed = ArrowSchema::new(vec![columns[0].clone(), stored("v", DataType::Utf8, 2)]);
    // Written without its Arrow schema, and with another one instead.
    let mut encoded = Vec::new();
    let mut claims = ArrowWriter::try_new(&mut encoded, Arc::new(claimed), None).unwrap();
    claims.flush().unwrap();
    let claims = claims.close().unwrap();
    let pairs = claims.file_metadata().key_value_metadata().cloned();
    let properties = WriterProperties::builder().set_key_value_metadata(pairs).build();
    let options = parquet::arrow::arrow_writer::ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(true);
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let values: ArrayRef = Arc::new(BinaryArray::from(vec![b"ok".as_slice(), NO_TEXT]));
    let batch = RecordBatch::try_new(Arc::clone(&truth), vec![keys, values]).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new_with_options(&mut bytes, truth, options).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let uri = format!("{}/data/claimed.parquet", table.metadata().location());
    std::fs::create_dir_all(local(&uri).parent().unwrap()).unwrap();
    std::fs::write(local(&uri), &bytes).unwrap();
    let table = lake.append(&table, vec![describe(&uri, &bytes, 2).build().unwrap()]).await;
    assert_eq!(lake.rows(&table, "SELECT k FROM t").await, ["1", "2"]);
    let error = lake.error(&table, "SELECT w FROM t").await;
    assert!(error.to_string().contains("claimed.parquet"), "{error}");
}
