//! What each statement needs, decided after its names are completed and before any of it runs.
//!
//! Reads are checked where relations are opened (`resolve`), so that those inside views count; a
//! file that `read_*` or COPY names is the session's file policy's.

use sqlparser::ast::{self, Statement as Sql, TableFactor, TableObject, TableWithJoins};

use super::context::{QualifiedName, StatementContext, name_parts};
use super::ddl::ast::{
    AlterAction, AlterViewAction, CatalogStatement, CommentTarget, DdlStatement, Describe,
    ObjectPath, Show, TableElement,
};
use super::foreign::object;
use super::statement::Parsed;
use super::{branch, foreign, information_schema};
use crate::access::{AccessObject, Privilege};
use crate::error::Result;

/// Refuses a statement that the session's user may not run. EXECUTE is checked as the statement
/// that it runs, when it runs it; EXPLAIN as the statement that it explains.
pub(crate) fn check(ctx: &StatementContext, statement: &Parsed) -> Result<()> {
    if ctx.access.is_none() {
        return Ok(());
    }
    match statement {
        Parsed::Sql(sql) => check_sql(ctx, sql),
        Parsed::Ddl(statement) => check_ddl(ctx, statement),
        Parsed::Explain(explain) => check(ctx, &explain.statement),
        Parsed::Copy(_) | Parsed::Prepare(..) => Ok(()),
    }
}

/// Refuses what the user may not do to a table or view.
pub(crate) fn permit(
    ctx: &StatementContext,
    privilege: Privilege,
    name: &QualifiedName,
) -> Result<()> {
    let Some(policy) = &ctx.access else { return Ok(()) };
    let schema = name.name.namespace.to_string();
    let table = name.name.name.as_str();
    // The rights to "t$snapshots" are those to t.
    let table = table.rsplit_once('$').map_or(table, |(base, _)| base);
    // And those to "t@dev", where a catalog has branches of its own.
    name.catalog.metastore().rights_to(table).into_iter().try_for_each(|table| {
        let catalog = name.catalog.name();
        let object = AccessObject { catalog, schema: Some(&schema), table: Some(table) };
        policy.check(privilege, &object)
    })
}

fn check_sql(ctx: &StatementContext, statement: &Sql) -> Result<()> {
    match statement {
        Sql::Query(_)
        | Sql::Set(_)
        | Sql::Reset(_)
        | Sql::ShowVariable { .. }
        | Sql::Execute { .. }
        | Sql::Deallocate { .. }
        // Procedures ask for themselves: whose query one may end is not a right to a table.
        | Sql::Call(_)
        // Nothing runs: the router says why not.
        | Sql::StartTransaction { .. }
        | Sql::Commit { .. }
        | Sql::Rollback { .. } => Ok(()),
        Sql::Insert(insert) => match &insert.table {
            TableObject::TableName(name) => write_named(ctx, name),
            TableObject::TableFunction(_) | TableObject::TableQuery(_) => administer(ctx),
        },
        Sql::Delete(delete) => {
            let (ast::FromTable::WithFromKeyword(from) | ast::FromTable::WithoutKeyword(from)) =
                &delete.from;
            delete.tables.iter().try_for_each(|name| write_named(ctx, name))?;
            from.iter().try_for_each(|tables| write_all(ctx, tables))
        }
        Sql::Truncate(truncate) => {
            truncate.table_names.iter().try_for_each(|target| write_named(ctx, &target.name))
        }
        Sql::Update(update) => write_all(ctx, &update.table),
        Sql::Merge(merge) => write(ctx, &merge.table),
        // A statement that the router learns and this match does not is for nobody but admins.
        _ => administer(ctx),
    }
}

fn write_all(ctx: &StatementContext, tables: &TableWithJoins) -> Result<()> {
    write(ctx, &tables.relation)?;
    tables.joins.iter().try_for_each(|join| write(ctx, &join.relation))
}

fn write(ctx: &StatementContext, target: &TableFactor) -> Result<()> {
    match target {
        TableFactor::Table { name, args: None, .. } => write_named(ctx, name),
        _ => administer(ctx),
    }
}

