//! Listings over a lake of ours, and over a crowd of tables of which none may be loaded unasked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arrow::datatypes::DataType;
use async_trait::async_trait;
use fjord_catalog::catalog::Catalog;
use fjord_catalog::metastore::{Capabilities, Entry, EntryKind, Metastore, TableCommit, View};
use fjord_catalog::name::{Namespace, TableName};
use fjord_catalog::storage::Storage;
use fjord_catalog::table::Table;
use futures::TryStreamExt;

use super::{Columns, FunctionGroup, ListedTable, SchemaFilter, TableFilter, TableKind};
use crate::error::ErrorKind;
use crate::session::{Session, SessionOptions};
use crate::sql::testing::{engine, lake, rows, run};

type CatalogResult<T> = fjord_catalog::error::Result<T>;

fn pattern(table: &str) -> TableFilter {
    TableFilter { table_pattern: Some(table.to_owned()), ..TableFilter::default() }
}

async fn tables(session: &Session, filter: &TableFilter) -> Vec<ListedTable> {
    let lists: Vec<_> = session.list_tables(filter).unwrap().try_collect().await.unwrap();
    assert!(lists.iter().all(|list| !list.is_empty()));
    lists.concat()
}

async fn names(session: &Session, filter: &TableFilter) -> Vec<String> {
    let tables = tables(session, filter).await;
    tables.iter().map(|t| format!("{}.{}", t.schema, t.name)).collect()
}

#[tokio::test]
async fn tables_are_listed_by_name_regardless_of_case() {
    let lake = lake().await;
    let session = lake.session();
    lake.view("Totals", "SELECT count(*) AS n FROM t").await;
    run(&session, "CREATE SCHEMA other; CREATE TABLE other.t_1 (a int)").await.unwrap();

    let all = tables(&session, &TableFilter::default()).await;
    assert!(all.iter().all(|t| t.catalog == "iceberg" && t.columns.is_none()));
    let kinds = |schema: &str| -> Vec<(String, TableKind)> {
        let of_schema = all.iter().filter(|t| t.schema == schema);
        of_schema.map(|t| (t.name.clone(), t.kind)).collect()
    };
    use TableKind::{BaseTable, SystemTable, View};
    let expected = [("Totals", View), ("p", BaseTable), ("t", BaseTable)];
    assert_eq!(kinds("default"), expected.map(|(n, k)| (n.to_owned(), k)));
    assert!(kinds("information_schema").iter().all(|(_, kind)| *kind == SystemTable));
    let schemas: Vec<&str> = all.iter().map(|t| t.schema.as_str()).collect();
    assert!(schemas.is_sorted(), "{schemas:?}");

    assert_eq!(names(&session, &pattern("TOTALS")).await, ["default.Totals"]);
    assert_eq!(names(&session, &pattern("t%")).await.len(), 5);
    assert_eq!(names(&session, &pattern(r"t\_%")).await, ["other.t_1"]);
    assert_eq!(names(&session, &pattern("")).await, [""; 0]);
    let views = TableFilter { kinds: Some(vec![View]), ..TableFilter::default() };
    assert_eq!(names(&session, &views).await, ["default.Totals"]);
    let none = TableFilter { kinds: Some(Vec::new()), ..TableFilter::default() };
    assert_eq!(names(&session, &none).await, [""; 0]);
    for (catalog, schema, found) in
        [("ICEBERG", "OTHER", 1), ("iceberg", "o_her", 1), ("", "other", 0), ("nope", "%", 0)]
    {
        let schemas = SchemaFilter {
            catalog: Some(catalog.to_owned()),
            schema_pattern: Some(schema.to_owned()),
        };
        let filter = TableFilter { schemas, ..TableFilter::default() };
        assert_eq!(names(&session, &filter).await.len(), found, "{catalog}.{schema}");
    }
}

#[tokio::test]
async fn schemas_are_listed_by_catalog_and_pattern() {
    let lake = lake().await;
    let session = lake.session();
    run(&session, "CREATE SCHEMA other").await.unwrap();
    let list = async |catalog: Option<&str>, pattern: Option<&str>| {
        let filter = SchemaFilter {
            catalog: catalog.map(str::to_owned),
            schema_pattern: pattern.map(str::to_owned),
        };
        let lists: Vec<_> = session.list_schemas(&filter).unwrap().try_collect().await.unwrap();
        lists.concat().into_iter().map(|s| s.schema).collect::<Vec<_>>()
    };
    assert_eq!(session.list_catalogs().unwrap(), ["iceberg"]);
    assert_eq!(list(None, None).await, ["default", "information_schema", "other"]);
    assert_eq!(list(Some("Iceberg"), Some("OTH%")).await, ["other"]);
    assert_eq!(list(Some(""), None).await, [""; 0]);
}

