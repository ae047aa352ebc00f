//! Statements on a live database beside a lake, against a database in memory.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use futures::TryStreamExt;

use super::memory::{MemoryDatabase, MemoryKind};
use crate::access::{AccessObject, AccessPolicy, Privilege};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::foreign::{CatalogDefinition, CatalogHome, Databases, SecretReference};
use crate::listing::{Columns, SchemaFilter, TableFilter};
use crate::session::{Session, SessionOptions};
use crate::sql::testing::{TestLake, fails, lake_with, rows, run};

const CREATE: &str = "CREATE CATALOG sales USING memory WITH (url = 'memory://x', \
                      password = env('SALES_PASSWORD'))";

/// Keeps definitions in memory; every secret is the canary.
#[derive(Debug, Default)]
struct Home {
    kept: Mutex<BTreeMap<String, CatalogDefinition>>,
}

impl CatalogHome for Home {
    fn secret(&self, reference: &SecretReference) -> Result<String> {
        reference.check()?;
        Ok("canary".to_owned())
    }

    fn definitions(&self) -> Result<Vec<CatalogDefinition>> {
        Ok(self.kept.lock().unwrap().values().cloned().collect())
    }

    fn add(&self, definition: &CatalogDefinition) -> Result<()> {
        self.kept.lock().unwrap().insert(definition.name.clone(), definition.clone());
        Ok(())
    }

    fn replace(&self, definition: &CatalogDefinition) -> Result<()> {
        self.add(definition)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.kept.lock().unwrap().remove(name);
        Ok(())
    }
}

struct Fixture {
    lake: TestLake,
    database: MemoryDatabase,
    home: Arc<Home>,
    session: Session,
}

fn orders() -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let customers: ArrayRef = Arc::new(Int32Array::from(vec![Some(7), Some(8), None]));
    let notes: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("c")]));
    RecordBatch::try_from_iter_with_nullable([
        ("id", ids, false),
        ("customerId", customers, true),
        ("note", notes, true),
    ])
    .unwrap()
}

fn one(value: i64) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![value]));
    RecordBatch::try_from_iter([("n", ids)]).unwrap()
}

async fn unmounted() -> Fixture {
    let database = MemoryDatabase::new(&["Odd Schema.1", "public", "system2"]);
    database.put("public", "Orders", orders());
    database.put("public", "twin", one(1));
    database.put("public", "Twin", one(2));
    database.put("public", "branch_codes", one(5));
    database.put("Odd Schema.1", "a\"b.c/d", one(9));
    let home = Arc::new(Home::default());
    let databases = Databases {
        kinds: vec![Arc::new(MemoryKind(database.clone()))],
        home: Some(Arc::clone(&home) as Arc<dyn CatalogHome>),
        ..Databases::default()
    };
    let lake = lake_with(databases).await;
    let session = lake.session();
    Fixture { lake, database, home, session }
}

async fn fixture() -> Fixture {
    let f = unmounted().await;
    rows(&f.session, CREATE).await;
    f
}

async fn text(session: &Session, sql: &str) -> String {
    let batches = rows(session, sql).await;
    arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string()
}

async fn count(session: &Session, sql: &str) -> usize {
    rows(session, sql).await.iter().map(RecordBatch::num_rows).sum()
}

#[tokio::test]
async fn names_are_found_regardless_of_case_and_two_that_differ_by_case_need_quotes() {
    let f = fixture().await;
    let s = &f.session;
    for sql in [
        "SELECT CUSTOMERID FROM sales.public.orders WHERE customerid = 7",
        "SELECT o.customerId FROM SALES.PUBLIC.ORDERS o WHERE o.\"customerId\" = 7",
        "SELECT * FROM sales.\"public\".\"orders\" WHERE Id = 1",
        "SELECT n FROM sales.\"Odd Schema.1\".\"a\"\"b.c/d\"",
        "SELECT n FROM sales.public.\"twin\"",
        "SELECT n FROM sales.public.branch_codes",
        "SELECT a.id FROM sales.public.orders a JOIN sales.public.\"Orders\" b ON a.id = b.id + 2",
    ] {
        assert_eq!(count(s, sql).await, 1, "{sql}");
    }
    assert!(text(s, "SELECT n FROM sales.public.\"Twin\"").await.contains("| 2 |"));
    let e = fails(s, "SELECT n FROM sales.public.twin").await;
    assert!(e.to_string().contains("\"Twin\" or \"twin\""), "{e}");
    rows(s, "USE sales").await;
    assert_eq!(s.current(), ("sales".to_owned(), "public".to_owned()));
    assert_eq!(count(s, "SELECT * FROM orders").await, 3);
    assert_eq!(count(s, "SELECT id FROM system.queries").await, 0);
    rows(s, "USE \"Odd Schema.1\"").await;
    assert_eq!(count(s, "SELECT n FROM \"a\"\"b.c/d\"").await, 1);
    rows(s, "USE iceberg.default").await;
    let e = fails(s, "SELECT * FROM sales.nothing.orders").await;
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert!(e.to_string().contains("it has Odd Schema.1, public, system2"), "{e}");
    let e = fails(s, "SELECT * FROM nowhere.public.orders").await;
    assert!(e.to_string().contains("mounted: iceberg, sales"), "{e}");
}

