//! Many writers, and tables that change under a writer's feet.

use std::collections::HashSet;
use std::sync::Arc;

use super::fixture::*;
use crate::change::{CommitOptions, RowsChange};
use crate::error::ErrorKind;
use crate::spec::{
    FormatVersion, NestedField, NestedFieldRef, PrimitiveType, Schema, TableMetadata, TableUpdate,
    Transform, Type, UnboundPartitionSpec,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_appends_through_four_catalogs_are_all_there() {
    let fixture = Fixture::new().await;
    for version in [FormatVersion::V2, FormatVersion::V3] {
        let table_name = format!("t{}", version as u8);
        // Merging early makes attempts depend on each other's manifests.
        let merge = [("commit.manifest.min-count-to-merge", "7")];
        let table = fixture.create_with(&table_name, version, &merge).await;
        let mut writers = tokio::task::JoinSet::new();
        for catalog in 0..4 {
            let (catalog, table) = (fixture.another().await, (catalog, table.clone()));
            for i in 0..25 {
                let (catalog, (at, table)) = (catalog.clone(), table.clone());
                writers.spawn(async move {
                    let path = format!("{at}-{i}.parquet");
                    let files = vec![file(&table, &path, "a", 1, 2)];
                    let change = RowsChange::Append { files };
                    catalog.commit_rows(&table, change, CommitOptions::default()).await.unwrap();
                });
            }
        }
        while let Some(done) = writers.join_next().await {
            done.unwrap();
        }
        let now = fixture.load(&table_name).await;
        let entries = fixture.live(&now).await;
        assert_eq!(entries.len(), 100);
        assert_eq!(paths(&entries).into_iter().collect::<HashSet<_>>().len(), 100);
        let snapshot = now.current_snapshot().unwrap();
        assert_eq!(now.metadata().snapshots().count(), 100);
        assert_eq!(snapshot.sequence_number(), 100);
        assert_eq!(summary(snapshot, "total-records"), Some("200"));
        if version == FormatVersion::V3 {
            let ids: HashSet<_> = entries.iter().map(|e| e.first_row_id.unwrap()).collect();
            assert_eq!(ids.len(), 100, "two files share their row ids");
        }
        let left = written_metadata(&now);
        let used = used_metadata(&fixture, &now).await;
        assert_eq!(left.difference(&used).count(), 0, "files of lost attempts were left behind");
    }
}

fn written_metadata(table: &crate::table::Table) -> HashSet<String> {
    let directory = local(table.metadata().location()).join("metadata");
    std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|file| file.ends_with(".avro"))
        .collect()
}

async fn used_metadata(fixture: &Fixture, table: &crate::table::Table) -> HashSet<String> {
    let mut used = HashSet::new();
    let base = |uri: &str| uri.rsplit('/').next().unwrap().to_owned();
    for snapshot in table.metadata().snapshots() {
        used.insert(base(snapshot.manifest_list()));
        for manifest in fixture.catalog.load_manifest_list(table, snapshot).await.unwrap().iter() {
            used.insert(base(&manifest.manifest_path));
        }
    }
    used
}

/// Hazard: a commit lands in another table of the same name (stack §2, requirements).
#[tokio::test]
async fn drop_and_create_under_a_writer_is_a_conflict() {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V2).await;
    fixture.catalog.drop_table(&name("t"), false).await.unwrap();
    fixture.create("t", FormatVersion::V2).await;
    let change = RowsChange::Append { files: vec![file(&table, "a.parquet", "a", 1, 1)] };
    let error =
        fixture.catalog.commit_rows(&table, change, CommitOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(fixture.load("t").await.current_snapshot().is_none());
    assert_eq!(written_metadata(&fixture.load("t").await).len(), 0);
}

fn with_schema(
    edit: impl Fn(Vec<NestedFieldRef>) -> Vec<NestedFieldRef>,
) -> impl Fn(&TableMetadata) -> crate::Result<Vec<TableUpdate>> {
    move |metadata| {
        let fields = edit(metadata.current_schema().as_struct().fields().to_vec());
        let schema = Schema::builder().with_schema_id(9).with_fields(fields).build()?;
        let set = TableUpdate::SetCurrentSchema { schema_id: -1 };
        Ok(vec![TableUpdate::AddSchema { schema }, set])
    }
}

#[tokio::test]
async fn an_append_is_rebased_on_a_compatible_schema_and_refused_on_another() {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V2).await;
    let added = with_schema(|mut fields| {
        let ty = Type::Primitive(PrimitiveType::Int);
        fields.push(Arc::new(NestedField::optional(9, "score", ty)));
        fields
    });
    fixture.catalog.commit_metadata(&name("t"), added).await.unwrap();
    let now = fixture.append(&table, vec![file(&table, "a.parquet", "a", 1, 1)]).await;
    let snapshot = now.current_snapshot().unwrap();
    assert_eq!(snapshot.schema_id(), Some(now.metadata().current_schema_id()));

    let required = with_schema(|fields| {
        let strict = |field: NestedFieldRef| {
            let mut field = NestedField::clone(&field);
            field.required = true;
            Arc::new(field)
        };
        fields.into_iter().map(strict).collect()
    });
    fixture.catalog.commit_metadata(&name("t"), required).await.unwrap();
    let change = RowsChange::Append { files: vec![file(&table, "b.parquet", "a", 1, 1)] };
    let error =
        fixture.catalog.commit_rows(&table, change, CommitOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.message().contains("schema"), "{error}");
}