#[tokio::test]
async fn columns_are_what_a_query_of_the_table_yields() {
    let lake = lake().await;
    let session = lake.session();
    run(
        &session,
        "INSERT INTO t VALUES (1, 'ada', NULL); INSERT INTO p VALUES (2, 'bob', NULL); \
         CREATE VIEW v (id, n COMMENT 'how it is called') AS SELECT \"customerId\", name FROM t",
    )
    .await
    .unwrap();
    let all = TableFilter { columns: Columns::Loaded, ..TableFilter::default() };
    for table in tables(&session, &all).await {
        let (schema, name) = (&table.schema, &table.name);
        let queried = rows(&session, &format!("SELECT * FROM {schema}.{name}")).await[0].schema();
        let columns = table.columns.unwrap();
        assert_eq!(columns.fields().len(), queried.fields().len(), "{name}");
        for (listed, queried) in columns.fields().iter().zip(queried.fields()) {
            assert_eq!(listed.name(), queried.name(), "{name}");
            assert_eq!(listed.data_type(), queried.data_type(), "{name}");
        }
    }
    let view = tables(&session, &TableFilter { columns: Columns::Loaded, ..pattern("v") }).await;
    let columns = view[0].columns.clone().unwrap();
    assert_eq!(columns.field(0).name(), "id");
    assert_eq!(columns.field(0).data_type(), &DataType::Int32);
    assert!(columns.field(0).is_nullable(), "a view's column may become NULL with its table");
    assert_eq!(columns.field(1).metadata()["comment"], "how it is called");
}

#[tokio::test]
async fn a_relation_that_cannot_be_read_is_listed_without_columns() {
    let lake = lake().await;
    let session = lake.session();
    lake.view("broken", "SELECT nothing FROM nowhere").await;
    let filter = TableFilter {
        schemas: SchemaFilter { schema_pattern: Some("default".to_owned()), ..Default::default() },
        columns: Columns::Loaded,
        ..TableFilter::default()
    };
    let listed = tables(&session, &filter).await;
    let counts: Vec<(&str, usize)> = listed
        .iter()
        .map(|t| (t.name.as_str(), t.columns.as_ref().unwrap().fields().len()))
        .collect();
    assert_eq!(counts, [("broken", 0), ("p", 3), ("t", 3)]);
}

#[tokio::test]
async fn a_name_finds_the_table_that_it_stands_for_first() {
    let lake = lake().await;
    let session = lake.session();
    run(
        &session,
        "CREATE SCHEMA a; CREATE SCHEMA z; CREATE TABLE a.x_y (c int); CREATE TABLE a.xAy (c int); \
         CREATE TABLE z.x_y (c int); CREATE TABLE z.x_z (c int); USE z",
    )
    .await
    .unwrap();
    assert_eq!(names(&session, &pattern("X_Y")).await, ["z.x_y", "a.x_y", "a.xay"]);
    // With a wildcard nothing is meant in particular.
    assert_eq!(names(&session, &pattern("x_y%")).await, ["a.x_y", "a.xay", "z.x_y"]);
}

#[tokio::test]
async fn functions_are_grouped_and_none_of_our_own_plans_shows() {
    let session = crate::sql::testing::session();
    let functions = session.list_functions().unwrap();
    let group = |name: &str| functions.iter().find(|f| f.name == name).map(|f| f.group);
    assert_eq!(group("sqrt"), Some(Some(FunctionGroup::Numeric)));
    assert_eq!(group("upper"), Some(Some(FunctionGroup::Text)));
    assert_eq!(group("now"), Some(Some(FunctionGroup::Time)));
    assert_eq!(group("current_timestamp"), Some(Some(FunctionGroup::Time)));
    assert_eq!(group("coalesce"), Some(Some(FunctionGroup::System)));
    assert_eq!(group("array_length"), Some(None));
    assert!(functions.iter().all(|f| !f.name.starts_with("fjord_")));
    assert!(functions.is_sorted());
}

/// Tables by the thousand, none of which can be read; counts who tries.
#[derive(Debug)]
struct Crowd {
    tables: usize,
    loads: AtomicUsize,
    reachable: bool,
}

fn refused<T>() -> CatalogResult<T> {
    Err(fjord_catalog::Error::new(fjord_catalog::ErrorKind::Corrupt, "damaged"))
}

#[async_trait]
impl Metastore for Crowd {
    fn capabilities(&self) -> Capabilities {
        Capabilities { views: true, rename: true, nested_namespaces: true, together: false }
    }

