//! Tables, rows and views made in the database.

use std::sync::Arc;

use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionContext;
use fjord_connectors::connector::{Connector, RemoteTable};

use super::world::{Remote, public, rows, session, shown};

async fn plan(ctx: &SessionContext, sql: &str) -> Arc<dyn ExecutionPlan> {
    ctx.sql(sql).await.unwrap().create_physical_plan().await.unwrap()
}

async fn ctas(
    connector: &dyn Connector,
    ctx: &SessionContext,
    name: &str,
    sql: &str,
) -> Vec<String> {
    let input = plan(ctx, sql).await;
    let table = RemoteTable { name: public(name), schema: input.schema(), if_not_exists: false };
    let plan = connector.create_table_as(table, input).unwrap();
    shown(&collect(plan, Arc::new(TaskContext::default())).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_read_back() {
    let Some(remote) = Remote::new() else { return };
    let connector = remote.open(&[]);
    let ctx = session(connector.as_ref(), &[]).await;
    let sql = "SELECT * FROM (VALUES
        (1, arrow_cast(-5, 'Int8'), arrow_cast(7, 'UInt64'), true, 1.5::double, arrow_cast('NaN', 'Float32'),
         CAST('-12345678901234567890.123456789' AS decimal(38, 9)), 'it''s \\ Ünï', arrow_cast('00ff', 'Binary'),
         DATE '0001-01-01', TIMESTAMP '2024-02-29 23:59:59.999999', arrow_cast(TIMESTAMP '1969-12-31 23:59:59', 'Timestamp(Microsecond, Some(\"UTC\"))'),
         arrow_cast('12:34:56.789', 'Time64(Microsecond)'), make_array(1, NULL, 3), make_array('a', ''),
         INTERVAL '1 month -3 days 4 hours 5 minutes 6 seconds'),
        (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
        (3, arrow_cast(0, 'Int8'), arrow_cast(18446744073709551615, 'UInt64'), false, -0.0::double, arrow_cast('inf', 'Float32'),
         CAST('0.000000001' AS decimal(38, 9)), '', arrow_cast('', 'Binary'), DATE '9999-12-31',
         TIMESTAMP '1677-09-22', arrow_cast(TIMESTAMP '2024-01-01', 'Timestamp(Microsecond, Some(\"UTC\"))'),
         arrow_cast('00:00:00', 'Time64(Microsecond)'), arrow_cast(make_array(), 'List(Int64)'), arrow_cast(make_array(), 'List(Utf8)'), INTERVAL '0 days'))
        AS t (id, i8, u64, b, f8, f4, d, t, y, da, ts, tz, ti, li, lt, iv)";
    assert_eq!(ctas(connector.as_ref(), &ctx, "copy", sql).await, ["3"]);
    let back = session(connector.as_ref(), &["copy"]).await;
    let cast = "SELECT id, CAST(i8 AS int), CAST(u64 AS decimal(20,0)), b, f8, f4, d, t, y, da,
        arrow_cast(ts, 'Timestamp(Microsecond, None)'), tz, ti, li, lt, iv FROM";
    let expected = rows(&ctx, &format!("{cast} ({sql})")).await.unwrap();
    assert_eq!(rows(&back, &format!("{cast} copy")).await.unwrap(), expected);
    // Rows are appended in one transaction: a bad one takes the others with it.
    remote.sql("CREATE TABLE picky (i int CHECK (i < 5), m int NOT NULL DEFAULT 9)");
    for (values, outcome) in [("(1), (2)", Some("2")), ("(3), (7)", None)] {
        let input =
            plan(&ctx, &format!("SELECT CAST(column1 AS int) AS i FROM (VALUES {values})")).await;
        let insert = connector.insert(&public("picky"), &["i".to_owned()], input).await.unwrap();
        let done = collect(insert, Arc::new(TaskContext::default())).await;
        match outcome {
            Some(count) => assert_eq!(shown(&done.unwrap()), [count]),
            None => assert!(done.unwrap_err().to_string().contains("picky_i_check")),
        }
    }
    assert_eq!(remote.sql("SELECT i, m FROM picky ORDER BY i"), "1|9\n2|9");
    assert_eq!(remote.activity(), Vec::<String>::new());
}

/// Hazard: values that the database would round or cut without a word.
#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_rounded_or_cut_is_refused() {
    let Some(remote) = Remote::new() else { return };
    remote.sql("CREATE TABLE narrow (s timestamp(0), z timestamptz(3), t time(1), v varchar(3), w timestamp)");
    let connector = remote.open(&[]);
    let ctx = session(connector.as_ref(), &[]).await;
    for (column, fits, does_not) in [
        ("s", "TIMESTAMP '2024-01-01 10:00:05'", "TIMESTAMP '2024-01-01 10:00:05.5'"),
        ("z", "TIMESTAMP '2024-01-01 10:00:05.123'", "TIMESTAMP '2024-01-01 10:00:05.1234'"),
        ("t", "TIME '10:00:05.1'", "TIME '10:00:05.15'"),
        ("v", "'äöü'", "'äöü '"),
        ("w", "TIMESTAMP '2024-01-01 10:00:05.123456'", ""),
    ] {
        for (value, outcome) in [(fits, true), (does_not, false)] {
            if value.is_empty() {
                continue;
            }
            let input = plan(&ctx, &format!("SELECT {value} AS x")).await;
            let columns = [column.to_owned()];
            let insert = connector.insert(&public("narrow"), &columns, input).await.unwrap();
            match collect(insert, Arc::new(TaskContext::default())).await {
                Ok(done) => assert!(outcome && shown(&done) == ["1"], "{value}"),
                Err(e) => {
                    assert!(!outcome && e.to_string().contains("has no place"), "{value}: {e}")
                }
            }
        }
    }
    assert_eq!(remote.sql("SELECT count(*), count(v) FROM narrow"), "5|1");
}

/// Hazard: rows sent as the types that columns had when they were looked up.
#[tokio::test(flavor = "multi_thread")]
async fn columns_that_have_changed_since_are_not_written() {
    let Some(remote) = Remote::new() else { return };
    remote.sql("CREATE TABLE target (a bigint, b numeric(10, 4))");
    let connector = remote.open(&[("metadata_ttl_seconds", "3600")]);
    let ctx = session(connector.as_ref(), &[]).await;
    let names = ["a".to_owned(), "b".to_owned()];
    let insert = |sql: &'static str| async {
        let input = plan(&ctx, sql).await;
        let insert = connector.insert(&public("target"), &names, input).await.unwrap();
        collect(insert, Arc::new(TaskContext::default())).await
    };
    const ROW: &str =
        "SELECT 4616189618054758400::bigint AS a, CAST(1.2345 AS decimal(10, 4)) AS b";
    assert_eq!(shown(&insert(ROW).await.unwrap()), ["1"]);
    // As many bytes, and another meaning; the same type, and fewer digits.
    for change in [
        "ALTER TABLE target ALTER a TYPE double precision USING 0",
        "ALTER TABLE target ALTER b TYPE numeric(10, 1)",
        "ALTER TABLE target RENAME b TO c",
    ] {
        // Looked up, and changed then.
        connector.table(&public("target")).await.unwrap().unwrap();
        remote.sql(change);
        let error = insert(ROW).await.unwrap_err().to_string();
        assert!(error.contains("run the statement again"), "{change}: {error}");
        assert_eq!(remote.sql("SELECT count(*) FROM target"), "1", "{change}");
        // What is looked up now is what is there.
        let found = connector.table(&public("target")).await.unwrap().unwrap();
        let columns: Vec<_> = found.schema().fields().iter().map(|f| f.name().clone()).collect();
        assert_eq!(columns.join(" "), remote.sql("SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'target'::regclass AND attnum > 0"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_cannot_be_made_is_not_half_made() {
    let Some(remote) = Remote::new() else { return };
    let connector = remote.open(&[]);
    let ctx = session(connector.as_ref(), &[]).await;
    let input = plan(&ctx, "SELECT column1 AS t FROM (VALUES ('fine'), (chr(0)))").await;
    let table = RemoteTable { name: public("half"), schema: input.schema(), if_not_exists: false };
    let made = connector.create_table_as(table, input).unwrap();
    let error = collect(made, Arc::new(TaskContext::default())).await.unwrap_err().to_string();
    assert!(error.contains("0x00"), "{error}");
    assert!(connector.table(&public("half")).await.unwrap().is_none());
    // A type that is not there is refused when planned, naming its column.
    let input = plan(&ctx, "SELECT named_struct('a', 1) AS s").await;
    let table = RemoteTable { name: public("half"), schema: input.schema(), if_not_exists: false };
    let error = connector.create_table_as(table, input).unwrap_err().to_string();
    assert!(error.contains("column \"s\""), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn views_and_drops_mean_what_they_say() {
    let Some(remote) = Remote::new() else { return };
    remote
        .sql("CREATE TABLE base (i int); INSERT INTO base VALUES (1), (2); CREATE TABLE canary ()");
    let connector = remote.open(&[]);
    connector.create_view(&public("v"), "SELECT i + 1 AS j FROM base", false).await.unwrap();
    assert!(connector.create_view(&public("v"), "SELECT 1 AS j", false).await.is_err());
    let ctx = session(connector.as_ref(), &["v"]).await;
    assert_eq!(rows(&ctx, "SELECT j FROM v").await.unwrap(), ["2", "3"]);
    let more = "SELECT 1 AS j; DROP TABLE canary";
    assert!(connector.create_view(&public("v"), more, true).await.is_err());
    assert!(
        connector
            .drop_relation(&public("v"), false)
            .await
            .unwrap_err()
            .to_string()
            .contains("DROP VIEW")
    );
    assert!(
        connector
            .drop_relation(&public("base"), true)
            .await
            .unwrap_err()
            .to_string()
            .contains("DROP TABLE")
    );
    // Something depends on it.
    assert!(connector.drop_relation(&public("base"), false).await.is_err());
    assert!(connector.drop_relation(&public("v"), true).await.unwrap());
    assert!(connector.drop_relation(&public("base"), false).await.unwrap());
    assert!(!connector.drop_relation(&public("base"), false).await.unwrap());
    assert_eq!(remote.sql("SELECT count(*) FROM canary"), "0");
    let closed = remote.open(&[("writes", "false")]);
    assert!(closed.drop_relation(&public("canary"), false).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_in_the_databases_own_sql_only_read() {
    let Some(remote) = Remote::new() else { return };
    remote.sql("CREATE TABLE canary (i int); INSERT INTO canary VALUES (1), (2)");
    let denied = remote.open(&[]).query("SELECT 1").await.unwrap_err().to_string();
    assert!(denied.contains("pass_through"), "{denied}");
    let connector = remote.open(&[("pass_through", "true")]);
    let ctx = session(connector.as_ref(), &[]).await;
    let provider = connector
        .query("SELECT i, i::numeric(5,2) AS n, i::text, i || 'x' FROM public.canary -- the end")
        .await
        .unwrap();
    ctx.register_table("q", provider).unwrap();
    assert_eq!(rows(&ctx, "SELECT * FROM q WHERE n > 1.5").await.unwrap(), ["2|2.00|2|2x"]);
    for bad in [
        "DELETE FROM public.canary RETURNING i",
        "SELECT 1; DROP TABLE public.canary",
        "SELECT 1) AS p(c0)) AS q) TO PROGRAM 'true' --",
        "WITH gone AS (DELETE FROM public.canary RETURNING i) SELECT * FROM gone",
        "COPY public.canary TO PROGRAM 'true'",
        "",
    ] {
        let outcome = match connector.query(bad).await {
            Err(e) => Err(e.to_string()),
            Ok(provider) => {
                let ctx = session(connector.as_ref(), &[]).await;
                ctx.register_table("bad", provider).unwrap();
                rows(&ctx, "SELECT * FROM bad").await.map_err(|e| e.to_string())
            }
        };
        assert!(outcome.is_err(), "{bad}: {outcome:?}");
    }
    assert_eq!(remote.sql("SELECT count(*) FROM canary"), "2");
    assert_eq!(remote.activity(), Vec::<String>::new());
}

/// Hazard: a user's text that sets or locks something on a connection that others get next.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_users_text_sets_does_not_outlive_it() {
    let Some(remote) = Remote::new() else { return };
    let connector = remote.open(&[("pass_through", "true"), ("connections_max", "1")]);
    let ctx = session(connector.as_ref(), &[]).await;
    let text = |sql: &'static str| async { connector.query(sql).await.unwrap() };
    let set =
        "SELECT set_config('search_path', 'public', false) AS a, pg_advisory_lock(7) IS NOT NULL AS b,
        set_config('TimeZone', 'Asia/Tokyo', false) AS c, 1 AS n FROM generate_series(1, 3)";
    ctx.register_table("sets", text(set).await).unwrap();
    let get = "SELECT current_setting('search_path') AS a, current_setting('TimeZone') AS b,
        (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') AS c";
    ctx.register_table("gets", text(get).await).unwrap();
    let before = rows(&ctx, "SELECT * FROM gets").await.unwrap();
    // As it is, and where the database is asked for more than the text alone.
    for sql in
        ["SELECT * FROM sets", "SELECT a, c, count(*), sum(n) FROM sets WHERE b GROUP BY a, c"]
    {
        assert!(!rows(&ctx, sql).await.unwrap().is_empty(), "{sql}");
        assert_eq!(rows(&ctx, "SELECT * FROM gets").await.unwrap(), before, "{sql}");
    }
}

/// Where this process is killed, what runs for it in the database ends too.
#[tokio::test(flavor = "multi_thread")]
async fn the_database_looks_whether_somebody_still_waits_for_it() {
    let Some(remote) = Remote::new() else { return };
    let connector = remote.open(&[("pass_through", "true")]);
    let ctx = session(connector.as_ref(), &[]).await;
    let get = "SELECT current_setting('client_connection_check_interval') AS a";
    ctx.register_table("gets", connector.query(get).await.unwrap()).unwrap();
    assert_eq!(rows(&ctx, "SELECT * FROM gets").await.unwrap(), ["2s"]);
}