#[tokio::test]
async fn files_of_an_older_partition_spec_are_committed_and_removed_under_it() {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V2).await;
    let unpartitioned = |_: &TableMetadata| {
        let spec = UnboundPartitionSpec::builder().build();
        Ok(vec![TableUpdate::AddSpec { spec }, TableUpdate::SetDefaultSpec { spec_id: -1 }])
    };
    fixture.catalog.commit_metadata(&name("t"), unpartitioned).await.unwrap();
    let now = fixture.append(&table, vec![file(&table, "a.parquet", "a", 1, 1)]).await;
    let list = fixture.catalog.load_manifest_list(&now, now.current_snapshot().unwrap()).await;
    assert_eq!(list.unwrap()[0].partition_spec_id, table.metadata().default_partition_spec_id());
    let change = RowsChange::OverwriteWhere { filter: part_is("a"), files: vec![] };
    let done = fixture.catalog.commit_rows(&now, change, CommitOptions::default()).await.unwrap();
    assert_eq!(done.removed_rows, 1);
    assert!(fixture.live(&done.table).await.is_empty());
}

#[tokio::test]
async fn a_dynamic_overwrite_refuses_what_another_spec_leaves_unclear() {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V2).await;
    fixture.append(&table, vec![file(&table, "a.parquet", "a", 1, 9)]).await;
    let by_id = |_: &TableMetadata| {
        let spec = UnboundPartitionSpec::builder()
            .add_partition_field(3, "name", Transform::Identity)?
            .build();
        Ok(vec![TableUpdate::AddSpec { spec }, TableUpdate::SetDefaultSpec { spec_id: -1 }])
    };
    let table = fixture.catalog.commit_metadata(&name("t"), by_id).await.unwrap().table;
    let files = vec![file(&table, "n.parquet", "n", 1, 1)];
    let change = RowsChange::OverwritePartitions { files };
    let error =
        fixture.catalog.commit_rows(&table, change, CommitOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.message().contains("another partition spec"), "{error}");
}

#[tokio::test]
async fn metadata_changes_run_again_after_a_lost_race() {
    let fixture = Fixture::new().await;
    fixture.create("t", FormatVersion::V2).await;
    // Each adds a column by the number of columns that it sees.
    let adding = with_schema(|mut fields| {
        let id = i32::try_from(fields.len() + 1).unwrap();
        let ty = Type::Primitive(PrimitiveType::Int);
        fields.push(Arc::new(NestedField::optional(id, format!("c{id}"), ty)));
        fields
    });
    let adding = Arc::new(adding);
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (catalog, adding) = (fixture.another().await, Arc::clone(&adding));
        writers.spawn(async move {
            for _ in 0..5 {
                let edit = |metadata: &TableMetadata| adding(metadata);
                catalog.commit_metadata(&name("t"), edit).await.unwrap();
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let table = fixture.load("t").await;
    assert_eq!(table.metadata().current_schema().as_struct().fields().len(), 23);
    assert_eq!(table.metadata().last_column_id(), 23);
}

#[tokio::test]
async fn rolling_back_needs_an_ancestor() {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V2).await;
    let one = fixture.append(&table, vec![file(&table, "a.parquet", "a", 1, 9)]).await;
    let two = fixture.append(&one, vec![file(&table, "b.parquet", "b", 1, 9)]).await;
    let id = |table: &crate::table::Table| table.current_snapshot().unwrap().snapshot_id();
    let back = fixture.catalog.rollback_to(&name("t"), id(&one)).await.unwrap().table;
    assert_eq!(paths(&fixture.live(&back).await), ["a.parquet"]);
    let error = fixture.catalog.rollback_to(&name("t"), id(&two)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    let error = fixture.catalog.rollback_to(&name("t"), 42).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    // Sequence numbers go on where they were.
    let three = fixture.append(&back, vec![file(&table, "c.parquet", "c", 1, 9)]).await;
    assert_eq!(three.current_snapshot().unwrap().sequence_number(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn properties_set_by_many_sessions_at_once_are_all_there() {
    let fixture = Fixture::new().await;
    fixture.create("t", FormatVersion::V2).await;
    let mut sessions = tokio::task::JoinSet::new();
    for session in 0..4 {
        let catalog = fixture.another().await;
        sessions.spawn(async move {
            for number in 0..15 {
                let key = format!("{session}-{number}");
                let edit = move |_: &TableMetadata| {
                    let updates = [(key.clone(), "set".to_owned())].into();
                    Ok(vec![TableUpdate::SetProperties { updates }])
                };
                catalog.commit_metadata(&name("t"), edit).await.unwrap();
            }
        });
    }
    while let Some(done) = sessions.join_next().await {
        done.unwrap();
    }
    let table = fixture.load("t").await;
    let set = table.metadata().properties().values().filter(|value| *value == "set").count();
    assert_eq!(set, 60);
}
