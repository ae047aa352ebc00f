//! Which delete files a plan gives to which data files.

use super::fixture::{Fixture, delete_file, file};
use crate::deletes::FileDeletes;
use crate::error::{ErrorKind, Result};
use crate::faults::commit_delete_files;
use crate::plan_files::FilePlan;
use crate::predicate::Predicate;
use crate::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, FormatVersion, Literal, Struct,
    TableMetadata, TableUpdate, Transform, UnboundPartitionSpec,
};
use crate::storage::Storage;
use crate::table::Table;

async fn delete(fixture: &Fixture, table: &Table, files: &[DataFile]) -> Table {
    let metastore = fixture.metastore.as_ref();
    commit_delete_files(metastore, &Storage::local(), table.name(), files).await.unwrap()
}

async fn plan(fixture: &Fixture, table: &Table) -> Result<FilePlan> {
    let snapshot = table.current_snapshot().unwrap();
    fixture.catalog.plan_files(table, snapshot, &Predicate::True).await
}

/// What applies to the data file `name`: names of delete files, a vector in brackets.
async fn applied(fixture: &Fixture, table: &Table, name: &str) -> Vec<String> {
    let plan = plan(fixture, table).await.unwrap();
    let planned = plan.files.iter().find(|f| f.file.file_path().ends_with(name)).unwrap();
    let Some(deletes) = &planned.deletes else { return Vec::new() };
    let last = |file: &DataFile| file.file_path().rsplit('/').next().unwrap().to_owned();
    let FileDeletes { vector, positions, equality } = deletes.as_ref();
    let vector = vector.iter().map(|v| format!("[{}]", last(&v.file)));
    let positions = positions.iter().map(|p| last(&p.file));
    let equality = equality.iter().flat_map(|group| &group.files).map(|e| last(&e.file));
    vector.chain(positions).chain(equality).collect()
}

fn builder(table: &Table, name: &str, content: DataContentType, part: &str) -> DataFileBuilder {
    let mut builder = DataFileBuilder::default();
    builder
        .content(content)
        .file_path(format!("{}/data/{name}", table.metadata().location()))
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::from_iter([Some(Literal::string(part))]))
        .partition_spec_id(table.metadata().default_partition_spec_id())
        .record_count(1)
        .file_size_in_bytes(100);
    builder
}

fn equality(table: &Table, name: &str, part: &str, ids: Vec<i32>) -> DataFile {
    let content = DataContentType::EqualityDeletes;
    builder(table, name, content, part).equality_ids(Some(ids)).build().unwrap()
}

fn vector(table: &Table, name: &str, of: &str) -> DataFile {
    let path = format!("{}/data/{of}", table.metadata().location());
    builder(table, name, DataContentType::PositionDeletes, "a")
        .file_format(DataFileFormat::Puffin)
        .referenced_data_file(Some(path))
        .content_offset(Some(4))
        .content_size_in_bytes(Some(40))
        .build()
        .unwrap()
}

/// Hazard: a delete applies to files that are newer, as old as an equality delete, or elsewhere.
#[tokio::test]
async fn deletes_reach_only_older_files_of_their_partition() {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V2).await;
    let old = vec![file(&table, "a1", "a", 1, 9), file(&table, "b1", "b", 1, 9)];
    let table = fixture.append(&table, old).await;
    let deletes = [delete_file(&table, "pos", "a"), equality(&table, "eq", "a", vec![1])];
    let table = delete(&fixture, &table, &deletes).await;
    let table = fixture.append(&table, vec![file(&table, "a2", "a", 1, 9)]).await;
    assert_eq!(applied(&fixture, &table, "a1").await, ["pos", "eq"]);
    assert!(applied(&fixture, &table, "b1").await.is_empty(), "another partition");
    assert!(applied(&fixture, &table, "a2").await.is_empty(), "newer");
    let later = [equality(&table, "later", "a", vec![1]), equality(&table, "by3", "a", vec![3, 1])];
    let table = delete(&fixture, &table, &later).await;
    assert_eq!(applied(&fixture, &table, "a1").await, ["pos", "eq", "later", "by3"]);
    // One group by the same columns; the reader looks at each delete's age.
    assert_eq!(applied(&fixture, &table, "a2").await, ["eq", "later", "by3"]);
    assert!(applied(&fixture, &table, "b1").await.is_empty());
}

/// Hazard: equality deletes of a spec without partitions, or with void ones only, are local.
#[tokio::test]
async fn equality_deletes_of_a_spec_without_partitions_reach_every_file() {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V2).await;
    let old = vec![file(&table, "a1", "a", 1, 9), file(&table, "b1", "b", 1, 9)];
    let table = fixture.append(&table, old).await;
    let void = |_: &TableMetadata| {
        let spec = UnboundPartitionSpec::builder()
            .add_partition_field(2, "part_void", Transform::Void)?
            .build();
        Ok(vec![TableUpdate::AddSpec { spec }, TableUpdate::SetDefaultSpec { spec_id: -1 }])
    };
    let table = fixture.catalog.commit_metadata(table.name(), void).await.unwrap().table;
    let global = builder(&table, "global", DataContentType::EqualityDeletes, "a")
        .partition(Struct::from_iter([None]))
        .equality_ids(Some(vec![1]))
        .build()
        .unwrap();
    let table = delete(&fixture, &table, &[global]).await;
    assert_eq!(applied(&fixture, &table, "a1").await, ["global"]);
    assert_eq!(applied(&fixture, &table, "b1").await, ["global"]);
}

/// Hazard: position deletes that a vector took up are read beside it, or instead of it.
#[tokio::test]
async fn a_vector_supersedes_position_deletes_and_has_no_second() {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V3).await;
    let files = vec![file(&table, "a1", "a", 1, 9), file(&table, "a2", "a", 1, 9)];
    let table = fixture.append(&table, files).await;
    let table = delete(&fixture, &table, &[delete_file(&table, "pos", "a")]).await;
    let table = delete(&fixture, &table, &[vector(&table, "dv", "a1")]).await;
    assert_eq!(applied(&fixture, &table, "a1").await, ["[dv]"]);
    assert_eq!(applied(&fixture, &table, "a2").await, ["pos"]);
    let table = delete(&fixture, &table, &[vector(&table, "dv2", "a1")]).await;
    let error = plan(&fixture, &table).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("second deletion vector"), "{error}");
}

#[tokio::test]
async fn a_delete_file_that_does_not_say_what_it_deletes_is_refused() {
    for broken in [
        |table: &Table| equality(table, "eq", "a", vec![]),
        |table: &Table| {
            let content = DataContentType::PositionDeletes;
            let mut file = builder(table, "dv", content, "a");
            file.file_format(DataFileFormat::Puffin).build().unwrap()
        },
    ] {
        let fixture = Fixture::new().await;
        let table = fixture.create("t", FormatVersion::V3).await;
        let table = fixture.append(&table, vec![file(&table, "a1", "a", 1, 9)]).await;
        let table = delete(&fixture, &table, &[broken(&table)]).await;
        let error = plan(&fixture, &table).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
}
