//! Writes without a catalog: tables made of JSON metadata, files checked through their footers.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, AsArray, Float64Array, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int32Type, Schema as ArrowSchema, SchemaRef};
use datafusion::execution::memory_pool::{
    GreedyMemoryPool, MemoryConsumer, MemoryPool, UnboundedMemoryPool,
};
use fjord_catalog::name::{Namespace, TableName};
use fjord_catalog::spec::{
    DataFile, Datum, Literal, NestedField, PrimitiveLiteral, PrimitiveType, Schema, Type,
};
use fjord_catalog::storage::Storage;
use fjord_catalog::table::Table;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::SerializedFileReader;
use serde_json::{Value, json};

use super::file::FileShape;
use super::fit::Fit;
use super::ledger::{ClosedFiles, Ledger};
use super::options::WriteOptions;
use super::partition::Partitioner;
use super::schema::to_write_schema;
use super::task::{WriteShape, WriteTask};
use super::{conform, delete_files};
use crate::error::Result;
use crate::iceberg::types::{to_file_schema, to_parquet_schema};

fn column(id: i32, name: &str, ty: PrimitiveType) -> Arc<NestedField> {
    NestedField::optional(id, name, Type::Primitive(ty)).into()
}

fn schema(fields: Vec<Arc<NestedField>>) -> Schema {
    Schema::builder().with_fields(fields).build().unwrap()
}

/// A staged table in `dir`; `partition` is the JSON of its partition fields.
fn table(dir: &Path, schema: &Schema, partition: Value, properties: &[(&str, &str)]) -> Table {
    let last_partition = partition.as_array().unwrap().len() + 999;
    let properties: HashMap<_, _> = properties.iter().copied().collect();
    let metadata = json!({
        "format-version": 2,
        "table-uuid": "9c12d441-03fe-4693-9a96-a0705ddf69c1",
        "location": format!("file://{}", dir.display()),
        "last-sequence-number": 0, "last-updated-ms": 1_602_638_573_590_i64,
        "last-column-id": schema.highest_field_id(),
        "current-schema-id": 0, "schemas": [serde_json::to_value(schema).unwrap()],
        "default-spec-id": 0, "partition-specs": [{"spec-id": 0, "fields": partition}],
        "last-partition-id": last_partition,
        "default-sort-order-id": 0, "sort-orders": [{"order-id": 0, "fields": []}],
        "properties": properties,
    });
    let metadata: fjord_catalog::spec::TableMetadata = serde_json::from_value(metadata).unwrap();
    Table::staged(TableName::new(Namespace::parse("s").unwrap(), "t").unwrap(), metadata)
}

fn identity(source: i32, name: &str) -> Value {
    json!([{"source-id": source, "field-id": 1000, "name": name, "transform": "identity"}])
}

fn shape(table: &Table, incoming: &ArrowSchema) -> Result<Arc<WriteShape>> {
    let metadata = table.metadata();
    let parquet = to_parquet_schema(metadata.current_schema())?;
    let options = WriteOptions::try_new(metadata, &parquet)?;
    let file = FileShape {
        storage: Storage::local(),
        arrow: to_write_schema(metadata.current_schema(), incoming)?,
        parquet,
        options,
        spec_id: 0,
        sort_order_id: None,
    };
    let partitioner = Partitioner::try_new(metadata)?;
    Ok(Arc::new(WriteShape { file: Arc::new(file), partitioner, clustered: false }))
}

fn task(table: &Table, incoming: &ArrowSchema, pool: &Arc<dyn MemoryPool>) -> WriteTask {
    WriteTask::new(shape(table, incoming).unwrap(), MemoryConsumer::new("test").register(pool))
}

fn unbounded() -> Arc<dyn MemoryPool> {
    Arc::new(UnboundedMemoryPool::default())
}

async fn write(
    table: &Table,
    batches: &[RecordBatch],
    pool: &Arc<dyn MemoryPool>,
) -> Result<(Vec<DataFile>, ClosedFiles)> {
    let mut task = task(table, batches[0].schema_ref(), pool);
    let schema = Arc::clone(&shape(table, batches[0].schema_ref())?.file.arrow);
    for batch in batches {
        task.write(conform::conform_batch(batch, &schema, Fit::Floor)?).await?;
    }
    task.finish().await
}

