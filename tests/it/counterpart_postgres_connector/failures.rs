//! What becomes of a statement when the database, the network or the client goes away.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, collect};
use fjord_connectors::connector::{RemoteName, RemoteTable};
use futures::StreamExt;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::wire::{Commit, Wire};
use super::world::{Remote, public, rows, session};

const ROWS: usize = 60_000;

fn numbers() -> String {
    format!(
        "CREATE TABLE numbers AS SELECT i, i * 2 AS twice, 'text ' || i AS t \
         FROM generate_series(1, {ROWS}) i; ANALYZE"
    )
}

/// Hazard: a connection that is reset in the middle of an answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_reset_in_the_middle_is_an_error_and_never_a_short_answer() {
    let Some(remote) = Remote::new() else { return };
    remote.sql(&numbers());
    let wire = Wire::before(remote.database.port()).await;
    let (mut cut, mut whole) = (0, 0);
    for bytes in (1..40).map(|n| n * 50_000).chain([1, 100, 2000, usize::MAX]) {
        let connector = remote.open_at(wire.port, &[("connections_max", "2")]).unwrap();
        let ctx = session(connector.as_ref(), &["numbers"]).await;
        // The description came over the same wire; the limit holds for connections, not for calls.
        wire.bytes_max.store(bytes, Ordering::SeqCst);
        match timeout(Duration::from_secs(30), rows(&ctx, "SELECT i, twice, t FROM numbers"))
            .await
            .unwrap()
        {
            Ok(rows) => {
                assert_eq!(rows.len(), ROWS, "cut after {bytes}");
                whole += 1;
            }
            Err(e) => {
                assert!(e.to_string().contains("sales"), "{e}");
                cut += 1;
            }
        }
        wire.bytes_max.store(usize::MAX, Ordering::SeqCst);
        connector.close().await;
    }
    assert!(cut > 20 && whole > 0, "{cut} were cut, {whole} were not");
}

/// Hazard: what the server says in the middle of a COPY takes rows, or the end, away.
#[tokio::test(flavor = "multi_thread")]
async fn notices_between_rows_take_none_of_them_away() {
    let Some(remote) = Remote::new() else { return };
    remote.sql(
        "CREATE FUNCTION noisy(n int, size int) RETURNS int LANGUAGE plpgsql AS
             $$ BEGIN RAISE NOTICE '%', repeat('x', size); RETURN n; END $$;
         CREATE VIEW short AS SELECT noisy(n, 10) AS n FROM generate_series(1, 20000) n;
         CREATE VIEW long AS SELECT noisy(n, 3000) AS n FROM generate_series(1, 20000) n",
    );
    for view in ["short", "long"] {
        for mode in ["disable", "prefer"] {
            let port = remote.database.port();
            let connector = remote.open_at(port, &[("sslmode", mode)]).unwrap();
            let ctx = session(connector.as_ref(), &[view]).await;
            for _ in 0..5 {
                let sql = format!("SELECT n FROM {view}");
                let rows = timeout(Duration::from_secs(60), rows(&ctx, &sql)).await.unwrap();
                let rows = rows.unwrap();
                let mut found: Vec<usize> = rows.iter().map(|row| row.parse().unwrap()).collect();
                found.sort_unstable();
                assert!(found.into_iter().eq(1..=20_000), "{view}, {mode}: {}", rows.len());
            }
            connector.close().await;
        }
    }
}

