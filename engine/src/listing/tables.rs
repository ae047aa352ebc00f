//! Tables and views, filtered by name before anything is loaded.

use std::cmp::Reverse;
use std::sync::Arc;

use arrow::datatypes::Schema;
use fjord_catalog::metastore::{Entry, EntryKind};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::columns::columns;
use super::filter::{Columns, TableFilter, TableKind, literal, name_in};
use super::names::{self, Admitted, NAMES_PER_LIST_MAX};
use super::{ListedKey, ListedTable, Listing};
use crate::error::{Error, Result};
use crate::sql::context::StatementContext;
use crate::sql::names::{Mounted, Named};
use crate::sql::scope::{Queries, is_visible};
use crate::sql::show::like::Matcher;
use crate::sql::{information, session_queries};

/// Schemas listed at the same time.
const SCHEMAS_CONCURRENT_MAX: usize = 8;
/// Tables loaded and views planned at the same time.
const LOADS_CONCURRENT_MAX: usize = 16;
/// Tables with columns that one list holds: each may be megabytes.
const TABLES_PER_LIST_MAX: usize = 64;

/// One listing of tables under way.
#[derive(Clone)]
pub(super) struct Lister {
    ctx: Arc<StatementContext>,
    filter: Arc<TableFilter>,
}

/// A table or view that the filter admits, not loaded.
#[derive(Clone, Debug)]
struct Found {
    schema: Admitted,
    entry: Named,
    kind: TableKind,
}

type Names = BoxStream<'static, Result<Found>>;

impl Lister {
    pub(super) fn new(ctx: Arc<StatementContext>, filter: &TableFilter) -> Self {
        Self { ctx, filter: Arc::new(filter.clone()) }
    }

    pub(super) fn tables(self) -> Listing<ListedTable> {
        let list_max = match self.filter.columns {
            Columns::Skipped => NAMES_PER_LIST_MAX,
            Columns::Loaded => TABLES_PER_LIST_MAX,
        };
        let names = self.clone().named_first(self.names());
        names
            .try_chunks(list_max)
            .map_err(|e| e.1)
            .and_then(move |found| {
                let lister = self.clone();
                async move { Ok(lister.listed(found).await) }
            })
            // All of a list may have been dropped since it was made.
            .try_filter(|listed| std::future::ready(!listed.is_empty()))
            .boxed()
    }

    /// Names that the filter admits, by catalog, schema and name.
    fn names(&self) -> Names {
        let matcher = Arc::new(Matcher::of_names(self.filter.table_pattern.as_deref()));
        let filter = Arc::clone(&self.filter);
        let access = self.ctx.access.clone();
        names::schemas(&self.ctx, &self.filter.schemas)
            .map_ok(move |schema| {
                let (filter, matcher) = (Arc::clone(&filter), Arc::clone(&matcher));
                let access = access.clone();
                async move {
                    let listing = crate::sql::names::entries(&schema.catalog, &schema.name);
                    let listed = names::in_time(&schema.catalog, schema.named, listing).await;
                    let entries = names::or_unreachable(&schema.catalog, schema.named, listed)?;
                    let found: Vec<Result<Found>> = entries
                        .into_iter()
                        .filter(|entry| matcher.matches(&entry.name))
                        .filter(|entry| {
                            let table = Some(entry.name.as_str());
                            let (catalog, name) = (schema.catalog.name(), schema.name.as_str());
                            is_visible(access.as_deref(), catalog, Some(name), table)
                        })
                        .map(|entry| {
                            let kind = kind_of(&entry);
                            Found { schema: schema.clone(), entry, kind }
                        })
                        .filter(|f| filter.kinds.as_ref().is_none_or(|k| k.contains(&f.kind)))
                        .map(Ok)
                        .collect();
                    Ok(stream::iter(found))
                }
            })
            .try_buffered(SCHEMAS_CONCURRENT_MAX)
            .try_flatten()
            .boxed()
    }