fn local(file: &DataFile) -> std::fs::File {
    std::fs::File::open(file.file_path().strip_prefix("file://").unwrap()).unwrap()
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
        .unwrap()
}

fn files_below(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}

async fn until_empty(dir: &Path) {
    let start = Instant::now();
    while !files_below(dir).is_empty() {
        assert!(start.elapsed() < Duration::from_secs(10), "left: {:?}", files_below(dir));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Bytes that do not compress, so that sizes are what they seem.
fn noise(rows: usize, bytes: usize, seed: u64) -> StringArray {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(33 + (state % 90) as u8)
    };
    (0..rows).map(|_| Some((0..bytes).map(|_| next()).collect::<String>())).collect()
}

#[tokio::test]
async fn a_thousand_partitions_fit_a_small_memory_limit() {
    let dir = tempfile::tempdir().unwrap();
    let schema =
        schema(vec![column(1, "p", PrimitiveType::Int), column(2, "v", PrimitiveType::String)]);
    let table = table(dir.path(), &schema, identity(1, "p"), &[]);
    // Far less than a thousand open Parquet writers need.
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(24 << 20));
    let rows = 8_192;
    let batches: Vec<_> = (0..4)
        .map(|n| {
            let keys = (0..rows).map(|i| (i * 7 + n) % 1_000).collect::<Int32Array>();
            batch(vec![("p", Arc::new(keys)), ("v", Arc::new(noise(rows as usize, 20, 7)))])
        })
        .collect();
    let (files, closed) = write(&table, &batches, &pool).await.unwrap();

    let mut by_key: HashMap<i32, u64> = HashMap::new();
    for file in &files {
        let Some(Literal::Primitive(PrimitiveLiteral::Int(key))) = &file.partition()[0] else {
            panic!("{:?}", file.partition());
        };
        *by_key.entry(*key).or_default() += file.record_count();
        assert!(file.file_path().contains(&format!("/data/p={key}/")), "{}", file.file_path());
        let reader = ParquetRecordBatchReaderBuilder::try_new(local(file)).unwrap();
        for rows in reader.build().unwrap() {
            let keys = rows.unwrap();
            assert!(keys.column(0).as_primitive::<Int32Type>().iter().all(|k| k == Some(*key)));
        }
    }
    assert_eq!(by_key.len(), 1_000);
    assert_eq!(by_key.values().sum::<u64>(), 4 * rows as u64);
    assert_eq!(pool.reserved(), 0, "memory given back");
    drop(closed);
}

#[tokio::test]
async fn the_limit_of_open_partitions_closes_the_least_recently_used() {
    let dir = tempfile::tempdir().unwrap();
    let schema = schema(vec![column(1, "p", PrimitiveType::String)]);
    let limit = [("write.fjord.open-partitions-max", "2")];
    let table = table(dir.path(), &schema, identity(1, "p"), &limit);
    let keys = StringArray::from(vec![Some("a"), Some("b"), Some("a"), None, Some("c/d é")]);
    let batches = [batch(vec![("p", Arc::new(keys))])];
    let (files, _closed) = write(&table, &batches, &unbounded()).await.unwrap();
    assert_eq!(files.len(), 4);
    let paths = files.iter().map(|f| f.file_path().to_owned()).collect::<Vec<_>>().join("\n");
    for directory in ["/p=a/", "/p=b/", "/p=null/", "/p=c%2Fd%20%C3%A9/"] {
        assert!(paths.contains(directory), "{directory} not in {paths}");
    }
    // The object is where its path says, literally.
    files.iter().for_each(|file| assert!(local(file).metadata().unwrap().len() > 0));
}

