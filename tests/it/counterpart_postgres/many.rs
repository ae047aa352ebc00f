//! 10,000 tables in 100 schemas: names are listed without loading what they name.

use std::time::{Duration, Instant};

use fjord_tests::lake::{Lake, LakeOptions};

use super::world::{World, number};
use crate::process::measured;

const LISTED_MAX: Duration = Duration::from_secs(1);

/// Rows of the layout; their metadata does not exist, so that whoever loads it fails.
const FILL: &str = "
    INSERT INTO iceberg_namespace_properties
        SELECT 'iceberg', 's' || s, 'exists', 'true' FROM generate_series(0, 99) AS s;
    INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, metadata_location, iceberg_type)
        SELECT 'iceberg', 's' || s, 'table_' || t, 's3://nowhere/' || s || '/' || t || '.metadata.json', 'TABLE'
        FROM generate_series(0, 99) AS s, generate_series(0, 99) AS t";

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_tables_are_listed_within_a_second() {
    let Some(world) = World::new() else { return };
    let lake = world.lake().await;
    world.database.sql(FILL).unwrap();
    check("postgres", &lake).await;
}

/// The same on SQLite, by way of a backup.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_tables_on_sqlite_are_listed_within_a_second() {
    let Some(world) = World::new() else { return };
    let lake = world.lake().await;
    world.database.sql(FILL).unwrap();
    drop(lake);
    let path = world.path().join("sqlite");
    std::fs::create_dir(&path).unwrap();
    let contents = world.open().await.back_up(&path.join("catalog.db")).await.unwrap();
    assert_eq!(contents.tables, 10_000);
    let lake = Lake::open(&path, LakeOptions::default(), |m| m).await.unwrap();
    check("sqlite", &lake).await;
}

async fn check(kind: &str, lake: &Lake) {
    for (sql, rows) in [
        ("SHOW SCHEMAS", 102),
        ("SHOW TABLES FROM s42", 100),
        (
            "SELECT table_schema, table_name, table_type FROM information_schema.tables WHERE table_schema LIKE 's%'",
            10_000,
        ),
        (
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 's42' AND table_name = 'table_7'",
            1,
        ),
    ] {
        let mut times = Vec::new();
        for _ in 0..4 {
            let begun = Instant::now();
            let found: usize = lake.run(sql).await.unwrap().iter().map(|b| b.num_rows()).sum();
            times.push(begun.elapsed());
            assert_eq!(found, rows, "{sql}");
        }
        let warm = times[1..].iter().min().unwrap();
        measured(&format!("10,000 tables, {kind}: cold {:?}, warm {warm:?}: {sql}", times[0]));
        assert!(*warm < LISTED_MAX, "{sql}: {times:?}");
    }
    assert_eq!(
        number(lake, "SELECT count(*) FROM information_schema.tables WHERE table_schema LIKE 's%'")
            .await,
        10_000
    );
}
