//! The port for file relations: `read_parquet('…')` in a FROM clause.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{ScalarValue, not_impl_err};
use datafusion::error::Result;
use object_store::ObjectStore;
use object_store::path::Path;
use url::Url;

/// A store, the object in it, and the store's URL.
#[derive(Clone, Debug)]
pub struct StoreLocation {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// The object, or the prefix before the first wildcard.
    pub path: Path,
    /// The store's key in DataFusion's registry.
    pub store_url: Url,
}

/// Resolves what a statement names as a file, subject to the session's path policy.
pub trait FileAccess: fmt::Debug + Send + Sync {
    /// The location behind `uri` (absolute or relative path, or URI; may hold wildcards).
    fn resolve(&self, uri: &str) -> Result<StoreLocation>;

    /// Refuses an object that a listing found: what a directory holds may be a link to anywhere.
    fn check_listed(&self, store_url: &Url, path: &Path) -> Result<()>;
}

/// A file that a relation would read.
#[derive(Clone, Debug)]
pub struct FoundFile {
    /// Where it is.
    pub location: StoreLocation,
    /// The same as a URI.
    pub uri: String,
    /// What messages call it.
    pub shown: String,
    /// Its size.
    pub size_bytes: u64,
    /// What its directories of the form `key=value` say, outermost first; `None` is NULL.
    pub partition: Vec<(String, Option<String>)>,
}

/// Arguments of a file relation.
#[derive(Clone, Debug, Default)]
pub struct RelationArguments {
    /// Paths, URIs or globs; at least one.
    pub paths: Vec<String>,
    /// Named options (`header => true`), keys in lower case.
    pub options: BTreeMap<String, ScalarValue>,
}

/// One `read_*` function.
#[async_trait]
pub trait FileRelation: fmt::Debug + Send + Sync {
    /// The function's name in SQL, in lower case.
    fn name(&self) -> &'static str;

    /// Lists the files, infers the schema and opens the relation.
    ///
    /// # Errors
    /// A plan error naming the option or file, and what is accepted.
    async fn open(
        &self,
        arguments: RelationArguments,
        access: &dyn FileAccess,
        session: &dyn Session,
    ) -> Result<Arc<dyn TableProvider>>;

    /// Lists the files that `paths` name, without opening any.
    ///
    /// # Errors
    /// A plan error naming the path that matches nothing; for relations whose files are of no use
    /// to anybody else, always.
    async fn files(&self, paths: &[String], access: &dyn FileAccess) -> Result<Vec<FoundFile>> {
        let _unused = (paths, access);
        not_impl_err!("{} cannot list its files", self.name())
    }
}
