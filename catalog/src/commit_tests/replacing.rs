//! CREATE OR REPLACE and REPLACE.

use std::sync::Arc;

use super::fixture::*;
use crate::catalog::CreateMode;
use crate::change::{CommitOptions, RowsChange};
use crate::error::ErrorKind;
use crate::spec::{FormatVersion, NestedField, PrimitiveType, Schema, Type, UnboundPartitionSpec};

#[tokio::test]
async fn a_replace_keeps_uuid_history_and_the_ids_of_columns_of_the_same_name() {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V2).await;
    let old = fixture.append(&table, vec![file(&table, "a.parquet", "a", 1, 10)]).await;

    let mut create = request("T", CreateMode::CreateOrReplace);
    let long = Type::Primitive(PrimitiveType::Long);
    create.schema = Schema::builder()
        .with_fields([
            Arc::new(NestedField::optional(1, "name", Type::Primitive(PrimitiveType::String))),
            Arc::new(NestedField::optional(2, "price", long)),
        ])
        .build()
        .unwrap();
    create.partition_spec = UnboundPartitionSpec::builder().build();
    let staged = fixture.catalog.stage_table(create).await.unwrap();
    let done =
        fixture.catalog.commit_staged(staged, vec![], CommitOptions::default()).await.unwrap();
    let new = done.table.metadata();
    assert_eq!(new.uuid(), old.metadata().uuid());
    assert_eq!(new.location(), old.metadata().location());
    assert_eq!(done.table.name().name, "t", "the stored spelling stays");
    assert!(done.table.current_snapshot().is_none());
    let old_snapshot = old.current_snapshot().unwrap().snapshot_id();
    assert!(new.snapshot_by_id(old_snapshot).is_some());
    assert_eq!(new.history().len(), 1);
    let id = |name: &str| new.current_schema().field_id_by_name(name).unwrap();
    assert_eq!(id("name"), 3);
    assert_eq!(id("price"), 4, "a new column must not take an id that was used");
    assert!(new.default_partition_spec().is_unpartitioned());
}

#[tokio::test]
async fn a_replace_with_rows_is_one_commit() {
    let fixture = Fixture::new().await;
    for version in [FormatVersion::V2, FormatVersion::V3] {
        let table_name = format!("t{}", version as u8);
        let table = fixture.create(&table_name, version).await;
        let old = fixture.append(&table, vec![file(&table, "a.parquet", "a", 1, 10)]).await;
        let create = request(&table_name, CreateMode::Replace);
        let staged = fixture.catalog.stage_table(create).await.unwrap();
        let files = vec![file(&staged.table, "b.parquet", "b", 1, 4)];
        let done =
            fixture.catalog.commit_staged(staged, files, CommitOptions::default()).await.unwrap();
        assert_eq!(paths(&fixture.live(&done.table).await), ["b.parquet"]);
        let snapshot = done.snapshot.unwrap();
        assert_eq!(snapshot.parent_snapshot_id(), None);
        assert_eq!(snapshot.sequence_number(), 2);
        assert_eq!(summary(&snapshot, "total-records"), Some("4"));
        let (new, old) = (done.table.metadata(), old.metadata());
        assert_eq!(new.format_version(), version, "formats never go back");
        assert_eq!(new.metadata_log().len(), old.metadata_log().len() + 1);
    }
}

#[tokio::test]
async fn replacing_a_table_that_is_absent_is_refused() {
    let fixture = Fixture::new().await;
    let error = fixture.catalog.stage_table(request("t", CreateMode::Replace)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

/// Hazard: a replacement takes rows with it that came while it was made (stack §2, conflict table).
#[tokio::test]
async fn rows_added_while_a_replacement_was_made_are_a_conflict() {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V2).await;
    let staged =
        fixture.catalog.stage_table(request("t", CreateMode::CreateOrReplace)).await.unwrap();
    fixture.append(&table, vec![file(&table, "a.parquet", "a", 1, 10)]).await;
    let files = vec![file(&staged.table, "b.parquet", "b", 1, 4)];
    let error =
        fixture.catalog.commit_staged(staged, files, CommitOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert_eq!(paths(&fixture.live(&fixture.load("t").await).await), ["a.parquet"]);
}

#[tokio::test]
async fn of_two_creates_of_one_name_the_second_is_told() {
    let fixture = Fixture::new().await;
    let one = fixture.catalog.stage_table(request("t", CreateMode::Create)).await.unwrap();
    let two = fixture.catalog.stage_table(request("t", CreateMode::Create)).await.unwrap();
    let options = CommitOptions::default;
    let files = vec![file(&two.table, "b.parquet", "b", 1, 4)];
    fixture.catalog.commit_staged(one, vec![], options()).await.unwrap();
    let error = fixture.catalog.commit_staged(two, files, options()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
}

#[tokio::test]
async fn data_files_survive_the_way_through_json() {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V2).await;
    let before = file(&table, "a.parquet", "a", 1, 10);
    let spec = table.metadata().default_partition_spec();
    let json = crate::catalog::Catalog::data_file_to_json(&table, spec, before.clone()).unwrap();
    let after =
        crate::catalog::Catalog::data_file_from_json(&table, spec.spec_id(), &json).unwrap();
    assert_eq!(after, before);
    let twice = RowsChange::Append { files: vec![before, after] };
    let error =
        fixture.catalog.commit_rows(&table, twice, CommitOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
}