/// Which table a name of a branch leads to is found out as the statement runs, and checked there.
fn write_named(ctx: &StatementContext, name: &ast::ObjectName) -> Result<()> {
    if branch::may_be_reference(name) {
        return Ok(());
    }
    let parts = name_parts(name)?;
    match object::of_relation(ctx, &parts, &ctx.scope())? {
        Some(foreign) => object::permit(ctx, Privilege::Write, &foreign),
        None => permit(ctx, Privilege::Write, &ctx.qualify(name)?),
    }
}

/// For what has no object of its own.
fn administer(ctx: &StatementContext) -> Result<()> {
    let Some(policy) = &ctx.access else { return Ok(()) };
    let catalog = ctx.variables.catalog.as_str();
    policy.check(Privilege::Admin, &AccessObject { catalog, schema: None, table: None })
}

fn check_ddl(ctx: &StatementContext, statement: &DdlStatement) -> Result<()> {
    use Privilege::{Read, Write};
    match statement {
        DdlStatement::CreateTable(create) => {
            for element in &create.elements {
                if let TableElement::Like(like) = element {
                    relation(ctx, Read, &like.source)?;
                }
            }
            relation(ctx, making(create.location.is_some()), &create.name)
        }
        DdlStatement::CreateView(create) => relation(ctx, Write, &create.name),
        DdlStatement::CreateSchema { name, if_not_exists: _, properties } => {
            schema(ctx, making(properties.iter().any(|(key, _)| key == "location")), name)
        }
        DdlStatement::DropTable { name, if_exists: _, purge: _ }
        | DdlStatement::DropView { name, if_exists: _ } => relation(ctx, Write, name),
        DdlStatement::DropSchema { name, if_exists: _, cascade: _ }
        | DdlStatement::AlterSchema { name, changes: _ } => schema(ctx, Write, name),
        DdlStatement::AlterTable { name, if_exists: _, actions } => {
            relation(ctx, Write, name)?;
            actions.iter().try_for_each(|action| match action {
                AlterAction::RenameTo(to) => renamed(ctx, name, to),
                _ => Ok(()),
            })
        }
        DdlStatement::AlterView { name, if_exists: _, action } => {
            relation(ctx, Write, name)?;
            match action {
                AlterViewAction::RenameTo(to) => renamed(ctx, name, to),
                AlterViewAction::SetQuery(_) | AlterViewAction::Properties { .. } => Ok(()),
            }
        }
        DdlStatement::Comment { target, comment: _ } => match target {
            CommentTarget::Table(name) | CommentTarget::View(name) => relation(ctx, Write, name),
            CommentTarget::Schema(name) => schema(ctx, Write, name),
            // Which parts name the table is found out as it runs, and checked there.
            CommentTarget::Column(_) => Ok(()),
        },
        DdlStatement::Show(show) => match show {
            // Listings leave out what is not visible.
            Show::Catalogs(_)
            | Show::Schemas(..)
            | Show::Tables(..)
            | Show::Views(..)
            | Show::Functions(_) => Ok(()),
            Show::Columns(name, _)
            | Show::CreateTable(name)
            | Show::CreateView(name)
            | Show::Properties(name, _) => relation(ctx, Read, name),
            Show::CreateSchema(name) => schema(ctx, Read, name),
            // Asked for where the catalog is looked up.
            Show::CreateCatalog(_) => Ok(()),
        },
        DdlStatement::Describe(describe) => match describe {
            Describe::Relation { name, extended: _ } => relation(ctx, Read, name),
            Describe::Schema(name) => schema(ctx, Read, name),
            Describe::Query(_) => Ok(()),
        },
        DdlStatement::Analyze { name, columns: _ } => {
            relation(ctx, Read, name)?;
            relation(ctx, Write, name)
        }
        // Its metadata, or its files, may lie anywhere that the process can read.
        DdlStatement::RegisterTable { name, metadata_file: _ }
        | DdlStatement::AddFiles { name, source: _, is_unique: _ }
        | DdlStatement::SnapshotFiles { name, source: _ } => relation(ctx, Privilege::Admin, name),
        // Whose statement may be ended, `system::kill` decides by who asks.
        DdlStatement::Use(_) | DdlStatement::Kill(_) => Ok(()),
        DdlStatement::Catalog(statement) => match statement {
            CatalogStatement::Create { name, .. }
            | CatalogStatement::Alter { name, .. }
            | CatalogStatement::Drop { name, .. } => {
                object::permit_catalog(ctx, Privilege::Admin, &name.to_string())
            }
            CatalogStatement::Refresh(name) => object::permit_catalog(ctx, Read, name),
        },
    }
}

