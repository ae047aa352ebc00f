//! DROP … PURGE deletes what the table referred to, after the drop, and nothing else.

use super::fixture::*;
use crate::change::{CommitOptions, RowsChange};
use crate::error::ErrorKind;
use crate::predicate::Predicate;
use crate::spec::FormatVersion;

#[tokio::test]
async fn purge_deletes_every_file_of_the_table_and_no_other() {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V2).await;
    let other = fixture.create("other", FormatVersion::V2).await;
    fixture.append(&other, vec![real_file(&other, "o.parquet", "a")]).await;
    let now = fixture.append(&table, vec![real_file(&table, "a.parquet", "a")]).await;
    let change = RowsChange::OverwriteWhere {
        filter: Predicate::True,
        files: vec![real_file(&table, "b.parquet", "a")],
    };
    fixture.catalog.commit_rows(&now, change, CommitOptions::default()).await.unwrap();
    let deleted = fixture.catalog.drop_table(&name("t"), true).await.unwrap();
    // 2 data files, 2 lists, 2 new manifests, 1 rewritten manifest, 3 metadata files
    assert_eq!(deleted, 10);
    assert!(!local(table.metadata().location()).exists(), "the table's directory is left");
    let other = fixture.load("other").await;
    assert!(local(fixture.live(&other).await[0].file_path()).exists());
}

#[tokio::test]
async fn a_drop_without_purge_deletes_nothing() {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V2).await;
    let now = fixture.append(&table, vec![real_file(&table, "a.parquet", "a")]).await;
    assert_eq!(fixture.catalog.drop_table(&name("t"), false).await.unwrap(), 0);
    assert!(local(now.metadata_location().unwrap()).exists());
    assert!(local(&format!("{}/data/a.parquet", table.metadata().location())).exists());
}

#[tokio::test]
async fn purge_is_refused_where_garbage_collection_is_off() {
    let fixture = Fixture::new().await;
    fixture.create_with("t", FormatVersion::V2, &[("gc.enabled", "FALSE")]).await;
    let error = fixture.catalog.drop_table(&name("t"), true).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    fixture.load("t").await;
}

#[tokio::test]
async fn failed_statements_can_take_their_files_back() {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V2).await;
    let file = real_file(&table, "a.parquet", "a");
    fixture.catalog.delete_uncommitted(std::slice::from_ref(&file)).await;
    assert!(!local(file.file_path()).exists());
}

#[tokio::test]
async fn a_table_whose_metadata_is_lost_can_be_dropped_and_not_purged() {
    for damage in [None, Some("{")] {
        let fixture = Fixture::new().await;
        let table = fixture.create("t", FormatVersion::V2).await;
        let now = fixture.append(&table, vec![real_file(&table, "a.parquet", "a")]).await;
        let metadata = local(now.metadata_location().unwrap());
        match damage {
            None => std::fs::remove_file(&metadata).unwrap(),
            Some(text) => std::fs::write(&metadata, text).unwrap(),
        }
        let catalog = fixture.another().await;
        let error = catalog.drop_table(&name("t"), true).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        let text = error.to_string();
        assert!(
            text.contains("\"gold.t\" cannot be purged") && text.contains("without PURGE"),
            "{text}"
        );
        assert!(text.contains(metadata.file_name().unwrap().to_str().unwrap()), "{text}");

        assert_eq!(catalog.drop_table(&name("t"), false).await.unwrap(), 0);
        let gone = catalog.load_table(&name("t")).await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound, "{gone}");
        assert!(local(&format!("{}/data/a.parquet", table.metadata().location())).exists());
    }
}