/// Hazard: what a view's function or a trigger sets stays on the connection for whoever is next.
#[tokio::test(flavor = "multi_thread")]
async fn what_functions_set_or_lock_ends_with_their_statement() {
    let Some(remote) = Remote::new() else { return };
    let setting = |name: &str, value: &str| {
        format!(
            "CREATE FUNCTION set_{name}() RETURNS int LANGUAGE plpgsql AS
                 $$ BEGIN PERFORM set_config('{name}', '{value}', false); RETURN 1; END $$;
             CREATE VIEW sets_{name} AS SELECT set_{name}() AS n;
             CREATE FUNCTION on_{name}() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN PERFORM set_config('{name}', '{value}', false); RETURN NEW; END $$;
             CREATE TABLE written_{name} (i bigint);
             CREATE TRIGGER t BEFORE INSERT ON written_{name} FOR EACH ROW EXECUTE FUNCTION on_{name}();
             CREATE VIEW now_{name} AS SELECT current_setting('{name}') AS v;"
        )
    };
    let settings = [
        ("search_path", "public, pg_catalog"),
        ("statement_timeout", "50"),
        ("application_name", "another"),
        ("standard_conforming_strings", "off"),
        ("role", "pg_monitor"),
    ];
    for (name, value) in settings {
        remote.sql(&setting(name, value));
    }
    remote.sql(&setting("client_encoding", "LATIN1"));
    remote.sql(
        "CREATE FUNCTION locks() RETURNS int LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_advisory_lock(4242); RETURN 1; END $$;
         CREATE VIEW locked AS SELECT locks() AS n;
         CREATE TABLE texts AS SELECT 'ä€' AS t",
    );
    // One connection for all, so that each statement has that of the one before.
    let port = remote.database.port();
    let connector = remote.open_at(port, &[("connections_max", "1")]).unwrap();
    let insert = |table: String| {
        let connector = Arc::clone(&connector);
        async move {
            let source = session(connector.as_ref(), &[]).await;
            let input = source.sql("SELECT 1::bigint AS i").await.unwrap();
            let input = input.create_physical_plan().await.unwrap();
            let plan = connector.insert(&public(&table), &["i".to_owned()], input).await.unwrap();
            collect(plan, Arc::new(TaskContext::default())).await
        }
    };
    for (name, _) in settings {
        let views = [format!("sets_{name}"), format!("now_{name}")];
        let ctx = session(connector.as_ref(), &views.each_ref().map(String::as_str)).await;
        let now = format!("SELECT v FROM now_{name}");
        let before = rows(&ctx, &now).await.unwrap();
        assert_eq!(rows(&ctx, &format!("SELECT n FROM sets_{name}")).await.unwrap(), ["1"]);
        assert_eq!(rows(&ctx, &now).await.unwrap(), before, "{name}, by a view");
        insert(format!("written_{name}")).await.unwrap();
        assert_eq!(rows(&ctx, &now).await.unwrap(), before, "{name}, by a trigger");
    }
    let ctx = session(connector.as_ref(), &["sets_client_encoding", "locked", "texts"]).await;
    assert_eq!(rows(&ctx, "SELECT n FROM locked").await.unwrap(), ["1"]);
    assert_eq!(remote.sql("SELECT pg_try_advisory_lock(4242)"), "t");
    // Rows that came in another encoding are none, and none of them is committed.
    let error = rows(&ctx, "SELECT n FROM sets_client_encoding").await.unwrap_err().to_string();
    assert!(error.contains("client_encoding to \"LATIN1\""), "{error}");
    assert_eq!(rows(&ctx, "SELECT t FROM texts").await.unwrap(), ["ä€"]);
    let error = insert("written_client_encoding".to_owned()).await.unwrap_err().to_string();
    assert!(error.contains("client_encoding to \"LATIN1\""), "{error}");
    assert_eq!(remote.sql("SELECT count(*) FROM written_client_encoding"), "0");
    assert_eq!(rows(&ctx, "SELECT t FROM texts").await.unwrap(), ["ä€"]);
    connector.close().await;
}