/// What making something takes: a location of one's own choice may lie anywhere that the process
/// can write.
fn making(has_location: bool) -> Privilege {
    if has_location { Privilege::Admin } else { Privilege::Write }
}

fn relation(ctx: &StatementContext, privilege: Privilege, path: &ObjectPath) -> Result<()> {
    if let Some(foreign) = object::of_relation(ctx, &path.0, &ctx.scope())? {
        if privilege == Privilege::Read
            && foreign.schema.eq_ignore_ascii_case(information_schema::SCHEMA)
        {
            return Ok(());
        }
        return object::permit(ctx, privilege, &foreign);
    }
    let name = ctx.qualify_parts(&path.0, &ctx.scope())?;
    let schema = name.name.namespace.to_string();
    // Its rows are filtered, and nothing writes it.
    if privilege == Privilege::Read && schema.eq_ignore_ascii_case(information_schema::SCHEMA) {
        return Ok(());
    }
    permit(ctx, privilege, &name)
}

fn schema(ctx: &StatementContext, privilege: Privilege, path: &ObjectPath) -> Result<()> {
    let Some(policy) = &ctx.access else { return Ok(()) };
    if let Some((catalog, schema)) = foreign::ddl::of_schema(ctx, Some(path)) {
        let schema = Some(schema.text.as_str());
        let object = AccessObject { catalog: catalog.name(), schema, table: None };
        return policy.check(privilege, &object);
    }
    let (catalog, namespace) = ctx.qualify_schema(&path.0)?;
    let schema = namespace.to_string();
    let object = AccessObject { catalog: catalog.name(), schema: Some(&schema), table: None };
    policy.check(privilege, &object)
}

