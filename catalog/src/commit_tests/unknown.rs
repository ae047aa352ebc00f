//! Lost answers: a commit is found, or stays unknown; its files stay in either case.

use std::sync::Arc;

use futures::FutureExt;

use super::fixture::*;
use crate::catalog::{Catalog, CreateMode};
use crate::change::{CommitOptions, RowsChange};
use crate::error::ErrorKind;
use crate::faults::{CommitFault, FaultMetastore, Rival};
use crate::metastore::Metastore;
use crate::predicate::Predicate;
use crate::spec::{FormatVersion, TableUpdate};
use crate::storage::Storage;
use crate::table::Table;

fn rival_append() -> Rival {
    |metastore: Arc<dyn Metastore>| {
        async move {
            let catalog = Catalog::new("rival", metastore, Storage::local(), "file:///nowhere");
            let table = catalog.load_table(&name("t")).await.unwrap();
            let change =
                RowsChange::Append { files: vec![file(&table, "rival.parquet", "a", 1, 1)] };
            catalog.commit_rows(&table, change, CommitOptions::default()).await.unwrap();
        }
        .boxed()
    }
}

fn rival_recreates() -> Rival {
    |metastore: Arc<dyn Metastore>| {
        async move {
            let old = metastore.drop_table(&name("t")).await.unwrap().unwrap();
            let warehouse = format!("{}-again", old.metadata().location());
            let catalog = Catalog::new("rival", metastore, Storage::local(), warehouse);
            let staged = catalog.stage_table(request("t", CreateMode::Create)).await.unwrap();
            catalog.commit_staged(staged, vec![], CommitOptions::default()).await.unwrap();
        }
        .boxed()
    }
}

const DELAYED: CommitFault = CommitFault::ApplyDuringLoad(u64::MAX);

/// The fixture's metastore, of whose next commit the answer is lost, and then a rival's turn.
fn lossy(fixture: &Fixture, fault: CommitFault, rival: Option<Rival>) -> Arc<FaultMetastore> {
    let metastore = FaultMetastore::new(Arc::clone(&fixture.metastore));
    metastore.script([fault]);
    if let Some(rival) = rival {
        metastore.rival(rival);
    }
    Arc::new(metastore)
}

async fn deliver(metastore: &FaultMetastore) -> Table {
    metastore.apply_late().await.pop().unwrap().unwrap()
}

fn append(table: &Table) -> RowsChange {
    RowsChange::Append { files: vec![real_file(table, "ours.parquet", "a")] }
}

async fn assert_everything_referenced_exists(fixture: &Fixture, table: &Table) {
    let metadata = table.metadata();
    for snapshot in metadata.snapshots() {
        assert!(local(snapshot.manifest_list()).exists(), "a referenced manifest list is gone");
        for manifest in fixture.catalog.load_manifest_list(table, snapshot).await.unwrap().iter() {
            assert!(local(&manifest.manifest_path).exists(), "a referenced manifest is gone");
        }
    }
}

#[tokio::test]
async fn a_lost_answer_of_an_applied_commit_is_success() {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V2).await;
    let metastore = lossy(&fixture, CommitFault::LoseAnswer, None);
    let change = append(&table);
    let done = fixture
        .over(metastore)
        .commit_rows(&table, change, CommitOptions::default())
        .await
        .unwrap();
    assert_eq!(done.added_rows, 3);
    let now = fixture.load("t").await;
    assert_eq!(now.metadata().snapshots().count(), 1);
    assert_everything_referenced_exists(&fixture, &now).await;
}

#[tokio::test]
async fn unknown_then_another_writer_on_top_is_success_once() {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V2).await;
    let metastore = lossy(&fixture, CommitFault::LoseAnswer, Some(rival_append()));
    let change = append(&table);
    fixture.over(metastore).commit_rows(&table, change, CommitOptions::default()).await.unwrap();
    let now = fixture.load("t").await;
    assert_eq!(paths(&fixture.live(&now).await), ["ours.parquet", "rival.parquet"]);
    assert_eq!(now.metadata().snapshots().count(), 2);
    assert_everything_referenced_exists(&fixture, &now).await;
}

#[tokio::test]
async fn a_commit_that_was_overtaken_for_certain_is_repeated_once() {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V3).await;
    let metastore = lossy(&fixture, CommitFault::LoseRequest, Some(rival_append()));
    let change = append(&table);
    fixture.over(metastore).commit_rows(&table, change, CommitOptions::default()).await.unwrap();
    let now = fixture.load("t").await;
    assert_eq!(paths(&fixture.live(&now).await), ["ours.parquet", "rival.parquet"]);
    assert_eq!(now.metadata().snapshots().count(), 2);
}

