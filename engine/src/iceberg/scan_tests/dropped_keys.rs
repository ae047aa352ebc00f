//! Equality deletes by a column that the table has dropped since: its values are still found.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array};
use arrow::datatypes::{DataType, Field};
use fjord_catalog::evolve::{ColumnChange, ColumnPosition, NAME_MAPPING, change_columns};
use fjord_catalog::faults::commit_delete_files;
use fjord_catalog::spec::{
    DataContentType, DataFile, FormatVersion, Literal, PrimitiveType, Struct, TableUpdate, Type,
    UnboundPartitionSpec,
};
use fjord_catalog::table::Table;
use serde_json::json;

use super::lake::{Lake, identity, optional, stored};
use crate::error::ErrorKind;

const MAPPING: &str = r#"[{"field-id": 1, "names": ["id"]}, {"field-id": 2, "names": ["k"]}]"#;

/// `id` from 0 to 9, and `k`, which is ten times that.
fn columns(with_ids: bool) -> Vec<(Field, ArrayRef)> {
    let field = |name: &str, ty, id| match with_ids {
        true => stored(name, ty, id),
        false => Field::new(name, ty, true),
    };
    vec![
        (field("id", DataType::Int64, 1), Arc::new((0..10).collect::<Int64Array>())),
        (field("k", DataType::Int32, 2), Arc::new((0..10).map(|k| k * 10).collect::<Int32Array>())),
    ]
}

/// The rows of [`columns`], without those whose `k` is 30 or 70.
async fn deleted(lake: &Lake, with_ids: bool, properties: &[(&str, &str)]) -> Table {
    let fields = vec![optional(1, "id", PrimitiveType::Long), optional(2, "k", PrimitiveType::Int)];
    let table = lake.create_with(fields, json!([]), properties).await;
    let file = lake.file(&table, "rows.parquet", columns(with_ids)).build().unwrap();
    let table = lake.append(&table, vec![file]).await;
    let table = delete(lake, &table, &[30, 70]).await;
    check(lake, &table).await;
    table
}

async fn delete(lake: &Lake, table: &Table, keys: &[i32]) -> Table {
    let keys: ArrayRef = Arc::new(Int32Array::from(keys.to_vec()));
    let mut file = lake.file(table, "keys.parquet", vec![(stored("k", DataType::Int32, 2), keys)]);
    file.content(DataContentType::EqualityDeletes).equality_ids(Some(vec![2]));
    if !table.metadata().default_partition_spec().is_unpartitioned() {
        file.partition(Struct::from_iter([Some(Literal::int(30))]));
    }
    put(lake, table, file.build().unwrap()).await
}

async fn put(lake: &Lake, table: &Table, file: DataFile) -> Table {
    let (metastore, storage) = (lake.catalog.metastore().as_ref(), lake.catalog.storage());
    commit_delete_files(metastore, storage, table.name(), &[file]).await.unwrap()
}

async fn change(lake: &Lake, table: &Table, changes: &[ColumnChange]) -> Table {
    let edit = |metadata: &_| change_columns(metadata, changes);
    lake.catalog.commit_metadata(table.name(), edit).await.unwrap().table
}

async fn set_mapping(lake: &Lake, table: &Table, mapping: Option<&str>) -> Table {
    let update = match mapping {
        Some(mapping) => TableUpdate::SetProperties {
            updates: HashMap::from([(NAME_MAPPING.to_owned(), mapping.to_owned())]),
        },
        None => TableUpdate::RemoveProperties { removals: vec![NAME_MAPPING.to_owned()] },
    };
    let edit = |_: &_| Ok(vec![update.clone()]);
    lake.catalog.commit_metadata(table.name(), edit).await.unwrap().table
}

fn drop_k() -> ColumnChange {
    ColumnChange::Drop(vec!["k".to_owned()])
}

fn add_k() -> ColumnChange {
    ColumnChange::Add {
        path: vec!["k".to_owned()],
        ty: Type::Primitive(PrimitiveType::Int),
        required: false,
        doc: None,
        default: None,
        position: ColumnPosition::Last,
    }
}

fn rename(from: &str, to: &str) -> ColumnChange {
    ColumnChange::Rename(vec![from.to_owned()], to.to_owned())
}

async fn check(lake: &Lake, table: &Table) {
    let kept = ["0", "1", "2", "4", "5", "6", "8", "9"];
    assert_eq!(lake.rows(table, "SELECT id FROM t ORDER BY id").await, kept);
    assert_eq!(lake.rows(table, "SELECT count(*) FROM t WHERE id > 2").await, ["5"]);
}

/// Hazard: rows deleted by a column that was dropped, or whose name another column took since,
/// reappear where the column is not found in their file and taken for NULL.
#[tokio::test]
async fn rows_deleted_by_a_column_that_was_dropped_do_not_reappear() {
    let mapped = [(NAME_MAPPING, MAPPING)];
    for (with_ids, properties) in [(true, &[][..]), (false, &[]), (false, &mapped)] {
        let lake = Lake::new().await;
        let table = deleted(&lake, with_ids, properties).await;
        let table = change(&lake, &table, &[rename("k", "key")]).await;
        check(&lake, &table).await;
        let table = change(&lake, &table, &[ColumnChange::Drop(vec!["key".to_owned()])]).await;
        check(&lake, &table).await;
        if with_ids || !properties.is_empty() {
            let table = change(&lake, &table, &[add_k()]).await;
            check(&lake, &table).await;
            let table = change(&lake, &table, &[drop_k()]).await;
            check(&lake, &table).await;
        }
    }
}

