//! Delete files of other engines: refused, never read past.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use fjord_catalog::faults::commit_delete_files;
use fjord_catalog::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, FormatVersion, Literal,
    PrimitiveType, Struct, TableMetadata, TableUpdate,
};
use fjord_catalog::table::Table;

use super::lake::{Lake, identity, optional};
use crate::error::ErrorKind;
use crate::iceberg::table::IcebergTable;

/// Keys 0 to 9 in partition a and 10 to 19 in partition b, in format 3.
async fn two_partitions(lake: &Lake) -> Table {
    let fields =
        vec![optional(1, "k", PrimitiveType::Long), optional(2, "p", PrimitiveType::String)];
    let table = lake.create(fields, identity(2, "p")).await;
    let keys: ArrayRef = Arc::new((0..20).collect::<Int64Array>());
    let parts: StringArray = (0..20).map(|k| Some(if k < 10 { "a" } else { "b" })).collect();
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("k", keys, true),
        ("p", Arc::new(parts) as _, true),
    ]);
    let table = lake.write(&table, batch.unwrap()).await;
    let upgrade = |_: &TableMetadata| {
        Ok(vec![TableUpdate::UpgradeFormatVersion { format_version: FormatVersion::V3 }])
    };
    lake.catalog.commit_metadata(table.name(), upgrade).await.unwrap().table
}

/// One row of partition a is deleted.
fn delete_file(table: &Table, content: DataContentType, format: DataFileFormat) -> DataFile {
    let mut builder = DataFileBuilder::default();
    builder
        .content(content)
        .file_path(format!("{}/data/deletes", table.metadata().location()))
        .file_format(format)
        .partition(Struct::from_iter([Some(Literal::string("a"))]))
        .partition_spec_id(table.metadata().default_partition_spec_id())
        .record_count(1)
        .file_size_in_bytes(100);
    if content == DataContentType::EqualityDeletes {
        builder.equality_ids(Some(vec![1]));
    }
    builder.build().unwrap()
}

/// Hazard: deleted rows reappear. Until deletes are applied, a table that has any is refused,
/// whatever the query asks of it (stack §3).
#[tokio::test]
async fn a_table_with_delete_files_of_any_kind_is_refused() {
    for (content, format) in [
        (DataContentType::PositionDeletes, DataFileFormat::Parquet),
        (DataContentType::PositionDeletes, DataFileFormat::Puffin),
        (DataContentType::EqualityDeletes, DataFileFormat::Parquet),
    ] {
        let lake = Lake::new().await;
        let before = two_partitions(&lake).await;
        let deletes = [delete_file(&before, content, format)];
        let (metastore, storage) = (lake.catalog.metastore().as_ref(), lake.catalog.storage());
        let table = commit_delete_files(metastore, storage, before.name(), &deletes).await.unwrap();
        for sql in [
            "SELECT k FROM t",
            "SELECT count(*) FROM t",
            "SELECT max(k) FROM t",
            "SELECT k FROM t WHERE p = 'a' AND k = 5",
            "SELECT k FROM t LIMIT 1",
        ] {
            let error = lake.error(&table, sql).await;
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{content:?}, {sql}: {error}");
            let text = error.to_string();
            assert!(text.contains("delete files") && text.contains("s.t"), "{sql}: {text}");
        }
        // What came before the deletes is read as ever.
        let snapshot = Arc::clone(before.current_snapshot().unwrap());
        let earlier = IcebergTable::try_new_at(lake.catalog.clone(), table, snapshot).unwrap();
        let context = super::lake::session(1);
        context.register_table("t", Arc::new(earlier)).unwrap();
        assert_eq!(super::lake::rows(&context, "SELECT count(k + 0) FROM t").await, ["20"]);
    }
}