/// Hazard: a file is deleted while it is unknown whether a commit refers to it (stack §2).
#[tokio::test]
async fn a_commit_applied_after_we_looked_stays_unknown_and_keeps_its_files() {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V2).await;
    let metastore = lossy(&fixture, DELAYED, None);
    let catalog = fixture.over(Arc::clone(&metastore) as Arc<dyn Metastore>);
    let change = append(&table);
    let error = catalog.commit_rows(&table, change, CommitOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CommitUnknown, "{error}");
    assert!(fixture.load("t").await.current_snapshot().is_none(), "it was sent again");

    let applied = deliver(&metastore).await;
    let op_id = summary(applied.current_snapshot().unwrap(), "engine.op-id").unwrap();
    assert!(error.message().contains(op_id), "the error must name the operation: {error}");
    assert_everything_referenced_exists(&fixture, &applied).await;
    let entries = fixture.live(&applied).await;
    assert!(local(entries[0].file_path()).exists());
}

#[tokio::test]
async fn a_lost_answer_and_another_table_under_the_name_stays_unknown() {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V2).await;
    let metastore = lossy(&fixture, CommitFault::LoseRequest, Some(rival_recreates()));
    let change = append(&table);
    let error = fixture
        .over(metastore)
        .commit_rows(&table, change, CommitOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CommitUnknown, "{error}");
    assert!(fixture.load("t").await.current_snapshot().is_none());
}

#[tokio::test]
async fn a_lost_answer_of_a_create_is_success_if_the_table_is_ours() {
    let fixture = Fixture::new().await;
    let metastore = lossy(&fixture, CommitFault::LoseAnswer, None);
    let catalog = fixture.over(metastore);
    let staged = catalog.stage_table(request("t", CreateMode::Create)).await.unwrap();
    let files = vec![file(&staged.table, "a.parquet", "a", 1, 2)];
    let done = catalog.commit_staged(staged, files, CommitOptions::default()).await.unwrap();
    assert_eq!(done.added_rows, 2);
    assert_eq!(paths(&fixture.live(&fixture.load("t").await).await), ["a.parquet"]);
}

#[tokio::test]
async fn a_lost_answer_of_a_metadata_change_is_success_if_its_effect_is_there() {
    let fixture = Fixture::new().await;
    fixture.create("t", FormatVersion::V2).await;
    let edit = |_: &crate::spec::TableMetadata| {
        let updates = [("colour".to_owned(), "green".to_owned())].into();
        Ok(vec![TableUpdate::SetProperties { updates }])
    };
    let metastore = lossy(&fixture, CommitFault::LoseAnswer, None);
    fixture.over(metastore).commit_metadata(&name("t"), edit).await.unwrap();
    let metastore = lossy(&fixture, DELAYED, None);
    let other = |_: &crate::spec::TableMetadata| {
        let updates = [("colour".to_owned(), "red".to_owned())].into();
        Ok(vec![TableUpdate::SetProperties { updates }])
    };
    let error = fixture.over(metastore).commit_metadata(&name("t"), other).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CommitUnknown, "{error}");
    assert_eq!(fixture.load("t").await.metadata().properties()["colour"], "green");
}

/// Hazard: a file is deleted while it is unknown whether a commit refers to it (stack §2).
#[tokio::test]
async fn a_lost_answer_of_an_overwrite_deletes_no_referenced_file() {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V3).await;
    let table = fixture.append(&table, vec![file(&table, "a.parquet", "a", 1, 2)]).await;
    let table = fixture.append(&table, vec![file(&table, "b.parquet", "b", 1, 2)]).await;
    for loss in [CommitFault::LoseAnswer, DELAYED] {
        let metastore = lossy(&fixture, loss, None);
        let catalog = fixture.over(Arc::clone(&metastore) as Arc<dyn Metastore>);
        let base = fixture.load("t").await;
        let change = RowsChange::OverwriteWhere {
            filter: Predicate::True,
            files: vec![real_file(&table, &format!("{loss:?}.parquet"), "a")],
        };
        let result = catalog.commit_rows(&base, change, CommitOptions::default()).await;
        if loss == DELAYED {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::CommitUnknown);
            deliver(&metastore).await;
        } else {
            result.unwrap();
        }
        assert_everything_referenced_exists(&fixture, &fixture.load("t").await).await;
    }
}
