//! Columns found by field id: renamed, dropped, added again, widened, reordered, at every level.

use std::fs::File;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, Int64Array, ListArray, MapArray, RecordBatch,
    StringArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{Int64Type, Schema as ArrowSchema};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_plan::collect;
use fjord_catalog::spec::{
    ListType, Literal, MapType, NestedField, PrimitiveType, StructType, Type,
};
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
    read_after(columns, table, properties, &[]).await
}

/// The same, where the table had other schemas before.
async fn read_after(
    columns: Vec<(Field, ArrayRef)>,
    table: &Schema,
    properties: &[(&str, &str)],
    before: &[IcebergSchemaRef],
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
    let adapter = FieldIdAdapterFactory::try_new(table, &properties)?.with_history(before);
    let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
        .with_file(file)
        .with_expr_adapter(Some(Arc::new(adapter)))
        .build();
    let batches = collect(DataSourceExec::from_data_source(config), Arc::default()).await?;
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

#[tokio::test]
async fn a_dropped_and_re_added_name_does_not_show_the_old_values() {
    let file = vec![(stored("v", DataType::Int64, 2), longs(&[10, 20]))];
    let kept = read(file.clone(), &table(vec![long(2, "v")]), &[]).await.unwrap();
    assert_eq!(column(&kept, "v"), [Some(10), Some(20)]);
    let added = read(file, &table(vec![long(1, "k"), long(20, "v")]), &[]).await.unwrap();
    assert_eq!(column(&added, "v"), [None, None]);
}

/// Hazard: without a predicate, DataFusion skips the rewrite where the table's schema equals the
/// file's (stack §3). The ids in the table's are what sets it apart from that of a file without.
#[tokio::test]
async fn a_re_added_name_does_not_show_the_old_values_of_a_file_without_ids() {
    let field = |name| Field::new(name, DataType::Int64, true);
    let mapping = r#"[{"field-id": 2, "names": ["v"]}]"#;
    let file = || vec![(field("v"), longs(&[10, 20]))];
    let kept = read(file(), &table(vec![long(2, "v")]), &[(NAME_MAPPING, mapping)]).await;
    assert_eq!(column(&kept.unwrap(), "v"), [Some(10), Some(20)]);
    let added = read(file(), &table(vec![long(20, "v")]), &[(NAME_MAPPING, mapping)]).await;
    assert_eq!(column(&added.unwrap(), "v"), [None, None]);
    // Two columns that have exchanged their names since.
    let mapping = r#"[{"field-id": 1, "names": ["a"]}, {"field-id": 2, "names": ["b"]}]"#;
    let file = vec![(field("a"), longs(&[1])), (field("b"), longs(&[2]))];
    let exchanged = table(vec![long(2, "a"), long(1, "b")]);
    let read = read(file, &exchanged, &[(NAME_MAPPING, mapping)]).await.unwrap();
    assert_eq!((column(&read, "a"), column(&read, "b")), (vec![Some(2)], vec![Some(1)]));
}

/// Hazard: a file without field ids in a table without a name mapping, whose columns were renamed
/// since: their present names would find nothing, or another column's values (stack §3).
#[tokio::test]
async fn a_file_without_ids_is_read_by_the_names_that_its_columns_had() {
    let file = || {
        vec![
            (Field::new("a", DataType::Int64, true), longs(&[1])),
            (Field::new("b", DataType::Int64, true), longs(&[2])),
        ]
    };
    let first = Arc::new(table(vec![long(1, "a"), long(2, "b")]));
    let renamed = table(vec![long(1, "x"), long(2, "b")]);
    let found = read_after(file(), &renamed, &[], &[Arc::clone(&first)]).await.unwrap();
    assert_eq!((column(&found, "x"), column(&found, "b")), (vec![Some(1)], vec![Some(2)]));
    let dropped = table(vec![long(1, "x")]);
    let found = read_after(file(), &dropped, &[], &[Arc::clone(&first)]).await.unwrap();
    assert_eq!(column(&found, "x"), [Some(1)]);
    // `a` is another column now: nobody can say which of the two the file means.
    let taken = table(vec![long(1, "x"), long(2, "b"), long(3, "a")]);
    let refused = read_after(file(), &taken, &[], &[Arc::clone(&first)]).await.unwrap_err();
    assert!(refused.to_string().contains("several columns have had the name"), "{refused}");
    // Inside a struct that was renamed itself.
    let point = |id, name, x: &str| {
        let fields = StructType::new(vec![Arc::new(long(5, x))]);
        table(vec![NestedField::optional(id, name, Type::Struct(fields))])
    };
    let stored =
        StructArray::from(vec![(Arc::new(Field::new("x", DataType::Int64, true)), longs(&[7]))]);
    let file =
        vec![(Field::new("p", stored.data_type().clone(), true), Arc::new(stored) as ArrayRef)];
    let before = [Arc::new(point(4, "p", "x")), Arc::new(point(4, "q", "x"))];
    let found = read_after(file, &point(4, "q", "y"), &[], &before).await.unwrap();
    let inner = found.column_by_name("q").unwrap().as_struct();
    assert_eq!(inner.column_by_name("y").unwrap().as_primitive::<Int64Type>().value(0), 7);
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

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// The struct of a file, with a narrow `x` and a field that the table dropped.
fn old_struct() -> (Fields, ArrayRef) {
    let fields =
        Fields::from(vec![stored("gone", DataType::Utf8, 12), stored("x", DataType::Int32, 11)]);
    let nulls = NullBuffer::from(vec![true, false, true]);
    let values = StructArray::new(
        fields.clone(),
        vec![texts(&["p", "q", "r"]), ints(&[1, 2, 3])],
        Some(nulls),
    );
    (fields, Arc::new(values))
}

/// The struct that the table has now: `x` renamed and widened, the dropped name added again.
fn new_struct() -> Type {
    StructType::new(vec![
        Arc::new(long(11, "renamed")),
        Arc::new(NestedField::optional(13, "gone", Type::Primitive(PrimitiveType::String))),
        Arc::new(long(14, "d").with_initial_default(Literal::long(9))),
    ])
    .into()
}

fn check_struct(array: &ArrayRef) {
    let read = array.as_struct();
    let longs = |name| read.column_by_name(name).unwrap().as_primitive::<Int64Type>();
    assert_eq!(read.nulls().unwrap().iter().collect::<Vec<_>>(), [true, false, true]);
    assert_eq!((longs("renamed").value(0), longs("renamed").value(2)), (1, 3));
    assert_eq!((longs("d").value(0), longs("d").value(2)), (9, 9));
    assert_eq!(read.column_by_name("gone").unwrap().null_count(), 3);
}

#[tokio::test]
async fn structs_inside_lists_are_renamed_reordered_and_widened() {
    let (fields, values) = old_struct();
    let item = Arc::new(stored("item", DataType::Struct(fields), 10));
    let offsets = OffsetBuffer::new(vec![0, 2, 2, 2, 3].into());
    let nulls = NullBuffer::from(vec![true, true, false, true]);
    let list = ListArray::new(Arc::clone(&item), offsets, values, Some(nulls));
    let file = vec![(stored("l", DataType::List(item), 1), Arc::new(list) as ArrayRef)];
    let element = NestedField::list_element(10, new_struct(), false);
    let now = Type::List(ListType::new(Arc::new(element)));
    let schema = table(vec![NestedField::optional(1, "now", now)]);
    let batch = read(file, &schema, &[]).await.unwrap();
    let list = batch.column(0).as_list::<i32>();
    assert_eq!(list.value_offsets(), &[0, 2, 2, 2, 3]);
    assert!(list.is_null(2) && !list.is_null(1));
    check_struct(list.values());
}

#[tokio::test]
async fn structs_inside_maps_are_renamed_reordered_and_widened() {
    let (fields, values) = old_struct();
    let pair = Fields::from(vec![
        Arc::new(stored("key", DataType::Utf8, 9).with_nullable(false)),
        Arc::new(stored("value", DataType::Struct(fields), 10)),
    ]);
    let entries = StructArray::new(pair.clone(), vec![texts(&["a", "b", "c"]), values], None);
    let entries_field = Arc::new(Field::new("entries", DataType::Struct(pair), false));
    let offsets = OffsetBuffer::new(vec![0, 2, 2, 3].into());
    let nulls = NullBuffer::from(vec![true, false, true]);
    let map = MapArray::new(Arc::clone(&entries_field), offsets, entries, Some(nulls), false);
    let file =
        vec![(stored("m", DataType::Map(entries_field, false), 1), Arc::new(map) as ArrayRef)];
    let now = MapType::optional(9, PrimitiveType::String.into(), 10, new_struct());
    let schema = table(vec![NestedField::optional(1, "now", now.into())]);
    let batch = read(file, &schema, &[]).await.unwrap();
    let map = batch.column(0).as_map();
    assert_eq!(map.value_offsets(), &[0, 2, 2, 3]);
    assert!(map.is_null(1));
    assert_eq!(map.keys().as_string_view().iter().flatten().collect::<Vec<_>>(), ["a", "b", "c"]);
    check_struct(map.values());
}

/// A cast is work for every batch: files of ours must not need any.
#[test]
fn a_file_of_the_tables_own_types_needs_no_cast() {
    let primitives = [
        PrimitiveType::Boolean,
        PrimitiveType::Int,
        PrimitiveType::Long,
        PrimitiveType::Float,
        PrimitiveType::Double,
        PrimitiveType::Decimal { precision: 9, scale: 2 },
        PrimitiveType::Decimal { precision: 38, scale: 10 },
        PrimitiveType::Date,
        PrimitiveType::Time,
        PrimitiveType::Timestamp,
        PrimitiveType::Timestamptz,
        PrimitiveType::TimestampNs,
        PrimitiveType::TimestamptzNs,
        PrimitiveType::String,
        PrimitiveType::Uuid,
        PrimitiveType::Fixed(7),
        PrimitiveType::Binary,
    ];
    let fields = (1..)
        .zip(primitives)
        .map(|(id, ty)| NestedField::optional(id, format!("c{id}"), ty.into()).with_doc("said"));
    let schema = table(fields.collect());
    let logical = to_arrow_schema(&schema).unwrap();
    let parquet = crate::iceberg::types::to_parquet_schema(&schema).unwrap();
    let file = parquet::arrow::parquet_to_arrow_schema(&parquet, None).unwrap();
    // What the opener does before it asks the adapter.
    let views: Fields = file
        .fields()
        .iter()
        .map(|field| match field.data_type() {
            DataType::Utf8 => field.as_ref().clone().with_data_type(DataType::Utf8View).into(),
            DataType::Binary => field.as_ref().clone().with_data_type(DataType::BinaryView).into(),
            _ => Arc::clone(field),
        })
        .collect();
    let physical = Arc::new(ArrowSchema::new(views));
    let factory = FieldIdAdapterFactory::try_new(&schema, &HashMap::new()).unwrap();
    let adapter = factory.create(Arc::clone(&logical), physical).unwrap();
    for (index, field) in logical.fields().iter().enumerate() {
        let rewritten = adapter.rewrite(Arc::new(Column::new(field.name(), index))).unwrap();
        assert!(rewritten.is::<Column>(), "{field}: {rewritten}");
    }
}

#[test]
fn bounds_of_floats_prune_only_where_nan_makes_no_difference() {
    use datafusion::logical_expr::Operator as Op;
    use datafusion::physical_expr::expressions::binary;
    let schema = table(vec![NestedField::optional(1, "f", Type::Primitive(PrimitiveType::Double))]);
    let arrow = to_arrow_schema(&schema).unwrap();
    let rewrite = |without_nan: &[i32], expr: Arc<dyn PhysicalExpr>| {
        let without_nan = without_nan.iter().copied().collect();
        FieldIdAdapterFactory::try_new_without_nan(&schema, &HashMap::new(), without_nan)
            .unwrap()
            .create(Arc::clone(&arrow), Arc::clone(&arrow))
            .unwrap()
            .rewrite(expr)
            .unwrap()
            .to_string()
    };
    let f = || Arc::new(Column::new("f", 0)) as Arc<dyn PhysicalExpr>;
    let compare = |op, value: f64| binary(f(), op, lit(value), &arrow).unwrap();
    assert_eq!(rewrite(&[], f()), "f@0");
    for (expr, hidden) in [
        (compare(Op::Lt, 5.0), false),
        (compare(Op::Eq, 5.0), false),
        (compare(Op::Eq, f64::NAN), true),
        (compare(Op::Gt, 5.0), true),
        (compare(Op::NotEq, 5.0), true),
        (Arc::new(NotExpr::new(compare(Op::Lt, 5.0))) as _, true),
        (binary(compare(Op::Lt, 5.0), Op::And, compare(Op::Gt, 1.0), &arrow).unwrap(), true),
    ] {
        let text = rewrite(&[], Arc::clone(&expr));
        assert_eq!(text.contains("unbounded"), hidden, "{text}");
        assert!(!rewrite(&[1], expr).contains("unbounded"));
    }
}