/// Hazard: the planner takes two tables whose names differ by case alone for one.
#[tokio::test]
async fn two_tables_whose_names_differ_by_case_are_two_in_one_query() {
    let f = fixture().await;
    let s = &f.session;
    for sql in [
        "SELECT a.n + 10 * b.n FROM sales.public.\"twin\" a, sales.public.\"Twin\" b",
        "SELECT (SELECT n FROM sales.public.\"twin\") + 10 * n FROM sales.public.\"Twin\"",
        "WITH a AS (SELECT n FROM sales.public.\"Twin\") \
         SELECT t.n + 10 * a.n FROM a, sales.public.\"twin\" t",
    ] {
        assert!(text(s, sql).await.contains("| 21 "), "{sql}");
    }
}

#[tokio::test]
async fn columns_of_a_database_say_where_they_come_from() {
    let f = fixture().await;
    let origin = |batches: Vec<RecordBatch>| {
        let schema = batches[0].schema();
        let metadata = schema.field(0).metadata().clone();
        crate::query::ORIGIN_KEYS
            .map(|key| metadata.get(key).cloned().unwrap_or_default())
            .join("/")
    };
    let sql = "SELECT ID FROM sales.PUBLIC.orders";
    assert_eq!(origin(rows(&f.session, sql).await), "sales/public/Orders");
    let sql = "SELECT n FROM sales.public.\"Twin\"";
    assert_eq!(origin(rows(&f.session, sql).await), "sales/public/Twin");
}

#[tokio::test]
async fn joins_views_and_ctes_cross_the_border() {
    let f = fixture().await;
    let s = &f.session;
    rows(s, "INSERT INTO t VALUES (7, 'ann', DATE '2024-01-01'), (9, 'bob', NULL)").await;
    let sql = "SELECT t.name FROM t JOIN sales.public.orders o ON t.customerid = o.customerid";
    assert!(text(s, sql).await.contains("ann"));
    rows(s, &format!("CREATE VIEW v AS {sql}")).await;
    assert_eq!(count(s, "SELECT * FROM v WHERE name LIKE 'a%'").await, 1);
    let sql = "WITH orders AS (SELECT 1 AS one) SELECT * FROM orders, sales.public.orders o";
    assert_eq!(count(s, sql).await, 3);
    // The view's own place, not the session's, is where its names are completed.
    rows(s, "USE sales.public").await;
    rows(s, "CREATE VIEW iceberg.default.w AS SELECT count(*) AS c FROM orders").await;
    rows(s, "USE iceberg.default").await;
    assert!(text(s, "SELECT c FROM w").await.contains("| 3 |"));
}

