//! The statement parser for DDL, SHOW, DESCRIBE, USE and CALL: it reads every token, or fails.
//!
//! The library's own parser accepts these statements and drops clauses on the way, so it is used
//! for the queries inside them alone.

use sqlparser::parser::Parser;

use crate::error::Result;
use crate::sql::ddl::ast::DdlStatement;
use crate::sql::ddl::cursor::Cursor;
use crate::sql::ddl::{
    parse_alter, parse_analyze, parse_call, parse_catalog, parse_create, parse_show,
};

/// Reads one statement of ours from where `parser` stands, up to its `;` or the end, neither of
/// which is taken. `source` is the text that the tokens' positions count in (the whole script).
///
/// `None` when the statement belongs to somebody else; no token was taken then.
///
/// # Errors
/// `Syntax` with line and column; `Unsupported` naming the clause; `Invalid` for values that do
/// not fit.
pub fn parse_ddl(parser: &mut Parser<'_>, source: &str) -> Result<Option<DdlStatement>> {
    let mut cursor = Cursor::new(parser, source);
    let first = cursor.word_ahead(0);
    let statement = match first.as_str() {
        "CREATE" => parse_create::create(&mut cursor)?,
        // `REPLACE INTO` is somebody else's.
        "REPLACE" if cursor.peek_word(1, "table") => parse_create::create(&mut cursor)?,
        "DROP" => drop_object(&mut cursor)?,
        "ALTER" => parse_alter::alter(&mut cursor)?,
        "COMMENT" => parse_alter::comment(&mut cursor)?,
        "ANALYZE" => parse_analyze::analyze(&mut cursor)?,
        "CALL" => parse_call::call(&mut cursor)?,
        "DESCRIBE" | "DESC" => parse_show::describe(&mut cursor)?,
        "USE" => parse_show::use_schema(&mut cursor)?,
        "SHOW" => match parse_show::show(&mut cursor)? {
            Some(statement) => statement,
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    cursor.expect_end(&format!("the {first} statement"))?;
    Ok(Some(statement))
}

fn drop_object(cursor: &mut Cursor<'_, '_, '_>) -> Result<DdlStatement> {
    cursor.skip(1);
    let what = cursor.word_ahead(0);
    cursor.skip(1);
    if what == "CATALOG" {
        return parse_catalog::drop(cursor);
    }
    if !["TABLE", "VIEW", "SCHEMA", "DATABASE", "NAMESPACE"].contains(&what.as_str()) {
        let hint = match what.as_str() {
            "MATERIALIZED" => "; there are no materialized views",
            _ => "; tables, views, schemas and catalogs can be dropped",
        };
        return cursor.unsupported(format!("DROP {what} is not supported{hint}"));
    }
    let if_exists = cursor.eat(&["if", "exists"]);
    let name = cursor.path("a name")?;
    if matches!(cursor.peek(0), sqlparser::tokenizer::Token::Comma) {
        return cursor.unsupported("dropping several at once is not supported: one DROP each");
    }
    if what == "VIEW" {
        refuse_cascade(cursor, "DROP VIEW")?;
        return Ok(DdlStatement::DropView { name, if_exists });
    }
    if what == "TABLE" {
        let purge = cursor.eat(&["purge"]);
        refuse_cascade(cursor, "DROP TABLE")?;
        return Ok(DdlStatement::DropTable { name, if_exists, purge });
    }
    let cascade = cursor.eat(&["cascade"]);
    if !cascade {
        // What is not empty is never dropped without CASCADE.
        cursor.eat(&["restrict"]);
    }
    Ok(DdlStatement::DropSchema { name, if_exists, cascade })
}

fn refuse_cascade(cursor: &Cursor<'_, '_, '_>, statement: &str) -> Result<()> {
    if cursor.peek_word(0, "cascade") || cursor.peek_word(0, "restrict") {
        return cursor.unsupported(format!(
            "{statement} … CASCADE and RESTRICT are not supported: views that read it are kept"
        ));
    }
    Ok(())
}

impl DdlStatement {
    /// Whether it only reads: its result is rows, and running it twice does no harm.
    pub fn is_read_only(&self) -> bool {
        matches!(self, DdlStatement::Show(_) | DdlStatement::Describe(_))
    }
}

#[cfg(test)]
mod tests {
    use fjord_catalog::evolve::ColumnPosition;
    use fjord_catalog::references::ReferenceChange;
    use fjord_catalog::spec::{PrimitiveType, Transform, Type};
    use sqlparser::dialect::GenericDialect;

    use super::*;
    use crate::sql::ddl::ast::{
        AlterAction, AlterViewAction, CommentTarget, CreateTableStatement, Describe, IfTaken,
        LikePattern, ObjectPath, Show, TableElement,
    };
    use crate::sql::literal::WrittenLiteral;

    fn parse(sql: &str) -> Result<Option<DdlStatement>> {
        let dialect = GenericDialect {};
        let mut parser = Parser::new(&dialect).try_with_sql(sql).unwrap();
        parse_ddl(&mut parser, sql)
    }

    fn ok(sql: &str) -> DdlStatement {
        match parse(sql) {
            Ok(Some(statement)) => statement,
            other => panic!("{sql}: {other:?}"),
        }
    }

    fn table(sql: &str) -> CreateTableStatement {
        match ok(sql) {
            DdlStatement::CreateTable(table) => *table,
            other => panic!("{sql}: {other:?}"),
        }
    }

    fn actions(sql: &str) -> Vec<AlterAction> {
        match ok(sql) {
            DdlStatement::AlterTable { actions, .. } => actions,
            other => panic!("{sql}: {other:?}"),
        }
    }

    fn check_refused(sql: &str, part: &str) {
        let message = match parse(sql) {
            Err(e) => e.to_string(),
            Ok(statement) => panic!("{sql}: accepted as {statement:?}"),
        };
        assert!(message.contains(part), "{sql}: {message}");
    }

    fn path(dotted: &str) -> ObjectPath {
        ObjectPath(dotted.split('.').map(str::to_owned).collect())
    }

    fn column_names(table: &CreateTableStatement) -> Vec<&str> {
        fn name(element: &TableElement) -> &str {
            match element {
                TableElement::Column(column) => &column.path[0],
                TableElement::Like(_) => "(like)",
            }
        }
        table.elements.iter().map(name).collect()
    }

    #[test]
    fn create_table_means_the_same_in_both_spellings() {
        let spark = table(
            "CREATE TABLE IF NOT EXISTS s.t (id BIGINT NOT NULL COMMENT 'key', ts TIMESTAMP) \
             USING iceberg PARTITIONED BY (days(ts), bucket(16, id)) LOCATION 'file:///x' \
             COMMENT 'c' TBLPROPERTIES ('format-version'='3', 'owner'='me')",
        );
        let trino = table(
            "create table if not exists s.t (id bigint not null comment 'key', ts timestamp(6)) \
             comment 'c' with (format = 'PARQUET', format_version = 3, location = 'file:///x', \
             partitioning = ARRAY['day(ts)', 'bucket(id, 16)'], \
             extra_properties = map(array['owner'], array['me']))",
        );
        assert_eq!(spark, trino);
        assert_eq!(spark.if_taken, IfTaken::Skip);
        assert_eq!(spark.format_version, Some(3));
        assert_eq!(spark.partitioning[1].transform, Transform::Bucket(16));
        assert_eq!(spark.properties, [("owner".to_owned(), "me".to_owned())]);
        assert_eq!(column_names(&spark), ["id", "ts"]);
    }

    #[test]
    fn unquoted_names_fold_and_quoted_names_stay() {
        let table =
            table("CREATE TABLE Cat.Sch.\"T x\" (CustomerId int, \"CustomerId2\" int, `B` int)");
        assert_eq!(table.name, path("cat.sch.T x"));
        assert_eq!(column_names(&table), ["customerid", "CustomerId2", "B"]);
    }

    #[test]
    fn words_of_sql_may_be_column_names() {
        let table =
            table("CREATE TABLE t (comment varchar COMMENT 'x', date date, unique int, check int)");
        assert_eq!(column_names(&table), ["comment", "date", "unique", "check"]);
    }

    #[test]
    fn sorted_tables_and_defaults_are_read() {
        let written = table(
            "CREATE TABLE t (a int DEFAULT -5, b varchar DEFAULT 'x' NOT NULL) WRITE ORDERED BY a DESC, bucket(4, b)",
        );
        let with = table(
            "CREATE TABLE t (a int DEFAULT -5, b varchar NOT NULL DEFAULT 'x') WITH (sorted_by = ARRAY['a DESC', 'bucket(b, 4)'])",
        );
        assert_eq!(written, with);
        assert_eq!(written.sorted_by.len(), 2);
    }

    #[test]
    fn a_table_is_made_like_another() {
        let like = table("CREATE TABLE t (LIKE s.o INCLUDING PROPERTIES, extra int)");
        assert!(matches!(&like.elements[0], TableElement::Like(l) if l.including_properties));
        assert_eq!(like.elements.len(), 2);
        assert_eq!(table("CREATE TABLE t LIKE o").elements.len(), 1);
    }

    #[test]
    fn create_table_as_keeps_its_query_and_its_clauses() {
        let sql =
            "CREATE OR REPLACE TABLE t (a, b)\n PARTITIONED BY (a) AS\n SELECT 1 AS x,  'é' ;";
        let ctas = table(sql);
        assert_eq!(ctas.if_taken, IfTaken::Replace);
        assert_eq!(ctas.column_names, ["a", "b"]);
        assert_eq!(ctas.query.unwrap().text, "SELECT 1 AS x,  'é'");
        assert!(!table("CREATE TABLE t AS (SELECT 1 AS x) WITH NO DATA").with_data);
        assert!(table("CREATE TABLE t AS SELECT * FROM u WITH DATA").with_data);
        assert_eq!(table("REPLACE TABLE t AS SELECT 1 AS x").if_taken, IfTaken::MustReplace);
    }

    #[test]
    fn clauses_of_create_table_that_nobody_honours_are_refused_by_name() {
        for (sql, part) in [
            ("CREATE TABLE t", "needs columns"),
            ("CREATE TABLE t (a)", "need types"),
            ("CREATE TABLE t (a, b int)", "no type"),
            ("CREATE TABLE t (a int) AS SELECT 1", "column types from the query"),
            ("CREATE TABLE t (a int PRIMARY KEY)", "PRIMARY"),
            ("CREATE TABLE t (a int, PRIMARY KEY (a))", "PRIMARY KEY"),
            ("CREATE TABLE t (a int, CONSTRAINT pk PRIMARY KEY (a))", "CONSTRAINT"),
            ("CREATE TABLE t (a int UNIQUE)", "UNIQUE"),
            ("CREATE TABLE t (a int, UNIQUE (a))", "UNIQUE"),
            ("CREATE TABLE t (a int CHECK (a > 0))", "CHECK"),
            ("CREATE TABLE t (a int, CHECK (a > 0))", "CHECK"),
            ("CREATE TABLE t (a int GENERATED ALWAYS AS (1))", "GENERATED"),
            ("CREATE TABLE t (a varchar COLLATE de)", "COLLATE"),
            ("CREATE TABLE t (a int REFERENCES o (a))", "REFERENCES"),
            ("CREATE TABLE t (a int NOT NULL NULL)", "NULL"),
            ("CREATE TABLE t (a int DEFAULT 1 DEFAULT 2)", "DEFAULT"),
            ("CREATE TABLE t (a int DEFAULT now())", "literal"),
            ("CREATE TABLE t (a int DEFAULT 'x')", "not a value of type integer"),
            ("CREATE TABLE t (a varchar(10))", "column \"a\""),
            ("CREATE TABLE t (a int) USING delta", "delta"),
            ("CREATE TABLE t (a int) STORED AS ORC", "STORED"),
            ("CREATE TABLE t (a int) CLUSTERED BY (a) INTO 4 BUCKETS", "bucket(n, column)"),
            ("CREATE TABLE t (a int) PARTITIONED BY (dt string)", "column list"),
            ("CREATE TABLE t (a int) PARTITIONED BY (a) PARTITIONED BY (a)", "two PARTITIONED BY"),
            ("CREATE TABLE t (a int) LOCATION 'a' WITH (location = 'b')", "two LOCATION"),
            ("CREATE TABLE t (a int) WITH (format = 'ORC')", "PARQUET"),
            ("CREATE TABLE t (a int) WITH (nonsense = 1)", "nonsense"),
            ("CREATE TABLE t (a int) TBLPROPERTIES (write.target-file-size-bytes = 1)", "quotes"),
            ("CREATE TABLE t (a int) TBLPROPERTIES ('a'='1', 'a'='2')", "twice"),
            ("CREATE TABLE t (a int) something", "SOMETHING"),
            ("CREATE TABLE t (a int) COMMENT 'x' 'y'", "clause of CREATE TABLE"),
            ("CREATE OR REPLACE TABLE IF NOT EXISTS t (a int)", "exclude each other"),
            ("CREATE TABLE t AS SELECT 1 LOCATION 'x' COMMENT", "CREATE TABLE AS"),
            ("CREATE TEMPORARY TABLE t (a int)", "TEMPORARY"),
            ("CREATE EXTERNAL TABLE t (a int)", "read_parquet"),
            ("CREATE MATERIALIZED VIEW v AS SELECT 1", "MATERIALIZED"),
            ("CREATE INDEX i ON t (a)", "INDEX"),
            ("CREATE FUNCTION f() RETURN 1", "FUNCTION"),
            ("CREATE TABLE t LIKE o INCLUDING DEFAULTS", "INCLUDING PROPERTIES"),
        ] {
            let sql_lower = part.to_lowercase();
            let message = parse(sql).expect_err(sql).to_string();
            assert!(message.to_lowercase().contains(&sql_lower), "{sql}: {message}");
        }
    }

    #[test]
    fn syntax_errors_say_where() {
        let error = parse("CREATE TABLE t (\n  a int,\n  b )").unwrap_err();
        assert!(error.to_string().contains("no type"), "{error}");
        let error = parse("CREATE TABLE t (\n  a int,\n  b int").unwrap_err();
        assert_eq!(error.to_string(), "expected \")\", found the end of the statement");
        let error = parse("DROP TABLE t\n 5").unwrap_err();
        assert_eq!(
            error.to_string(),
            "expected the end of the DROP statement, found \"5\" at line 2, column 2"
        );
    }

    #[test]
    fn views_keep_their_text() {
        let DdlStatement::CreateView(view) = ok(
            "CREATE OR REPLACE VIEW v (a COMMENT 'first', b) COMMENT 'all' TBLPROPERTIES ('k'='v') AS select  1, 2",
        ) else {
            panic!()
        };
        assert_eq!(view.query.text, "select  1, 2");
        assert_eq!(view.columns[0], ("a".to_owned(), Some("first".to_owned())));
        assert_eq!((view.comment.as_deref(), view.if_taken), (Some("all"), IfTaken::Replace));
        check_refused("CREATE VIEW v SECURITY INVOKER AS SELECT 1", "SECURITY");
        check_refused("CREATE VIEW v", "AS");
        check_refused("CREATE VIEW v AS SELECT 1 WITH CHECK OPTION", "CHECK OPTION");
        check_refused("CREATE TEMP VIEW v AS SELECT 1", "TEMP");
    }

    #[test]
    fn drops_are_read_with_every_clause() {
        assert_eq!(
            ok("DROP TABLE IF EXISTS a.b PURGE;"),
            DdlStatement::DropTable { name: path("a.b"), if_exists: true, purge: true }
        );
        assert_eq!(ok("drop view v"), DdlStatement::DropView { name: path("v"), if_exists: false });
        assert_eq!(
            ok("DROP SCHEMA IF EXISTS s CASCADE"),
            DdlStatement::DropSchema { name: path("s"), if_exists: true, cascade: true }
        );
        assert_eq!(
            ok("DROP DATABASE s RESTRICT"),
            DdlStatement::DropSchema { name: path("s"), if_exists: false, cascade: false }
        );
        check_refused("DROP TABLE a, b", "one DROP each");
        check_refused("DROP TABLE a CASCADE", "CASCADE");
        check_refused("DROP VIEW a PURGE", "PURGE");
        check_refused("DROP INDEX i", "INDEX");
        check_refused("DROP TABLE", "a name");
    }

    #[test]
    fn schemas_are_created_with_properties() {
        let expected = |properties: &[(&str, &str)]| DdlStatement::CreateSchema {
            name: path("c.s"),
            if_not_exists: true,
            properties: properties
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        };
        assert_eq!(
            ok("CREATE SCHEMA IF NOT EXISTS c.s WITH (location = 's3://b/s')"),
            expected(&[("location", "s3://b/s")])
        );
        assert_eq!(
            ok(
                "CREATE DATABASE IF NOT EXISTS c.s COMMENT 'x' LOCATION 'l' WITH DBPROPERTIES ('k'='v')"
            ),
            expected(&[("comment", "x"), ("location", "l"), ("k", "v")])
        );
        check_refused("CREATE SCHEMA s AUTHORIZATION me", "AUTHORIZATION");
        check_refused("CREATE SCHEMA s LOCATION 'a' LOCATION 'b'", "twice");
        check_refused("CREATE SCHEMA s whatever", "COMMENT");
        check_refused("ALTER SCHEMA s RENAME TO t", "RENAME");
        check_refused("ALTER SCHEMA s SET LOCATION 'x'", "LOCATION");
    }

    #[test]
    fn alter_table_reads_column_changes_of_both_dialects() {
        let added = actions(
            "ALTER TABLE t ADD COLUMN a.b int COMMENT 'x', ADD COLUMN IF NOT EXISTS c varchar",
        );
        assert!(matches!(&added[0], AlterAction::AddColumn { column, if_not_exists: false, .. }
            if column.path == ["a", "b"] && column.comment.as_deref() == Some("x")));
        assert!(matches!(&added[1], AlterAction::AddColumn { if_not_exists: true, .. }));
        assert_eq!(actions("ALTER TABLE t ADD COLUMNS (a int, b map<string,int>)").len(), 2);
        assert_eq!(
            actions("ALTER TABLE t DROP COLUMN IF EXISTS a.b"),
            [AlterAction::DropColumn { path: path("a.b").0, if_exists: true }]
        );
        assert_eq!(actions("ALTER TABLE t DROP COLUMNS (a, b)").len(), 2);
        assert_eq!(
            actions("ALTER TABLE t RENAME COLUMN a.b TO c"),
            [AlterAction::RenameColumn {
                path: path("a.b").0,
                to: "c".to_owned(),
                if_exists: false
            }]
        );
        let long = Type::Primitive(PrimitiveType::Long);
        for sql in [
            "ALTER TABLE t ALTER COLUMN a TYPE bigint",
            "ALTER TABLE t ALTER COLUMN a SET DATA TYPE bigint",
            "ALTER TABLE t CHANGE COLUMN a a bigint",
        ] {
            assert_eq!(actions(sql), [AlterAction::SetType(path("a").0, long.clone())], "{sql}");
        }
        assert_eq!(actions("ALTER TABLE t CHANGE a b bigint COMMENT 'x'").len(), 3);
        assert_eq!(
            actions("ALTER TABLE t ALTER COLUMN a DROP NOT NULL"),
            [AlterAction::DropNotNull(path("a").0)]
        );
        assert_eq!(
            actions("ALTER TABLE t ALTER COLUMN a COMMENT 'x'"),
            [AlterAction::CommentColumn(path("a").0, Some("x".to_owned()))]
        );
        assert_eq!(actions("ALTER TABLE t RENAME TO s.u"), [AlterAction::RenameTo(path("s.u"))]);
    }

    #[test]
    fn alter_table_reads_places_and_defaults() {
        let a = || path("a").0;
        let moved = |position| [AlterAction::MoveColumn(a(), position)];
        let after = ColumnPosition::After("b".to_owned());
        assert_eq!(actions("ALTER TABLE t ALTER COLUMN a FIRST"), moved(ColumnPosition::First));
        assert_eq!(actions("ALTER TABLE t ALTER COLUMN a LAST"), moved(ColumnPosition::Last));
        assert_eq!(actions("ALTER TABLE t ALTER a AFTER B"), moved(after.clone()));
        let added = actions("ALTER TABLE t ADD COLUMNS (c int NOT NULL DEFAULT 1 AFTER b, d int)");
        let places: Vec<_> = added
            .iter()
            .map(|action| match action {
                AlterAction::AddColumn { position, .. } => position.clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(places, [after, ColumnPosition::Last]);
        let default = |written| [AlterAction::SetDefault(a(), written)];
        let one = Some(WrittenLiteral::Number("-1.5".to_owned()));
        assert_eq!(actions("ALTER TABLE t ALTER COLUMN a SET DEFAULT -1.5"), default(one));
        assert_eq!(actions("ALTER TABLE t ALTER COLUMN a SET DEFAULT NULL"), default(None));
        assert_eq!(actions("ALTER TABLE t ALTER COLUMN a DROP DEFAULT"), default(None));
    }

    #[test]
    fn alter_table_reads_properties_partitioning_and_rollback() {
        let set = [AlterAction::Properties {
            changes: vec![("write.parquet.compression-codec".to_owned(), Some("gzip".to_owned()))],
            must_exist: false,
        }];
        assert_eq!(actions("ALTER TABLE t SET PROPERTIES compression_codec = 'GZIP'"), set);
        assert_eq!(
            actions("ALTER TABLE t SET TBLPROPERTIES ('write.parquet.compression-codec'='gzip')"),
            set
        );
        assert_eq!(
            actions("ALTER TABLE t UNSET TBLPROPERTIES IF EXISTS ('k')"),
            [AlterAction::Properties { changes: vec![("k".to_owned(), None)], must_exist: false }]
        );
        assert_eq!(
            actions("ALTER TABLE t SET PROPERTIES format_version = 3"),
            [AlterAction::UpgradeFormat(3)]
        );
        assert!(matches!(
            &actions("ALTER TABLE t SET PROPERTIES partitioning = ARRAY['day(ts)']")[..],
            [AlterAction::SetPartitioning(fields)] if fields.len() == 1
        ));
        assert!(matches!(
            &actions("ALTER TABLE t ADD PARTITION FIELD bucket(4, id) AS shard")[..],
            [AlterAction::AddPartitionField(field)] if field.name.as_deref() == Some("shard")
        ));
        assert!(matches!(
            &actions("ALTER TABLE t REPLACE PARTITION FIELD ts_day WITH hours(ts)")[..],
            [AlterAction::ReplacePartitionField(..)]
        ));
        assert_eq!(
            actions("ALTER TABLE t WRITE UNORDERED"),
            [AlterAction::SetSortOrder(Vec::new())]
        );
        for sql in [
            "ALTER TABLE iceberg.s.t EXECUTE rollback_to_snapshot(42)",
            "ALTER TABLE iceberg.s.t EXECUTE rollback_to_snapshot(snapshot_id => 42)",
            "CALL iceberg.system.rollback_to_snapshot('s', 't', 42)",
            "CALL iceberg.system.rollback_to_snapshot('s.t', 42)",
            "CALL iceberg.system.rollback_to_snapshot(table => 's.t', snapshot_id => 42)",
            "CALL system.rollback_to_snapshot('iceberg.s.t', 42)",
        ] {
            let rollback = DdlStatement::AlterTable {
                name: path("iceberg.s.t"),
                if_exists: false,
                actions: vec![AlterAction::References(ReferenceChange::RollbackTo(42))],
            };
            assert_eq!(ok(sql), rollback, "{sql}");
        }
    }

    #[test]
    fn alter_table_refuses_what_it_would_drop() {
        for (sql, part) in [
            ("ALTER TABLE t ADD COLUMN a int NOT NULL", "NOT NULL"),
            ("ALTER TABLE t ADD COLUMN a int AFTER", "a column name"),
            ("ALTER TABLE t ADD COLUMN a int FIRST AFTER b", "AFTER"),
            ("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0)", "CONSTRAINT"),
            ("ALTER TABLE t ADD PARTITION (dt = 1)", "PARTITION"),
            ("ALTER TABLE t DROP PARTITION (dt = 1)", "PARTITION"),
            ("ALTER TABLE t DROP COLUMN a CASCADE", "CASCADE"),
            ("ALTER TABLE t ALTER COLUMN a SET NOT NULL", "SET NOT NULL"),
            ("ALTER TABLE t ALTER COLUMN a SET DEFAULT 1 + 1", "+"),
            ("ALTER TABLE t ALTER COLUMN a SET DEFAULT now()", "literal"),
            ("ALTER TABLE t ALTER COLUMN a BEFORE b", "FIRST, LAST or AFTER"),
            ("ALTER TABLE t SET LOCATION 'x'", "SET LOCATION"),
            ("ALTER TABLE t SET PROPERTIES location = 'x'", "location"),
            ("ALTER TABLE t RENAME TO u, ADD COLUMN a int", "stand alone"),
            ("ALTER TABLE t EXECUTE optimize", "optimize"),
            ("ALTER TABLE t ENGINE = x", "ENGINE"),
            ("ALTER TABLE t", "not supported"),
            ("ALTER INDEX i RENAME TO j", "INDEX"),
            ("CALL system.expire_snapshots('s', 't')", "expire_snapshots"),
            ("CALL system.rollback_to_snapshot('t')", "snapshot_id"),
            ("CALL system.rollback_to_snapshot('s', 't', 'x')", "snapshot_id"),
            ("CALL system.rollback_to_snapshot(table => 't', table => 'u')", "snapshot_id"),
        ] {
            check_refused(sql, part);
        }
    }

    #[test]
    fn alter_view_and_comment_are_read() {
        assert!(matches!(
            ok("ALTER VIEW v AS SELECT 1"),
            DdlStatement::AlterView { action: AlterViewAction::SetQuery(q), .. } if q.text == "SELECT 1"
        ));
        assert!(matches!(
            ok("ALTER VIEW IF EXISTS v RENAME TO w"),
            DdlStatement::AlterView { if_exists: true, action: AlterViewAction::RenameTo(_), .. }
        ));
        assert_eq!(
            ok("COMMENT ON TABLE a.b IS 'x'"),
            DdlStatement::Comment {
                target: CommentTarget::Table(path("a.b")),
                comment: Some("x".to_owned())
            }
        );
        assert_eq!(
            ok("COMMENT ON COLUMN a.b.c IS NULL"),
            DdlStatement::Comment { target: CommentTarget::Column(path("a.b.c")), comment: None }
        );
        check_refused("COMMENT ON COLUMN a IS 'x'", "table.column");
        check_refused("COMMENT ON FUNCTION f IS 'x'", "TABLE, VIEW");
        check_refused("COMMENT ON TABLE t IS 5", "single quotes");
        check_refused("ALTER VIEW v SET x", "RENAME TO");
    }

    #[test]
    fn show_describe_and_use_are_read() {
        let like = |pattern: &str| Some(LikePattern { pattern: pattern.to_owned(), escape: None });
        for (sql, show) in [
            ("SHOW CATALOGS", Show::Catalogs(None)),
            ("SHOW SCHEMAS FROM c LIKE 'a%'", Show::Schemas(Some(path("c")), like("a%"))),
            ("SHOW DATABASES", Show::Schemas(None, None)),
            ("SHOW TABLES IN c.s LIKE '_x'", Show::Tables(Some(path("c.s")), like("_x"))),
            ("SHOW TABLES", Show::Tables(None, None)),
            ("SHOW VIEWS FROM s", Show::Views(Some(path("s")), None)),
            ("SHOW COLUMNS FROM t", Show::Columns(path("t"), None)),
            ("SHOW FUNCTIONS LIKE 'sum'", Show::Functions(like("sum"))),
            ("SHOW CREATE TABLE a.t", Show::CreateTable(path("a.t"))),
            ("SHOW CREATE VIEW v", Show::CreateView(path("v"))),
            ("SHOW CREATE SCHEMA s", Show::CreateSchema(path("s"))),
            ("SHOW TBLPROPERTIES t ('k')", Show::Properties(path("t"), Some("k".to_owned()))),
        ] {
            assert_eq!(ok(sql), DdlStatement::Show(show), "{sql}");
        }
        for (sql, extended) in [
            ("DESCRIBE t", false),
            ("DESC TABLE t", false),
            ("DESCRIBE FORMATTED t", true),
            ("DESCRIBE EXTENDED t", true),
        ] {
            let describe = Describe::Relation { name: path("t"), extended };
            assert_eq!(ok(sql), DdlStatement::Describe(describe), "{sql}");
        }
        assert!(matches!(ok("DESCRIBE SELECT 1"), DdlStatement::Describe(Describe::Query(_))));
        assert_eq!(ok("USE c.s"), DdlStatement::Use(path("c.s")));
        check_refused("SHOW TABLES LIKE 'a*'", "written %");
        check_refused("SHOW TABLES LIKE 'a' ESCAPE 'xy'", "one character");
        check_refused("SHOW COLUMNS", "FROM");
        check_refused("SHOW PARTITIONS t", "$partitions");
        check_refused("SHOW TABLES EXTENDED", "the end of the SHOW statement");
        check_refused("DESCRIBE t a", "the end of the DESCRIBE statement");
        check_refused("DESCRIBE OUTPUT p", "OUTPUT");
        check_refused("USE", "a schema name");
    }

    #[test]
    fn statements_of_others_are_left_alone() {
        for sql in [
            "SELECT 1",
            "INSERT INTO t VALUES (1)",
            "SHOW ALL",
            "SHOW datafusion.execution.batch_size",
            "REPLACE INTO t VALUES (1)",
            "EXPLAIN SELECT 1",
            "SET a = 1",
        ] {
            let dialect = GenericDialect {};
            let mut parser = Parser::new(&dialect).try_with_sql(sql).unwrap();
            assert_eq!(parse_ddl(&mut parser, sql).unwrap(), None, "{sql}");
            assert_eq!(parser.peek_token().token.to_string(), sql.split(' ').next().unwrap());
        }
    }
}