#[tokio::test]
async fn files_roll_at_the_target_size() {
    let dir = tempfile::tempdir().unwrap();
    let schema = schema(vec![column(1, "v", PrimitiveType::String)]);
    let target = [
        ("write.target-file-size-bytes", "1000000"),
        ("write.parquet.row-group-size-bytes", "300000"),
    ];
    let table = table(dir.path(), &schema, json!([]), &target);
    let batches: Vec<_> =
        (0..20).map(|n| batch(vec![("v", Arc::new(noise(1_000, 200, n * 2 + 1)))])).collect();
    let (files, _closed) = write(&table, &batches, &unbounded()).await.unwrap();
    assert!((3..=6).contains(&files.len()), "{} files", files.len());
    assert_eq!(files.iter().map(DataFile::record_count).sum::<u64>(), 20_000);
    for file in &files[..files.len() - 1] {
        assert!((900_000..1_500_000).contains(&file.file_size_in_bytes()), "{file:?}");
        assert_eq!(file.file_size_in_bytes(), local(file).metadata().unwrap().len());
        let offsets = file.split_offsets().unwrap();
        assert!(offsets.len() > 2 && offsets[0] == 4 && offsets.is_sorted(), "{offsets:?}");
    }
}

#[tokio::test]
async fn memory_pressure_on_one_file_ends_its_row_group() {
    let dir = tempfile::tempdir().unwrap();
    let schema = schema(vec![column(1, "v", PrimitiveType::String)]);
    let table = table(dir.path(), &schema, json!([]), &[]);
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(48 << 20));
    let batches: Vec<_> =
        (0..30).map(|n| batch(vec![("v", Arc::new(noise(1_000, 2_000, n * 2 + 1)))])).collect();
    let (files, _closed) = write(&table, &batches, &pool).await.unwrap();
    assert_eq!(files.iter().map(DataFile::record_count).sum::<u64>(), 30_000);
}

#[tokio::test]
async fn bloom_filters_are_where_the_properties_ask_for_them() {
    let dir = tempfile::tempdir().unwrap();
    let schema =
        schema(vec![column(1, "a", PrimitiveType::Int), column(2, "b", PrimitiveType::Int)]);
    let bloom = [
        ("write.parquet.bloom-filter-enabled.column.b", "true"),
        ("write.parquet.bloom-filter-fpp.column.b", "0.05"),
        ("write.parquet.compression-codec", "snappy"),
    ];
    let table = table(dir.path(), &schema, json!([]), &bloom);
    let column: ArrayRef = Arc::new(Int32Array::from_iter_values(0..1_000));
    let batches = [batch(vec![("a", Arc::clone(&column)), ("b", column)])];
    let (files, _closed) = write(&table, &batches, &unbounded()).await.unwrap();
    let reader = SerializedFileReader::new(local(&files[0])).unwrap();
    let group = reader.metadata().row_group(0);
    assert_eq!(group.column(0).bloom_filter_offset(), None);
    assert!(group.column(1).bloom_filter_offset().is_some());
    assert_eq!(group.column(0).compression(), parquet::basic::Compression::SNAPPY);
}

#[test]
fn a_property_that_cannot_be_honoured_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let schema = schema(vec![column(1, "a", PrimitiveType::Int)]);
    let arrow = ArrowSchema::new(vec![Field::new("a", DataType::Int32, true)]);
    for (key, value) in [
        ("write.parquet.compression-codec", "lzo"),
        ("write.parquet.compression-level", "99"),
        ("write.target-file-size-bytes", "0"),
        ("write.distribution-mode", "random"),
        ("write.format.default", "orc"),
        ("write.metadata.metrics.default", "some"),
        ("write.parquet.page-size-bytes", "much"),
    ] {
        let table = table(dir.path(), &schema, json!([]), &[(key, value)]);
        let error = shape(&table, &arrow).unwrap_err().to_string();
        assert!(error.contains(key) && error.contains(value), "{error}");
    }
}

fn conform_error(ty: PrimitiveType, required: bool, values: ArrayRef) -> String {
    let field = Type::Primitive(ty);
    let field = if required {
        NestedField::required(1, "amount", field)
    } else {
        NestedField::optional(1, "amount", field)
    };
    let rows = batch(vec![("x", values)]);
    let schema = to_write_schema(&schema(vec![field.into()]), rows.schema_ref()).unwrap();
    conform::conform_batch(&rows, &schema, Fit::Floor).unwrap_err().to_string()
}

