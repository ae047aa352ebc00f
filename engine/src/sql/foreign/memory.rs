//! A database in memory behind the port of live databases, for tests: schemas, tables, views by
//! their text, rows; it can be down, and slow.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::MemTable;
use datafusion::error::Result as DfResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions, collect,
};
use fjord_connectors::connector::{
    Capabilities, Connector, ConnectorKind, ConnectorOptions, RemoteEntry, RemoteKind, RemoteName,
    RemoteTable,
};
use fjord_connectors::{Error, ErrorKind};

type Result<T> = std::result::Result<T, Error>;
type Relations = BTreeMap<RemoteName, Stored>;

/// What is stored under a name.
#[derive(Clone, Debug)]
enum Stored {
    Table(SchemaRef, Vec<RecordBatch>),
    View(String),
}

/// The database itself: connectors to it come and go.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryDatabase {
    relations: Arc<Mutex<Relations>>,
    schemas: Arc<Mutex<Vec<String>>>,
    is_down: Arc<AtomicBool>,
    /// Answers nothing, ever.
    is_silent: Arc<AtomicBool>,
    pub(crate) refreshed: Arc<AtomicUsize>,
    pub(crate) closed: Arc<AtomicUsize>,
    pub(crate) opened: Arc<Mutex<Vec<ConnectorOptions>>>,
}

impl MemoryDatabase {
    pub(crate) fn new(schemas: &[&str]) -> Self {
        let database = Self::default();
        let schemas = schemas.iter().map(|schema| (*schema).to_owned()).collect();
        *database.schemas.lock().unwrap() = schemas;
        database
    }

    pub(crate) fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::Relaxed);
    }

    pub(crate) fn set_silent(&self, is_silent: bool) {
        self.is_silent.store(is_silent, Ordering::Relaxed);
    }

    pub(crate) fn put(&self, schema: &str, name: &str, batch: RecordBatch) {
        let name = RemoteName { schema: schema.to_owned(), name: name.to_owned() };
        self.lock().insert(name, Stored::Table(batch.schema(), vec![batch]));
    }

    /// The text of a view.
    pub(crate) fn view(&self, schema: &str, name: &str) -> Option<String> {
        let name = RemoteName { schema: schema.to_owned(), name: name.to_owned() };
        match self.lock().get(&name) {
            Some(Stored::View(sql)) => Some(sql.clone()),
            _ => None,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Relations> {
        self.relations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self) -> Result<()> {
        if self.is_silent.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
        }
        if self.is_down.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Unavailable, "connection refused"));
        }
        Ok(())
    }
}

/// The kind `memory`, whose catalogs all lead to one database.
#[derive(Debug)]
pub(crate) struct MemoryKind(pub(crate) MemoryDatabase);

impl ConnectorKind for MemoryKind {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn open(&self, options: ConnectorOptions) -> Result<Arc<dyn Connector>> {
        const KNOWN: [&str; 2] = ["url", "pass_through"];
        if let Some(key) = options.options.keys().find(|key| !KNOWN.contains(&key.as_str())) {
            let message = format!("option {key} is not known; accepted: {}", KNOWN.join(", "));
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        self.0.opened.lock().unwrap().push(options.clone());
        Ok(Arc::new(MemoryConnector { database: self.0.clone(), options }))
    }
}

/// A connector to it.
#[derive(Debug)]
struct MemoryConnector {
    database: MemoryDatabase,
    options: ConnectorOptions,
}

#[async_trait]
impl Connector for MemoryConnector {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn capabilities(&self) -> Capabilities {
        let allowed = self.options.options.get("pass_through");
        let pass_through = allowed.is_some_and(|value| value == "true");
        Capabilities { writes: true, views: true, pass_through }
    }

    fn shown_options(&self) -> Vec<(String, String)> {
        let plain = self.options.options.clone().into_iter();
        let secrets = self.options.secrets.iter();
        plain.chain(secrets.map(|(key, secret)| (key.clone(), secret.reference.clone()))).collect()
    }

    async fn check(&self) -> Result<()> {
        self.database.answer().await
    }

    async fn schemas(&self) -> Result<Vec<String>> {
        self.database.answer().await?;
        Ok(self.database.schemas.lock().unwrap().clone())
    }

    async fn relations(&self, schema: &str) -> Result<Vec<RemoteEntry>> {
        self.database.answer().await?;
        let relations = self.database.lock();
        let of_schema = relations.iter().filter(|(name, _)| name.schema == schema);
        let entry = |(name, stored): (&RemoteName, &Stored)| RemoteEntry {
            name: name.name.clone(),
            kind: match stored {
                Stored::Table(..) => RemoteKind::Table,
                Stored::View(_) => RemoteKind::View,
            },
        };
        Ok(of_schema.map(entry).collect())
    }

