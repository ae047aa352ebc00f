//! Backups under writers, and restoring into the same database, an empty one, and another kind.

use std::sync::Arc;

use fjord_catalog::ErrorKind;
use fjord_catalog::embedded::{Embedded, EmbeddedOptions, RestoreMode};
use fjord_catalog::metastore::Metastore;
use fjord_tests::lake::{Lake, LakeOptions};

use super::world::{World, number};
use crate::whole::{assert_whole, load};

async fn lake_on(world: &World, folder: &str, metastore: Arc<dyn Metastore>) -> Lake {
    let path = world.path().join(folder);
    std::fs::create_dir_all(&path).unwrap();
    Lake::open(&path, LakeOptions::default(), |_| metastore).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_writers_is_one_moment_and_moves_to_the_other_kind_and_back() {
    let Some(world) = World::new() else { return };
    let lake = world.lake().await;
    lake.run("CREATE TABLE a (n bigint)").await.unwrap();
    lake.run("CREATE TABLE b (n bigint)").await.unwrap();
    lake.run("CREATE VIEW v AS SELECT n FROM a").await.unwrap();
    lake.run("CREATE SCHEMA only COMMENT 'größe'").await.unwrap();
    let embedded = world.open().await;
    // `b` follows `a`: at every moment it has as many rows, or one less.
    let write = async {
        for n in 0..40 {
            lake.run(&format!("INSERT INTO a VALUES ({n})")).await.unwrap();
            lake.run(&format!("INSERT INTO b VALUES ({n})")).await.unwrap();
        }
    };
    let back_up = async {
        for n in 0..8 {
            let file = world.path().join(format!("backup-{n}.db"));
            let contents = embedded.back_up(&file).await.unwrap();
            assert_eq!((contents.tables, contents.views), (2, 1));
            tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        }
    };
    tokio::join!(write, back_up);

    let mut seen = std::collections::BTreeSet::new();
    for n in 0..8 {
        let file = world.path().join(format!("backup-{n}.db"));
        // A backup opens as a catalog; here it is restored into a new one.
        let sqlite = world.path().join(format!("restored-{n}.db"));
        let sqlite = Embedded::open(EmbeddedOptions::new(sqlite, world.warehouse())).await.unwrap();
        sqlite.restore(&file, "iceberg", RestoreMode::IntoEmpty).await.unwrap();
        let there = lake_on(&world, &format!("lake-{n}"), Arc::new(sqlite)).await;
        let a = number(&there, "SELECT count(*) FROM v").await;
        let b = number(&there, "SELECT count(*) FROM b").await;
        assert!(a == b || a == b + 1, "{a} {b}");
        assert_whole(&there, &load(&there, "a").await.unwrap()).await;
        seen.insert(a);
    }
    assert!(seen.len() > 2, "nobody wrote meanwhile: {seen:?}");

    // Back in time on PostgreSQL itself, while its lake is open.
    let file = world.path().join("backup-0.db");
    let error = embedded.restore(&file, "iceberg", RestoreMode::IntoEmpty).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("is not empty: it holds \"default.a\""), "{error}");
    assert_eq!(number(&lake, "SELECT count(*) FROM a").await, 40);
    embedded.restore(&file, "iceberg", RestoreMode::Replace).await.unwrap();
    assert_eq!(number(&lake, "SELECT count(*) FROM a").await, *seen.first().unwrap());
    lake.run("INSERT INTO a VALUES (99)").await.unwrap();
    assert_whole(&lake, &load(&lake, "a").await.unwrap()).await;
    let comments =
        "SELECT property_value FROM iceberg_namespace_properties WHERE property_key = 'comment'";
    assert_eq!(world.database.sql(comments).unwrap(), "größe");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_takes_no_other_files_place_and_holds_what_it_is_asked_for() {
    let Some(world) = World::new() else { return };
    let embedded = world.open().await;
    let file = world.path().join("backup.db");
    std::fs::write(&file, "precious").unwrap();
    assert_eq!(embedded.back_up(&file).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    let error = embedded.restore(&file, "iceberg", RestoreMode::Replace).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");

    let lake = world.lake().await;
    lake.run("CREATE TABLE t AS SELECT 1 AS i").await.unwrap();
    let file = world.path().join("other.db");
    embedded.back_up(&file).await.unwrap();
    let error = embedded.restore(&file, "sales", RestoreMode::Replace).await.unwrap_err();
    assert!(
        error.to_string().contains("holds no catalog \"sales\"; it holds \"iceberg\""),
        "{error}"
    );
    let missing = world.path().join("missing.db");
    let error = embedded.restore(&missing, "iceberg", RestoreMode::Replace).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage, "{error:?}");
    assert!(!missing.exists());
    assert_eq!(number(&lake, "SELECT count(*) FROM t").await, 1);
    let left: Vec<_> = std::fs::read_dir(world.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("partial") || name.contains("other.db-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
