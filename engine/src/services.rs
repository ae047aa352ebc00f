//! What an engine lends to every statement: mounted catalogs, file relations, the runtime, and the
//! one place that builds a DataFusion session.

use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};

use chrono::{DateTime, Utc};
use datafusion::execution::context::SessionState;
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::registry::FunctionRegistry;
use datafusion::optimizer::{Analyzer, AnalyzerRule};
use datafusion::prelude::SessionConfig;
use fjord_catalog::catalog::Catalog;
use fjord_catalog::storage::Storage;
use fjord_connectors::relation::FileRelation;

use crate::cluster::{Cluster, ClusterOptions};
use crate::cooperate::GiveWay;
use crate::error::{Error, ErrorKind, Result};
use crate::foreign::Databases;
use crate::foreign::catalog::ForeignCatalog;
use crate::lateral::UnnestBeside;
use crate::membership::CountMembers;
use crate::numbers;
use crate::numbers::exact::Exact;
use crate::numbers::floats::{FloatsWin, Operands};
use crate::numbers::keys::EqualZeros;
use crate::queries::Queries;
use crate::runtime::{self, SpillDir};
use crate::session_settings::SessionSettings;
use crate::sql::scripts::Scripts;
use crate::unambiguous::physical_rules;
use crate::unplanned::RefuseUnplannedWrites;

/// Catalogs that one engine mounts at most.
const CATALOGS_MAX: usize = 1_000;

/// The memory of operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStatistics {
    /// Held now.
    pub reserved_bytes: usize,
    /// What may be held.
    pub limit_bytes: usize,
    /// Held at most since the start.
    pub peak_bytes: u64,
    /// On disk now, because it was too much for memory.
    pub spilled_bytes: u64,
}

/// Shared by all sessions of an engine.
pub(crate) struct Services {
    pub(crate) storage: Storage,
    pub(crate) file_relations: Vec<Arc<dyn FileRelation>>,
    pub(crate) base_config: SessionConfig,
    pub(crate) queries: Queries,
    pub(crate) databases: Databases,
    pub(crate) scripts: Scripts,
    /// One statement at a time makes, changes or drops a catalog.
    pub(crate) mounting: tokio::sync::Mutex<()>,
    catalogs: RwLock<Vec<Catalog>>,
    foreign: RwLock<Vec<Arc<ForeignCatalog>>>,
    cluster: OnceLock<Arc<Cluster>>,
    template: SessionState,
    _spill: SpillDir,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").field("catalogs", &self.catalogs).finish_non_exhaustive()
    }
}

impl Services {
    pub(crate) fn new(
        storage: Storage,
        file_relations: Vec<Arc<dyn FileRelation>>,
        env: Arc<RuntimeEnv>,
        target_partitions: Option<usize>,
        spill: SpillDir,
        queries: Queries,
        databases: Databases,
    ) -> Self {
        let base_config = base_config(target_partitions);
        let mut analyzer: Vec<Arc<dyn AnalyzerRule + Send + Sync>> =
            vec![Arc::new(UnnestBeside), Arc::new(CountMembers), Arc::new(FloatsWin)];
        analyzer.extend(Analyzer::new().rules);
        analyzer.push(Arc::new(Exact));
        analyzer.push(Arc::new(RefuseUnplannedWrites));
        let mut template = SessionStateBuilder::new()
            .with_config(base_config.clone())
            .with_runtime_env(env)
            .with_default_features()
            .with_analyzer_rules(analyzer)
            .with_physical_optimizer_rules(physical_rules());
        for rule in &databases.optimizer_rules {
            template = template.with_optimizer_rule(Arc::clone(rule));
        }
        for rule in &databases.physical_optimizer_rules {
            template = template.with_physical_optimizer_rule(Arc::clone(rule));
        }
        let mut template = template
            .with_physical_optimizer_rule(Arc::new(EqualZeros))
            .with_physical_optimizer_rule(Arc::new(GiveWay));
        template.expr_planners().get_or_insert_default().insert(0, Arc::new(Operands));
        template.scalar_functions().get_or_insert_default().extend(numbers::scalar_functions());
        let aggregates = template.aggregate_functions().get_or_insert_default();
        aggregates.extend(numbers::aggregate_functions());
        let template = template.build();
        Self {
            storage,
            file_relations,
            base_config,
            queries,
            databases,
            scripts: Scripts::default(),
            mounting: tokio::sync::Mutex::default(),
            catalogs: RwLock::default(),
            foreign: RwLock::default(),
            cluster: OnceLock::new(),
            template,
            _spill: spill,
        }
    }