    async fn table(&self, name: &RemoteName) -> Result<Option<Arc<dyn TableProvider>>> {
        self.database.answer().await?;
        match self.database.lock().get(name).cloned() {
            Some(Stored::Table(schema, rows)) => {
                let table = MemTable::try_new(schema, vec![rows]).map_err(|e| {
                    Error::new(ErrorKind::Corrupt, "rows do not fit").with_source(e)
                })?;
                Ok(Some(Arc::new(table)))
            }
            Some(Stored::View(_)) => {
                Err(Error::new(ErrorKind::Unsupported, "views are not planned here"))
            }
            None => Ok(None),
        }
    }

    fn refresh(&self) {
        self.database.refreshed.fetch_add(1, Ordering::Relaxed);
    }

    /// The only SQL of this database is a name in its schema `public`.
    async fn query(&self, sql: &str) -> Result<Arc<dyn TableProvider>> {
        let schema = "public".to_owned();
        let name = RemoteName { schema, name: sql.to_owned() };
        let missing = || Error::new(ErrorKind::Invalid, format!("syntax error at {sql:?}"));
        self.table(&name).await?.ok_or_else(missing)
    }

    async fn create_table(&self, table: &RemoteTable) -> Result<()> {
        self.database.answer().await?;
        let stored = Stored::Table(Arc::clone(&table.schema), Vec::new());
        self.database.lock().insert(table.name.clone(), stored);
        Ok(())
    }

    fn create_table_as(
        &self,
        table: RemoteTable,
        input: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let store = Store { name: table.name, make: Some(table.schema), columns: Vec::new() };
        Ok(Arc::new(StoreExec::new(self.database.clone(), store, input)))
    }

    async fn insert(
        &self,
        name: &RemoteName,
        columns: &[String],
        input: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.database.answer().await?;
        let store = Store { name: name.clone(), make: None, columns: columns.to_vec() };
        Ok(Arc::new(StoreExec::new(self.database.clone(), store, input)))
    }

    async fn drop_relation(&self, name: &RemoteName, _view: bool) -> Result<bool> {
        self.database.answer().await?;
        Ok(self.database.lock().remove(name).is_some())
    }

    async fn create_view(&self, name: &RemoteName, sql: &str, _replace: bool) -> Result<()> {
        self.database.answer().await?;
        self.database.lock().insert(name.clone(), Stored::View(sql.to_owned()));
        Ok(())
    }

    async fn close(&self) {
        self.database.closed.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a write does.
#[derive(Clone, Debug)]
struct Store {
    name: RemoteName,
    /// The columns of a table to be made.
    make: Option<SchemaRef>,
    columns: Vec<String>,
}

/// Writes its input's rows, all or none, and yields their count.
struct StoreExec {
    database: MemoryDatabase,
    store: Store,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl StoreExec {
    fn new(database: MemoryDatabase, store: Store, input: Arc<dyn ExecutionPlan>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(count_schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self { database, store, input, properties: Arc::new(properties) }
    }

    fn with_input(&self, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Arc<dyn ExecutionPlan> {
        let input = children.remove(0);
        Arc::new(Self::new(self.database.clone(), self.store.clone(), input))
    }
}

fn count_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("count", DataType::UInt64, false)]))
}

fn stored(database: &MemoryDatabase, store: &Store, batches: &[RecordBatch]) -> DfResult<u64> {
    let mut relations = database.lock();
    if let Some(schema) = &store.make {
        relations.insert(store.name.clone(), Stored::Table(Arc::clone(schema), Vec::new()));
    }
    let Some(Stored::Table(schema, rows)) = relations.get_mut(&store.name) else {
        return Err(Error::new(ErrorKind::NotFound, "the table is gone").into());
    };
    let mut count = 0;
    for batch in batches {
        count += batch.num_rows() as u64;
        let columns = schema.fields().iter().enumerate().map(|(i, field)| {
            let at = match store.make {
                Some(_) => Some(i),
                None => store.columns.iter().position(|name| name == field.name()),
            };
            match at {
                Some(at) => Arc::clone(batch.column(at)),
                None => arrow::array::new_null_array(field.data_type(), batch.num_rows()),
            }
        });
        rows.push(RecordBatch::try_new(Arc::clone(schema), columns.collect())?);
    }
    Ok(count)
}

impl fmt::Debug for StoreExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreExec").field("store", &self.store).finish_non_exhaustive()
    }
}

impl DisplayAs for StoreExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreExec: {}", self.store.name)
    }
}

impl ExecutionPlan for StoreExec {
    fn name(&self) -> &str {
        "StoreExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        Ok(self.with_input(children))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        Ok(self.with_input(children))
    }

    fn execute(
        &self,
        _partition: usize,
        context: Arc<TaskContext>,
    ) -> DfResult<SendableRecordBatchStream> {
        let (input, database) = (Arc::clone(&self.input), self.database.clone());
        let store = self.store.clone();
        let work = async move {
            let batches = collect(input, context).await?;
            let count = stored(&database, &store, &batches)?;
            let counts = Arc::new(UInt64Array::from(vec![count]));
            Ok(RecordBatch::try_new(count_schema(), vec![counts])?)
        };
        let rows = futures::stream::once(work);
        Ok(Box::pin(RecordBatchStreamAdapter::new(count_schema(), rows)))
    }
}