#[tokio::test]
async fn rows_land_in_the_lake_and_go_back() {
    let f = fixture().await;
    let s = &f.session;
    let landed = "CREATE TABLE landed AS SELECT * FROM sales.public.orders";
    assert!(text(s, landed).await.contains("| 3 "));
    rows(s, "INSERT INTO landed SELECT * FROM sales.public.orders WHERE id > 1").await;
    let mart = "CREATE TABLE sales.public.Mart (k, c) AS \
                SELECT customerid, count(*) FROM landed GROUP BY 1";
    assert!(text(s, mart).await.contains("| 3 "));
    let shown = text(s, "SELECT k, c FROM sales.public.mart WHERE k = 8").await;
    assert!(shown.contains("| 8 | 2 |"), "{shown}");
    let e = fails(s, mart).await;
    assert_eq!(e.kind(), ErrorKind::AlreadyExists, "{e}");
    let skipped = "CREATE TABLE IF NOT EXISTS sales.public.mart AS SELECT 1 AS x";
    assert_eq!(count(s, skipped).await, 0);
    rows(s, "DROP TABLE sales.public.MART").await;
    let e = fails(s, "DROP TABLE sales.public.mart").await;
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
    rows(s, "DROP TABLE IF EXISTS sales.public.mart").await;
    assert!(f.database.refreshed.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn an_insert_fills_columns_by_name_and_loses_no_value() {
    let f = fixture().await;
    let s = &f.session;
    rows(s, "CREATE TABLE sales.public.n (id bigint NOT NULL, part int, label varchar)").await;
    let inserted = "INSERT INTO sales.public.N (LABEL, id) VALUES ('x', 1), ('y', 2)";
    assert!(text(s, inserted).await.contains("| 2 "));
    rows(s, "INSERT INTO sales.public.n SELECT 3, customerid, note FROM sales.public.orders").await;
    let shown = text(s, "SELECT count(*), count(part), max(label) FROM sales.public.n").await;
    assert!(shown.contains("| 5 ") && shown.contains("| 2 ") && shown.contains("| y "), "{shown}");
    for (sql, part) in [
        ("INSERT INTO sales.public.n (id, part) VALUES (4, 3000000000)", "part"),
        ("INSERT INTO sales.public.n (id, part) VALUES (4, 1.5)", "part"),
        ("INSERT INTO sales.public.n (id, nothing) VALUES (4, 1)", "it has id, part, label"),
        ("INSERT INTO sales.public.n (id, ID) VALUES (4, 1)", "twice"),
        ("INSERT INTO sales.public.n VALUES (4)", "3 columns are to be filled, the rows have 1"),
        ("INSERT INTO sales.public.n (part) VALUES (DATE '2024-01-01')", "cannot take"),
        ("INSERT OVERWRITE sales.public.n SELECT 1, 2, 'x'", "INSERT OVERWRITE"),
        ("INSERT INTO sales.public.nothing VALUES (1)", "not found"),
        ("INSERT INTO sales.information_schema.tables VALUES (1)", "read-only"),
    ] {
        let e = fails(s, sql).await;
        assert!(e.to_string().contains(part), "{sql}: {e}");
    }
    assert_eq!(count(s, "SELECT * FROM sales.public.n").await, 5);
    let plan = text(s, "EXPLAIN INSERT INTO sales.public.n SELECT 1, 2, 'x'").await;
    assert!(plan.contains("StoreExec: public.n") && plan.contains("ConformExec"), "{plan}");
    let plan = text(s, "EXPLAIN CREATE TABLE sales.public.m AS SELECT 1 AS x").await;
    assert!(plan.contains("CreateTable: sales.public.m"), "{plan}");
    assert!(fails(s, "SELECT * FROM sales.public.m").await.kind() == ErrorKind::NotFound);
    rows(s, "PREPARE p AS INSERT INTO sales.public.n (id, label) VALUES (?, ?)").await;
    rows(s, "EXECUTE p(6, 'z')").await;
    assert_eq!(count(s, "SELECT * FROM sales.public.n WHERE id = 6").await, 1);
    let insert = s.parse("INSERT INTO sales.public.n (LABEL, id) VALUES (?, ?)").unwrap().remove(0);
    let types: Vec<String> = (s.describe(&insert).await.unwrap().parameters.iter())
        .map(|p| p.field.data_type().to_string())
        .collect();
    assert_eq!(types.last().map(String::as_str), Some("Int64"), "{types:?}");
}

#[tokio::test]
async fn what_is_for_iceberg_tables_is_refused_by_name() {
    let f = fixture().await;
    for sql in [
        "DELETE FROM sales.public.orders",
        "TRUNCATE TABLE sales.public.orders",
        "UPDATE sales.public.orders SET id = 1",
        "MERGE INTO sales.public.orders USING t ON true WHEN MATCHED THEN DELETE",
        "SELECT * FROM sales.public.orders FOR VERSION AS OF 1",
        "SELECT * FROM sales.public.orders FOR TIMESTAMP AS OF now()",
        "SELECT * FROM sales.public.\"orders$snapshots\"",
        "SELECT * FROM sales.public.\"orders@main\"",
        "SELECT * FROM sales.public.orders.branch_main",
        "INSERT INTO sales.public.orders.branch_main VALUES (1)",
        "ALTER TABLE sales.public.orders ADD COLUMN x int",
        "ALTER TABLE sales.public.orders RENAME TO o",
        "ALTER TABLE t RENAME TO sales.public.t",
        "ALTER TABLE sales.public.orders CREATE BRANCH b",
        "ALTER VIEW sales.public.v RENAME TO w",
        "ALTER SCHEMA sales.public SET PROPERTIES (k = 'v')",
        "CREATE SCHEMA sales.other",
        "DROP SCHEMA sales.public CASCADE",
        "DROP TABLE sales.public.orders PURGE",
        "COMMENT ON TABLE sales.public.orders IS 'x'",
        "COMMENT ON COLUMN sales.public.orders.id IS 'x'",
        "COMMENT ON SCHEMA sales.public IS 'x'",
        "ANALYZE sales.public.orders",
        "CALL sales.system.rollback_to_snapshot('public.orders', 1)",
        "CALL system.register_table('sales.public.x', 'file:///x.metadata.json')",
        "SHOW CREATE TABLE sales.public.orders",
        "SHOW TBLPROPERTIES sales.public.orders",
        "SHOW CREATE SCHEMA sales.public",
        "CREATE OR REPLACE TABLE sales.public.orders AS SELECT 1 AS x",
        "CREATE TABLE sales.public.x (a int) PARTITIONED BY (a)",
        "CREATE TABLE sales.public.x (a int) COMMENT 'x'",
        "CREATE TABLE sales.public.x (a int DEFAULT 1)",
        "CREATE TABLE sales.public.x (LIKE t)",
        "CREATE TABLE x (LIKE sales.public.orders)",
        "CREATE VIEW sales.public.x (a) AS SELECT 1",
    ] {
        let e = fails(&f.session, sql).await;
        assert_eq!(e.kind(), ErrorKind::Unsupported, "{sql}: {e}");
    }
    assert_eq!(count(&f.session, "SELECT * FROM sales.public.orders").await, 3);
}

#[tokio::test]
async fn listings_show_a_database_beside_the_lake() {
    let f = fixture().await;
    let s = &f.session;
    assert!(text(s, "SHOW CATALOGS").await.contains("sales"));
    let shown = text(s, "SHOW SCHEMAS FROM sales").await;
    assert!(shown.contains("public") && shown.contains("information_schema"), "{shown}");
    let shown = text(s, "SHOW TABLES FROM sales.PUBLIC LIKE '%rder%'").await;
    assert!(shown.contains("| Orders |") && !shown.contains("twin"), "{shown}");
    for sql in [
        "SHOW COLUMNS FROM sales.public.orders",
        "DESCRIBE sales.public.orders",
        "DESCRIBE EXTENDED sales.public.orders",
        "SELECT column_name, data_type FROM sales.information_schema.columns \
         WHERE table_name = 'Orders'",
    ] {
        let shown = text(s, sql).await;
        assert!(shown.contains("customerId") && shown.contains("integer"), "{sql}\n{shown}");
    }
    let shown = text(s, "SELECT table_name FROM sales.information_schema.tables").await;
    assert!(shown.contains("Orders") && shown.contains("a\"b.c/d"), "{shown}");
    assert!(text(s, "DESCRIBE SCHEMA sales.PUBLIC").await.contains("memory"));
    assert_eq!(s.list_catalogs().unwrap(), ["iceberg", "sales"]);
    let filter = TableFilter { columns: Columns::Loaded, ..TableFilter::default() };
    let tables: Vec<_> = s.list_tables(&filter).unwrap().try_concat().await.unwrap();
    let orders = tables.iter().find(|t| t.name == "Orders").unwrap();
    assert_eq!((orders.catalog.as_str(), orders.schema.as_str()), ("sales", "public"));
    assert_eq!(orders.columns.as_ref().unwrap().fields().len(), 3);
    assert!(tables.iter().any(|t| t.catalog == "iceberg" && t.name == "t"));
    assert!(s.list_keys(&TableFilter::default()).await.unwrap().is_empty());
    assert!(s.complete("sal").await.contains(&"sales".to_owned()));
    rows(s, "USE sales.public").await;
    assert!(s.complete("ord").await.contains(&"Orders".to_owned()));
    assert!(text(s, "SHOW TABLES").await.contains("Orders"));
}

#[tokio::test]
async fn catalogs_are_made_changed_shown_and_dropped_by_statements() {
    let f = unmounted().await;
    let s = &f.session;
    rows(s, CREATE).await;
    let e = fails(s, CREATE).await;
    assert_eq!(e.kind(), ErrorKind::AlreadyExists, "{e}");
    rows(s, &CREATE.replace("CATALOG", "CATALOG IF NOT EXISTS")).await;
    let shown = text(s, "SHOW CREATE CATALOG SALES").await;
    assert!(shown.contains("password = env('SALES_PASSWORD')"), "{shown}");
    assert!(!shown.contains("canary"), "{shown}");
    assert_eq!(f.database.opened.lock().unwrap()[0].secrets["password"].value, "canary");
    let e = fails(s, "SELECT * FROM query('sales', 'Orders')").await;
    assert_eq!(e.kind(), ErrorKind::PermissionDenied, "{e}");
    assert!(e.to_string().contains("pass_through"), "{e}");
    rows(s, "ALTER CATALOG sales SET (pass_through = true)").await;
    assert_eq!(f.database.closed.load(Ordering::Relaxed), 1);
    for sql in [
        "SELECT q.customerid FROM query('sales', 'Orders') AS q WHERE id = 1",
        "SELECT customerid FROM query(sales, 'Orders') WHERE id = 1",
    ] {
        assert_eq!(count(s, sql).await, 1, "{sql}");
    }
    assert!(f.home.kept.lock().unwrap()["sales"].options.contains_key("pass_through"));
    for (sql, kind, part) in [
        ("ALTER CATALOG sales SET (nonsense = 1)", ErrorKind::Invalid, "accepted: url"),
        ("ALTER CATALOG iceberg SET (a = 1)", ErrorKind::Unsupported, "configuration"),
        ("DROP CATALOG iceberg", ErrorKind::Unsupported, "configuration"),
        ("DROP CATALOG nothing", ErrorKind::NotFound, "mounted: iceberg, sales"),
        ("SHOW CREATE CATALOG iceberg", ErrorKind::Unsupported, "configuration"),
        ("CREATE CATALOG n USING rest WITH (uri = 'x')", ErrorKind::Unsupported, "configuration"),
        ("CREATE CATALOG n USING oracle", ErrorKind::Invalid, "there are memory"),
        ("CREATE CATALOG \"a b\" USING memory", ErrorKind::Invalid, "letters, digits"),
        ("CREATE CATALOG a.b USING memory", ErrorKind::Invalid, "one part"),
        ("CREATE CATALOG n USING memory WITH (url = 'm://u:canary@h')", ErrorKind::Invalid, "env("),
        ("CREATE CATALOG n USING memory WITH (password = env('PATH'))", ErrorKind::Invalid, "env("),
        ("CREATE CATALOG n USING memory WITH (password = file('x'))", ErrorKind::Invalid, "path"),
        ("CALL system.refresh('nothing')", ErrorKind::NotFound, "mounted"),
    ] {
        let e = fails(s, sql).await;
        assert_eq!(e.kind(), kind, "{sql}: {e}");
        assert!(e.to_string().contains(part) && !e.to_string().contains("canary"), "{sql}: {e}");
    }
    assert_eq!(f.home.kept.lock().unwrap().len(), 1);
    rows(s, "CALL system.refresh('sales')").await;
    rows(s, "DROP CATALOG sales").await;
    rows(s, "DROP CATALOG IF EXISTS sales").await;
    assert!(f.home.kept.lock().unwrap().is_empty());
    assert!(!text(s, "SHOW CATALOGS").await.contains("sales"));
    assert_eq!(count(s, "SELECT * FROM t").await, 0);
}

#[tokio::test]
async fn a_catalog_is_connected_before_it_is_kept() {
    let f = unmounted().await;
    f.database.set_down(true);
    let e = fails(&f.session, CREATE).await;
    assert_eq!(e.kind(), ErrorKind::Unavailable, "{e}");
    assert!(e.to_string().contains("catalog \"sales\": connection refused"), "{e}");
    assert!(f.home.kept.lock().unwrap().is_empty());
    assert!(!text(&f.session, "SHOW CATALOGS").await.contains("sales"));
}

#[tokio::test]
async fn what_was_made_before_is_there_after_a_restart_and_a_broken_one_says_why() {
    let f = fixture().await;
    let engine: Engine = f.lake.engine().clone();
    rows(&f.session, "CREATE CATALOG other USING memory").await;
    {
        let mut kept = f.home.kept.lock().unwrap();
        kept.get_mut("other").unwrap().options.insert("nonsense".to_owned(), "x".to_owned());
    }
    let databases = Databases {
        kinds: vec![Arc::new(MemoryKind(f.database.clone()))],
        home: Some(Arc::clone(&f.home) as Arc<dyn CatalogHome>),
        ..Databases::default()
    };
    drop(engine);
    let again = lake_with(databases).await;
    again.engine().mount_kept_databases().unwrap();
    let s = again.session();
    assert_eq!(count(&s, "SELECT * FROM sales.public.orders").await, 3);
    assert!(text(&s, "SHOW CATALOGS").await.contains("other"));
    let e = fails(&s, "SELECT * FROM other.public.orders").await;
    assert_eq!(e.kind(), ErrorKind::Unavailable, "{e}");
    assert!(e.to_string().contains("nonsense"), "{e}");
    rows(&s, "ALTER CATALOG other SET (nonsense = DEFAULT)").await;
    assert_eq!(count(&s, "SELECT * FROM other.public.orders").await, 3);
}

/// Two engines share a home as two processes share a data directory.
#[tokio::test]
async fn a_catalog_that_another_process_makes_is_there_when_it_is_named() {
    let f = unmounted().await;
    let databases = Databases {
        kinds: vec![Arc::new(MemoryKind(f.database.clone()))],
        home: Some(Arc::clone(&f.home) as Arc<dyn CatalogHome>),
        ..Databases::default()
    };
    let other = lake_with(databases).await;
    let s = other.session();
    let e = fails(&s, "SELECT * FROM sales.public.orders").await;
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
    rows(&f.session, CREATE).await;
    assert_eq!(count(&s, "SELECT * FROM sales.public.orders").await, 3);
    rows(&f.session, "CREATE CATALOG listed USING memory").await;
    assert!(text(&s, "SHOW CATALOGS").await.contains("listed"));
    let e = fails(&s, "CREATE CATALOG listed USING memory").await;
    assert_eq!(e.kind(), ErrorKind::AlreadyExists, "{e}");
}

/// A database that is down leaves other catalogs and listings usable.
#[tokio::test]
async fn a_database_that_is_down_or_silent_hides_nothing_else() {
    let f = fixture().await;
    let s = &f.session;
    f.database.set_down(true);
    let e = fails(s, "SELECT * FROM sales.public.orders").await;
    assert_eq!(e.kind(), ErrorKind::Unavailable, "{e}");
    for is_silent in [false, true] {
        f.database.set_silent(is_silent);
        let began = Instant::now();
        assert!(text(s, "SHOW CATALOGS").await.contains("sales"));
        assert_eq!(count(s, "SELECT * FROM t").await, 0);
        let listed: Vec<_> =
            s.list_tables(&TableFilter::default()).unwrap().try_concat().await.unwrap();
        assert!(
            listed.iter().any(|t| t.name == "t") && listed.iter().all(|t| t.catalog != "sales")
        );
        assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    }
    let began = Instant::now();
    let e = fails(s, "SELECT * FROM sales.public.orders").await;
    assert_eq!(e.kind(), ErrorKind::Unavailable, "{e}");
    assert!(e.to_string().contains("did not answer within 10 s"), "{e}");
    assert!(began.elapsed() < Duration::from_secs(12));
    let filter = SchemaFilter { catalog: Some("sales".to_owned()), ..SchemaFilter::default() };
    f.database.set_silent(false);
    let named = s.list_schemas(&filter).unwrap().try_concat().await;
    assert_eq!(named.map(|n| n.len()).unwrap_err().kind(), ErrorKind::Unavailable);
    // There is a way out of it.
    f.database.set_down(false);
    rows(s, "USE sales.public").await;
    f.database.set_down(true);
    rows(s, "USE iceberg").await;
    assert_eq!(count(s, "SELECT * FROM t").await, 0);
}

/// Reads `sales.public` and the lake, writes `sales.public`.
#[derive(Debug)]
struct Clerk;

impl AccessPolicy for Clerk {
    fn check(&self, privilege: Privilege, object: &AccessObject<'_>) -> Result<()> {
        let is_public = object.schema.is_some_and(|s| s.eq_ignore_ascii_case("public"));
        let is_allowed = match privilege {
            Privilege::Read => is_public || object.catalog == "iceberg",
            Privilege::Write => is_public && object.catalog == "sales",
            Privilege::Admin => false,
        };
        let denied = || Error::new(ErrorKind::PermissionDenied, format!("{privilege} {object}"));
        if is_allowed { Ok(()) } else { Err(denied()) }
    }

    fn is_visible(&self, object: &AccessObject<'_>) -> bool {
        object.schema != Some("Odd Schema.1")
    }
}

#[tokio::test]
async fn rights_are_asked_for_on_databases_too() {
    let f = fixture().await;
    rows(&f.session, "ALTER CATALOG sales SET (pass_through = true)").await;
    let options = SessionOptions { access: Some(Arc::new(Clerk)), ..SessionOptions::default() };
    let clerk = f.lake.session_with(options);
    for sql in [
        "SELECT * FROM sales.public.orders",
        "CREATE TABLE sales.PUBLIC.x AS SELECT 1 AS a",
        "INSERT INTO sales.public.x VALUES (2)",
        "DROP TABLE sales.public.x",
        "DESCRIBE sales.public.orders",
        "INSERT INTO sales.public.branch_codes VALUES (2)",
    ] {
        rows(&clerk, sql).await;
    }
    for sql in [
        "SELECT * FROM sales.\"Odd Schema.1\".\"a\"\"b.c/d\"",
        "SELECT * FROM sales.nothing.x",
        "DESCRIBE sales.\"Odd Schema.1\".\"a\"\"b.c/d\"",
        "INSERT INTO sales.\"Odd Schema.1\".branch_x VALUES (1)",
        "INSERT INTO sales.system2.\"x@y\" VALUES (1)",
        "CREATE TABLE sales.system2.x (a int)",
        "DROP TABLE sales.system2.x",
        "DROP VIEW sales.system2.x",
        // The text of a view is run with the catalog's own rights.
        "CREATE VIEW sales.public.v AS SELECT * FROM secret",
        "SELECT * FROM query('sales', 'Orders')",
        "CREATE CATALOG mine USING memory",
        "ALTER CATALOG sales SET (url = 'x')",
        "DROP CATALOG sales",
        "DROP CATALOG IF EXISTS nothing",
        "SHOW CREATE CATALOG sales",
        "CALL system.refresh('sales')",
        "EXPLAIN SELECT * FROM sales.system2.x",
        "PREPARE p AS SELECT 1; EXECUTE p; CREATE CATALOG IF NOT EXISTS sales USING memory",
    ] {
        let e = fails(&clerk, sql).await;
        assert_eq!(e.kind(), ErrorKind::PermissionDenied, "{sql}: {e}");
    }
    for sql in ["SHOW SCHEMAS FROM sales", "SELECT * FROM sales.information_schema.tables"] {
        assert!(!text(&clerk, sql).await.contains("Odd"), "{sql}");
    }
    rows(&f.session, "CREATE VIEW sales.public.v AS SELECT  x::text FROM u").await;
    let stored = f.database.view("public", "v");
    assert_eq!(stored.as_deref(), Some("SELECT  x::text FROM u"));
    let e = fails(&f.session, "DROP TABLE sales.public.v").await;
    assert!(e.to_string().contains("DROP VIEW"), "{e}");
    rows(&f.session, "DROP VIEW sales.public.v").await;
}

/// What a ticket holds of a live database is its name: each run reads anew.
#[tokio::test]
async fn a_plan_that_runs_twice_reads_a_database_twice() {
    let f = fixture().await;
    let s = &f.session;
    let statement = s.parse("SELECT * FROM sales.public.branch_codes").unwrap().remove(0);
    let planned = s.plan(&statement, Default::default()).await.unwrap();
    for _ in 0..2 {
        let ran =
            planned.execute(None).await.unwrap().stream.try_collect::<Vec<_>>().await.unwrap();
        assert_eq!(ran.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    }
    run(s, "INSERT INTO sales.public.branch_codes VALUES (6)").await.unwrap();
    let options =
        crate::session::StatementOptions { pins: Some(planned.pins()), ..Default::default() };
    let again = s.plan(&statement, options).await.unwrap();
    let ran = again.execute(None).await.unwrap().stream.try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(ran.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
}