    /// Becomes a coordinator.
    pub(crate) fn coordinate(self: &Arc<Self>, options: ClusterOptions) -> Result<Arc<Cluster>> {
        let (fingerprint, storage) = (self.fingerprint()?, self.storage.clone());
        let itself: Weak<Self> = Arc::downgrade(self);
        let cluster = Arc::new(Cluster::new(options, fingerprint, storage, itself));
        self.cluster.set(Arc::clone(&cluster)).map_err(|_| {
            Error::new(ErrorKind::AlreadyExists, "the engine coordinates a cluster already")
        })?;
        Ok(cluster)
    }

    /// The cluster, if there is one.
    pub(crate) fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.cluster.get()
    }

    /// What all operators of the process run in.
    pub(crate) fn runtime_env(&self) -> Arc<RuntimeEnv> {
        Arc::clone(self.template.runtime_env())
    }

    /// The DataFusion session of one statement, started at `now`.
    pub(crate) fn session_state(
        &self,
        config: SessionConfig,
        now: Option<DateTime<Utc>>,
    ) -> Result<SessionState> {
        let mut state = self.template.clone();
        *state.config_mut() = config;
        let cluster = self.cluster.get();
        let workers = cluster.as_ref().map_or(0, |cluster| cluster.serving(&[]).len());
        if workers > 0 {
            let memory_bytes = cluster.and_then(|cluster| cluster.memory_bytes());
            broadcast_more(state.config_mut(), &self.base_config, memory_bytes);
        }
        // A plan of one partition has no exchange to be cut at, however many cores others have.
        let partitions = &mut state.config_mut().options_mut().execution.target_partitions;
        if workers > 1 && *partitions == 1 {
            *partitions = 2;
        }
        // Functions that read settings (`now()` and the time zone) hold a copy of them.
        let updated: Vec<_> = state
            .scalar_functions()
            .values()
            .filter_map(|udf| udf.inner().with_updated_config(state.config().options()))
            .collect();
        for udf in updated {
            state.register_udf(Arc::new(udf))?;
        }
        state.mark_start_execution();
        if now.is_some() {
            state.execution_props_mut().query_execution_start_time = now;
        }
        Ok(state)
    }

    pub(crate) fn memory(&self) -> MemoryStatistics {
        let env = self.template.runtime_env();
        let limit_bytes = match env.memory_pool.memory_limit() {
            MemoryLimit::Finite(bytes) => bytes,
            _ => usize::MAX,
        };
        MemoryStatistics {
            reserved_bytes: env.memory_pool.reserved(),
            limit_bytes,
            peak_bytes: runtime::peak_bytes(env),
            spilled_bytes: env.disk_manager.used_disk_space(),
        }
    }

    pub(crate) fn mount(&self, catalog: Catalog) -> Result<()> {
        // The same order of locks as everywhere.
        let mut catalogs = self.catalogs.write().unwrap_or_else(PoisonError::into_inner);
        let foreign = self.foreign.read().unwrap_or_else(PoisonError::into_inner);
        check_free(&catalogs, &foreign, catalog.name())?;
        catalogs.push(catalog);
        Ok(())
    }

    pub(crate) fn mount_foreign(&self, catalog: ForeignCatalog) -> Result<()> {
        let catalogs = self.catalogs.read().unwrap_or_else(PoisonError::into_inner);
        let mut foreign = self.foreign.write().unwrap_or_else(PoisonError::into_inner);
        check_free(&catalogs, &foreign, catalog.name())?;
        foreign.push(Arc::new(catalog));
        Ok(())
    }

    /// Mounts the databases that statements made, in this process or another one; one of the
    /// configuration comes before one of its name.
    ///
    /// # Errors
    /// Where their definitions cannot be read.
    pub(crate) fn mount_kept(&self) -> Result<()> {
        for catalog in self.databases.kept(|name| self.is_taken(name))? {
            let name = catalog.name().to_owned();
            if let Err(e) = self.mount_foreign(catalog) {
                tracing::warn!(catalog = name, error = %e, "a catalog was left out");
            }
        }
        Ok(())
    }

    /// The same where what cannot be read is left to those who change it.
    fn mount_made_elsewhere(&self) {
        if let Err(e) = self.mount_kept() {
            tracing::warn!(error = %e, "catalogs of other processes are not seen");
        }
    }

    /// Puts `catalog` in the place of the one of its name, or takes that one away; returns it.
    pub(crate) fn exchange_foreign(
        &self,
        name: &str,
        catalog: Option<ForeignCatalog>,
    ) -> Option<Arc<ForeignCatalog>> {
        let mut foreign = self.foreign.write().unwrap_or_else(PoisonError::into_inner);
        let at = foreign.iter().position(|c| c.name().eq_ignore_ascii_case(name))?;
        match catalog {
            Some(catalog) => {
                let before = foreign.get_mut(at)?;
                Some(std::mem::replace(before, Arc::new(catalog)))
            }
            None => Some(foreign.remove(at)),
        }
    }

    /// Every mounted catalog of tables of ours, in the order of mounting.
    pub(crate) fn catalogs(&self) -> Vec<Catalog> {
        self.catalogs.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a catalog of this name is mounted, of whichever kind.
    pub(crate) fn is_taken(&self, name: &str) -> bool {
        self.is_of_ours(name) || self.mounted_foreign(name).is_some()
    }

    fn is_of_ours(&self, name: &str) -> bool {
        let catalogs = self.catalogs.read().unwrap_or_else(PoisonError::into_inner);
        catalogs.iter().any(|c| c.name().eq_ignore_ascii_case(name))
    }

    /// Every database, in the order of mounting.
    pub(crate) fn foreign_catalogs(&self) -> Vec<Arc<ForeignCatalog>> {
        self.mount_made_elsewhere();
        self.foreign.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A database by its catalog's name, regardless of case; also one that another process of the
    /// same data directory has made since.
    pub(crate) fn foreign(&self, name: &str) -> Option<Arc<ForeignCatalog>> {
        let found = self.mounted_foreign(name);
        if found.is_some() || self.is_of_ours(name) {
            return found;
        }
        self.mount_made_elsewhere();
        self.mounted_foreign(name)
    }

    fn mounted_foreign(&self, name: &str) -> Option<Arc<ForeignCatalog>> {
        let foreign = self.foreign.read().unwrap_or_else(PoisonError::into_inner);
        foreign.iter().find(|c| c.name().eq_ignore_ascii_case(name)).cloned()
    }

    /// A mounted catalog of tables of ours by name, regardless of case.
    ///
    /// # Errors
    /// `NotFound`; `Unsupported` for a database, of which whoever knows better asks
    /// [`Services::foreign`] first.
    pub(crate) fn catalog(&self, name: &str) -> Result<Catalog> {
        let catalogs = self.catalogs();
        if let Some(catalog) = catalogs.iter().find(|c| c.name().eq_ignore_ascii_case(name)) {
            return Ok(catalog.clone());
        }
        Err(match self.foreign(name) {
            Some(database) => not_of_ours(database.name(), database.kind()),
            None => {
                let mut known: Vec<String> = catalogs.iter().map(|c| c.name().to_owned()).collect();
                known.extend(self.foreign_catalogs().iter().map(|c| c.name().to_owned()));
                not_mounted(name, &known)
            }
        })
    }
}

/// The error for a catalog that is not there.
pub(crate) fn not_mounted(name: &str, known: &[String]) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("catalog \"{name}\" not found; mounted: {}", known.join(", ")),
    )
}