/// Hazard: the answer to COMMIT is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_looked_for() {
    let Some(remote) = Remote::new() else { return };
    remote.sql("CREATE TABLE target (i bigint)");
    let wire = Wire::before(remote.database.port()).await;
    // What passes has to be read.
    let connector = remote.open_at(wire.port, &[("sslmode", "disable")]).unwrap();
    let source = session(connector.as_ref(), &[]).await;
    let name = public("target");
    let plan = || async {
        let input = source.sql("SELECT 7::bigint AS i").await.unwrap();
        let input = input.create_physical_plan().await.unwrap();
        connector.insert(&name, &["i".to_owned()], input).await.unwrap()
    };
    let context = || Arc::new(TaskContext::default());
    wire.next_commit(Commit::LosesAnswer);
    let done = collect(plan().await, context()).await.unwrap();
    assert_eq!(super::world::shown(&done), ["1"]);
    assert_eq!(remote.sql("SELECT count(*) FROM target"), "1");
    wire.next_commit(Commit::NeverArrives);
    let error = collect(plan().await, context()).await.unwrap_err().to_string();
    assert!(error.contains("COMMIT"), "{error}");
    assert_eq!(remote.sql("SELECT count(*) FROM target"), "1");
    // DDL goes the same way.
    let schema = Arc::clone(source.sql("SELECT 1 AS a").await.unwrap().schema().inner());
    let table = RemoteTable { name: public("made"), schema, if_not_exists: false };
    wire.next_commit(Commit::LosesAnswer);
    connector.create_table(&table).await.unwrap();
    assert!(connector.table(&public("made")).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_down_says_so_within_ten_seconds() {
    let Some(remote) = Remote::new() else { return };
    // Nobody listens; somebody listens and says nothing.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = free.local_addr().unwrap().port();
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    for port in [closed, silent] {
        let connector = remote.open_at(port, &[]).unwrap();
        let began = Instant::now();
        let mut all = JoinSet::new();
        for _ in 0..50 {
            let connector = Arc::clone(&connector);
            all.spawn(async move { connector.table(&public("numbers")).await });
        }
        while let Some(done) = all.join_next().await {
            let error = done.unwrap().err().unwrap().to_string();
            assert!(error.contains("cannot connect") && error.contains("sales"), "{error}");
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused_and_not_shown() {
    let Some(remote) = Remote::new() else { return };
    let url = remote.url(remote.database.port()).replace("fjord@", "somebody@");
    let connector = remote.open(&[("url", &url)]);
    let error = connector.check().await.unwrap_err().to_string();
    assert!(error.contains("authentication") && error.contains("somebody"), "{error}");
    assert!(!error.contains(remote.database.password().expose()), "{error}");
    assert!(!format!("{connector:?}").contains(remote.database.password().expose()));
}

async fn begin(plan: &Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) {
    let mut stream = plan.execute(0, context).unwrap();
    let _first = timeout(Duration::from_millis(20), stream.next()).await;
}

/// Hazard: statements that are dropped, by the thousand.
#[tokio::test(flavor = "multi_thread")]
async fn dropped_statements_leave_nothing_behind() {
    let Some(remote) = Remote::new() else { return };
    remote.sql(&format!(
        "{}; CREATE VIEW slow AS SELECT i, pg_sleep(1) IS NULL AS s FROM generate_series(1, 1000) i;
         CREATE VIEW steady AS SELECT a.i, b.t FROM numbers a, numbers b",
        numbers()
    ));
    let connector = remote.open(&[("connections_max", "6")]);
    let ctx = session(connector.as_ref(), &["slow", "steady", "numbers"]).await;
    let mut all = JoinSet::new();
    let mut most = 0;
    for round in 0..2000 {
        let sql =
            ["SELECT * FROM slow", "SELECT * FROM steady", "SELECT * FROM numbers"][round % 3];
        let ctx = ctx.clone();
        all.spawn(async move {
            let plan = ctx.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
            begin(&plan, ctx.task_ctx()).await;
        });
        if all.len() >= 40 {
            all.join_next().await.unwrap().unwrap();
        }
        if round % 100 == 0 {
            most = most.max(remote.connections());
        }
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
    // What was cancelled is at its end within seconds.
    let began = Instant::now();
    while !remote.activity().is_empty() && began.elapsed() < Duration::from_secs(10) {
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(remote.activity(), Vec::<String>::new());
    assert!(most <= 6, "{most} connections");
    // And the catalog works.
    assert_eq!(rows(&ctx, "SELECT count(*) FROM numbers").await.unwrap(), [ROWS.to_string()]);
    connector.close().await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(remote.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_queries_share_the_budget() {
    let Some(remote) = Remote::new() else { return };
    remote.sql(&numbers());
    let connector = remote.open(&[("connections_max", "5")]);
    let ctx = session(connector.as_ref(), &["numbers"]).await;
    let mut all = JoinSet::new();
    for n in 0..200 {
        let ctx = ctx.clone();
        all.spawn(async move {
            let sql = format!("SELECT count(*), sum(a.i) FROM numbers a JOIN (SELECT avg(i) AS x FROM numbers) b ON a.i < b.x + {n}");
            rows(&ctx, &sql).await.unwrap()
        });
    }
    let mut most = 0;
    while let Some(done) = all.join_next().await {
        assert_eq!(done.unwrap().len(), 1);
        most = most.max(remote.connections());
    }
    assert!(most <= 5, "{most} connections");
    assert_eq!(remote.activity(), Vec::<String>::new());
}

/// Hazard: connections of one scan that see different states of a table.
#[tokio::test(flavor = "multi_thread")]
async fn a_parallel_scan_sees_one_snapshot() {
    let Some(remote) = Remote::new() else { return };
    remote.sql(
        "CREATE TABLE moving (i int, half int, pad text) PARTITION BY RANGE (i);
         CREATE TABLE moving_1 PARTITION OF moving FOR VALUES FROM (0) TO (100000);
         CREATE TABLE moving_2 PARTITION OF moving FOR VALUES FROM (100000) TO (1000000);
         INSERT INTO moving SELECT i, 0, repeat('x', 100) FROM generate_series(0, 199999) i;
         CREATE TABLE wide AS SELECT * FROM moving; ANALYZE",
    );
    let connector = remote.open(&[("metadata_ttl_seconds", "0")]);
    let mut writer = remote
        .database
        .start(
            "DO $$ BEGIN FOR n IN 1..20 LOOP
               UPDATE moving SET half = n; UPDATE wide SET half = n; COMMIT;
             END LOOP; END $$",
        )
        .unwrap();
    let mut states = std::collections::BTreeSet::new();
    while writer.try_wait().unwrap().is_none() {
        for table in ["moving", "wide"] {
            let ctx = session(connector.as_ref(), &[table]).await;
            // Not pushed down: an average is computed here.
            let sql = format!("SELECT count(*), min(half), max(half), avg(i) FROM {table}");
            let asked = super::world::remote_sql(&ctx, &sql).await;
            assert!(!asked[0].contains("count"), "{asked:?}");
            let found = rows(&ctx, &sql).await.unwrap();
            let cells: Vec<&str> = found[0].split('|').collect();
            assert_eq!((cells[0], cells[1]), ("200000", cells[2]), "{table}");
            states.insert(cells[1].to_owned());
        }
    }
    assert!(states.len() > 1, "nothing moved");
}

/// Hazard: scans of one statement that see different states of a database.
#[tokio::test(flavor = "multi_thread")]
async fn scans_of_one_statement_see_one_state() {
    let Some(remote) = Remote::new() else { return };
    remote.sql(
        "CREATE TABLE wide AS SELECT i, 0 AS half, repeat('x', 100) AS pad FROM generate_series(1, 200000) i;
         CREATE TABLE small AS SELECT i, 0 AS half FROM generate_series(1, 100) i; ANALYZE",
    );
    let mut writer = remote
        .database
        .start(
            "DO $$ BEGIN FOR n IN 1..60 LOOP
               UPDATE small SET half = n; UPDATE wide SET half = n WHERE i % 50 = 0; COMMIT;
             END LOOP; END $$",
        )
        .unwrap();
    // With many connections, and with the single one that scans may take in their turn.
    let many = remote.open(&[]);
    let single = remote.open(&[("connections_max", "2")]);
    let part = |table: &str| {
        format!(
            "SELECT '{table}' AS t, min(half) AS a, max(half) AS b, avg(i) FROM {table} WHERE i % 50 = 0"
        )
    };
    let sql = ["wide", "small", "wide", "small"].map(part).join(" UNION ALL ");
    let mut states = std::collections::BTreeSet::new();
    while writer.try_wait().unwrap().is_none() {
        for connector in [&many, &single] {
            let ctx = session(connector.as_ref(), &["wide", "small"]).await;
            assert_eq!(super::world::remote_sql(&ctx, &sql).await.len(), 4);
            let found = rows(&ctx, &sql).await.unwrap();
            assert_eq!(found.len(), 4, "{found:?}");
            let seen: std::collections::BTreeSet<_> = found
                .iter()
                .flat_map(|row| row.split('|').skip(1).take(2).map(str::to_owned))
                .collect();
            assert_eq!(seen.len(), 1, "{found:?}");
            states.extend(seen);
        }
    }
    assert!(states.len() > 1, "nothing moved");
    assert_eq!(remote.activity(), Vec::<String>::new());
}

/// Hazard: questions about names that wait behind those who read.
#[tokio::test(flavor = "multi_thread")]
async fn names_are_found_while_all_other_connections_read() {
    let Some(remote) = Remote::new() else { return };
    remote.sql(
        "CREATE VIEW slow AS SELECT i, pg_sleep(1) IS NULL AS s FROM generate_series(1, 1000) i;
         CREATE TABLE other AS SELECT 1 AS i",
    );
    let connector = remote.open(&[("connections_max", "3"), ("metadata_ttl_seconds", "0")]);
    let ctx = session(connector.as_ref(), &["slow"]).await;
    // More than are let in, each of which nobody goes on reading.
    let mut reading = Vec::new();
    for _ in 0..6 {
        let plan = ctx.sql("SELECT * FROM slow").await.unwrap();
        let plan = plan.create_physical_plan().await.unwrap();
        let mut stream = plan.execute(0, ctx.task_ctx()).unwrap();
        assert!(timeout(Duration::from_millis(200), stream.next()).await.is_err());
        reading.push(stream);
    }
    assert_eq!(remote.activity().len(), 2, "the others wait for their turn");
    for _ in 0..20 {
        let asked = async {
            assert_eq!(connector.schemas().await.unwrap(), ["public"]);
            assert_eq!(connector.relations("public").await.unwrap().len(), 2);
            assert!(connector.table(&public("other")).await.unwrap().is_some());
        };
        timeout(Duration::from_secs(5), asked).await.unwrap();
    }
    assert!(remote.connections() <= 3);
}

/// A scan that has joined and is never read leaves nothing open.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_never_read_keeps_no_state_alive() {
    let Some(remote) = Remote::new() else { return };
    remote.sql(&format!("{}; CREATE TABLE other AS SELECT 1 AS i", numbers()));
    let connector = remote.open(&[]);
    let ctx = session(connector.as_ref(), &["numbers", "other"]).await;
    let context = ctx.task_ctx();
    let plan = |sql: &'static str| async {
        ctx.sql(sql).await.unwrap().create_physical_plan().await.unwrap()
    };
    let never = plan("SELECT i FROM other").await.execute(0, Arc::clone(&context)).unwrap();
    let read = collect(plan("SELECT i FROM numbers").await, Arc::clone(&context)).await.unwrap();
    assert_eq!(read.iter().map(|batch| batch.num_rows()).sum::<usize>(), ROWS);
    assert_eq!(remote.activity().len(), 1, "the state waits for whoever has joined");
    drop(never);
    let began = Instant::now();
    while !remote.activity().is_empty() && began.elapsed() < Duration::from_secs(5) {
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(remote.activity(), Vec::<String>::new());
}

/// Hazard: a table that changes while what is known of it is cached.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_changed_is_said_once_and_looked_up_again() {
    let Some(remote) = Remote::new() else { return };
    remote.sql("CREATE TABLE changing (a int, b bigint, c numeric(8, 2))");
    let connector = remote.open(&[("metadata_ttl_seconds", "3600")]);
    let read = || async {
        let ctx = session(connector.as_ref(), &["changing"]).await;
        rows(&ctx, "SELECT * FROM changing").await.map_err(|e| e.to_string())
    };
    for change in [
        "ALTER TABLE changing RENAME COLUMN a TO renamed",
        "ALTER TABLE changing DROP COLUMN renamed",
        "ALTER TABLE changing ALTER b TYPE double precision",
        "ALTER TABLE changing RENAME TO gone; CREATE TABLE changing (x text)",
    ] {
        read().await.unwrap();
        remote.sql(change);
        let error = read().await.unwrap_err();
        assert!(error.contains("sales") && error.contains("run the statement again"), "{error}");
        read().await.unwrap();
    }
}

/// Hazard: partitions read by themselves, past the policies of their parent.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_policies_hide_are_not_read_from_leaves() {
    let Some(remote) = Remote::new() else { return };
    let reader = format!("reader_{}", std::process::id());
    remote.sql(&format!(
        "CREATE TABLE tenants (t int, v int) PARTITION BY LIST (t);
         CREATE TABLE tenants_1 PARTITION OF tenants FOR VALUES IN (1);
         CREATE TABLE tenants_2 PARTITION OF tenants FOR VALUES IN (2);
         INSERT INTO tenants VALUES (1, 10), (2, 20);
         ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
         CREATE POLICY own ON tenants USING (t = 1);
         CREATE ROLE {reader} LOGIN PASSWORD '{}';
         GRANT SELECT ON tenants, tenants_1, tenants_2 TO {reader}",
        remote.database.password().expose()
    ));
    let url = remote.url(remote.database.port()).replace("fjord@", &format!("{reader}@"));
    let connector = remote.open(&[("url", &url)]);
    let ctx = session(connector.as_ref(), &["tenants"]).await;
    assert_eq!(rows(&ctx, "SELECT t, v FROM tenants").await.unwrap(), ["1|10"]);
    connector.close().await;
    remote.sql(&format!("DROP OWNED BY {reader}; DROP ROLE {reader}"));
}

/// Names that a statement used are the database's own.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_not_found() {
    let Some(remote) = Remote::new() else { return };
    let connector = remote.open(&[]);
    let name = RemoteName { schema: "nowhere".into(), name: "x".into() };
    assert!(connector.table(&name).await.unwrap().is_none());
    assert!(connector.relations("nowhere").await.unwrap().is_empty());
    assert_eq!(connector.schemas().await.unwrap(), ["public"]);
}