    async fn list_namespaces(&self) -> CatalogResult<Vec<Namespace>> {
        if !self.reachable {
            let kind = fjord_catalog::ErrorKind::Unavailable;
            return Err(fjord_catalog::Error::new(kind, "nobody answers"));
        }
        Ok(vec![Namespace::parse("many").unwrap()])
    }

    async fn create_namespace(
        &self,
        _namespace: &Namespace,
        _properties: BTreeMap<String, String>,
    ) -> CatalogResult<()> {
        refused()
    }

    async fn load_namespace(
        &self,
        _namespace: &Namespace,
    ) -> CatalogResult<(Namespace, BTreeMap<String, String>)> {
        refused()
    }

    async fn update_namespace(
        &self,
        _namespace: &Namespace,
        _changes: BTreeMap<String, Option<String>>,
    ) -> CatalogResult<()> {
        refused()
    }

    async fn drop_namespace(&self, _namespace: &Namespace) -> CatalogResult<()> {
        refused()
    }

    async fn list(&self, namespace: &Namespace) -> CatalogResult<Vec<Entry>> {
        let entry = |i| Entry {
            name: TableName::new(namespace.clone(), format!("table_{i:05}")).unwrap(),
            kind: EntryKind::Table,
        };
        Ok((0..self.tables).map(entry).collect())
    }

    async fn load_table(&self, _name: &TableName) -> CatalogResult<Table> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        refused()
    }

    async fn commit(&self, _commit: TableCommit) -> CatalogResult<Table> {
        refused()
    }

    async fn drop_table(&self, _name: &TableName) -> CatalogResult<Option<Table>> {
        refused()
    }

    async fn rename(
        &self,
        _kind: EntryKind,
        _from: &TableName,
        _to: &TableName,
    ) -> CatalogResult<()> {
        refused()
    }

    async fn load_view(&self, _name: &TableName) -> CatalogResult<View> {
        refused()
    }

    async fn put_view(&self, _view: View, _replace: bool) -> CatalogResult<()> {
        refused()
    }

    async fn drop_view(&self, _name: &TableName) -> CatalogResult<()> {
        refused()
    }
}

/// A session over a crowd, and the crowd.
fn crowd(reachable: bool) -> (Session, Arc<Crowd>) {
    let crowd = Arc::new(Crowd { tables: 5_000, loads: AtomicUsize::new(0), reachable });
    let metastore: Arc<dyn Metastore> = Arc::clone(&crowd) as _;
    let engine = engine(1 << 30);
    engine.mount(Catalog::new("crowd", metastore, Storage::local(), "file:///nowhere")).unwrap();
    (engine.session(SessionOptions::default()), crowd)
}

#[tokio::test]
async fn p18_names_are_filtered_before_metadata_is_loaded() {
    let (session, crowd) = crowd(true);
    let started = Instant::now();
    let sql = "SELECT t.id, sum(x) FROM many.t_1 t WHERE name LIKE 'a%' GROUP BY t.id ".repeat(100);
    for text in [sql.as_str(), "SELECT * FROM many.table_00001", "%"] {
        let columns = if text == "%" { Columns::Skipped } else { Columns::Loaded };
        let listed = tables(&session, &TableFilter { columns, ..pattern(text) }).await;
        assert_eq!(listed.len() > 5_000, text == "%", "{text}");
    }
    assert_eq!(crowd.loads.load(Ordering::SeqCst), 0);
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test]
async fn tables_are_loaded_no_further_than_they_are_read() {
    let (session, crowd) = crowd(true);
    let filter = TableFilter { columns: Columns::Loaded, ..pattern("table_0%") };
    let mut listing = session.list_tables(&filter).unwrap();
    let first = listing.try_next().await.unwrap().unwrap();
    drop(listing);
    let loads = crowd.loads.load(Ordering::SeqCst);
    assert!(loads <= 2 * first.len(), "{loads} of 5,000 tables loaded for {}", first.len());
    // A damaged table is there, and has no columns.
    assert_eq!(first[0].name, "table_00000");
    assert_eq!(first[0].columns.as_ref().unwrap().fields().len(), 0);
}

#[tokio::test]
async fn a_catalog_out_of_reach_hides_no_other() {
    let (session, _crowd) = crowd(false);
    assert_eq!(tables(&session, &TableFilter::default()).await, []);
    let named = SchemaFilter { catalog: Some("crowd".to_owned()), schema_pattern: None };
    let filter = TableFilter { schemas: named, ..TableFilter::default() };
    let answer = session.list_tables(&filter).unwrap().try_collect::<Vec<_>>().await;
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::Unavailable);
}
