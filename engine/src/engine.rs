//! The engine of a process: memory, spill, stores, mounted catalogs; it hands out sessions.

use std::path::PathBuf;
use std::sync::Arc;

use fjord_catalog::catalog::Catalog;
use fjord_catalog::statistics::CacheStatistics;
use fjord_catalog::storage::Storage;
use fjord_connectors::connector::{Connector, Connectors};
use fjord_connectors::relation::FileRelation;

use crate::cluster::{Cluster, ClusterOptions};
use crate::error::Result;
use crate::foreign::Databases;
use crate::foreign::catalog::{ForeignCatalog, Origin};
use crate::iceberg::footer::FooterCache;
use crate::queries::{Queries, QueriesOptions};
use crate::runtime::{self, SpillDir};
use crate::services::{MemoryStatistics, Services};
use crate::session::{Session, SessionOptions};

/// How to start an engine. Every limit has a finite default.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Bytes that all operators together may hold; `None`: a share of the machine's memory.
    pub memory_limit_bytes: Option<usize>,
    /// Where operators spill; a private directory below it is made (0700) and old ones cleaned.
    pub spill_dir: PathBuf,
    /// Partitions of a plan; `None`: the machine's cores.
    pub target_partitions: Option<usize>,
    /// The stores that scans, `read_*` and COPY reach.
    pub storage: Storage,
    /// `read_parquet` and its kind.
    pub file_relations: Vec<Arc<dyn FileRelation>>,
    /// How many statements at once, and where the ended ones are remembered.
    pub queries: QueriesOptions,
    /// Live databases: their kinds, what they do to plans, where their definitions are kept.
    pub databases: Databases,
}

/// A running engine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    services: Arc<Services>,
}

impl Engine {
    /// Starts an engine without catalogs.
    pub fn try_new(options: EngineOptions) -> Result<Self> {
        let limit = options.memory_limit_bytes.unwrap_or_else(runtime::default_memory_limit_bytes);
        let spill = SpillDir::create(&options.spill_dir)?;
        let env = runtime::runtime_env(
            limit,
            options.target_partitions,
            &spill,
            options.storage.clone(),
        )?;
        let services = Services::new(
            options.storage,
            options.file_relations,
            env,
            options.target_partitions,
            spill,
            Queries::new(options.queries.within(limit)),
            options.databases,
        );
        Ok(Self { services: Arc::new(services) })
    }

    /// Becomes the coordinator of a cluster: queries that read much run on its workers too. Once.
    ///
    /// # Errors
    /// `AlreadyExists` when it is one.
    pub fn coordinate(&self, options: ClusterOptions) -> Result<Arc<Cluster>> {
        self.services.coordinate(options)
    }

    /// The cluster that it coordinates, if it does.
    pub fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.services.cluster()
    }

    pub(crate) fn services(&self) -> Arc<Services> {
        Arc::clone(&self.services)
    }

    /// Mounts a catalog. The first one mounted is the default of new sessions.
    pub fn mount(&self, catalog: Catalog) -> Result<()> {
        self.services.mount(catalog)
    }

    /// Mounts a database of the configuration: statements neither change nor drop it.
    pub fn mount_database(&self, name: &str, connector: Arc<dyn Connector>) -> Result<()> {
        self.services.mount_foreign(ForeignCatalog::new(name, Origin::Configuration, connector))
    }

    /// Mounts the databases that CREATE CATALOG made. One that cannot be opened any more is mounted
    /// all the same, and says why to whoever uses it; nothing is asked of a database.
    ///
    /// # Errors
    /// Where the definitions cannot be read.
    pub fn mount_kept_databases(&self) -> Result<()> {
        self.services.mount_kept()
    }

    /// The mounted databases, for plans that came from another process.
    pub fn connectors(&self) -> Arc<dyn Connectors> {
        Arc::<Services>::clone(&self.services)
    }

    /// Closes the connections of every database.
    pub async fn close_databases(&self) {
        let databases = self.services.foreign_catalogs();
        futures::future::join_all(databases.iter().map(|database| database.close())).await;
    }

    /// The mounted catalogs of Iceberg tables, in the order of mounting.
    pub fn catalogs(&self) -> Vec<Catalog> {
        self.services.catalogs()
    }

    /// The statements of this engine, live and ended.
    pub fn queries(&self) -> &Queries {
        &self.services.queries
    }

    /// The memory of all operators together, and what they spilled.
    pub fn memory(&self) -> MemoryStatistics {
        self.services.memory()
    }

    /// The cache of Parquet footers.
    pub fn footer_cache(&self) -> CacheStatistics {
        FooterCache::of_process().statistics()
    }

    /// A new session.
    pub fn session(&self, options: SessionOptions) -> Session {
        Session::new(Arc::clone(&self.services), options)
    }
}

/// The machine's memory in bytes, or its container's where that is less: what a share refers to.
pub fn machine_memory_bytes() -> u64 {
    runtime::machine_memory_bytes()
}
