//! A live database as a mounted catalog: every question that it is asked has a limit of time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use datafusion::catalog::TableProvider;
use fjord_connectors::connector::{Connector, RemoteEntry, RemoteKind, RemoteName, RemoteTable};
use moka::future::Cache;

use super::definition::{CatalogDefinition, create_sql};
use super::name::Part;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::quote::quote_text;

/// How long a database has to answer a question about itself, connecting included.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// The same in a listing over all catalogs, where others wait for it.
const LISTING_TIME: Duration = Duration::from_secs(3);

/// How long a listing serves the statements that come together; a name that it lacks is looked for
/// in the database all the same.
const LISTING_TTL: Duration = Duration::from_secs(5);

/// Schemas whose listings are kept.
const LISTINGS_MAX: u64 = 1_000;

/// Names shown of what there is.
const SHOWN_MAX: usize = 10;

/// Where a catalog comes from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// The configuration: statements do not change it.
    Configuration,
    /// CREATE CATALOG.
    Statement(CatalogDefinition),
}

/// A live database under its catalog's name.
pub(crate) struct ForeignCatalog {
    name: String,
    origin: Origin,
    /// Why there is no connector, where it could not be opened again at start-up.
    connector: std::result::Result<Arc<dyn Connector>, String>,
    listings: Listings,
}

/// What there is, for a moment: statements that come together ask once.
#[derive(Clone)]
struct Listings {
    schemas: Cache<(), Arc<Vec<String>>>,
    relations: Cache<String, Arc<Vec<RemoteEntry>>>,
}

impl Listings {
    fn new() -> Self {
        Self {
            schemas: Cache::builder().max_capacity(1).time_to_live(LISTING_TTL).build(),
            relations: Cache::builder()
                .max_capacity(LISTINGS_MAX)
                .time_to_live(LISTING_TTL)
                .build(),
        }
    }
}

/// An error that several statements have waited for.
fn shared(e: &Arc<Error>) -> Error {
    Error::new(e.kind(), e.to_string())
}

/// A relation that was found.
#[derive(Clone, Debug)]
pub(crate) struct FoundRelation {
    pub(crate) name: RemoteName,
    /// `None` where the listing does not have it yet.
    pub(crate) kind: Option<RemoteKind>,
}

impl fmt::Debug for ForeignCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeignCatalog").field("name", &self.name).finish_non_exhaustive()
    }
}

impl ForeignCatalog {
    pub(crate) fn new(name: &str, origin: Origin, connector: Arc<dyn Connector>) -> Self {
        Self { name: name.to_owned(), origin, connector: Ok(connector), listings: Listings::new() }
    }