    /// Where the pattern is a name, what it stands for comes first. `order_items` matches
    /// `orderXitems` too, and clients that ask for one table take the first row.
    fn named_first(self, names: Names) -> Names {
        let Some(name) = self.filter.table_pattern.as_deref().and_then(name_in) else {
            return names;
        };
        let here = self.ctx.scope();
        stream::once(async move {
            // Few names match a pattern without `%`.
            let mut found: Vec<Found> = names.try_collect().await?;
            found.sort_by_key(|f| {
                let own = &f.entry.name;
                let same = own.to_lowercase() == name.to_lowercase();
                let current = f.schema.catalog.name().eq_ignore_ascii_case(&here.catalog)
                    && f.schema.name.eq_ignore_ascii_case(&here.schema);
                Reverse((same, current, *own == name))
            });
            let found: Vec<Result<Found>> = found.into_iter().map(Ok).collect();
            Ok::<_, Error>(stream::iter(found))
        })
        .try_flatten()
        .boxed()
    }

    async fn listed(&self, found: Vec<Found>) -> Vec<ListedTable> {
        let queries = match self.filter.columns {
            Columns::Skipped => None,
            // New for each list: a planner keeps every table that it has met.
            Columns::Loaded => Some(session_queries::queries(&self.ctx)),
        };
        stream::iter(found)
            .map(|found| listed(found, queries.clone()))
            .buffered(LOADS_CONCURRENT_MAX)
            .filter_map(std::future::ready)
            .collect()
            .await
    }

    /// What identifies the rows of each table; the patterns are names.
    pub(super) async fn keys(self) -> Result<Vec<ListedKey>> {
        let filter = &self.filter;
        let exact = TableFilter {
            table_pattern: filter.table_pattern.as_deref().map(literal),
            kinds: Some(vec![TableKind::BaseTable]),
            ..(**filter).clone()
        };
        let schema_pattern = filter.schemas.schema_pattern.as_deref().map(literal);
        let schemas = super::SchemaFilter { schema_pattern, ..filter.schemas.clone() };
        let lister = Self::new(Arc::clone(&self.ctx), &TableFilter { schemas, ..exact });
        lister
            .names()
            .map_ok(|found| async move { Ok(key_of(&found).await) })
            .try_buffered(LOADS_CONCURRENT_MAX)
            .try_filter_map(|key| std::future::ready(Ok(key)))
            .try_collect()
            .await
    }
}

fn kind_of(named: &Named) -> TableKind {
    let is_own = |entry: &Entry| information::columns_of(&entry.name).is_some();
    match named.kind {
        _ if named.entry.as_ref().is_some_and(is_own) => TableKind::SystemTable,
        EntryKind::Table => TableKind::BaseTable,
        EntryKind::View => TableKind::View,
    }
}

/// The entry with its columns, where a planner is given to find them; `None` when it is gone.
async fn listed(found: Found, queries: Option<Arc<dyn Queries>>) -> Option<ListedTable> {
    let Found { schema: Admitted { catalog, name: schema, .. }, entry, kind } = found;
    let columns = match queries {
        None => None,
        Some(queries) => match columns(&catalog, &entry, queries.as_ref()).await {
            Ok(None) => return None,
            Ok(columns) => columns,
            Err(e) => {
                let catalog = catalog.name();
                tracing::warn!(catalog, table = entry.name, error = %e, "listed without columns");
                Some(Arc::new(Schema::empty()))
            }
        },
    };
    let catalog = catalog.name().to_owned();
    Some(ListedTable { catalog, schema, name: entry.name, kind, columns })
}

/// The table's identifier fields; `None` where it has none or cannot be read.
async fn key_of(found: &Found) -> Option<ListedKey> {
    let (Mounted::Lake(catalog), Some(entry)) = (&found.schema.catalog, &found.entry.entry) else {
        return None;
    };
    let table = match catalog.load_table(&entry.name).await {
        Ok(table) => table,
        Err(e) => {
            let (catalog, table) = (catalog.name(), &entry.name);
            tracing::warn!(catalog, %table, error = %e, "listed without keys");
            return None;
        }
    };
    let schema = table.metadata().current_schema();
    let ids: Vec<i32> = schema.identifier_field_ids().collect();
    // A field inside a struct has no column of its own to name.
    let fields = schema.as_struct().fields().iter().filter(|field| ids.contains(&field.id));
    let columns: Vec<String> = fields.map(|field| field.name.clone()).collect();
    (columns.len() == ids.len() && !columns.is_empty()).then(|| ListedKey {
        catalog: catalog.name().to_owned(),
        schema: found.schema.name.clone(),
        table: found.entry.name.clone(),
        columns,
    })
}
