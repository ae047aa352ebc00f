//! DDL, SHOW and the information schema against an embedded catalog.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::display::array_value_to_string;
use fjord_catalog::catalog::Catalog;
use fjord_catalog::embedded::{Embedded, EmbeddedOptions};
use fjord_catalog::storage::Storage;
use futures::TryStreamExt;
use tempfile::TempDir;

use crate::error::Error;
use crate::query::ResultKind;
use crate::session::{Session, SessionOptions};
use crate::sql::testing::engine;

struct Lake {
    session: Session,
    _directory: TempDir,
}

impl Lake {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let warehouse = format!("file://{}/warehouse", directory.path().display());
        let options = EmbeddedOptions::new(directory.path().join("catalog.db"), &warehouse);
        let embedded = Arc::new(Embedded::open(options).await.unwrap());
        let engine = engine(1 << 30);
        engine.mount(Catalog::new("iceberg", embedded, Storage::local(), warehouse)).unwrap();
        let lake =
            Self { session: engine.session(SessionOptions::default()), _directory: directory };
        lake.done("CREATE SCHEMA IF NOT EXISTS \"default\"").await;
        lake
    }

    async fn run(&self, sql: &str) -> Result<(ResultKind, Vec<RecordBatch>), Error> {
        let statements = self.session.parse(sql)?;
        let [statement] = statements.as_slice() else { panic!("one statement: {sql}") };
        let result = self.session.execute(statement).await?;
        let batches = result.stream.try_collect().await.map_err(Error::from)?;
        Ok((result.kind, batches))
    }

    async fn done(&self, sql: &str) -> String {
        match self.run(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}")).0 {
            ResultKind::Done(text) => text,
            other => panic!("{sql}: {other:?}"),
        }
    }

    async fn fails(&self, sql: &str, part: &str) {
        let message = match self.run(sql).await {
            Ok(_) => panic!("{sql}: succeeded"),
            Err(e) => e.to_string(),
        };
        assert!(message.contains(part), "{sql}: {message}");
    }

    /// Rows as text, cells joined by `|`.
    async fn rows(&self, sql: &str) -> Vec<String> {
        let batches = self.run(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}")).1;
        let mut rows = Vec::new();
        for batch in batches {
            for row in 0..batch.num_rows() {
                let cells: Vec<String> = batch
                    .columns()
                    .iter()
                    .map(|column| array_value_to_string(column, row).unwrap())
                    .collect();
                rows.push(cells.join("|"));
            }
        }
        rows
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn show_create_table_makes_the_same_table_again() {
    let lake = Lake::new().await;
    let sql = "CREATE TABLE made (id bigint NOT NULL COMMENT 'it''s', \"Name X\" varchar DEFAULT 'a', \
               n decimal(9,2) DEFAULT -1.50, ts timestamp with time zone, ns timestamp(9), \
               r row(a integer NOT NULL COMMENT 'in', b array(map(varchar, double))), u uuid, f fixed(4)) \
               COMMENT 'all of it' WITH (format_version = 3, \
               partitioning = ARRAY['day(ts)', 'bucket(id, 4)', 'truncate(\"Name X\", 2) AS short', 'r.a'], \
               sorted_by = ARRAY['id DESC NULLS FIRST', '\"Name X\"'], compression_codec = 'GZIP')";
    lake.done(sql).await;
    let first = lake.rows("SHOW CREATE TABLE made").await.remove(0);
    let again = first.replacen(".made", ".again", 1);
    lake.done(&again).await;
    let second = lake.rows("SHOW CREATE TABLE again").await.remove(0);
    assert_eq!(second, again);
    assert!(!first.contains("location"), "{first}");
    for part in [
        "\"Name X\" varchar DEFAULT 'a'",
        "AS short",
        "bucket(id, 4)",
        "format_version = 3",
        "'gzip'",
    ] {
        assert!(first.contains(part), "{part} in {first}");
    }
    let like = lake.done("CREATE TABLE alike (LIKE made INCLUDING PROPERTIES)").await;
    assert_eq!(like, "created table iceberg.default.alike");
    let third = lake.rows("SHOW CREATE TABLE alike").await.remove(0);
    assert_eq!(third, first.replacen(".made", ".alike", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_lives_from_create_to_drop() {
    let lake = Lake::new().await;
    lake.done("CREATE TABLE t (a int NOT NULL, b varchar)").await;
    lake.fails("CREATE TABLE T (a int)", "already exists").await;
    assert!(lake.done("CREATE TABLE IF NOT EXISTS t (z int)").await.contains("skipped"));
    lake.done("ALTER TABLE t ADD COLUMN c row(x int), ADD COLUMN c.y date COMMENT 'day'").await;
    lake.done("ALTER TABLE t RENAME COLUMN B TO name").await;
    lake.done("ALTER TABLE t ALTER COLUMN a TYPE bigint").await;
    lake.done("ALTER TABLE t ALTER COLUMN a TYPE bigint").await;
    lake.done("ALTER TABLE t ALTER COLUMN a DROP NOT NULL").await;
    lake.done("COMMENT ON COLUMN t.a IS 'key'").await;
    lake.done("COMMENT ON TABLE t IS 'things'").await;
    assert_eq!(
        lake.rows("DESCRIBE t").await,
        ["a|bigint||key", "name|varchar||", "c|row(x integer, y date)||"]
    );
    lake.fails("ALTER TABLE t DROP COLUMN zz", "zz").await;
    lake.done("ALTER TABLE t DROP COLUMN IF EXISTS zz").await;
    lake.done("ALTER TABLE t SET TBLPROPERTIES ('k' = 'v')").await;
    assert_eq!(lake.rows("SHOW TBLPROPERTIES t ('k')").await, ["k|v"]);
    lake.done("ALTER TABLE t UNSET TBLPROPERTIES ('k')").await;
    lake.fails("ALTER TABLE t UNSET TBLPROPERTIES ('k')", "not set").await;
    lake.done("ALTER TABLE t ADD PARTITION FIELD bucket(4, a)").await;
    lake.done("ALTER TABLE t REPLACE PARTITION FIELD a_bucket WITH truncate(name, 2)").await;
    let shown = lake.rows("SHOW CREATE TABLE t").await.remove(0);
    assert!(shown.contains("ARRAY['truncate(name, 2)']"), "{shown}");
    lake.fails("ALTER TABLE t DROP PARTITION FIELD a_bucket", "there are name_trunc").await;
    lake.done("ALTER TABLE t SET PROPERTIES partitioning = ARRAY[], format_version = 3").await;
    lake.fails("ALTER TABLE t SET PROPERTIES format_version = 2", "cannot be taken back").await;
    lake.done("ALTER TABLE t RENAME TO u").await;
    lake.fails("ALTER TABLE t RENAME TO v", "not found").await;
    assert!(lake.done("ALTER TABLE IF EXISTS t RENAME TO v").await.contains("skipped"));
    lake.fails("DROP VIEW u", "is a table").await;
    assert_eq!(lake.done("DROP TABLE u").await, "dropped table iceberg.default.u");
    lake.fails("DROP TABLE u", "not found").await;
    assert!(lake.done("DROP TABLE IF EXISTS u").await.contains("skipped"));
}

#[tokio::test(flavor = "multi_thread")]
async fn views_are_planned_before_they_are_stored() {
    let lake = Lake::new().await;
    lake.done("CREATE TABLE t (a int, b varchar)").await;
    lake.done("CREATE VIEW v (x COMMENT 'first', y) COMMENT 'c' AS SELECT a, b FROM t").await;
    assert_eq!(lake.rows("DESCRIBE v").await, ["x|integer||first", "y|varchar||"]);
    let shown = lake.rows("SHOW CREATE VIEW v").await.remove(0);
    lake.fails("CREATE VIEW v AS SELECT 1 AS x", "already exists").await;
    lake.done(&shown.replacen("CREATE", "CREATE OR REPLACE", 1)).await;
    assert_eq!(lake.rows("SHOW CREATE VIEW v").await, [shown]);
    lake.fails("CREATE VIEW w AS SELECT nope FROM t", "nope").await;
    lake.fails("CREATE VIEW w AS SELECT a, a FROM t", "\"a\" twice").await;
    lake.fails("CREATE VIEW w (x) AS SELECT a, b FROM t", "yields 2").await;
    lake.fails("CREATE VIEW t AS SELECT 1 AS a", "is a table").await;
    lake.fails("CREATE TABLE v (a int)", "is a view").await;
    lake.fails("DROP TABLE v", "is a view: use DROP VIEW").await;
    lake.fails("DROP TABLE IF EXISTS v", "is a view").await;
    lake.done("CREATE VIEW w AS SELECT * FROM v").await;
    lake.fails("CREATE OR REPLACE VIEW v AS SELECT * FROM w", "itself").await;
    lake.fails("ALTER VIEW v AS SELECT * FROM v", "itself").await;
    lake.done("ALTER VIEW w AS SELECT b FROM t").await;
    lake.done("ALTER VIEW w RENAME TO z").await;
    assert_eq!(lake.rows("SHOW VIEWS").await, ["v", "z"]);
    lake.done("DROP VIEW z").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_are_made_shown_and_dropped() {
    let lake = Lake::new().await;
    lake.done("CREATE SCHEMA s COMMENT 'c'").await;
    lake.fails("CREATE SCHEMA s", "exists already").await;
    assert_eq!(
        lake.rows("SHOW CREATE SCHEMA s").await,
        ["CREATE SCHEMA iceberg.s\nWITH (\n   comment = 'c'\n)".replace("comment", "'comment'")]
    );
    assert_eq!(lake.rows("SHOW SCHEMAS").await, ["default", "information_schema", "s"]);
    assert_eq!(lake.rows("SHOW SCHEMAS LIKE 'S'").await, ["s"]);
    lake.done("CREATE TABLE s.t (a int)").await;
    lake.fails("DROP SCHEMA s", "holds t; DROP SCHEMA … CASCADE").await;
    let dropped = lake.done("DROP SCHEMA s CASCADE").await;
    assert_eq!(dropped, "dropped schema iceberg.s with 1 tables and 0 views");
    assert!(lake.done("DROP SCHEMA IF EXISTS s").await.contains("skipped"));
    lake.fails("CREATE TABLE s.t (a int)", "s").await;
    lake.fails("CREATE SCHEMA information_schema", "read-only").await;
    lake.fails("DROP TABLE information_schema.tables", "read-only").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_information_schema_lists_what_its_filters_admit() {
    let lake = Lake::new().await;
    lake.done("CREATE TABLE t (a int NOT NULL COMMENT 'x', \"B\" varchar)").await;
    lake.done("CREATE VIEW v AS SELECT a FROM t").await;
    let tables = "SELECT table_name, table_type FROM information_schema.tables \
                  WHERE table_schema = 'default' ORDER BY 1";
    assert_eq!(lake.rows(tables).await, ["t|BASE TABLE", "v|VIEW"]);
    let columns = "SELECT table_name, column_name, ordinal_position, is_nullable, data_type, comment \
                   FROM iceberg.information_schema.columns WHERE table_schema = 'default' \
                   AND table_name IN ('t', 'v') AND column_name <> 'nope' ORDER BY 1, 3";
    assert_eq!(
        lake.rows(columns).await,
        ["t|a|1|NO|integer|x", "t|B|2|YES|varchar|", "v|a|1|YES|integer|"]
    );
    let views = "SELECT view_definition FROM information_schema.views WHERE table_name LIKE 'v%'";
    assert_eq!(lake.rows(views).await, ["SELECT a FROM t"]);
    let schemas = "SELECT schema_name FROM information_schema.schemata ORDER BY 1";
    assert_eq!(lake.rows(schemas).await, ["default", "information_schema"]);
    assert_eq!(lake.rows("SELECT count(*) FROM information_schema.tables").await, ["7"]);
    lake.fails("SELECT * FROM information_schema.nope", "there are columns, schemata").await;
    assert_eq!(lake.rows("SHOW COLUMNS FROM information_schema.schemata").await.len(), 2);
    assert_eq!(lake.rows("SHOW CATALOGS").await, ["iceberg"]);
    assert_eq!(lake.rows("SHOW TABLES LIKE 'T'").await, ["t"]);
    assert_eq!(lake.rows("DESCRIBE SELECT 1 AS one").await, ["one|bigint|not null|"]);
    assert!(lake.rows("SHOW FUNCTIONS LIKE 'sum'").await[0].starts_with("sum|aggregate"));
    assert!(lake.rows("DESCRIBE EXTENDED t").await.iter().any(|row| row.starts_with("Location|")));
}