    /// One that is there by name, and says `problem` to whoever uses it.
    pub(crate) fn broken(definition: CatalogDefinition, problem: String) -> Self {
        let name = definition.name.clone();
        let (origin, listings) = (Origin::Statement(definition), Listings::new());
        Self { name, origin, connector: Err(problem), listings }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What CREATE CATALOG said; `None` for one of the configuration.
    pub(crate) fn definition(&self) -> Option<&CatalogDefinition> {
        match &self.origin {
            Origin::Statement(definition) => Some(definition),
            Origin::Configuration => None,
        }
    }

    /// The kind of database.
    pub(crate) fn kind(&self) -> &str {
        match (&self.connector, &self.origin) {
            (Ok(connector), _) => connector.kind(),
            (Err(_), Origin::Statement(definition)) => &definition.kind,
            (Err(_), Origin::Configuration) => "database",
        }
    }

    pub(crate) fn connector(&self) -> Result<&Arc<dyn Connector>> {
        self.connector.as_ref().map_err(|problem| {
            Error::new(
                ErrorKind::Unavailable,
                format!(
                    "catalog \"{}\" could not be opened: {problem}; put that right and start again, \
                     or ALTER CATALOG",
                    self.name
                ),
            )
        })
    }

    /// Which database it is; `None` for one that could not be opened.
    pub(crate) fn identity(&self) -> Option<String> {
        self.connector.as_ref().ok().map(|connector| connector.identity())
    }

    /// The statement that makes it again; it holds references to secrets alone.
    pub(crate) fn to_sql(&self) -> String {
        match (&self.origin, &self.connector) {
            (Origin::Statement(definition), _) => definition.to_sql(),
            (Origin::Configuration, Ok(connector)) => {
                let options = connector.shown_options();
                let is_reference =
                    |value: &str| value.starts_with("env('") || value.starts_with("file('");
                let options = options.iter().map(|(key, value)| {
                    let shown = if is_reference(value) { value.clone() } else { quote_text(value) };
                    (key, shown)
                });
                create_sql(&self.name, connector.kind(), options)
            }
            (Origin::Configuration, Err(_)) => create_sql(&self.name, "database", [].into_iter()),
        }
    }

    /// Connects once.
    pub(crate) async fn check(&self) -> Result<()> {
        self.within(ANSWER_TIME, self.connector()?.check()).await
    }

    pub(crate) async fn schemas(&self) -> Result<Vec<String>> {
        let connector = self.connector()?;
        let asked = async { self.within(ANSWER_TIME, connector.schemas()).await.map(Arc::new) };
        let listed = self.listings.schemas.try_get_with((), asked).await;
        listed.map(|schemas| schemas.as_ref().clone()).map_err(|e| shared(&e))
    }

    pub(crate) async fn relations(&self, schema: &str) -> Result<Vec<RemoteEntry>> {
        let connector = self.connector()?;
        let asked =
            async { self.within(ANSWER_TIME, connector.relations(schema)).await.map(Arc::new) };
        let listed = self.listings.relations.try_get_with_by_ref(schema, asked).await;
        listed.map(|entries| entries.as_ref().clone()).map_err(|e| shared(&e))
    }

    /// A listing that waits no longer than others can; what was asked for by name may take its time.
    pub(crate) async fn quickly<T>(
        &self,
        named: bool,
        listing: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        if named {
            return listing.await;
        }
        match tokio::time::timeout(LISTING_TIME, listing).await {
            Ok(listed) => listed,
            Err(_elapsed) => Err(self.silent(LISTING_TIME)),
        }
    }

    /// The stored spelling of a schema.
    pub(crate) async fn find_schema(&self, wanted: &Part) -> Result<Option<String>> {
        let schemas = self.schemas().await?;
        let chosen = wanted.choose("schema", schemas.iter().map(String::as_str))?;
        Ok(chosen.map(str::to_owned))
    }

    /// The stored spelling of a schema that must be there.
    pub(crate) async fn schema(&self, wanted: &Part) -> Result<String> {
        let schemas = self.schemas().await?;
        let chosen = wanted.choose("schema", schemas.iter().map(String::as_str))?;
        chosen.map(str::to_owned).ok_or_else(|| {
            let shown: Vec<&str> = schemas.iter().take(SHOWN_MAX).map(String::as_str).collect();
            let more = if schemas.len() > SHOWN_MAX { ", …" } else { "" };
            let shown = match shown.as_slice() {
                [] => "it shows us none".to_owned(),
                names => format!("it has {}{more}", names.join(", ")),
            };
            Error::new(
                ErrorKind::NotFound,
                format!("schema \"{}.{}\" not found; {shown}", self.name, wanted.text),
            )
        })
    }

    /// The stored spelling of a relation, and what it is.
    pub(crate) async fn find(&self, schema: &Part, name: &Part) -> Result<Option<FoundRelation>> {
        let Some(schema) = self.find_schema(schema).await? else { return Ok(None) };
        let entries = self.relations(&schema).await?;
        let chosen = name.choose("table", entries.iter().map(|entry| entry.name.as_str()))?;
        if let Some(chosen) = chosen {
            let kind = entries.iter().find(|entry| entry.name == chosen).map(|entry| entry.kind);
            let name = RemoteName { schema, name: chosen.to_owned() };
            return Ok(Some(FoundRelation { name, kind }));
        }
        // The listing may be older than the table.
        let name = RemoteName { schema, name: name.for_new() };
        let found = self.table(&name).await?;
        Ok(found.map(|_provider| FoundRelation { name, kind: None }))
    }

    /// A relation as it is now.
    pub(crate) async fn table(&self, name: &RemoteName) -> Result<Option<Arc<dyn TableProvider>>> {
        self.within(ANSWER_TIME, self.connector()?.table(name)).await
    }

    /// A query in the database's own SQL.
    pub(crate) async fn query(&self, sql: &str) -> Result<Arc<dyn TableProvider>> {
        self.within(ANSWER_TIME, self.connector()?.query(sql)).await
    }

    pub(crate) async fn create_table(&self, table: &RemoteTable) -> Result<()> {
        let made = self.within(ANSWER_TIME, self.connector()?.create_table(table)).await;
        self.refresh();
        made
    }

    pub(crate) async fn create_view(
        &self,
        name: &RemoteName,
        sql: &str,
        replace: bool,
    ) -> Result<()> {
        let work = self.connector()?.create_view(name, sql, replace);
        let made = self.within(ANSWER_TIME, work).await;
        self.refresh();
        made
    }

    pub(crate) async fn drop_relation(&self, name: &RemoteName, view: bool) -> Result<bool> {
        let work = self.connector()?.drop_relation(name, view);
        let dropped = self.within(ANSWER_TIME, work).await;
        self.refresh();
        dropped
    }

    /// Forgets what is cached about schemas and tables.
    pub(crate) fn refresh(&self) {
        self.listings.schemas.invalidate_all();
        self.listings.relations.invalidate_all();
        if let Ok(connector) = &self.connector {
            connector.refresh();
        }
    }

    /// Closes every connection, as far as that is done in time.
    pub(crate) async fn close(&self) {
        if let Ok(connector) = &self.connector
            && tokio::time::timeout(ANSWER_TIME, connector.close()).await.is_err()
        {
            tracing::warn!(catalog = self.name, "connections were not closed in time");
        }
    }

    async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, fjord_connectors::Error>>,
    ) -> Result<T> {
        match tokio::time::timeout(limit, work).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(e)) => Err(self.named(&e)),
            Err(_elapsed) => Err(self.silent(limit)),
        }
    }

    /// An error of the connector, which may not say which catalog it was.
    pub(crate) fn named(&self, e: &fjord_connectors::Error) -> Error {
        let place = format!("catalog \"{}\"", self.name);
        let e = Error::from(e);
        if e.to_string().contains(&place) { e } else { e.within(&place) }
    }

    fn silent(&self, limit: Duration) -> Error {
        Error::new(
            ErrorKind::Unavailable,
            format!(
                "catalog \"{}\": its database did not answer within {} s, or all of its connections \
                 were busy",
                self.name,
                limit.as_secs()
            ),
        )
    }
}
