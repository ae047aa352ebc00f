//! What the database is asked to do, rule by rule, and that the answer is the same.

use std::sync::Arc;

use datafusion::physical_plan::{ExecutionPlan, displayable};

use super::world::{Remote, remote_sql, rows, session};

const TABLES: &str = "CREATE TABLE orders (
      id int PRIMARY KEY, customer bigint, amount numeric(12, 2), day date, at timestamp,
      note text, code char(4), score float8, ok bool, tag uuid, region text COLLATE \"en-x-icu\");
    INSERT INTO orders SELECT i, CASE WHEN i % 7 = 0 THEN NULL ELSE i % 50 END, i * 1.25,
      date '2024-01-01' + i % 30, timestamp '2024-01-01' + i * interval '1 minute',
      CASE WHEN i % 11 = 0 THEN NULL ELSE chr(65 + i % 26) || chr(97 + i % 26) END, 'c' || i % 3,
      CASE WHEN i % 13 = 0 THEN 'NaN' ELSE i / 4.0 END, i % 2 = 0,
      lpad(to_hex(i), 32, '0')::uuid, (ARRAY['a', 'B', 'b', 'A', 'Ä'])[i % 5 + 1]
    FROM generate_series(1, 500) i;
    CREATE TABLE customers (id bigint PRIMARY KEY, name text, region text COLLATE \"en-x-icu\");
    INSERT INTO customers SELECT i, 'name ' || i, (ARRAY['a', 'B', 'b', 'A', 'Ä'])[i % 5 + 1]
    FROM generate_series(0, 39) i;
    ANALYZE";

/// The query, and what the database is asked: all of it if that is one scan.
const PUSHED: &[(&str, &[&str])] = &[
    (
        "SELECT id FROM orders WHERE id = 7",
        &["SELECT \"id\" FROM \"public\".\"orders\" WHERE (\"id\" = '7'::int8)"],
    ),
    ("SELECT id FROM orders WHERE amount > 600.5 AND note IS NULL", &["> '600.5", "IS NULL"]),
    (
        "SELECT id FROM orders WHERE day BETWEEN DATE '2024-01-05' AND DATE '2024-01-07'",
        &["'2024-01-05'::date"],
    ),
    (
        "SELECT id FROM orders WHERE note = 'Bb' OR note LIKE 'C%'",
        &["= 'Bb'::text", "LIKE 'C%'::text"],
    ),
    ("SELECT id FROM orders WHERE note > 'Ww'", &["\"note\" COLLATE \"C\" > 'Ww'::text"]),
    ("SELECT id FROM orders WHERE region < 'b'", &["\"region\" COLLATE \"C\" < 'b'::text"]),
    (
        "SELECT id FROM orders WHERE NOT ok AND customer NOT IN (1, 2, 3, 4, 5)",
        &["NOT \"ok\"", "NOT IN ("],
    ),
    ("SELECT id FROM orders WHERE score > 100.5", &["\"score\" > '1.005e2'::float8"]),
    ("SELECT id FROM orders WHERE tag = '00000000-0000-0000-0000-00000000000a'", &["::uuid"]),
    (
        "SELECT count(*), sum(amount), min(day), max(note), sum(customer), count(DISTINCT region) FROM orders",
        &["count(*)", "sum(", "max("],
    ),
    ("SELECT region, count(*), sum(id) FROM orders GROUP BY region", &["GROUP BY \"region\""]),
    (
        "SELECT region, count(*) c FROM orders WHERE id < 400 GROUP BY region HAVING count(*) > 79",
        &["GROUP BY", "> '79'::int8"],
    ),
    (
        "SELECT id, note FROM orders ORDER BY note DESC NULLS FIRST, id LIMIT 9",
        &["ORDER BY \"note\" COLLATE \"C\" DESC NULLS FIRST, c0 ASC LIMIT 9"],
    ),
    (
        "SELECT region, sum(amount) s FROM orders GROUP BY region ORDER BY s DESC, region LIMIT 2",
        &["GROUP BY", "ORDER BY", "LIMIT 2"],
    ),
    (
        "SELECT o.id, c.name FROM orders o JOIN customers c ON o.customer = c.id WHERE c.id < 5",
        &["JOIN"],
    ),
    (
        "SELECT o.id, c.name FROM orders o LEFT JOIN customers c ON o.customer = c.id",
        &["LEFT JOIN"],
    ),
    (
        "SELECT id FROM orders WHERE customer IN (SELECT id FROM customers WHERE region = 'a')",
        &["EXISTS ("],
    ),
    (
        "SELECT id FROM orders o WHERE NOT EXISTS (SELECT 1 FROM customers c WHERE c.id = o.customer)",
        &["NOT EXISTS ("],
    ),
    (
        "SELECT c.region, count(*), sum(o.amount) FROM orders o JOIN customers c ON o.region = c.region AND o.id < c.id GROUP BY c.region",
        &["GROUP BY", "COLLATE \"C\" ="],
    ),
    (
        "SELECT a.id, b.id FROM orders a JOIN orders b ON a.id = b.customer ORDER BY b.id, a.id LIMIT 3",
        &["JOIN", "LIMIT 3"],
    ),
    ("SELECT DISTINCT customer FROM orders", &["GROUP BY \"customer\""]),
    ("SELECT count(*) FILTER (WHERE ok) FROM orders", &["FILTER (WHERE \"ok\")"]),
];

/// What is judged by us, and why not there.
const KEPT: &[(&str, &str)] = &[
    // Trailing blanks.
    ("SELECT id FROM orders WHERE code = 'c1  '", "'c1"),
    ("SELECT max(code) FROM orders", "max("),
    ("SELECT code, count(*) FROM orders GROUP BY code", "GROUP BY"),
    // NaN and zeros.
    ("SELECT score, count(*) FROM orders GROUP BY score", "GROUP BY"),
    ("SELECT id FROM orders WHERE score = 0.0", "WHERE"),
    ("SELECT max(score) FROM orders", "max("),
    ("SELECT id, score FROM orders ORDER BY score, id LIMIT 3", "ORDER BY"),
    // The order of adding.
    ("SELECT sum(score) FROM orders", "sum("),
    ("SELECT avg(amount) FROM orders", "avg("),
    // Case by a locale; arithmetic that overflows elsewhere.
    ("SELECT id FROM orders WHERE note ILIKE 'b%'", "ILIKE"),
    ("SELECT id FROM orders WHERE lower(note) = 'bb'", "lower"),
    ("SELECT id FROM orders WHERE id + 1 = 8", "WHERE"),
    // A text that is no uuid.
    ("SELECT id FROM orders WHERE tag <> 'x'", "'x'"),
    ("SELECT o.id FROM orders o JOIN customers c ON o.score = c.id", "JOIN"),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_proven_runs_in_the_database_and_answers_alike() {
    let Some(remote) = Remote::new() else { return };
    remote.sql(TABLES);
    let (on, off) = (remote.open(&[]), remote.open(&[("pushdown", "false")]));
    let tables = ["orders", "customers"];
    let (on, off) = (session(on.as_ref(), &tables).await, session(off.as_ref(), &tables).await);
    for (sql, pieces) in PUSHED {
        let asked = remote_sql(&on, sql).await;
        assert_eq!(asked.len(), 1, "{sql}: {asked:?}");
        for piece in *pieces {
            assert!(asked[0].contains(piece), "{sql}: {}", asked[0]);
        }
        assert!(remote_sql(&off, sql).await.iter().all(|q| !q.contains("WHERE")), "{sql}");
        let (with, without) = (rows(&on, sql).await.unwrap(), rows(&off, sql).await.unwrap());
        assert_eq!(with, without, "{sql}: {}", asked[0]);
        assert!(!with.is_empty(), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_proven_is_judged_by_us() {
    let Some(remote) = Remote::new() else { return };
    remote.sql(TABLES);
    let (on, off) = (remote.open(&[]), remote.open(&[("pushdown", "false")]));
    let tables = ["orders", "customers"];
    let (on, off) = (session(on.as_ref(), &tables).await, session(off.as_ref(), &tables).await);
    for (sql, piece) in KEPT {
        let asked = remote_sql(&on, sql).await;
        assert!(!asked.is_empty(), "{sql}");
        for asked in asked {
            assert!(!asked.contains(piece), "{sql}: {asked}");
        }
        assert_eq!(rows(&on, sql).await.unwrap(), rows(&off, sql).await.unwrap(), "{sql}");
    }
}

/// A selective other side of a join reaches the database as a condition.
#[tokio::test(flavor = "multi_thread")]
async fn a_join_with_the_lake_asks_for_the_rows_that_it_wants() {
    let Some(remote) = Remote::new() else { return };
    remote.sql(TABLES);
    let connector = remote.open(&[]);
    let ctx = session(connector.as_ref(), &["orders"]).await;
    ctx.sql("CREATE TABLE lake AS SELECT column1 AS k, column2 AS t FROM (VALUES (3, 'Cc'), (14, 'Zz'), (NULL, 'x'))")
        .await.unwrap().collect().await.unwrap();
    for (sql, rows_max) in [
        ("SELECT o.id FROM lake JOIN orders o ON o.id = lake.k", 2),
        ("SELECT o.id FROM lake JOIN orders o ON o.note = lake.t", 50),
        ("SELECT o.id FROM orders o JOIN lake ON o.customer = lake.k", 30),
    ] {
        let plan = ctx.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let batches =
            datafusion::physical_plan::collect(Arc::clone(&plan), ctx.task_ctx()).await.unwrap();
        let shown = displayable(plan.as_ref()).indent(false).to_string();
        assert!(shown.contains("dynamic_filters"), "{shown}");
        let read = leaf_rows(&plan);
        assert!(read <= rows_max, "{sql}: {read} rows of 500 were read\n{shown}");
        assert!(batches.iter().map(|b| b.num_rows()).sum::<usize>() > 0, "{sql}");
    }
}

/// Rows that remote scans have given.
fn leaf_rows(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let own = match plan.name() {
        "RemoteSqlExec" => plan.metrics().and_then(|m| m.output_rows()).unwrap_or(0),
        _ => 0,
    };
    own + plan.children().into_iter().map(leaf_rows).sum::<usize>()
}