#[test]
fn a_value_out_of_range_or_null_where_required_names_the_column() {
    let decimal = PrimitiveType::Decimal { precision: 4, scale: 2 };
    let cases: [(PrimitiveType, bool, ArrayRef); 5] = [
        (PrimitiveType::Int, false, Arc::new(arrow::array::Int64Array::from(vec![1 << 40]))),
        (PrimitiveType::Float, false, Arc::new(Float64Array::from(vec![1e300]))),
        (decimal, false, Arc::new(Int32Array::from(vec![100]))),
        (PrimitiveType::Int, true, Arc::new(Int32Array::from(vec![Some(1), None]))),
        (PrimitiveType::Uuid, false, Arc::new(StringArray::from(vec!["no"]))),
    ];
    for (ty, required, values) in cases {
        let error = conform_error(ty, required, values);
        assert!(error.starts_with("column \"amount\""), "{error}");
    }
}

#[test]
fn nanoseconds_before_1970_round_down_to_microseconds() {
    let nanos = arrow::array::TimestampNanosecondArray::from(vec![-1, 1_999]);
    let rows = batch(vec![("x", Arc::new(nanos))]);
    let table = schema(vec![column(1, "x", PrimitiveType::Timestamp)]);
    let schema = to_write_schema(&table, rows.schema_ref()).unwrap();
    let rows = conform::conform_batch(&rows, &schema, Fit::Floor).unwrap();
    let micros = rows.column(0).as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
    assert_eq!(micros.values(), &[-1, 1]);
}

#[tokio::test]
async fn a_write_cancelled_mid_file_leaves_nothing_in_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let schema = schema(vec![column(1, "v", PrimitiveType::String)]);
    let small_groups = [("write.parquet.row-group-size-bytes", "2000000")];
    let table = table(dir.path(), &schema, json!([]), &small_groups);
    let rows = batch(vec![("v", Arc::new(noise(2_000, 2_000, 3)))]);
    let mut task = task(&table, rows.schema_ref(), &unbounded());
    let schema = Arc::clone(&shape(&table, rows.schema_ref()).unwrap().file.arrow);
    for _ in 0..6 {
        task.write(conform::conform_batch(&rows, &schema, Fit::Floor).unwrap()).await.unwrap();
    }
    let start = Instant::now();
    while files_below(dir.path()).is_empty() {
        assert!(start.elapsed() < Duration::from_secs(10), "no part was sent");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(task);
    until_empty(dir.path()).await;
}