/// The error for a statement that tables of ours have and a database does not.
pub(crate) fn not_of_ours(name: &str, kind: &str) -> Error {
    Error::unsupported(format!(
        "catalog \"{name}\" is a live {kind} database: this statement is for Iceberg tables. A \
         database takes SELECT, INSERT, CREATE TABLE [AS], DROP TABLE, CREATE VIEW and DROP VIEW"
    ))
}

fn check_free(catalogs: &[Catalog], foreign: &[Arc<ForeignCatalog>], name: &str) -> Result<()> {
    let names = catalogs.iter().map(Catalog::name).chain(foreign.iter().map(|c| c.name()));
    if names.into_iter().any(|taken| taken.eq_ignore_ascii_case(name)) {
        let message = format!("catalog \"{name}\" is already mounted");
        return Err(Error::new(ErrorKind::AlreadyExists, message));
    }
    if catalogs.len() + foreign.len() >= CATALOGS_MAX {
        let message = format!("catalog \"{name}\": {CATALOGS_MAX} are mounted already");
        return Err(Error::new(ErrorKind::LimitExceeded, message));
    }
    Ok(())
}

/// Sides of joins that are sent whole to every task of a stage, in bytes. The other side then stays
/// where it is read.
const BROADCAST_BYTES: usize = 64 << 20;
/// What part of a worker's memory one such side may take: several tasks and joins each hold one.
const BROADCAST_SHARE: usize = 16;
/// Bytes of a row, where nobody knows them.
const BROADCAST_ROW_BYTES: usize = 32;

