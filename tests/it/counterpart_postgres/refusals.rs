//! A database that says no, is locked, or is set up to lie: clear errors, and no commit that does not last.

use std::time::{Duration, Instant};

use fjord_catalog::ErrorKind;
use fjord_catalog::embedded::{Embedded, EmbeddedDatabase, PostgresOptions};
use fjord_catalog::metastore::Metastore;
use fjord_catalog::name::Namespace;
use fjord_catalog::secret::Secret;

use super::world::{World, number};

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_a_missing_database_are_told_without_secrets() {
    let Some(world) = World::new() else { return };
    let mut options = world.database.options(world.database.port(), &world.warehouse()).unwrap();
    let url = world.database.url(world.database.port());
    let secret = Some(Secret::new("canary"));
    options.database = EmbeddedDatabase::Postgres(PostgresOptions::try_new(&url, secret).unwrap());
    let error = Embedded::open(options.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
    assert!(error.to_string().contains("refuses the user or the password"), "{error}");
    assert!(!format!("{error:?} {options:?}").contains("canary"), "{error:?}");

    let url = url.replace(world.database.name(), "no_such_database");
    let secret = Some(world.database.password());
    options.database = EmbeddedDatabase::Postgres(PostgresOptions::try_new(&url, secret).unwrap());
    let error = Embedded::open(options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage, "{error:?}");
    assert!(error.to_string().contains("CREATE DATABASE"), "{error}");
}

/// Hazard: the answer to the statement comes before the transaction is certain: only the end of COMMIT is.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_fails_as_late_as_commit_is_no_success() {
    let Some(world) = World::new() else { return };
    let lake = world.lake().await;
    lake.run("CREATE TABLE t (i bigint)").await.unwrap();
    let trigger = "
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'not today' USING ERRCODE = '23514'; END $$;
        CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON iceberg_tables
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()";
    world.database.sql(trigger).unwrap();
    let before = files(&world);
    let error = lake.run("INSERT INTO t VALUES (1)").await.unwrap_err();
    assert!(error.to_string().contains("not today"), "{error}");
    world.database.sql("DROP TRIGGER late ON iceberg_tables").unwrap();
    assert_eq!(number(&lake, "SELECT count(*) FROM t").await, 0);
    // The answer was definite: no metadata stays behind. (Data files go when the refusal is one of
    // the statement's own making.)
    assert_eq!(files(&world), before);
    lake.run("INSERT INTO t VALUES (1)").await.unwrap();
}

fn files(world: &World) -> Vec<String> {
    let all =
        std::process::Command::new("find").arg(world.path().join("warehouse")).output().unwrap();
    let mut all: Vec<String> =
        String::from_utf8_lossy(&all.stdout).lines().map(str::to_owned).collect();
    all.retain(|path| path.ends_with(".json") || path.ends_with(".avro"));
    all.sort();
    all
}

/// Hazard: with `synchronous_commit = off` an acknowledged commit does not survive a crash.
#[tokio::test(flavor = "multi_thread")]
async fn commits_last_even_where_the_database_is_set_to_be_careless() {
    let Some(world) = World::new() else { return };
    let set = format!("ALTER DATABASE {} SET synchronous_commit = off", world.database.name());
    world.database.sql(&set).unwrap();
    assert_eq!(world.database.sql("SHOW synchronous_commit").unwrap(), "off");
    // A trigger sees what our sessions have.
    let lake = world.lake().await;
    lake.run("CREATE TABLE t (i bigint)").await.unwrap();
    world
        .database
        .sql("CREATE TABLE seen (setting text);
              CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NEW; END $$;
              CREATE TRIGGER note AFTER UPDATE ON iceberg_tables FOR EACH ROW EXECUTE FUNCTION note()")
        .unwrap();
    lake.run("INSERT INTO t VALUES (1)").await.unwrap();
    assert_eq!(world.database.sql("SELECT DISTINCT setting FROM seen").unwrap(), "on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_waited_out_and_one_that_stays_is_unavailable() {
    let Some(world) = World::new() else { return };
    let lake = world.lake().await;
    lake.run("CREATE TABLE t (i bigint)").await.unwrap();
    let lock = "BEGIN; LOCK TABLE iceberg_tables IN EXCLUSIVE MODE; SELECT pg_sleep(2); COMMIT";
    let mut holder = world.database.start(lock).unwrap();
    until_locked(&world);
    let begun = Instant::now();
    lake.run("INSERT INTO t VALUES (1)").await.unwrap();
    assert!(begun.elapsed() > Duration::from_millis(500), "{:?}", begun.elapsed());
    assert!(holder.wait().unwrap().success());

    let mut options = world.database.options(world.database.port(), &world.warehouse()).unwrap();
    options.busy_timeout = Duration::from_millis(300);
    let impatient = Embedded::open(options).await.unwrap();
    let mut holder = world.database.start(&lock.replace("(2)", "(3)")).unwrap();
    until_locked(&world);
    let other = Namespace::new(["other"]).unwrap();
    let error = impatient.create_namespace(&other, Default::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.to_string().contains("is locked by another process"), "{error}");
    assert!(holder.wait().unwrap().success());
    impatient.create_namespace(&other, Default::default()).await.unwrap();
}

fn until_locked(world: &World) {
    let held = "SELECT count(*) FROM pg_locks WHERE mode = 'ExclusiveLock' AND locktype = 'relation' AND granted";
    let begun = Instant::now();
    while world.database.sql(held).unwrap() == "0" {
        assert!(begun.elapsed() < Duration::from_secs(10), "nobody took the lock");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_reads_and_is_told_what_it_may_not() {
    let Some(world) = World::new() else { return };
    let lake = world.lake().await;
    lake.run("CREATE TABLE t (i bigint); INSERT INTO t VALUES (1)").await.unwrap();
    let set =
        format!("ALTER DATABASE {} SET default_transaction_read_only = on", world.database.name());
    world.database.sql(&set).unwrap();
    let reader = world.lake().await;
    assert_eq!(number(&reader, "SELECT count(*) FROM t").await, 1);
    for sql in ["INSERT INTO t VALUES (2)", "CREATE SCHEMA s", "DROP TABLE t"] {
        let error = reader.run(sql).await.unwrap_err();
        assert!(error.to_string().contains("may only be read"), "{sql}: {error}");
    }
}

/// PostgreSQL enforces the lengths of PyIceberg's layout, which SQLite does not.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_layout_has_no_room_for_is_refused_by_name() {
    let Some(world) = World::new() else { return };
    let lake = world.lake().await;
    let long = "x".repeat(1_001);
    let error = lake.run(&format!("CREATE SCHEMA s COMMENT '{long}'")).await.unwrap_err();
    assert!(error.to_string().contains("has no room for so long"), "{error}");
    let error = lake
        .run(&format!(
            "CREATE TABLE t (i bigint) LOCATION 'file://{}/{long}'",
            world.path().display()
        ))
        .await
        .unwrap_err();
    assert!(!error.to_string().is_empty());
    lake.run("CREATE SCHEMA s").await.unwrap();
}
