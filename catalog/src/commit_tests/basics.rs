//! What each kind of commit makes of a table.

use super::fixture::*;
use crate::catalog::CreateMode;
use crate::change::{CommitOptions, RowsChange};
use crate::error::ErrorKind;
use crate::predicate::Predicate;
use crate::spec::{FormatVersion, Operation};

#[tokio::test]
async fn a_new_table_has_defaults_and_a_place_of_its_own() {
    let fixture = Fixture::new().await;
    let table = fixture.create("orders", FormatVersion::V2).await;
    let metadata = table.metadata();
    assert_eq!(metadata.properties()["write.parquet.compression-codec"], "zstd");
    assert_eq!(metadata.format_version(), FormatVersion::V2);
    let (directory, hex) = metadata.location().rsplit_once('-').unwrap();
    assert!(directory.ends_with("/warehouse/gold/orders"), "{directory}");
    assert_eq!(hex.len(), 8);
    assert!(table.current_snapshot().is_none());
}

#[tokio::test]
async fn creating_a_taken_name_is_refused_in_any_case() {
    let fixture = Fixture::new().await;
    fixture.create("orders", FormatVersion::V2).await;
    for taken in ["orders", "ORDERS"] {
        let request = request(taken, CreateMode::Create);
        let error = fixture.catalog.stage_table(request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    }
}

#[tokio::test]
async fn create_with_rows_is_one_commit() {
    let fixture = Fixture::new().await;
    for version in [FormatVersion::V2, FormatVersion::V3] {
        let table = format!("t{}", version as u8);
        let mut create = request(&table, CreateMode::Create);
        create.format_version = version;
        let staged = fixture.catalog.stage_table(create).await.unwrap();
        let files = vec![file(&staged.table, "a.parquet", "a", 1, 10)];
        let done =
            fixture.catalog.commit_staged(staged, files, CommitOptions::default()).await.unwrap();
        assert_eq!(done.added_rows, 10);
        let now = fixture.load(&table).await;
        assert_eq!(now.metadata().metadata_log().len(), 0, "a second metadata file was written");
        assert_eq!(paths(&fixture.live(&now).await), ["a.parquet"]);
    }
}

#[tokio::test]
async fn appends_add_up_and_say_so() {
    let fixture = Fixture::new().await;
    for version in [FormatVersion::V2, FormatVersion::V3] {
        let table = fixture.create(&format!("t{}", version as u8), version).await;
        let one = fixture.append(&table, vec![file(&table, "a.parquet", "a", 1, 10)]).await;
        // Against the old version of the table: an append is rebased without a word.
        let more = vec![file(&table, "b.parquet", "b", 1, 5), file(&table, "c.parquet", "c", 1, 1)];
        let two = fixture.append(&table, more).await;
        let (first, second) = (one.current_snapshot().unwrap(), two.current_snapshot().unwrap());
        assert_eq!(second.parent_snapshot_id(), Some(first.snapshot_id()));
        assert_eq!(second.sequence_number(), first.sequence_number() + 1);
        assert_eq!(second.summary().operation, Operation::Append);
        for (key, value) in [
            ("added-data-files", "2"),
            ("added-records", "6"),
            ("added-files-size", "206"),
            ("changed-partition-count", "2"),
            ("total-records", "16"),
            ("total-data-files", "3"),
            ("total-files-size", "316"),
            ("total-delete-files", "0"),
            ("engine-name", "fjord"),
        ] {
            assert_eq!(summary(second, key), Some(value), "{key}");
        }
        let op_id = summary(second, "engine.op-id").unwrap();
        assert_eq!(uuid::Uuid::parse_str(op_id).unwrap().get_version_num(), 7);
        assert_eq!(fixture.live(&two).await.len(), 3);
    }
}

#[tokio::test]
async fn overwriting_by_filter_replaces_whole_files_only() {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V2).await;
    let files = vec![file(&table, "a.parquet", "a", 1, 10), file(&table, "b.parquet", "b", 1, 4)];
    let table = fixture.append(&table, files).await;
    let change = RowsChange::OverwriteWhere {
        filter: part_is("a"),
        files: vec![file(&table, "a2.parquet", "a", 1, 2)],
    };
    let done = fixture.catalog.commit_rows(&table, change, CommitOptions::default()).await.unwrap();
    assert_eq!((done.added_rows, done.removed_rows), (2, 10));
    let snapshot = done.snapshot.unwrap();
    assert_eq!(snapshot.summary().operation, Operation::Overwrite);
    assert_eq!(summary(&snapshot, "deleted-data-files"), Some("1"));
    assert_eq!(summary(&snapshot, "total-records"), Some("6"));
    assert_eq!(summary(&snapshot, "total-files-size"), Some("206"));
    assert_eq!(summary(&snapshot, "changed-partition-count"), Some("1"));
    let entries = fixture.live(&done.table).await;
    assert_eq!(paths(&entries), ["a2.parquet", "b.parquet"]);
    let kept = entries.iter().find(|e| e.file_path().ends_with("/b.parquet")).unwrap();
    assert_eq!(kept.sequence_number, Some(1), "a rewritten manifest must keep its numbers");
    assert_eq!(kept.file_sequence_number, Some(1));

    let partial = RowsChange::OverwriteWhere {
        filter: Predicate::Compare(
            1,
            crate::predicate::Comparison::Gt,
            crate::spec::Datum::long(3),
        ),
        files: vec![],
    };
    let error = fixture
        .catalog
        .commit_rows(&done.table, partial, CommitOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

#[tokio::test]
async fn a_filter_of_true_empties_the_table() {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V3).await;
    let table = fixture.append(&table, vec![file(&table, "a.parquet", "a", 1, 10)]).await;
    let change = RowsChange::OverwriteWhere { filter: Predicate::True, files: vec![] };
    let done = fixture.catalog.commit_rows(&table, change, CommitOptions::default()).await.unwrap();
    let snapshot = done.snapshot.unwrap();
    assert_eq!(snapshot.summary().operation, Operation::Delete);
    assert_eq!(summary(&snapshot, "total-records"), Some("0"));
    assert_eq!(summary(&snapshot, "total-data-files"), Some("0"));
    assert!(fixture.live(&done.table).await.is_empty());

    let again = RowsChange::OverwriteWhere { filter: Predicate::True, files: vec![] };
    let nothing =
        fixture.catalog.commit_rows(&done.table, again, CommitOptions::default()).await.unwrap();
    assert!(nothing.snapshot.is_none(), "nothing to delete makes no snapshot");
    assert_eq!(nothing.table.metadata_location(), done.table.metadata_location());
}

#[tokio::test]
async fn a_dynamic_overwrite_replaces_the_partitions_of_its_files() {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V2).await;
    let files = vec![file(&table, "a.parquet", "a", 1, 10), file(&table, "b.parquet", "b", 1, 4)];
    let table = fixture.append(&table, files).await;
    let change =
        RowsChange::OverwritePartitions { files: vec![file(&table, "b2.parquet", "b", 1, 1)] };
    let done = fixture.catalog.commit_rows(&table, change, CommitOptions::default()).await.unwrap();
    assert_eq!(paths(&fixture.live(&done.table).await), ["a.parquet", "b2.parquet"]);
    assert_eq!((done.added_rows, done.removed_rows), (1, 4));
}