/// Hazard: a name mapping that was made anew, or moved with the name to another column as Iceberg
/// Java does, knows nothing of the dropped key any more.
#[tokio::test]
async fn a_dropped_key_is_found_by_its_names_when_the_name_mapping_has_lost_it() {
    let lake = Lake::new().await;
    let table = deleted(&lake, false, &[(NAME_MAPPING, MAPPING)]).await;
    let table = change(&lake, &table, &[drop_k()]).await;
    let table = set_mapping(&lake, &table, Some(r#"[{"field-id": 1, "names": ["id"]}]"#)).await;
    check(&lake, &table).await;
    let table = change(&lake, &table, &[add_k()]).await;
    let moved = r#"[{"field-id": 1, "names": ["id"]}, {"field-id": 3, "names": ["k"]}]"#;
    let table = set_mapping(&lake, &table, Some(moved)).await;
    check(&lake, &table).await;
    assert_eq!(lake.rows(&table, "SELECT sum(k) FROM t").await, ["350"], "as the mapping says");
    // Without a mapping nobody can say what `k` in the file is.
    let table = set_mapping(&lake, &table, None).await;
    assert_eq!(lake.error(&table, "SELECT id FROM t").await.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_name_that_two_columns_had_before_the_deletes_is_not_guessed_at() {
    let lake = Lake::new().await;
    let table = deleted(&lake, false, &[(NAME_MAPPING, MAPPING)]).await;
    // The key has had the name `id` too, while the column called so now was `first`.
    let renames = [rename("id", "first"), rename("k", "id"), rename("id", "k")];
    let mut table = table;
    for each in &renames {
        table = change(&lake, &table, std::slice::from_ref(each)).await;
    }
    let table = change(&lake, &table, &[drop_k(), rename("first", "id")]).await;
    let only = r#"[{"field-id": 1, "names": ["id"]}]"#;
    let table = set_mapping(&lake, &table, Some(only)).await;
    let error = lake.error(&table, "SELECT id FROM t").await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("field 2"), "{error}");
}

/// Hazard: a dropped key that data files omit, because their partition fixes it, is taken for NULL.
#[tokio::test]
async fn a_dropped_key_that_the_partition_fixes_is_taken_from_there() {
    let lake = Lake::new().await;
    let fields = vec![optional(1, "id", PrimitiveType::Long), optional(2, "k", PrimitiveType::Int)];
    let table = lake.create(fields, identity(2, "k")).await;
    let mut files = Vec::new();
    for (name, id, k) in [("a", 1, 30), ("b", 2, 40)] {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![id]));
        let columns = vec![(stored("id", DataType::Int64, 1), ids)];
        let mut file = lake.file(&table, name, columns);
        files.push(file.partition(Struct::from_iter([Some(Literal::int(k))])).build().unwrap());
    }
    let table = lake.append(&table, files).await;
    let table = delete(&lake, &table, &[30, 40]).await;
    assert_eq!(lake.rows(&table, "SELECT id FROM t").await, ["2"], "only of its partition");
    let unpartition = |_: &_| {
        let spec = UnboundPartitionSpec::builder().build();
        Ok(vec![TableUpdate::AddSpec { spec }, TableUpdate::SetDefaultSpec { spec_id: -1 }])
    };
    let table = lake.catalog.commit_metadata(table.name(), unpartition).await.unwrap().table;
    let table = change(&lake, &table, &[drop_k()]).await;
    assert_eq!(lake.rows(&table, "SELECT id FROM t").await, ["2"]);
}

/// Hazard: a dropped key that was added with a default is taken for NULL in the files before it.
#[tokio::test]
async fn a_dropped_key_that_had_a_default_has_it_in_files_from_before() {
    let lake = Lake::new().await;
    let table = lake.create(vec![optional(1, "id", PrimitiveType::Long)], json!([])).await;
    let upgrade =
        |_: &_| Ok(vec![TableUpdate::UpgradeFormatVersion { format_version: FormatVersion::V3 }]);
    let table = lake.catalog.commit_metadata(table.name(), upgrade).await.unwrap().table;
    let rows = |name, with_k| {
        let columns = columns(true).into_iter().take(if with_k { 2 } else { 1 }).collect();
        lake.file(&table, name, columns).build().unwrap()
    };
    let table = lake.append(&table, vec![rows("old.parquet", false)]).await;
    let add = ColumnChange::Add {
        path: vec!["k".to_owned()],
        ty: Type::Primitive(PrimitiveType::Int),
        required: false,
        doc: None,
        default: Some(Literal::int(30)),
        position: ColumnPosition::Last,
    };
    let table = change(&lake, &table, &[add]).await;
    let table = lake.append(&table, vec![rows("new.parquet", true)]).await;
    let table = delete(&lake, &table, &[30]).await;
    assert_eq!(lake.rows(&table, "SELECT count(*) FROM t").await, ["9"]);
    let table = change(&lake, &table, &[drop_k()]).await;
    assert_eq!(lake.rows(&table, "SELECT count(*) FROM t").await, ["9"]);
}
