use std::fs::File;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray, StructArray,
};
use arrow::datatypes::{Int64Type, Schema as ArrowSchema};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;
use fjord_catalog::spec::{Literal, NestedField, PrimitiveType, StructType, Type};
use parquet::arrow::ArrowWriter;

use super::*;
use crate::iceberg::source::IcebergSource;
use crate::iceberg::types::{FIELD_ID, to_arrow_schema};

fn stored(name: &str, ty: DataType, id: i32) -> Field {
    Field::new(name, ty, true).with_metadata(HashMap::from([(FIELD_ID.to_owned(), id.to_string())]))
}

/// Writes one file and reads it as `table`.
async fn read(
    columns: Vec<(Field, ArrayRef)>,
    table: &Schema,
    properties: &[(&str, &str)],
) -> datafusion::error::Result<RecordBatch> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.parquet");
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let batch = RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), arrays).unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let properties = properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let source = IcebergSource::new(ParquetSource::new(to_arrow_schema(table).unwrap()));
    let file = PartitionedFile::from_path(path.to_str().unwrap().to_owned())?;
    let adapter = FieldIdAdapterFactory::try_new(table, &properties)?;
    let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
        .with_file(file)
        .with_expr_adapter(Some(Arc::new(adapter)))
        .build();
    let context = SessionContext::new();
    let batches = collect(DataSourceExec::from_data_source(config), context.task_ctx()).await?;
    Ok(arrow::compute::concat_batches(&batches[0].schema(), &batches)?)
}

fn table(fields: Vec<NestedField>) -> Schema {
    Schema::builder().with_fields(fields.into_iter().map(Arc::new)).build().unwrap()
}

fn long(id: i32, name: &str) -> NestedField {
    NestedField::optional(id, name, Type::Primitive(PrimitiveType::Long))
}

fn ints(values: &[i32]) -> ArrayRef {
    Arc::new(Int32Array::from(values.to_vec()))
}

fn longs(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn column(batch: &RecordBatch, name: &str) -> Vec<Option<i64>> {
    batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().iter().collect()
}

/// Hazard: the rewrite is skipped when schemas are equal but for the ids (stack §3).
#[tokio::test]
async fn a_dropped_and_re_added_name_does_not_show_the_old_values() {
    let file = vec![(stored("v", DataType::Int64, 2), longs(&[10, 20]))];
    let kept = read(file.clone(), &table(vec![long(2, "v")]), &[]).await.unwrap();
    assert_eq!(column(&kept, "v"), [Some(10), Some(20)]);
    let added = read(file, &table(vec![long(1, "k"), long(20, "v")]), &[]).await.unwrap();
    assert_eq!(column(&added, "v"), [None, None]);
}

#[tokio::test]
async fn renamed_reordered_and_widened_columns_are_found_by_id() {
    let file = vec![
        (stored("old", DataType::Int32, 2), ints(&[1, 2])),
        (stored("a", DataType::Int64, 1), longs(&[7, 8])),
    ];
    // `old` took the name that the other column had.
    let batch = read(file, &table(vec![long(1, "b"), long(2, "a")]), &[]).await.unwrap();
    assert_eq!(column(&batch, "b"), [Some(7), Some(8)]);
    assert_eq!(column(&batch, "a"), [Some(1), Some(2)]);
}

#[tokio::test]
async fn a_missing_column_reads_as_its_initial_default() {
    let file = vec![(stored("k", DataType::Int64, 1), longs(&[1, 2]))];
    let added = long(2, "d").with_initial_default(Literal::long(5));
    let batch = read(file, &table(vec![long(1, "k"), added]), &[]).await.unwrap();
    assert_eq!(column(&batch, "d"), [Some(5), Some(5)]);
}

#[tokio::test]
async fn a_missing_required_column_is_an_error_that_names_it() {
    let file = vec![(stored("k", DataType::Int64, 1), longs(&[1]))];
    let required = NestedField::required(2, "r", Type::Primitive(PrimitiveType::Long));
    let error = read(file, &table(vec![long(1, "k"), required]), &[]).await.unwrap_err();
    assert!(error.to_string().contains("\"r\""), "{error}");
}

#[tokio::test]
async fn struct_fields_are_found_by_id_and_missing_ones_are_filled() {
    let inner =
        Fields::from(vec![stored("x", DataType::Int32, 11), stored("gone", DataType::Utf8, 12)]);
    let values = StructArray::new(
        inner.clone(),
        vec![ints(&[1, 2]), Arc::new(StringArray::from(vec!["p", "q"]))],
        None,
    );
    let file = vec![(stored("s", DataType::Struct(inner), 10), Arc::new(values) as ArrayRef)];
    let now = StructType::new(vec![
        Arc::new(long(13, "gone")),
        Arc::new(long(11, "renamed")),
        Arc::new(long(14, "d").with_initial_default(Literal::long(9))),
    ]);
    let schema = table(vec![NestedField::optional(10, "s", now.into())]);
    let batch = read(file, &schema, &[]).await.unwrap();
    let read = batch.column(0).as_struct();
    let of = |name| read.column_by_name(name).unwrap().as_primitive::<Int64Type>().clone();
    assert_eq!(of("renamed").values(), &[1, 2]);
    assert_eq!(of("gone").null_count(), 2);
    assert_eq!(of("d").values(), &[9, 9]);
}

#[tokio::test]
async fn files_without_ids_are_read_by_the_name_mapping_or_by_name() {
    let file = || vec![(Field::new("old_k", DataType::Int64, true), longs(&[3]))];
    let schema = table(vec![long(1, "k")]);
    let mapping = r#"[{"field-id": 1, "names": ["k", "old_k"]}]"#;
    let mapped = read(file(), &schema, &[(NAME_MAPPING, mapping)]).await.unwrap();
    assert_eq!(column(&mapped, "k"), [Some(3)]);
    let unmapped = read(file(), &schema, &[]).await.unwrap();
    assert_eq!(column(&unmapped, "k"), [None]);
}