/// A rename writes where it leads to as well; a target without a catalog stays in its own.
fn renamed(ctx: &StatementContext, from: &ObjectPath, to: &ObjectPath) -> Result<()> {
    if to.0.len() == 1 {
        return Ok(());
    }
    if object::of_relation(ctx, &from.0, &ctx.scope())?.is_some() {
        // Nothing of a database is renamed: the router says so.
        return Ok(());
    }
    let from = ctx.qualify_parts(&from.0, &ctx.scope())?;
    let mut scope = ctx.scope();
    from.catalog.name().clone_into(&mut scope.catalog);
    permit(ctx, Privilege::Write, &ctx.qualify_parts(&to.0, &scope)?)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use crate::access::{AccessObject, AccessPolicy, Privilege};
    use futures::TryStreamExt;

    use crate::error::{Error, ErrorKind, Result};
    use crate::listing::{SchemaFilter, TableFilter};
    use crate::session::{Session, SessionOptions};
    use crate::sql::testing::{TestLake, fails, lake, rows};

    /// Reads all but `iceberg.hidden`, writes `iceberg.silver`; notes what it was asked.
    #[derive(Debug, Default)]
    struct Silver {
        asked: Mutex<Vec<String>>,
        is_frozen: Mutex<bool>,
    }

    impl AccessPolicy for Silver {
        fn check(&self, privilege: Privilege, object: &AccessObject<'_>) -> Result<()> {
            self.asked.lock().unwrap().push(format!("{privilege} {object}"));
            let schema = object.schema.map(str::to_lowercase);
            let is_allowed = match privilege {
                Privilege::Read => self.is_visible(object),
                Privilege::Write => {
                    schema.as_deref() == Some("silver") && !*self.is_frozen.lock().unwrap()
                }
                Privilege::Admin => false,
            };
            if is_allowed {
                return Ok(());
            }
            let message = format!("may not {privilege} {object}");
            Err(Error::new(ErrorKind::PermissionDenied, message))
        }

        fn is_visible(&self, object: &AccessObject<'_>) -> bool {
            object.schema != Some("hidden")
        }
    }

    struct Fixture {
        _lake: TestLake,
        policy: Arc<Silver>,
        session: Session,
        admin: Session,
    }

    async fn fixture() -> Fixture {
        let lake = lake().await;
        let admin = lake.session();
        for sql in [
            "CREATE SCHEMA silver",
            "CREATE SCHEMA gold",
            "CREATE SCHEMA hidden",
            "CREATE TABLE silver.t (a int, s struct<f: int>)",
            "CREATE TABLE gold.t (a int)",
            "CREATE TABLE hidden.t (a int)",
            "CREATE VIEW silver.peek AS SELECT * FROM hidden.t",
            "CREATE VIEW gold.v AS SELECT * FROM gold.t",
        ] {
            rows(&admin, sql).await;
        }
        let policy = Arc::new(Silver::default());
        let access = Arc::clone(&policy) as Arc<dyn AccessPolicy>;
        let options = SessionOptions { access: Some(access), ..SessionOptions::default() };
        let session = lake.session_with(options);
        Fixture { _lake: lake, policy, session, admin }
    }

    async fn denied(session: &Session, sql: &str) {
        let error = fails(session, sql).await;
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{sql}: {error}");
    }

    /// Hazard: where a name may carry a branch, rights that are asked of the name as it is written
    /// are those of a table that there is not.
    #[tokio::test]
    async fn rights_to_a_table_at_a_branch_of_its_catalog_are_those_to_the_table() {
        let f = fixture().await;
        f._lake.mount_with_references();
        for sql in [
            "SELECT * FROM nessie.silver.\"t@dev\"",
            "SELECT * FROM nessie.silver.\"t@dev$files\"",
            "SELECT * FROM nessie.gold.\"t@feature-1\"",
            "INSERT INTO nessie.silver.\"t@dev\" VALUES (1, NULL)",
            "DESCRIBE nessie.silver.\"t@dev\"",
        ] {
            rows(&f.session, sql).await;
        }
        for sql in [
            "SELECT * FROM nessie.hidden.\"t@dev\"",
            "SELECT * FROM nessie.hidden.\"t@dev$snapshots\"",
            "SELECT * FROM nessie.hidden.\"nosuch@dev\"",
            "INSERT INTO nessie.gold.\"t@dev\" VALUES (1)",
            "DELETE FROM nessie.gold.\"t@dev\"",
            "TRUNCATE TABLE nessie.gold.\"t@dev\"",
            "ALTER TABLE nessie.gold.\"t@dev\" ADD COLUMN b int",
            "DROP TABLE nessie.gold.\"t@dev\"",
            "DESCRIBE nessie.hidden.\"t@dev\"",
        ] {
            denied(&f.session, sql).await;
        }
        let asked = f.policy.asked.lock().unwrap().clone();
        assert!(asked.iter().any(|asked| asked.ends_with("nessie.silver.t")), "{asked:?}");
        let written: Vec<_> = asked.iter().filter(|asked| asked.contains('@')).collect();
        assert!(written.is_empty(), "{written:?}");
    }

    #[tokio::test]
    async fn every_statement_that_changes_something_needs_write_there() {
        let f = fixture().await;
        for sql in [
            "INSERT INTO gold.t VALUES (1)",
            "INSERT OVERWRITE gold.t SELECT 1",
            "EXPLAIN INSERT INTO gold.t VALUES (1)",
            "EXPLAIN ANALYZE INSERT INTO gold.t VALUES (1)",
            "DELETE FROM gold.t",
            "EXPLAIN DELETE FROM gold.t",
            "DELETE FROM ICEBERG.GOLD.T WHERE a = 1",
            "TRUNCATE TABLE gold.t",
            "INSERT INTO gold.t.branch_main VALUES (1)",
            "INSERT INTO gold.\"t@main\" VALUES (1)",
            "DELETE FROM iceberg.gold.t.branch_main",
            "TRUNCATE TABLE gold.\"t@nosuch\"",
            "INSERT INTO gold.\"nosuch@main\" VALUES (1)",
            "ALTER TABLE gold.t CREATE BRANCH b",
            "ALTER TABLE gold.t DROP TAG b",
            "CALL system.rollback_to_snapshot('gold.t', 1)",
            "CALL system.set_current_snapshot('gold', 't', 1)",
            "CALL system.cherrypick_snapshot('gold.t', 1)",
            "CALL system.fast_forward('iceberg.gold.t', 'main', 'b')",
            "CALL system.register_table('gold.n', '/nowhere.metadata.json')",
            "CALL system.register_table('silver.n', '/nowhere.metadata.json')",
            "CALL system.add_files('silver.t', '/nowhere/x.parquet')",
            "CALL system.snapshot('/nowhere/x.parquet', 'silver.n')",
            "ANALYZE gold.t",
            "UPDATE gold.t SET a = 1",
            "MERGE INTO gold.t USING silver.t s ON true WHEN MATCHED THEN DELETE",
            "CREATE TABLE gold.n (a int)",
            "CREATE TABLE IF NOT EXISTS gold.t (a int)",
            "CREATE OR REPLACE TABLE gold.t AS SELECT 1 AS a",
            "EXPLAIN CREATE TABLE gold.n AS SELECT 1 AS a",
            "CREATE TABLE silver.n (a int) LOCATION 'file:///tmp/elsewhere'",
            "CREATE TABLE silver.n (a int) WITH (location = 'file:///tmp/elsewhere')",
            "CREATE TABLE silver.n (LIKE hidden.t)",
            "CREATE TABLE silver.n AS SELECT * FROM hidden.t",
            "CREATE VIEW gold.n AS SELECT 1 AS a",
            "CREATE VIEW silver.n AS SELECT * FROM hidden.t",
            "CREATE SCHEMA other",
            "CREATE SCHEMA IF NOT EXISTS gold",
            "CREATE SCHEMA silver WITH (location = 'file:///tmp/elsewhere')",
            "DROP TABLE gold.t",
            "DROP TABLE IF EXISTS gold.nothing",
            "DROP VIEW gold.v",
            "DROP SCHEMA gold CASCADE",
            "ALTER TABLE gold.t ADD COLUMN b int",
            "ALTER TABLE gold.t EXECUTE rollback_to_snapshot(1)",
            "ALTER TABLE silver.t RENAME TO gold.n",
            "ALTER TABLE silver.t RENAME TO iceberg.gold.n",
            "ALTER VIEW gold.v RENAME TO w",
            "ALTER VIEW silver.peek RENAME TO gold.peek",
            "ALTER SCHEMA gold SET PROPERTIES (k = 'v')",
            "COMMENT ON TABLE gold.t IS 'x'",
            "COMMENT ON VIEW gold.v IS 'x'",
            "COMMENT ON SCHEMA gold IS 'x'",
            "COMMENT ON COLUMN gold.t.a IS 'x'",
            "COMMENT ON COLUMN gold.v.a IS 'x'",
            "LOCK TABLES silver.t WRITE",
        ] {
            let error = fails(&f.session, sql).await;
            // What our parser does not read at all needs no right.
            let is_refused =
                matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Syntax)
                    && !(sql.contains("gold") && error.kind() == ErrorKind::Syntax);
            assert!(is_refused, "{sql}: {error:?}");
        }
        let left = rows(&f.admin, "SHOW TABLES FROM gold").await;
        assert_eq!(left.iter().map(|b| b.num_rows()).sum::<usize>(), 2);
    }

    #[tokio::test]
    async fn what_is_granted_runs() {
        let f = fixture().await;
        for sql in [
            "INSERT INTO silver.t VALUES (1, named_struct('f', 2))",
            "CREATE TABLE Silver.n AS SELECT a FROM gold.t",
            "INSERT INTO iceberg.silver.n SELECT a FROM gold.v",
            "COMMENT ON COLUMN silver.t.a IS 'x'",
            "ALTER TABLE silver.n RENAME TO m",
            "ALTER TABLE silver.m RENAME TO silver.n",
            "DROP TABLE silver.n",
            "CREATE SCHEMA IF NOT EXISTS silver",
            "SELECT * FROM gold.v",
            "SELECT * FROM \"gold\".\"t$snapshots\"",
            "SHOW CREATE TABLE gold.t",
            "DESCRIBE gold.t",
            "DESCRIBE information_schema.tables",
            "SET search_path = silver",
            "USE silver",
            "COMMENT ON COLUMN t.s.f IS 'the cut that names a schema t is not the one'",
        ] {
            if let Err(e) = crate::sql::testing::run(&f.session, sql).await {
                assert_ne!(e.kind(), ErrorKind::PermissionDenied, "{sql}: {e}");
            }
        }
        assert!(rows(&f.admin, "SELECT * FROM silver.t").await.iter().any(|b| b.num_rows() == 1));
    }

    #[tokio::test]
    async fn reads_are_checked_through_views_subqueries_and_metadata_tables() {
        let f = fixture().await;
        for sql in [
            "SELECT * FROM hidden.t",
            "SELECT * FROM iceberg.hidden.t",
            "SELECT * FROM silver.peek",
            "SELECT 1 WHERE EXISTS (SELECT 1 FROM hidden.t)",
            "WITH c AS (SELECT * FROM hidden.t) SELECT 1",
            "SELECT (SELECT max(a) FROM hidden.t)",
            "SELECT * FROM hidden.\"t$files\"",
            "SELECT * FROM hidden.t.branch_main",
            "SELECT * FROM hidden.\"t@main\"",
            "SELECT * FROM hidden.\"nosuch@main\"",
            "EXPLAIN SELECT * FROM hidden.t",
            "EXPLAIN ANALYZE SELECT * FROM hidden.t",
            "INSERT INTO silver.t (a) SELECT a FROM hidden.t",
            "COPY (SELECT * FROM hidden.t) TO '/nowhere/x.csv'",
            "COPY hidden.t TO '/nowhere/x.csv'",
            "SHOW CREATE TABLE hidden.t",
            "SHOW COLUMNS FROM hidden.t",
            "SHOW TBLPROPERTIES hidden.t",
            "SHOW CREATE SCHEMA hidden",
            "DESCRIBE hidden.t",
            "DESCRIBE SCHEMA hidden",
        ] {
            denied(&f.session, sql).await;
        }
    }

    #[tokio::test]
    async fn listings_leave_out_what_is_not_visible() {
        let f = fixture().await;
        let text = |batches: Vec<arrow::array::RecordBatch>| {
            arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string()
        };
        for sql in [
            "SHOW SCHEMAS",
            "SHOW TABLES FROM hidden",
            "SELECT * FROM information_schema.schemata",
            "SELECT * FROM information_schema.tables",
            "SELECT * FROM information_schema.columns WHERE table_schema = 'hidden'",
            "SELECT * FROM information_schema.table_properties",
        ] {
            let shown = text(rows(&f.session, sql).await);
            assert!(!shown.contains("hidden"), "{sql}\n{shown}");
            if sql == "SHOW TABLES FROM hidden" {
                assert!(!shown.contains("| t "), "{shown}");
            }
        }
        assert!(text(rows(&f.admin, "SHOW SCHEMAS").await).contains("hidden"));
        let everything = SchemaFilter::default();
        let schemas = f.session.list_schemas(&everything).unwrap();
        let tables = f.session.list_tables(&TableFilter::default()).unwrap();
        let schemas: Vec<_> = schemas.try_concat().await.unwrap();
        let tables: Vec<_> = tables.try_concat().await.unwrap();
        assert!(schemas.iter().all(|s| s.schema != "hidden") && schemas.len() > 2);
        assert!(tables.iter().all(|t| t.schema != "hidden") && tables.len() > 3);
    }

    /// H5: a privilege that was lost after PREPARE is missed at EXECUTE.
    #[tokio::test]
    async fn h5_a_prepared_statement_is_authorised_again_at_every_execution() {
        let f = fixture().await;
        rows(&f.session, "PREPARE p AS INSERT INTO silver.t (a) VALUES (1)").await;
        rows(&f.session, "EXECUTE p").await;
        *f.policy.is_frozen.lock().unwrap() = true;
        denied(&f.session, "EXECUTE p").await;
        // Preparing needs nothing, running does.
        rows(&f.session, "PREPARE q AS DELETE FROM gold.t").await;
        denied(&f.session, "EXECUTE q").await;
        rows(&f.session, "PREPARE r AS SELECT * FROM hidden.t").await;
        denied(&f.session, "EXECUTE r").await;
    }

    #[tokio::test]
    async fn metadata_tables_are_asked_for_by_their_table() {
        let f = fixture().await;
        rows(&f.session, "SELECT * FROM gold.\"t$snapshots\"").await;
        assert!(f.policy.asked.lock().unwrap().contains(&"read iceberg.gold.t".to_owned()));
    }
}
