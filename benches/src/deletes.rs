//! Snapshots of lineitem from which rows were deleted as other engines delete them.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use fjord_catalog::deletes::{DeletedRows, write_vector};
use fjord_catalog::error::ErrorKind;
use fjord_catalog::faults::commit_delete_files;
use fjord_catalog::name::{Namespace, TableName};
use fjord_catalog::plan_files::PlannedFile;
use fjord_catalog::predicate::Predicate;
use fjord_catalog::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, FormatVersion, TableMetadata,
    TableUpdate,
};
use fjord_catalog::table::Table;
use parquet::arrow::ArrowWriter;

use crate::lake::{self, BenchLake};

/// One row in so many is deleted by position, spread evenly but never at the same distance.
const ONE_IN: u64 = 100;

/// The columns by which rows are deleted by key.
const KEYS: [&str; 2] = ["l_orderkey", "l_linenumber"];

/// How many keys were deleted, once all is there.
const KEYS_PROPERTY: &str = "bench.deleted-keys";

/// Ids of snapshots of one table.
#[derive(Debug)]
pub struct Deleted {
    /// Nothing is deleted.
    pub clean: i64,
    /// One row in a hundred, by files of positions.
    pub positions: i64,
    /// The same rows, by deletion vectors.
    pub vectors: i64,
    /// Some rows, by equality deletes of two columns.
    pub keys: i64,
}

/// The snapshots of an earlier run, if it came to its end with as many keys.
pub async fn known(lake: &BenchLake, keys: usize) -> Result<Option<Deleted>> {
    let name = TableName::new(Namespace::new(["default"])?, "lineitem")?;
    let table = match lake.catalog().load_table(&name).await {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        table => table?,
    };
    let mut snapshots: Vec<_> = table.metadata().snapshots().collect();
    snapshots.sort_by_key(|snapshot| snapshot.sequence_number());
    let [clean, positions, by_key, vectors] = snapshots[..] else { return Ok(None) };
    if table.metadata().properties().get(KEYS_PROPERTY) != Some(&keys.to_string()) {
        return Ok(None);
    }
    Ok(Some(Deleted {
        clean: clean.snapshot_id(),
        positions: positions.snapshot_id(),
        vectors: vectors.snapshot_id(),
        keys: by_key.snapshot_id(),
    }))
}

/// Commits the deletes, each kind on top of the clean snapshot.
pub async fn prepare(lake: &BenchLake, keys: usize) -> Result<Deleted> {
    let name = TableName::new(Namespace::new(["default"])?, "lineitem")?;
    let catalog = lake.catalog();
    let table = catalog.load_table(&name).await?;
    let snapshot = table.current_snapshot().context("the table was never written")?.clone();
    let clean = snapshot.snapshot_id();
    let plan = catalog.plan_files(&table, &snapshot, &Predicate::True).await?;

    let positions: Vec<DataFile> =
        plan.files.iter().map(|file| position_file(&table, file)).collect::<Result<_>>()?;
    let equality = vec![key_file(lake, &table, keys).await?];
    let upgrade = |metadata: &TableMetadata| {
        Ok(match metadata.format_version() {
            FormatVersion::V3 => Vec::new(),
            _ => vec![TableUpdate::UpgradeFormatVersion { format_version: FormatVersion::V3 }],
        })
    };
    let updates = [(KEYS_PROPERTY.to_owned(), keys.to_string())].into();
    let done = TableUpdate::SetProperties { updates };
    let positions = commit(lake, &table, clean, &positions).await?;
    let keys = commit(lake, &table, clean, &equality).await?;
    catalog.commit_metadata(&name, upgrade).await?;
    let vectors = vector_files(&table, &plan.files)?;
    let vectors = commit(lake, &table, clean, &vectors).await?;
    catalog.commit_metadata(&name, |_| Ok(vec![done.clone()])).await?;
    Ok(Deleted { clean, positions, vectors, keys })
}

/// Commits delete files on top of `clean`, makes that current again, and returns their snapshot.
async fn commit(lake: &BenchLake, table: &Table, clean: i64, files: &[DataFile]) -> Result<i64> {
    let (metastore, storage) = (lake.catalog().metastore().as_ref(), lake.catalog().storage());
    let after = commit_delete_files(metastore, storage, table.name(), files).await?;
    let id = after.metadata().current_snapshot_id().context("no snapshot")?;
    lake.catalog().rollback_to(table.name(), clean).await?;
    Ok(id)
}