#[tokio::test]
async fn closed_files_go_unless_they_are_handed_over() {
    let dir = tempfile::tempdir().unwrap();
    let schema = schema(vec![column(1, "a", PrimitiveType::Int)]);
    let table = table(dir.path(), &schema, json!([]), &[]);
    let rows = [batch(vec![("a", Arc::new(Int32Array::from(vec![1, 2])))])];

    let (_, closed) = write(&table, &rows, &unbounded()).await.unwrap();
    drop(closed);
    until_empty(dir.path()).await;

    let ledger = Ledger::new();
    let (files, closed) = write(&table, &rows, &unbounded()).await.unwrap();
    closed.hand_over(&ledger);
    ledger.release();
    assert!(ledger.discard().is_empty(), "the commit answers for the files");
    assert!(local(&files[0]).metadata().is_ok());

    let ledger = Ledger::new();
    let (_, closed) = write(&table, &rows, &unbounded()).await.unwrap();
    closed.hand_over(&ledger);
    delete_files(ledger.discard()).await;
    let (_, late) = write(&table, &rows, &unbounded()).await.unwrap();
    late.hand_over(&ledger);
    drop(files);
    let start = Instant::now();
    while files_below(dir.path()).len() > 1 {
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", files_below(dir.path()));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Metrics of one leaf, recounted from JSON rows.
#[derive(Debug, Default, PartialEq)]
struct Recount {
    values: u64,
    nulls: u64,
    nans: u64,
    lower: Option<Datum>,
    upper: Option<Datum>,
}

fn recount(value: &Value, ty: &Type, id: i32, repeated: bool, all: &mut HashMap<i32, Recount>) {
    match ty {
        Type::Primitive(primitive) => {
            let leaf = all.entry(id).or_default();
            leaf.values += 1;
            if value.is_null() {
                leaf.nulls += 1;
                return;
            }
            if value == "NaN" {
                leaf.nans += 1;
                return;
            }
            if !repeated {
                let datum = to_datum(primitive, value);
                if leaf.lower.as_ref().is_none_or(|old| datum < *old) {
                    leaf.lower = Some(datum.clone());
                }
                if leaf.upper.as_ref().is_none_or(|old| datum > *old) {
                    leaf.upper = Some(datum);
                }
            }
        }
        Type::Struct(ty) => {
            for field in ty.fields() {
                let child = value.get(&field.name).unwrap_or(&Value::Null);
                recount(child, &field.field_type, field.id, repeated, all);
            }
        }
        Type::List(ty) => {
            let element = &ty.element_field;
            let values = value.as_array().cloned().unwrap_or_default();
            // A missing or empty list takes one entry in the file, and it is NULL.
            let values = if values.is_empty() { vec![Value::Null] } else { values };
            values.iter().for_each(|v| recount(v, &element.field_type, element.id, true, all));
        }
        Type::Map(ty) => {
            let pairs: Vec<(Value, Value)> = match value.as_object() {
                Some(map) if !map.is_empty() => {
                    map.iter().map(|(k, v)| (Value::String(k.clone()), v.clone())).collect()
                }
                _ => vec![(Value::Null, Value::Null)],
            };
            for (key, value) in pairs {
                recount(&key, &ty.key_field.field_type, ty.key_field.id, true, all);
                recount(&value, &ty.value_field.field_type, ty.value_field.id, true, all);
            }
        }
    }
}

/// The library has no public way from a literal to a datum but bytes, and none from JSON to
/// nanoseconds.
fn to_datum(ty: &PrimitiveType, value: &Value) -> Datum {
    use PrimitiveLiteral as L;
    use PrimitiveType as P;
    let (parse_as, scale) = match ty {
        P::TimestampNs => (P::Timestamp, 1_000),
        P::TimestamptzNs => (P::Timestamptz, 1_000),
        other => (other.clone(), 1),
    };
    let literal = Literal::try_from_json(value.clone(), &Type::Primitive(parse_as)).unwrap();
    let bytes: Vec<u8> = match literal.unwrap().as_primitive_literal().unwrap() {
        L::Boolean(v) => vec![u8::from(v)],
        L::Int(v) => v.to_le_bytes().to_vec(),
        L::Long(v) => (v * scale).to_le_bytes().to_vec(),
        L::Float(v) => v.to_le_bytes().to_vec(),
        L::Double(v) => v.to_le_bytes().to_vec(),
        L::String(v) => v.into_bytes(),
        L::Binary(v) => v,
        L::Int128(v) => v.to_be_bytes().to_vec(),
        L::UInt128(v) => v.to_be_bytes().to_vec(),
        L::AboveMax | L::BelowMin => panic!("not a value"),
    };
    Datum::try_from_bytes(&bytes, ty.clone()).unwrap()
}

fn every_type(nanoseconds: bool) -> Schema {
    use PrimitiveType as P;
    let mut types = vec![
        ("boolean", P::Boolean),
        ("int", P::Int),
        ("long", P::Long),
        ("float", P::Float),
        ("double", P::Double),
        ("dec9", P::Decimal { precision: 9, scale: 2 }),
        ("dec18", P::Decimal { precision: 18, scale: 4 }),
        ("dec38", P::Decimal { precision: 38, scale: 10 }),
        ("date", P::Date),
        ("time", P::Time),
        ("timestamp", P::Timestamp),
        ("timestamptz", P::Timestamptz),
        ("string", P::String),
        ("uuid", P::Uuid),
        ("fixed", P::Fixed(4)),
        ("binary", P::Binary),
    ];
    if nanoseconds {
        types.extend([("ts_ns", P::TimestampNs), ("tstz_ns", P::TimestamptzNs)]);
    }
    let mut id = 0;
    let fields = |id: &mut i32| {
        let leaf = |(name, ty): &(&str, P)| {
            *id += 1;
            column(*id, name, ty.clone())
        };
        types.iter().map(leaf).collect::<Vec<_>>()
    };
    use fjord_catalog::spec::{ListType, MapType, StructType};
    let mut columns = fields(&mut id);
    let inner = Type::Struct(StructType::new(fields(&mut id)));
    columns.push(NestedField::optional(id + 1, "nested", inner).into());
    id += 1;
    let inner = Type::Struct(StructType::new(fields(&mut id)));
    let element = NestedField::list_element(id + 1, inner, false);
    columns.push(
        NestedField::optional(
            id + 2,
            "list",
            Type::List(ListType { element_field: element.into() }),
        )
        .into(),
    );
    let double = || Type::Primitive(P::Double);
    let inner = Type::List(ListType {
        element_field: NestedField::list_element(id + 3, double(), false).into(),
    });
    let map = MapType {
        key_field: NestedField::map_key_element(id + 4, Type::Primitive(P::String)).into(),
        value_field: NestedField::map_value_element(id + 5, inner, false).into(),
    };
    columns.push(NestedField::optional(id + 6, "map", Type::Map(map)).into());
    schema(columns)
}

fn every_value(n: i64, nanoseconds: bool) -> Value {
    let day = format!("{}-0{}-11", 1960 + n % 30, n % 9 + 1);
    let mut row = json!({
        "boolean": n % 2 == 0, "int": n - 50, "long": (n - 50) * 5_000_000_000_i64,
        "float": if n % 7 == 0 { json!("NaN") } else { json!((n - 50) as f64 / 4.0) },
        "double": if n % 5 == 0 { json!("NaN") } else { json!((n - 50) as f64 / 8.0) },
        "dec9": format!("{}.25", n - 50), "dec18": format!("{}.1234", (n - 50) * 1_000_000),
        "dec38": format!("{}123456789012345.0123456789", n - 50),
        "date": day, "time": format!("11:22:33.00{:04}", n),
        "timestamp": format!("{day}T11:22:33.00{n:04}"),
        "timestamptz": format!("{day}T11:22:33.00{n:04}+00:00"),
        "string": format!("s{n}é"), "uuid": format!("{n:08x}d44103fe46939a96a0705ddf"),
        "fixed": format!("{n:08x}"), "binary": format!("{n:04x}"),
    });
    if nanoseconds {
        row["ts_ns"] = json!(format!("{day}T11:22:33.00{n:04}"));
        row["tstz_ns"] = json!(format!("{day}T11:22:33.00{n:04}+00:00"));
    }
    // A different column is NULL in each row.
    let names: Vec<String> = row.as_object().unwrap().keys().cloned().collect();
    row[&names[(n as usize) % names.len()]] = Value::Null;
    row
}

fn decode(schema: &SchemaRef, rows: &[Value]) -> RecordBatch {
    let mut decoder = arrow::json::ReaderBuilder::new(Arc::clone(schema)).build_decoder().unwrap();
    decoder.serialize(rows).unwrap();
    decoder.flush().unwrap().unwrap()
}

async fn metrics_equal_a_recount(nanoseconds: bool) {
    let dir = tempfile::tempdir().unwrap();
    let schema = every_type(nanoseconds);
    // Several row groups, so that bounds and counts have to be merged.
    let groups = [("write.parquet.row-group-limit", "40")];
    let table = table(dir.path(), &schema, json!([]), &groups);
    let rows: Vec<Value> = (0..100)
        .map(|n| {
            let mut row = every_value(n, nanoseconds);
            row["nested"] = if n % 4 == 0 { Value::Null } else { every_value(n + 1, nanoseconds) };
            row["list"] = match n % 4 {
                0 => Value::Null,
                1 => json!([]),
                2 => json!([every_value(n, nanoseconds), null]),
                _ => json!([every_value(n, nanoseconds), every_value(n + 3, nanoseconds)]),
            };
            row["map"] = match n % 3 {
                0 => Value::Null,
                1 => json!({"a": [1.5, "NaN", null], "b": null}),
                _ => json!({"c": []}),
            };
            row
        })
        .collect();
    let rows_arrow = decode(&to_file_schema(&schema).unwrap(), &rows);
    // Slices must count their own rows alone.
    let slices = [rows_arrow.slice(0, 33), rows_arrow.slice(33, 67)];
    let (files, _closed) = write(&table, &slices, &unbounded()).await.unwrap();
    let file = &files[0];

    let mut expected = HashMap::new();
    for row in &rows {
        for field in schema.as_struct().fields() {
            recount(&row[&field.name], &field.field_type, field.id, false, &mut expected);
        }
    }
    for (id, leaf) in expected {
        let name = schema.name_by_field_id(id).unwrap();
        let found = Recount {
            values: file.value_counts()[&id],
            nulls: file.null_value_counts()[&id],
            nans: file.nan_value_counts().get(&id).copied().unwrap_or(0),
            lower: file.lower_bounds().get(&id).cloned(),
            upper: file.upper_bounds().get(&id).cloned(),
        };
        assert_eq!(found, leaf, "column {name} ({id})");
        assert!(file.column_sizes()[&id] > 0, "column {name}");
    }
    assert_eq!(file.record_count(), 100);
    let reader = ParquetRecordBatchReaderBuilder::try_new(local(file)).unwrap();
    let read: Vec<_> = reader.build().unwrap().map(|b| b.unwrap()).collect();
    let schema = read[0].schema();
    let read = arrow::compute::concat_batches(&schema, &read).unwrap();
    let cast = conform::conform_batch(&read, rows_arrow.schema_ref(), Fit::Floor).unwrap();
    assert_eq!(cast.columns(), rows_arrow.columns(), "what was written reads back");
}

#[tokio::test]
async fn metrics_of_every_v2_type_equal_a_naive_recount() {
    metrics_equal_a_recount(false).await;
}

#[tokio::test]
async fn metrics_of_every_v3_type_equal_a_naive_recount() {
    metrics_equal_a_recount(true).await;
}

#[tokio::test]
async fn long_text_has_bounds_of_sixteen_code_points() {
    let dir = tempfile::tempdir().unwrap();
    let schema = schema(vec![
        column(1, "text", PrimitiveType::String),
        column(2, "top", PrimitiveType::String),
        column(3, "counted", PrimitiveType::String),
        column(4, "none", PrimitiveType::String),
        column(5, "full", PrimitiveType::String),
        column(6, "bytes", PrimitiveType::Binary),
    ]);
    let modes = [
        ("write.metadata.metrics.column.counted", "counts"),
        ("write.metadata.metrics.column.none", "none"),
        ("write.metadata.metrics.column.full", "full"),
    ];
    let table = table(dir.path(), &schema, json!([]), &modes);
    let long = "é".repeat(99);
    let top = "\u{10ffff}".repeat(40);
    let text = |v: &str| Arc::new(StringArray::from(vec![v.to_owned()])) as ArrayRef;
    let bytes = arrow::array::BinaryArray::from(vec![[0xff_u8; 40].as_slice()]);
    let rows = [batch(vec![
        ("a", text(&long)),
        ("b", text(&top)),
        ("c", text(&long)),
        ("d", text(&long)),
        ("e", text(&long)),
        ("f", Arc::new(bytes)),
    ])];
    let (files, _closed) = write(&table, &rows, &unbounded()).await.unwrap();
    let (lower, upper) = (files[0].lower_bounds(), files[0].upper_bounds());
    assert_eq!(lower[&1], Datum::string("é".repeat(16)));
    assert_eq!(upper[&1], Datum::string(format!("{}ê", "é".repeat(15))));
    assert_eq!(lower[&2], Datum::string("\u{10ffff}".repeat(16)));
    assert_eq!(upper.get(&2), None, "nothing of that length lies above");
    assert_eq!((lower.get(&3), files[0].value_counts().get(&3)), (None, Some(&1)));
    assert_eq!((lower.get(&4), files[0].value_counts().get(&4)), (None, None));
    assert_eq!((&lower[&5], &upper[&5]), (&Datum::string(&long), &Datum::string(&long)));
    assert_eq!(lower[&6], Datum::binary([0xff; 16]));
    assert_eq!(upper.get(&6), None);
}