/// Within a process, joins of larger sides are built on all cores; between workers, moving the other
/// side costs more, as far as a worker of `memory_bytes` has room. What a user has set stays.
fn broadcast_more(config: &mut SessionConfig, base: &SessionConfig, memory_bytes: Option<u64>) {
    let room = memory_bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX);
    let most = BROADCAST_BYTES.min(room / BROADCAST_SHARE);
    let base = &base.options().optimizer;
    let optimizer = &mut config.options_mut().optimizer;
    let bytes = &mut optimizer.hash_join_single_partition_threshold;
    if *bytes == base.hash_join_single_partition_threshold {
        *bytes = most.max(*bytes);
    }
    let rows = &mut optimizer.hash_join_single_partition_threshold_rows;
    if *rows == base.hash_join_single_partition_threshold_rows {
        *rows = (most / BROADCAST_ROW_BYTES).max(*rows);
    }
}

fn base_config(target_partitions: Option<usize>) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_information_schema(false)
        .with_option_extension(SessionSettings::default());
    if let Some(n) = target_partitions {
        config = config.with_target_partitions(n.max(1));
    }
    let options = config.options_mut();
    options.sql_parser.parse_float_as_decimal = true;
    // Names are spelt by `sql::spelling` before DataFusion sees them.
    options.sql_parser.enable_ident_normalization = false;
    options.sql_parser.default_null_ordering = "nulls_last".to_owned();
    options.sql_parser.map_string_types_to_utf8view = true;
    options.execution.parquet.pushdown_filters = true;
    options.execution.collect_statistics = true;
    // A database asked by a range of keys sends all rows between them; by the keys, those alone.
    options.optimizer.hash_join_inlist_pushdown_max_distinct_values = 1_000;
    options.execution.time_zone = Some("UTC".to_owned());
    options.catalog.create_default_catalog_and_schema = false;
    config
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider};
    use datafusion::prelude::SessionContext;

    use super::*;
    use crate::queries::QueriesOptions;

    /// A statement's session, with a catalog of DataFusion's own, whose tables do what its DELETE
    /// and UPDATE plans say.
    fn context(directory: &std::path::Path) -> SessionContext {
        let storage = Storage::local();
        let spill = SpillDir::create(directory).unwrap();
        let env = runtime::runtime_env(1 << 30, Some(2), &spill, storage.clone()).unwrap();
        let queries = Queries::new(QueriesOptions::default());
        let services =
            Services::new(storage, Vec::new(), env, Some(2), spill, queries, Databases::default());
        let state = services.session_state(services.base_config.clone(), None).unwrap();
        let context = SessionContext::new_with_state(state);
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema("public", Arc::new(MemorySchemaProvider::new())).unwrap();
        context.register_catalog("datafusion", Arc::new(catalog));
        for (table, rows) in [("t", vec![1, 2, 3]), ("u", vec![1])] {
            let rows: ArrayRef = Arc::new(Int64Array::from(rows));
            context
                .register_batch(table, RecordBatch::try_from_iter([("n", rows)]).unwrap())
                .unwrap();
        }
        context
    }

    /// Hazard: DataFusion's plan of a DELETE or UPDATE loses what its condition says, and no
    /// condition means every row (stack §4).
    #[tokio::test]
    async fn datafusions_own_delete_and_update_never_run() {
        for sql in [
            "DELETE FROM t WHERE n IN (SELECT n FROM u)",
            "DELETE FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.n = t.n)",
            "DELETE FROM t WHERE false",
            "UPDATE t SET n = 0 WHERE n IN (SELECT n FROM u)",
            "INSERT INTO t VALUES (4)",
            "EXPLAIN ANALYZE DELETE FROM t WHERE false",
        ] {
            let directory = tempfile::tempdir().unwrap();
            let context = context(directory.path());
            let outcome = match context.sql(sql).await {
                Ok(frame) => frame.collect().await,
                Err(e) => Err(e),
            };
            let rows = context.sql("SELECT n FROM t").await.unwrap().collect().await.unwrap();
            let rows: usize = rows.iter().map(RecordBatch::num_rows).sum();
            let error = outcome.map(|_| panic!("{sql} ran and left {rows} rows of 3")).unwrap_err();
            assert!(error.to_string().contains("reached the planner of queries"), "{sql}: {error}");
            assert_eq!(rows, 3, "{sql}");
        }
    }
}