fn deleted_rows(rows: u64) -> impl Iterator<Item = u64> {
    (0..rows / ONE_IN).map(|block| block * ONE_IN + (block * 2_654_435_761) % ONE_IN)
}

fn describe(table: &Table, name: &str, bytes: &[u8], rows: u64) -> Result<DataFileBuilder> {
    let uri = format!("{}/deletes/{name}", table.metadata().location());
    let path = std::path::Path::new(uri.strip_prefix("file://").context("not on this disk")?);
    std::fs::create_dir_all(path.parent().context("a file without a folder")?)?;
    std::fs::write(path, bytes)?;
    let mut builder = DataFileBuilder::default();
    builder
        .content(DataContentType::PositionDeletes)
        .file_path(uri)
        .file_format(DataFileFormat::Parquet)
        .partition_spec_id(table.metadata().default_partition_spec_id())
        .record_count(rows)
        .file_size_in_bytes(bytes.len() as u64);
    Ok(builder)
}

fn position_file(table: &Table, of: &PlannedFile) -> Result<DataFile> {
    let path = of.file.file_path();
    let rows = deleted_rows(of.file.record_count()).map(i64::try_from);
    let rows: Int64Array = rows.collect::<Result<Vec<i64>, _>>()?.into();
    let paths = StringArray::from(vec![path; rows.len()]);
    let count = rows.len() as u64;
    let bytes = parquet(vec![
        (field("file_path", DataType::Utf8, 2_147_483_546), Arc::new(paths)),
        (field("pos", DataType::Int64, 2_147_483_545), Arc::new(rows)),
    ])?;
    let name = path.rsplit('/').next().unwrap_or_default();
    let mut file = describe(table, &format!("positions-{name}"), &bytes, count)?;
    Ok(file.referenced_data_file(Some(path.to_owned())).build()?)
}

fn vector_files(table: &Table, files: &[PlannedFile]) -> Result<Vec<DataFile>> {
    let mut out = Vec::new();
    for of in files {
        let path = of.file.file_path();
        let mut rows = DeletedRows::default();
        deleted_rows(of.file.record_count()).for_each(|row| rows.insert(row));
        let blob = write_vector(&rows)?;
        let name = path.rsplit('/').next().unwrap_or_default();
        let mut file = describe(table, &format!("vector-{name}.puffin"), &blob, rows.len())?;
        file.file_format(DataFileFormat::Puffin)
            .referenced_data_file(Some(path.to_owned()))
            .content_offset(Some(0))
            .content_size_in_bytes(Some(i64::try_from(blob.len())?));
        out.push(file.build()?);
    }
    Ok(out)
}

async fn key_file(lake: &BenchLake, table: &Table, keys: usize) -> Result<DataFile> {
    let columns = KEYS.join(", ");
    let query = format!(
        "SELECT {columns} FROM iceberg.\"default\".lineitem \
         WHERE (l_orderkey * 31 + l_linenumber) % 397 = 0 LIMIT {keys}"
    );
    let batches = lake::collect(&lake.session(), &query).await?;
    let schema = batches.first().context("no keys")?.schema();
    let batch = arrow::compute::concat_batches(&schema, &batches)?;
    let ids: Vec<i32> = KEYS
        .iter()
        .map(|name| table.metadata().current_schema().field_id_by_name(name).context("no column"))
        .collect::<Result<_>>()?;
    let stored = KEYS
        .iter()
        .zip(&ids)
        .zip(batch.columns())
        .map(|((name, id), column)| {
            (field(name, column.data_type().clone(), *id), Arc::clone(column))
        })
        .collect();
    let bytes = parquet(stored)?;
    let mut file = describe(table, "keys.parquet", &bytes, batch.num_rows() as u64)?;
    Ok(file.content(DataContentType::EqualityDeletes).equality_ids(Some(ids)).build()?)
}

fn field(name: &str, ty: DataType, id: i32) -> Field {
    let metadata = HashMap::from([("PARQUET:field_id".to_owned(), id.to_string())]);
    Field::new(name, ty, true).with_metadata(metadata)
}

fn parquet(columns: Vec<(Field, ArrayRef)>) -> Result<Vec<u8>> {
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?;
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(bytes)
}
